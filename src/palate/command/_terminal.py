"""Voting in a terminal: the same verdicts and keys as the page, and as blind.

Like the page it meets the learner in the store only: it shows what is open there, and writes votes.
"""

import secrets
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from palate.command._keys import Keys
from palate.command._say import clean, percent
from palate.types import Ballot, Duel, Response, Verdict

if TYPE_CHECKING:
    from rich.console import Console

    from palate.store import Store

__all__ = ["VotingTerminal"]

NARROW = 88  # columns below which two panels side by side are harder to read than one above the other

_VERDICTS = {
    "1": Verdict.LEFT,
    "a": Verdict.LEFT,
    "left": Verdict.LEFT,
    "2": Verdict.RIGHT,
    "b": Verdict.RIGHT,
    "right": Verdict.RIGHT,
    "3": Verdict.TIE,
    "e": Verdict.TIE,
    "4": Verdict.BOTH_BAD,
    "s": Verdict.SKIP,
    " ": Verdict.SKIP,
}
_SAID = {
    Verdict.LEFT: "A is better",
    Verdict.RIGHT: "B is better",
    Verdict.TIE: "tie",
    Verdict.BOTH_BAD: "both bad",
    Verdict.SKIP: "skipped",
}
_REASONS = {
    "1": ("unclear", "the question is unclear"),
    "2": ("off_topic", "neither answers the question"),
    "3": ("harmful", "something in it is harmful"),
    "4": ("cannot_judge", "I cannot judge this"),
}
_HINT = "1 A is better   2 B is better   3 tie   4 both bad   s skip   u undo   ? help   q quit"
_HELP = """\
1, a, ←        A is better
2, b, →        B is better
3, e           tie: equally good
4              both bad
s, space       skip          S   skip, and say why
u, backspace   undo the last vote (as often as you like)
c              add a comment to this pair; it is saved with your vote
g              guidelines
q              quit; every vote is saved, and the study goes on from here"""


