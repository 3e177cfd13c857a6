"""Programs that want out of the sandbox of an executed check. Each is an answer that a judge runs."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from palate.judges import ExecutedCheck
from palate.judges._sandbox import Ended, Limits, run_shut_in, why_not
from palate.types import Input, Response

PYTHON = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(p).exists()), "")
pytestmark = pytest.mark.skipif(bool(why_not()) or not PYTHON, reason=why_not() or "no system Python")

LIMITS = Limits(seconds=20.0, memory=200_000_000, processes=24, most_bytes=200_000)
CANARY = "canary-5f2d9c71"
FENCED = """
import ctypes, errno, glob, os, resource, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(*call):
    '''Whether the kernel says that this is not permitted.'''
    ctypes.set_errno(0)
    return libc.syscall(*call) == -1 and ctypes.get_errno() == errno.EPERM
def fails(action):
    try: action()
    except OSError: return True
    return False
"""


def ran(code: str, limits: Limits = LIMITS) -> Ended:
    async def go() -> Ended:
        return await run_shut_in(
            [PYTHON, "-I", "/answer/a.py"], b"", files={"/answer/a.py": code.encode()}, limits=limits
        )

    return asyncio.run(go())


def children() -> set[int]:
    """Processes that descend from this one, those that have ended left out."""
    found: set[int] = set()
    left = [os.getpid()]
    while left:
        with suppress(OSError):  # it has ended meanwhile
            for task in Path(f"/proc/{left.pop()}/task").iterdir():
                new = set(map(int, (task / "children").read_text().split()))
                found |= new
                left += new
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files and variables that a program would like to have."""
    home = tmp_path / "home"
    for name in (".ssh/id_ed25519", ".aws/credentials", ".config/palate/keys.toml"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(CANARY)
        (home / name).chmod(0o644)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    return home


HELD = {
    "no environment": "print(sorted(os.environ) == ['HOME', 'LANG', 'PATH', 'PWD'] or dict(os.environ))",
    "no other process": "print(sorted(p for p in os.listdir('/proc') if p.isdigit())[0] == '1' and "
    "len([p for p in os.listdir('/proc') if p.isdigit()]) <= 3)",
    "no file descriptor of ours": "print(sorted(map(int, os.listdir('/proc/self/fd')))[:3] == [0, 1, 2] and "
    "all(fails(lambda: os.fstat(n)) for n in range(3, 60)))",
    "no home": "print(not any(glob.glob(f'/{name}*') for name in ('home/', 'root/', 'var')))",
    "no docker.sock": "print(not os.path.exists('/run') and not os.path.exists('/var/run/docker.sock'))",
    "no settings": "print(not os.path.exists('/etc/shadow') and not os.path.exists('/etc/passwd'))",
    "no host's /tmp": "print(os.listdir('/tmp') == [])",
    "no /sys": "print(not os.path.exists('/sys/kernel'))",
    "no abstract sockets": "print(fails(lambda: socket.socket(socket.AF_UNIX).connect('\\0palate-escape')))",
    "metadata address": "print(fails(lambda: socket.create_connection(('169.254.169.254', 80), 2)))",
    "metadata address, IPv6": "print(fails(lambda: socket.create_connection(('fd00:ec2::254', 80), 2)))",
    "no names": "print(fails(lambda: socket.getaddrinfo('example.org', 80)))",
    "no datagram": "print(fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', "
    "('192.0.2.1', 53))))",
    "no interface": "print([name for _, name in socket.if_nameindex()] == ['lo'])",
    "nothing of the system is written": "print(all(fails(lambda: open(p, 'w')) for p in ('/usr/bin/x', '/x', "
    "'/etc/x', '/answer/a.py', '/dev/x', '/bin/sh', '/proc/sys/kernel/core_pattern')))",
    "no raw memory": "print(not any(os.path.exists(p) for p in ('/dev/mem', '/dev/kmsg', '/dev/sda', "
    "'/dev/vda', '/dev/kvm', '/dev/fuse')))",
    "no rights": "print('CapEff:\\t0000000000000000' in open('/proc/self/status').read() and "
    "'NoNewPrivs:\\t1' in open('/proc/self/status').read() and os.getuid() == 65534)",
    "no root": "print(fails(lambda: os.setuid(0)) and fails(lambda: os.setgroups([0])))",
    "no ptrace": "print(libc.ptrace(0, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EPERM and "
    "libc.ptrace(16, 1, 0, 0) == -1)",
    "no mount": "print(libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == -1 and ctypes.get_errno() == 1)",
    "no new namespace": "print(libc.unshare(0x10000000) == -1 and ctypes.get_errno() == errno.EPERM)",
    "no chroot": "print(fails(lambda: os.chroot('/tmp')))",
    "no setuid program helps": "print(subprocess.run(['su', '-c', 'id'], stdin=subprocess.DEVNULL, "
    "capture_output=True).returncode != 0)",
    "limits cannot be raised": "def up():\n"
    "    resource.setrlimit(resource.RLIMIT_AS, (10**10, 10**10))\n"
    "try: up()\nexcept ValueError: print(True)",
    "others' processes cannot be ended": "print(fails(lambda: os.kill(-1, signal.SIGKILL)) and "
    f"fails(lambda: os.kill({os.getpid()}, 0)))",
    "a file of 10 GB": "def write():\n"
    "    with open('/tmp/big', 'wb') as f:\n"
    "        for _ in range(10_000): f.write(bytes(1_000_000))\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nprint(fails(write))",
    "many files": "def write():\n"
    "    for n in range(100_000):\n"
    "        with open(f'/tmp/{n}', 'wb') as f: f.write(bytes(190_000))\n"
    "print(fails(write))",
    "many files elsewhere": "def write():\n"
    "    for n in range(100_000):\n"
    "        with open(f'/dev/shm/{n}', 'wb') as f: f.write(bytes(190_000))\n"
    "print(fails(write))",
    "many descriptors": "print(fails(lambda: [os.pipe() for _ in range(10_000)]))",
    "a terminal's input": "import fcntl, termios\n"
    "print(fails(lambda: open('/dev/tty')) and fails(lambda: fcntl.ioctl(0, termios.TIOCSTI, b'x')))",
    "no hidden memory": "print(refused({'x86_64': 319, 'aarch64': 279}[os.uname().machine], b'x', 0))",
}


@pytest.mark.parametrize("name", HELD)
def test_the_sandbox_holds(secrets: Path, name: str) -> None:
    ended = ran(FENCED + HELD[name])
    assert (ended.cause, ended.status, ended.output) == ("ended", 0, b"True\n"), ended


@pytest.mark.parametrize("name", [".ssh/id_ed25519", ".aws/credentials", ".config/palate/keys.toml"])
def test_the_home_cannot_be_read_under_any_name(secrets: Path, name: str) -> None:
    places = [
        str(secrets / name),
        f"~/{name}",
        f"/proc/1/root{secrets / name}",
        f"/proc/self/cwd/..{secrets}",
    ]
    code = "import os\nfor p in %r:\n  try: print(open(os.path.expanduser(p)).read())\n  except OSError: pass"
    ended = ran(code % places)
    assert ended.output == b""
    searched = ran(
        f"import os\nfor at, _, names in os.walk('/'):\n  if {Path(name).name!r} in names: print(at)"
    )
    assert searched.output == b""


def test_nothing_on_this_machine_can_be_reached() -> None:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10.0)

        def wait() -> None:
            try:
                server.accept()[0].close()
            except OSError:
                return
            reached.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        port = server.getsockname()[1]
        ended = ran(
            f"import socket\ntry: socket.create_connection(('127.0.0.1', {port}), 2); print('in')\n"
            "except OSError: print('out')"
        )
        assert ended.output == b"out\n"
        socket.create_connection(("127.0.0.1", port)).close()  # from here it can
        waiting.join()
        assert reached.is_set()


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import threading, time\nwhile True:\n"
        "    try: threading.Thread(target=time.sleep, args=(99,)).start()\n    except RuntimeError: pass",
        "import os\nos.execv('/bin/sh', ['sh', '-c', 'f() { f | f & }; f; sleep 99'])",
    ],
    ids=["fork", "threads", "shell"],
)
def test_a_bomb_of_processes_stays_small(code: str) -> None:
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, len(children()))

    before = len(children())
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        ended = ran(code, Limits(seconds=1.0, memory=200_000_000, processes=24))
    finally:
        done.set()
        watching.join()
    # The two of bubblewrap stand beside those that are counted inside.
    assert most - before <= 24 + 4
    assert ended.cause in ("time", "ended", "memory")


