"""Every recipe end to end on a tiny policy, checked by what it does to the policy and its rewards."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipe_kit import asked, job, losses, pairs, same

from palate.errors import ConfigError, InputError, NotFoundError
from palate.judges import Length
from palate.policy.data import Loaded, TextGroup, read_groups, read_rows
from palate.policy.objectives import dpo as dpo_loss
from palate.policy.rewards import load_reward
from palate.policy.rollouts import RolloutOptions
from palate.policy.trainer import Lora
from palate.policy.updates import accelerated_preference, iterative_fixed, iterative_moving
from palate.recipes import (
    GradedRewards,
    Rounds,
    aipo,
    apo,
    dpo,
    evaluate_reward,
    exo,
    online_dpo,
    open_policy,
    reward,
    reward_judge,
    reward_named,
    run_rounds,
    sft,
    superhf,
)
from palate.recipes._rounds import place, weights_of
from palate.types import Array, Message


def test_sft_begins_at_the_loss_of_a_uniform_policy_and_falls(model: Path, tmp_path: Path) -> None:
    done = sft(job(model, tmp_path, pairs(32), steps=12))
    told = losses(tmp_path / "run")
    assert told[0] == pytest.approx(math.log(101), abs=0.2)  # random weights: 101 tokens about alike
    assert told[-1] < 2.5  # five vowels and an end: ln 6 = 1.79 is what can be reached
    assert done.model is not None
    assert same(done.model, tmp_path / "model")
    with pytest.raises(InputError, match="fine-tuning needs answers"):
        sft(job(model, tmp_path / "no", asked(3)))


def test_sft_takes_the_best_of_rewarded_answers_and_leaves_unwanted_ones(model: Path, tmp_path: Path) -> None:
    from palate.recipes._sft import _wanted

    group = TextGroup("p", ("a", "b", "c"), reward=(0.0, 2.0, 1.0))
    kept = _wanted(Loaded((group, TextGroup("p", ("d",), label=False), TextGroup("p", ("e",), label=True))))
    assert [g.completions for g in kept.groups] == [("b",), ("e",)]


@pytest.mark.parametrize(
    ("objective", "options", "first"),
    [
        ("dpo", {"beta": 0.5}, math.log(2)),
        ("ipo_mean", {"beta": 0.5}, 1.0),  # (0 - 1 / (2 beta))^2
        ("hinge", {"beta": 0.5}, 1.0),
        ("cdpo", {"beta": 0.5, "smoothing": 0.1}, math.log(2)),
    ],
)
def test_pair_losses_begin_at_their_known_value_and_fall(
    model: Path, tmp_path: Path, objective: str, options: dict[str, float], first: float
) -> None:
    dpo(job(model, tmp_path, pairs(16), steps=6, lora=Lora(r=4)), objective=objective, **options)
    told = losses(tmp_path / "run")
    assert told[0] == pytest.approx(first, abs=1e-5)
    assert told[-1] < 0.8 * first


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_what_dpo_has_merged_is_what_it_has_trained(model: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    done = dpo(job(model, tmp_path, pairs(16), steps=3, lora=Lora(r=4)), beta=0.5)
    assert done.model is not None
    adapter = peft.PeftModel.from_pretrained(
        open_policy(model).model, tmp_path / "run" / "model"
    ).merge_and_unload()
    whole = open_policy(done.model).model.state_dict()
    for name, weight in adapter.state_dict().items():
        assert (weight - whole[name]).abs().max() < 1e-6, name


def test_errors_come_before_any_training(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learns from pairs"):
        dpo(job(model, tmp_path, asked(3)))
    with pytest.raises(NotFoundError, match="short for several"):
        dpo(job(model, tmp_path, pairs(3)), objective="ipo")
    with pytest.raises(ConfigError, match="needs a reward"):
        online_dpo(replace(job(model, tmp_path, asked(3)), judge=None))
    with pytest.raises(ConfigError, match="too few for 5 rounds"):
        online_dpo(job(model, tmp_path, asked(3)), rounds=5)
    with pytest.raises(ConfigError, match="superbatches"):
        superhf(job(model, tmp_path, asked(3)), samples=1)
    with pytest.raises(ConfigError, match="learns_from"):
        exo(job(model, tmp_path, pairs(3)), learns_from="votes")  # pyright: ignore
    with pytest.raises(ConfigError, match="'initial' or 'previous'"):
        online_dpo(job(model, tmp_path, asked(3)), reference="best")  # pyright: ignore
    assert not (tmp_path / "run").exists()


def test_online_dpo_earns_more_and_goes_on_to_the_same_weights(model: Path, tmp_path: Path) -> None:
    work = job(model, tmp_path / "a", asked(24), epochs=25, learning_rate=4e-3)
    done = online_dpo(work, rounds=3, samples=10, max_tokens=8, beta=0.05)
    reward_R = [row["sampled reward"] for row in done.rounds]
    assert reward_R[0] == pytest.approx(26 / 96, abs=0.1)  # random weights
    assert reward_R[2] > reward_R[0] + 0.1
    assert done.rounds[2]["kl"] > done.rounds[0]["kl"] > 0
    judged = read_groups(read_rows(tmp_path / "a" / "round-01" / "judged.jsonl"), "groups")
    assert len(judged.groups) == 8
    assert all(len(group.reward or ()) == len(group.completions) for group in judged.groups)
    # stopped after the first round, and taken up again
    again = replace(work, out=tmp_path / "b")
    (tmp_path / "b").mkdir()
    shutil.copytree(tmp_path / "a" / "round-01", tmp_path / "b" / "round-01")
    second = online_dpo(again, rounds=3, samples=10, max_tokens=8, beta=0.05)
    assert second.rounds == done.rounds
    assert same(tmp_path / "a" / "model", tmp_path / "b" / "model")


def test_the_reference_and_the_window_are_those_of_the_rule(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed: round two is compared with pi_0, on both rounds' pairs; moving: with pi_1, on its own."""
    from palate.recipes import _rounds

    seen: list[tuple[Any, int]] = []
    real = _rounds.train

    def spy(model: Any, tokenizer: Any, groups: Any, *rest: Any, **named: Any) -> Any:
        reference = named["reference"]
        seen.append((reference if isinstance(reference, str) else weights_of(reference), len(groups)))
        return real(model, tokenizer, groups, *rest, **named)

    monkeypatch.setattr(_rounds, "train", spy)
    first = weights_of(open_policy(model).model)
    drawing = RolloutOptions(samples=3, max_tokens=5)
    counts = {}
    for rule in (iterative_fixed(), iterative_moving()):
        seen.clear()
        plan = Rounds(rule, dpo_loss(0.1), drawing, count=2)
        done = run_rounds(job(model, tmp_path / rule.name, asked(8), steps=2), plan)
        counts[rule.name] = [row["examples"] for row in done.rounds]
        assert seen[0][0] == "start"
        if rule.reference == "initial":
            assert seen[1][1] == sum(counts[rule.name])
            assert all(bool((seen[1][0][name] == first[name]).all()) for name in first)
        else:
            assert seen[1] == ("start", counts[rule.name][1])


