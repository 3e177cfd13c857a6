"""A disk that fails, fills up and loses power, below SQLite, and a study put through all of it.

:class:`FaultyDisk` is a file layer (VFS) that every study opened meanwhile runs on. It writes through to real
files and keeps beside them what the disk would still have if the power went now: what was synced, and of what
was not any part in any order, torn at sectors of 512 bytes.
"""

import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import apsw

from palate.errors import StoreError
from palate.store import Store, StudyState, open_store
from palate.testing._stores import ballot_on, fill_study
from palate.types import Duel

__all__ = ["Fault", "FaultReport", "FaultyDisk", "fault_storm"]

SECTOR = 512
_SUFFIXES = ("", "-wal", "-journal")
_AFTERWARDS = 3  # votes that are cast once the fault has passed
_JUDGE = "anna"


class Fault(StrEnum):
    """What can go wrong."""

    FAILED = "failed"
    """Any operation returns an input/output error."""
    SHORT = "short"
    """A write stores its first half and then fails."""
    FULL = "full"
    """A write that needs room finds none, and so do all after it until :meth:`FaultyDisk.clear`."""
    UNSYNCED = "unsynced"
    """A sync fails, and the system forgets that the pages still had to be written."""
    POWER = "power"
    """The power goes: nothing works any more."""


class _Image:
    """What one file would be after a power cut: synced bytes, and writes that may or may not be there."""

    def __init__(self, content: bytes, *, named: bool) -> None:
        self.synced = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []  # offset and data; no data cuts the file there
        self.named = named  # whether the folder's entry is on the disk

    def sync(self) -> None:
        for offset, data in self.pending:
            _put(self.synced, offset, data)
        self.pending, self.named = [], True

    def forget(self, draws: random.Random) -> None:
        """Write back some of what is pending, and never try the rest again."""
        self.synced, self.pending = self.after_cut(draws), []

    def after_cut(self, draws: random.Random) -> bytearray:
        """One of the files that could be left."""
        left = bytearray(self.synced)
        pieces = [piece for write in self.pending for piece in _sectors(*write)]
        keep = draws.choice((0.0, 0.5, 0.9))
        kept = [piece for piece in pieces if draws.random() < keep]
        draws.shuffle(kept)
        for offset, data in kept:
            _put(left, offset, data)
        return left


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    if data is None:
        return [(offset, None)]
    first = SECTOR - offset % SECTOR
    cuts = [0, *range(first, len(data), SECTOR), len(data)]
    return [(offset + a, data[a:b]) for a, b in pairwise(cuts) if a < b]


class FaultyDisk:
    """A disk below every study that this process opens inside the ``with`` block.

    Args:
        seed: Draws what is left of unsynced writes.

    Attributes:
        operations: How many there were since the last :meth:`strike`.
        struck: The operation at which the fault happened, 0 before.
        dead: Whether the power is gone.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with FaultyDisk(0) as disk, open_store(f"{folder.name}/study.db") as store:
        ...     disk.strike(Fault.FULL, 1)
        ...     try:
        ...         store.append("study_closed", {"reason": "done"})
        ...     except StoreError as error:
        ...         print("the disk is full" in str(error))
        True
        >>> folder.cleanup()
    """

    def __init__(self, seed: int = 0) -> None:
        self.operations = 0
        self._draws = random.Random(seed)
        self._lock = threading.RLock()
        self._images: dict[str, _Image] = {}
        self._fault: Fault | None = None
        self._at = 0
        self.struck = 0
        self.dead = False
        self._layer: apsw.VFS | None = None

    def __enter__(self) -> "FaultyDisk":
        self._layer = _Layer(self, apsw.vfs_names()[0])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
        if self._layer is not None:
            self._layer.unregister()

    def strike(self, fault: Fault, at: int) -> None:
        """Let a fault happen at the ``at``-th operation from now, or the first after it that can have it."""
        with self._lock:
            self._fault, self._at, self.struck = fault, at, 0
            self.operations = 0

    def clear(self) -> None:
        """All is well again, and there is room on the disk."""
        with self._lock:
            self._fault = None

    def left_after_power_cut(self, path: Path, copy: Path) -> None:
        """Write the files that could be left of a study if the power went now, under another name.

        Args:
            path: The study.
            copy: Where to put what is left; files of that name are replaced.
        """
        with self._lock:
            for suffix in _SUFFIXES:
                target = copy.with_name(copy.name + suffix)
                target.unlink(missing_ok=True)
                image = self._images.get(os.path.realpath(path) + suffix)
                if image is not None and (image.named or self._draws.random() < 0.5):
                    target.write_bytes(image.after_cut(self._draws))
            copy.with_name(copy.name + "-shm").unlink(missing_ok=True)

    # What the file layer reports

    def opened(self, name: str) -> None:
        """A file was opened, or made."""
        with self._lock:
            if name not in self._images:
                content = Path(name).read_bytes()
                self._images[name] = _Image(content, named=bool(content))

    def removed(self, name: str, *, at_once: bool) -> None:
        """A file was deleted; unless its folder was synced it may come back."""
        with self._lock:
            image = self._images.get(name)
            if image is not None and (at_once or not image.named):
                del self._images[name]

    def step(self, *also: Fault) -> Fault | None:
        """Count an operation; returns the fault that it has, if any.

        Raises:
            apsw.IOError: It fails like any operation can.
        """
        with self._lock:
            self.operations += 1
            if self.dead:
                raise _io_error("the power is gone")
            now = self._fault
            fits = now in (Fault.FAILED, Fault.POWER, *also)
            if fits and not self.struck and self.operations >= self._at:
                self.struck = self.operations
                self.dead = now is Fault.POWER
                if now in (Fault.FAILED, Fault.POWER):
                    raise _io_error(f"operation {self.operations} {now}")
            if not fits or not self.struck:
                return None
            if now is Fault.FULL:
                raise _full_error()
            return now if self.struck == self.operations else None

    def wrote(self, name: str, offset: int, data: bytes | None) -> None:
        """A write or a truncation went through to the file."""
        with self._lock:
            self._images[name].pending.append((offset, data))

    def synced(self, name: str, *, well: bool) -> None:
        """A file was synced, or that failed."""
        with self._lock:
            if well:
                self._images[name].sync()
            else:
                self._images[name].forget(self._draws)


