"""How a batch of groups lies in memory, and which position predicts which token.

A row is made of pieces. With a shared prompt, a group is one row [prompt | y_1 | ... | y_K] in which every
completion follows the prompt: it sees the prompt and itself, and its positions begin where the prompt ends.
The last position of the prompt then predicts K first tokens. Without, each completion is a row of its own.
Packed rows stand one after the other without padding; otherwise they are padded on the right.

Numbers of tokens that go through the network, for prompts of P and completions of R tokens:

    plain   G K (P + R)        shared   G (P + K R)

Sources: H. Wang et al., "Accelerating Direct Preference Optimization with Prefix Sharing", arXiv:2410.20305;
M. M. Krell et al., "Efficient Sequence Packing without Cross-contamination", arXiv:2107.02027.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import NamedTuple, TypeVar, cast

from palate.policy._torch import Tensor, torch
from palate.policy.trainer._groups import Group
from palate.policy.trainer._options import Speed

Number = TypeVar("Number", int, float)

__all__ = ["Batch", "Layout", "Span", "lay_out", "make_batch"]


class Span(NamedTuple):
    """Tokens [start, stop) of a packed row: a root with its branches [fork, stop), ended by ``ends``.

    Attributes:
        start: First token of the root.
        fork: Where the branches begin; ``stop`` when there is none.
        stop: One past the last token.
        ends: One past the last token of each branch.
    """

    start: int
    fork: int
    stop: int
    ends: tuple[int, ...]


class Layout(NamedTuple):
    """Tokens of a batch and their places. Flat places count through rows, then positions.

    Attributes:
        ids_BT: Tokens; padding is token 0.
        position_BT: Position of each token in its own prompt and completion.
        spans: Rows inside a packed row; empty where rows are padded.
        mask_BTT: Which earlier token each token sees, for padded rows with a shared prompt.
        valid_BT: Which tokens are no padding, for padded rows.
        predict_M: Flat places whose hidden states predict the M completion tokens.
        target_M: Those tokens.
        owner_M: The completion that each belongs to, counted through groups.
        last_C: Flat place of each completion's last token.
    """

    ids_BT: Tensor
    position_BT: Tensor
    spans: tuple[Span, ...]
    mask_BTT: Tensor | None
    valid_BT: Tensor | None
    predict_M: Tensor
    target_M: Tensor
    owner_M: Tensor
    last_C: Tensor

    @property
    def tokens(self) -> int:
        """Tokens that go through the network, padding included."""
        return self.ids_BT.numel()


class Batch(NamedTuple):
    """Groups with their layout; K is the largest number of completions, smaller groups are masked.

    Attributes:
        groups: The groups.
        layout: Their tokens.
        length_GK: Completion tokens; 0 where there is no completion.
        valid_GK: Which completions exist.
        columns: Numbers a completion by name; 0 where there is none.
        reference_GK: log pi_ref where it is known.
    """

    groups: tuple[Group, ...]
    layout: Layout
    length_GK: Tensor
    valid_GK: Tensor
    columns: dict[str, Tensor]
    reference_GK: Tensor | None

    def grid(self, value_C: Tensor, empty: float = 0.0) -> Tensor:
        """Numbers of the C completions as G by K."""
        result_GK = torch.full(self.valid_GK.shape, empty, dtype=value_C.dtype, device=value_C.device)
        return result_GK.masked_scatter(self.valid_GK, value_C)


class _Row(NamedTuple):
    root: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]


def make_batch(groups: Sequence[Group], speed: Speed, device: torch.device | str) -> Batch:
    """Tensors of some groups on a device."""
    most = max(len(group.completions) for group in groups)
    length_GK = torch.tensor(
        [_filled([len(c) for c in group.completions], most) for group in groups], dtype=torch.long
    )
    columns = {
        name: torch.tensor([_filled(group.columns[name], most) for group in groups], dtype=torch.float32)
        for name in groups[0].columns
    }
    reference_GK = None
    if all(group.reference is not None for group in groups):
        reference_GK = torch.tensor(
            [_filled(group.reference or (), most) for group in groups], dtype=torch.float32
        ).to(device)
    return Batch(
        tuple(groups),
        lay_out(groups, speed, device),
        length_GK.to(device),
        (length_GK > 0).to(device),
        {name: column.to(device) for name, column in columns.items()},
        reference_GK,
    )


def lay_out(groups: Sequence[Group], speed: Speed, device: torch.device | str = "cpu") -> Layout:
    """Lay out the tokens of some groups."""
    rows: list[_Row] = []
    for group in groups:
        if speed.shared_prompt and len(group.completions) > 1:
            rows.append(_Row(group.prompt, group.completions))
        else:
            rows.extend(_Row(group.prompt + completion, ()) for completion in group.completions)
    width = max(_size(row) for row in rows)
    starts = list(accumulate((_size(row) for row in rows), initial=0))
    if not speed.packed:
        starts = [place * width for place in range(len(rows))]
    predict, target, last = _predictions(groups, rows, starts)
    owner = [c for c, tokens in enumerate(target) for _ in tokens]

    def integers(values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    ids = [[*row.root, *(token for branch in row.branches for token in branch)] for row in rows]
    positions = [_positions(row) for row in rows]
    spans: tuple[Span, ...] = ()
    mask_BTT = valid_BT = None
    if speed.packed:
        ids, positions = [list(chain(*ids))], [list(chain(*positions))]
        spans = tuple(_span(row, start) for row, start in zip(rows, starts, strict=False))
    else:
        valid_BT = integers([[1] * len(row) + [0] * (width - len(row)) for row in ids]).bool()
        ids = [_filled(row, width) for row in ids]
        positions = [_filled(row, width) for row in positions]
        if any(row.branches for row in rows):
            mask_BTT = torch.stack([_visible(row, width) for row in rows]).to(device)
    return Layout(
        integers(ids),
        integers(positions),
        spans,
        mask_BTT,
        valid_BT,
        integers([place for places in predict for place in places]),
        integers([token for tokens in target for token in tokens]),
        integers(owner),
        integers(last),
    )


def branch_mask(root: int, ends: Sequence[int], size: int, *, first: int = 0) -> Tensor:
    """Which of ``size`` tokens is seen by which: the past, apart from branches that are not one's own.

    Args:
        root: Tokens before the first branch.
        ends: One past the last token of each branch.
        size: Tokens in all; those past the last end are padding, which sees its own past.
        first: The first token that looks; earlier ones have no row.
    """
    branch_T = torch.zeros(size, dtype=torch.long)
    for number, (start, end) in enumerate(zip((root, *ends), ends, strict=False), start=1):
        branch_T[start:end] = number
    place_T = torch.arange(size)
    past_ST = place_T[first:, None] >= place_T[None, :]
    return past_ST & ((branch_T[None, :] == 0) | (branch_T[first:, None] == branch_T[None, :]))


def _predictions(
    groups: Sequence[Group], rows: Sequence[_Row], starts: Sequence[int]
) -> tuple[list[list[int]], list[tuple[int, ...]], list[int]]:
    """Of each completion: the flat places that predict its tokens, these tokens, and its last place."""
    predict: list[list[int]] = []
    target: list[tuple[int, ...]] = []
    last: list[int] = []
    place = 0
    for group in groups:
        prompt = len(group.prompt)
        shared = bool(rows[place].branches)
        begin = starts[place] + prompt
        for completion in group.completions:
            if not shared:
                begin = starts[place] + prompt
                place += 1
            root_end = starts[place if shared else place - 1] + prompt - 1
            predict.append([root_end, *range(begin, begin + len(completion) - 1)])
            target.append(completion)
            begin += len(completion)
            last.append(begin - 1)
        place += shared
    return predict, target, last


def _size(row: _Row) -> int:
    return len(row.root) + sum(map(len, row.branches))


def _ends(row: _Row, start: int = 0) -> tuple[int, ...]:
    return tuple(accumulate(map(len, row.branches), initial=start + len(row.root)))[1:]


def _positions(row: _Row) -> list[int]:
    root = len(row.root)
    return [*range(root), *(root + place for branch in row.branches for place in range(len(branch)))]


def _span(row: _Row, start: int) -> Span:
    return Span(start, start + len(row.root), start + _size(row), _ends(row, start))


def _visible(row: _Row, width: int) -> Tensor:
    return branch_mask(len(row.root), _ends(row), width)


def _filled(values: Sequence[Number], size: int) -> list[Number]:
    return [*values, *[cast(Number, 0)] * (size - len(values))]
