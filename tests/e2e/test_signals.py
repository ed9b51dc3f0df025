"""People in a run: replies by hand, approvals, messages, pauses, raised limits."""
import os
import subprocess

import pytest

from conftest import BIN, RECORDINGS, example, until

NAME = "human-eval-065"


def replies(name=NAME):
    """What the recording holds: two programs, the first of them wrong, and the judge's verdict."""
    return [f.read_text() for f in sorted((RECORDINGS / name).glob("[0-9].md"))]


def right():
    """The second program with the first's Dockerfile: all that a run needs."""
    first, second, _ = replies()
    mark = "### FILE: solution.py"
    return first.split(mark)[0] + mark + second.split(mark)[1]


def signal(stack, wid, kind, user="alice", **more):
    return stack.post(f"/run_workflow/{wid}/signal", user=user, json={"type": kind, **more})


def sent(stack, wid, kind, **more):
    r = signal(stack, wid, kind, **more)
    assert r.status_code == 202, r.text
    return r.json()


def needs(stack, wid, kind, iteration, step, within=60):
    """Long poll until the run waits for just this."""
    def asked():
        run = stack.get(f"/run_workflow/{wid}?wait=5").json()
        need = run["input_needed"]
        return run["status"] == "awaiting_input" and need and \
            (need["kind"], need["iteration"], need["step"]) == (kind, iteration, step)
    until(asked, within=within)
    return stack.get(f"/run_workflow/{wid}").json()


def by_hand(stack):
    """A whole run, each reply given by a person."""
    first, second, verdict = replies()
    wid = stack.start_run({**example(NAME), "model": "manual"})
    run = needs(stack, wid, "reply", 1, "generate_code")
    prompt = stack.get(run["input_needed"]["links"]["prompt"])
    assert prompt.headers["Content-Type"].startswith("text/plain")
    assert "circular_shift" in prompt.text and "[system]" in prompt.text
    sent(stack, wid, "reply", text=first, signal_id="one")
    run = needs(stack, wid, "reply", 2, "generate_code")
    assert "fail" in {c["status"] for c in run["checks"]}
    prompt = stack.get(run["input_needed"]["links"]["prompt"]).text
    assert "AssertionError" in prompt, "the real failure is shown"
    sent(stack, wid, "reply", text=second, signal_id="two")
    run = needs(stack, wid, "reply", 2, "validate_output")
    assert "# Condition" in stack.get(run["input_needed"]["links"]["prompt"]).text
    sent(stack, wid, "reply", text=verdict, signal_id="three")
    run = stack.finish(wid)
    assert run["status"] == "succeeded" and run["input_needed"] is None, run
    assert run["model"] == {"name": "manual", "provenance": "manual"}
    assert run["usage"]["tokens_in"] == run["usage"]["tokens_out"] == 0
    return wid


def test_a_run_without_a_model_is_replied_to_by_hand(stack):
    wid = by_hand(stack)
    events = stack.events(wid)
    assert [(e["iteration"], e["kind"], e["step"]) for e in events if e["type"] == "input.needed"] == [
        (1, "reply", "generate_code"), (2, "reply", "generate_code"), (2, "reply", "validate_output")]
    said = [e["signal"] for e in events if "signal" in e]
    assert [(s["type"], s["signal_id"]) for s in said] == [("reply", "one"), ("reply", "two"), ("reply", "three")]
    assert replies()[1] in stack.get(f"/run_workflow/{wid}/iterations/2/logs/reply").text
    assert "s[::-1]" in stack.get(f"/files/{wid}/solution.py").text


def test_a_reply_that_cannot_be_read_is_asked_for_again(stack):
    wid = stack.start_run({**example(NAME), "model": "manual"})
    run = needs(stack, wid, "reply", 1, "generate_code")
    sent(stack, wid, "reply", text="I would rather not.")
    until(lambda: "cannot be used" in stack.get(run["input_needed"]["links"]["prompt"]).text)
    needs(stack, wid, "reply", 1, "generate_code")
    sent(stack, wid, "reply", text=right())
    needs(stack, wid, "reply", 1, "validate_output")
    assert stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"}).status_code == 202
    assert stack.finish(wid)["status"] == "cancelled"