class VotingTerminal:
    """One judge at one terminal.

    Args:
        store: The study.
        console: Where duels are drawn.
        keys: Where answers come from.
        stop: Set by the learner when it cannot go on; ends the wait for the next duel.
        judge: The name under which votes are stored.
        limit: Leave after so many votes; ``None`` for no limit.
    """

    def __init__(
        self,
        store: "Store",
        console: "Console",
        keys: Keys,
        stop: threading.Event,
        *,
        judge: str = "me",
        limit: int | None = None,
    ) -> None:
        from palate.store import StudyState

        self._store = store
        self._console = console
        self._keys = keys
        self._stop = stop
        self._judge = judge
        self._limit = limit
        self._state: StudyState = StudyState()
        self._comment: str | None = None
        self._folder = Path()

    def run(self) -> int:
        """Show duels until the person quits, the votes are used up, or ``stop`` is set.

        Returns:
            How many votes were given and not undone.
        """
        # For pictures; only its owner can look into it.
        with TemporaryDirectory(prefix="palate-") as folder:
            self._folder = Path(folder)
            return self._run()

    def _run(self) -> int:
        given = 0
        self._console.print(_HINT, style="dim")
        while self._limit is None or given < self._limit:
            duel = self._next()
            if duel is None:
                break
            outcome = self._vote(duel)
            if outcome == "quit":
                break
            given += {"voted": 1, "undone": -1}[outcome]
        return given

    def _next(self) -> Duel | None:
        """The duel to show, waiting for one while the model writes."""
        if not self._over():
            # Pairs may be ready beyond the last vote that was asked for; nobody has to judge those.
            duels = self._store.open_duels(self._judge, 1) or self._wait()
            if duels:
                return duels[0]
        if self._over():
            self._console.print("All the votes that this study asked for are given.", style="green")
        return None

    def _wait(self) -> list[Duel]:
        duels: list[Duel] = []
        with self._console.status("The model is writing the next pair …"):
            while not duels and not self._stop.is_set() and not self._over():
                self._store.wait(self._state.seq, 0.5)
                duels = self._store.open_duels(self._judge, 1)
        return duels

    def _over(self) -> bool:
        self._state.follow(self._store)
        limit = self._state.votes_wanted
        taught = sum(vote.verdict.teaches for vote in self._state.votes)
        return self._state.closed is not None or (limit is not None and taught >= limit)

    def _vote(self, duel: Duel) -> Literal["voted", "undone", "quit"]:
        key, shown = secrets.token_hex(16), time.monotonic()
        self._comment = None
        self._keys.forget()
        self._draw(duel)
        while True:
            pressed = self._keys.read()
            if pressed in (None, "q"):
                return "quit"
            if pressed in ("u", "U", "backspace"):
                if self._undo():
                    return "undone"
                continue
            verdict = Verdict.SKIP if pressed == "S" else _VERDICTS.get(pressed.lower())
            if verdict is None:
                self._other(pressed, duel)
                continue
            reason = self._reason() if pressed == "S" else None
            seconds = time.monotonic() - shown
            self._store.vote(Ballot(duel.id, verdict, self._judge, key, seconds, reason, self._comment))
            self._console.print(f"saved: {_SAID[verdict]}{self._standing()}", style="green")
            return "voted"

    def _undo(self) -> bool:
        undone = self._store.undo(self._judge)
        text = "there is nothing to undo" if undone is None else "undone; vote again on this pair"
        self._console.print(text, style="yellow")
        return undone is not None

    def _other(self, pressed: str, duel: Duel) -> None:
        """Keys that are no verdict."""
        if pressed in ("g", "G"):
            self._state.follow(self._store)
            self._console.print(clean(self._state.guidelines) or "This study has no written guidelines.")
        elif pressed in ("c", "C"):
            self._comment = clean(self._keys.line("comment: "))[:2000] or None
        elif pressed == "enter":
            self._draw(duel)
        else:
            self._console.print(_HELP)

    def _reason(self) -> str | None:
        listed = "   ".join(f"{key} {words}" for key, (_, words) in _REASONS.items())
        self._console.print(f"why?   {listed}   any other key: no reason")
        return _REASONS.get(self._keys.read() or "", (None,))[0]

    def _standing(self) -> str:
        self._state.follow(self._store)
        votes = len(self._state.votes)
        counted = f" · {votes} {'vote' if votes == 1 else 'votes'}"
        belief = self._store.belief()
        if belief is None or not belief.standings:
            return counted
        sure = f" · {percent(belief.standings[0].p_best)} sure of the best"
        return f"{counted}{sure}{f' · {clean(belief.reason)}' if belief.stop else ''}"

    def _shown(self, response: Response, side: str) -> str:
        """A response as text; a picture as its size and a file to open, which no name tells apart."""
        from palate.errors import InputError
        from palate.kinds import read_picture, readable

        if response.kind not in ("image", "plot"):
            return readable(response)
        try:
            picture = read_picture(response.content)
        except InputError as error:
            return f"[{error}]"
        file = self._folder / f"{side}.{picture.media_type.partition('/')[2]}"
        file.write_bytes(picture.data)
        hint = "A terminal shows no pictures: open this file, or vote on the page."
        return f"{readable(response)}\n{file}\n{hint}"

    def _draw(self, duel: Duel) -> None:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        def panel(title: str, content: str) -> Panel:
            # Plain text, the same on both sides: a renderer would hide what differs between two answers.
            return Panel(Text(clean(content)), title=title, title_align="left")

        self._console.print(panel("Question", duel.input.text))
        left, right = (
            panel("A  (1)", self._shown(duel.left, "A")),
            panel("B  (2)", self._shown(duel.right, "B")),
        )
        if self._console.width < NARROW:
            self._console.print(left, right)
            return
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(ratio=1)
        table.add_column(ratio=1)
        table.add_row(left, right)
        self._console.print(table)