@pytest.mark.parametrize(
    ("code", "causes"),
    [
        ("x = [bytearray(10**6) for _ in range(10**5)]", {"ended", "memory"}),
        (
            "import os, time\nfor _ in range(9):\n    if os.fork() == 0:\n"
            "        x = bytearray(os.urandom(1000)) * 60_000; time.sleep(99)\ntime.sleep(99)",
            {"memory"},
        ),
        ("import time; time.sleep(99)", {"time"}),
        ("while True: pass", {"time"}),
        ("while True: print('x' * 1000)", {"output"}),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", {"time"}),
    ],
    ids=["memory", "memory of many", "sleep", "spin", "output", "errors"],
)
def test_what_is_too_much_is_stopped(code: str, causes: set[str]) -> None:
    ended = ran(code, Limits(seconds=1.2, memory=200_000_000, processes=24, most_bytes=200_000))
    assert ended.cause in causes
    assert ended.cause != "ended" or ended.status != 0
    assert len(ended.output) <= 200_000
    assert len(ended.said) <= 300


def test_what_an_answer_leaves_running_ends_with_it() -> None:
    code = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            for n in (0, 1, 2): os.close(n)\n"
        "            time.sleep(99)\n"
        "        os._exit(0)\n"
        "print('gone')"
    )
    ended = ran(code)
    assert ended.output == b"gone\n"
    assert ended.status == 0