def test_apo_extrapolates_the_trained_weights(model: Path, tmp_path: Path) -> None:
    """pi_1 = pi_0 + (1 + alpha) (trained - pi_0), since before the first training there is pi_0."""
    drawing = RolloutOptions(samples=3, max_tokens=5)
    ends = []
    for momentum, lora in ((0.0, None), (0.5, None), (0.5, Lora(r=4))):
        name = tmp_path / f"{momentum}-{lora is None}"
        plan = Rounds(accelerated_preference(momentum), dpo_loss(0.1), drawing, count=1)
        done = run_rounds(job(model, name, asked(6), steps=2, lora=lora), plan)
        assert done.model is not None
        ends.append(weights_of(open_policy(done.model).model))
    start = weights_of(open_policy(model).model)
    for name, weight in start.items():
        expected = weight + 1.5 * (ends[0][name] - weight)
        assert (ends[1][name] - expected).abs().max() < 1e-5
    # the adapter's product is what is extrapolated, so that embeddings, which have none, stay
    assert bool((ends[2]["model.embed_tokens.weight"] == start["model.embed_tokens.weight"]).all())
    moved = next(name for name in start if "q_proj" in name)
    assert not bool((ends[2][moved] == start[moved]).all())


def test_aipo_and_apo_and_exo_run_and_earn_more(model: Path, tmp_path: Path) -> None:
    work = job(model, tmp_path, asked(24), epochs=15, learning_rate=4e-3)
    rest: dict[str, Any] = {"samples": 10, "max_tokens": 8}
    ends = {
        "aipo": aipo(
            replace(work, out=tmp_path / "aipo"), alpha=0.05, nll_weight=0.1, temperature=1.0, **rest
        ),
        "apo": apo(replace(work, out=tmp_path / "apo"), rounds=2, **rest),
        "exo": exo(replace(work, out=tmp_path / "exo"), learns_from="rewards", reward_beta=0.05, **rest),
    }
    for name, done in ends.items():
        assert done.rounds[-1]["reward"] > done.rounds[0]["sampled reward"] + 0.1, name


