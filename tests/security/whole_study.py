"""A whole small study in which every secret and every text is a canary.

A loopback endpoint wants the key, and shows it in its refusals; it also hangs, hangs up and answers nonsense.
The page is the real app. Everything that a study leaves behind is collected.
"""

import io
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from typer.testing import CliRunner

from palate.command._app import app as commands
from palate.command._say import clean
from palate.errors import ModelError, PalateError
from palate.operations import Plain, listening
from palate.store import EXPORT_FORMATS, export, open_store
from palate.study import Study
from palate.types import Candidate, Message, Request
from palate.web._app import create_apps
from palate.web._figures import Learning

KEY = "sk-Zq7Xv9Kj3Wp5Ys8Qh2Lm4Nt6Rb"
LAUNCH = "Lw8Hd5Gf2Jk9Qx4Zc7Vb3Nm6Tr1Yu0Io-Pe_Az5Sd8"
INVITED = "Iv7Kp2Xe9Bq4Mz6Wt3Gy8Ha5Fn1Rd0Uo-Lj_Cs7Vx2"
MONITOR = "Mq3Tz8Rw5Yb2Nc9Kx6Hv4Jd7Pf1Ga0Se-Lo_Ui3Bt6"
VARIABLE = "CANARY_LLM_KEY"
PUBLIC = "https://rate.example.org"
PORT = 8765
HERE = f"http://127.0.0.1:{PORT}"
CONTENT = "Wombat"  # stands in every text of the study, and is no word of Palate's
STUDY = f"""\
[study]
name = "{CONTENT}title"
candidates = 6
guidelines = "{CONTENT}guidelines"

[model]
kind = "openai"
model = "small"
base_url = "URL"
api_key_env = "{VARIABLE}"
retry = {{attempts = 1, attempt_timeout = 0.5}}

[embedding]
kind = "scripted"

[inputs]
inline = ["{CONTENT}input one", "{CONTENT}input two"]

[prompts]
seed = "{CONTENT}prompt plain"
list = [
  "{CONTENT}prompt kind", "{CONTENT}prompt short", "{CONTENT}prompt long", "{CONTENT}prompt warm",
  "{CONTENT}prompt REFUSE",
]

[proposers]
use = []

[judges.critic]
kind = "language-model"
rubric = "{CONTENT}rubric"
"""
ECHOES = (
    f"Incorrect API key provided: {KEY}",
    f"key {KEY[:9]}****{KEY[-7:]} is not known, {CONTENT}refusal",
)


