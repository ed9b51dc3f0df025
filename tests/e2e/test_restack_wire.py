"""What our engine really sends: every request of real runs is caught on its way to the server
and read with the official classes. No unknown field, no unknown value, and what it says."""
import json
import os
import subprocess

import pytest
import temporalio.api.workflowservice.v1 as api
from conftest import BIN, Stack, example
from grpc_peer import Proxy
from temporal_wire import assert_exact
from temporalio.api.enums.v1 import (
    CommandType, HistoryEventFilterType, QueryResultType, TaskQueueKind, TaskQueueType, WorkflowIdReusePolicy,
    WorkflowTaskFailedCause)
from temporalio.client import WorkflowQueryFailedError

CONTRACT = BIN.parent / "tests/contract/engine_contract"
NAME = "AutonomousCodingWorkflow"


class Tap(Proxy):
    """Keeps every request."""

    def __init__(self, server):
        super().__init__(server)
        self.sent = []

    async def _call(self, link, stream, headers, body):
        assert body[0] == 0 and int.from_bytes(body[1:5], "big") == len(body) - 5
        self.sent.append((dict(headers), bytes(body[5:])))
        return await super()._call(link, stream, headers, body)

    def of(self, method):
        kind = getattr(api, method + "Request")
        return [kind.FromString(body) for h, body in self.sent if h[":path"].endswith("/" + method)]


def contract(tap, *cases):
    """Cases of the engines' contract, through the tap."""
    for case in cases:
        r = subprocess.run([CONTRACT, case], env={**os.environ, "AZ_TEMPORAL": tap.address}, capture_output=True,
                           text=True, timeout=120)
        assert r.returncode == 0, r.stdout + r.stderr


@pytest.fixture(scope="module")
def tap(temporal):
    """One stack with two runs, its queries, and the parts of the contract that say the rest."""
    t = Tap(temporal)
    s = Stack(RESTACK_ENGINE_ADDRESS=t.address, AZLON_RESTACK_ENDPOINTS="false", RESTACK_ENGINE_ID="wire")
    try:
        s.start()
        t.run = s.start_run(example("human-eval-010"))
        s.finish(t.run)
        h = temporal.client.get_workflow_handle(f"wire-{t.run}")
        t.status = temporal.run(h.query("status"))
        with pytest.raises(WorkflowQueryFailedError):
            temporal.run(h.query("nothing"))
        s.get("/run_workflow")
        s.close()
        contract(t, "signals_*", "cancel_reaches_*", "timers_*", "retry_after_*", "the_next_attempt_*", "terminate_*",
                 "only_what_*", "an_impossible_*", "lists_*")
        yield t
    finally:
        s.close()
        t.close()


EXPECTED = (
    "StartWorkflowExecution GetWorkflowExecutionHistory DescribeWorkflowExecution ListWorkflowExecutions "
    "CountWorkflowExecutions SignalWorkflowExecution SignalWithStartWorkflowExecution RequestCancelWorkflowExecution TerminateWorkflowExecution "
    "DeleteWorkflowExecution DescribeNamespace DescribeTaskQueue PollWorkflowTaskQueue RespondWorkflowTaskCompleted "
    "RespondWorkflowTaskFailed RespondQueryTaskCompleted PollActivityTaskQueue RespondActivityTaskCompleted "
    "RespondActivityTaskFailed RespondActivityTaskCanceled RecordActivityTaskHeartbeat ShutdownWorker").split()


def value(payloads):
    (p,) = payloads.payloads
    assert dict(p.metadata) == {"encoding": b"json/plain"}
    return json.loads(p.data)


# ---- all of it ----

def test_every_method_was_called_and_no_other(tap):
    called = {h[":path"] for h, _ in tap.sent}
    assert called - {"/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo"} == \
        {f"/temporal.api.workflowservice.v1.WorkflowService/{m}" for m in EXPECTED}


def test_headers_are_those_of_grpc(tap):
    for h, _ in tap.sent:
        assert (h[":method"], h[":scheme"], h["te"]) == ("POST", "http", "trailers"), h
        assert h["content-type"].startswith("application/grpc")
        assert h["grpc-timeout"][-1] in "HMSmun" and h["grpc-timeout"][:-1].isdigit()