def test_exo_learns_from_pairs_and_from_rewards_of_the_data(model: Path, tmp_path: Path) -> None:
    exo(job(model, tmp_path / "pairs", pairs(16), steps=5), beta=0.5, smoothing=0.01)
    told = losses(tmp_path / "pairs" / "run")
    assert told[0] == pytest.approx(0.5 * math.log(0.5 / 0.99) + 0.5 * math.log(0.5 / 0.01), abs=1e-5)
    assert told[-1] < told[0]
    groups = Loaded(tuple(replace(group, reward=(1.0, 0.0)) for group in pairs(8).groups))
    exo(job(model, tmp_path / "rewards", groups, steps=2), learns_from="rewards", reward_beta=1.0)
    # KL((1/2, 1/2) || softmax(1, 0))
    target = 1 / (1 + math.exp(-1))
    expected = 0.5 * math.log(0.5 / target) + 0.5 * math.log(0.5 / (1 - target))
    assert losses(tmp_path / "rewards" / "run")[0] == pytest.approx(expected, abs=1e-5)


def test_superhf_earns_more_and_a_prior_holds_it(model: Path, tmp_path: Path) -> None:
    ends = {}
    for prior in (0.0, 3.0):
        work = job(model, tmp_path / str(prior), asked(8), learning_rate=8e-3, batch=4)
        ends[prior] = superhf(
            work, superbatches=12, accumulate_prompts=4, samples=8, max_tokens=8, prior_kl=prior, top_p=1.0
        )
    reward_R = [row["sampled reward"] for row in ends[0.0].rounds]
    assert np.mean(reward_R[-3:]) > reward_R[0] + 0.15
    assert ends[3.0].numbers["kl"] < 0.5 * ends[0.0].numbers["kl"]
    assert ends[3.0].rounds[0]["prior_kl"] == pytest.approx(0, abs=1e-6)  # the policy is its prior at first


