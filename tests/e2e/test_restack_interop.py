"""Our stack beside what others bring: their service for our workflow, their encryption, plain
or stingy servers, addresses as people write them."""
import json
import signal

import pytest
from conftest import Stack, example, until
from restack_ai.restack import CloudConnectionOptions, Restack
from restack_ai.sensitive_codec import sensitive
from restack_stub import RestackStub, service
from test_restack import task, wid
from twin import NAME

KEY = bytes(range(32))


@pytest.fixture
def place():
    """place(server, **env): a stack on that server."""
    made = []

    def make(server, **extra):
        made.append(Stack(**{"RESTACK_ENGINE_ADDRESS": server.address, "AZLON_RESTACK_ENDPOINTS": "false", **extra}))
        return made[-1].start()

    yield make
    for s in made:
        s.close()


def sdk(server, stub, engine_id):
    return Restack(CloudConnectionOptions(
        engine_id=engine_id, api_key=None, address=server.address, api_address=stub.host))


def whole_log(s):
    return "".join(f.read_text(errors="replace") for f in sorted((s.var / "log").glob("*.log")))


# ---- their service, our client ----

@pytest.fixture
def theirs(place, temporal, restack_stub):
    """Our stack without its worker, and a service of theirs at work instead."""
    s = place(temporal, RESTACK_ENGINE_ID="theirs")
    s.kill_and_wait("worker", signal.SIGTERM)
    with service("restack_coder.py", temporal, restack_stub, "theirs"):
        yield s


def test_a_service_of_theirs_does_our_run(theirs, temporal):
    run = theirs.start_run({**example("human-eval-010"), "user_prompt": "please"})
    h = temporal.client.get_workflow_handle(f"theirs-{run}")
    assert temporal.run(h.result())["summary"] == "PLEASE"


def test_the_result_of_a_service_of_theirs_is_shown(theirs, temporal):
    run = theirs.start_run({**example("human-eval-010"), "user_prompt": "please"})
    temporal.run(temporal.client.get_workflow_handle(f"theirs-{run}").result())
    done = theirs.finish(run)
    assert (done["status"], done["result"]) == ("succeeded", True)


# ---- engine-managed encryption ----

def test_a_prompt_that_is_sensitive_reaches_the_functions_only(place, temporal):
    stub = RestackStub(key=KEY)
    try:
        s = place(temporal, RESTACK_ENGINE_ID="secret", RESTACK_ENGINE_API_ADDRESS=stub.url)
        body = task("human-eval-010")
        prompt = body["user_prompt"]
        client, run = sdk(temporal, stub, "secret"), wid()

        async def go():
            run_id = await client.schedule_workflow(
                workflow_name=NAME, workflow_id=run, workflow_input={**body, "user_prompt": sensitive(prompt)})
            return await client.get_workflow_result(workflow_id=run, run_id=run_id)

        # the recording is found by the text of the prompt: the model's side saw it plain
        assert temporal.run(go(), timeout=120)["status"] == "succeeded"
        assert s.get(f"/run_workflow/{run}").json()["status"] == "succeeded"
        asked = s.get(f"/run_workflow/{run}/request").json()
        assert asked["user_prompt"] is None and asked["test_conditions"] == body["test_conditions"]

        h = temporal.client.get_workflow_handle(f"secret-{run}")
        events = temporal.run(h.fetch_history()).events
        given = json.loads(events[0].workflow_execution_started_event_attributes.input.payloads[0].data)
        assert given["user_prompt"].keys() == {"__restack_encrypted__", "alg", "iv", "ct"}
        told = prompt.strip().splitlines()[0][:40].encode()
        assert len(told) > 10
        scheduled = [e.activity_task_scheduled_event_attributes.input.payloads[0].data for e in events
                     if e.HasField("activity_task_scheduled_event_attributes")]
        assert any(b"__restack_encrypted__" in d for d in scheduled) and not any(told in d for d in scheduled)
        assert told.decode() not in whole_log(s)
    finally:
        stub.close()


def test_an_encrypted_prompt_without_the_key_is_refused_by_name(place, temporal):
    theirs, ours = RestackStub(key=KEY), RestackStub()
    try:
        s = place(temporal, RESTACK_ENGINE_ID="keyless", RESTACK_ENGINE_API_ADDRESS=ours.url)
        body, run = task("human-eval-010"), wid()
        temporal.run(sdk(temporal, theirs, "keyless").schedule_workflow(
            workflow_name=NAME, workflow_id=run,
            workflow_input={**body, "user_prompt": sensitive(body["user_prompt"])}))
        done = s.finish(run)
        assert done["status"] == "failed"
        assert "user_prompt" in json.dumps(done) and "encrypted" in json.dumps(done)
    finally:
        theirs.close()
        ours.close()


# ---- servers that are otherwise ----

def test_plain_temporal_knows_no_attribute_and_runs_start_all_the_same(place, own_temporal):
    server = own_temporal(search_attributes={})
    s = place(server)
    runs = [s.start_run(example("human-eval-010")) for _ in range(3)]
    assert [s.finish(r)["status"] for r in runs] == ["succeeded"] * 3
    warned = [line for line in whole_log(s).splitlines() if "engine.degraded" in line]
    assert len(warned) == 2 and all("engineId" in line for line in warned)  # once in each process that starts something
    until(lambda: len(s.get("/run_workflow").json()["runs"]) == 3, within=20)


def test_a_start_over_the_servers_limit_is_a_clear_error(place, own_temporal):
    server = own_temporal(dynamic={"limit.blobSize.error": 2000, "limit.blobSize.warn": 1000})
    s = place(server)
    r = s.post("/run_workflow", json={**example("human-eval-010"), "user_prompt": "x" * 4000, "mode": "async"})
    assert r.status_code == 413, r.text

    async def runs():
        return [w.id async for w in server.client.list_workflows("")]

    assert server.run(runs()) == []


# ---- addresses as people write them ----

@pytest.mark.parametrize("form", ["url", "old pair"])
def test_addresses_are_taken_as_they_come(place, temporal, restack_stub, form):
    env = {"url": {"RESTACK_ENGINE_ADDRESS": f"http://{temporal.address}"},
           "old pair": {"RESTACK_TEMPORAL_ADDRESS": temporal.address, "RESTACK_ENGINE_ADDRESS": restack_stub.url,
                        "AZLON_RESTACK_ENDPOINTS": "true"}}[form]
    s = place(temporal, RESTACK_ENGINE_ID=f"form-{form[:3]}", **env)
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
    if form == "old pair":
        assert [w["name"] for w in restack_stub.registered()[0]["workflows"]] == [NAME, "UserWorkflow"]