def test_a_proposal_is_refused_with_a_word_then_approved(stack):
    wid = stack.start_run({**example(NAME), "model": "manual", "hitl": "each"})
    needs(stack, wid, "reply", 1, "generate_code")
    sent(stack, wid, "reply", text=replies()[0])
    needs(stack, wid, "approve", 1, "run_with_e2b")
    # what is to be approved can be read
    assert "shift %= len(s)" in stack.get(f"/files/{wid}/solution.py?iteration=1").text
    sent(stack, wid, "reject", text="A larger shift reverses the digits.")
    run = needs(stack, wid, "reply", 2, "generate_code")
    assert "refused: A larger shift reverses the digits." in stack.get(run["input_needed"]["links"]["prompt"]).text
    assert stack.get(f"/run_workflow/{wid}/iterations/1/logs/stdout").status_code == 404, "it was not run"
    sent(stack, wid, "reply", text=replies()[1])
    needs(stack, wid, "approve", 2, "run_with_e2b")
    sent(stack, wid, "approve")
    needs(stack, wid, "reply", 2, "validate_output")
    sent(stack, wid, "reply", text=replies()[2])
    assert stack.finish(wid)["status"] == "succeeded"


def test_a_paused_run_goes_on_where_it_was(stack):
    wid = stack.start_run({**example(NAME), "model": "manual"})
    needs(stack, wid, "reply", 1, "generate_code")
    sent(stack, wid, "pause", signal_id="p")
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["status"] == "paused")
    # what was asked for may be given meanwhile; nothing is begun
    sent(stack, wid, "reply", text=right())
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["input_needed"] is None)
    assert stack.get(f"/run_workflow/{wid}").json()["status"] == "paused"
    assert [r["workflow_id"] for r in stack.get("/run_workflow?status=paused").json()["runs"]] == [wid]
    sent(stack, wid, "resume")
    needs(stack, wid, "reply", 1, "validate_output")
    sent(stack, wid, "message", text="Thank you.")
    sent(stack, wid, "set_limits", limits={"iterations": 9})
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["limits"]["iterations"] == 9)
    stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    assert stack.finish(wid)["status"] == "cancelled"


def test_a_run_that_waits_survives_its_worker(own_stack):
    s = own_stack()
    wid = s.start_run({**example(NAME), "model": "manual"})
    needs(s, wid, "reply", 1, "generate_code")
    s.kill_and_wait("worker")
    sent(s, wid, "reply", text=right())
    s.control("start")
    needs(s, wid, "reply", 1, "validate_output")
    s.kill_and_wait("worker")
    s.control("start")
    sent(s, wid, "reply", text=replies()[2])
    assert s.finish(wid)["status"] == "succeeded"


def test_a_person_at_a_terminal_replies_with_the_client(stack, tmp_path):
    def azlon(*args, **kw):
        env = {"PATH": os.environ["PATH"], "AZLON_URL": stack.url, "AZLON_USER": "alice"}
        return subprocess.run([str(BIN / "azlon"), "signal", wid, *args], env=env, capture_output=True, text=True, timeout=60, **kw)

    wid = stack.start_run({**example(NAME), "model": "manual"})
    needs(stack, wid, "reply", 1, "generate_code")
    asked = azlon()
    assert asked.returncode == 0 and "circular_shift" in asked.stdout and "waits for: reply" in asked.stderr
    (tmp_path / "reply.md").write_text(right())
    r = azlon("reply", f"@{tmp_path}/reply.md")
    assert (r.returncode, r.stdout) == (0, "sent\n"), r.stderr
    needs(stack, wid, "reply", 1, "validate_output")
    assert azlon("set_limits", "iterations=9", "tokens=900000").returncode == 0
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["limits"]["tokens"] == 900000)
    assert azlon("set_limits", "iterations").returncode == 2
    assert azlon("approve").returncode == 1, "it waits for something else"
    assert azlon("reply", "-", input=replies()[2]).returncode == 0
    assert stack.finish(wid)["status"] == "succeeded"
    assert azlon("message", "late").returncode == 1
    assert azlon().returncode == 1, "nothing is asked any more"