@pytest.mark.parametrize("method", EXPECTED)
def test_requests_are_exact_and_say_who_asks_where(tap, method):
    kind = getattr(api, method + "Request")
    bodies = [body for h, body in tap.sent if h[":path"].endswith("/" + method)]
    assert bodies
    for body in bodies:
        m = assert_exact(kind, body)
        assert m.namespace == "default"
        if "identity" in kind.DESCRIPTOR.fields_by_name:
            assert m.identity
        if "request_id" in kind.DESCRIPTOR.fields_by_name:
            assert len(m.request_id) == 36


# ---- the client's ----

def test_a_start(tap):
    (m,) = [m for m in tap.of("StartWorkflowExecution") if m.workflow_id == f"wire-{tap.run}"]
    assert (m.workflow_type.name, m.task_queue.name) == (NAME, "wire-restack")
    assert m.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    assert m.workflow_id_reuse_policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    assert value(m.input)["request"]["user_prompt"] == example("human-eval-010")["user_prompt"]
    memo = {k: json.loads(p.data) for k, p in m.memo.fields.items()}
    assert (memo["engineId"], memo["uid"]) == ("wire", "alice")
    (attribute,) = m.search_attributes.indexed_fields.items()
    assert attribute[0] == "engineId" and json.loads(attribute[1].data) == "wire"
    assert attribute[1].metadata["type"] == b"Text"


def test_what_is_asked_of_runs(tap):
    kinds = {m.history_event_filter_type for m in tap.of("GetWorkflowExecutionHistory")}
    assert HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT in kinds
    for m in tap.of("DescribeWorkflowExecution"):
        assert m.execution.workflow_id and not m.execution.run_id
    assert {m.task_queue_type for m in tap.of("DescribeTaskQueue")} == {TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW}
    (m, *_) = [m for m in tap.of("ListWorkflowExecutions") if "wire-" in m.query]
    assert m.query.startswith("WorkflowId STARTS_WITH 'wire-") and f"WorkflowType = '{NAME}'" in m.query
    states = {m.query.rpartition("ExecutionStatus = ")[2] for m in tap.of("ListWorkflowExecutions")}
    assert {"'Running'", "'Terminated'"} <= states
    assert any(m.next_page_token for m in tap.of("ListWorkflowExecutions"))
    assert "ExecutionStatus = 'Running'" in tap.of("CountWorkflowExecutions")[0].query


def test_signals_and_ends(tap):
    hints = [value(m.input) for m in tap.of("SignalWorkflowExecution") if m.signal_name == "hint"]
    assert hints[:2] == [{"x": 1}, {"x": 2}]
    assert {m.signal_name for m in tap.of("SignalWorkflowExecution")} == {"hint", "azlon.cancel", "azlon.admitted"}
    assert {m.reason for m in tap.of("RequestCancelWorkflowExecution")} == {'{"mode":"now"}'}
    assert "operator" in {m.reason for m in tap.of("TerminateWorkflowExecution")}
    for m in tap.of("DeleteWorkflowExecution"):
        assert m.workflow_execution.workflow_id.endswith("-r1")


def test_a_run_and_the_workflow_of_its_user(tap):
    mine = [m for m in tap.of("SignalWithStartWorkflowExecution")
            if m.signal_input.payloads and value(m.signal_input)["wid"] == tap.run]
    assert [m.signal_name for m in mine] == ["azlon.apply", "azlon.done"]
    for m in mine:
        assert m.workflow_id.startswith("wire-azlon-user-") and m.workflow_type.name == "UserWorkflow"
        assert m.workflow_id_reuse_policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
        assert (m.task_queue.name, json.loads(m.memo.fields["uid"].data)) == ("wire-restack", "alice")


# ---- the worker's ----

def test_polls(tap):
    for method in ("PollWorkflowTaskQueue", "PollActivityTaskQueue"):
        for m in tap.of(method):
            assert m.task_queue.name.endswith("-restack") and m.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL


def commands(tap, kind):
    attributes = kind.lower() + "_command_attributes"
    found = [c for m in tap.of("RespondWorkflowTaskCompleted") for c in m.commands
             if c.command_type == CommandType.Value(f"COMMAND_TYPE_{kind}")]
    assert found
    for c in found:
        assert c.WhichOneof("attributes") == attributes
    return [getattr(c, attributes) for c in found]


def test_a_scheduled_function(tap):
    ours = [c for c in commands(tap, "SCHEDULE_ACTIVITY_TASK")
            if c.task_queue.name == "wire-restack" and c.activity_type.name != "admit_runs"]
    assert [c.activity_type.name for c in ours[:4]] == ["join_queue", "generate_code", "run_with_e2b", "validate_output"]
    for n, c in enumerate(ours, 1):
        assert c.activity_id == str(n)
        assert c.start_to_close_timeout.ToMilliseconds() > 0
        assert c.retry_policy.backoff_coefficient >= 1 and c.retry_policy.initial_interval.ToMilliseconds() > 0
        assert json.loads(c.header.fields["azlon-uid"].data) == "alice"
        assert isinstance(value(c.input), dict)


def test_the_other_commands(tap):
    timers = commands(tap, "START_TIMER")
    assert 150 in [c.start_to_fire_timeout.ToMilliseconds() for c in timers] and {c.timer_id for c in timers} >= {"1"}
    assert all(c.scheduled_event_id == 5 for c in commands(tap, "REQUEST_CANCEL_ACTIVITY_TASK"))
    assert {"c": 1} in [value(c.details) for c in commands(tap, "CANCEL_WORKFLOW_EXECUTION")]
    results = [value(c.result) for c in commands(tap, "COMPLETE_WORKFLOW_EXECUTION")]
    assert {"x": 2} in results and any(isinstance(r, dict) and r.get("status") == "succeeded" for r in results)


def test_a_failed_run(tap):
    contract(tap, "what_is_not_retryable_*")
    (c,) = commands(tap, "FAIL_WORKFLOW_EXECUTION")
    assert c.failure.message == "no, never"
    assert c.failure.application_failure_info.type == "denied"
    (m,) = [m for m in tap.of("RespondActivityTaskFailed") if m.failure.message == "no, never"]
    assert m.failure.application_failure_info.type == "denied" and m.failure.application_failure_info.non_retryable


def test_a_task_that_failed(tap):
    (m,) = tap.of("RespondWorkflowTaskFailed")
    assert m.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
    assert m.task_token and m.failure.message == "bad history"


def test_answers_to_queries(tap):
    good, bad = tap.of("RespondQueryTaskCompleted")
    assert good.completed_type == QueryResultType.QUERY_RESULT_TYPE_ANSWERED and value(good.query_result) == tap.status
    assert bad.completed_type == QueryResultType.QUERY_RESULT_TYPE_FAILED and "nothing" in bad.error_message
    assert not bad.HasField("query_result")


def test_ends_of_functions(tap):
    assert all(m.task_token for m in tap.of("RespondActivityTaskCompleted"))
    assert "1" in [m.result.payloads[0].data.decode() for m in tap.of("RespondActivityTaskCompleted")]
    failures = {m.failure.message: m for m in tap.of("RespondActivityTaskFailed")}
    slow = failures["slow down"].failure.application_failure_info
    assert slow.next_retry_delay.ToMilliseconds() == 200 and not slow.non_retryable
    assert value(failures["fell over"].last_heartbeat_details) == {"will": 7}
    cancelled = tap.of("RespondActivityTaskCanceled")
    assert all(m.task_token for m in cancelled)
    # what a function leaves that was stopped is handed on
    assert {"spent": 1} in [value(m.details) for m in cancelled if m.details.payloads]
    assert all(m.task_token for m in tap.of("RecordActivityTaskHeartbeat"))


def test_a_worker_takes_its_leave(tap):
    (name,) = {m.sticky_task_queue for m in tap.of("ShutdownWorker")}
    assert name == ""
    assert all(m.identity for m in tap.of("ShutdownWorker"))
