"""The document is OpenAPI 3.1, it is what is served, and real answers are as it says."""
import contextlib
import io
import json
import re
import socket
import ssl
import zipfile

import jsonschema
import openapi_spec_validator
import pytest

import openapi
from conftest import example, until

GOOD = {"user_prompt": "p", "test_conditions": "t", "model": "recording/hopeless", "mode": "async"}
USER = "contract"


@pytest.fixture(scope="module")
def ask(stack):
    """A request whose answer is held against the document; with the status that it must have."""

    def one(method, path, status, user=USER, **kw):
        r = stack.request(method, path, user=user, **kw)
        assert r.status_code == status, (method, path, r.status_code, r.text[:500])
        return openapi.check(r)

    return one


@pytest.fixture(scope="module")
def run(stack):
    wid = stack.start_run(example("human-eval-010"), user=USER)
    stack.finish(wid, user=USER)
    return wid


@pytest.fixture(scope="module")
def inputs(ask):
    r = ask("POST", "/files/inputs", 201, files=[("file", ("a.txt", b"one")), ("file", ("b.svg", b"<svg/>"))])
    return r.json()["input_id"]


def test_the_document_is_openapi_3_1():
    openapi_spec_validator.validate(openapi.document(), cls=openapi_spec_validator.OpenAPIV31SpecValidator)


