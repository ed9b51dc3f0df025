"""What the runs of one user share: places, a queue, budgets of the day, webhooks."""
import hashlib
import hmac
import http.server
import json
import random
import socket
import threading
import time

import pytest

from conftest import Stack, example, until

QUICK = "human-eval-001"


@pytest.fixture(scope="module")
def one_place():
    s = Stack(AZLON_USER_RUNS="1", AZLON_WEBHOOK_LOCAL="true")
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(scope="module")
def one_place_on_temporal(temporal):
    s = Stack(AZLON_USER_RUNS="1", RESTACK_ENGINE_ADDRESS=temporal.address, RESTACK_ENGINE_ID="queue",
              AZLON_RESTACK_ENDPOINTS="false")
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(params=["local", "temporal"])
def places(request):
    return request.getfixturevalue("one_place" if request.param == "local" else "one_place_on_temporal")


def run_of(s, wid, user):
    return s.get(f"/run_workflow/{wid}", user=user).json()


def busy(s, user):
    """A run that has the user's one place and keeps it."""
    wid = s.start_run(example("endless"), user=user)
    until(lambda: run_of(s, wid, user)["status"] == "running", within=60)
    return wid


def waits(s, wid, user, position):
    until(lambda: run_of(s, wid, user).get("queue_position") == position, within=60)
    run = run_of(s, wid, user)
    assert (run["status"], run["phase"], run["started_at"]) == ("queued", "prepare", None), run


def cancel(s, wid, user):
    assert s.post(f"/run_workflow/{wid}/cancel", user=user, json={"mode": "now"}).status_code == 202


# ---- places ----

def test_a_second_run_waits_its_turn_and_is_told_where_it_stands(places):
    user = "queue"
    first = busy(places, user)
    second = places.start_run(example(QUICK), user=user)
    waits(places, second, user, 1)
    third = places.start_run(example(QUICK), user=user)
    waits(places, third, user, 2)
    fourth = places.start_run(example(QUICK), user=user)
    waits(places, fourth, user, 3)
    # who gives up is gone at once, and those behind move up
    cancel(places, third, user)
    assert places.finish(third, user=user, within=60)["status"] == "cancelled"
    assert run_of(places, first, user)["status"] == "running"
    waits(places, fourth, user, 2)
    cancel(places, first, user)
    assert places.finish(second, user=user)["status"] == "succeeded"
    assert places.finish(fourth, user=user)["status"] == "succeeded"
    begun = [run_of(places, w, user)["started_at"] for w in (first, second, fourth)]
    assert begun == sorted(begun)
    told = [(e["status"], e.get("queue_position")) for e in places.events(fourth, user=user) if e["type"] == "run.status"]
    assert told == [("queued", None), ("queued", 3), ("queued", 2), ("queued", 1), ("running", None)]
    assert "queue_position" not in run_of(places, fourth, user)


def test_a_user_with_many_runs_delays_no_other(one_place):
    crowd = [busy(one_place, "crowd")] + [one_place.start_run(example(QUICK), user="crowd") for _ in range(20)]
    waits(one_place, crowd[1], "crowd", 1)
    began = time.monotonic()
    assert one_place.finish(one_place.start_run(example(QUICK), user="alone"), user="alone")["status"] == "succeeded"
    took = time.monotonic() - began
    states = [run_of(one_place, w, "crowd")["status"] for w in crowd]
    assert states == ["running"] + ["queued"] * 20, states
    assert took < 20, took
    listed = one_place.get("/run_workflow?status=queued", user="crowd").json()["runs"]
    assert {r["workflow_id"] for r in listed} == set(crowd[1:])
    for w in reversed(crowd):
        cancel(one_place, w, "crowd")
    for w in crowd:
        assert one_place.finish(w, user="crowd")["status"] == "cancelled"


def test_workers_that_die_while_runs_wait_lose_none(own_stack):
    s = own_stack(AZLON_USER_RUNS="1")
    rng = random.Random(7)
    runs = [s.start_run(example(QUICK), user="alice") for _ in range(6)]
    for _ in range(5):
        threading.Event().wait(rng.uniform(0, 0.6))  # chance is what is wanted
        s.kill_and_wait("worker")
        s.control("start")
    for w in runs:
        assert s.finish(w, within=180)["status"] == "succeeded"
        kinds = [e["type"] for e in s.events(w)]
        assert kinds.count("run.finished") == 1 and kinds.count("iteration.start") == 1, kinds


def test_without_a_limit_nobody_waits(own_stack):
    s = own_stack(AZLON_USER_RUNS="0")
    runs = [s.start_run(example("endless")) for _ in range(5)]
    until(lambda: all(run_of(s, w, "alice")["status"] == "running" for w in runs), within=60)
    for w in runs:
        cancel(s, w, "alice")


# ---- budgets ----

