"""Scripted votes in a real browser: is what is stored what was shown, and how soon is the next pair there?

python benchmarks/browser_votes.py --write benchmarks/results/browser_votes.md

1. ``--votes`` votes by real key presses, mouse clicks and touches (the browser's own input events), with
   undos and reloads among them. The text of the chosen side is read from the page and compared with the text
   of the candidate that the store says won.
2. A study whose model takes five seconds for each answer, voted on at a human pace: the time from the key to
   the frame in which the next pair is painted, measured inside the browser.
3. The side of candidate A over 10,000 assignments drawn in the same way.
"""

import argparse
import asyncio
import os
import platform
import queue
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver

from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.study import Study
from palate.types import Candidate, Input, Pairing, Response, Verdict
from palate.web import serve

MODEL_SECONDS = 5.0
ASSIGNMENTS = 10_000
PATIENCE = 60.0
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "window-size=1280,800",
)
KEYS = {
    "left": ("1", "ArrowLeft", "a"),
    "right": ("2", "ArrowRight", "b"),
    "tie": ("3", "e"),
    "both_bad": ("4",),
    "skip": ("s", " "),
}
# From the trusted key event to the frame after the change; a frame callback runs just before painting.
CLOCK = """
window.waits = [];
let began = 0;
addEventListener("keydown", (event) => { if (event.isTrusted) began = performance.now(); }, true);
new MutationObserver(() => {
  if (!began || document.getElementById("duel").hidden) return;
  const from = began;
  began = 0;
  requestAnimationFrame(() => setTimeout(() => window.waits.push(performance.now() - from)));
}).observe(document.getElementById("left"), { childList: true });
"""


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        service = webdriver.ChromeService(str(shutil.which("chromedriver")))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


@contextmanager
def served(store: Store) -> Iterator[str]:
    links: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: serve(store, on_ready=links.put, stop=stop))
    thread.start()
    try:
        yield links.get(timeout=PATIENCE)
    finally:
        stop.set()
        thread.join()


class Hand:
    """Presses, clicks and touches as the browser's own input events."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1})

    def key(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": key, **text})
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": key})

    def place(self, action: str) -> dict[str, float]:
        box = self.driver.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()",
            f"[data-do={action}]",
        )
        return {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}

    def click(self, action: str) -> None:
        at = {**self.place(action), "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **at})

    def touch(self, action: str) -> None:
        points = [self.place(action)]
        for kind, touching in (("touchStart", points), ("touchEnd", [])):
            event = {"type": kind, "touchPoints": touching}
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    def shown(self) -> tuple[str, str] | None:
        pair = self.driver.execute_script(
            "return document.getElementById('duel').hidden ? null :"
            "['left', 'right'].map((side) => document.getElementById(side).textContent.trim())"
        )
        return tuple(pair) if pair else None

    def next_after(self, before: tuple[str, str] | None) -> tuple[str, str]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pair = self.shown()
            if pair and pair != before:
                return pair
        raise AssertionError("no next pair")


def labelled(path: Path, pairings: int, texts_apart: bool = True) -> tuple[Store, dict[str, dict[str, str]]]:
    """A study in which each text tells which candidate wrote it, to the benchmark only."""
    store = open_store(path)
    one, two = Candidate.make("Answer."), Candidate.make("Answer kindly.")
    store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
    store.append(EventKind.INPUTS_ADDED, inputs_payload([Input("i", "Where is my parcel?")]))
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload([one, two]))
    texts: dict[str, dict[str, str]] = {}
    events: list[tuple[EventKind, Any]] = []
    for number in range(pairings):
        # Random words, so that position and order of arrival say nothing about the writer.
        drawn = [random.getrandbits(64) if texts_apart else side for side in (0, 1)]
        said = {c.id: f"Words {word:016x}" for c, word in zip((one, two), drawn, strict=True)}
        hashes = [store.put_response(f"{c}-{text}", Response("text", text)) for c, text in said.items()]
        pairing = Pairing(f"p{number}", "i", one.id, two.id, *hashes)
        texts[pairing.id] = said
        events.append((EventKind.PAIRING_OPENED, pairing_payload(pairing)))
    store.append_many(events)
    return store, texts


def stored_is_shown(driver: webdriver.Chrome, folder: Path, votes: int) -> dict[str, Any]:
    store, texts = labelled(folder / "choices.db", votes + 10)
    draw = random.Random(7)
    chosen: list[tuple[str, str, str, str | None]] = []
    undone = reloaded = 0
    with store, served(store) as link:
        driver.get(link)
        hand = Hand(driver)
        pair = hand.next_after(None)
        while len(chosen) < votes:
            verdict = draw.choice(["left", "right"] * 4 + ["tie", "both_bad", "skip"])
            way = ("key", "click", "touch")[len(chosen) % 3]
            if way == "key":
                hand.key(draw.choice(KEYS[verdict]))
            else:
                getattr(hand, way)(verdict)
            text = {"left": pair[0], "right": pair[1]}.get(verdict)
            chosen.append((way, verdict, " / ".join(pair), text))
            pair = hand.next_after(pair)
            if draw.random() < 0.05:
                hand.key("u")
                pair = hand.next_after(pair)
                assert " / ".join(pair) == chosen.pop()[2]
                undone += 1
            elif draw.random() < 0.03:
                driver.refresh()
                again = hand.next_after(None)
                assert again == pair
                reloaded += 1
        while len(StudyState.replay(store.events()).votes) < votes:
            time.sleep(0.01)
        stored = StudyState.replay(store.events()).votes
    assert len(stored) == votes
    right: dict[str, int] = dict.fromkeys(("key", "click", "touch"), 0)
    tried: dict[str, int] = dict.fromkeys(right, 0)
    for vote, (way, verdict, _, text) in zip(stored, chosen, strict=True):
        tried[way] += 1
        winner = {Verdict.LEFT: vote.left_candidate, Verdict.RIGHT: vote.right_candidate}.get(vote.verdict)
        same = vote.verdict == verdict and (text is None or texts[vote.pairing_id][winner] == text)
        right[way] += same
        if not same:
            print(
                f"by {way}: meant {verdict} for {text!r}, stored {vote.verdict} for {winner}", file=sys.stderr
            )
    first = next(iter(texts["p0"]))
    left = sum(vote.left_candidate == first for vote in stored)
    return {"right": right, "tried": tried, "undone": undone, "reloaded": reloaded, "left": left / votes}


class SlowTarget:
    """A model that takes its time."""

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        await asyncio.sleep(MODEL_SECONDS)
        return Response("text", f"{candidate.text} {input.text}: {random.getrandbits(64):x}", MODEL_SECONDS)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Any candidate will do."""

    def features_text(self, candidate: Candidate) -> str:
        return candidate.text


