"""The HTTP side as an attacker meets it: raw requests, slow and vanishing clients, other
people's ids, forged headers, full disks."""
import concurrent.futures
import hashlib
import io
import json
import os
import pathlib
import socket
import subprocess
import time
import zipfile

import pytest

from conftest import Stack, example, until
from test_bad_input import GOOD, problem

ORIGIN = "http://localhost:5173"


def raw(stack, request, within=10):
    """The whole answer to bytes that no client library would send."""
    s = socket.create_connection(("127.0.0.1", stack.port), timeout=within)
    s.sendall(request)
    out = b""
    while True:
        try:
            part = s.recv(65536)
        except socket.timeout:
            break
        out += part
        head, _, body = out.partition(b"\r\n\r\n")
        if not part or b"content-length: " in head.lower() and len(body) >= int(
                head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            break
    s.close()
    return out


def fds(stack, part):
    """Sockets of a process: a connection of nginx is one, and holds a thread."""
    n = 0
    for f in pathlib.Path(f"/proc/{stack.pid(part)}/fd").iterdir():
        try:
            n += os.readlink(f).startswith("socket:")
        except OSError:
            pass
    return n


def put(stack, set_id, path, body, user="alice"):
    r = stack.request("PUT", f"/files/inputs/{set_id}/{path}", user=user, data=body)
    assert r.status_code == 201, r.text
    return r.json()


def store_files(stack):
    return {pathlib.Path(d, f) for d, _, files in os.walk(stack.var / "store") for f in files if f != ".lock"}


# ---- malformed and oversized requests ----

@pytest.mark.parametrize("text, status", [
    (b"GET /a\0b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /run_workflow HTTP/1.1\r\n\r\n", 400),
    (b"GET /run_workflow HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
    (b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET /run_workflow HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 40000 + b"\r\n\r\n", 400),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"TRACE /run_workflow HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    (b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n", 413),
    (b"GET /run_workflow HTTP/1.1\r\nHost: localhost\r\nX-User-ID: a\tb\r\n\r\n", 401),
    (b"GET /run_workflow HTTP/1.1\r\nHost: localhost\r\nX-User-ID: " + b"a" * 200 + b"\r\n\r\n", 401),
])
def test_what_is_no_request_gets_a_problem_document(stack, text, status):
    out = raw(stack, text)
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), out[:300]
    assert b"application/problem+json" in head, out[:600]
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("path", ["/run_workflow", "/run_workflow?wait=1", "/run_workflow/prompts", "/run_workflow/x/cancel",
                                  "/files/x", "/prompts"])
def test_bodies_over_the_limit_are_413_everywhere_with_cors(stack, path):
    def chunks():
        for _ in range(40):
            yield b"x" * 10000
    for data in (b"x" * 300_000, chunks()):
        r = stack.post(path, data=data, headers={"Content-Type": "application/json", "Origin": ORIGIN})
        problem(r, 413, "too_large")
        assert r.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_stand_ins_answer_413_in_their_own_shape(stack):
    r = stack.http.post(f"http://127.0.0.1:{stack.local_port}/v1/chat/completions", data=b"x" * (17 << 20))
    assert r.status_code == 413 and r.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=-1", "limit=", "limit=1e3", "limit=9" * 20, "limit=%2B5",
                                   "cursor=abc", "cursor=" + "a" * 5000, "cursor=%00", "status=bogus"])
def test_query_values_out_of_bounds_are_400(stack, query):
    problem(stack.get("/run_workflow?" + query), 400, "malformed")


def test_queries_of_any_size_get_an_answer(stack):
    for q in ("a" * 8000, "&".join(f"a{i}=1" for i in range(500)), "&" * 5000, "%zz", "=%"):
        assert stack.get("/run_workflow?" + q).status_code in (200, 400, 413)


# ---- internal places and headers ----

@pytest.mark.parametrize("path", ["/_dir/", "/_dir", "/%5fdir/x", "//_dir//", "/./_dir/", "/_wait/x", "/_preflight", "/_problem/400",
                                  "/files/%2e%2e/_dir/", "/output_file/x/../../_dir/x"])
