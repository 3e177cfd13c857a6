"""Kill a study with SIGKILL while it proposes and while it produces responses; open it again each time.

Prints a Markdown table: whether the resumed study ended with the candidates of an undisturbed one, and how
many answers that the client had received in full were paid for again. A call in flight at the kill may be
repeated; nothing else may.

    python benchmarks/resume.py --kills 20
"""

import argparse
import collections
import contextlib
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from palate.store import StudyState, open_store

STUDY = """
[study]
name = "resume"
candidates = 40
seed = 3
database = "{database}"

[model]
kind = "openai"
model = "fake"
base_url = "http://127.0.0.1:{port}/v1"

[inputs]
inline = ["My parcel is late.", "The lamp is broken.", "I was charged twice.", "Where is my refund?"]

[prompts]
seed = "Answer the customer politely in one sentence and say what happens next."

[examples]
inline = [
  {{ input = "Late", output = "We are sorry." }}, {{ input = "Broken", output = "We replace it." }},
  {{ input = "Twice", output = "We refund it." }}, {{ input = "Refund", output = "It is on its way." }},
  {{ input = "Lost", output = "We will find it." }}, {{ input = "Wrong", output = "We send the right one." }},
]
"""

CHILD = """
import sys
from palate.judges import SimulatedJudge
from palate.study import Study
study = Study.open(sys.argv[1], repeatable=True)
study.prepare()
print("prepared", flush=True)
judge = SimulatedJudge(lambda input, text: float(len(text)), scale=0.05, seed=1)
study.run_judge(judge, 30 - len(study.state.votes))
print("done", flush=True)
print("\\n".join(study.state.candidates))
study.close()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(port: int, log: Path) -> "subprocess.Popen[bytes]":
    """Start the endpoint and wait until it answers."""
    script = Path(__file__).with_name("_endpoint.py")
    server = subprocess.Popen([sys.executable, script, str(port), "0.3", log])
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return server
        time.sleep(0.05)


def finish(study: Path) -> list[str]:
    """Run a study to its end and return its candidates."""
    done = subprocess.run([sys.executable, "-c", CHILD, study], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.split("done\n")[1].split()


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def stored(database: Path) -> int:
    """How many generated answers the study has kept."""
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        sql = "SELECT COUNT(*) FROM completion WHERE value LIKE '%\"text\"%'"
        return int(connection.execute(sql).fetchone()[0])


def candidates(database: Path) -> int:
    """How many candidates the study has."""
    with open_store(database, create=False) as store:
        return len(StudyState.replay(store.events()).candidates)


def disturb(study: Path, log: Path, after: float) -> int:
    """Kill a study ``after`` seconds into its first new call; returns how many calls were in flight."""
    before = len(lines(log))
    with subprocess.Popen([sys.executable, "-c", CHILD, study], stdout=subprocess.DEVNULL) as child:
        while len(lines(log)) == before and child.poll() is None:
            time.sleep(0.01)
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
    began = {key for what, key in lines(log) if what == "begin"}
    return len(began) - stored(study.with_suffix(".db"))


def run(kills: int, folder: Path) -> str:
    log, port = folder / "calls.log", free_port()
    server = serve(port, log)
    try:
        calm = folder / "calm.toml"
        calm.write_text(STUDY.format(port=port, database="calm.db"))
        expected = finish(calm)
        undisturbed = sum(line.startswith("end") for line in log.read_text().splitlines())
        draw = random.Random(0)
        log.unlink()
        server.kill()
        server = serve(port, log)
        rough = folder / "rough.toml"
        rough.write_text(STUDY.format(port=port, database="rough.db"))
        in_flight, proposing = 0, 0
        for _ in range(kills):
            in_flight += disturb(rough, log, draw.uniform(0.0, 0.9))
            proposing += candidates(folder / "rough.db") < len(expected)
        same = finish(rough) == expected
        calls = lines(log)
        began = collections.Counter(key for what, key in calls if what == "begin")
        repeated = sum(count - 1 for count in began.values())
        beyond = max(0, repeated - in_flight)
        row = {
            "kills": kills,
            "while proposing": proposing,
            "same candidates": "yes" if same else "NO",
            "calls undisturbed": undisturbed,
            "distinct calls": len(began),
            "in flight at a kill": in_flight,
            "repeated": repeated,
            "beyond those in flight": beyond,
        }
        values = " | ".join(str(value) for value in row.values())
        return f"| {' | '.join(row)} |\n|{'--:|' * len(row)}\n| {values} |"
    finally:
        server.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    with tempfile.TemporaryDirectory() as name:
        print(run(parser.parse_args().kills, Path(name)))
