"""A Restack engine that fails: it is shot, away, slow, answers twice or not at all; workers die
and fall behind. Whatever was accepted ends once, and in the right state."""
import contextlib
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest
import requests
from conftest import BIN, FULL, RECORDINGS, Stack, example, free_ports, sockets, until
from grpc_peer import UNAUTHENTICATED, Proxy
from temporal_peer import Temporal
from test_faults import accepting, check_finished_once, check_nothing_lost, ready, scripts, under_way
from test_hostile import JUDGE, reply
from temporalio.api.enums.v1 import EventType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import WorkflowExecutionStatus

SHOTS = 30 if FULL else 5
ACTIVITIES, WORKFLOWS = "PollActivityTaskQueue", "PollWorkflowTaskQueue"
RESPONDS = ("RespondActivityTaskCompleted", "RespondWorkflowTaskCompleted")
ASKED = ("StartWorkflowExecution", "DescribeWorkflowExecution", "GetWorkflowExecutionHistory")
SLOW = b"sleep\x003.750731"


@pytest.fixture(scope="module")
def recordings():
    """All of them, and recording/slow: its program sleeps for a while."""
    code = "import subprocess\nsubprocess.run(['sleep', '3.750731'])\nprint('fine')\n"
    with scripts("slow", reply(code), JUDGE) as d:
        for f in RECORDINGS.glob("*.jsonl"):
            shutil.copy(f, d)
        yield {"AZLON_RECORDINGS": str(d), "AZLON_RECORD": str(d)}


def slow_run(s):
    return s.start_run({
        "model": "recording/slow", "user_prompt": "Print fine.", "test_conditions": "fine is printed",
        "checks": [{"id": "o", "run": "echo fine", "expect": {"stdout_contains": "fine"}}],
        "limits": {"iterations": 1}})


def stack_on(address, **extra):
    return Stack(RESTACK_ENGINE_ADDRESS=address, RESTACK_ENGINE_ID="faults", AZLON_RESTACK_ENDPOINTS="false", **extra)


@pytest.fixture(scope="module")
def server():
    """A server that may be shot: its runs are on a file. It ends the polls of a worker that stops."""
    t = Temporal(persistent=True)
    try:
        yield t.start()
    finally:
        t.close()


@pytest.fixture(scope="module")
def direct(server, recordings):
    """A stack on that server."""
    s = stack_on(server.address, **recordings)
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(scope="module")
def behind(temporal, recordings):
    """A stack behind a proxy that does what s.proxy.script() says."""
    proxy = Proxy(temporal)
    s = stack_on(proxy.address, **recordings)
    s.proxy = proxy
    try:
        yield s.start()
    finally:
        s.close()
        proxy.close()


@pytest.fixture
def faulty(behind):
    yield behind
    behind.proxy.script()


def history(server, run):
    return server.run(server.client.get_workflow_handle(f"faults-{run}").fetch_history()).events


def types(server, run):
    return [EventType.Name(e.event_type).removeprefix("EVENT_TYPE_") for e in history(server, run)]


def logged(s, ev, part="worker"):
    return re.findall(rf"^.* ev={ev} .*$", (s.var / "log" / f"{part}.log").read_text(), re.M)


def finished_once(s, server, run, name):
    check_finished_once(s, run, name)
    done = server.run(server.client.get_workflow_handle(f"faults-{run}").describe())
    assert done.status == WorkflowExecutionStatus.COMPLETED


# ---- what a network and a busy server do ----

