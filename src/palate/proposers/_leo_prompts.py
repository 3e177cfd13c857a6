"""What LEO asks a language model for. The contents follow the paper's tables 7 to 9; the wording is ours.

Explore shows the whole pool with its losses, lets the model think of limits for every variable, and asks for
points that differ from all of these and from each other. Exploit shows the best point, the bounds and an
example of the format, and asks for points close by. Without context (the paper's ablation, LEO-Rnd) neither
shows a point.
"""

from collections.abc import Sequence

import numpy as np

from palate.proposers._leo_rows import Box
from palate.types import Array

__all__ = ["exploit_prompt", "explore_prompt", "pair_prompt"]

_EXAMPLES = ((0.8166, 0.1868), (0.6788, 0.0772), (0.1853, 0.3935))
_ROLE = "You are an optimisation researcher. Your task is to make the loss as small as possible."
_FORMAT = (
    "Answer in CSV format with exactly {rows} rows and {columns} columns: one row for each candidate, one "
    "column for each variable in the same order. Write every value as a floating point number with "
    "{places} decimals. Answer with these numbers only: no header, no row numbers, no words."
)


def explore_prompt(box: Box, x_ND: Array, loss_N: Array, rows: int, *, context: bool = True) -> str:
    """Ask for ``rows`` scattered points; ``x_ND`` are the pool's, best first, with jitter."""
    if not context:
        return (
            f"Give exactly {rows} sets of values for {_variables(box)} that differ completely and are "
            f"scattered widely, where {box.bounds()}.\n{_format(box, rows)}"
        )
    return (
        f"{_ROLE}\n"
        f"These are candidate solutions for {_variables(box)}, each with its loss, in CSV format:\n"
        f"{_table(box, x_ND, loss_N)}\n"
        "Study these points and think of the limits (min, max) of each variable within which the loss could "
        f"become smaller. Within these limits give exactly {rows} new sets of values, completely different "
        "from the ones above and scattered, that explore regions far away from them to make the loss "
        f"smaller.\n{_format(box, rows)}"
    )


def exploit_prompt(box: Box, x_D: Array, loss: float, rows: int, *, context: bool = True) -> str:
    """Ask for ``rows`` points close to the best one, ``x_D``, which has jitter."""
    if not context:
        return (
            f"Give exactly {rows} different sets of values for {_variables(box)}, where {box.bounds()}.\n"
            + (_format(box, rows))
        )
    return (
        f"{_ROLE}\n"
        f"This is the best candidate solution for {_variables(box)} so far, with its loss, in CSV format:\n"
        f"{_table(box, x_D[None], [loss])}\n"
        f"Give exactly {rows} new and different candidates, where {box.bounds()}, that exploit the region "
        f"close to this one to make the loss smaller.\n{_format(box, rows)}\n{_example(box)}"
    )


def pair_prompt(box: Box, x_2D: Array, loss_2K: Array, *, explore: bool) -> str:
    """Ask for two points made from two parents under several losses (table 9)."""
    losses = ", ".join(f"loss{k + 1}" for k in range(loss_2K.shape[1]))
    lines = [
        f"Candidate {number}: {box.write(list(x_D))}; {losses} = {_losses(loss_K)}"
        for number, (x_D, loss_K) in enumerate(zip(x_2D, loss_2K, strict=True), start=1)
    ]
    regions = "explore regions far away from" if explore else "exploit the regions close to"
    return (
        "You are an assistant who understands technical details well. Help to make "
        f"{losses} as small as possible, all of them.\n"
        f"Two candidate solutions for {_variables(box)}, with their losses:\n" + "\n".join(lines) + "\n"
        f"Give exactly 2 new and different candidates, where {box.bounds()}, that {regions} these to make "
        f"{losses} smaller. Take hints from the points above.\n{_format(box, 2)}"
    )


def _variables(box: Box) -> str:
    count = len(box.names)
    return f"{count} variable{'s' if count > 1 else ''} in the order {', '.join(box.names)}"


def _format(box: Box, rows: int) -> str:
    places = max(len(field.split(".")[1]) for field in box.write(box.low).split(", "))
    return _FORMAT.format(rows=rows, columns=len(box.names), places=places)


def _example(box: Box) -> str:
    # The paper's example values, as shares of each range.
    low_D, width_D = np.array(box.low), box.width_D
    rows = [low_D + width_D * np.resize(share, len(low_D)) for share in _EXAMPLES]
    return "For example:\n" + "\n".join(box.write(list(row_D)) for row_D in rows)


def _table(box: Box, x_ND: Array, loss_N: Sequence[float] | Array) -> str:
    rows = [f"{box.write(list(x_D))}, {loss:.6f}" for x_D, loss in zip(x_ND, loss_N, strict=True)]
    return "\n".join([", ".join([*box.names, "loss"]), *rows])


def _losses(loss_K: Array) -> str:
    return ", ".join(f"{loss:.6f}" for loss in loss_K)
