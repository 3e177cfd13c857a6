"""Five raters who vote for one candidate only: does the winner change?

python benchmarks/rigged_votes.py --runs 200 --write benchmarks/results/rigged_votes.md

20 candidates, utilities from a normal distribution of standard deviation 0.7 log-odds; 100 honest raters cast
20 votes each on random pairs (2,000 votes), and five rigging ones 40 each (200 votes). Everybody is shown
random pairs and can answer or pass; honest raters pass on one in twenty. Each rigging rater votes for one
target, the honest votes' second or tenth or one drawn at random, whenever it is there, and

    target    passes on all others
    hidden    also casts an honest vote for each rigged one, and passes on the rest
    leader    votes only when the target meets the honest leader, as somebody who recognises both
    patient   never passes; all other votes are honest
    none      casts 200 honest votes: how often the winner changes without any attack, because it was close

The winner is that of the honest votes alone, by the same method. *Unweighted* is Bradley-Terry, *weighted*
`palate.choice.fit_trust` with the votes' weights by `palate.choice.picking`, as in a study's report, and
*default* the strategy that reports a study's winner, on the first simulations only, for it takes long.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from palate.choice import (
    PICKED,
    Shown,
    Votes,
    count_comparisons,
    fit_ratings,
    fit_trust,
    picked_weights,
    picking,
    sigmoid,
)
from palate.strategies import duel_bandit

N, HONEST, EACH, RIGGING, RIGGED, PASSING = 20, 100, 20, 5, 40, 0.05
RATERS = HONEST + RIGGING
ATTACKS, PLACES = ("none", "target", "hidden", "leader", "patient"), (2, 10, 0)


def shown_pairs(rng):
    """One random pair after the other."""
    while True:
        first = int(rng.integers(N))
        yield first, (first + int(rng.integers(1, N))) % N


def honest(rng, utility_N, first, second):
    return float(rng.random() < sigmoid(utility_N[first] - utility_N[second]))


def honest_rows(rng, utility_N):
    """Rows of first, second, rater, said; said is -1 for a pass."""
    rows = []
    for rater in range(HONEST):
        left = EACH
        for first, second in shown_pairs(rng):
            if not left:
                break
            passes = rng.random() < PASSING
            rows.append((first, second, rater, -1.0 if passes else honest(rng, utility_N, first, second)))
            left -= not passes
    return np.array(rows)


def rigged_rows(rng, utility_N, score_N, attack, place):
    """What the five cast and pass."""
    order_N = np.argsort(-score_N)
    leader, target = order_N[0], order_N[place - 1 if place else rng.integers(1, N)]
    rows = []
    for rater in range(HONEST, RATERS):
        rigged = frank = 0
        for first, second in shown_pairs(rng):
            if rigged + frank == RIGGED:
                break
            wanted = {first, second} == {leader, target} if attack == "leader" else target in (first, second)
            if attack == "none" or (
                not wanted and (attack == "patient" or (attack == "hidden" and frank < rigged))
            ):
                frank += 1
                rows.append((first, second, rater, honest(rng, utility_N, first, second)))
            elif wanted:
                rigged += 1
                rows.append((first, second, rater, float(first == target)))
            else:
                rows.append((first, second, rater, -1.0))
    return np.array(rows)


def votes_of(rows):
    """The votes, and what was shown."""
    first, second, rater = rows[:, :3].astype(int).T
    said = rows[:, 3] >= 0
    votes = Votes(first[said], second[said], rows[said, 3], judge_M=rater[said])
    return votes, Shown(first, second, rater, said)


def plain(rows):
    votes, _ = votes_of(rows)
    found = fit_ratings(count_comparisons(votes.first_M, votes.second_M, votes.outcome_M), N)
    return found.score_N


def trusted(rows):
    """The fit, and who was found to pick a candidate."""
    votes, shown = votes_of(rows)
    chance_JN = picking(shown, RATERS, N)
    weight_M = picked_weights(chance_JN, votes.judge_M, votes.first_M, votes.second_M)
    fit = fit_trust(np.eye(N), replace(votes, weight_M=weight_M), np.zeros(RATERS, bool))
    return fit, set(np.flatnonzero((chance_JN > PICKED).any(axis=1)))


def default(rows, seed):
    bandit = duel_bandit("default", np.eye(N), seed)
    for first, second, rater, said in rows:
        verdict = "skip" if said < 0 else ("right", "left")[int(said)]
        bandit.tell(int(first), int(second), verdict, judge=f"rater {rater:.0f}")
    return bandit.best()


def run(seed, attacks, with_default):
    """For each attack: whether each method keeps its winner, and who was found, rightly and wrongly."""
    rng = np.random.default_rng(seed)
    utility_N = 0.7 * rng.standard_normal(N)
    clean = honest_rows(rng, utility_N)
    score_N, winner = plain(clean), trusted(clean)[0].winner
    reported = default(clean, seed) if with_default else None
    five = set(range(HONEST, RATERS))
    found = []
    for attack, place in attacks:
        rigged = np.concatenate([clean, rigged_rows(rng, utility_N, score_N, attack, place)])
        rigged = rigged[rng.permutation(len(rigged))]
        fit, picking_ones = trusted(rigged)
        odd = picking_ones | {rater for group in fit.concerts for rater in group.raters}
        kept = default(rigged, seed) == reported if with_default else np.nan
        same = int(np.argmax(plain(rigged))) == int(np.argmax(score_N))
        found.append((same, fit.winner == winner, kept, len(odd & five) / RIGGING, len(odd - five)))
    return found


def line(attack, place, row_RF):
    """One row of the table."""
    kept = [share(row_RF[:, column]) for column in range(3)]
    where = "any" if place == 0 else place
    return (
        f"| {attack} | {where} | {' | '.join(kept)} | {row_RF[:, 3].mean():.0%} | {row_RF[:, 4].mean():.2f} |"
    )


def share(kept_R):
    """A share and its standard error."""
    known = kept_R[~np.isnan(kept_R)]
    if not len(known):
        return "–"
    mean = known.mean()
    return f"{mean:.1%} ± {100 * np.sqrt(mean * (1 - mean) / len(known)):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--default-runs", type=int, default=0, help="simulations with the default strategy")
    parser.add_argument("--attacks", choices=ATTACKS, nargs="+", default=ATTACKS)
    parser.add_argument("--places", type=int, nargs="+", default=PLACES, help="of the target; 0 is any")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    attacks = [
        (attack, place)
        for attack in options.attacks
        for place in (options.places if attack != "none" else (0,))
    ]
    runs = []
    for seed in range(options.runs):
        runs.append(run(seed, attacks, seed < options.default_runs))
        if options.write and (seed + 1) % 10 == 0:  # hours of work are not lost with the last one
            options.write.write_text(table(attacks, runs), encoding="utf-8")
    print(table(attacks, runs))
    if options.write:
        options.write.write_text(table(attacks, runs), encoding="utf-8")


def table(attacks, runs):
    command = " ".join(["python", "benchmarks/rigged_votes.py", *sys.argv[1:]])
    lines = [
        "# Rigged votes",
        "",
        f"`{command}`",
        "",
        f"{N} candidates, {HONEST} honest raters with {EACH} votes each, {RIGGING} rigging ones with",
        f"{RIGGED} each; {len(runs)} simulations a row. *Kept*: the winner is the same as by the honest",
        "votes alone, by the same method, ± one standard error. *Found*: share of the five whom the report",
        "flags for picking a candidate or voting in concert. *Wrongly*: honest raters so flagged, on",
        "average.",
        "",
        "| attack | target's place | kept, unweighted | kept, weighted | kept, default | found | wrongly |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    table_RAF = np.array(runs, dtype=float)
    lines += [line(attack, place, table_RAF[:, k]) for k, (attack, place) in enumerate(attacks)]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
