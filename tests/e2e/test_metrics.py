"""Figures of a process, as Prometheus' own parser reads them."""
import time

from prometheus_client.parser import text_string_to_metric_families

from conftest import example, until


def read(stack, query="", **kw):
    r = stack.get(f"/run_workflow/metrics{query}", user=None, **kw)
    assert r.status_code == 200, r.text
    assert r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    out = {}
    for family in text_string_to_metric_families(r.text):
        assert family.type != "unknown" and family.documentation, family.name
        for s in family.samples:
            assert (s.name, tuple(sorted(s.labels.items()))) not in out, s
            out[s.name, tuple(sorted(s.labels.items()))] = s.value
    return out


def key(name, **labels):
    return name, tuple(sorted(labels.items()))


def test_what_is_answered_is_counted(stack):
    wid = stack.start_run(example("human-eval-010"), user="counted")
    stack.finish(wid, user="counted")
    of = {"route": "/run_workflow/{id}", "method": "GET"}
    before = read(stack)
    for _ in range(5):
        stack.get(f"/run_workflow/{wid}", user="counted")
    stack.get(f"/run_workflow/{wid}", user="thief")
    last = key("azlon_http_requests_total", **of, status="4xx")
    # an answer may have left a moment before it is counted
    until(lambda: read(stack).get(last, 0) > before.get(last, 0))
    after = read(stack)

    def more(name, **labels):
        return after[key(name, **of, **labels)] - before.get(key(name, **of, **labels), 0)

    assert more("azlon_http_requests_total", status="2xx") == 5
    assert more("azlon_http_requests_total", status="4xx") == 1
    assert more("azlon_http_request_duration_seconds_count") == 6
    assert 0 < more("azlon_http_request_duration_seconds_sum") < 5
    le = [(float(dict(labels)["le"]), v) for (name, labels), v in after.items()
          if name == "azlon_http_request_duration_seconds_bucket" and of.items() <= dict(labels).items()]
    assert le == sorted(le) and [v for _, v in le] == sorted(v for _, v in le)
    assert le[-1] == (float("inf"), after[key("azlon_http_request_duration_seconds_count", **of)])


def test_what_the_engine_has_in_hand(stack):
    before = read(stack)
    ids = [stack.start_run(example("endless"), user="counted") for _ in range(2)]
    now = read(stack)
    assert now[key("azlon_engine_up")] == 1
    assert now[key("azlon_engine_runs", state="open")] == before[key("azlon_engine_runs", state="open")] + 2
    for wid in ids:
        stack.post(f"/run_workflow/{wid}/cancel", user="counted", json={"mode": "now"})
        stack.finish(wid, user="counted", within=30)
    now = read(stack)
    assert now[key("azlon_engine_runs", state="cancelled")] >= before[key("azlon_engine_runs", state="cancelled")] + 2
    assert {dict(labels)["state"] for name, labels in now if name == "azlon_engine_functions"} == {"waiting", "later", "running"}


def test_what_the_process_is(stack):
    m = read(stack)
    assert abs(m[key("process_start_time_seconds")] - time.time()) < 7200
    assert 2**20 < m[key("process_resident_memory_bytes")] < 2**30
    assert 3 < m[key("process_open_fds")] < 500
    assert m[key("process_cpu_seconds_total")] >= 0
    assert 0 < m[key("azlon_http_threads")] <= m[key("azlon_http_threads_max")]
    # the role that waits is another process
    assert read(stack, "?wait=0")[key("azlon_http_threads_max")] > m[key("azlon_http_threads_max")]


def test_only_this_host_may_ask(stack):
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Host": "azlon.example.com"}, {"Via": "1.1 proxy"}):
        r = stack.get("/run_workflow/metrics", headers=headers)
        assert r.status_code == 404 and r.json()["code"] == "not_found", r.text
