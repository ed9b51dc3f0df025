"""W3C trace context: the trace that a request came with is named by every process that works for it."""
import json
import re

import pytest

from conftest import example, until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENDER = "00f067aa0ba902b7"


def lines(stack, part):
    return (stack.var / "log" / f"{part}.log").read_text(errors="replace").splitlines()


def named(stack, part, trace):
    return [line for line in lines(stack, part) if f" trace={trace}" in line]


def test_it_goes_from_the_request_to_the_sandbox_and_the_model(stack):
    r = stack.post("/run_workflow", json={**example("human-eval-010"), "mode": "async"},
                   headers={"traceparent": f"00-{TRACE}-{SENDER}-01"})
    wid = r.json()["workflow_id"]
    assert stack.finish(wid)["status"] == "succeeded"
    asked = [line for line in named(stack, "run_workflow", TRACE) if "method=POST" in line]
    assert len(asked) == 1 and f"req={r.headers['X-Request-Id']}" in asked[0]
    # in processes that were never told but by a header of ours
    until(lambda: named(stack, "replay", TRACE) and named(stack, "sandbox", TRACE))
    assert all(f"run={wid}" in line for line in named(stack, "worker", TRACE))
    # it is kept with the run, with a sender of ours
    kept = [json.loads(f.read_text()) for f in stack.var.glob(f"store/*/{wid}/.azlon/request")]
    assert len(kept) == 1 and re.fullmatch(f"00-{TRACE}-(?!{SENDER})[0-9a-f]{{16}}-01", kept[0]["traceparent"])


@pytest.mark.parametrize("sent", [None, "nonsense", f"00-{'0' * 32}-{SENDER}-01", f"ff-{TRACE}-{SENDER}-01", f"00-{TRACE.upper()}-{SENDER}-01"])
def test_what_is_none_begins_one_that_the_request_names(stack, sent):
    r = stack.post("/run_workflow", json={**example("human-eval-010"), "mode": "async"}, headers={"traceparent": sent} if sent else {})
    assert r.status_code == 202
    stack.finish(r.json()["workflow_id"])
    until(lambda: named(stack, "replay", r.headers["X-Request-Id"]))
    assert "trace=" not in next(line for line in lines(stack, "run_workflow") if f"req={r.headers['X-Request-Id']}" in line)