def test_a_budget_is_reserved_then_settled_and_ends_what_it_does_not_cover(own_stack):
    s = own_stack(AZLON_USER_RUNS="4", AZLON_USER_ITERATIONS="4")
    # it wants 20 and gets what there is; a second one waits for what the first leaves over
    first = busy(s, "alice")
    second = s.start_run({**example(QUICK), "limits": {"iterations": 20}})
    third = s.start_run({**example(QUICK), "limits": {"iterations": 20}})
    until(lambda: run_of(s, second, "alice")["status"] in ("running", "succeeded"), within=60)
    assert run_of(s, first, "alice")["limits"]["iterations"] == 1
    assert run_of(s, second, "alice")["limits"]["iterations"] == 3
    assert s.finish(second)["status"] == "succeeded"
    assert s.finish(third)["status"] == "succeeded"
    assert run_of(s, third, "alice")["limits"]["iterations"] == 2
    cancel(s, first, "alice")
    s.finish(first)
    # of four, two were used up, and the one that the cancelled run had begun
    left = s.finish(s.start_run({**example("hopeless"), "limits": {"iterations": 3}}))
    assert left["status"] == "failed" and left["limits"]["iterations"] == 1, left
    over = s.finish(s.start_run(example(QUICK)))
    assert (over["status"], over["reason"]) == ("failed", "budget_exhausted"), over
    assert "budget of the day" in over["message"]
    assert over["usage"]["llm_calls"] == 0
    # another's budget is another's
    assert s.finish(s.start_run(example(QUICK), user="bob"), user="bob")["status"] == "succeeded"


# ---- webhooks ----

class Receiver:
    """Answers with each of these in turn, the last one again and again; keeps what it was told."""

    def __init__(self, *answers):
        told, left = [], list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((dict(self.headers), body))
                status = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.told = told
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()


def hook_of(s, wid, user="alice"):
    r = s.get(f"/run_workflow/{wid}/webhook", user=user)
    assert r.status_code == 200, r.text
    return r.json()


def test_the_end_of_a_run_is_told_signed_and_again_until_it_is_taken(one_place):
    with Receiver(503, 302, 204) as receiver:
        wid = one_place.start_run({**example(QUICK), "webhook": {"url": receiver.url}, "metadata": {"ticket": 7}})
        run = one_place.finish(wid)
        until(lambda: len(receiver.told) == 1, within=60)
        until(lambda: hook_of(one_place, wid)["state"] == "retrying", within=60)
        first = hook_of(one_place, wid)
        assert (first["status"], first["tries"]) == (503, 1) and first["url"] == receiver.url
        until(lambda: hook_of(one_place, wid)["state"] == "delivered", within=60, every=0.5)
        hook = hook_of(one_place, wid)
    assert hook["tries"] == 3 and len(receiver.told) == 3  # and no redirect was followed
    for headers, body in receiver.told:
        said = dict(part.split("=") for part in headers["Azlon-Signature"].split(","))
        assert abs(int(said["t"]) - time.time()) < 120
        mac = hmac.new(hook["key"].encode(), said["t"].encode() + b"." + body, hashlib.sha256)
        assert hmac.compare_digest(mac.hexdigest(), said["v1"])
        assert headers["Azlon-Delivery"] == hook["delivery"]
        message = json.loads(body)
        assert message["type"] == "run.finished" and message["delivery"] == hook["delivery"]
        assert {k: message[k] for k in ("workflow_id", "user_id", "status", "result", "finished_at")} == \
            {k: run[k] for k in ("workflow_id", "user_id", "status", "result", "finished_at")}
        assert message["metadata"] == {"ticket": 7} and message["checks"] == run["checks"]


def test_a_cancelled_run_is_told_too_and_keys_are_of_users(one_place):
    with Receiver(200) as receiver:
        keys = []
        for user in ("hook1", "hook2"):
            wid = one_place.start_run({**example("endless"), "webhook": {"url": receiver.url}}, user=user)
            assert hook_of(one_place, wid, user)["state"] == "pending"
            cancel(one_place, wid, user)
            until(lambda: hook_of(one_place, wid, user)["state"] == "delivered", within=60)
            keys.append(hook_of(one_place, wid, user)["key"])
            assert one_place.get(f"/run_workflow/{wid}/webhook", user="mallory").status_code == 404
        assert [json.loads(b)["status"] for _, b in receiver.told] == ["cancelled", "cancelled"]
    assert keys[0] != keys[1]


def test_a_receiver_that_wants_no_more_is_left_alone(one_place):
    with Receiver(410) as receiver:
        wid = one_place.start_run({**example(QUICK), "webhook": {"url": receiver.url}})
        until(lambda: hook_of(one_place, wid)["state"] == "refused", within=60)
        assert len(receiver.told) == 1
    plain = one_place.start_run(example(QUICK))
    assert (hook_of(one_place, plain)["url"], hook_of(one_place, plain)["state"]) == (None, "none")


@pytest.mark.parametrize("url", [
    "https://127.0.0.1/", "https://10.0.0.1:8443/x", "https://[::1]/", "https://169.254.169.254/latest",
    "https://localhost/", "http://example.com/", "ftp://example.com/", "https://u:p@example.com/", "https://"])
def test_addresses_that_lead_inside_are_refused(stack, url):
    r = stack.post("/run_workflow", json={**example(QUICK), "mode": "async", "webhook": {"url": url}})
    assert r.status_code == 422, r.text
    assert r.json()["errors"][0]["loc"] == ["body", "webhook", "url"]


def test_names_that_lead_inside_are_refused_when_they_are_looked_up(stack):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        s.settimeout(0)
        # other writings of 127.0.0.1, which no reader of addresses takes for one
        for host in ("inside.localhost", "2130706433", "0x7f.1"):
            wid = stack.start_run({**example(QUICK), "webhook": {"url": f"https://{host}:{s.getsockname()[1]}/"}},
                                  user="inside")
            stack.finish(wid, user="inside")
            until(lambda: hook_of(stack, wid, "inside")["state"] == "refused", within=60)
            assert "public internet" in hook_of(stack, wid, "inside")["error"]
        with pytest.raises(BlockingIOError):  # nobody came
            s.accept()
