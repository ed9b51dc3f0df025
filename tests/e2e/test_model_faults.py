"""The model's server misbehaves: retried, never counted as an iteration, never shown as wrong code."""
import datetime
import json
import os

import pytest

from conftest import RECORDINGS, Stack, example, until

NAME = "human-eval-065"


@pytest.fixture(scope="module")
def faulty(open_dir):
    d = open_dir
    good = (RECORDINGS / f"{NAME}.jsonl").read_text()
    for fault in ("429", "500", "stall", "cut", "split", "error200"):
        line = {"v": 1, "fault": fault, "times": 2}
        if fault == "429":
            line["retry_after_s"] = 1
        (d / f"fault-{fault}.jsonl").write_text(json.dumps(line) + "\n" + good)
    (d / "fault-long.jsonl").write_text(json.dumps({"v": 1, "fault": "long", "times": 50}) + "\n" + good)
    hours = {"v": 1, "fault": "429", "times": 50, "retry_after_s": 7200}
    (d / f"{NAME}.jsonl").write_text(good)
    (d / "fault-hours.jsonl").write_text(json.dumps(hours) + "\n" + good)
    for f in d.iterdir():
        f.chmod(0o644)
    s = Stack(AZLON_RECORDINGS=str(d), AZLON_LLM_IDLE_MS="1500")
    s.start()
    yield s
    s.close()


@pytest.mark.parametrize("fault", ["429", "500", "stall", "cut", "split", "error200"])
def test_a_fault_is_waited_out(faulty, fault):
    s = faulty
    run = s.finish(s.start_run({**example(NAME), "model": f"recording/fault-{fault}"}))
    assert run["status"] == "succeeded", run
    assert run["progress"]["iteration"] == 2, "a failure of the model's server is no iteration"
    if fault != "split":
        assert run["usage"]["llm_calls"] > 3, run["usage"]


def test_an_overlong_reply_is_cut_off(faulty):
    run = faulty.finish(faulty.start_run({**example(NAME), "model": "recording/fault-long"}))
    assert (run["status"], run["reason"]) == ("failed", "bad_model_output"), run


def test_a_wait_beyond_the_wall_limit_is_not_begun(faulty):
    run = faulty.finish(faulty.start_run({**example(NAME), "model": "recording/fault-hours", "limits": {"wall_s": 3500}}), within=60)
    assert (run["status"], run["reason"]) == ("failed", "llm_unavailable"), run


def test_another_model_stands_in_for_one_that_is_away(faulty):
    body = {**example(NAME), "model": "recording/fault-hours", "model_fallbacks": ["recording/nothing-there", f"recording/{NAME}"]}
    run = faulty.finish(faulty.start_run(body), within=60)
    assert run["status"] == "succeeded", run


def test_a_wait_of_hours_can_be_cancelled(faulty):
    s = faulty
    wid = s.start_run({**example(NAME), "model": "recording/fault-hours", "limits": {"wall_s": 86400}})
    until(lambda: s.get(f"/run_workflow/{wid}").json()["progress"]["waiting"], within=60)
    waiting = s.get(f"/run_workflow/{wid}").json()["progress"]["waiting"]
    assert waiting["reason"] == "llm_unavailable", waiting
    # the engine asks again within the hour, whatever the server says
    at = datetime.datetime.fromisoformat(waiting["next_at"].replace("Z", "+00:00"))
    assert at < datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3660), waiting
    assert s.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"}).status_code == 202
    run = s.finish(wid, within=30)
    assert (run["status"], run["reason"]) == ("cancelled", "user_cancelled"), run