def test_the_document_is_served(stack, ask):
    r = ask("GET", "/run_workflow/openapi.json", 200, user=None)
    assert r.content == openapi.FILE.read_bytes()
    assert "max-age" in r.headers["Cache-Control"]
    ask("GET", "/run_workflow/openapi.json", 304, headers={"If-None-Match": r.headers["ETag"]})
    head = ask("HEAD", "/run_workflow/openapi.json", 200)
    assert head.headers["ETag"] == r.headers["ETag"] and int(head.headers["Content-Length"]) == len(r.content)
    assert stack.post("/run_workflow/openapi.json").status_code == 405
    # no identity: not even one that dev would refuse
    assert stack.get("/run_workflow/openapi.json", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 200


def test_examples_of_bodies_are_as_their_schemas_say():
    n = 0
    for item in openapi.document()["paths"].values():
        for op in item.values():
            if not isinstance(op, dict) or "requestBody" not in op:
                continue
            for media in op["requestBody"]["content"].values():
                for e in media.get("examples", {}).values():
                    openapi.validate(e["value"], media["schema"])
                    n += 1
    assert n


@pytest.mark.parametrize("name", ["weather", "human-eval-010", "endless", "hopeless"])
def test_bodies_of_the_recordings_are_creates(name):
    openapi.validate(example(name), {"$ref": "#/components/schemas/Create"})


@pytest.mark.parametrize("change", [
    {"user_prompt": " "}, {"user_prompt": 7}, {"mode": "sometimes"}, {"checks": [{"run": ""}]}, {"checks": [{"run": "a", "file": "b"}]},
    {"checks": [{"run": "a", "expect": {"exit": 256}}]}, {"checks": [{"run": "a", "expect": {"magic": "png"}}]}, {"checks": [{"text": " "}]},
    {"checks": [{"http": {"path": "/"}}]}, {"checks": [{"id": "a b", "run": "x"}]}, {"limits": {"iterations": 0}}, {"limits": []},
    {"network": {"allow": ["a/b"]}}, {"network": {"default": "some"}}, {"model": "a b"}, {"hitl": "always"}, {"webhook": {"url": "x"}},
    {"model_fallbacks": [""]}, {"on_disconnect": "wait"}, {"metadata": []}, {"inputs": "x"}, {"inputs": [7]},
    {"checks": [{"run": "a", "timeout_s": 901}]}, {"checks": [{"file": "a", "stdin": ""}]}])
def test_what_the_schema_refuses_is_refused(ask, change):
    """And the other way round: the process and the document mean the same."""
    body = {**GOOD, **change}
    with pytest.raises(jsonschema.ValidationError):
        openapi.validate(body, {"$ref": "#/components/schemas/Create"})
    assert ask("POST", "/run_workflow", 422, json=body).json()["errors"]


def test_creates(stack, ask):
    key = {"Idempotency-Key": "contract-1"}
    body = {**example("human-eval-010"), "mode": "async"}
    wid = ask("POST", "/run_workflow", 202, json=body, headers=key).json()["workflow_id"]
    stack.finish(wid, user=USER)
    assert ask("POST", "/run_workflow", 202, json=body, headers=key).headers["Idempotency-Replayed"] == "true"
    done = ask("POST", "/run_workflow", 200, json={**body, "mode": "sync"}, headers={"Prefer": "wait=60"})
    assert done.json()["result"] is True
    for code, status, sent in (
            ("idempotency_mismatch", 422, {"json": {**body, "user_prompt": "x"}, "headers": key}),
            ("llm_not_configured", 409, {"json": {"user_prompt": "p", "test_conditions": "t"}}),
            ("unprocessable", 422, {"json": {"user_prompt": 7}}), ("forbidden", 403, {"json": {**GOOD, "user_id": "other"}}),
            ("malformed", 400, {"data": b"{", "headers": {"Content-Type": "application/json"}}),
            ("unsupported_type", 415, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
            ("too_large", 413, {"json": {**GOOD, "user_prompt": "x" * 300_000}}),
            ("malformed", 400, {"json": GOOD, "headers": {"Idempotency-Key": "k" * 300}}),
            ("forbidden", 403, {"json": GOOD, "headers": {"X-Forwarded-For": "1.2.3.4"}}),
            ("unauthorized", 401, {"json": GOOD, "headers": {"X-User-ID": "u" * 300}})):
        r = ask("POST", "/run_workflow", status, **sent)
        assert r.json()["code"] == code, r.text


def test_a_run(ask, run):
    url = f"/run_workflow/{run}"
    r = ask("GET", url, 200)
    ask("GET", url, 304, headers={"If-None-Match": r.headers["ETag"]})
    ask("GET", f"{url}?wait=1", 200)
    ask("GET", f"{url}?wait=x", 400)
    ask("GET", f"{url}/result", 200)
    ask("GET", f"{url}/request", 200)
    for path in ("", "/result", "/request", "/iterations", "/iterations/1", "/events", "/iterations/1/logs/stdout"):
        ask("HEAD", url + path, 200)
        ask("GET", url + path, 404, user="another")
    ask("POST", f"{url}/cancel", 409, json={})
    ask("POST", f"{url}/cancel", 422, json={"mode": "soon"})
    ask("POST", f"{url}/cancel", 400, data=b"{")
    ask("POST", f"{url}/cancel", 413, data=b" " * 5000)


def test_an_open_run(stack, ask):
    wid = stack.start_run(example("endless"), user=USER)
    url = f"/run_workflow/{wid}"
    until(lambda: ask("GET", url, 200).json()["phase"] == "execute", within=60)
    assert ask("GET", "/run_workflow?status=running", 200).json()["runs"][0]["workflow_id"] == wid
    assert ask("GET", f"{url}/result", 409).json()["code"] == "not_finished"
    assert ask("GET", f"{url}/result?wait=0", 409).headers["Retry-After"]
    for path in (url, f"/files/{wid}", f"/files/{wid}/x", "/files"):
        assert ask("DELETE", path, 409).json()["code"] == "not_finished"
    ask("GET", f"/files/{wid}", 200)
    ask("POST", f"{url}/cancel", 202, json={"mode": "now"})
    stack.finish(wid, user=USER, within=30)
    ask("GET", url, 200)
    ask("GET", f"{url}/events", 200)
    ask("DELETE", url, 204)
    ask("GET", url, 404)


def test_a_run_that_failed(stack, ask):
    wid = stack.start_run({"model": "recording/weather", "user_prompt": "x", "test_conditions": "y", "colour": "blue"}, user=USER)
    stack.finish(wid, user=USER)
    assert ask("GET", f"/run_workflow/{wid}", 200).json()["warnings"]
    ask("GET", f"/run_workflow/{wid}/events", 200)
    ask("GET", f"/run_workflow/{wid}/iterations", 200)


def test_lists(ask, run):
    for query in ("", "?limit=1", "?status=succeeded", "?status=failed", "?view=legacy_dirs"):
        assert ask("GET", f"/run_workflow{query}", 200).json()
    cursor = ask("GET", "/run_workflow?limit=1", 200).json()["next_cursor"]
    ask("GET", f"/run_workflow?limit=1&cursor={cursor}", 200)
    for query in ("?limit=0", "?limit=201", "?status=lost", "?cursor=x", "?a=%00"):
        ask("GET", f"/run_workflow{query}", 400)
    ask("GET", "/run_workflow?" + "&".join(["a=b"] * 65), 413)


def test_events(stack, ask, run):
    url = f"/run_workflow/{run}/events"
    page = ask("GET", url, 200).json()
    assert page["finished"] and not page["more"]
    assert ask("GET", f"{url}?limit=2&after=1", 200).json()["more"]
    ask("GET", f"{url}?after=-1", 400)
    ask("GET", url, 400, headers={"Last-Event-ID": "x"})
    stream = {"Accept": "text/event-stream"}
    r = ask("GET", url, 200, headers=stream)
    frames = re.findall(r"^id: (\d+)\nevent: (\S+)\ndata: (.*)$", r.text, re.M)
    assert len(frames) == len(page["events"])
    for (seq, kind, data), event in zip(frames, page["events"]):
        assert {"type": kind, **json.loads(data)} == event and event["seq"] == int(seq)
    ask("GET", f"{url}?after={page['next_after']}", 204, headers=stream)


def test_iterations_and_logs(ask, run):
    url = f"/run_workflow/{run}/iterations"
    assert len(ask("GET", url, 200).json()["iterations"]) >= 1
    assert ask("GET", f"{url}/1", 200).json()["verdict"]["passed"] is True
    for n in ("99", "101", "x", "-1"):
        ask("GET", f"{url}/{n}", 404)
    for stream in ("stdout", "stderr"):
        r = ask("GET", f"{url}/1/logs/{stream}", 200)
        ask("GET", f"{url}/1/logs/{stream}", 304, headers={"If-None-Match": r.headers["ETag"]})
        ask("GET", f"{url}/1/logs/{stream}", 412, headers={"If-Match": '"x"'})
        ask("GET", f"{url}/1/logs/{stream}", 416, headers={"Range": "bytes=99999999-"})
    ask("GET", f"{url}/1/logs/both", 404)
    ask("GET", f"{url}/1/diff", 200)
    ask("HEAD", f"{url}/1/diff?against=1", 200)
    ask("GET", f"{url}/1/diff?against=x", 400)
    ask("GET", f"{url}/99/diff", 404)


def test_forks(stack, ask, run):
    url = f"/run_workflow/{run}/fork"
    key = {"Idempotency-Key": "contract-fork"}
    body = {"iteration": 1, "mode": "async", "limits": {"iterations": 1}, "colour": "blue"}
    made = ask("POST", url, 202, json=body, headers=key).json()
    assert made["forked_from"] == {"workflow_id": run, "iteration": 1} and made["warnings"]
    stack.finish(made["workflow_id"], user=USER)
    assert ask("GET", f"/run_workflow/{made['workflow_id']}", 200).json()["forked_from"]["iteration"] == 1
    assert ask("POST", url, 202, json=body, headers=key).headers["Idempotency-Replayed"] == "true"
    assert ask("POST", url, 200, json={"iteration": 1, "limits": {"iterations": 1}}).json()["run"]["forked_from"]
    for status, sent in ((422, {"json": {**body, "iteration": 0}, "headers": key}), (422, {"json": {}}), (404, {"json": {"iteration": 9}}),
                         (409, {"json": {"iteration": 1, "model": None}}), (403, {"json": {"iteration": 1, "user_id": "other"}}),
                         (400, {"data": b"{", "headers": {"Content-Type": "application/json"}}), (415, {"data": b"{}"}),
                         (413, {"json": {"iteration": 1, "user_prompt": "x" * 300_000}})):
        ask("POST", url, status, **sent)
    ask("POST", url, 404, user="another", json=body)
    assert "POST" in stack.get(url, user=USER).headers["Allow"]


def test_prompts_and_health(ask):
    mine = ask("GET", "/run_workflow/prompts", 200).json()
    ask("POST", "/run_workflow/prompts", 200, json=mine)
    ask("POST", "/run_workflow/prompts", 200, json={"generate_code_prompt": "", "validate_output_prompt": None, "more": 1})
    ask("POST", "/run_workflow/prompts", 422, json={"generate_code_prompt": 7})
    ask("POST", "/run_workflow/prompts", 422, json={"generate_code_prompt": "x" * 33_000})
    ask("POST", "/run_workflow/prompts", 400, json=[])
    ask("POST", "/run_workflow/prompts", 415, data="x")
    for path in ("/run_workflow/health/live", "/run_workflow/health/ready", "/files/health/live", "/files/health/ready"):
        ask("GET", path, 200, user=None)
        ask("HEAD", path, 200, user=None)


def test_files_of_a_run(ask, run):
    url = f"/files/{run}"
    assert ask("GET", url, 200).json()["files"]
    for query in ("?view=tree", "?view=legacy", "?prefix=sol", "?iteration=1", "?limit=1", "?format=zip", "?format=tar.gz", "?format=zip&prefix=sol"):
        ask("GET", url + query, 200)
    ask("GET", url, 200, headers={"Accept": "text/plain"})
    for query in ("?view=round", "?limit=0", "?cursor=x", "?format=rar", "?iteration=x"):
        ask("GET", url + query, 400)
    ask("GET", f"{url}?iteration=99", 404)
    ask("GET", url, 404, user="another")
    file = f"{url}/solution.py"
    tag = ask("GET", file, 200).headers["ETag"]
    ask("HEAD", file, 200)
    ask("GET", f"{file}?download=1", 200)
    ask("GET", f"{file}?format=zip", 200)
    ask("GET", file, 206, headers={"Range": "bytes=0-3"})
    ask("GET", file, 416, headers={"Range": "bytes=999999-"})
    ask("GET", file, 304, headers={"If-None-Match": tag})
    ask("GET", file, 412, headers={"If-Match": '"x"'})
    ask("GET", f"{url}/nowhere", 404)
    ask("GET", f"{url}/a%5cb", 400)
    ask("DELETE", f"{url}/nowhere", 404)


def test_links(stack, ask, run, inputs):
    for url, body in ((f"/files/{run}", {"path": "solution.py", "ttl_s": 60, "iteration": 1}), (f"/files/inputs/{inputs}", {"path": "a.txt"})):
        link = ask("POST", f"{url}/links", 201, json=body).json()["url"]
        ask("GET", link, 200, user=None)
        assert ask("GET", link.replace("sig=", "sig=x"), 403, user=None).json()["code"] == "link_invalid"
        ask("POST", f"{url}/links", 404, json={"path": "nowhere"})
        ask("POST", f"{url}/links", 400, json={"path": "../x"})
        ask("POST", f"{url}/links", 422, json={"ttl_s": 0})
        ask("POST", f"{url}/links", 415, data="x")
        # that is how the route is written: any other path says what it takes
        r = stack.post(f"{url}/elsewhere", user=USER, json=body)
        assert r.status_code == 405 and "DELETE" in r.headers["Allow"]


def test_input_sets(ask, inputs):
    url = f"/files/inputs/{inputs}"
    assert len(ask("GET", url, 200).json()["files"]) == 2
    ask("GET", f"{url}?limit=1", 200)
    ask("GET", f"{url}?limit=1001", 400)
    put = ask("PUT", f"{url}/sub/c.bin", 201, data=b"\0\1")
    assert ask("GET", f"{url}/sub/c.bin", 200).headers["ETag"] == put.headers["ETag"]
    ask("GET", f"{url}/sub/c.bin", 206, headers={"Range": "bytes=1-"})
    ask("PUT", f"{url}/.git/x", 400, data=b"x")
    ask("PUT", "/files/inputs/nowhere/x", 404, data=b"x")
    ask("DELETE", f"{url}/sub", 204)
    ask("DELETE", f"{url}/sub", 404)
    ask("POST", "/files/inputs", 415, data=b"x", headers={"Content-Type": "text/plain"})
    ask("POST", "/files/inputs", 400, data=b"x", headers={"Content-Type": "application/zip"})
    ask("POST", "/files/inputs", 400, data=b"x", headers={"Content-Type": "multipart/form-data"})
    ask("POST", "/files/inputs?view=legacy", 200, files=[("files", ("notes.txt", b"x"))])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        z.writestr("d/e.txt", "e")
    for query in ("", "?expand=0&name=whole.zip"):
        r = ask("POST", f"/files/inputs{query}", 201, data=made.getvalue(), headers={"Content-Type": "application/zip"})
        ask("DELETE", r.headers["Location"], 204)
    ask("GET", r.headers["Location"], 404)
    assert ask("DELETE", "/files", 204, user="somebody").content == b""


# ---- what nginx answers by itself ----

def raw(port, data, tls=None):
    """One request as it is written; status, headers and body of the answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s = tls.wrap_socket(s, server_hostname="localhost") if tls else s
        s.sendall(data)
        got = b""
        # a body that was announced and not sent may end in a reset, behind the answer
        with contextlib.suppress(ConnectionResetError):
            while chunk := s.recv(65536):
                got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}, body


H = b"Host: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize("status, code, data", [
    (400, "malformed", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),                                # no Host
    (400, "malformed", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"),
    (400, "malformed", b"GET /%00 HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "malformed", b"GET /files/%zz HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "malformed", b"nonsense\r\n\r\n"),
    (400, "malformed", b"GET / HTTP/1.1\r\nbad header\r\n" + H + b"\r\n"),
    (400, "malformed", b"POST /run_workflow HTTP/1.1\r\n" + H + b"Content-Length: x\r\n\r\n"),
    (400, "malformed", b"POST /run_workflow HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    (400, "malformed", b"GET / HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n" + H + b"\r\n"),
    (414, "uri_too_long", b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "malformed", b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n"),
    (405, "method_not_allowed", b"TRACE / HTTP/1.1\r\n" + H + b"\r\n"),
    (405, "method_not_allowed", b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n"),
    (501, "not_implemented", b"POST /run_workflow HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip\r\n\r\n"),
    (501, "not_implemented", b"GET / HTTP/9.1\r\n" + H + b"\r\n"),
    (413, "too_large", b"POST /run_workflow HTTP/1.1\r\n" + H + b"Content-Length: 300000\r\n\r\n"),
    (400, "malformed", b"GET /run_workflow?a=%zz HTTP/1.1\r\n" + H + b"\r\n"),
    (404, "not_found", b"GET /_wait/x HTTP/1.1\r\n" + H + b"\r\n"),
    (404, "not_found", b"GET /_problem/400 HTTP/1.1\r\n" + H + b"\r\n"),
    (404, "not_found", b"GET /_dir/x HTTP/1.1\r\n" + H + b"\r\n"),
])
def test_errors_of_nginx_are_problems(stack, status, code, data):
    is_problem(raw(stack.port, data), status, code)


def is_problem(answer, status, code):
    got, headers, body = answer
    assert got == status, (got, headers, body[:300])
    assert headers["content-type"] == "application/problem+json", (headers, body[:300])
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert status != 405 or "GET" in headers["allow"]
    said = openapi.resolved(openapi.document()["components"]["responses"][openapi.NAMES[status]])
    openapi.validate(problem, said["content"]["application/problem+json"]["schema"])


def test_plain_http_on_the_tls_port(stack):
    is_problem(raw(stack.tls_port, b"GET / HTTP/1.1\r\n" + H + b"\r\n"), 400, "malformed")


def test_errors_of_nginx_over_tls(stack):
    tls = ssl.create_default_context(cafile=str(stack.var / "tls/ca.pem"))
    is_problem(raw(stack.tls_port, b"GET /%00 HTTP/1.1\r\n" + H + b"\r\n", tls), 400, "malformed")


def test_too_many_requests(own_stack):
    s = own_stack(AZLON_RATE="1", AZLON_BURST="1")
    seen = [s.get("/run_workflow") for _ in range(4)]
    late = [r for r in seen if r.status_code == 429]
    assert late and {(r.json()["code"], r.headers["Retry-After"]) for r in late} == {("rate_limited", "1")}


def test_a_quota_that_is_used_up(own_stack):
    s = own_stack(AZLON_QUOTA_FILES="1")
    r = s.post("/files/inputs", files=[("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))])
    assert (r.status_code, r.json()["code"]) == (429, "quota") and int(r.headers["Retry-After"]) > 1


def test_a_process_that_is_away(own_stack):
    s = own_stack()
    s.kill_and_wait("run_workflow")
    s.kill_and_wait("files")
    for path in ("/run_workflow", "/run_workflow/openapi.json", "/run_workflow/health/ready", "/files/health/live"):
        r = openapi.check(s.get(path))
        assert (r.status_code, r.json()["code"]) == (503, "process_unavailable")