class _File(apsw.VFSFile):
    def __init__(
        self, disk: FaultyDisk, base: str, name: "str | apsw.URIFilename | None", flags: list[int]
    ) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        # Files without a name are SQLite's own scratch paper.
        self._name = "" if name is None else name if isinstance(name, str) else name.filename()
        if self._name:
            disk.opened(self._name)

    def xRead(self, amount: int, offset: int) -> bytes:
        if self._name:
            self._disk.step()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._name:
            super().xWrite(data, offset)
            return
        written = bytes(data)
        # What is there already has its room: a full disk refuses growth only.
        grows = offset + len(data) > self.xFileSize()
        if self._disk.step(Fault.SHORT, *((Fault.FULL,) if grows else ())) is Fault.SHORT:
            written = written[: len(written) // 2]
        super().xWrite(written, offset)
        self._disk.wrote(self._name, offset, written)
        if len(written) < len(data):
            raise _full_error()

    def xTruncate(self, newsize: int) -> None:
        if self._name:
            self._disk.step()
            self._disk.wrote(self._name, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        if not self._name:
            super().xSync(flags)
            return
        failed = self._disk.step(Fault.UNSYNCED) is Fault.UNSYNCED
        self._disk.synced(self._name, well=not failed)
        if failed:
            raise _io_error("sync failed")


class _Layer(apsw.VFS):
    def __init__(self, disk: FaultyDisk, base: str) -> None:
        self._disk = disk
        self._base = base
        super().__init__(f"palate-faults-{id(disk)}", base, makedefault=True)

    def xOpen(self, name: "str | apsw.URIFilename | None", flags: list[int]) -> _File:
        return _File(self._disk, self._base, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._disk.step()
        super().xDelete(filename, syncdir)
        self._disk.removed(filename, at_once=syncdir)


def _io_error(why: str) -> apsw.IOError:
    error = apsw.IOError(why)
    vars(error).update(result=apsw.SQLITE_IOERR, extendedresult=apsw.SQLITE_IOERR)
    return error


def _full_error() -> apsw.FullError:
    error = apsw.FullError("no space left on the device")
    vars(error).update(result=apsw.SQLITE_FULL, extendedresult=apsw.SQLITE_FULL)
    return error


class FaultReport(NamedTuple):
    """What came of a study that was put through faults. The last five have to be 0 or empty.

    Args:
        runs: How many faults of each kind happened, each in a run of its own.
        sent: Votes that were sent.
        acknowledged: Those that were answered with a receipt.
        refused: Answers that said that the vote could not be stored.
        lost: Acknowledged votes that are not in the file, or not in what a power cut leaves of it.
        doubled: Votes that are there twice.
        stuck: Votes that were still refused, or reads that failed, once the fault had passed.
        unclear: Refusals that do not name the study.
        problems: What ``verify`` found.
        seconds: How long it took.
    """

    runs: Mapping[Fault, int]
    sent: int
    acknowledged: int
    refused: int
    lost: int
    doubled: int
    stuck: int
    unclear: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the store kept its promises."""
        return not (self.lost or self.doubled or self.stuck or self.unclear or self.problems)


def fault_storm(
    folder: Path,
    *,
    first: int = 1,
    last: int,
    step: int = 1,
    faults: tuple[Fault, ...] = tuple(Fault),
    seed: int = 0,
) -> FaultReport:
    """Let each fault happen once at each of many operations, and look at what is left each time.

    A run copies a study, opens it on a faulty disk and votes until the fault has happened; then the same
    ballot is sent again, as a browser would, and a few more. What is in the file afterwards, and what a power
    cut at that moment would leave of it, must hold every acknowledged vote once.

    Args:
        folder: An empty one on a local disk.
        first: The first operation that is struck, counted from the opening of the study.
        last: The last one.
        step: 1 strikes every operation that can have the fault, 10 goes on at least ten operations on.
        faults: Which ones.
        seed: Draws what is left of unsynced writes.
    """
    start = time.monotonic()
    original = folder / "original.db"
    duels = _prepare(original, last // 4 + 24)
    run = _Run(folder / "study.db", folder / "left.db", duels)
    for fault in faults:
        at = first
        while at <= last:
            shutil.copyfile(original, run.path)
            for suffix in ("-wal", "-shm", "-journal"):
                run.path.with_name(run.path.name + suffix).unlink(missing_ok=True)
            at = run.put_through(fault, at, seed) + step
    return run.report(time.monotonic() - start)


def _prepare(path: Path, count: int) -> list[Duel]:
    with open_store(path) as store:
        fill_study(store, count)
        return store.open_duels(_JUDGE, count, random.Random(0))


class _Run:
    """Runs on copies of one study, and their sums."""

    def __init__(self, path: Path, left: Path, duels: list[Duel]) -> None:
        self.path = path
        self.left = left
        self.duels = duels
        self.runs: Counter[Fault] = Counter()
        self.sums: Counter[str] = Counter()
        self.problems: list[str] = []

    def put_through(self, fault: Fault, at: int, seed: int) -> int:
        """One fault, at one operation or the first after it that can have it; returns which that was."""
        acknowledged: dict[str, int] = {}
        with FaultyDisk(seed + at) as disk:
            disk.strike(fault, at)
            try:
                with open_store(self.path, create=False) as store:
                    self._vote(store, disk, acknowledged)
                    disk.left_after_power_cut(self.path, self.left)
            except StoreError as error:
                self._refuse(error)
                disk.left_after_power_cut(self.path, self.left)
            if not disk.struck:
                raise AssertionError(f"the votes ended before operation {at}; prepare more")
            self.runs[fault] += 1
        self._reckon(self.left, acknowledged, f"{fault} {at}, power cut")
        if fault is not Fault.POWER:
            self._recover(acknowledged)
            self._reckon(self.path, acknowledged, f"{fault} {at}")
        return disk.struck

    def report(self, seconds: float) -> FaultReport:
        """The sums."""
        sums = self.sums
        return FaultReport(
            dict(self.runs),
            sums["sent"],
            sums["acknowledged"],
            sums["refused"],
            sums["lost"],
            sums["doubled"],
            sums["stuck"],
            sums["unclear"],
            tuple(self.problems),
            seconds,
        )

    def _vote(self, store: Store, disk: FaultyDisk, acknowledged: dict[str, int]) -> None:
        """Vote until the fault has happened, send again what it refused, and a few more."""
        more = _AFTERWARDS
        for duel in self.duels:
            if disk.struck and (more := more - 1) < 0:
                return
            self.sums["sent"] += 1
            if self._send(store, duel, acknowledged):
                continue
            if disk.dead:
                return
            self.sums["stuck"] += not _can_read(store)
            disk.clear()
            if not self._send(store, duel, acknowledged):
                self.sums["stuck"] += 1

    def _send(self, store: Store, duel: Duel, acknowledged: dict[str, int]) -> bool:
        ballot = ballot_on(duel)
        try:
            acknowledged[ballot.key] = store.vote(ballot).seq
        except StoreError as error:
            self._refuse(error)
            return False
        self.sums["acknowledged"] += 1
        return True

    def _refuse(self, error: StoreError) -> None:
        self.sums["refused"] += 1
        self.sums["unclear"] += repr(str(self.path)) not in str(error)

    def _recover(self, acknowledged: dict[str, int]) -> None:
        """The next start takes votes."""
        with open_store(self.path, create=False) as store:
            for duel in store.open_duels(_JUDGE, 1):
                self.sums["sent"] += 1
                self._send(store, duel, acknowledged)

    def _reckon(self, path: Path, acknowledged: dict[str, int], when: str) -> None:
        with open_store(path, create=False) as store:
            self.problems += [f"{when}: {problem}" for problem in store.verify()]
            votes = StudyState.replay(store.events()).votes
        there = {f"key-{vote.duel_id}": vote.seq for vote in votes}
        self.sums["lost"] += sum(there.get(key) != seq for key, seq in acknowledged.items())
        self.sums["doubled"] += len(votes) - len(there)


def _can_read(store: Store) -> bool:
    try:
        store.last_seq()
    except StoreError:
        return False
    return True
