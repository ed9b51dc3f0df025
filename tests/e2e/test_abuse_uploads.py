"""Uploads are the only large bodies: nginx keeps them on its disk, so who sends one is asked before it comes."""
import contextlib
import json
import os
import pathlib
import subprocess

import pytest
import requests

from conftest import Stack, until
from identity import KeyServer, SignedInStack
from raw_http import answers, connect, drain, request

HUGE = 200 << 20


@pytest.fixture(scope="module")
def keyed():
    s = Stack(AZLON_IDENTITY="keys")
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture(scope="module")
def key(keyed):
    def make(scopes):
        # a sanitizer cannot look at what became another user
        made = subprocess.run([str(pathlib.Path(keyed.env["AZLON_BIN"]) / "azlon"), "keys", "create", "--json", "--user", "alice",
                               "--scopes", scopes], env={**keyed.env, "ASAN_OPTIONS": "detect_leaks=0"}, check=True, capture_output=True, text=True, timeout=60)
        return json.loads(made.stdout)["key"]
    return make


def on_disk(s):
    """Bodies that nginx's processes hold in files, whose names are gone already."""
    master = s.pid("nginx")
    body = str(s.var / "nginx/tmp/body")
    n = 0
    for pid in pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split():
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(fd).startswith(body):
                    n += 1
    return n


FORM = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
UPLOADS = {
    "a form": ("POST", "/files/inputs", FORM),
    "the original's form": ("POST", "/upload_input/alice", FORM),
    "one file": ("PUT", "/files/inputs/default/a/b%20c%0a.bin", "X-User-ID: alice"),
    "a link": ("POST", "/files/inputs/default/links", "Content-Type: application/json"),
}


@pytest.mark.parametrize("how", ("a length", "chunks"))
@pytest.mark.parametrize("what", UPLOADS)
@pytest.mark.parametrize("token", (None, "azk_nobody", "reads"))
def test_nobody_fills_the_disk(keyed, key, what, how, token):
    s = keyed
    method, path, header = UPLOADS[what]
    headers = [header, f"Content-Length: {HUGE}" if how == "a length" else "Transfer-Encoding: chunked"]
    if token:
        headers.append("Authorization: Bearer " + (key("files:read") if token == "reads" else token))
    some = PART + b"x" * (4 << 20)
    if how == "chunks":
        some = b"%x\r\n" % len(some) + some + b"\r\n"
    with connect(s.port) as c:
        c.sendall(request(method, path, *headers, close=False))
        c.sendall(some)
        # an answer, long before the end of what was announced
        head = b""
        while b'"request_id"' not in head:
            head += c.recv(65536) or pytest.fail("no answer")
        assert on_disk(s) == 0
        r = answers(head)[0]
    want = {None: (401, b'"unauthorized"'), "azk_nobody": (401, b'"token_invalid"'), "reads": (403, b'"insufficient_scope"')}[token]
    assert r.status == want[0] and b'"code":' + want[1] in r.body, r
    assert r.headers["www-authenticate"].startswith("Bearer") and r.headers["content-type"] == "application/problem+json"
    assert r.headers["x-content-type-options"] == "nosniff"


def test_a_body_has_no_place_where_none_belongs(keyed):
    """Whatever the method: a reader with a link needs no identity, and so may send no body."""
    with connect(keyed.port) as c:
        c.sendall(request("GET", "/files/inputs/default/a?sig=x", f"Content-Length: {HUGE}"))
        assert answers(drain(c))[0].status == 413


def test_who_may_is_served_and_others_see_no_question(keyed, key):
    s, mine = keyed, {"Authorization": "Bearer " + key("files:write,files:read")}
    big = os.urandom(3 << 20)
    r = s.request("PUT", "/files/inputs/default/d/a%20%25%3fb.bin", user=None, headers=mine, data=big)
    assert r.status_code == 201, r.text
    assert s.get("/files/inputs/default/d/a%20%25%3fb.bin", user=None, headers=mine).content == big
    assert s.post("/upload_input/alice", user=None, headers=mine, files=[("files", ("n.txt", big))]).status_code == 200
    assert s.post("/upload_input/bob", user=None, headers=mine, files=[("files", ("n.txt", b"x"))]).status_code == 404
    assert s.post("/files/inputs?expand=0", user=None, headers=mine, files=[("files", ("n.zip", big))]).status_code == 201
    # in chunks as well
    assert s.request("PUT", "/files/inputs/default/c", user=None, headers=mine, data=iter([big, big])).status_code == 201
    r = s.post("/files/inputs/default/links", user=None, headers=mine, json={"path": "n.txt", "ttl_s": 60})
    assert r.status_code in (200, 201), r.text
    link = r.json()["url"]
    assert requests.get(s.url + link[link.index("/files/"):], timeout=30).content == big
    for method in ("GET", "POST", "PUT"):
        for path in ("/_may_upload", "/_upload/files/inputs", "/files/../_may_upload"):
            assert s.request(method, path, user=None, headers=mine).status_code in (404, 405)


def test_one_address_has_few_at_once():
    s = Stack(AZLON_UPLOADS="3")
    open_ = []
    try:
        s.start()
        for i in range(3):
            open_.append(connect(s.port))
            open_[-1].sendall(request("PUT", "/files/inputs/default/x", "X-User-ID: a", "Content-Length: 100000", body=b"x" * 50000, close=False))
            until(lambda: on_disk(s) == i + 1)
        assert s.request("PUT", "/files/inputs/default/y", data=b"x").status_code == 429
        # who reads is none of them
        assert s.get("/files/inputs/default").status_code == 404
        open_.pop().close()
        until(lambda: s.request("PUT", "/files/inputs/default/y", data=b"x").status_code == 201)
    finally:
        for c in open_:
            c.close()
        s.close()


def test_what_cannot_be_told_now_is_no_word_against_the_caller():
    keys = KeyServer()
    keys.up = False
    s = SignedInStack(keys)
    try:
        s.start()
        r = s.request("PUT", "/files/inputs/default/a", data=b"x")
        assert (r.status_code, r.json()["code"]) == (503, "identity"), r.text
        assert int(r.headers["Retry-After"]) == r.json()["retry_after_s"] > 0
        s.kill_and_wait("files")
        r = s.request("PUT", "/files/inputs/default/a", data=b"x")
        assert (r.status_code, r.json()["code"], r.headers["Retry-After"]) == (503, "process_unavailable", "2")
        assert r.json()["detail"].endswith(": files.")
    finally:
        s.close()
        keys.close()
