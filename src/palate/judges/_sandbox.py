"""Running a command that nobody trusts, shut in by the operating system.

The command gets namespaces of its own from bubblewrap: no network, no processes but its own, a system that
it can only read, an empty private ``/tmp``, no home, no environment. What it must not use of the kernel is
refused by a filter of system calls. Memory, processor time, processes, sizes of files and time are limited,
and when it ends, or whoever started it does, everything that it started ends with it.

There is no weaker way: where the operating system cannot do all of this, nothing is run.
"""

import asyncio
import json
import os
import platform
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

from palate.errors import ConfigError

__all__ = ["Ended", "Limits", "check_folder", "run_shut_in", "why_not"]

Cause: TypeAlias = Literal["ended", "time", "memory", "output", "never started"]

_NOBODY = 65534
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache")
_FORBIDDEN = ("/", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var")
_OPEN_FILES = 64
_LOOK = 0.05  # seconds between two looks at how much memory is in use
_SAID = 2_000  # bytes at the end of what a command says of its failure
_PIECE = 65_536

# System calls that no check needs and that reach far into the kernel, by machine: tracing and reading other
# processes, keys, mounts and namespaces, modules, io_uring, and memory that the limits do not see.
_REFUSED: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        (
            101, 310, 311, 312, 438,  # ptrace, process_vm_readv/writev, kcmp, pidfd_getfd
            248, 249, 250,  # add_key, request_key, keyctl
            155, 165, 166, 272, 304, 308, 428, 429, 430, 431, 432, 433, 442,  # mounts, unshare, setns
            163, 167, 169, 175, 176, 179, 246, 313, 320,  # acct, swapon, reboot, modules, quotactl, kexec
            103, 298, 321, 323, 425, 426, 427,  # syslog, perf, bpf, userfaultfd, io_uring
            29, 64, 68, 319, 447,  # shmget, semget, msgget, memfd_create, memfd_secret
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            117, 270, 271, 272, 438,
            217, 218, 219,
            41, 40, 39, 97, 265, 268, 428, 429, 430, 431, 432, 433, 442,
            89, 224, 142, 105, 106, 60, 104, 273, 294,
            116, 241, 280, 282, 425, 426, 427,
            194, 190, 186, 279, 447,
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may use.

    Args:
        seconds: Of time, and of processor time for each process.
        memory: Bytes, for each process and, with its private files, for all together.
        processes: At the same time, threads counted.
        most_bytes: Of output, and of each file that it writes.

    Raises:
        ConfigError: A number out of its range.
    """

    seconds: float = 10.0
    memory: int = 512_000_000
    processes: int = 32
    most_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if not 0.0 < self.seconds <= 3_600.0:
            raise ConfigError(f"seconds is {self.seconds!r}; it is above 0 and at most 3600")
        for name, least in (("memory", 16_000_000), ("processes", 2), ("most_bytes", 1_000)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is at least {least:,}")


class Ended(NamedTuple):
    """How a command ended: its status when it ended by itself, what it wrote, and the end of its errors."""

    cause: Cause
    status: int | None
    output: bytes
    said: str


async def run_shut_in(
    argv: Sequence[str],
    data: bytes,
    *,
    files: Mapping[str, bytes],
    limits: Limits,
    folders: Sequence[str] = (),
    place: str = "/tmp",
) -> Ended:
    """Run a command with nothing but what it is given.

    Args:
        argv: The program and its arguments; the program is looked up in the system's own folders.
        data: What it reads on its standard input.
        files: What else it can read, by absolute path.
        limits: Beyond which it is stopped.
        folders: Further folders that it can read.
        place: Where it runs.

    Returns:
        How it ended. The status comes from outside the sandbox; nothing that the command writes changes it.
    """
    with ExitStack() as open_files:
        status_read, status_write = os.pipe()
        report = open_files.enter_context(os.fdopen(status_read, "rb"))
        writing = open_files.enter_context(os.fdopen(status_write, "wb"))
        rules = open_files.enter_context(_as_file(_filter()))
        given = {path: open_files.enter_context(_as_file(content)) for path, content in files.items()}
        words = [
            *_walls(given, folders, limits, place),
            *("--seccomp", str(rules.fileno()), "--json-status-fd", str(status_write), "--"),
            *_limited(limits),
            *argv,
        ]
        root = os.geteuid() == 0
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={},
            start_new_session=True,
            pass_fds=(rules.fileno(), status_write, *(file.fileno() for file in given.values())),
            # Nobody, so that a way out of the sandbox would still not lead to root.
            user=_NOBODY if root else None,
            group=_NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        writing.close()
        cause, output, said = await _attended(process, data, limits)
        status = _status(report.read())
        if cause == "ended" and status is None:
            cause = "never started"
        return Ended(cause, status if cause == "ended" else None, output, said)


@cache
def why_not() -> str:
    """Why nothing can be run here; empty when everything that is needed works."""
    if sys.platform != "linux":
        return "it needs Linux: elsewhere there is no bubblewrap"
    if platform.machine() not in _REFUSED:
        return f"its filter of system calls is not written for {platform.machine()!r}"
    for program, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux")):
        if shutil.which(program) is None:
            return f"the program {program!r} is missing; install it with: apt-get install {package}"
    try:
        # In a thread, since the caller's may have an event loop already.
        with ThreadPoolExecutor(1) as thread:
            tried = thread.submit(
                lambda: asyncio.run(run_shut_in(["true"], b"", files={}, limits=Limits()))
            ).result()
    except (OSError, RuntimeError) as error:
        return f"bubblewrap could not be started: {error}"
    if tried.status == 0:
        return ""
    return f"bubblewrap cannot make its namespaces here: {tried.said or tried.cause}"


def check_folder(folder: str) -> str:
    """Make sure that a folder that a sandbox may read is no private one.

    Raises:
        ConfigError: It is not absolute, or holds what the sandbox is to keep out.
    """
    real = Path(folder).resolve()
    private = {*_FORBIDDEN, str(Path.home().resolve()), *map(str, Path.home().resolve().parents)}
    if not Path(folder).is_absolute() or str(real) in private or not real.is_dir():
        raise ConfigError(
            f"folder {folder!r} cannot be shown to a sandbox; name a folder of programs such as '/opt/node', "
            "never one that holds private files"
        )
    return str(real)


def _walls(
    given: Mapping[str, IO[bytes]], folders: Sequence[str], limits: Limits, place: str
) -> Iterator[str]:
    """Bubblewrap's arguments, but for the channels."""
    yield from (shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--disable-userns")
    yield from ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv")
    yield from ("--uid", str(_NOBODY), "--gid", str(_NOBODY), "--hostname", "sandbox")
    for path in _SYSTEM:
        if Path(path).is_symlink():
            yield from ("--symlink", str(Path(path).readlink()), path)
        else:
            yield from ("--ro-bind-try", path, path)
    for path in (*_SETTINGS, *folders):
        yield from ("--ro-bind-try", path, path)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in ("/dev/shm", "/tmp"):
        yield from ("--size", str(limits.memory // 4), "--tmpfs", path)
    yield from ("--dir", place)
    for path, file in given.items():
        yield from ("--perms", "0444", "--ro-bind-data", str(file.fileno()), path)
    # Bubblewrap's own root and /dev are memory without a limit as long as they can be written to.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", place)
    for name, value in (("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")):
        yield from ("--setenv", name, value)


def _limited(limits: Limits) -> list[str]:
    """Limits on each process. They are set inside, where only the sandbox's own processes are counted."""
    import resource

    wanted = {
        "as": (resource.RLIMIT_AS, limits.memory),
        "cpu": (resource.RLIMIT_CPU, int(limits.seconds) + 1),
        "fsize": (resource.RLIMIT_FSIZE, limits.most_bytes),
        "nofile": (resource.RLIMIT_NOFILE, _OPEN_FILES),
        "nproc": (resource.RLIMIT_NPROC, limits.processes),
        "core": (resource.RLIMIT_CORE, 0),
    }
    words = ["prlimit"]
    for name, (kind, most) in wanted.items():
        hard = resource.getrlimit(kind)[1]
        words.append(f"--{name}={most if hard == resource.RLIM_INFINITY else min(most, hard)}")
    return [*words, "--"]


def _filter() -> bytes:
    """The system-call filter, as a classic BPF program: the machine first, then one comparison a call."""
    machine, numbers = _REFUSED[platform.machine()]
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06
    count = len(numbers)
    program = [
        (load, 0, 0, 4),
        (equal, 0, count + 4, machine),  # another instruction set has other numbers
        (load, 0, 0, 0),
        (above, count + 2, 0, 0x4000_0000),  # x32, a second numbering of the same calls
        *((equal, count - place, 0, number) for place, number in enumerate(numbers)),
        (give, 0, 0, 0x7FFF_0000),
        (give, 0, 0, 0x0005_0000 | 1),  # EPERM
        (give, 0, 0, 0x8000_0000),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in program)


def _as_file(content: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's stack closes it
    file.write(content)
    file.flush()
    file.seek(0)
    return file


async def _attended(
    process: asyncio.subprocess.Process, data: bytes, limits: Limits
) -> tuple[Cause, bytes, str]:
    """Feed and read a command until it ends or goes over a limit; then nothing of it is left."""
    output, said, full = bytearray(), bytearray(), asyncio.Event()
    work: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(_feed(process, data)),
        asyncio.ensure_future(_keep_end(process, said)),
        asyncio.ensure_future(_read(process, output, limits.most_bytes, full)),
    ]
    filling = asyncio.ensure_future(full.wait())
    watching = asyncio.ensure_future(_too_much_memory(process.pid, limits.memory))
    ending = asyncio.ensure_future(process.wait())
    cause: Cause = "ended"
    try:
        async with asyncio.timeout(limits.seconds):
            await asyncio.wait({watching, ending, filling}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                cause = "memory" if watching.done() else "output"
    except TimeoutError:
        cause = "time"
    finally:
        watching.cancel()
        await _stop(process)
        await asyncio.gather(*work, ending, return_exceptions=True)
        filling.cancel()
    if full.is_set():
        cause = "output"
    text = said.decode("utf-8", "replace").strip()
    return cause, bytes(output), "".join(c if c.isprintable() else " " for c in text)[-300:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the sandbox's first process, and with it every other one, wherever it hid."""
    if process.returncode is not None:
        return
    with suppress(OSError):
        for inner in _children(process.pid):
            os.kill(inner, signal.SIGKILL)
    try:
        async with asyncio.timeout(1.0):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()  # what is inside dies with it


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # a command need not read
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _read(process: asyncio.subprocess.Process, into: bytearray, most: int, full: asyncio.Event) -> None:
    """Read what a command writes, and tell when it is more than it may write; the rest is thrown away."""
    assert process.stdout is not None
    while piece := await process.stdout.read(_PIECE):
        into += piece
        if len(into) > most:
            del into[most:]
            full.set()


async def _keep_end(process: asyncio.subprocess.Process, into: bytearray) -> None:
    assert process.stderr is not None
    while piece := await process.stderr.read(_PIECE):
        into += piece
        del into[:-_SAID]


async def _too_much_memory(pid: int, most: int) -> None:
    """Return once all processes of the sandbox together use more than they may."""
    while _resident(pid) <= most:
        await asyncio.sleep(_LOOK)


def _resident(pid: int) -> int:
    """Bytes in use by a process and all that descend from it; orphans stay below the sandbox's first one."""
    total, left = 0, [pid]
    page = os.sysconf("SC_PAGE_SIZE")
    while left:
        place = Path("/proc") / str(left.pop())
        with suppress(OSError, ValueError, IndexError):  # it may have ended meanwhile
            total += page * int((place / "statm").read_text().split()[1])
            left += _children(int(place.name))
    return total


def _children(pid: int) -> list[int]:
    tasks = (Path("/proc") / str(pid) / "task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _status(report: bytes) -> int | None:
    """The exit status that bubblewrap reports; ``None`` when the command was never started."""
    for line in report.splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and isinstance(told.get("exit-code"), int):
                return told["exit-code"]
    return None