def test_the_published_defects_of_superhf_are_not_here(model: Path) -> None:
    """The divergence counts an answer's first token, nothing past its last, and no more in larger batches."""
    import torch

    from palate.policy.data import encode_texts
    from palate.policy.trainer import LogProbabilities, Network, Speed, States, make_batch

    first, second = open_policy(model), open_policy(model)
    with torch.no_grad():
        for weight in second.model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    asked_ = [encode_texts(TextGroup("p", (answer,)), first.tokenizer, end=False) for answer in ("a", "bcd")]
    own, prior = (Network(policy.model, "fp32", Speed()) for policy in (first, second))

    def penalty(groups: list[Any]) -> list[float]:
        batch = make_batch(groups, own.speed, own.device)
        with torch.no_grad(), own.computing():
            states: States = own.states(batch)
        with torch.no_grad(), prior.computing():
            states = states._replace(prior_ND=prior.hidden(batch.layout), prior_head=prior.head)
        found = LogProbabilities(reference=False, prior_kl=1.0)(states, None).penalty_G
        assert found is not None
        return found.tolist()

    def by_hand(group: Any) -> float:
        """Mean over the answer's tokens of the full divergence where each of them is predicted."""
        ids = torch.tensor([[*group.prompt, *group.completions[0]]])
        with torch.no_grad():
            new, old = (torch.log_softmax(m.model(input_ids=ids).logits[0], -1) for m in (first, second))
        place = range(len(group.prompt) - 1, ids.shape[1] - 1)
        return float(np.mean([float((old[t].exp() * (old[t] - new[t])).sum()) for t in place]))

    expected = [by_hand(group) for group in asked_]
    assert min(expected) > 0.01
    assert penalty(asked_) == pytest.approx(expected, rel=1e-4)
    assert penalty(asked_ * 3) == pytest.approx(expected * 3, rel=1e-4)  # each its own, however many


def test_length_costs_its_logarithm(model: Path) -> None:
    from palate.policy.rollouts import Rollout, Rollouts
    from palate.recipes import best_answers

    drawn = Rollouts((Rollout("p", ("ab", "abcdefgh")), Rollout("q", ())), {}, 0)

    class Fixed:
        name = "fixed"

        def score(self, prompts: Any, answers: Any) -> Array:
            return np.array([0.0, 1.0])

    assert best_answers(drawn, Fixed(), 0.0)[0].groups[0].completions == ("abcdefgh",)
    # one unit of reward against length_penalty ln(8 / 2)
    assert best_answers(drawn, Fixed(), 0.72)[0].groups[0].completions == ("abcdefgh",)
    assert best_answers(drawn, Fixed(), 0.73)[0].groups[0].completions == ("ab",)
    assert best_answers(drawn, Fixed(), 0.73)[1] == 0.5


