"""Processes die; no accepted run is lost and none finishes twice."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import tempfile
import threading
import time

import pytest
import requests

from conftest import FULL, RECORDINGS, example, sockets, until
from test_hostile import JUDGE, reply

KILLS = 50 if FULL else 10
EXPECTED = {
    "human-eval-001": ("succeeded", 1), "human-eval-010": ("succeeded", 1), "human-eval-065": ("succeeded", 2),
    "human-eval-108": ("succeeded", 2), "human-eval-127": ("succeeded", 1), "hopeless": ("failed", 3),
}


def check_finished_once(s, wid, name):
    run = s.finish(wid, within=180)
    status, iterations = EXPECTED[name]
    events = s.events(wid)
    assert (run["status"], run["progress"]["iteration"]) == (status, iterations), (name, run, events)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert [e["type"] for e in events].count("run.finished") == 1
    assert [e["type"] for e in events].count("iteration.start") == iterations
    assert events[-1]["type"] == "run.finished"


@contextlib.contextmanager
def accepting(s, most):
    """Start runs one after the other; yields what was accepted, as (workflow id, example)."""
    accepted = []
    stop = threading.Event()

    def client():
        names = sorted(EXPECTED)
        while not stop.is_set() and len(accepted) < most:
            name = names[len(accepted) % len(names)]
            try:
                r = requests.post(s.url + "/run_workflow", json={**example(name), "mode": "async"},
                                  headers={"X-User-ID": "alice"}, timeout=10)
            except requests.RequestException:
                stop.wait(0.1)
                continue
            if r.status_code == 202:  # what was accepted must survive
                accepted.append((r.json()["workflow_id"], name))
            stop.wait(0.25)

    t = threading.Thread(target=client)
    t.start()
    try:
        until(lambda: len(accepted) >= 3, 30)
        yield accepted
    finally:
        stop.set()
        t.join()


def check_nothing_lost(s, accepted):
    assert len(accepted) >= 5
    for wid, name in accepted:
        check_finished_once(s, wid, name)
    listed = []
    cursor = ""
    while True:
        page = s.get(f"/run_workflow?limit=100&cursor={cursor}").json()
        listed += [r["workflow_id"] for r in page["runs"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(listed) == len(set(listed))
    assert set(w for w, _ in accepted) <= set(listed)


def test_random_kills_lose_nothing(own_stack):
    s = own_stack()
    rng = random.Random(20261124)
    with accepting(s, 12 + 2 * KILLS) as accepted:
        for n in range(KILLS):
            if n % 5 == 4:
                targets = ["worker", "run_workflow", "run_workflow-wait", "files", "sandbox", "replay"]
            else:
                targets = [rng.choice(["worker", "worker", "worker", "sandbox", "replay", "run_workflow"])]
            time.sleep(rng.uniform(0.05, 0.6))
            for part in targets:
                s.kill(part)
            s.control("start")
    check_nothing_lost(s, accepted)


def ready(s):
    return requests.get(s.url + "/run_workflow/health/ready", timeout=20)


def test_a_dead_part_is_named_and_waited_for(own_stack):
    s = own_stack()
    for part in ("sandbox", "replay", "worker"):
        s.kill_and_wait(part)
        until(lambda: ready(s).status_code == 503, 20)
        r = ready(s)
        assert {"sandbox": "sandbox", "replay": "llm", "worker": "worker"}[part] in r.text, (part, r.text)
        wid = s.start_run(example("human-eval-010"))
        # it waits: still open after a moment, nothing failed
        now = s.get(f"/run_workflow/{wid}?wait=2").json()
        assert now["status"] in ("queued", "running"), (part, now)
        s.control("start")
        assert s.finish(wid)["status"] == "succeeded", part
    s.kill_and_wait("run_workflow")
    r = s.get("/run_workflow")
    assert r.status_code == 503 and "run_workflow" in r.json()["detail"]
    s.control("start")
    assert s.get("/run_workflow").status_code == 200


def test_stop_is_graceful_and_runs_go_on_after_it(own_stack):
    s = own_stack()
    wid = s.start_run(example("hopeless"))
    s.stop()
    for part in ("nginx", "run_workflow", "worker", "sandbox"):
        assert not (s.var / "run" / f"{part}.pid").exists()
    s.start()
    check_finished_once(s, wid, "hopeless")


def test_sigterm_lets_a_request_in_hand_finish(own_stack):
    s = own_stack()
    wid = s.start_run(example("endless"))
    got = {}

    def waiter():
        got["r"] = s.get(f"/run_workflow/{wid}?wait=20")

    waits = s.pid("run_workflow-wait")
    before = sockets(waits)
    t = threading.Thread(target=waiter)
    t.start()
    until(lambda: sockets(waits) > before)  # it has the request
    s.kill("run_workflow-wait", signal.SIGTERM)
    t.join(30)
    assert got["r"].status_code == 200, got["r"].text
    s.control("start")
    s.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    s.finish(wid)


# found by their command lines, so no other suite on this host may sleep as long
NAP, CHECK_NAP = f"4.25{os.getpid():07d}", f"2.75{os.getpid():07d}"
SLOW = f"import subprocess\nsubprocess.run(['sleep', '{NAP}'])\nprint('fine')\n"


def under_way(text):
    """Does a process of this host, in a sandbox or not, have that in its command line?"""
    for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in p.read_bytes():
                return True
        except OSError:
            continue
    return False


@contextlib.contextmanager
def scripts(name, *replies):
    """A directory in which model recording/NAME answers so, for AZLON_RECORDINGS and AZLON_RECORD."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="azlon-scripts-"))
    try:
        (d / name).mkdir()
        for n, text in enumerate(replies, 1):
            (d / name / f"{n}.md").write_text(text)
        shutil.copy(RECORDINGS / "weather" / "provenance.json", d / name)
        for p in [d, *d.rglob("*")]:
            os.chmod(p, 0o777 if p.is_dir() else 0o666)
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


@pytest.mark.parametrize("command, phase", [(f"sleep\0{NAP}", "execute"), (f"sleep {CHECK_NAP}", "check")], ids=["execute", "check"])
def test_a_sandbox_server_that_dies_is_waited_for_and_nobodys_failure(own_stack, command, phase):
    with scripts("slow", reply(SLOW), JUDGE) as d:
        s = own_stack(AZLON_RECORDINGS=str(d), AZLON_RECORD=str(d))
        wid = s.start_run({
            "model": "recording/slow", "user_prompt": "Print fine.", "test_conditions": "fine is printed",
            "checks": [{"id": "o", "run": f"sleep {CHECK_NAP}; echo fine", "expect": {"stdout_contains": "fine"}}],
            "limits": {"iterations": 1}})
        until(lambda: under_way(command.encode()), 60)
        until(lambda: s.get(f"/run_workflow/{wid}").json()["phase"] == phase)
        s.kill_and_wait("sandbox")
        until(lambda: not under_way(command.encode()))  # no box outlives its server
        now = s.get(f"/run_workflow/{wid}?wait=2").json()
        assert now["status"] == "running", now
        s.control("start")
        run = s.finish(wid, within=60)
        assert (run["status"], run["progress"]["iteration"]) == ("succeeded", 1), (run, s.events(wid))
        assert [c["status"] for c in run["checks"] if c["id"] == "o"] == ["pass"]
