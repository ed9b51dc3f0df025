"""One real stack for the session: nginx, every process, real sandboxes, on free ports."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import requests

import openapi

pytest_plugins = ("temporal_peer", "restack_stub", "grpc_peer", "minio_peer")

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "tests" / "recordings"
BIN = pathlib.Path(os.environ.get("AZLON_BIN", ROOT / "build/release/bin"))
FULL = os.environ.get("AZLON_TEST_FULL") == "1"

# a shell's background jobs ignore it, and what the tests start would do so too, until it says otherwise
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def free_ports(n):
    """Below those that the kernel gives to connections: a stack that was stopped finds its own free
    again. Of those that run beside each other (pytest-xdist) each has its own."""
    mine, of = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    ports = []
    for port in random.sample(range(10000 + mine, 32000, of), 2000):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                ports.append(port)
        if len(ports) == n:
            return ports
    raise RuntimeError(f"no {n} free ports")


class Stack:
    """A stack of its own: start it, talk to it, break it."""

    def __init__(self, **extra):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-e2e-"))
        self.dir.chmod(0o755)
        self.var = self.dir / "var"
        self.var.mkdir()
        self.port, self.tls_port, self.local_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "AZLON_BIN": str(BIN),
            "AZLON_VAR": str(self.var),
            "AZLON_PORT": str(self.port),
            "AZLON_TLS_PORT": str(self.tls_port),
            "AZLON_LOCAL_PORT": str(self.local_port),
            "AZLON_REPLAY_FAULTS": "1",
            "AZLON_RESPAWN": "off",  # who is killed stays dead until start
            "AZLON_RATE": "5000",
            "AZLON_BURST": "5000",
            "AZLON_CONNS": "2000",
            "AZLON_STREAMS": "2000",
            "AZLON_UPLOADS": "2000",
            "AZLON_USER_READS": "6000000",
            "AZLON_USER_WRITES": "6000000",
            "AZLON_USER_CREATES": "6000000",
            # what a sanitizer keeps of freed memory (256 MiB by itself) would hide what is used
            "ASAN_OPTIONS": "quarantine_size_mb=16",
            **extra,
        }
        self.http = requests.Session()
        self.http.trust_env = False

    def control(self, cmd, check=True):
        return subprocess.run(
            [str(ROOT / "fcgi/spawn/stack.sh"), cmd],
            env=self.env, check=check, capture_output=True, text=True, timeout=120,
        )

    def start(self):
        try:
            self.control("start")
        except subprocess.CalledProcessError as e:
            raise RuntimeError(f"stack did not start:\n{e.stdout}\n{e.stderr}\n{self.logs()}") from None
        return self

    def stop(self):
        self.control("stop", check=False)

    def close(self):
        self.stop()
        keep = os.environ.get("AZLON_KEEP")
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def logs(self, lines=15):
        out = []
        for f in sorted((self.var / "log").glob("*.log")):
            text = f.read_text(errors="replace").splitlines()[-lines:]
            out.append(f"--- {f.name}\n" + "\n".join(text))
        return "\n".join(out)

    # ---- processes ----
    def pid(self, part):
        return int((self.var / "run" / f"{part}.pid").read_text())

    def kill(self, part, sig=signal.SIGKILL):
        os.kill(self.pid(part), sig)

    def alive(self, part):
        try:
            stat = pathlib.Path(f"/proc/{self.pid(part)}/stat").read_text()
        except OSError:
            return False
        return stat.rsplit(")", 1)[1].split()[0] != "Z"

    def kill_and_wait(self, part, sig=signal.SIGKILL, within=15):
        pid = self.pid(part)
        self.kill(part, sig)
        until(lambda: not pathlib.Path(f"/proc/{pid}").exists() or not self.alive(part), within)

    # ---- HTTP ----
    def headers(self, user):
        return {} if user is None else {"X-User-ID": user}

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, path, user="alice", **kw):
        headers = {**self.headers(user), **kw.pop("headers", {})}
        kw.setdefault("timeout", 90)
        r = self.http.request(method, self.url + path, headers=headers, **kw)
        # every answer of every test is one that the contract describes; a stream is its reader's
        return r if kw.get("stream") else openapi.check_ours(r)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, **kw):
        return self.request("POST", path, **kw)

    def start_run(self, body, user="alice", **kw):
        r = self.post("/run_workflow", user=user, json={**body, "mode": "async"}, **kw)
        assert r.status_code == 202, (r.status_code, r.text)
        return r.json()["workflow_id"]

    def finish(self, wid, user="alice", within=120):
        """Long poll until the run is over; the last run object."""
        end = time.monotonic() + within
        while True:
            left = max(1, int(end - time.monotonic()))
            r = self.get(f"/run_workflow/{wid}/result?wait={min(left, 20)}", user=user)
            if r.status_code == 200:
                return r.json()["run"]
            assert r.status_code == 409, (r.status_code, r.text)
            assert time.monotonic() < end, f"{wid} not finished: {self.get(f'/run_workflow/{wid}', user=user).text}\n{self.logs()}"

    def events(self, wid, user="alice", after=0):
        out = []
        while True:
            r = self.get(f"/run_workflow/{wid}/events?after={after}", user=user)
            assert r.status_code == 200, r.text
            page = r.json()["events"]
            out += page
            if not page:
                return out
            after = page[-1]["seq"]


def sockets(pid):
    """How many it has open; with one more a request has reached it."""
    n = 0
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            n += os.readlink(fd).startswith("socket:")
    return n


def until(cond, within=10, every=0.05):
    """Wait for a condition the test cannot subscribe to."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if cond():
            return
        time.sleep(every)
    raise AssertionError(f"condition not met within {within} s")


def made_on_request(make, started=True):
    """For fixtures: yields a function that makes one more with make(*args, **how) and starts it; closes
    them all in the end."""
    made = []

    def one_more(*args, **how):
        made.append(make(*args, **how))
        return made[-1].start() if started else made[-1]

    yield one_more
    for m in made:
        m.close()


def example(name):
    return json.loads((RECORDINGS / name / "request.json").read_text())


@pytest.fixture(scope="session")
def stack():
    s = Stack()
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(scope="module")
def e2b(stack):
    """The official e2b package, unmodified, its variables pointing at this stack."""
    env = {
        "E2B_API_KEY": (stack.var / "secret" / "e2b.key").read_text(),
        "E2B_API_URL": f"http://127.0.0.1:{stack.local_port}",
        "E2B_SANDBOX_URL": f"http://127.0.0.1:{stack.local_port}",
    }
    old = {k: os.environ.get(k) for k in env}
    os.environ.update(env)
    import e2b as module
    yield module
    for k, v in old.items():
        os.environ.pop(k, None) if v is None else os.environ.update({k: v})


@pytest.fixture(scope="module")
def open_dir():
    """A directory that other users may look into: pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="azlon-e2e-") as d:
        os.chmod(d, 0o755)
        yield pathlib.Path(d)


@pytest.fixture
def own_stack():
    """For tests that break things."""
    yield from made_on_request(Stack)
