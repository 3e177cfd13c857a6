"""A study with pairings that are ready to show."""

from typing import Any

from palate.store import (
    EventKind,
    Store,
    candidates_payload,
    inputs_payload,
    pairing_payload,
)
from palate.types import Belief, Candidate, Input, Lineage, Pairing, Response, Standing

PORT = 8765
TOKEN = "launch-token-of-the-tests-0123456789"
ORIGIN = f"http://127.0.0.1:{PORT}"
PROMPTS = ["Answer the customer.", "Answer the customer kindly and in two sentences.", "Reply."]


class StudyKit:
    """A store with a study in it, and the candidates that tests compare with."""

    def __init__(self, store: Store, guidelines: str = "Be **fair**.", settings: Any = None) -> None:
        self.store = store
        self.candidates = [
            Candidate.make(text, lineage=Lineage("seed" if rank == 0 else "rephrase"))
            for rank, text in enumerate(PROMPTS)
        ]
        self.pairings = 0
        created = {"config": "", "settings": settings or {}, "guidelines": guidelines}
        store.append(EventKind.STUDY_CREATED, created)
        store.append(EventKind.INPUTS_ADDED, inputs_payload([Input("i1", "Where is my parcel?")]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload(self.candidates))

    def text(self, candidate: int, pairing: int) -> str:
        return f"Answer of {'abc'[candidate]} in round {pairing}"

    def pair(self, count: int = 1, first: str | None = None, second: str | None = None) -> None:
        """Open pairings between the first two candidates."""
        for _ in range(count):
            number = self.pairings
            self.pairings += 1
            left = Response("text", first if first is not None else self.text(0, number))
            right = Response("text", second if second is not None else self.text(1, number))
            hashes = [
                self.store.put_response(f"key-{number}-{side}", r) for side, r in enumerate((left, right))
            ]
            one, two = self.candidates[:2]
            pairing = Pairing(f"pairing-{number}", "i1", one.id, two.id, *hashes)
            self.store.append(EventKind.PAIRING_OPENED, pairing_payload(pairing))

    def believe(self, votes: int = 5, *, stop: bool = False, p_best: float = 0.7) -> None:
        seed, best, other = self.candidates
        standings = (
            Standing(best.id, 0.72, 0.55, 0.86, p_best, votes),
            Standing(other.id, 0.41, 0.2, 0.64, 0.1, 2),
            Standing(seed.id, 0.5, 0.5, 0.5, 0.2, votes),
        )
        reason = "Twenty more votes would change little." if stop else "Twenty more votes may help."
        self.store.put_belief(Belief(self.store.last_seq(), votes, best.id, standings, stop, reason))
