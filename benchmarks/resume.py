"""Kill a study with SIGKILL while it proposes and while it produces responses; open it again each time.

Prints a Markdown table: whether the resumed study ended with the candidates of an undisturbed one, and how
many answers that the client had received in full were paid for again. A call in flight at the kill may be
repeated; nothing else may.

    python benchmarks/resume.py --kills 20
"""

import argparse
import collections
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
api_key_env = ""

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


def finish(study: Path) -> list[str]:
    """Run a study to its end and return its candidates."""
    done = subprocess.run([sys.executable, "-c", CHILD, study], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.split("done\n")[1].split()


def disturb(study: Path, stage: str, after: float) -> None:
    """Start a study and kill it ``after`` seconds into a stage."""
    with subprocess.Popen([sys.executable, "-c", CHILD, study], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if stage == "responding":
            child.stdout.readline()
        time.sleep(after)
        child.send_signal(signal.SIGKILL)


def run(kills: int, folder: Path) -> str:
    log, port = folder / "calls.log", free_port()
    server = subprocess.Popen([sys.executable, Path(__file__).with_name("_endpoint.py"), str(port), "0.05", log])
    try:
        time.sleep(1.5)
        calm = folder / "calm.toml"
        calm.write_text(STUDY.format(port=port, database="calm.db"))
        expected = finish(calm)
        undisturbed = sum(line.startswith("end") for line in log.read_text().splitlines())
        draw = random.Random(0)
        log.unlink()
        server.kill()
        server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("_endpoint.py"), str(port), "0.05", log]
        )
        time.sleep(1.5)
        rough = folder / "rough.toml"
        rough.write_text(STUDY.format(port=port, database="rough.db"))
        for kill in range(kills):
            stage = "proposing" if kill < kills // 2 else "responding"
            disturb(rough, stage, draw.uniform(1.0, 2.2) if stage == "proposing" else draw.uniform(0.05, 0.6))
        same = finish(rough) == expected
        calls = [line.split() for line in log.read_text().splitlines()]
        began = collections.Counter(key for what, key in calls if what == "begin")
        repeated = sum(count - 1 for count in began.values())
        return "\n".join(
            [
                "| kills | same candidates | calls undisturbed | distinct calls | calls made | repeated | per kill |",
                "|--:|---|--:|--:|--:|--:|--:|",
                f"| {kills} | {'yes' if same else 'NO'} | {undisturbed} | {len(began)} | {sum(began.values())} "
                f"| {repeated} | {repeated / max(kills, 1):.2f} |",
            ]
        )
    finally:
        server.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    with tempfile.TemporaryDirectory() as name:
        print(run(parser.parse_args().kills, Path(name)))
