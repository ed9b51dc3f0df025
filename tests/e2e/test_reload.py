"""A new generation of processes while requests come in: none fails, what was in hand ends well, runs go
on. And a process that crashes takes its own requests with it, nobody else's."""
import contextlib
import io
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import zipfile

import pytest
import requests

from conftest import BIN, example, sockets, until
from files_stores import plant_run
from stack_checks import PARTS, pids, running
from test_faults import check_finished_once
from traffic import Traffic

POOLS = ("replay", "run_workflow", "run_workflow-wait", "files", "files-archive")
RENEWED = {*POOLS, "worker"}


@pytest.fixture
def s(own_stack):
    return own_stack()


def some_of_everything(s):
    """Paths that every pool answers from."""
    wid = s.start_run(example("human-eval-010"))
    assert s.finish(wid)["status"] == "succeeded"
    path = s.get(f"/files/{wid}").json()["files"][0]["path"]
    return ["/run_workflow?limit=5", f"/run_workflow/{wid}", f"/run_workflow/{wid}?wait=0", f"/files/{wid}",
            f"/files/{wid}/{path}", f"/files/{wid}?format=zip"]


def left(s):
    """Files of earlier generations."""
    return [f.name for f in (s.var / "run").iterdir() if ".old-" in f.name or f.name.startswith("next") or ".failed" in f.name]


@pytest.mark.parametrize("keep_alive", [False, True], ids=["a connection each", "kept connections"])
def test_two_hundred_requests_a_second_none_fails(s, keep_alive):
    paths = some_of_everything(s)
    before = pids(s)
    with Traffic(s, paths, keep_alive=keep_alive) as t:
        for _ in range(3):
            assert s.control("reload").returncode == 0
        until(lambda: t.sent > 200, 30)
    assert not t.failed, (len(t.failed), t.sent, t.failed[:3], s.logs())
    after = pids(s)
    assert {p for p in PARTS if before[p] != after[p]} == RENEWED
    until(lambda: not any(running(before[p]) for p in RENEWED))
    # and it is a stack like any other
    s.start()
    assert pids(s) == after
    s.stop()
    assert not left(s) and not [p for p in after.values() if running(p)]


def test_a_changed_nginx_is_taken_too(s):
    paths = some_of_everything(s)
    nginx = s.pid("nginx")
    assert s.get("/run_workflow", headers={"Origin": "https://app.example"}).headers.get("Access-Control-Allow-Origin") is None
    s.env["AZLON_CORS_ORIGINS"] = "https://app.example"
    with Traffic(s, paths) as t:
        s.control("reload")
        # its old workers end what they have
        until(lambda: s.get("/run_workflow", headers={"Origin": "https://app.example", "Connection": "close"})
              .headers.get("Access-Control-Allow-Origin") == "https://app.example")
    assert not t.failed, (len(t.failed), t.sent, t.failed[:3])
    assert s.pid("nginx") == nginx