@pytest.mark.parametrize("fault", [
    {"goaway_s": 2},
    {"slow": True},
    {"bare": True},
    {"cut": {m: 2 for m in (*RESPONDS, *ASKED, "RecordActivityTaskHeartbeat", ACTIVITIES, WORKFLOWS)}},
    {"reset": {m: 2 for m in (*RESPONDS, *ASKED, "RecordActivityTaskHeartbeat", ACTIVITIES, WORKFLOWS)}},
    {"mute": {m: 1 for m in (*RESPONDS, "RecordActivityTaskHeartbeat")}},
    {"refuse": {m: 2 for m in (*RESPONDS, *ASKED, ACTIVITIES, WORKFLOWS)}},
    {"twice": {ACTIVITIES: 4, WORKFLOWS: 4}},
], ids=lambda f: next(iter(f)))
def test_a_run_succeeds_once_through(faulty, temporal, fault):
    proxy = faulty.proxy
    # a task whose answer is torn waits for its timeout
    proxy.script(**fault, heartbeat_s=4)
    if "goaway_s" in fault:  # idle polls are told too
        until(lambda: proxy.done["goaway", "connection"] >= 10, within=20)
    names = ("human-eval-010", "human-eval-065")
    runs = [(faulty.start_run(example(n)), n) for n in names]
    for run, name in runs:
        finished_once(faulty, temporal, run, name)
    done = dict(proxy.done)
    kind = next(iter(fault))
    if kind == "twice":
        assert logged(faulty, "engine.repeated")
    for method in fault[kind] if isinstance(fault[kind], dict) else ():
        if method != "RecordActivityTaskHeartbeat":  # short functions send none
            assert done.get((kind, method)), (method, done)


def test_a_start_whose_answer_never_comes_is_found_again(faulty, temporal):
    faulty.proxy.script(mute={"StartWorkflowExecution": 1})
    body = {**example("human-eval-010"), "mode": "async"}
    key = {"Idempotency-Key": "mute-1"}
    began = time.monotonic()
    r = faulty.post("/run_workflow", json=body, headers=key, user="mute", timeout=20)
    print(f"answered after {time.monotonic() - began:.1f} s")
    assert r.status_code == 503 and "engine" in r.json()["detail"], r.text
    r = faulty.post("/run_workflow", json=body, headers=key, user="mute")
    assert r.status_code == 202, r.text
    run = r.json()["workflow_id"]
    assert faulty.finish(run, user="mute")["status"] == "succeeded"
    until(lambda: [w["workflow_id"] for w in faulty.get("/run_workflow", user="mute").json()["runs"]] == [run], 20)


def test_a_cancel_reaches_the_sandbox_through_a_slow_network(faulty, temporal):
    faulty.proxy.script(slow=True)
    run = faulty.start_run(example("endless"))
    until(lambda: faulty.get(f"/run_workflow/{run}").json()["phase"] == "execute", within=60)
    began = time.monotonic()
    assert faulty.post(f"/run_workflow/{run}/cancel", json={"mode": "now"}).status_code in (200, 202)
    assert faulty.finish(run)["status"] == "cancelled"
    print(f"cancelled after {time.monotonic() - began:.1f} s")
    seen = [t for t in types(temporal, run) if "CANCEL" in t]
    assert seen == ["WORKFLOW_EXECUTION_CANCEL_REQUESTED", "ACTIVITY_TASK_CANCEL_REQUESTED",
                    "ACTIVITY_TASK_CANCELED", "TIMER_CANCELED", "WORKFLOW_EXECUTION_CANCELED"][:3] + seen[3:]
    assert seen[-1] == "WORKFLOW_EXECUTION_CANCELED"


# ---- workers that fall behind, stop, die ----

@contextlib.contextmanager
def second_worker(s):
    """Another process on the same queue, as the first was started."""
    first = pathlib.Path(f"/proc/{s.pid('worker')}")
    env = dict(v.split("=", 1) for v in (first / "environ").read_text().split("\0") if "=" in v)
    owner = first.stat()
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}
    log = s.var / "log" / "worker-2.log"
    with open(log, "ab") as out:
        p = subprocess.Popen([os.readlink(first / "exe")], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **who)
    try:
        yield p
    finally:
        p.send_signal(signal.SIGCONT)
        p.terminate()
        p.wait(30)


def carried_out_by(server, run):
    """(function, pid of its worker) of what is under way."""
    d = server.run(server.client.get_workflow_handle(f"faults-{run}").describe()).raw_description
    return [(p.activity_type.name, int(p.last_worker_identity.rsplit("-", 1)[1]))
            for p in d.pending_activities if p.last_worker_identity]


