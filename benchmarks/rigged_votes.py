"""Five raters who vote for one candidate only: does the winner change?

python benchmarks/rigged_votes.py --runs 200 --write benchmarks/results/rigged_votes.md

20 candidates, utilities from a normal distribution of standard deviation 0.7 log-odds; 100 honest raters cast
20 votes each on random pairs (2,000 votes), and five rigging ones 40 each (200 votes). Attacks:

    target   every vote is on a pair that holds one target, the honest votes' second or tenth, and is for
             it: they pass on all others.
    hidden   every second vote is honest and on any pair, so as not to be noticed.
    leader   every vote is the target against the honest leader, as somebody who recognises both would cast.

The winner is that of the honest votes alone, by the same method. *Unweighted* is Bradley-Terry.
"""

import argparse
from pathlib import Path

import numpy as np

from palate.choice import Votes, count_comparisons, fit_ratings, fit_trust, sigmoid

N, HONEST, EACH, RIGGING, RIGGED = 20, 100, 20, 5, 40
ATTACKS, PLACES = ("target", "hidden", "leader"), (2, 10)


def pairs(rng, count):
    first_M = rng.integers(N, size=count)
    return first_M, (first_M + rng.integers(1, N, size=count)) % N


def plain(votes):
    found = fit_ratings(count_comparisons(votes.first_M, votes.second_M, votes.outcome_M), N)
    return found.score_N


def trusted(votes):
    return fit_trust(np.eye(N), votes, np.zeros(HONEST + RIGGING, bool))


def honest_votes(rng):
    utility_N = 0.7 * rng.standard_normal(N)
    first_M, second_M = pairs(rng, HONEST * EACH)
    said_M = (rng.random(len(first_M)) < sigmoid(utility_N[first_M] - utility_N[second_M])).astype(float)
    return utility_N, Votes(first_M, second_M, said_M, judge_M=np.repeat(np.arange(HONEST), EACH))


def rigged_votes(rng, utility_N, score_N, attack, place):
    """What the five cast."""
    order_N = np.argsort(-score_N)
    leader, target = order_N[0], order_N[place - 1]
    first_M, second_M = pairs(rng, RIGGING * RIGGED)
    if attack == "leader":
        flip_M = rng.random(len(first_M)) < 0.5
        first_M, second_M = np.where(flip_M, leader, target), np.where(flip_M, target, leader)
    else:
        has_M = (rng.random(len(first_M)) < 0.5) | (attack == "target")
        other_M = (target + rng.integers(1, N, size=len(first_M))) % N
        flip_M = rng.random(len(first_M)) < 0.5
        first_M = np.where(has_M, np.where(flip_M, target, other_M), first_M)
        second_M = np.where(has_M, np.where(flip_M, other_M, target), second_M)
    said_M = (rng.random(len(first_M)) < sigmoid(utility_N[first_M] - utility_N[second_M])).astype(float)
    said_M = np.where(first_M == target, 1.0, np.where(second_M == target, 0.0, said_M))
    return first_M, second_M, said_M


def joined(votes, more):
    judge_M = np.concatenate([votes.judge_M, HONEST + np.repeat(np.arange(RIGGING), RIGGED)])
    mine = votes.first_M, votes.second_M, votes.outcome_M
    columns = (np.concatenate(pair) for pair in zip(mine, more, strict=True))
    return Votes(*columns, judge_M=judge_M)


def run(seed, attacks):
    """For each attack: whether each method keeps its winner, who was found, and who wrongly."""
    rng = np.random.default_rng(seed)
    utility_N, votes = honest_votes(rng)
    score_N, clean = plain(votes), trusted(votes)
    five = set(range(HONEST, HONEST + RIGGING))
    rows = []
    for attack, place in attacks:
        rigged = joined(votes, rigged_votes(rng, utility_N, score_N, attack, place))
        found = trusted(rigged)
        together = {rater for group in found.concerts for rater in group.raters}
        rows.append(
            (
                int(np.argmax(plain(rigged))) == int(np.argmax(score_N)),
                found.winner == clean.winner,
                len(together & five) / RIGGING,
                len(together - five),
            )
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = [
        "# Rigged votes",
        "",
        f"`python benchmarks/rigged_votes.py --runs {options.runs}`",
        "",
        f"{N} candidates, {HONEST} honest raters with {EACH} votes each, {RIGGING} rigging ones with",
        f"{RIGGED} each; {options.runs} simulations a row. *Kept*: the winner is the same as by the honest",
        "votes alone, by the same method. *Found*: share of the five in a group that votes in concert.",
        "*Wrongly*: honest raters in such a group, on average.",
        "",
        "| attack | target's place | kept, unweighted | kept, weighted | found | wrongly |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    attacks = [(attack, place) for attack in ATTACKS for place in PLACES]
    table = np.array([run(seed, attacks) for seed in range(options.runs)], dtype=float).mean(axis=0)
    for (attack, place), (kept, weighted, share, wrong) in zip(attacks, table, strict=True):
        lines.append(f"| {attack} | {place} | {kept:.1%} | {weighted:.1%} | {share:.0%} | {wrong:.2f} |")
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