@pytest.fixture(scope="module")
def waiting(stack):
    wid = stack.start_run({**example(NAME), "model": "manual"})
    needs(stack, wid, "reply", 1, "generate_code")
    yield wid
    stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    assert stack.finish(wid)["status"] == "cancelled"


@pytest.mark.parametrize("body, loc", [
    ({}, "type"),
    ({"type": "explode"}, "type"),
    ({"type": 7}, "type"),
    ({"type": "reply"}, "text"),
    ({"type": "reply", "text": ""}, "text"),
    ({"type": "reply", "text": ["x"]}, "text"),
    ({"type": "message", "text": " \n"}, "text"),
    ({"type": "message", "text": "x" * 4001}, "text"),
    ({"type": "pause", "signal_id": "two words"}, "signal_id"),
    ({"type": "pause", "signal_id": ""}, "signal_id"),
    ({"type": "pause", "signal_id": 5}, "signal_id"),
    ({"type": "pause", "signal_id": "x" * 65}, "signal_id"),
    ({"type": "set_limits"}, "limits"),
    ({"type": "set_limits", "limits": {}}, "limits"),
    ({"type": "set_limits", "limits": {"tokens": "many"}}, "limits"),
    ({"type": "set_limits", "limits": {"iterations": 0}}, "limits"),
    ({"type": "set_limits", "limits": {"iterations": 101}}, "limits"),
])
def test_what_is_no_signal_is_refused_by_name(stack, waiting, body, loc):
    r = stack.post(f"/run_workflow/{waiting}/signal", json=body)
    assert r.status_code == 422, r.text
    assert r.json()["errors"][0]["loc"][:2] == ["body", loc]


def test_there_is_an_end_to_what_a_run_is_told(stack):
    """By somebody who sends the same again and again; another run of his is told all the same, and this one can be ended."""
    wid, other = (stack.start_run({**example(NAME), "model": "manual"}, user="talker") for _ in range(2))
    needs_reply = lambda: stack.get(f"/run_workflow/{wid}", user="talker").json()["status"] == "awaiting_input"  # noqa: E731
    until(needs_reply, within=60)
    for n in range(1200):
        r = signal(stack, wid, "message", user="talker", text="and mind the edges", signal_id="again")
        if r.status_code != 202:
            break
    assert (r.status_code, r.json()["code"]) == (409, "too_many_signals"), r.text
    assert n == 900
    assert signal(stack, other, "message", user="talker", text="hello").status_code == 202
    for w in (wid, other):
        assert stack.post(f"/run_workflow/{w}/cancel", user="talker", json={"mode": "now"}).status_code == 202
        assert stack.finish(w, user="talker")["status"] == "cancelled"


def test_limits_too_large_to_be_sent_are_refused_not_dropped(stack, waiting):
    before = stack.get(f"/run_workflow/{waiting}").json()["limits"]["tokens"]
    r = stack.post(f"/run_workflow/{waiting}/signal", json={"type": "set_limits", "limits": {"tokens": before + 1, "typo": "x" * 9000}})
    assert (r.status_code, r.json()["code"]) == (413, "too_large"), r.text
    assert stack.get(f"/run_workflow/{waiting}").json()["limits"]["tokens"] == before


def test_signals_out_of_time_and_of_strangers(stack, waiting):
    r = signal(stack, waiting, "approve")
    assert (r.status_code, r.json()["code"]) == (409, "not_awaiting")
    assert signal(stack, waiting, "pause", user="mallory").status_code == 404
    assert stack.post(f"/run_workflow/{waiting}/signal", data="{}").status_code == 415
    assert stack.post(f"/run_workflow/{waiting}/signal", data="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert stack.get(f"/run_workflow/{waiting}/signal").status_code == 405
    over = stack.start_run(example("human-eval-010"))
    stack.finish(over)
    r = signal(stack, over, "message", text="too late")
    assert (r.status_code, r.json()["code"]) == (409, "finished")


def test_the_same_signal_twice_is_one(stack, waiting):
    for _ in range(2):
        sent(stack, waiting, "message", text="once", signal_id="only")
    sent(stack, waiting, "message", text="last")
    until(lambda: any(e.get("signal", {}).get("text") == "last" for e in stack.events(waiting)))
    assert [e["signal"]["text"] for e in stack.events(waiting) if "signal" in e] == ["once", "last"]
