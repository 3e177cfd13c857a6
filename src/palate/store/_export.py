"""Votes in the formats of other tools: atomic, in the same order every time, and honest about ties."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from palate.errors import ConfigError, nearest
from palate.store._content import load_responses
from palate.store._events import EventKind, StoredEvent
from palate.store._export_files import check_target, write_file, write_sidecar
from palate.store._export_hf import write_folder
from palate.store._export_rows import (
    CSV_COLUMNS,
    Preference,
    arena_row,
    cells,
    conversational_row,
    csv_line,
    openai_row,
    preferences,
    standard_row,
)
from palate.store._export_votes import Votes
from palate.store._store import Store
from palate.types import Verdict

__all__ = ["EXPORT_FORMATS", "EXPORT_SCHEMA", "ExportReport", "export"]

EXPORT_FORMATS = ("trl", "trl-conversational", "openai-dpo", "arena", "jsonl", "csv", "hf")
# Raised whenever a reader of an earlier export could be misled.
EXPORT_SCHEMA = 2

Ties = Literal["drop", "both"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds, and what it leaves out.

    Args:
        path: The file or folder.
        format: One of :data:`EXPORT_FORMATS`.
        schema: Version of the format.
        seq: The last event that was taken into account.
        rows: Rows written (lines of events for ``jsonl``).
        votes: Votes that count, of every verdict, those on planted duels left out.
        ties: How many of them are ties.
        ties_as: What became of the ties: ``"drop"``, ``"both"`` or ``"kept"``.
        both_bad: How many say that both were bad.
        skipped: How many say nothing (skips and failures).
        identical: Wins and ties left out because both answers had the same text.
        sha256: Hash of the file; of the data file for ``hf``.
        planted: Votes on gold duels and repeats; only ``csv`` and ``jsonl`` hold them, marked.
    """

    path: Path
    format: str
    schema: int
    seq: int
    rows: int
    votes: int
    ties: int
    ties_as: str
    both_bad: int
    skipped: int
    identical: int
    sha256: str
    planted: int = 0

    def __str__(self) -> str:
        """One line for people; also the comment of the sidecar."""
        return (
            f"palate export {self.format} schema {self.schema}: {self.rows} rows from {self.votes} votes "
            f"up to event {self.seq}; {self.ties} ties ({self.ties_as}), {self.both_bad} both bad, "
            f"{self.skipped} skipped, {self.identical} with identical answers, {self.planted} planted"
        )


def export(
    store: Store,
    format: str,
    path: str | Path,
    *,
    ties: str = "drop",
    names: bool = False,
) -> ExportReport:
    """Write the votes of a study in the format of another tool.

    The study can be voted on meanwhile; the export is the study as it was when it began.

    Args:
        store: The study.
        format: One of :data:`EXPORT_FORMATS`.
        path: The file, or for ``hf`` the folder; ``PATH.sha256`` is written beside it. What was there is
            replaced in one step.
        ties: What becomes of ties in formats that know only winners: ``"drop"`` leaves them out, ``"both"``
            writes one row each way. ``arena``, ``csv`` and ``jsonl`` keep them whatever is said here.
        names: Keep the judges' names instead of ``judge-1``, ``judge-2``. ``jsonl`` always has them: the
            chain of hashes covers them.

    Returns:
        What was written and what was left out.

    Raises:
        ConfigError: The format or ``ties`` is unknown.
        InputError: The study compares pictures, and the format holds texts only.
        MissingExtraError: ``hf`` without the package ``datasets``.
        StoreError: It cannot be written; what was there before is untouched.
    """
    if format not in EXPORT_FORMATS:
        raise ConfigError(f"no export format {format!r}; {nearest(format, EXPORT_FORMATS)}")
    if ties not in ("drop", "both"):
        raise ConfigError(f"ties is {ties!r}; {nearest(ties, ('drop', 'both'))}")
    target = Path(path).expanduser().absolute()
    check_target(target, folder=format == "hf")
    work = _Export(store, format, target, both=ties == "both", names=names)
    report = work.run()
    write_sidecar(target, str(report), work.sums)
    return report


