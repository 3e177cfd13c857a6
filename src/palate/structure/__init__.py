"""Which slots and settings act together, and which combination of them is best."""

from palate.structure._average import AveragedModel, average_graphs
from palate.structure._discovery import (
    Discovery,
    EdgeRule,
    EdgeTest,
    discover,
    edge_tests,
    false_discovery_edges,
    top_edges,
)
from palate.structure._domain import Domain, Options, Range, Variable, domain_of, variable_of
from palate.structure._elimination import (
    Choice,
    Choices,
    Factor,
    best_choice,
    best_choices,
    climb_choices,
    total,
)
from palate.structure._graph import (
    Clique,
    Edge,
    Order,
    complete_sets,
    elimination_order,
    maximal_cliques,
    neighbours,
)
from palate.structure._kernel import Form, axis_kernel, axis_slope, clique_factors, mean_gradient, order_sums
from palate.structure._maximise import Maximisable, Tops, best_rows
from palate.structure._model import FactoredModel, Log, Scale, ScoreLog, VoteLog, fit_model
from palate.structure._networks import NetworkModel, fit_networks, network_loss
from palate.structure._stein import MeanHessian, mean_hessian, normal_scores

__all__ = [
    "AveragedModel",
    "Choice",
    "Choices",
    "Clique",
    "Discovery",
    "Domain",
    "Edge",
    "EdgeRule",
    "EdgeTest",
    "Factor",
    "FactoredModel",
    "Form",
    "Log",
    "Maximisable",
    "MeanHessian",
    "NetworkModel",
    "Options",
    "Order",
    "Range",
    "Scale",
    "ScoreLog",
    "Tops",
    "Variable",
    "VoteLog",
    "average_graphs",
    "axis_kernel",
    "axis_slope",
    "best_choice",
    "best_choices",
    "best_rows",
    "climb_choices",
    "clique_factors",
    "complete_sets",
    "discover",
    "domain_of",
    "edge_tests",
    "elimination_order",
    "false_discovery_edges",
    "fit_model",
    "fit_networks",
    "maximal_cliques",
    "mean_gradient",
    "mean_hessian",
    "neighbours",
    "network_loss",
    "normal_scores",
    "order_sums",
    "top_edges",
    "total",
    "variable_of",
]
