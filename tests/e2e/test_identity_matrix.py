"""Every route of every process × every identity. The routes are asked of the processes themselves and the
requests go to their sockets, so one that is added is tried without a word here."""
import json
import time

import pytest

from conftest import example
from files_stores import bucket_of
from identity import KeyServer, SignedInStack, over_fastcgi, routes

# name of the socket, program, role
PROCESSES = (("run_workflow", "run_workflow", None), ("run_workflow-wait", "run_workflow", "wait"),
             ("files", "files", None), ("files-archive", "files", "archive"))
# what anybody may ask: is it there?
PUBLIC = ("/health/live", "/health/ready", "/metrics", "/openapi.json")
# no identity of its own: a hand-over that another process signed, and nginx lets nobody ask
HANDED_OVER = "/_wait/{id}"
CANARY = "canary-3f9a"
SCOPES = ("runs:read", "runs:write", "files:read", "files:write")


def scope_of(method, pattern):
    kind = "files" if pattern.startswith(("/files", "/_may_upload")) else "runs"
    return f"{kind}:{'read' if method in ('GET', 'HEAD') else 'write'}"


class Host:
    """alice with a finished run and an input set, and everybody else."""

    def __init__(self, stack, keys):
        self.stack, self.keys = stack, keys
        self.wid = stack.start_run(example("human-eval-127"))
        assert stack.finish(self.wid)["result"] is True
        r = stack.request("PUT", "/files/inputs/default/note.txt", data=CANARY.encode())
        assert r.status_code == 201, r.text
        self.path = stack.get(f"/files/{self.wid}").json()["files"][0]["path"]

    def rows(self):
        for sock, program, role in PROCESSES:
            for method, pattern in routes(program, role):
                for m in (method, "HEAD") if method == "GET" else (method,):
                    yield sock, m, pattern

    def private(self):
        return [r for r in self.rows() if not r[2].endswith(PUBLIC) and r[2] != HANDED_OVER]

    def send(self, sock, method, pattern, token=None, user_id=None, **headers):
        """The route with alice's things in its places."""
        inputs = pattern.startswith("/files/inputs")
        last = "links" if method == "POST" else "note.txt" if inputs else self.path
        uri = pattern
        for name, value in {"{id}": self.wid, "{set}": "default", "{n}": "1", "{stream}": "stdout",
                            "{path*}": last}.items():
            uri = uri.replace(name, value)
        assert "{" not in uri, f"{pattern}: what goes into it? Say it here."
        body, query = b"", "format=zip" if sock == "files-archive" else ""
        if method == "POST":
            doc = {"/run_workflow": {**example("human-eval-127"), "mode": "async"},
                   "/run_workflow/{id}/fork": {"iteration": 1, "mode": "async"},
                   "/run_workflow/prompts": {"generate_code_prompt": ""}}.get(
                       pattern, {"path": "note.txt" if inputs else self.path, "ttl_s": 60})
            if user_id and pattern == "/run_workflow":
                doc["user_id"] = user_id
            body, headers["Content-Type"] = json.dumps(doc).encode(), "application/json"
            if pattern == "/files/inputs":
                body = (b'--b\r\nContent-Disposition: form-data; name="f"; filename="new.txt"\r\n\r\nx\r\n--b--\r\n')
                headers["Content-Type"] = "multipart/form-data; boundary=b"
        elif method == "PUT":
            body = b"changed"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        r = over_fastcgi(self.stack.var / "run" / f"{sock}.sock", method, uri, headers, body, query)
        r.uri = uri
        return r

    def leaks(self, r):
        """Is anything of alice in it but the address that was asked for?"""
        everything = (json.dumps(r.headers) + r.text).replace(r.uri, "")
        return any(mark in everything for mark in (CANARY, self.wid, bucket_of("alice")))

    def state(self):
        """All that is kept of alice, to the byte, and what she is told of it."""
        store = self.stack.var / "store"
        kept = {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(store.rglob("*"))
                if f.is_file() and f.is_relative_to(store / bucket_of("alice"))}
        told = [self.stack.get(at).json() for at in ("/run_workflow", f"/run_workflow/{self.wid}", f"/files/{self.wid}",
                                                     "/files/inputs/default", "/run_workflow/prompts")]
        return kept, told



