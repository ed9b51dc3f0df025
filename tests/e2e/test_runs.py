"""The main job: a prompt goes in, checked files come out."""
import csv
import io
import json
import zipfile
from collections import OrderedDict

import pytest

from conftest import RECORDINGS, example, until

HUMAN_EVAL = sorted(p.name for p in RECORDINGS.glob("human-eval-*") if p.is_dir())


def upload_weather(stack, user="alice"):
    body = (RECORDINGS / "weather" / "seattle-weather.csv").read_bytes()
    r = stack.post("/files/inputs", user=user, files={"file": ("seattle-weather.csv", body, "text/csv")})
    assert r.status_code in (200, 201), r.text
    assert r.json()["files"][0]["path"] == "seattle-weather.csv"
    assert r.json()["files"][0]["size"] == len(body)
    return r.json()["input_id"]


def expected_months():
    """Computed here, independently of the program under test."""
    months = OrderedDict()
    with open(RECORDINGS / "weather" / "seattle-weather.csv", newline="") as f:
        for row in csv.DictReader(f):
            m = months.setdefault(row["date"][:7].replace("/", "-"), [0, 0.0, -99.0])
            m[0] += 1
            m[1] += float(row["precipitation"])
            m[2] = max(m[2], float(row["temp_max"]))
    return months


@pytest.fixture(scope="module")
def weather(stack):
    wid = stack.start_run({**example("weather"), "inputs": [upload_weather(stack)]})
    return wid, stack.finish(wid)


def test_weather_fails_once_on_the_real_data_then_succeeds(stack, weather):
    wid, run = weather
    assert run["status"] == "succeeded" and run["result"] is True, run
    assert run["progress"]["iteration"] == 2
    assert {c["id"]: c["status"] for c in run["checks"]}["first-month"] == "pass"
    assert all(c["status"] == "pass" for c in run["checks"]), run["checks"]
    assert run["model"]["provenance"] == "recording"
    first = stack.get(f"/run_workflow/{wid}/iterations/1/logs/stderr")
    assert first.status_code == 200
    assert "ValueError: Invalid isoformat string: '2012/01/01'" in first.text


def test_weather_numbers_are_exact(stack, weather):
    wid, _ = weather
    r = stack.get(f"/files/{wid}/summary.csv")
    assert r.status_code == 200
    rows = list(csv.DictReader(io.StringIO(r.text)))
    want = expected_months()
    assert [row["month"] for row in rows] == list(want)
    for row in rows:
        days, rain, high = want[row["month"]]
        assert int(row["days"]) == days
        assert row["precipitation"] == f"{rain:.1f}"
        assert float(row["temp_max"]) == high


