"""How each kind of response looks on the pages: text, pictures, plots, tables and chats.

What a response holds is checked before it is shown, and every text in it is either escaped or goes through
the same sanitiser as an answer in markdown. A picture is served by Palate itself under the hash of its
response, so the address tells nothing of the candidate and no other host learns what is looked at.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from html import escape

from palate.errors import InputError
from palate.kinds import Cell, Table, read_chat, read_picture, read_table, readable
from palate.types import Json, Message, Response
from palate.web._render import SHOWN, Renderer
from palate.web._words import Words

__all__ = ["AnswerRenderer"]

ROWS = 200  # of a table: more than anybody compares by eye
COLUMNS = 30  # of a table
CELL = 300  # characters of a cell
TABLE = 200_000  # characters of all cells together
TURNS = 100  # of a chat
KEPT = 64  # shown answers that are remembered, as in the renderer of texts


class AnswerRenderer:
    """Turns responses into what the pages show, and remembers the last few.

    Args:
        renderer: Of markdown.
        words: Texts of the pages.
    """

    def __init__(self, renderer: Renderer, words: Words) -> None:
        self._renderer = renderer
        self._words: Mapping[str, str] = words["render"]
        self._kept: OrderedDict[str, dict[str, Json]] = OrderedDict()
        self._lock = threading.Lock()
        self._shows: Mapping[str, Callable[[Response], dict[str, Json]]] = {
            "image": self._picture,
            "plot": self._picture,
            "table": self._table,
            "chat": self._chat,
        }

    def answer(self, response: Response) -> dict[str, Json]:
        """What the voting page gets of a response.

        Returns:
            ``kind``; ``html`` that is safe to insert; ``raw``, the same as plain text; for pictures also
            ``picture``, their address.
        """
        show = self._shows.get(response.kind)
        if show is None:
            return {"kind": "text", "html": self._renderer.html(response.content), "raw": response.content}
        key = response.hash
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            made: dict[str, Json] = {"kind": response.kind, "raw": readable(response), **show(response)}
        except InputError as error:
            made = {"kind": "text", "raw": response.content[:SHOWN], "html": self._broken(response, error)}
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def _broken(self, response: Response, error: InputError) -> str:
        note = self._words["broken"].format(reason=error)
        shown = response.content[:2000]
        return f'<p class="note">{escape(note)}</p><pre class="plain">{escape(shown)}</pre>'

    def _picture(self, response: Response) -> dict[str, Json]:
        picture = read_picture(response.content)
        # The same words for every picture: a name would tell two of them apart.
        alt = self._words["plot" if response.kind == "plot" else "picture"].format(size=picture.words)
        address = f"/pictures/{response.hash}"
        size = f'width="{picture.width}" height="{picture.height}"'
        return {"picture": address, "html": f'<img class="shown" src="{address}" {size} alt="{escape(alt)}">'}

    def _table(self, response: Response) -> dict[str, Json]:
        table = read_table(response.content)
        rows, shortened = _fitting(table)
        head = "".join(f"<th>{escape(_cut(name))}</th>" for name in table.columns[:COLUMNS])
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        said: list[str] = []
        if len(rows) < len(table.rows):
            said.append(self._words["rows"].format(shown=f"{len(rows):,}", all=f"{len(table.rows):,}"))
        if len(table.columns) > COLUMNS:
            said.append(self._words["columns"].format(shown=COLUMNS, all=f"{len(table.columns):,}"))
        if shortened:
            said.append(self._words["cells"].format(n=f"{shortened:,}", length=CELL))
        note = f'<p class="note">{escape(" ".join(said))}</p>' if said else ""
        html = f"{note}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return {"html": self._renderer.clean(html)}

    def _chat(self, response: Response) -> dict[str, Json]:
        # The system's turn is what the candidates are told apart by.
        turns = [turn for turn in read_chat(response.content) if turn.role != "system"]
        shown = "".join(self._turns(turns))
        return {"html": f'<div class="chat">{shown}</div>'}

    def _turns(self, turns: list[Message]) -> Iterator[str]:
        room = SHOWN
        for number, turn in enumerate(turns):
            if number == TURNS or room <= 0:
                left = self._words["turns"].format(shown=number, all=f"{len(turns):,}")
                yield f'<p class="note">{escape(left)}</p>'
                return
            room -= len(turn.content)
            who = escape(self._words[turn.role])
            yield (
                f'<section class="turn {turn.role}"><p class="who">{who}</p>'
                f'<div dir="auto">{self._renderer.html(turn.content)}</div></section>'
            )


def _fitting(table: Table) -> tuple[list[tuple[Cell, ...]], int]:
    """The rows that are shown, and how many of their cells are cut."""
    rows: list[tuple[Cell, ...]] = []
    shortened, room = 0, TABLE
    for row in table.rows[:ROWS]:
        lengths = [len(_text(cell)) for cell in row[:COLUMNS]]
        room -= sum(min(length, CELL) for length in lengths)
        if room < 0:
            break
        shortened += sum(length > CELL for length in lengths)
        rows.append(row[:COLUMNS])
    return rows, shortened


def _cell(cell: Cell) -> str:
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    start = '<td align="right">' if number else "<td>"
    return f"{start}{escape(_cut(_text(cell)))}</td>"


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _cut(text: str) -> str:
    return text if len(text) <= CELL else text[:CELL] + "…"