def test_internal_locations_are_not_there(stack, path):
    assert raw(stack, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).startswith(b"HTTP/1.1 404 ")


def test_client_sent_accel_headers_do_nothing_and_none_leak(stack):
    up = put(stack, "inp_" + "a" * 26, "x.txt", b"text")
    forged = {"X-Accel-Redirect": "/_dir/", "X-Azlon-ETag": '"no"', "X-Accel-Buffering": "no", "X-Accel-Limit-Rate": "1"}
    r = stack.get("/files/inputs/inp_" + "a" * 26 + "/x.txt", headers=forged)
    assert r.content == b"text" and r.headers["ETag"] == f'"{up["sha256"]}"'
    r2 = stack.get("/run_workflow", headers=forged)
    assert r2.status_code == 200
    for h in (*r.headers, *r2.headers):
        assert not h.lower().startswith(("x-accel", "x-azlon")), h


def test_a_handed_over_wait_needs_its_token(stack):
    """The second hop of a synchronous start: only nginx can make it, and only for the run just started."""
    wid = stack.start_run(example("human-eval-010"), user="waiter")
    for path in (f"/_wait/{wid}?owner=waiter&token={'0' * 64}", f"/_wait/{wid}"):
        problem(stack.get(path, user="waiter"), 404)
    stack.finish(wid, user="waiter")


# ---- bytes of users ----

ACTIVE = ["a.html", "b.HTM", "c.svg", "d.js", "e.mjs", "f.xml", "g.xhtml", "h.html.html", "i.SVG"]


@pytest.mark.parametrize("name", ACTIVE)
def test_active_content_is_an_attachment_in_a_csp_sandbox(stack, name):
    put(stack, "inp_" + "b" * 26, name, b"<script>1</script>")
    for h in ({}, {"Range": "bytes=0-3"}, {"If-Match": "*"}):
        r = stack.get("/files/inputs/inp_" + "b" * 26 + "/" + name, headers=h)
        assert r.status_code in (200, 206)
        assert r.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in r.headers["Content-Security-Policy"]
        assert r.headers["Cache-Control"] == "private, no-store"
        assert r.headers["Content-Disposition"].startswith("attachment") or r.headers["Content-Type"] == "application/octet-stream"


