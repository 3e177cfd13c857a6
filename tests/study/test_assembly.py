"""A study file becomes parts; what was paid stays counted when the process is gone."""

from pathlib import Path

import numpy as np
import pytest

from palate.errors import BudgetError, ConfigError, InputError
from palate.judges import SimulatedJudge
from palate.study import Study
from palate.types import Candidate, Known, Verdict

TEXT = """
[study]
candidates = 6
seed = 5

[model]
kind = "scripted"
answers = ["Say sorry.", "Be brief and kind.", "Give the next step.", "Thank them.", "We are sorry."]

[inputs]
inline = ["My parcel is late.", "The lamp is broken."]

[prompts]
seed = "Answer the customer."
list = ["Answer politely."]

[budget]
calls = {calls}
"""


def write(folder: Path, calls: int = 100, **changes: str) -> Path:
    path = folder / "study.toml"
    text = TEXT.format(calls=calls)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def judge() -> SimulatedJudge:
    return SimulatedJudge(lambda _, text: -float(len(text)), scale=1.0, seed=0)


def test_a_study_file_runs_from_proposals_to_a_report(tmp_path: Path) -> None:
    with Study.open(write(tmp_path), repeatable=True) as study:
        seen: list[tuple[str, int, int]] = []
        study.prepare(lambda *progress: seen.append(progress))
        assert seen[0] == ("candidates", 2, 6)
        assert seen[-1][1:] == (6, 6)
        origins = [c.lineage.origin for c in study.state.candidates.values()]
        assert origins == ["seed", "user", *["rephrase"] * 4]
        study.run_judge(judge(), 8)
        assert study.best().votes == 8
        before = study.belief()
    with Study.open(tmp_path / "study.db") as again:
        assert again.belief().standings == before.standings
        assert again.seed_candidate.text == "Answer the customer."


def test_what_was_spent_counts_after_a_restart(tmp_path: Path) -> None:
    path = write(tmp_path, calls=9)
    with Study.open(path, repeatable=True) as study:
        study.prepare()
        spent = study.spent
        assert 4 <= spent.calls <= 9
    with Study.open(path, repeatable=True) as again:
        assert again.spent.calls == spent.calls - 1  # the embeddings are kept without a price
        assert again.spent.tokens_out == spent.tokens_out
        again.run_judge(judge(), 40)
        with pytest.raises(BudgetError, match="calls"):
            again.ask("simulated")


def test_a_changed_study_file_shows_the_difference_and_asks(tmp_path: Path) -> None:
    Study.open(write(tmp_path)).close()
    changed = write(tmp_path, **{"seed = 5": "seed = 6"})
    with pytest.raises(ConfigError, match=r"differs from the study.*seed.*5.*6"):
        Study.open(changed)
    asked: list[list[str]] = []

    def accept(changes: list[str]) -> bool:
        asked.append(changes)
        return True

    Study.open(changed, accept_changes=accept).close()
    assert len(asked) == 1
    Study.open(changed).close()  # the change is now part of the study


def test_a_prompt_that_joined_the_file_joins_the_study(tmp_path: Path) -> None:
    Study.open(write(tmp_path)).close()
    grown = write(tmp_path, **{'["Answer politely."]': '["Answer politely.", "Be warm."]'})
    with Study.open(grown, accept_changes=lambda changes: True) as study:
        assert [c.text for c in study.state.candidates.values()] == [
            "Answer the customer.",
            "Answer politely.",
            "Be warm.",
        ]


def test_a_study_that_is_only_read_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    path = tmp_path / "study.toml"
    head, tail = TEXT.format(calls=5).split('[model]\nkind = "scripted"\n')
    model = (
        '[model]\nkind = "openai"\nmodel = "m"\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "A_KEY"\n'
    )
    path.write_text(head + model + tail.split("\n", 1)[1])
    Study.open(path).close()
    monkeypatch.delenv("A_KEY")
    with Study.open(tmp_path / "study.db") as study:
        assert study.seed_candidate.text == "Answer the customer."


def test_a_target_that_cannot_respond_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot respond"):
        Study.create(target=3, inputs=["a"], candidates=["b"], path=tmp_path / "s.db")  # type: ignore[arg-type]


def test_a_prompt_that_cannot_be_plugged_in_is_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, **{'["Answer politely."]': '["Answer {{nobody}}: {{input}}"]'})
    with pytest.raises(ConfigError, match="nobody"):
        Study.open(path)


def test_missing_inputs_are_named_before_anything_starts(tmp_path: Path) -> None:
    path = write(tmp_path, **{'["My parcel is late.", "The lamp is broken."]': "[]"})
    with pytest.raises((ConfigError, InputError), match="inline"):
        Study.open(path)
    assert not (tmp_path / "study.db").exists()


class Reader:
    """A proposer that keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[Known] = []

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        self.seen.append(known)
        return [Candidate.make(f"Made {len(known.existing)}.")]


def test_proposers_are_told_what_was_learnt_and_said(tmp_path: Path) -> None:
    with Study.create(
        target=lambda prompt, text: f"{prompt} {text}",
        inputs=["one", "two"],
        candidates=["A.", "B.", "C."],
        path=tmp_path / "study.db",
        repeatable=True,
    ) as study:
        reader = Reader()
        study.parts = study.parts._replace(proposers=(reader,), wanted=4)
        duel = study.ask()
        study.tell(duel, "left", comment="shorter")
        study.tell(study.ask(), "skip")
        study.best()
        study.prepare()
        (known,) = reader.seen
        assert [c.text for c in known.existing] == ["A.", "B.", "C."]
        assert [item.text for item in known.inputs] == ["one", "two"]
        (said,) = known.comparisons
        assert (said.left.id, said.right.id) == (duel.left_candidate, duel.right_candidate)
        assert (said.left_response, said.right_response) == (duel.left, duel.right)
        assert (said.verdict, said.comment, said.input) == (Verdict.LEFT, "shorter", duel.input)
        assert set(known.standings) == {c.id for c in known.existing}
        assert known.ranked()[0].id == duel.left_candidate
        assert sum(standing.p_best for standing in known.standings.values()) == pytest.approx(1)