def environ(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_what_was_set_reaches_the_new_processes(s):
    before = pids(s)
    s.env["AZLON_SYNC_WAIT_S"] = "7"
    s.control("reload")
    after = pids(s)
    # the sandbox process has it too; nginx is told
    assert {p for p in PARTS if before[p] == after[p]} == {"nginx"}
    for part in ("run_workflow", "worker", "sandbox"):
        assert b"AZLON_SYNC_WAIT_S=7" in environ(after[part])
    s.start()
    assert pids(s) == after


# ---- what is in hand ----

class Stream:
    """Reads a run's events in a thread, until the server ends the stream."""

    def __init__(self, s, wid, after=0):
        self.r = s.request("GET", f"/run_workflow/{wid}/events", stream=True,
                           headers={"Accept": "text/event-stream", "Last-Event-ID": str(after)})
        assert self.r.status_code == 200
        self.lines, self.error, self.begun = [], None, threading.Event()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        try:
            for line in self.r.iter_lines(decode_unicode=True):
                self.lines.append(line)
                self.begun.set()
        except requests.RequestException as e:
            self.error = e

    def join(self):
        self.thread.join(60)
        assert not self.thread.is_alive() and self.error is None, self.error
        return [int(line[4:]) for line in self.lines if line.startswith("id: ")]


def test_an_event_stream_ends_cleanly_and_resumes(s):
    wid = s.start_run(example("endless"))
    first = Stream(s, wid)
    assert first.begun.wait(60)
    s.control("reload")
    seen = first.join()
    assert ": restarting" in first.lines and seen == list(range(1, len(seen) + 1))
    second = Stream(s, wid, after=seen[-1])
    s.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    seen += second.join()
    assert seen == list(range(1, len(seen) + 1))
    assert seen == [e["seq"] for e in s.events(wid)] and s.events(wid)[-1]["type"] == "run.finished"


def test_a_start_that_waits_is_told_where_its_run_is(s):
    got = {}
    t = threading.Thread(target=lambda: got.update(r=s.post("/run_workflow", json=example("endless"))))
    t.start()
    until(lambda: s.get("/run_workflow").json()["runs"])
    s.control("reload")
    t.join(30)
    wid = got["r"].json()["workflow_id"]
    assert got["r"].status_code == 202 and got["r"].headers["Location"].endswith(wid), got["r"].text
    assert s.get(f"/run_workflow/{wid}").json()["status"] in ("queued", "running")
    s.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    assert s.finish(wid)["status"] == "cancelled"


# more than nginx and the kernel keep of an answer whose reader is slow
BIG = {f"{i}.bin": random.Random(i).randbytes(16 << 20) for i in range(4)}


@contextlib.contextmanager
def slow_download(s, path, user):
    """Asked for, begun, and not read on until asked: yields a function that reads the rest."""
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.connect(("127.0.0.1", s.port))
        c.settimeout(60)
        c.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nX-User-ID: {user}\r\n\r\n".encode())
        begun = c.recv(65536)
        assert b" 200 " in begun.split(b"\r\n", 1)[0], begun

        def rest():
            got = [begun]
            while chunk := c.recv(1 << 20):
                got.append(chunk)
            return b"".join(got).split(b"\r\n\r\n", 1)[1]

        yield rest


def test_a_download_that_is_being_packed_outlives_its_processes_reload(s):
    wid = plant_run(s, "packer", BIG)
    before = s.pid("files-archive")
    with slow_download(s, f"/files/{wid}?format=zip", "packer") as rest:
        s.control("reload")
        s.control("reload")
        assert running(before) and "files-archive      ending" in s.control("status", check=False).stdout
        with zipfile.ZipFile(io.BytesIO(rest())) as z:
            assert {n: z.read(n) for n in z.namelist()} == BIG
    until(lambda: not running(before))
    assert "ending" not in s.control("status").stdout and not left(s)


def test_a_stop_does_not_wait_for_a_slow_reader(s):
    wid = plant_run(s, "packer", BIG)
    before = s.pid("files-archive")
    with slow_download(s, f"/files/{wid}?format=zip", "packer"):
        s.control("reload")
        assert running(before)
        s.stop()
        assert not running(before)
    assert not left(s)


# ---- upgrades and refusals ----

def another_build(s, name="new"):
    """The programs once more, elsewhere."""
    new = s.dir / name
    for d in ("bin", "lib", "libexec"):
        shutil.copytree(BIN.parent / d, new / d, symlinks=True)
    return new / "bin"


def test_an_upgrade_amid_runs_loses_none(s):
    names = ("hopeless", "human-eval-065", "human-eval-108")
    s.env["AZLON_BIN"] = str(another_build(s))
    wids = [s.start_run(example(n)) for n in names]
    until(lambda: any(e["type"] == "iteration.start" for e in s.events(wids[0])), 60)
    s.control("reload")
    assert pathlib.Path(f"/proc/{s.pid('worker')}/exe").resolve().is_relative_to(s.dir.resolve())
    for wid, name in zip(wids, names):
        check_finished_once(s, wid, name)


def refused(s, words):
    before = pids(s)
    r = s.control("reload", check=False)
    # what serves on writes into the same log
    assert r.returncode != 0 and words in r.stderr + s.logs(100), (r.returncode, r.stderr)
    assert pids(s) == before and not left(s)
    assert s.get("/run_workflow/health/ready").json()["status"] == "ok"
    assert {f.stem for f in (s.var / "run").glob("*.sock")} == {*POOLS, "sandbox"}


def test_what_is_wrong_is_refused_and_all_goes_on_as_before(s):
    paths = some_of_everything(s)
    with Traffic(s, paths, rate=50) as t:
        s.env["AZLON_WORKER_SLOTS"] = "0"
        refused(s, "AZLON_WORKER_SLOTS")
        del s.env["AZLON_WORKER_SLOTS"]
        good = s.env["AZLON_BIN"]
        bad = another_build(s, "bad")
        (bad / "files").unlink()
        (bad / "files").write_text("#!/bin/sh\necho 'files: broken on purpose' >&2\nexit 1\n")
        (bad / "files").chmod(0o755)
        s.env["AZLON_BIN"] = str(bad)
        refused(s, "broken on purpose")
        s.env["AZLON_BIN"] = good
    assert not t.failed, t.failed[:3]
    s.control("reload")


def test_nothing_to_reload_is_said(own_stack):
    s = own_stack()
    s.stop()
    r = s.control("reload", check=False)
    assert r.returncode == 1 and "use start" in r.stderr


# ---- crashes ----

def child(pid):
    """What is kept; None while there is none."""
    kids = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return int(kids[0]) if len(kids) == 1 else None


def test_a_crashed_process_is_launched_again_and_nobody_is_refused(own_stack):
    s = own_stack(AZLON_RESPAWN="on")
    paths = some_of_everything(s)
    before = pids(s)
    for part in (*POOLS, "sandbox", "worker"):
        was = child(s.pid(part))
        os.kill(was, signal.SIGKILL)
        # whoever asks now waits for the next one
        for path in paths:
            r = s.get(path)
            assert r.status_code == 200, (part, path, r.text)
        until(lambda: child(s.pid(part)) not in (was, None))
    until(lambda: s.get("/run_workflow/health/ready").status_code == 200)
    assert pids(s) == before and s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
    kids = [child(p) for part, p in before.items() if part != "nginx"]
    s.control("reload")
    until(lambda: sum(map(running, kids)) == 1)  # the sandbox process has no reason to end
    s.stop()
    until(lambda: not any(map(running, kids)))


def test_a_crash_takes_the_requests_in_hand_and_no_others(own_stack):
    s = own_stack(AZLON_RESPAWN="on")
    wid = s.start_run(example("endless"))
    got = {}
    was = child(s.pid("run_workflow-wait"))
    idle = sockets(was)
    t = threading.Thread(target=lambda: got.update(r=s.get(f"/run_workflow/{wid}/result?wait=60")))
    t.start()
    until(lambda: sockets(was) > idle)
    os.kill(was, signal.SIGKILL)
    t.join(30)
    assert got["r"].status_code in (502, 503), got["r"].text
    assert s.get(f"/run_workflow/{wid}?wait=0").status_code == 200
    s.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    s.finish(wid)


def test_a_process_that_never_served_is_not_launched_for_ever(own_stack):
    s = own_stack(AZLON_RESPAWN="on")
    s.stop()
    bad = another_build(s, "bad")
    (bad / "replay").unlink()
    (bad / "replay").write_text("#!/bin/sh\necho 'replay: broken on purpose' >&2\nexit 1\n")
    (bad / "replay").chmod(0o755)
    s.env["AZLON_BIN"] = str(bad)
    r = s.control("start", check=False)
    assert r.returncode != 0 and "replay ended at once" in r.stderr and "broken on purpose" in r.stderr
    assert not list((s.var / "run").glob("*.pid"))


# ---- as systemd does it ----

@contextlib.contextmanager
def held(s, part, *command):
    """The part's socket in our hands, as a socket unit has it. Yields a function that starts a process on it."""
    path, was = s.var / "run" / f"{part}.sock", s.pid(part)
    env = dict(v.decode().split("=", 1) for v in environ(was) if b"=" in v)
    st = path.stat()
    who = {"user": st.st_uid, "group": pwd.getpwuid(st.st_uid).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with socket.socket(socket.AF_UNIX) as listening, open(s.var / "log" / f"{part}.log", "ab") as log:
        listening.bind(str(path) + "!")
        os.chown(str(path) + "!", st.st_uid, st.st_gid)
        os.chmod(str(path) + "!", 0o660)
        listening.listen(1024)
        made = []

        def start(stderr=log):
            made.append(subprocess.Popen(command, stdin=listening, stdout=log, stderr=stderr, env=env, **who))
            return made[-1]

        p = start()
        os.rename(str(path) + "!", path)
        os.kill(was, signal.SIGQUIT)
        until(lambda: not running(was))
        try:
            yield p, start
        finally:
            for p in made:
                p.kill()
                p.wait()


def ended(s, p):
    """How it ended after SIGQUIT: by itself, or by the signal when it had not come to where it takes requests."""
    try:
        assert p.wait(30) in (0, -signal.SIGQUIT)
    except subprocess.TimeoutExpired:
        tasks = pathlib.Path(f"/proc/{p.pid}/task").iterdir()
        where = [(t.name, (t / "wchan").read_text(), (t / "syscall").read_text().split()[:3]) for t in tasks]
        raise AssertionError(f"it does not end: {where}\n{s.logs(40)}") from None


def test_a_socket_that_somebody_holds_outlives_restarts_and_crashes(s):
    paths = [p for p in some_of_everything(s) if p.startswith("/run_workflow") and "wait" not in p]
    exe = os.readlink(f"/proc/{s.pid('run_workflow')}/exe")
    with held(s, "run_workflow", exe) as (p, start):
        with Traffic(s, paths) as t:
            for _ in range(5):
                p.send_signal(signal.SIGQUIT)
                ended(s, p)
                p = start()
        assert not t.failed, (len(t.failed), t.sent, t.failed[:3])
        # two on one socket, one of them restarted: the other serves
        other = start()
        with Traffic(s, paths) as t:
            for _ in range(3):
                other.send_signal(signal.SIGQUIT)
                ended(s, other)
                other = start()
        assert not t.failed, (len(t.failed), t.sent, t.failed[:3])
        # a crash while nothing is in hand costs nobody anything
        for one in (p, other):
            one.kill()
            one.wait()
        got = []
        asking = [threading.Thread(target=lambda: got.append(requests.get(s.url + paths[0], headers={"X-User-ID": "alice"}, timeout=30).status_code))
                  for _ in range(20)]
        for a in asking:
            a.start()
        start()
        for a in asking:
            a.join()
        assert got == [200] * 20


def test_a_stop_that_comes_early_waits_for_the_start(s):
    """Here as early as its first log line, that nobody takes."""
    exe = os.readlink(f"/proc/{s.pid('run_workflow')}/exe")
    taken, full = os.pipe()
    os.set_blocking(full, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(full, b"\n" * select.PIPE_BUF)
    os.set_blocking(full, True)
    with held(s, "run_workflow", exe) as (_, start):
        p = start(full)
        os.close(full)
        blocked = lambda: int(re.search(r"SigBlk:\s*(\w+)", pathlib.Path(f"/proc/{p.pid}/status").read_text())[1], 16)  # noqa: E731
        until(lambda: blocked() >> signal.SIGQUIT - 1 & 1)
        p.send_signal(signal.SIGQUIT)
        while os.read(taken, 65536):
            pass
        assert p.wait(30) == 0
    os.close(taken)


def test_logs_can_be_cut_short_under_the_processes(s):
    """As logrotate's copytruncate does."""
    s.get("/run_workflow")
    logs = [f for f in (s.var / "log").glob("*.log") if f.stat().st_size]
    assert len(logs) > 5
    for f in logs:
        os.truncate(f, 0)
    s.get("/run_workflow")
    log = s.var / "log" / "run_workflow.log"
    until(lambda: b"ev=http.request" in log.read_bytes())
    until(lambda: b"/run_workflow" in (s.var / "log" / "nginx-access.log").read_bytes())
    for f in logs:
        assert b"\0" not in f.read_bytes(), f


def test_what_is_down_is_named(s):
    """The other parts: test_faults.py; S3 and Restack: test_s3_states.py, test_restack_faults.py."""
    down = lambda: s.get("/run_workflow/health/ready").json()["down"]  # noqa: E731
    assert down() == []
    journal = s.var / "journal" / "journal.db"
    os.rename(journal, f"{journal}.away")
    # nobody knows who works, either
    until(lambda: down() == ["engine", "worker"])
    os.rename(f"{journal}.away", journal)
    until(lambda: down() == [])
    shutil.rmtree(s.var / "store")
    until(lambda: down() == ["store"])