def test_another_worker_takes_over_and_the_late_result_is_dropped(faulty, temporal):
    faulty.proxy.script(heartbeat_s=4)
    with second_worker(faulty) as other:
        until(lambda: "worker.start" in (faulty.var / "log" / "worker-2.log").read_text())
        pids = {faulty.pid("worker"): "worker", other.pid: "worker-2"}
        run = slow_run(faulty)
        until(lambda: under_way(SLOW), 60)
        (fn, pid), = carried_out_by(temporal, run)
        assert fn == "run_with_e2b"
        late = pids.pop(pid)
        dropped = len(logged(faulty, "engine.result_dropped", late))
        os.kill(pid, signal.SIGSTOP)
        try:
            # each poll that waited in the stopped worker takes a try along
            until(lambda: carried_out_by(temporal, run) == [(fn, *pids)], within=150)
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: len(logged(faulty, "engine.result_dropped", late)) > dropped, within=60)
        done = faulty.finish(run)
        assert (done["status"], done["progress"]["iteration"]) == ("succeeded", 1)
        events = [e["type"] for e in faulty.events(run)]
        assert events.count("run.finished") == 1 and events[-1] == "run.finished"
        program = [e.activity_task_started_event_attributes for e in history(temporal, run)
                   if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED][2]
        assert program.attempt > 1 and program.identity == f"faults-{next(iter(pids))}"
        assert types(temporal, run).count("ACTIVITY_TASK_COMPLETED") == 5


def test_a_worker_told_to_stop_loses_nothing(direct, server):
    runs = [(slow_run(direct), "slow")]
    until(lambda: under_way(SLOW), 60)
    runs += [(direct.start_run(example("human-eval-010")), "human-eval-010") for _ in range(4)]
    direct.kill_and_wait("worker", signal.SIGTERM, within=30)
    assert logged(direct, "worker.stop")[-1].endswith("status=0")
    direct.control("start")
    for run, name in runs:
        if name == "slow":
            assert direct.finish(run)["status"] == "succeeded"
        else:
            check_finished_once(direct, run, name)
        for e in history(server, run):
            assert "TIMED_OUT" not in EventType.Name(e.event_type), e
            if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                a = e.activity_task_started_event_attributes
                assert a.attempt == 1 or a.last_failure.application_failure_info.type == "worker_stopped", e


# ---- an engine that is away ----

def stream(s, run, into):
    """(number, name) of the events of a run, as a browser reads them: it comes back after a break."""
    while True:
        last = into[-1][0] if into else 0
        headers = {"X-User-ID": "alice", "Accept": "text/event-stream", "Last-Event-ID": str(last)}
        # a session belongs to one thread
        r = requests.get(s.url + f"/run_workflow/{run}/events", headers=headers, stream=True, timeout=60)
        if r.status_code != 200:
            time.sleep(0.2)
            continue
        number = 0
        for line in r.iter_lines(decode_unicode=True):
            key, _, value = line.partition(": ")
            if key == "id":
                number = int(value)
            elif key == "event" and value != "progress":
                into.append((number, value))
                if value == "run.finished":
                    return


def test_an_engine_that_is_away_is_named_and_nothing_is_half_started(direct, server):
    user = "away"
    done = direct.start_run(example("human-eval-010"), user=user)
    assert direct.finish(done, user=user)["status"] == "succeeded"
    run = direct.start_run(example("endless"))
    until(lambda: direct.get(f"/run_workflow/{run}").json()["phase"] == "execute", within=60)
    told, polled = [], []
    waiters = [threading.Thread(target=lambda: polled.append(requests.get(
                   direct.url + f"/run_workflow/{run}/result?wait=120", headers={"X-User-ID": "alice"}, timeout=180))),
               threading.Thread(target=stream, args=(direct, run, told))]
    waits = direct.pid("run_workflow-wait")
    before = sockets(waits)
    waiters[0].start()
    until(lambda: sockets(waits) > before)
    waiters[1].start()
    until(lambda: told)
    server.stop()
    began = time.monotonic()
    r = direct.post("/run_workflow", json={**example("human-eval-010"), "mode": "async"}, user=user, timeout=20)
    print(f"refused after {time.monotonic() - began:.1f} s")
    assert r.status_code == 503 and "engine" in r.json()["detail"] and r.headers["Retry-After"], r.text
    for path in (f"/run_workflow/{done}", f"/run_workflow/{run}", "/run_workflow"):
        began = time.monotonic()
        r = direct.get(path, user="alice" if run in path else user, timeout=20)
        print(f"{path}: {time.monotonic() - began:.1f} s")
        assert r.status_code == 503 and "engine" in r.json()["detail"], r.text
    r = ready(direct)
    assert r.status_code == 503 and "engine" in r.json()["down"]
    server.start()
    until(lambda: ready(direct).status_code == 200, within=60)
    assert all(w.is_alive() for w in waiters), [r.text for r in polled]
    until(lambda: [w["workflow_id"] for w in direct.get("/run_workflow", user=user).json()["runs"]] == [done])
    assert direct.post(f"/run_workflow/{run}/cancel", json={"mode": "now"}).status_code in (200, 202)
    for w in waiters:
        w.join(60)
        assert not w.is_alive()
    assert polled[0].status_code == 200 and polled[0].json()["run"]["status"] == "cancelled", polled[0].text
    assert told == [(e["seq"], e["type"]) for e in direct.events(run)]


