"""Requests that try to be somebody else, somewhere else, or two at once. Nothing of it works, nothing
of it ends a process, and the next request is an ordinary one."""
import json
import pathlib
import re

import pytest

from conftest import example
from identity import KeyServer, SignedInStack
from raw_http import answers, connect, drain, one, request, talk

CANARY = b"canary-8d1e"
HTTP_PARTS = ("nginx", "run_workflow", "run_workflow-wait", "files", "files-archive")


def processes(s):
    """Who they are: the same pid and start time is the same process."""
    return {p: pathlib.Path(f"/proc/{s.pid(p)}/stat").read_text().rsplit(")", 1)[1].split()[19] for p in HTTP_PARTS}


@pytest.fixture(scope="module")
def alices(stack):
    """A run and a file of alice's."""
    wid = stack.start_run(example("human-eval-010"), user="alice")
    stack.finish(wid)
    assert stack.request("PUT", "/files/inputs/default/secret.txt", data=CANARY).status_code == 201
    yield wid
    # the next run of hers would take it in
    assert stack.request("DELETE", "/files/inputs/default").status_code == 204


@pytest.fixture(autouse=True)
def unharmed(request):
    """After each test the same processes are there and answer."""
    s = request.getfixturevalue("fb" if "fb" in request.fixturenames else "stack")
    before = processes(s)
    yield
    assert processes(s) == before
    for path in ("/run_workflow/health/live", "/run_workflow/health/live?wait=0", "/files/health/live"):
        assert s.get(path, user=None).status_code == 200


@pytest.fixture(scope="module")
def fb():
    keys = KeyServer()
    s = SignedInStack(keys)
    try:
        yield s.start()
    finally:
        s.close()
        keys.close()


# ---- somebody else ----

SAYS = ("X-User-ID: alice", "X_User_ID: alice", "x-user-id: alice", "X-USER_ID: alice", "HTTP_X_USER_ID: alice", "HTTP-X-User-ID: alice",
        "Remote-User: alice", "REMOTE_USER: alice", "X-Remote-User: alice", "X-Forwarded-User: alice", "X-Auth-Request-User: alice",
        "X-Authenticated-User: alice", "AZLON_USER: alice", "User-ID: alice", "Cookie: user=alice; session=alice",
        "Proxy-Authorization: Bearer alice", "Authorization_: Bearer alice", "X-Authorization: Bearer alice")


def test_no_header_but_one_says_who_it_is(fb):
    assert fb.request("PUT", "/files/inputs/default/secret.txt", user="alice", data=CANARY).status_code == 201
    bob = f"Authorization: Bearer {fb.keys.token('bob')}"
    for target, status in (("/run_workflow", 200), ("/files/inputs/default/secret.txt", 404)):
        for says in SAYS:
            assert one(fb.port, request("GET", target, says)).status == 401, says
            r = one(fb.port, request("GET", target, says, bob))
            assert r.status == status and CANARY not in r.body, (says, r)
        r = one(fb.port, request("GET", target, *SAYS, bob))
        assert r.status == status and CANARY not in r.body, r
    # neither does a parameter, a path or a body
    for target in ("/run_workflow?user_id=alice", "/run_workflow?X-User-ID=alice", "/run_workflow?access_token=x&token=x"):
        assert one(fb.port, request("GET", target)).status == 401


def test_one_authorization_or_none(fb):
    alice, bob = (f"Authorization: Bearer {fb.keys.token(u)}" for u in ("alice", "bob"))
    for lines in ((alice, bob), (bob, alice), (alice, alice), (alice, "Authorization:"), ("Authorization:", bob),
                  (alice, "authorization: Basic YTpi"), (alice + ", " + bob[15:],)):
        r = one(fb.port, request("GET", "/run_workflow", *lines))
        assert r.status in (400, 401), (lines, r)
    # blanks around are HTTP's own; everything else inside is not a token
    assert one(fb.port, request("GET", "/run_workflow", alice.replace(": ", ":   ") + "  ")).status == 200
    for odd in (alice.replace("Bearer ", "Bearer"), alice.replace("Bearer ", "Bearer\t"), alice.replace("Bearer ", "Bearer  "), alice + " x",
                alice + ",", alice + "\x0b", alice.replace("Bearer", "Bearer Bearer"), alice + "\x7f"):
        assert one(fb.port, request("GET", "/run_workflow", odd)).status in (400, 401), odd
    assert one(fb.port, request("GET", "/run_workflow", alice.encode() + b"\xff")).status in (400, 401)


def test_dev_takes_a_name_from_one_spelling_only(stack, alices):
    for says in SAYS[1:]:
        if says.lower().startswith("x-user-id:"):
            continue
        r = one(stack.port, request("GET", "/files/inputs/default/secret.txt", says))
        assert r.status in (403, 404) and CANARY not in r.body, (says, r)
        r = one(stack.port, request("GET", "/files/inputs/default/secret.txt", says, "X-User-ID: mallory"))
        assert r.status in (403, 404) and CANARY not in r.body, (says, r)