def waits(driver: webdriver.Chrome, folder: Path, votes: int, pace: float) -> list[float]:
    """Milliseconds from the key to the next pair, at a human pace with a slow model."""
    study = Study.create(
        target=SlowTarget(),
        inputs=[f"question {number}" for number in range(60)],
        candidates=[f"Prompt {number}: answer in style {number}." for number in range(12)],
        path=folder / "slow.db",
    )
    stop = threading.Event()
    learner = threading.Thread(target=lambda: study.learn_forever(stop))
    learner.start()
    draw = random.Random(8)
    try:
        with served(study.store) as link:
            driver.get(link)
            hand = Hand(driver)
            pair = hand.next_after(None)
            driver.execute_script(CLOCK)
            for _ in range(votes):
                time.sleep(draw.uniform(0.5, 1.5) * pace)
                hand.key(draw.choice(["1", "2", "1", "2", "3"]))
                pair = hand.next_after(pair)
            time.sleep(0.5)
            return driver.execute_script("return window.waits")
    finally:
        stop.set()
        learner.join()
        study.close()


def left_share(folder: Path) -> float:
    store, texts = labelled(folder / "sides.db", ASSIGNMENTS, texts_apart=False)
    with store:
        first = next(iter(texts["p0"]))
        return sum(duel.left_candidate == first for duel in store.open_duels("me", ASSIGNMENTS)) / ASSIGNMENTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--votes", type=int, default=300)
    parser.add_argument("--slow-votes", type=int, default=60)
    parser.add_argument("--pace", type=float, default=2.0, help="mean seconds that the person thinks")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, browser() as driver:
        folder = Path(name)
        version = driver.capabilities["browserVersion"]
        choices = stored_is_shown(driver, folder, arguments.votes)
        times = sorted(waits(driver, folder, arguments.slow_votes, arguments.pace))
        share = left_share(folder)
    text = report(arguments, version, choices, times, share)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


def report(
    arguments: argparse.Namespace, version: str, choices: dict[str, Any], times: list[float], share: float
) -> str:
    right, tried = choices["right"], choices["tried"]
    total, asked = sum(right.values()), sum(tried.values())
    p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
    # Of 300 fair draws three shares in ten lie further than 0.03 from a half; of 10,000 none does.
    return "\n".join(
        [
            "# Votes in a real browser",
            "",
            f"`python benchmarks/browser_votes.py --votes {arguments.votes} --slow-votes "
            f"{arguments.slow_votes} --pace {arguments.pace}`",
            "",
            f"Chromium {version}, {os.cpu_count()} cores, {platform.system()}, Python "
            f"{platform.python_version()}; {choices['undone']} undos and {choices['reloaded']} reloads "
            f"among the votes; think time {0.5 * arguments.pace:g} to {1.5 * arguments.pace:g} s with a "
            f"model that takes {MODEL_SECONDS:g} s for each answer.",
            "",
            "| what | figure | wanted | reached |",
            "|---|--:|--:|---|",
            *(f"| stored choice is the text shown, by {way} | {right[way]} of {tried[way]} | all | "
              f"{'yes' if right[way] == tried[way] else 'NO'} |" for way in right),
            f"| all together | {total} of {asked} | {asked} | {'yes' if total == asked else 'NO'} |",
            f"| left share of candidate A, {ASSIGNMENTS:,} assignments | {share:.4f} | 0.5 ± 0.03 | "
            f"{'yes' if abs(share - 0.5) <= 0.03 else 'NO'} |",
            f"| the same over the {asked} votes (standard error {0.5 / asked**0.5:.3f}) | "
            f"{choices['left']:.3f} | | |",
            f"| key to next pair painted, p50 of {len(times)} | {p50:.0f} ms | | |",
            f"| key to next pair painted, p95 | {p95:.0f} ms | ≤ 100 ms | {'yes' if p95 <= 100 else 'NO'} |",
            f"| the longest | {times[-1]:.0f} ms | | |",
            "",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
