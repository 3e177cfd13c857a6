"""Whoever abandons what: every pairing gets its votes, each of another rater, and nobody waits for ever."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from palate.store import open_store
from palate.testing import PostgresServer, simulate_leases


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    overlap=st.integers(1, 3),
    more=st.integers(1, 3),
    pairings=st.integers(1, 5),
    abandon=st.floats(0, 0.7),
    skew=st.sampled_from((0.0, 25.0)),
    seed=st.integers(0, 2**16),
)
def test_every_pairing_gets_its_votes(
    overlap: int, more: int, pairings: int, abandon: float, skew: float, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = simulate_leases(
            lambda clock: open_store(Path(folder) / "study.db", clock=clock),
            raters=overlap + more,
            pairings=pairings,
            overlap=overlap,
            abandon=abandon,
            lease=120.0,
            skew=skew,
            seed=seed,
        )
    assert report.good, report
    assert report.votes == overlap * pairings + report.surplus


def test_the_same_on_a_server(postgres: PostgresServer) -> None:
    place = postgres.url("leases")
    report = simulate_leases(
        lambda clock: open_store(place, clock=clock),
        raters=6,
        pairings=8,
        abandon=0.4,
        lease=120.0,
        skew=25.0,
    )
    assert report.good, report
    assert report.expired > 0