# ---- somewhere else ----

@pytest.mark.parametrize("header", [
    "X-Accel-Redirect: /_dir/{bucket}/input/default/.azlon/manifest", "X-Accel-Redirect: @s3", "X-Sendfile: /etc/passwd",
    "X-Original-URL: /_dir/", "X-Rewrite-URL: /_wait/x", "X-Accel-Buffering: yes", "X-S3-Path: /{bucket}/x?X-Amz-Signature=00",
    "X-Azlon-Range: bytes=0-1", "X-Azlon-ETag: x", "X-Azlon-Embed: 1", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE",
    "Document-URI: /_dir/x", "DOCUMENT_URI: /_dir/x", "Request-Method: DELETE", "Content-Length_: 5", "Proxy: http://127.0.0.1:1/",
    "AZLON_REQUEST_ID: forged", "Status: 500",
])
def test_headers_that_steer_other_servers_do_nothing_here(stack, alices, header):
    bucket = next((stack.var / "store").glob("azlon-*")).name
    plain = one(stack.port, request("GET", f"/run_workflow/{alices}", "X-User-ID: alice"))
    r = one(stack.port, request("GET", f"/run_workflow/{alices}", "X-User-ID: alice", header.format(bucket=bucket)))
    assert (plain.status, r.status) == (200, 200), r
    assert r.body == plain.body and r.headers["x-request-id"] != "forged"
    assert {k for k in r.headers} == {k for k in plain.headers}


SECRET_PLACES = (
    "/_dir/", "/_dir/{rest}", "/%5fdir/{rest}", "//_dir/{rest}", "/./_dir/{rest}", "/x/../_dir/{rest}", "/files/../_dir/{rest}",
    "/files/%2e%2e/_dir/{rest}", "/files/..%2f_dir/{rest}", "/files/.%2e/_dir/{rest}", "/_dir%2f{rest}", "/_dir;/{rest}", "/_dir/{rest}?x",
    "/files/{wid}/..%2f..%2f..%2f{rest}", "/files/{wid}/%2e%2e/%2e%2e/{rest}", "/files/{wid}/..%5c..%5c{rest}", "/files/{wid}/%2fetc%2fpasswd",
    "/files/{wid}//etc/passwd", "/files/{wid}/....//....//etc/passwd", "/files/{wid}/%252e%252e%252f%252e%252e%252fsecret",
    "/files/{wid}/..%c0%af..%c0%afsecret", "/files/{wid}/.azlon/manifest", "/files/{wid}/%2eazlon/manifest", "/files/{wid}/.AZLON/manifest",
    "/files/inputs/default/../../../{rest}", "/files/inputs/..%2f{rest}", "/files/inputs/default/.azlon/manifest",
    "/output_file/{wid}/../../{rest}", "/output_file/{wid}//etc/passwd", "/workflow_file/alice/{wid}/..%2f..%2fx", "/_wait/{wid}",
    "/_wait/{wid}?owner=alice&token=00", "/files/../_wait/{wid}?owner=alice&token=00", "/_preflight", "/_problem/400", "/@s3", "/%40s3",
    "/azlon_server.conf", "/../azlon_server.conf", "/index.html/../../nginx.conf", "/.git/config", "/app.js%00.html",
)


@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_no_path_leads_inside(stack, alices, user):
    """Neither to another's file nor to one's own by a side door."""
    store = stack.var / "store"
    rest = next(p for p in store.rglob("*") if p.is_file() and p.read_bytes() == CANARY).relative_to(store)
    for place in SECRET_PLACES:
        for target in (place, "http://localhost" + place):
            r = one(stack.port, request("GET", target.format(rest=rest, wid=alices), f"X-User-ID: {user}"))
            assert r.status in (301, 400, 403, 404, 405), (target, r)
            assert CANARY not in r.body and b"root:" not in r.body and b"listen 127" not in r.body, (target, r)


