"""The contract of engines (tests/contract/engine_contract.c), on a real Temporal server."""
import os
import subprocess

from conftest import BIN
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowExecutionStatus

CONTRACT = BIN.parent / "tests/contract/engine_contract"


def tasks_failed(temporal):
    """{run: (its status, cause, message)} of each failed workflow task of the program's workflow."""
    async def look():
        out = {}
        async for w in temporal.client.list_workflows("WorkflowType = 'Toy'"):
            async for e in temporal.client.get_workflow_handle(w.id, run_id=w.run_id).fetch_history_events():
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    a = e.workflow_task_failed_event_attributes
                    out.setdefault(w.run_id, []).append((w.status, a.cause, a.failure.message))
        return out

    return temporal.run(look())


def test_the_contract_holds_on_temporal(temporal):
    before = tasks_failed(temporal)  # others use the server too
    env = {**os.environ, "AZ_TEMPORAL": temporal.address}
    r = subprocess.run([CONTRACT], env=env, capture_output=True, text=True, timeout=200)
    told = r.stdout + r.stderr
    assert r.returncode == 0, told
    assert "[  PASSED  ]" in told and "[  FAILED  ]" not in told

    # a history that the fold cannot have made fails its task, once, and leaves the run open
    mine = [failed for run, failed in tasks_failed(temporal).items() if run not in before]
    assert mine == [
        [(WorkflowExecutionStatus.RUNNING,
          WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "bad history")]]