def test_an_engine_that_hangs_is_named_too(direct, server):
    server.pause()
    try:
        for ask in (lambda: direct.post("/run_workflow", json={**example("human-eval-010"), "mode": "async"},
                                        user="hung", timeout=20),
                    lambda: direct.get("/run_workflow", user="hung", timeout=20)):
            began = time.monotonic()
            r = ask()
            print(f"gave up after {time.monotonic() - began:.1f} s")
            assert r.status_code == 503 and "engine" in r.json()["detail"], r.text
        assert "engine" in ready(direct).json()["down"]
    finally:
        server.resume()
    until(lambda: ready(direct).status_code == 200, within=60)


def test_random_kills_lose_nothing_on_a_restack_engine(own_stack, server, grpc_peer, recordings):
    """Through a proxy that shortens the server's patience with dead workers, to save time."""
    address = server.address if FULL else grpc_peer(server, heartbeat_s=4).address
    s = own_stack(RESTACK_ENGINE_ADDRESS=address, RESTACK_ENGINE_ID="shots", AZLON_RESTACK_ENDPOINTS="false")
    rng = random.Random(20261128)
    victims = ["worker", "engine", "run_workflow", "run_workflow-wait"]
    with accepting(s, 10 + SHOTS) as accepted:
        for n in range(SHOTS):
            victim = victims[n] if n < len(victims) else rng.choice(victims)
            time.sleep(rng.uniform(0.05, 0.6))
            if victim == "engine":
                server.restart()
            else:
                s.kill(victim)
                s.control("start")
    check_nothing_lost(s, accepted)


# ---- settings that are wrong ----

@contextlib.contextmanager
def lone_worker(address, **extra):
    """Nothing but a worker; yields the process, its log in p.log()."""
    var = pathlib.Path(tempfile.mkdtemp(prefix="azlon-worker-"))
    (var / "secret").mkdir()
    for name in ("e2b", "replay"):
        (var / "secret" / f"{name}.key").write_text(f"{name}_{'0' * 40}")
    env = {"PATH": os.environ["PATH"], "AZLON_VAR": str(var), "RESTACK_ENGINE_ADDRESS": address,
           "RESTACK_ENGINE_ID": "faults", "AZLON_RESTACK_ENDPOINTS": "false", **extra}
    with open(var / "log", "ab") as out:
        p = subprocess.Popen([BIN / "worker"], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    p.log = (var / "log").read_text
    try:
        yield p
    finally:
        if p.poll() is None:
            p.terminate()
        p.wait(30)
        shutil.rmtree(var, ignore_errors=True)


def said(p, ev):
    """The err field of each line of that event."""
    return re.findall(rf'^.* ev={ev} .*err="((?:[^"\\]|\\.)*)"', p.log(), re.M)


def test_a_worker_waits_for_its_engine_and_goes_on(server):
    server.stop()
    with lone_worker(server.address) as p:
        until(lambda: said(p, "engine.away"))
        server.start()
        until(lambda: " ev=engine.back" in p.log(), within=30)
        assert len(said(p, "engine.away")) == 1
        until(lambda: server.run(pollers(server)), within=15)
        p.terminate()
        assert p.wait(30) == 0


async def pollers(server):
    """Who polls the lone worker's queue."""
    r = await server.client.workflow_service.describe_task_queue(DescribeTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name="faults-restack"),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW))
    return list(r.pollers)