def test_paths_that_are_the_same_are_the_same(stack, alices):
    """Whatever way it is written, it is the owner's, and nobody's else."""
    for target in (f"/run_workflow/{alices}", f"//run_workflow//{alices}", f"/./run_workflow/x/../{alices}", f"/run%5fworkflow/{alices}",
                   f"/run_workflow%2f{alices}", f"http://localhost/run_workflow/{alices}", f"http://localhost:{stack.port}/run_workflow/{alices}"):
        assert one(stack.port, request("GET", target, "X-User-ID: alice")).status == 200, target
        assert one(stack.port, request("GET", target, "X-User-ID: mallory")).status == 404, target
    for target in (f"/run_workflow/{alices}/", f"/run_workflow/{alices}%20", f"/run_workflow/{alices}%00", f"/RUN_WORKFLOW/{alices}",
                   f"/run_workflow/{alices.upper()}", f"/run_workflow/{alices};x=1", f"/run_workflow/{alices}%0a", f"/run_workflow/%75ser-alice-1"):
        assert one(stack.port, request("GET", target, "X-User-ID: alice")).status in (400, 404), target


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("LOCALHOST", 200), ("127.0.0.1", 200), ("localhost:{port}", 200), ("[::1]:{port}", 200),
    ("azlon.example.org", 403), ("localhost.example.org", 403), ("localhost@example.org", None), ("127.0.0.1.example.org", 403),
    ("example.org:127.0.0.1", None), ("localhost:80@example.org", None), ("0x7f000001", None), ("2130706433", None), ("0.0.0.0", None),
    ("127.1", None), ("localhost/x", 400), ("local host", 400), ("localhost\x00", 400), ("localhost\\", None), ("[::ffff:1.2.3.4]", 403),
    ("..", 400), (" ", 400), ("", 400), ("a" * 300, 403),
])
def test_only_this_host_is_this_host(stack, host, status):
    r = one(stack.port, request("GET", "/run_workflow", host=host.format(port=stack.port)))
    assert r.status == status if status else r.status in (400, 403), (host, r)


def test_host_once(stack):
    for lines in (("Host: localhost",), ("Host: example.org",)):
        assert one(stack.port, request("GET", "/run_workflow", *lines)).status == 400
    assert one(stack.port, request("GET", "/run_workflow", host=None)).status == 400
    assert one(stack.port, request("GET", "http://example.org/run_workflow", host="example.org")).status == 403
    assert one(stack.port, request("GET", "http:///run_workflow")).status in (400, 404)
    for target in ("localhost:80", "*", "run_workflow", "http:/run_workflow", "\\run_workflow"):
        assert one(stack.port, request("GET", target)).status in (400, 404), target


# ---- a byte that must not be there ----

def test_line_ends_and_nuls(stack, alices):
    for where in (f"/run_workflow/{alices}", f"/files/{alices}", "/run_workflow?cursor="):
        for odd in ("%0d%0aSet-Cookie:%20x=1", "%0aSet-Cookie:%20x=1", "%0dX", "%00", "%0d%0a%0d%0aHTTP/1.1%20200%20OK", "%e5%98%8a%e5%98%8dX:1"):
            r = one(stack.port, request("GET", where + odd, "X-User-ID: alice"))
            assert r.status in (400, 404) and "set-cookie" not in r.headers, (where, odd, r)
    for raw in (b"/run_workflow\0", b"/run_workflow?a=\0", b"/run_workflow/\r", b"/run_workflow/\x7f\x80", b"/run_workflow \t"):
        assert one(stack.port, request("GET", raw)).status in (400, 404), raw
    for line in (b"X: a\0b", b"X\0: a", b"X : a", b": a", b"X", b" folded: a", b"X-User-ID: alice\0mallory", b"X(y): a", b"\x80: a"):
        r = one(stack.port, request("GET", "/run_workflow", line))
        assert r.status in (200, 400), (line, r)
        assert b"mallory" not in r.body
    # a file whose name looks like a header keeps to its place in the answer
    name = "a%22%3b%20filename%3d%22b.txt"
    at = f"/files/inputs/default/{name}"
    assert stack.request("PUT", at, data=b"x").status_code == 201
    r = one(stack.port, request("GET", f"{at}?download=1", "X-User-ID: alice"))
    assert r.status == 200
    assert stack.request("DELETE", at).status_code == 204
    assert len(re.findall(r'(?<!\\)"', r.headers["content-disposition"])) == 2, r.headers


# ---- two at once ----

SMUGGLED = b"GET /zz-smuggled HTTP/1.1\r\nHost: localhost\r\nX-User-ID: alice\r\n\r\n"


@pytest.mark.parametrize("lines", [
    ("Content-Length: 5", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ("Content-Length: 5", "Content-Length: 6"), ("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5, 5",),
    ("Content-Length: +5",), ("Content-Length: -5",), ("Content-Length: 0x5",), ("Content-Length: 5 5",), ("Content-Length: 99999999999999999999",),
    ("Content-Length: ",), ("Content-Length: 5;",), ("Transfer-Encoding: xchunked",), ("Transfer-Encoding: chunked, chunked",),
    ("Transfer-Encoding: identity",), ("Transfer-Encoding: gzip, chunked",), ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), ("Transfer-Encoding:\x0bchunked",), ("Transfer-Encoding: chunked\x0c",),
    ("Transfer-Encoding : chunked",), ("Content-Length : 5",), ("Transfer-Encoding\t: chunked",), ("X: a", " Transfer-Encoding: chunked"),
])
def test_a_body_has_one_length(stack, lines):
    """Where that is in doubt the request is refused and its connection ends: what follows is never a request."""
    sent = request("POST", "/run_workflow", "Content-Type: application/json", *lines, close=False) + b"0\r\n\r\n" + SMUGGLED
    got = answers(talk(stack.port, sent))
    assert len(got) == 1 and got[0].status in (400, 411, 413, 501), got