def test_weather_events_are_gapless_and_resumable(stack, weather):
    wid, run = weather
    events = stack.events(wid)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.finished"
    assert run["last_event"] == len(events)
    kinds = {e["type"] for e in events}
    assert {"iteration.start", "llm.done", "check", "run.finished"} <= kinds, kinds
    # the same log as an event stream, resumed in the middle
    mid = len(events) // 2
    r = stack.get(f"/run_workflow/{wid}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(mid)})
    assert r.headers["Content-Type"].startswith("text/event-stream")
    ids = [int(line[4:]) for line in r.text.splitlines() if line.startswith("id: ")]
    assert ids == list(range(mid + 1, len(events) + 1))
    past = stack.get(f"/run_workflow/{wid}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(len(events))})
    assert past.status_code == 204


@pytest.mark.parametrize("name", HUMAN_EVAL)
def test_human_eval(stack, name):
    run = stack.finish(stack.start_run(example(name)))
    assert run["status"] == "succeeded", run
    replies = len(list((RECORDINGS / name).glob("[0-9].md")))
    assert run["progress"]["iteration"] == replies - 1, "the last reply is the judge's"


def test_hopeless_ends_failed_with_every_iteration_readable(stack):
    wid = stack.start_run(example("hopeless"))
    run = stack.finish(wid)
    assert (run["status"], run["result"], run["reason"]) == ("failed", False, "iterations_exhausted")
    listed = stack.get(f"/run_workflow/{wid}/iterations").json()["iterations"]
    assert [i["iteration"] for i in listed] == [1, 2, 3]
    for n in (1, 2, 3):
        assert stack.get(f"/run_workflow/{wid}/iterations/{n}").status_code == 200
        files = stack.get(f"/files/{wid}?iteration={n}").json()["files"]
        assert "main.py" in [f["path"] for f in files]
        assert stack.get(f"/run_workflow/{wid}/iterations/{n}/logs/stdout").text.strip().isdigit()


def test_synchronous_post_answers_like_the_original(stack):
    r = stack.post("/run_workflow", json=example("human-eval-010"), timeout=120)
    assert r.status_code == 200, r.text
    body = r.json()
    assert body["result"] is True and body["user_id"] == "alice"
    assert body["workflow_id"].startswith("user-alice-")
    assert body["run"]["status"] == "succeeded"


def test_prefer_wait_bounds_the_wait(stack):
    r = stack.post("/run_workflow", json=example("hopeless"), headers={"Prefer": "wait=0"})
    assert r.status_code == 202
    assert r.headers["Location"].endswith(r.json()["workflow_id"])
    assert "Retry-After" in r.headers
    stack.finish(r.json()["workflow_id"])


def test_idempotency_key(stack):
    body = {**example("human-eval-127"), "mode": "async"}
    h = {"Idempotency-Key": "order-66"}
    one = stack.post("/run_workflow", json=body, headers=h)
    two = stack.post("/run_workflow", json=body, headers=h)
    assert one.status_code == two.status_code == 202
    assert one.json()["workflow_id"] == two.json()["workflow_id"]
    assert two.headers["Idempotency-Replayed"] == "true"
    other = stack.post("/run_workflow", json={**body, "user_prompt": "something else"}, headers=h)
    assert other.status_code == 422 and other.json()["code"] == "idempotency_mismatch"
    bob = stack.post("/run_workflow", json=body, headers=h, user="bob")
    assert bob.json()["workflow_id"] != one.json()["workflow_id"]
    stack.finish(one.json()["workflow_id"])
    stack.finish(bob.json()["workflow_id"], user="bob")


def test_list_is_own_runs_newest_first_and_paged(stack):
    ids = [stack.start_run(example("human-eval-010"), user="run-lister") for _ in range(3)]
    for i in ids:
        stack.finish(i, user="run-lister")
    page = stack.get("/run_workflow?limit=2", user="run-lister").json()
    assert [r["workflow_id"] for r in page["runs"]] == ids[:0:-1]
    rest = stack.get(f"/run_workflow?limit=2&cursor={page['next_cursor']}", user="run-lister").json()
    assert [r["workflow_id"] for r in rest["runs"]] == ids[:1]
    assert not rest["next_cursor"]
    assert stack.get("/run_workflow", user="nobody").json()["runs"] == []
    done = stack.get("/run_workflow?status=succeeded", user="run-lister").json()["runs"]
    assert len(done) == 3
    assert stack.get("/run_workflow?status=running", user="run-lister").json()["runs"] == []


def test_cancel_stops_a_running_program(stack):
    wid = stack.start_run(example("endless"))
    seen = 0
    for _ in range(60):
        r = stack.get(f"/run_workflow/{wid}?wait=2")
        seen = r.json()
        if seen["phase"] == "execute":
            break
    assert seen["phase"] == "execute", seen
    assert stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"}).status_code == 202
    assert stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"}).status_code == 202
    run = stack.finish(wid, within=30)
    assert (run["status"], run["reason"]) == ("cancelled", "user_cancelled")
    assert stack.events(wid)[-1]["type"] == "run.finished"
    again = stack.post(f"/run_workflow/{wid}/cancel", json={})
    assert again.status_code in (202, 409)


def test_a_graceful_cancel_waits_until_it_is_hurried(stack):
    wid = stack.start_run(example("endless"))
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["phase"] == "execute", within=60)
    assert stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "graceful"}).status_code == 202
    run = stack.get(f"/run_workflow/{wid}").json()
    assert (run["status"], run["phase"]) == ("cancelling", "execute"), run
    assert stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"}).status_code == 202
    run = stack.finish(wid, within=30)
    assert (run["status"], run["reason"]) == ("cancelled", "user_cancelled")


