"""Runs on a Restack engine: a real Temporal server, its own client, Restack's own SDK, and
our stack beside them. What is true on the embedded engine must be true here."""
import json
import secrets
import time

import pytest
from conftest import FULL, Stack, example, until
from restack_ai.restack import CloudConnectionOptions, Restack
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHistory, WorkflowQueryFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError
from twin import NAME, Twin

QUEUE = "local-restack"


def wid(user="alice"):
    tail = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))
    return f"user-{user}-{int(time.time() * 1000)}-{tail}"


@pytest.fixture(scope="module")
def engine(temporal):
    from restack_stub import RestackStub

    stub = RestackStub()
    s = Stack(RESTACK_ENGINE_ADDRESS=temporal.address, RESTACK_ENGINE_API_ADDRESS=stub.url)
    s.temporal, s.stub = temporal, stub
    try:
        yield s.start()
    finally:
        s.close()
        stub.close()


def handle(engine, run):
    return engine.temporal.client.get_workflow_handle(f"local-{run}")


def running(engine, run, user="alice"):
    until(lambda: engine.get(f"/run_workflow/{run}", user=user).json()["status"] == "running", within=30)


# ---- our API on their engine ----

def test_a_run_through_nginx_succeeds_and_its_files_are_there(engine):
    run = engine.start_run(example("human-eval-010"))
    assert engine.finish(run)["status"] == "succeeded"
    assert engine.get(f"/files/{run}").json()["files"]
    done = engine.temporal.run(handle(engine, run).describe())
    assert done.status == WorkflowExecutionStatus.COMPLETED and done.workflow_type == NAME
    assert engine.temporal.run(done.memo_value("engineId")) == "local"
    assert engine.temporal.run(done.memo_value("uid")) == "alice"


def test_a_person_replies_in_a_models_place(engine):
    import test_signals

    run = test_signals.by_hand(engine)
    done = engine.temporal.run(handle(engine, run).describe())
    assert done.status == WorkflowExecutionStatus.COMPLETED


def test_public_events_are_the_same_on_both_engines(engine, stack):
    def told(s):
        run = s.start_run(example("human-eval-065"), user="both")
        assert s.finish(run, user="both")["status"] == "succeeded"
        return run, s.events(run, user="both")

    def same(value, run):
        """Without times, durations and ids."""
        if isinstance(value, dict):
            return {k: same(v, run) for k, v in value.items()
                    if k not in ("t", "ms", "sandbox_ms", "sandbox_s", "sandbox_id", "duration_ms", "wall_ms")}
        if isinstance(value, list):
            return [same(v, run) for v in value]
        return value.replace(run, "RUN") if isinstance(value, str) else value

    one, two = told(stack), told(engine)
    assert same(one[1], one[0]) == same(two[1], two[0])


def test_lists_show_own_runs_only_newest_first(engine):
    runs = [engine.start_run(example("human-eval-010"), user="lister") for _ in range(3)]
    engine.start_run(example("human-eval-010"), user="lister2")
    for r in runs:
        engine.finish(r, user="lister")

    def listed():
        page = engine.get("/run_workflow?limit=2", user="lister").json()
        rest = engine.get(f"/run_workflow?limit=2&cursor={page['next_cursor']}", user="lister").json() \
            if page.get("next_cursor") else {"runs": []}
        return [r for r in page["runs"] + rest["runs"]]

    until(lambda: len(listed()) == 3, within=15)
    assert {r["workflow_id"] for r in listed()} == set(runs)
    assert all(r["status"] == "succeeded" for r in listed())


def test_an_idempotency_key_finds_the_first_run(engine):
    body = {**example("human-eval-010"), "mode": "async"}
    first = engine.post("/run_workflow", json=body, headers={"Idempotency-Key": "k-1"})
    again = engine.post("/run_workflow", json=body, headers={"Idempotency-Key": "k-1"})
    assert first.status_code == 202 and again.status_code == 202
    assert again.json()["workflow_id"] == first.json()["workflow_id"]
    assert again.headers["Idempotency-Replayed"] == "true"


def test_cancel_reaches_the_sandbox(engine):
    run = engine.start_run(example("endless"))
    until(lambda: engine.get(f"/run_workflow/{run}").json()["phase"] == "execute", within=60)
    began = time.monotonic()
    assert engine.post(f"/run_workflow/{run}/cancel", json={"mode": "now"}).status_code in (200, 202)
    assert engine.finish(run)["status"] == "cancelled"
    assert time.monotonic() - began < 30  # far below the program's own time; the aim of 5 s is measured by bench
    done = engine.temporal.run(handle(engine, run).describe())
    assert done.status == WorkflowExecutionStatus.CANCELED


def test_a_finished_run_can_be_removed(engine):
    run = engine.start_run(example("human-eval-010"))
    engine.finish(run)
    assert engine.request("DELETE", f"/run_workflow/{run}").status_code in (200, 204)
    if FULL:  # the server takes half a minute to do what it promised
        until(lambda: engine.get(f"/run_workflow/{run}").status_code == 404, within=120, every=1)


# ---- their client on our worker ----

def task(name):
    """An example as another client would post it: checks have ids, since nobody fills them in."""
    body = example(name)
    return {**body, "checks": [{"id": f"c{n}", **c} for n, c in enumerate(body.get("checks", []), 1)]}


