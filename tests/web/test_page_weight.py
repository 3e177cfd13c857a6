"""The whole page is small, comes from the wheel alone, and uses the texts of one file."""

import gzip
import json
import re
from importlib.resources import files

from starlette.testclient import TestClient
from study_kit import StudyKit

from palate.web._assets import read_assets
from palate.web._words import read_words

LIMIT = 100_000  # bytes, compressed


def test_both_pages_with_everything_they_load_are_small(kit: StudyKit, page: TestClient) -> None:
    kit.pair(3)
    kit.believe()
    total = sum(len(asset.packed) for asset in read_assets().values())
    total += sum(len(gzip.compress(page.get(path).content)) for path in ("/", "/results", "/api/duels"))
    assert total <= LIMIT
    assert total <= 30_000  # what it was, with room; more needs a reason


def test_nothing_comes_from_elsewhere() -> None:
    for name, asset in read_assets().items():
        text = asset.plain.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("// ", "")), name
        assert "eval(" not in text, name


def test_scripts_and_templates_use_texts_that_exist_and_every_text_is_used() -> None:
    words = read_words()
    assets = read_assets()
    scripts = "".join(asset.plain.decode() for name, asset in assets.items() if name != "owner.js")
    used = set(re.findall(r"\bsay\.(\w+)", scripts))
    used |= {"left", "right", "tie", "both_bad", "skip", "raw_on", "raw_off", "diff_on", "diff_off"}
    assert used == set(words["page"])
    own = assets["owner.js"].plain.decode()
    assert set(re.findall(r"\bsay\.(\w+)", own)) == set(words["owner"]["script"])
    for page in ("vote", "results"):
        template = (files("palate.web") / "templates" / f"{page}.html").read_text()
        named = set(re.findall(r"\bt\.(\w+)", template)) | set(re.findall(r'\bt\["(\w+)"\]', template))
        assert named <= set(words[page])
        by_code = {"left", "right", "tie", "both_bad", "skip", "seed"} | {
            n for n in words[page] if "cost_" in n
        }
        assert set(words[page]) - named <= by_code


def test_no_text_stands_under_a_name_that_is_taken() -> None:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), sorted(names)
        return dict(pairs)

    json.loads((files("palate.web") / "words.json").read_text(), object_pairs_hook=once)