def test_names_cannot_break_out_of_a_header(stack):
    name = 'a"; x=y\u202f é%0d%0aSet-Cookie: evil=1.txt'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        z.writestr(name, "x")
    r = stack.post("/files/inputs", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    if r.status_code == 201:
        got = stack.get(f"/files/inputs/{r.json()['input_id']}/" + "".join(f"%{b:02x}" for b in r.json()["files"][0]["path"].encode()))
        assert got.status_code == 200 and got.content == b"x"
        assert "Set-Cookie" not in got.headers
        assert got.headers["Content-Disposition"].count('"') == 2
    else:
        problem(r, 400)


RANGES = [("bytes=0-3", 206, b"0123", "bytes 0-3/10"), ("bytes=4-", 206, b"456789", "bytes 4-9/10"), ("bytes=-3", 206, b"789", "bytes 7-9/10"),
          ("bytes=8-99", 206, b"89", "bytes 8-9/10"), ("bytes=10-", 416, None, "bytes */10"), ("bytes=-0", 416, None, "bytes */10"),
          ("lines=1-2", 200, b"0123456789", None)]


@pytest.mark.parametrize("etag", [False, True])
@pytest.mark.parametrize("spec, status, body, content_range", RANGES)
def test_ranges_of_files(stack, spec, status, body, content_range, etag):
    """By nginx, and (with If-Match, which nginx cannot weigh against our tag) by the process."""
    sha = put(stack, "inp_" + "c" * 26, "d.txt", b"0123456789")["sha256"]
    headers = {"Range": spec, "Origin": ORIGIN, **({"If-Match": f'"{sha}"'} if etag else {})}
    r = stack.get("/files/inputs/inp_" + "c" * 26 + "/d.txt", headers=headers)
    assert r.status_code == status, r.text
    assert r.headers.get("Content-Range") == content_range
    # each once: a browser refuses an origin that comes twice
    assert r.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    if status == 416:
        problem(r, 416, "bad_range")
    else:
        assert r.content == body and r.headers["ETag"] == f'"{sha}"'
        head = stack.request("HEAD", "/files/inputs/inp_" + "c" * 26 + "/d.txt", headers=headers)
        assert head.status_code == status and head.headers["Content-Length"] == str(len(body)) and not head.content


def test_preconditions_of_files(stack):
    sha = put(stack, "inp_" + "d" * 26, "p.txt", b"precondition")["sha256"]
    path, tag = "/files/inputs/inp_" + "d" * 26 + "/p.txt", f'"{sha}"'
    assert stack.get(path, headers={"If-None-Match": f'"x", {tag}'}).status_code == 304
    assert stack.get(path, headers={"If-Match": tag}).content == b"precondition"
    problem(stack.get(path, headers={"If-Match": '"other"'}), 412)
    assert stack.get(path, headers={"Range": "bytes=0-2", "If-Range": '"other"'}).content == b"precondition"
    assert stack.get(path, headers={"Range": "bytes=0-2", "If-Range": tag}).content == b"pre"


# ---- ids of others ----

def test_users_whose_names_look_alike_share_nothing(stack):
    wid = stack.start_run(example("human-eval-010"), user="user_1")
    stack.finish(wid, user="user_1")
    put(stack, "inp_" + "e" * 26, "mine.txt", b"mine", user="user_1")
    for thief in ("user_12", "USER_1", "user_1 ", "user", "user_1-" + wid.split("-")[2], "user_1%", "user-user_1"):
        assert stack.get(f"/run_workflow/{wid}", user=thief).status_code == (200 if thief.strip() == "user_1" else 404), thief
        if thief.strip() == "user_1":
            continue
        assert not stack.get("/run_workflow", user=thief).json()["runs"]
        assert stack.get(f"/files/{wid}/main.py", user=thief).status_code == 404
        assert stack.get("/files/inputs/inp_" + "e" * 26 + "/mine.txt", user=thief).status_code == 404
        r = stack.post("/run_workflow", user=thief, json={**GOOD, "inputs": [f"{wid}/Dockerfile"]})
        problem(r, 422)
        r = stack.post("/run_workflow", user=thief, json={**GOOD, "inputs": ["inp_" + "e" * 26]})
        problem(r, 422)
        assert stack.request("DELETE", f"/files/{wid}", user=thief).status_code == 404
    assert stack.get("/files/inputs/inp_" + "e" * 26 + "/mine.txt", user="user_1").content == b"mine"


def test_identity_is_no_parameter(stack):
    wid = stack.start_run(example("human-eval-010"), user="victim")
    stack.finish(wid, user="victim")
    for q in ("?legacy_user=victim", "?user_id=victim", "?owner=victim", "?X-User-ID=victim"):
        assert stack.get(f"/run_workflow/{wid}{q}", user="mallory").status_code == 404
    for path in (f"/workflow_result/victim/{wid}", f"/workflow_zip/victim/{wid}", f"/workflow_file/victim/{wid}/Dockerfile",
                 f"/workflow_result/mallory&legacy_user=victim/{wid}", f"/output_files/{wid}"):
        assert stack.get(path, user="mallory").status_code == 404, path
    assert stack.post("/upload_input/victim", user="mallory", files={"files": ("x", b"x")}).status_code == 404


# ---- keys of idempotency ----

def test_idempotency_keys(stack):
    def start(key, body, user="idem", **kw):
        return stack.post("/run_workflow", user=user, data=json.dumps(body), headers={"Content-Type": "application/json", "Idempotency-Key": key, **kw})

    body = {**example("human-eval-010"), "mode": "async"}
    for key in ("a", "k" * 255, "\u00fe".encode(), "a b;c=\"d\""):
        first = start(key, body)
        again = start(key, body)
        assert first.status_code == again.status_code == 202
        assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
        assert first.json()["workflow_id"] == again.json()["workflow_id"]
        problem(start(key, {**body, "metadata": {"a": "b"}}), 422, "idempotency_mismatch")
        assert start(key, body, user="other").json()["workflow_id"] != first.json()["workflow_id"]
    problem(start("k" * 256, body), 400)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        ids = {r.json()["workflow_id"] for r in pool.map(lambda _: start("race", body), range(12))}
    assert len(ids) == 1
    # the synchronous form finds the same run, and waits for it
    r = start("race", body, Prefer="wait=60")
    assert r.json()["workflow_id"] in ids
    # what the run took in may be gone by the time the answer was lost: still the same run
    put(stack, "inp_" + "f" * 26, "in.txt", b"in", user="idem")
    body = {**body, "inputs": ["inp_" + "f" * 26]}
    first = start("gone", body)
    assert first.status_code == 202, first.text
    stack.request("DELETE", "/files/inputs/inp_" + "f" * 26, user="idem")
    assert start("gone", body).json().get("workflow_id") == first.json()["workflow_id"]


# ---- many, slow and vanishing clients ----

def stream(stack, wid, user="alice"):
    s = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
    s.sendall(f"GET /run_workflow/{wid}/events HTTP/1.1\r\nHost: localhost\r\nX-User-ID: {user}\r\nAccept: text/event-stream\r\n\r\n".encode())
    return s


def test_streams_and_polls_that_vanish_free_their_threads(own_stack):
    stack = own_stack()  # its own: connections of other tests would be counted too
    wid = stack.start_run(example("endless"))
    stack.get(f"/run_workflow/{wid}?wait=1")
    before = fds(stack, "run_workflow-wait")
    open_ones = [stream(stack, wid) for _ in range(20)]
    for s in open_ones:
        assert s.recv(200).startswith(b"HTTP/1.1 200")
    for what in (f"GET /run_workflow/{wid}/result?wait=60", f"GET /run_workflow/{wid}/result?wait=600"):
        s = socket.create_connection(("127.0.0.1", stack.port))
        s.sendall(f"{what} HTTP/1.1\r\nHost: localhost\r\nX-User-ID: alice\r\n\r\n".encode())
        open_ones.append(s)
    until(lambda: fds(stack, "run_workflow-wait") >= before + 22)
    for s in open_ones:
        s.close()
    until(lambda: fds(stack, "run_workflow-wait") <= before + 1)
    stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    stack.finish(wid)


def test_streams_cannot_take_all_threads_of_those_who_wait(own_stack):
    stack = own_stack(AZLON_THREADS="4")
    wid = stack.start_run(example("endless"))
    until(lambda: stack.get(f"/run_workflow/{wid}").json()["status"] == "running")
    taken, busy, open_ones = 0, None, []
    for _ in range(170):
        s = stream(stack, wid)
        open_ones.append(s)
        head = s.recv(4096)
        taken += head.startswith(b"HTTP/1.1 200")
        if head.startswith(b"HTTP/1.1 503"):
            busy = head
    # 40 threads wait for each that serves; an eighth of them stays free
    assert 120 <= taken < 160 and busy and b"Retry-After:" in busy, (taken, busy)
    r = stack.post("/run_workflow", json=example("human-eval-010"), timeout=10)
    assert r.status_code == 202 and r.headers["Location"]  # accepted; nobody more can wait
    assert stack.get(f"/run_workflow/{wid}?wait=5", timeout=10).status_code == 200
    for s in open_ones:
        s.close()
    until(lambda: stack.post("/run_workflow", json=example("human-eval-010")).status_code == 200, within=60, every=0.3)
    stack.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})