class _Export:
    """One run: the stream of rows, and what was counted while they went by."""

    def __init__(self, store: Store, format_: str, target: Path, *, both: bool, names: bool) -> None:
        self.sums: list[tuple[str, str]] = []
        self._store = store
        self._format = format_
        self._target = target
        self._both = both
        self._seq = store.last_seq()
        self._votes = Votes(store, self._seq, names=names, pictures=format_ in ("csv", "jsonl"))
        self._rows = 0
        self._identical = 0

    def run(self) -> ExportReport:
        """Write everything but the sidecar."""
        if self._format == "hf":
            self.sums = write_folder(self._target, self._preferences(), self._card)
            data = next(value for value, name in self.sums if name.endswith(".arrow"))
        else:
            data = write_file(self._target, self._pieces())
            self.sums = [(data, self._target.name)]
        return self._report(data)

    def _pieces(self) -> Iterator[bytes]:
        if self._format == "jsonl":
            return self._event_lines()
        if self._format == "csv":
            return self._csv_lines()
        if self._format == "arena":
            return self._arena_lines()
        return self._preference_lines(_PREFERENCE_ROWS[self._format])

    def _preferences(self) -> Iterator[Preference]:
        for vote in self._votes:
            found = list(preferences(vote, both=self._both))
            decided = (Verdict.LEFT, Verdict.RIGHT, Verdict.TIE)
            self._identical += vote.left == vote.right and vote.verdict in decided and not vote.planted
            self._rows += len(found)
            yield from found

    def _preference_lines(self, row: Callable[[Preference], dict[str, Any]]) -> Iterator[bytes]:
        for preference in self._preferences():
            yield _line(row(preference))

    def _arena_lines(self) -> Iterator[bytes]:
        for vote in self._votes:
            row = arena_row(vote)
            if row is not None:
                self._rows += 1
                yield _line(row)

    def _csv_lines(self) -> Iterator[bytes]:
        # The mark at the start is what makes spreadsheets read UTF-8 as such.
        yield b"\xef\xbb\xbf" + cells(list(CSV_COLUMNS)).encode()
        for vote in self._votes:
            self._rows += 1
            yield csv_line(vote).encode()

    def _event_lines(self) -> Iterator[bytes]:
        yield _line(
            {"type": "header", "format": "palate-events", "schema": EXPORT_SCHEMA, "events": self._seq}
        )
        told: set[str] = set()
        for event in self._store.events(limit=self._seq):
            yield from self._response_lines(event, told)
            self._rows += 1
            # A comment's words lie beside the payload, as in the store: the chain does not cover them.
            beside = {} if event.comment is None else {"comment": event.comment}
            yield _line(
                {
                    "type": "event",
                    "seq": event.seq,
                    "at": event.at,
                    "kind": event.kind.value,
                    "actor": event.actor,
                    "payload": event.payload,
                    "hash": event.hash,
                    **beside,
                }
            )
        for _ in self._votes:
            # Counted only: the report states ties and skips for every format.
            pass

    def _response_lines(self, event: StoredEvent, told: set[str]) -> Iterator[bytes]:
        fresh = _shown_first(event) - told
        if not fresh:
            return
        told |= fresh
        with self._store.reading() as connection:
            found = load_responses(connection, fresh)
        for address in sorted(found):
            response = found[address]
            yield _line(
                {
                    "type": "response",
                    "hash": address,
                    "kind": response.kind,
                    "content": response.content,
                    "seconds": response.seconds,
                    "cost": response.cost,
                }
            )

    def _card(self) -> str:
        report = self._report("")
        return (
            "---\npretty_name: Preferences collected with Palate\ntags:\n- preference\n- dpo\n"
            f"size_categories:\n- {_size(report.rows)}\n---\n\n# Preferences collected with Palate\n\n"
            f"{report.rows} rows from {report.votes} votes up to event {report.seq} "
            f"(schema {report.schema}).\n\n"
            f"- ties: {report.ties} ({report.ties_as})\n- both bad: {report.both_bad}, left out\n"
            f"- skipped: {report.skipped}, left out\n- identical answers: {report.identical}, left out\n"
            f"- planted duels: {report.planted}, left out\n\n"
            "`prompt` is the input that both answers reply to; `chosen` and `rejected` are the answers. "
            "`chosen_candidate` and `rejected_candidate` name the prompts that led to them.\n"
        )

    def _report(self, sha256: str) -> ExportReport:
        counts: Mapping[Verdict, int] = self._votes.counts
        known_to_format = self._format in ("arena", "csv", "jsonl")
        return ExportReport(
            path=self._target,
            format=self._format,
            schema=EXPORT_SCHEMA,
            seq=self._seq,
            rows=self._rows,
            votes=sum(counts.values()),
            ties=counts[Verdict.TIE],
            ties_as="kept" if known_to_format else ("both" if self._both else "drop"),
            both_bad=counts[Verdict.BOTH_BAD],
            skipped=counts[Verdict.SKIP] + counts[Verdict.FAILED],
            identical=self._identical,
            sha256=sha256,
            planted=self._votes.planted,
        )


_PREFERENCE_ROWS: Mapping[str, Callable[[Preference], dict[str, Any]]] = {
    "trl": standard_row,
    "trl-conversational": conversational_row,
    "openai-dpo": openai_row,
}


def _shown_first(event: StoredEvent) -> set[str]:
    """The texts that an event names for the first time."""
    if event.kind is EventKind.PAIRING_OPENED:
        return {event.payload["first_response"], event.payload["second_response"]}
    if event.kind is EventKind.GOLD_ADDED:
        return {gold[name] for gold in event.payload["gold"] for name in ("better", "worse")}
    return set()


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # A lone surrogate in the full truth: escaped, it survives the way to the file and back.
        return (json.dumps(row) + "\n").encode()


def _size(rows: int) -> str:
    for bound, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if rows < bound:
            return name
    return "100K<n<1M"