def start(engine, body, run=None, **kw):
    """With the pydantic converter: the plain one sorts keys, and a recording is matched by text."""
    run = run or wid()

    async def go():
        client = await Client.connect(engine.temporal.address, data_converter=pydantic_data_converter)
        return await client.start_workflow(NAME, body, id=f"local-{run}", task_queue=QUEUE, **kw)

    return run, engine.temporal.run(go())


def test_temporal_starts_lists_and_reads_a_result(engine):
    run, h = start(engine, task("human-eval-010"))
    result = engine.temporal.run(h.result(), timeout=120)
    assert result["status"] == "succeeded" and result["result"] is True
    # the id says whose it is
    assert engine.get(f"/run_workflow/{run}").json()["status"] == "succeeded"
    assert engine.get(f"/run_workflow/{run}", user="bob").status_code == 404

    async def ids():
        return [w.id async for w in engine.temporal.client.list_workflows(f"WorkflowId = 'local-{run}'")]

    until(lambda: engine.temporal.run(ids()) == [f"local-{run}"], within=15)


def test_temporal_reads_our_failure_as_its_own(engine):
    _, h = start(engine, {"no": "prompt"})
    with pytest.raises(WorkflowFailureError) as e:
        engine.temporal.run(h.result(), timeout=60)
    assert isinstance(e.value.cause, ApplicationError) and e.value.cause.type == "bad_input"
    assert "request" in str(e.value.cause)


def test_temporal_queries_a_running_and_a_finished_run(engine):
    run, h = start(engine, task("endless"))
    running(engine, run)
    status = engine.temporal.run(h.query("status"))
    assert status["status"] == "running" and status["iteration"] >= 1
    with pytest.raises(WorkflowQueryFailedError, match="status"):
        engine.temporal.run(h.query("weather"))
    engine.temporal.run(h.cancel())
    with pytest.raises(WorkflowFailureError) as e:
        engine.temporal.run(h.result(), timeout=90)
    assert isinstance(e.value.cause, CancelledError)
    assert engine.temporal.run(h.query("status"))["status"] == "cancelled"


def test_temporal_signals_and_terminates(engine):
    run, h = start(engine, task("endless"))
    running(engine, run)
    engine.temporal.run(h.signal("anything", {"a": 1}))
    assert engine.get(f"/run_workflow/{run}").json()["status"] == "running"
    engine.temporal.run(h.terminate(reason="enough"))
    with pytest.raises(WorkflowFailureError) as e:
        engine.temporal.run(h.result(), timeout=60)
    assert isinstance(e.value.cause, TerminatedError)
    until(lambda: engine.get(f"/run_workflow/{run}").json()["status"] == "cancelled", within=15)


def test_temporal_sees_a_pending_function_with_its_heartbeat(engine):
    run, h = start(engine, task("endless"))
    until(lambda: engine.get(f"/run_workflow/{run}").json()["phase"] == "execute", within=60)

    def beats():
        d = engine.temporal.run(h.describe()).raw_description
        p = d.pending_activities
        return p and p[0].activity_type.name == "run_with_e2b" and p[0].heartbeat_details.payloads

    until(beats, within=30)
    beat = json.loads(engine.temporal.run(h.describe()).raw_description
                      .pending_activities[0].heartbeat_details.payloads[0].data)
    assert beat["phase"] == "execute"
    engine.temporal.run(h.terminate())


# ---- Temporal's replayer on our histories ----

def replay(engine, history):
    return engine.temporal.run(Replayer(workflows=[Twin]).replay_workflow(history), timeout=60)


@pytest.mark.parametrize("name", ["human-eval-010", "human-eval-065"])
def test_the_official_replayer_accepts_our_histories(engine, name):
    run = engine.start_run(example(name))
    engine.finish(run)
    replay(engine, engine.temporal.run(handle(engine, run).fetch_history()))


def test_the_official_replayer_refuses_a_tampered_history(engine):
    run = engine.start_run(example("human-eval-010"))
    engine.finish(run)
    history = json.loads(engine.temporal.run(handle(engine, run).fetch_history()).to_json())
    step = next(e for e in history["events"] if "activityTaskScheduledEventAttributes" in e)
    step["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "run_with_e2b"
    with pytest.raises(NondeterminismError):
        replay(engine, WorkflowHistory.from_json(run, history))


# ---- Restack's SDK ----

def sdk(engine):
    return Restack(CloudConnectionOptions(
        engine_id="local", api_key=None, address=engine.temporal.address, api_address=engine.stub.host))


def test_restack_schedules_our_workflow_and_gets_its_result(engine):
    run = wid("carol")
    client = sdk(engine)

    async def go():
        run_id = await client.schedule_workflow(
            workflow_name=NAME, workflow_id=run, workflow_input=task("human-eval-010"))
        return await client.get_workflow_result(workflow_id=run, run_id=run_id)

    result = engine.temporal.run(go(), timeout=120)
    assert result["status"] == "succeeded"
    assert engine.get(f"/run_workflow/{run}", user="carol").json()["status"] == "succeeded"


def test_our_worker_is_registered_with_the_engine(engine):
    body = engine.stub.registered()[0]
    assert [w["name"] for w in body["workflows"]] == [NAME, "UserWorkflow"] and body["agents"] == []
    assert body["workflows"][0]["task_queue"] == "restack"
    assert "user_prompt" in body["workflows"][0]["input_schema"]["properties"]