def test_the_sandbox_time_ends_a_run(stack):
    run = stack.finish(stack.start_run({**example("endless"), "limits": {"sandbox_s": 4}}), within=60)
    assert (run["status"], run["reason"]) == ("failed", "budget_exhausted"), run
    assert run["progress"]["iteration"] == 1 and run["usage"]["sandbox_s"] >= 4, run


def test_status_etag_and_long_poll(stack, weather):
    wid, _ = weather
    r = stack.get(f"/run_workflow/{wid}")
    assert r.status_code == 200 and r.headers["ETag"]
    same = stack.get(f"/run_workflow/{wid}", headers={"If-None-Match": r.headers["ETag"]})
    assert same.status_code == 304


def test_no_recording_is_an_error_not_a_guess(stack):
    run = stack.finish(stack.start_run({"model": "recording/weather", "user_prompt": "x", "test_conditions": "y"}))
    assert run["status"] == "failed" and run["reason"] in ("llm_not_configured", "llm_unavailable")
    assert "no_recording" in json.dumps(run) or "recording" in json.dumps(run)


def test_no_model_is_refused(stack):
    r = stack.post("/run_workflow", json={"user_prompt": "hi", "test_conditions": "there"})
    assert r.status_code == 409
    assert r.json()["code"] == "llm_not_configured"
    assert r.headers["Content-Type"].startswith("application/problem+json")


def test_what_was_asked_for_is_told_and_can_be_asked_again(stack):
    body = {**example("human-eval-010"), "metadata": {"for": ["me"]}, "hitl": "plan", "webhook": {"url": "https://receiver.example/done"}}
    del body["checks"][0]["id"]
    wid = stack.start_run(body)
    told = stack.get(f"/run_workflow/{wid}/request").json()
    assert {k: told[k] for k in ("user_prompt", "test_conditions", "metadata", "hitl", "webhook")} == \
        {k: body[k] for k in ("user_prompt", "test_conditions", "metadata", "hitl", "webhook")}
    assert told["checks"] == [{**c, "id": f"c{n}"} for n, c in enumerate(body["checks"], 1)]
    assert told["limits"]["iterations"] == body.get("limits", {}).get("iterations", 20)
    assert not {"forked_from", "traceparent", "uid", "user"} & told.keys()
    again = stack.start_run(told)
    run = stack.get(f"/run_workflow/{again}").json()
    assert run["warnings"] == []
    assert stack.get(f"/run_workflow/{again}/request").json() == told
    for w in (wid, again):
        stack.post(f"/run_workflow/{w}/cancel", json={"mode": "now"})
        stack.finish(w)


def test_delete_removes_run_and_files(stack):
    wid = stack.start_run(example("human-eval-010"), user="tidy")
    stack.finish(wid, user="tidy")
    assert stack.request("DELETE", f"/run_workflow/{wid}", user="tidy").status_code in (200, 204)
    assert stack.get(f"/run_workflow/{wid}", user="tidy").status_code == 404
    assert stack.get(f"/files/{wid}", user="tidy").status_code == 404


def test_which_input_reads_or_writes_which_is_told(stack):
    z = io.BytesIO()
    with zipfile.ZipFile(z, "w") as f:
        f.writestr("src/main.py", "import table\nrows = open('../data/März 2024.csv').read()\nopen('summary.csv', 'w')\n")
        f.writestr("src/table.py", "import csv\ncsv.reader(open('prices.csv'))\n")
        f.writestr("data/März 2024.csv", bytes(range(256)))
    r = stack.post("/files/inputs", data=z.getvalue(), headers={"Content-Type": "application/zip"})
    wid = stack.start_run({"user_prompt": "Sum it up.", "test_conditions": "a summary", "model": "recording/weather",
                           "inputs": [r.json()["input_id"]]})
    until(lambda: any(e["type"] == "files.changed" for e in stack.events(wid)))
    told = next(e for e in stack.events(wid) if e["type"] == "files.changed")
    assert (told["by"], told["count"]) == ("inputs", 3)
    assert told["dependencies"] == [
        {"file": "src/main.py", "reads": ["src/table.py", "data/März 2024.csv"], "writes": ["summary.csv"]},
        {"file": "src/table.py", "missing": ["prices.csv"]}]
    # placed under the names they came with, byte by byte
    assert stack.get(f"/files/{wid}/data/März 2024.csv").content == bytes(range(256))
    stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    stack.finish(wid)
