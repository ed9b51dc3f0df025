"""The peers of the engine's tests are what they claim to be: Restack's own SDK, client and
worker, works with the Temporal server and the stub of Restack's HTTP API."""
import json
import time

import pytest
from restack_ai import Restack
from restack_ai.payload_codec import LargePayloadCodec
from restack_ai.restack import CloudConnectionOptions
from restack_ai.sensitive_codec import sensitive
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError

import restack_stub as stub_module

KEY = bytes(range(32))


def sdk(temporal, stub):
    return Restack(CloudConnectionOptions(
        engine_id="local", api_key=None, address=temporal.address, api_address=stub.host))


@pytest.fixture
def service(temporal, restack_stub):
    """The sample service at work, with an engine that encrypts; a client of it."""
    restack_stub.key = KEY
    with stub_module.service("restack_sample.py", temporal, restack_stub, "local"):
        yield sdk(temporal, restack_stub)


def test_a_service_registers_runs_and_encrypts(service, temporal, restack_stub):
    wid = f"{time.time_ns()}-Shout"
    run_id = temporal.run(service.schedule_workflow(
        workflow_name="Shout", workflow_id=wid, task_queue="sample",
        workflow_input={"word": "hello", "secret": sensitive("pw")}))
    handle = temporal.client.get_workflow_handle(f"local-{wid}", run_id=run_id)
    assert temporal.run(handle.result()) == {"said": "HELLO", "secret_length": 2}

    (registered,) = restack_stub.registered()
    assert [(w["name"], w["task_queue"]) for w in registered["workflows"]] == [("Shout", "sample")]
    events = temporal.run(handle.fetch_history()).events
    given = json.loads(events[0].workflow_execution_started_event_attributes.input.payloads[0].data)
    assert given["word"] == "hello"
    assert given["secret"].keys() == {"__restack_encrypted__", "alg", "iv", "ct"}


def test_an_engine_without_the_search_attribute_refuses_the_sdk(own_temporal, restack_stub):
    plain = own_temporal(search_attributes={})
    with pytest.raises(RPCError, match="no mapping defined for search attribute engineId"):
        plain.run(sdk(plain, restack_stub).schedule_workflow(workflow_name="Shout", workflow_id="x"))


def test_the_blob_store_gives_back_what_the_sdk_puts(temporal, restack_stub):
    codec = LargePayloadCodec(restack_stub.url, "default")
    large = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps("x" * 200000).encode())
    (reference,) = temporal.run(codec.encode([large]))
    metadata, data = restack_stub.reference(large.data)
    assert (dict(reference.metadata), json.loads(reference.data)) == (metadata, json.loads(data))
    (back,) = temporal.run(codec.decode([reference]))
    assert back.data == large.data
    assert len(restack_stub.seen(stub_module.PUT)) == len(restack_stub.seen(stub_module.GET)) == 1


def test_a_file_backed_server_survives_being_shot(own_temporal):
    server = own_temporal(persistent=True, namespaces=["other"])
    handle = server.run(server.client.start_workflow("Nobody", id="w", task_queue="q"))
    pid, address = server.pid, server.address
    server.restart()
    assert server.address == address and server.pid != pid
    again = server.run(server.client.get_workflow_handle("w").describe())
    assert (again.status.name, again.run_id) == ("RUNNING", handle.first_execution_run_id)