def test_idle_and_dripping_connections_do_not_hold_up_others(stack):
    idle = []
    try:
        for i in range(500):
            s = socket.create_connection(("127.0.0.1", stack.port))
            if i % 5 == 1:
                s.sendall(b"GET /run_wor")
            elif i % 5 == 2:
                s.sendall(b"POST /run_workflow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            elif i % 5 == 3:
                s.sendall(b"PUT /files/inputs/inp_" + b"g" * 26 + b"/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc")
            idle.append(s)
        took = []
        for _ in range(30):
            t = time.monotonic()
            assert stack.get("/run_workflow").status_code == 200
            took.append(time.monotonic() - t)
        assert sorted(took)[-2] < 0.5, took
    finally:
        for s in idle:
            s.close()


def test_slow_readers_do_not_hold_threads(stack):
    """The answer of an upload names every file: more than the buffers of nginx and the kernel take."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        for i in range(3000):
            z.writestr(f"{'d' * 200}/{'e' * 200}/{'f' * 200}/{i}", "")
    r = stack.post("/files/inputs", user="slow", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    assert r.status_code == 201
    before = fds(stack, "files")
    slow = []
    for _ in range(12):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", stack.port))
        s.sendall(f"GET /files/inputs/{r.json()['input_id']}?limit=1000 HTTP/1.1\r\nHost: localhost\r\nX-User-ID: slow\r\n\r\n".encode())
        slow.append(s)
    until(lambda: fds(stack, "files") <= before + 1, within=20)
    for s in slow:
        s.close()


# ---- uploads ----

@pytest.mark.parametrize("how", ["put", "form", "cut_form", "cut_zip"])
def test_uploads_cut_half_way_leave_nothing(stack, how):
    user, set_id = "cutter", "inp_" + "h" * 26
    before = store_files(stack)
    body = os.urandom(400_000)
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n\r\n' + body + b"\r\n--b--\r\n"
    if how in ("put", "form"):  # the client goes away
        target = f"PUT /files/inputs/{set_id}/a.bin" if how == "put" else "POST /files/inputs"
        s = socket.create_connection(("127.0.0.1", stack.port))
        s.sendall(f"{target} HTTP/1.1\r\nHost: localhost\r\nX-User-ID: {user}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                  f"Content-Length: {len(form)}\r\n\r\n".encode() + form[:200_000])
        s.close()
    elif how == "cut_form":  # the body ends early
        problem(stack.post("/files/inputs", user=user, data=form[:-200_000], headers={"Content-Type": "multipart/form-data; boundary=b"}), 400)
    else:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as z:
            z.writestr("a.bin", body)
            z.writestr("b.bin", body[::-1])
        problem(stack.post("/files/inputs", user=user, data=made.getvalue()[:500_000], headers={"Content-Type": "application/zip"}), 400)
    until(lambda: store_files(stack) == before)
    body_dir = stack.var / "nginx" / "tmp" / "body"
    until(lambda: not any(body_dir.iterdir()))
    assert stack.get(f"/files/inputs/{set_id}", user=user).status_code == 404


def test_removals_racing_uploads_never_leave_a_name_without_bytes(stack):
    user, set_id = "racer", "inp_" + "i" * 26
    bodies = [bytes([65 + i]) * 1000 for i in range(4)]

    def up(i):
        return stack.request("PUT", f"/files/inputs/{set_id}/f{i % 6}", user=user, data=bodies[i % 4]).status_code

    def down(i):
        path = f"/files/inputs/{set_id}" + (f"/f{i % 6}" if i % 5 else "")
        return stack.request("DELETE", path, user=user).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(up if i % 2 else down, i) for i in range(200)]
        codes = {j.result() for j in jobs}
    assert codes <= {201, 204, 404, 409, 412, 503}, codes
    assert up(1) == 201
    for f in stack.get(f"/files/inputs/{set_id}", user=user).json()["files"]:
        r = stack.get(f"/files/inputs/{set_id}/{f['path']}", user=user)
        assert r.status_code == 200 and hashlib.sha256(r.content).hexdigest() == f["sha256"], f


def test_the_list_stays_whole_while_runs_are_started_and_removed(stack):
    user = "lister"
    kept = [stack.start_run(example("human-eval-010"), user=user) for _ in range(6)]
    for w in kept:
        stack.finish(w, user=user)
    body = {**GOOD}

    def churn(_):
        w = stack.start_run(body, user=user)
        stack.finish(w, user=user)
        stack.request("DELETE", f"/run_workflow/{w}", user=user)

    def whole(_):
        seen, cursor = [], ""
        while True:
            r = stack.get(f"/run_workflow?limit=2{cursor}", user=user)
            assert r.status_code == 200, r.text
            seen += [x["workflow_id"] for x in r.json()["runs"]]
            if not r.json()["next_cursor"]:
                return seen
            cursor = "&cursor=" + r.json()["next_cursor"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        churns = [pool.submit(churn, i) for i in range(12)]
        lists = [pool.submit(whole, i) for i in range(24)]
        for j in churns:
            j.result()
        for j in lists:
            seen = j.result()
            assert len(seen) == len(set(seen))
            assert set(kept) <= set(seen)


# ---- full disks ----

@pytest.fixture
def small_disk(tmp_path):
    """A mount of a few megabytes; skipped where we may not mount."""
    made = []

    def mount(path, size, *options):
        path.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", "mode=755", *options)), "tmpfs", str(path)], capture_output=True).returncode:
            pytest.skip("cannot mount a small disk here")
        made.append(path)

    yield mount
    for path in made:
        subprocess.run(["umount", "-l", str(path)])


def test_a_full_store_refuses_uploads_loses_nothing_and_recovers(small_disk):
    stack = Stack()
    small_disk(stack.var / "store", "6m")
    try:
        stack.start()
        keep = put(stack, "inp_" + "j" * 26, "keep.txt", b"keep")
        r = stack.request("PUT", "/files/inputs/inp_" + "j" * 26 + "/big.bin", data=b"x" * (16 << 20))
        problem(r, 503, "store_full")
        files = stack.get("/files/inputs/inp_" + "j" * 26).json()["files"]
        assert [(f["path"], f["sha256"]) for f in files] == [("keep.txt", keep["sha256"])]
        assert stack.get("/files/inputs/inp_" + "j" * 26 + "/keep.txt").content == b"keep"
        # what was written of it is gone again
        put(stack, "inp_" + "j" * 26, "next.bin", b"y" * (2 << 20))
        fill = stack.var / "store" / ".fill"
        subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=64k"], capture_output=True)
        wid = stack.start_run(example("human-eval-010"))
        until(lambda: "store" in json.dumps(stack.get("/run_workflow/health/ready").json()))
        time.sleep(1)
        assert stack.get(f"/run_workflow/{wid}").json()["status"] in ("queued", "running")
        fill.unlink()
        assert stack.finish(wid)["status"] == "succeeded"
    finally:
        stack.close()


def test_a_full_journal_refuses_starts_loses_nothing_and_recovers(small_disk):
    stack = Stack()
    small_disk(stack.var / "journal", "4m")
    try:
        stack.start()
        first = stack.start_run(example("human-eval-010"))
        assert stack.finish(first)["status"] == "succeeded"
        fill = stack.var / "journal" / "fill"
        subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=4k"], capture_output=True)
        accepted, refused = [], 0
        for i in range(60):
            r = stack.post("/run_workflow", json={**example("human-eval-010"), "mode": "async", "metadata": {"pad": "x" * 4000}})
            if r.status_code == 202:
                accepted.append(r.json()["workflow_id"])
            else:
                problem(r, 503, "engine")
                refused += 1
        assert refused
        assert stack.get("/run_workflow").status_code in (200, 503)
        fill.unlink()
        until(lambda: stack.post("/run_workflow", json={**GOOD}).status_code == 202, within=15)
        for wid in (first, *accepted):
            assert stack.finish(wid)["status"] == "succeeded", wid
    finally:
        stack.close()