def test_superhf_goes_on_to_the_same_weights(model: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("superbatches", 2):
            raise StopError

    plan: dict[str, Any] = {"superbatches": 4, "samples": 3, "max_tokens": 5}
    whole = superhf(job(model, tmp_path / "a", asked(5), batch=1, lora=Lora(r=4)), **plan)
    work = job(model, tmp_path / "b", asked(5), batch=1, lora=Lora(r=4))
    with pytest.raises(StopError):
        superhf(replace(work, tell=stop), **plan)
    again = superhf(work, **plan)
    assert again.rounds == whole.rounds
    assert same(tmp_path / "a" / "model", tmp_path / "b" / "model")


def test_rewards_by_name(model: Path, tmp_path: Path) -> None:
    easy, hard = (
        "The cat sat. The dog ran.",
        "Extraordinarily complicated terminology characterises documentation.",
    )
    level = reward_named("reading-level").score(["a", "a"], [easy, hard])
    assert level[0] > 0 > level[1]
    assert math.isnan(reward_named("reading-level").score(["a"], ["…"])[0])
    rules = tmp_path / "house.toml"
    rules.write_text('[[rule]]\nkind = "length"\nmost = 3\n')
    assert reward_named(f"rules:{rules}").score(
        ["a", "a"], ["two words", "four words are long"]
    ).tolist() == [1, 0]
    assert GradedRewards(Length(most=1)).score([(Message("user", "x"),)], ["a"]).tolist() == [1]
    with pytest.raises(ConfigError, match="reading-level, rules:FILE"):
        reward_named("taste")


def test_reward_recipe_reports_and_its_model_judges(model: Path, tmp_path: Path) -> None:
    held = pairs(30, seed=9)
    flipped = replace(held.groups[0], completions=held.groups[0].completions[::-1])
    held = Loaded((flipped, *held.groups[1:]))
    file = tmp_path / "bench.jsonl"
    rows = [
        {"prompt": "x", "chosen": "aeiou", "rejected": "bcdfg", "subset": "easy"},
        {"prompt": "x", "chosen": "bcdfg", "rejected": "uoiea", "subset": "wrong"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = replace(job(model, tmp_path, pairs(64), steps=20, learning_rate=1e-2), held=held)
    done = reward(work, kind="scalar", evaluate=str(file))
    assert done.numbers["accuracy"] == pytest.approx(29 / 30)
    report = json.loads((tmp_path / "held-out.json").read_text())
    assert report["accuracy"]["pairs"] == 30
    assert report["calibration"]["nll"] <= report["calibration"]["raw_nll"]
    model_ = load_reward(tmp_path / "reward")
    assert model_.written.temperature == pytest.approx(report["calibration"]["temperature"])  # pyright: ignore
    subsets = json.loads((tmp_path / "evaluation.json").read_text())
    assert (subsets["easy"]["share"], subsets["wrong"]["share"], subsets["all subsets"]["share"]) == (
        1,
        0,
        0.5,
    )
    assert evaluate_reward(model_, held)["accuracy"]["share"] == done.numbers["accuracy"]
    assert reward_judge(str(tmp_path / "reward")).name == "reward:reward"


def test_a_file_to_be_evaluated_on_is_read_before_training(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        reward(job(model, tmp_path, pairs(8)), evaluate=str(tmp_path / "gone.jsonl"))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "reward").exists()


def test_prompts_that_cannot_be_answered_are_left_out_and_told(model: Path, tmp_path: Path) -> None:
    long, odd = (TextGroup((Message("user", text),)) for text in ("x" * 600, "<|end|> x"))
    data = Loaded((*asked(4).groups, long, odd))
    work = replace(job(model, tmp_path / "a", data, steps=1), held=Loaded((long,)))
    for done in (
        superhf(replace(work, out=tmp_path / "b"), superbatches=2, samples=2, max_tokens=4),
        online_dpo(work, rounds=1, samples=4, max_tokens=4),
    ):
        assert "3 prompts left out: no room for 4 tokens of an answer in the model's 512" in done.notes[0]
        assert done.numbers["reward"] >= 0  # measured on the prompts that are left
    nothing = job(model, tmp_path / "c", Loaded((long,)))
    with pytest.raises(InputError, match="no prompt can be answered"):
        online_dpo(nothing, rounds=1, samples=4, max_tokens=4)
    assert not (tmp_path / "c" / "round-01").exists()


def test_online_recipes_tell_the_alarm(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import palate.recipes._rounds as rounds_
    import palate.recipes._superhf as superhf_

    found = {"reward": 1.0, "similarity": 0.3}
    for module in (rounds_, superhf_):
        monkeypatch.setattr(module, "measure_policy", lambda *_: dict(found))
    work = job(model, tmp_path / "a", asked(4))
    done = superhf(work, superbatches=1, samples=2, max_tokens=4)
    assert [note[:5] for note in done.notes if "similarity 0.30" in note] == ["ALARM"]
    work = job(model, tmp_path / "b", asked(4), steps=1)
    done = online_dpo(work, rounds=1, samples=4, max_tokens=4)
    assert [note[:5] for note in done.notes if "similarity 0.30" in note] == ["ALARM"]


def test_a_reward_without_network(model: Path, tmp_path: Path) -> None:
    chosen = [TextGroup("p", (f"good {n}", f"bad {n}")) for n in range(20)]
    work = replace(job(model, tmp_path, Loaded(tuple(chosen))), held=Loaded(tuple(chosen[:5])))
    assert reward(work, kind="ngrams").numbers["accuracy"] == 1.0
    assert "never wrong" in json.loads((tmp_path / "held-out.json").read_text())["calibration"]["why not"]
    assert reward_named(str(tmp_path / "reward")).score([], ["good", "bad"])[0] > 0
    with pytest.raises(ConfigError, match="'scalar'"):
        reward(work, kind="oracle")  # pyright: ignore


def test_weights_are_put_back_as_they_were(model: Path) -> None:
    policy = open_policy(model).model
    kept = weights_of(policy)
    for weight in policy.parameters():
        weight.data.zero_()
    place(policy, kept)
    assert all(bool((weight == kept[name]).all()) for name, weight in policy.named_parameters())
