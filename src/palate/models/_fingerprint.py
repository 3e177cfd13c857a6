"""Telling model files apart: part of the key under which a local model's answers are kept."""

import hashlib
from pathlib import Path

__all__ = ["fingerprint"]

_SAMPLES = 16
_SAMPLE = 1 << 16
_COUNTED = (".safetensors", ".json", ".gguf", ".jinja", ".model")


def fingerprint(path: Path) -> str:
    """Hash the size and sixteen blocks of each file, so that gigabytes need not be read.

    Args:
        path: A model file, or a folder with one; of a folder weights, configuration and tokeniser count.

    Returns:
        Twelve hexadecimal digits.
    """
    hasher = hashlib.sha256()
    files = [file for file in sorted(path.iterdir()) if file.suffix in _COUNTED] if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        hasher.update(f"{file.suffix}:{size};".encode())
        with file.open("rb") as opened:
            for part in range(_SAMPLES):
                opened.seek(max(0, size - _SAMPLE) * part // (_SAMPLES - 1))
                hasher.update(opened.read(_SAMPLE))
    return hasher.hexdigest()[:12]