@pytest.mark.parametrize("body", [
    b"-1\r\n\r\n", b"+1\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n0\r\n\r\n", b"fffffffffffffffff\r\na", b"8000000000000000\r\na",
    b"1\r\nab\r\n0\r\n\r\n", b"g\r\n", b"\r\n\r\n", b"1\r\na0\r\n\r\n",
])
def test_chunks_that_cannot_be(stack, body):
    sent = request("POST", "/run_workflow", "Content-Type: application/json", "Transfer-Encoding: chunked", close=False) + body + SMUGGLED
    got = answers(talk(stack.port, sent))
    assert len(got) == 1 and 400 <= got[0].status < 500, got


def test_requests_behind_each_other_keep_apart(stack, alices):
    """Pipelined, with and without bodies: each gets its own answer, in its order."""
    body = json.dumps({**example("human-eval-010"), "mode": "async"}).encode()
    wanted = []
    sent = b""
    for user, target, status in (("alice", f"/run_workflow/{alices}", 200), ("mallory", f"/run_workflow/{alices}", 404), (None, "/nothing", 404),
                                 ("alice", f"/files/{alices}/solution.py", 200), ("mallory", f"/files/{alices}/solution.py", 404)):
        sent += request("GET", target, *([f"X-User-ID: {user}"] if user else []), close=False)
        wanted.append(status)
    sent += request("POST", "/run_workflow", "X-User-ID: alice", "Content-Type: application/json", f"Content-Length: {len(body)}", body=body, close=False)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7)) + b"0\r\n\r\n"
    sent += request("POST", "/run_workflow", "X-User-ID: mallory", "Content-Type: application/json", "Transfer-Encoding: chunked", body=chunked, close=False)
    sent += request("POST", "/run_workflow", "X-User-ID: alice", "Content-Type: text/plain", "Content-Length: 3", body=b"GET", close=False)
    sent += request("GET", "/run_workflow/health/live")
    got = answers(talk(stack.port, sent))
    assert [r.status for r in got] == [*wanted, 202, 202, 415, 200], got
    assert [json.loads(got[i].body)["user_id"] for i in (0, 5, 6)] == ["alice", "alice", "mallory"]


def test_a_request_without_a_version(stack):
    """HTTP/0.9, and a TLS hello in the clear: an answer or none, and never ours."""
    for data in (b"GET /run_workflow\r\n", b"GET /run_workflow\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"\r\n" * 50 + b"nonsense\r\n\r\n", b"GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n"):
        assert b"workflow_id" not in talk(stack.port, data), data[:40]


@pytest.mark.parametrize("method", ["get", "GETX", "G E T", "PROPFIND", "CONNECT", "TRACK", "TRACE", "PATCH", "LOCK", "X" * 5000, "", "GET\t"])
def test_methods(stack, method):
    r = answers(talk(stack.port, request(method, "/run_workflow", "X-User-ID: alice")))
    assert len(r) == 1 and r[0].status in (400, 405, 414, 501), r


def test_many_headers_and_large_ones(stack):
    """Up to what nginx reads they reach a process, which is not impressed; beyond it ends there."""
    r = one(stack.port, request("GET", "/run_workflow", *[f"X-{i}: {i}" for i in range(900)]))
    assert r.status == 200
    assert one(stack.port, request("GET", "/run_workflow", *[f"X-{i}: {'v' * 14000}" for i in range(3)])).status == 200
    assert one(stack.port, request("GET", "/run_workflow", *[f"X-{i}: {'v' * 14000}" for i in range(9)])).status == 400
    # one line, to the byte: name, colon, blank, value and line end in 16 KiB
    line = "X-Long: "
    largest = next(n for n in range(16 * 1024, 16 * 1024 - 16, -1)
                   if one(stack.port, request("GET", "/run_workflow", line + "v" * (n - len(line) - 2))).status == 200)
    assert one(stack.port, request("GET", "/run_workflow", line + "v" * (largest + 1 - len(line) - 2))).status == 400
    assert largest >= 16 * 1024 - 8


def test_a_connection_that_says_nonsense_after_a_good_request(stack):
    with connect(stack.port) as c:
        c.sendall(request("GET", "/run_workflow/health/live", close=False) + b"\0\1\2\3 nonsense\r\n\r\n")
        got = answers(drain(c))
    assert [r.status for r in got] == [200, 400], got