class Endpoint:
    """A model behind a key, on this machine."""

    def __init__(self) -> None:
        released = self.released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["content-length"])).decode()
                if self.headers.get("authorization") != f"Bearer {KEY}":
                    self.answer(401, {"error": {"message": "no key"}})
                elif "REFUSE" in asked:
                    message = ECHOES[len(asked) % 2]
                    self.answer(401, {"error": {"message": message, "code": f"bad_{KEY}"}})
                elif "HANG" in asked:
                    released.wait(20)
                    self.close_connection = True
                elif "DROP" in asked:
                    self.close_connection = True
                elif "NONSENSE" in asked:
                    self.answer(200, {"choices": f"{KEY} {CONTENT}nonsense"}, **{"x-request-id": KEY})
                else:
                    said = "TIE" if f"{CONTENT}rubric" in asked else f"{CONTENT}answer {len(asked)}"
                    message = {"role": "assistant", "content": said}
                    choice = {"index": 0, "finish_reason": "stop", "message": message}
                    usage = {"prompt_tokens": 11, "completion_tokens": 7}
                    self.answer(200, {"model": f"served {KEY}", "choices": [choice], "usage": usage})

            def answer(self, status: int, content: Any, **headers: str) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Traces:
    """Everything that was left behind, by where it was found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, str | bytes] = {}
        self.secrets = {"key": KEY, "launch": LAUNCH, "invitation": INVITED, "monitor": MONITOR}

    def keep(self, where: str, what: object) -> None:
        self.found[where] = what if isinstance(what, bytes) else str(what)

    def failed(self, where: str, error: BaseException) -> None:
        """An error as text, as a traceback with its causes, and with what it carries."""
        self.keep(f"{where}: text", f"{error} {error!r} {error.args!r}")
        self.keep(f"{where}: traceback", "".join(traceback.format_exception(error)))

    def files(self) -> None:
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                self.keep(f"file {path.relative_to(self.folder)}", path.read_bytes())


@contextmanager
def whole_study(folder: Path) -> Iterator[Traces]:
    """Run it, and collect what it leaves; the variable of the key is set while the block runs."""
    traces = Traces(folder)
    endpoint = Endpoint()
    path = folder / "study.toml"
    path.write_text(STUDY.replace("URL", endpoint.url), encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            listening(folder / "events.jsonl", Plain(clean, os.environ), err),
        ):
            with Study.open(path, exclusive=True, repeatable=True) as study:
                _work(study, traces)
                traces.keep("repr", [study, study.parts, study.store, study.parts.models, study.spent])
                traces.files()  # with the write-ahead log, which closing takes away
            _exports(folder, traces)
            _verbs(path, traces)
        traces.keep("standard output", out.getvalue())
        traces.keep("standard error", err.getvalue())
        traces.files()
        yield traces
    finally:
        endpoint.close()


def _work(study: Study, traces: Traces) -> None:
    study.prepare()
    apps = create_apps(
        study.store,
        launch_token=LAUNCH,
        port=PORT,
        origin=PUBLIC,
        metrics_token=MONITOR,
        spent=lambda: study.spent,
        learning=lambda: Learning(True, 0.0, study.learnt),
    )
    traces.keep("repr of the page", [apps, apps.own])
    owner, guest, stranger = (TestClient(apps.own, base_url=HERE, follow_redirects=False) for _ in range(3))
    for client in (owner, guest, stranger):
        client.headers["origin"] = HERE
    assert owner.get(f"/start/{LAUNCH}").status_code == 303
    invitation = study.store.invite(f"{CONTENT}anna", INVITED)
    traces.keep("page /join", guest.get(f"/join/{INVITED}").text)
    assert guest.post(f"/join/{INVITED}").status_code == 303
    for name, client in (("owner", owner), ("guest", guest)):
        (cookie,) = client.cookies.values()
        traces.secrets[f"cookie of {name}"] = cookie
    for judge, client in (("me", owner), (invitation.rater, guest)) * 4:
        _vote(study, judge, client, traces)
    study.run_judge(study.parts.judges["critic"], 1)
    _errors(study, owner, stranger, traces)
    for page in ("/", "/results", "/statistics", "/owner", "/api/duels", "/health", "/metrics"):
        reply = owner.get(page)
        assert reply.status_code == 200, page
        traces.keep(f"page {page}", f"{reply.headers} {reply.text}" if page != "/" else reply.text)


def _vote(study: Study, judge: str, client: TestClient, traces: Traces) -> None:
    try:
        study.ask(judge)
    except PalateError as error:
        traces.failed("asking", error)
        return
    duel = client.get("/api/duels").json()["duels"][0]
    body = {"duel_id": duel["id"], "verdict": "left", "key": f"key-of-{duel['id']}-0123456789"}
    body |= {"comment": f"{CONTENT}comment"}
    reply = client.post("/api/votes", json=body)
    assert reply.status_code == 200, reply.text
    traces.keep(f"vote {duel['id']}", reply.text)


def _errors(study: Study, owner: TestClient, stranger: TestClient, traces: Traces) -> None:
    """Refusals with secrets in every field of a request, a model that fails, and a crash of the page."""
    place = next(iter(study.state.inputs.values()))
    assert study.parts.target is not None
    model = next(each for each in study.parts.models if each.name.startswith("small@"))
    for word in ("REFUSE", "HANG", "DROP", "NONSENSE"):
        candidate = Candidate.make(f"{CONTENT}prompt {word}")
        response = study._engine.run(study.parts.target.respond(candidate, place))
        assert response.failed, word
        traces.keep(f"response to {word}", repr(response))
        try:
            study._engine.run(model.generate(Request((Message("user", word),))))
        except ModelError as error:
            traces.failed(f"error of {word}", error)
    for client in (owner, stranger):
        for method, path in (
            ("GET", f"/start/{LAUNCH}"),
            ("GET", f"/join/{INVITED}x"),
            ("GET", f"/nowhere?token={LAUNCH}&text={CONTENT}query"),
            ("GET", f"/results?{KEY}={CONTENT}query"),
            (CONTENT.upper(), "/"),
        ):
            reply = client.request(method, path, headers={"authorization": f"Bearer {MONITOR}x"})
            traces.keep(
                f"{method} {path.partition('?')[0]} {len(traces.found)}", f"{reply.headers} {reply.text}"
            )
    for body in (
        {"duel_id": KEY, "verdict": CONTENT, "key": KEY},
        {"duel_id": "nothing", "verdict": "left", "key": "k" * 20, f"{CONTENT}field": KEY},
    ):
        owner.post("/api/votes", json=body)  # its reply quotes what was sent, to who sent it
    whole = study.store.open_duels

    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"upstream said: {KEY}\x1b[31m")

    study.store.open_duels = crash  # type: ignore[method-assign]
    try:
        crashing = TestClient(owner.app, base_url=HERE, cookies=owner.cookies, raise_server_exceptions=False)
        reply = crashing.get("/api/duels")
        assert reply.status_code == 500
        traces.keep("crash", reply.text)
    finally:
        study.store.open_duels = whole  # type: ignore[method-assign]


def _exports(folder: Path, traces: Traces) -> None:
    with open_store(folder / "study.db", create=False) as store:
        for form in EXPORT_FORMATS:
            export(store, form, folder / f"votes-{form}")
        store.backup(folder / "backup.db")


def _verbs(path: Path, traces: Traces) -> None:
    run: Callable[..., Any] = CliRunner().invoke
    for verb in ("status", "best", "report", "statistics", "verify"):
        told = run(commands, [verb, str(path)], prog_name="palate")
        assert told.exit_code == 0, told.output
        traces.keep(f"palate {verb}", told.output)
