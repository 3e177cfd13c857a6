"""Answers that are there already, one column a system."""

import pytest

from palate.errors import ConfigError, InputError
from palate.targets import RecordedTarget
from palate.types import Candidate, Input, Originates

ASKED = [Input("1", "q", fields={"before": "old", "after": "new"}), Input("2", "r", fields={"before": " "})]


async def test_each_column_is_a_system_that_answers_with_what_stands_there() -> None:
    target = RecordedTarget(["before", "after"])
    assert isinstance(target, Originates)
    before, after = target.origin(ASKED)
    assert (before.text, before.lineage.origin, after.lineage.origin) == ("before", "seed", "user")
    assert (await target.respond(before, ASKED[0])).content == "old"
    assert (await target.respond(after, ASKED[0])).content == "new"
    assert "no answer of 'before'" in ((await target.respond(before, ASKED[1])).failed or "")
    assert (await target.respond(after, ASKED[1])).failed is not None
    assert target.features(before) @ target.features(after) == 0
    assert target.features_text(after) == "after"
    target.check(after)


def test_what_is_no_column_is_refused() -> None:
    with pytest.raises(InputError, match="no column of 'before', 'after'"):
        RecordedTarget(["before", "after"]).check(Candidate.make("later"))
    with pytest.raises(ConfigError, match="did you mean 'after'"):
        RecordedTarget(["before", "aftr"]).origin(ASKED)
    for wrong in (["one"], "before", ["a", "a"]):
        with pytest.raises(ConfigError, match="two or more"):
            RecordedTarget(wrong)