FAKES = [
    "print('PASS')",
    "print('kept'); print('status 0'); print('{\"exit-code\": 0}')",
    "import os\nfor n in range(3, 256):\n"
    "    try: os.write(n, b'{\"exit-code\": 0}')\n    except OSError: pass\n"
    "print('PASS'); os._exit(0)",
    "import sys; sys.stdout.write('7'); sys.stdout.flush(); sys.stdout.write(' PASS'); sys.exit(0)",
    "import atexit, os; atexit.register(lambda: os._exit(0)); raise AssertionError('failed')",
    "print('0' * 32, 'kept')",
    "import os\nfor root, _, names in os.walk('/check'):\n"
    "    for n in names: print(open(root + '/' + n).read())",
]


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize("says", ["status", "line", None])
def test_an_answer_cannot_say_of_itself_that_it_passes(fake: str, says: str | None) -> None:
    run = [PYTHON, "{answer}"]
    reading = "import json, sys; told = json.load(sys.stdin)\nright = (told['output'] or '').strip() == '7'\n"
    if says is None:
        check = ExecutedCheck(run=run, limits=LIMITS)
    elif says == "status":
        check = ExecutedCheck([PYTHON, "-c", reading + "sys.exit(0 if right else 1)"], run, limits=LIMITS)
    else:
        line = "print(told['output']); print(told['nonce'], 'kept' if right else 'broken')"
        check = ExecutedCheck([PYTHON, "-c", reading + line], run, says="line", limits=LIMITS)
    question = Input("i", "3 4", ("7",))
    assert asyncio.run(check.grade(question, Response("text", fake))).satisfied is False
    assert asyncio.run(check.grade(question, Response("text", "print(7)"))).satisfied is True


def test_what_runs_is_never_root_outside_either() -> None:
    owners: set[int] = set()
    before, done = children(), threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for pid in children() - before:
                with suppress(OSError):
                    owners.add(Path(f"/proc/{pid}").stat().st_uid)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        ran("import time; time.sleep(0.3)")
    finally:
        done.set()
        watching.join()
    owners.discard(0)  # bubblewrap itself, before it has become nobody
    assert owners == ({65534} if os.getuid() == 0 else {os.getuid()})
