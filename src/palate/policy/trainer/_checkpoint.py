"""Checkpoints that appear whole or not at all: safetensors and JSON, with a marker written last.

A checkpoint is a folder. It is written under another name, every file is forced to disk, the marker lists the
size and the SHA-256 of each, and the folder is renamed. One without its marker was never finished; one whose
files differ from their marker is damaged; neither is taken. Nothing is a pickle, and no pickle is read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from palate.errors import InputError, StoreError
from palate.extras import require
from palate.policy._torch import Tensor

__all__ = [
    "MARKER",
    "damage",
    "newest_checkpoint",
    "read_json",
    "read_tensors",
    "refuse_missing",
    "refuse_pickles",
    "unreadable",
    "write_folder",
    "write_tensors",
]

MARKER: Final = "complete.json"
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_BLOCK = 1 << 20


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Write a folder whole or not at all, replacing one of the same name.

    Args:
        target: The folder.
        fill: Writes files into the folder that it is given; :data:`MARKER` is added.

    Raises:
        StoreError: The disk is full or not writable.
    """
    work = target.with_name(f".part-{target.name}")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        fill(work)
        files = {
            str(file.relative_to(work)): _described(file)
            for file in sorted(work.rglob("*"))
            if file.is_file()
        }
        (work / MARKER).write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
        _to_disk(work / MARKER)
        _to_disk(work)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
        _to_disk(target.parent)
    except OSError as error:
        raise StoreError(
            f"{target} could not be written: {error}; free some space and run it again"
        ) from error


def damage(folder: Path) -> str:
    """What is wrong with a folder of :func:`write_folder`; empty if nothing is."""
    marker = folder / MARKER
    if not marker.is_file():
        return f"it has no {MARKER}, so it was never finished"
    try:
        files = json.loads(marker.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError) as error:
        return f"{MARKER} cannot be read: {error}"
    for name, wanted in files.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != wanted["bytes"]:
            return f"{name} has {file.stat().st_size:,} bytes instead of {wanted['bytes']:,}"
        if _sha256(file) != wanted["sha256"]:
            return f"the content of {name} is not what was written"
    return ""


def newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint ``step-N`` in a folder, and what is wrong with newer ones.

    Raises:
        InputError: There are checkpoints and all are damaged.
    """
    found = sorted(folder.glob("step-*"), reverse=True)
    notes: list[str] = []
    for checkpoint in found:
        wrong = damage(checkpoint)
        if not wrong:
            return checkpoint, notes
        notes.append(f"{checkpoint.name} was not taken: {wrong}")
    if found:
        raise InputError(
            f"no checkpoint in {folder} is whole ({'; '.join(notes)}); copy one back, or train into another "
            "folder to begin again"
        )
    return None, notes


def refuse_pickles(path: Path) -> None:
    """Refuse weights that are pickles, which run code when they are read.

    Raises:
        InputError: The path is such a file, or a folder that has some and no safetensors.
    """
    files = [path] if path.is_file() else sorted(path.glob("*"))
    pickles = [file.name for file in files if file.suffix in _PICKLES]
    if pickles and not any(file.suffix == ".safetensors" for file in files):
        raise InputError(
            f"{path} holds its weights as a pickle ({', '.join(pickles)}), which could run any code when it "
            "is read, so it is refused; convert it to safetensors where you trust it "
            "(save_pretrained writes them), and give that"
        )


def refuse_missing(told: Mapping[str, Any], folder: Path) -> None:
    """Refuse a model some of whose weights are not in its files; transformers would draw them at random.

    Args:
        told: What transformers tells of a load.
        folder: Of the model.

    Raises:
        InputError: Weights are missing.
    """
    missing = sorted(told["missing_keys"])
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} weights of its model, first {missing[0]!r}; copy it again, or "
            "give a folder with all of them"
        )


def unreadable() -> type[Exception]:
    """What the reader of safetensors raises on a file that is cut off, or something else."""
    return require("safetensors", "train", "training").SafetensorError


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; each is copied, so that shared ones do not matter."""
    save = require("safetensors.torch", "train", "training").save_file
    save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, str(file))


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read safetensors.

    Raises:
        InputError: The file is cut off, or something else.
    """
    load = require("safetensors.torch", "train", "training").load_file
    refuse_pickles(file)
    try:
        return load(str(file))
    except (OSError, unreadable()) as error:
        raise InputError(f"{file} cannot be read as safetensors: {error}") from error


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file is something else.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def _described(file: Path) -> dict[str, int | str]:
    _to_disk(file)
    return {"bytes": file.stat().st_size, "sha256": _sha256(file)}


def _sha256(file: Path) -> str:
    hasher = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def _to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
