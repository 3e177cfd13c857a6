"""Write a study of the current schema as SQL text: run once when a schema is released, then keep the file.

python tests/store/assets/make.py
"""

import sqlite3
import tempfile
from pathlib import Path
from random import Random

from palate.store import open_store
from palate.store._migrate import HEAD
from palate.testing import ballot_on, fill_study
from palate.types import Verdict


def main() -> None:
    target = Path(__file__).parent / f"schema-{HEAD}.sql"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        with open_store(path, clock=lambda: "2026-11-21T08:00:00.000+00:00") as store:
            fill_study(store, 5)
            duels = store.open_duels("anna", 3, Random(1))
            for duel, verdict in zip(duels, (Verdict.RIGHT, Verdict.TIE, Verdict.LEFT), strict=True):
                store.vote(ballot_on(duel, verdict))
            store.undo("anna")
            store.put_completion("request", {"text": "answer"})
        with sqlite3.connect(path) as connection:
            pragma = connection.execute("PRAGMA application_id").fetchone()[0]
            lines = [f"PRAGMA application_id = {pragma};", *connection.iterdump(), ""]
        connection.close()
    target.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