@pytest.fixture
def web_page():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_error(405)

        def log_message(self, *args):
            pass

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    t = threading.Thread(target=s.serve_forever, args=(0.05,), daemon=True)
    t.start()
    yield f"127.0.0.1:{s.server_port}"
    s.shutdown()
    t.join()
    s.server_close()


@pytest.fixture
def wrong(temporal, grpc_peer, web_page, behind):
    """name -> (address, other settings, what the log says)"""
    refused = f"127.0.0.1:{free_ports(1)[0]}"
    locked = grpc_peer(deny=(UNAUTHENTICATED, "invalid api key")).address
    ca = {"AZLON_RESTACK_CA_FILE": str(behind.var / "tls" / "ca.pem")}
    return {
        "name": ("no-such-host.invalid:7233", {}, r"no-such-host\.invalid:7233 has no address"),
        "port": (refused, {}, rf"no gRPC server at {refused}: Connection refused"),
        "key": (locked, {}, rf"{locked} refused the key \(UNAUTHENTICATED\): invalid api key"),
        "namespace": (temporal.address, {"AZLON_RESTACK_NAMESPACE": "nope"}, r"Namespace nope is not found"),
        "page": (web_page, {}, rf"{web_page} .*is it a gRPC server"),
        "nginx": (f"127.0.0.1:{behind.port}", {}, rf"127\.0\.0\.1:{behind.port} .*is it a gRPC server"),
        "nginx-tls": (f"https://localhost:{behind.tls_port}", ca,
                      rf"no gRPC server at localhost:{behind.tls_port} \(a web page answered, HTTP 4\d\d\)"),
        "tls": (f"https://{temporal.address}", {}, rf"{temporal.address} did not shake hands for TLS; is it a port without TLS\?"),
    }


@pytest.mark.parametrize("what", ["name", "port", "key", "namespace", "page", "nginx", "nginx-tls", "tls"])
def test_a_wrong_setting_is_told_in_a_sentence(wrong, what):
    address, settings, sentence = wrong[what]
    with lone_worker(address, **settings) as p:
        until(lambda: said(p, "engine.away"), within=30)
        (told,) = said(p, "engine.away")
        assert re.search(sentence, told), told
        with pytest.raises(subprocess.TimeoutExpired):  # an engine may be mended: it waits
            p.wait(1)
        p.terminate()
        assert p.wait(30) == 0


def test_an_address_that_is_none_is_refused_at_once():
    for address in ("a b:7233", "127.0.0.1:99999", "ftp://127.0.0.1:7233"):
        with lone_worker(address) as p:
            assert p.wait(20) == 78, p.log()
            (told,) = said(p, "worker.refused")
            assert told.startswith("RESTACK_ENGINE_ADDRESS"), told


@pytest.mark.skipif(not FULL, reason="a worker forgives for a minute")
def test_what_stays_wrong_ends_the_worker(wrong):
    with contextlib.ExitStack() as all_of_them:
        started = {w: all_of_them.enter_context(lone_worker(wrong[w][0], **wrong[w][1]))
                   for w in ("key", "namespace", "nginx-tls")}
        for what, p in started.items():
            assert p.wait(120) == 1, what
            assert re.search(wrong[what][2], said(p, "worker.end")[0]), p.log()


def test_a_wrong_setting_is_the_operators_to_mend_and_callers_hear_503(own_stack, temporal):
    s = own_stack(RESTACK_ENGINE_ADDRESS=temporal.address, AZLON_RESTACK_NAMESPACE="nope", AZLON_RESTACK_ENDPOINTS="false")
    r = s.post("/run_workflow", json={**example("human-eval-010"), "mode": "async"}, timeout=20)
    assert r.status_code == 503 and "engine" in r.json()["detail"], r.text
    assert "Namespace nope is not found" in logged(s, "api.dependency", "run_workflow")[-1]
    assert "engine" in ready(s).json()["down"]
