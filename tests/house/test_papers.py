"""README, changelog, documentation and folders agree with each other."""

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import palate

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
TREE_LINE = re.compile(r"^(?P<indent> *)(?P<name>[\w./-]+)(?: {2,}(?P<gloss>\S.*))?$")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)


def slug(heading: str) -> str:
    """The anchor that a Markdown heading gets."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in HEADING.findall(text)}


def dead_links(page: Path) -> list[str]:
    dead: list[str] = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and goal.suffix == ".md" and anchor not in anchors(goal)):
            dead.append(f"{page.relative_to(ROOT)}: {link}")
    return dead


def test_no_link_is_dead() -> None:
    assert [link for page in PAGES for link in dead_links(page)] == []


def test_a_dead_link_is_seen(tmp_path: Path, monkeypatch: object) -> None:
    page = ROOT / "README.md"
    assert "no-such-heading" not in anchors(page)
    assert LINK.findall("see [this](gone.md#there) and ![that](img/a.png)") == ["gone.md#there", "img/a.png"]
    assert slug("What Palate will *not* do") == "what-palate-will-not-do"


def tree_in_readme() -> dict[str, str]:
    """The folder tree of the README: path → what its line says."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(src/palate/\n.*?)```", text, re.DOTALL)
    assert block, "README.md has no folder tree: a ```text block that begins with src/palate/"
    told: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in block.group(1).splitlines():
        match = TREE_LINE.match(line)
        assert match, f"not a line of a folder tree: {line!r}"
        indent = len(match["indent"])
        above = [entry for entry in above if entry[0] < indent]
        path = "".join(name for _, name in above) + match["name"]
        told[path] = match["gloss"] or ""
        if match["name"].endswith("/"):
            above.append((indent, match["name"]))
    return told


def test_the_tree_in_the_readme_is_the_tree() -> None:
    told = tree_in_readme()
    missing = [path for path in told if not (ROOT / path).exists()]
    assert missing == []
    assert [path for path, gloss in told.items() if not gloss and path != "src/palate/"] == []
    inside = {
        f"src/palate/{path.name}/" if path.is_dir() else f"src/palate/{path.name}"
        for path in (ROOT / "src" / "palate").iterdir()
        if not path.name.startswith("_") and path.name != "py.typed"
    }
    assert inside - set(told) == set()


def test_every_folder_at_the_top_has_a_line() -> None:
    told = {path.split("/")[0] for path in tree_in_readme()}
    folders = {"benchmarks", "docs", "examples", "src", "tests"}
    assert folders <= told


def test_every_page_is_in_the_menu() -> None:
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"([\w/-]+\.md)"', site)
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(pages)


def test_the_changelog_agrees_with_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    versions = [heading.split()[0] for heading in headings[1:]]
    assert versions[:1] == [palate.__version__] or (
        not versions and f"version {palate.__version__}" in text
    ), f"CHANGELOG.md does not name {palate.__version__}"


def test_changelog_entries_are_sentences() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- (.+?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert entries
    assert [entry for entry in entries if not entry.rstrip().endswith(".")] == []


def test_the_readme_gives_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quick = text.split("## Quick start", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"```sh\n(.*?)```", quick, re.DOTALL)
    assert [len(block.strip().splitlines()) for block in commands] == [1, 1]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert commands[1].strip().split("&& ")[-1] in script, ".ci/run does not run the README's test command"


def test_ci_can_be_run() -> None:
    assert shutil.which(str(ROOT / ".ci" / "run")), ".ci/run is not executable"


def test_no_two_test_files_share_a_name() -> None:
    """Test files are imported by their bare names, so that one may use another's fakes."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