@pytest.fixture(scope="module")
def host():
    keys = KeyServer()
    stack = SignedInStack(keys)
    try:
        yield Host(stack.start(), keys)
    finally:
        stack.close()
        keys.close()


def test_all_routes_are_looked_at(host):
    rows = list(host.rows())
    assert len(rows) > 60 and len(host.private()) > 50
    public = {p for _, _, p in rows if p.endswith(PUBLIC)}
    assert public >= {"/run_workflow/health/live", "/files/health/ready"}
    for sock, method, pattern in rows:
        if pattern in public:
            assert host.send(sock, method, pattern).status == 200, (sock, method, pattern)
    for _, method, pattern in [r for r in rows if r[2] == HANDED_OVER]:
        for token in (None, host.keys.token("alice"), host.keys.token("bob")):
            assert host.send("run_workflow-wait", method, pattern, token).status == 404


def test_without_identity_and_with_a_late_one(host):
    before = host.state()
    late = host.keys.token("alice", exp=int(time.time()) - 61)
    wrong = []
    for row in host.private():
        for token, code in ((None, "unauthorized"), (late, "token_expired"), (late[:-4], "token_invalid")):
            r = host.send(*row, token=token, **{"X-User-ID": "alice"})
            fine = r.status == 401 and r.headers.get("www-authenticate", "").startswith("Bearer") and \
                (row[1] == "HEAD" or json.loads(r.body)["code"] == code) and not host.leaks(r)
            if not fine:
                wrong.append((*row, code, r.status, r.text[:200]))
    assert not wrong, wrong
    assert host.state() == before


def test_with_the_identity_of_somebody_else(host):
    before = host.state()
    bob = host.keys.token("bob")
    wrong = []
    for row in host.private():
        r = host.send(*row, token=bob, user_id="alice", **{"X-User-ID": "alice"})
        owned = "{id}" in row[2] or row[1:] == ("POST", "/run_workflow")
        if (owned and r.status not in (403, 404)) or r.status in (401, 500) or host.leaks(r):
            wrong.append((*row, r.status, r.text[:200]))
    assert not wrong, wrong
    assert host.state() == before


def test_with_keys_that_lack_the_one_scope(host):
    before = host.state()
    lacking = {s: host.stack.api_key("alice", ",".join(o for o in SCOPES if o != s))["key"] for s in SCOPES}
    wrong = []
    for row in host.private():
        scope = scope_of(*row[1:])
        r = host.send(*row, token=lacking[scope])
        if r.status != 403 or "insufficient_scope" not in r.headers.get("www-authenticate", "") or \
                (row[1] != "HEAD" and scope not in r.text):
            wrong.append((*row, r.status, r.text[:200]))
    assert not wrong, wrong
    assert host.state() == before


def test_with_the_right_identity(host):
    """Reads by keys that may do just that; all else by who signed in, what removes things at the end."""
    may = {s: host.stack.api_key("alice", s)["key"] for s in SCOPES}
    alice = host.keys.token("alice")
    wrong = []
    order = sorted(host.private(), key=lambda r: (r[1] == "DELETE", -len(r[2]) if r[1] == "DELETE" else 0))
    assert order[-1][1:] == ("DELETE", "/files")
    for row in order:
        for token in ((may[scope_of(*row[1:])], alice) if row[1] in ("GET", "HEAD") else (alice,)):
            r = host.send(*row, token=token)
            if r.status in (401, 403) or r.status >= 500:
                wrong.append((*row, r.status, r.text[:200]))
            elif row[1] == "GET" and r.status not in (200, 400):
                wrong.append((*row, r.status, r.text[:200]))
    assert not wrong, wrong
