"""Where new candidates come from."""

from palate.proposers._clean import clean, likeness
from palate.proposers._combinations import Learnt, Said, combination_of, learn_combinations
from palate.proposers._combine import Combine
from palate.proposers._critique import Critique
from palate.proposers._evoprompt import EvoPromptDe, EvoPromptGa
from palate.proposers._fgm import Fgm, Proposal, fgm_from_scores, fgm_from_votes, propose_combinations
from palate.proposers._function import FunctionProposer, Made, MakesCandidates
from palate.proposers._gate import Checked, Gate, Refusal, Why
from palate.proposers._induction import Induction
from palate.proposers._leo import Leo
from palate.proposers._leo_modular import LeoModular, ModularState, hypervolume, nondominated
from palate.proposers._leo_rows import Box
from palate.proposers._leo_search import LeoRun, LeoSearch, LeoState
from palate.proposers._opro import Opro
from palate.proposers._own import own_candidates
from palate.proposers._reflect import Reflect
from palate.proposers._rephrase import Rephrase
from palate.proposers._sample import Sample
from palate.proposers._scenes import Scenes

__all__ = [
    "Box",
    "Checked",
    "Combine",
    "Critique",
    "EvoPromptDe",
    "EvoPromptGa",
    "Fgm",
    "FunctionProposer",
    "Gate",
    "Induction",
    "Learnt",
    "Leo",
    "LeoModular",
    "LeoRun",
    "LeoSearch",
    "LeoState",
    "Made",
    "MakesCandidates",
    "ModularState",
    "Opro",
    "Proposal",
    "Reflect",
    "Refusal",
    "Rephrase",
    "Said",
    "Sample",
    "Scenes",
    "Why",
    "clean",
    "combination_of",
    "fgm_from_scores",
    "fgm_from_votes",
    "hypervolume",
    "learn_combinations",
    "likeness",
    "nondominated",
    "own_candidates",
    "propose_combinations",
]
