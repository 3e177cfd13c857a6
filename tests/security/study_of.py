"""A study whose every text is given, hostile or harmless."""

from collections.abc import Sequence
from typing import Any

from palate.errors import InputError
from palate.store import (
    EventKind,
    Store,
    candidates_payload,
    inputs_payload,
    pairing_payload,
)
from palate.types import (
    Ballot,
    Belief,
    Candidate,
    Input,
    Lineage,
    Pairing,
    Response,
    Standing,
    Verdict,
    canonical_json,
)

__all__ = ["as_chat", "as_table", "fill"]


def as_table(texts: Sequence[str]) -> Response:
    """A table whose names and cells are the texts."""
    return Response(
        "table", canonical_json({"columns": list(texts[:2]), "rows": [[text, 1] for text in texts]})
    )


def as_chat(texts: Sequence[str]) -> Response:
    """A chat whose turns are the texts."""
    roles = ("user", "assistant")
    return Response(
        "chat",
        canonical_json([{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]),
    )


def fill(store: Store, texts: Sequence[str], kind: str = "text") -> None:
    """Put the texts into every field of a study that any page shows.

    Args:
        store: An empty one.
        texts: Candidates, inputs, answers, reasons, judges, comments and, joined, title and guidelines.
        kind: Of the responses: ``text``, ``table`` or ``chat``.
    """
    joined = "\n\n".join(text[:2_000] for text in texts)
    settings: dict[str, Any] = {"study": {"name": joined.replace("\n", " ")}, "budget": {"votes": 1}}
    store.append(EventKind.STUDY_CREATED, {"config": "", "settings": settings, "guidelines": joined})
    inputs = [Input(f"i{n}", text, (text,), {"column": text}) for n, text in enumerate(texts)]
    store.append(EventKind.INPUTS_ADDED, inputs_payload(inputs))
    candidates: list[Candidate] = []
    for number, text in enumerate(texts):
        parents = (candidates[0].id,) if candidates else ()
        lineage = Lineage(text[:200] or "seed", parents, text[:200], {"reason": text[:200], "operator": text})
        demonstrations = [{"input": text, "output": text}]
        candidates.append(
            Candidate.make(f"{number}. {text}", parts={"demonstrations": demonstrations}, lineage=lineage)
        )
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload(candidates))
    _vote(store, texts, candidates, kind)
    first, last = candidates[0].id, candidates[-1].id
    failed = [
        {"candidate_id": candidate.id, "input_id": "i0", "reason": text}
        for candidate, text in zip(candidates, texts, strict=True)
    ]
    store.append_many([(EventKind.RESPONSE_FAILED, payload) for payload in failed])
    standings = tuple(Standing(candidate.id, 0.6, 0.4, 0.8, 0.1, 1) for candidate in candidates)
    store.put_belief(Belief(store.last_seq(), 1, last, standings, False, joined[:2_000]))
    store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": candidates[1].id, "reason": texts[1]})
    assert first != last


def _vote(store: Store, texts: Sequence[str], candidates: Sequence[Candidate], kind: str) -> None:
    """A vote on each text by a judge of that name where such a name is taken, and one open pairing."""
    opened: list[tuple[EventKind, Any]] = []
    for number, text in enumerate((*texts, texts[0])):
        other = texts[(number + 1) % len(texts)]
        sides = [Response("text", text), Response("text", other)]
        if kind != "text":
            sides = [(as_table if kind == "table" else as_chat)([text, other, text]), as_chat([other])]
        hashes = [
            store.put_response(f"{number % 3}-{side}", made) if number < 3 or kind != "text" else ""
            for side, made in enumerate(sides)
        ]
        hashes = hashes if all(hashes) else [pairing_hash(opened, side) for side in range(2)]
        one, two = candidates[number % len(texts)], candidates[(number + 1) % len(texts)]
        pairing = Pairing(f"p{number}", f"i{number % len(texts)}", one.id, two.id, *hashes)
        opened.append((EventKind.PAIRING_OPENED, pairing_payload(pairing)))
    store.append_many(opened)
    for number, text in enumerate(texts):
        try:
            (duel,) = store.open_duels(text[:200], 1)
            judge = text[:200]
        except InputError:
            judge = f"judge {number}"
            (duel,) = store.open_duels(judge, 1)
        verdict = (Verdict.LEFT, Verdict.RIGHT, Verdict.TIE, Verdict.BOTH_BAD)[number % 4]
        store.vote(Ballot(duel.id, verdict, judge, f"key-{number:020}", 2.0, None, text[:2_000]))


def pairing_hash(opened: Sequence[tuple[EventKind, Any]], side: int) -> str:
    """The hash of a response of the first pairing, to use it again."""
    return opened[0][1][("first_response", "second_response")[side]]
