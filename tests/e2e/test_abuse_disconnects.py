"""Clients that leave in the middle: of the request, of the wait, of the answer. Afterwards the same processes
serve as before, and no descriptor and no thread of theirs is spent."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct

import pytest

from conftest import Stack, example, sockets, until
from raw_http import connect, drain, request

PARTS = ("run_workflow", "run_workflow-wait", "files", "files-archive")
USER = "X-User-ID: leaver"
BIG = 48 << 20


class Host:
    """A finished run with a large file in it, an input set, and a run that stays open: nobody works any more."""

    def __init__(self, s):
        self.s = s
        self.wid = s.start_run(example("human-eval-010"), user="leaver")
        assert s.finish(self.wid, user="leaver")["result"] is True
        self.grow()
        body = os.urandom(4 << 20)
        assert s.request("PUT", "/files/inputs/default/some.bin", user="leaver", data=body).status_code == 201
        s.kill_and_wait("worker")
        self.open = s.start_run(example("hopeless"), user="leaver")

    def grow(self):
        """No example writes that much: a file of 48 MiB is put beside the others."""
        manifest, = (self.s.var / "store").glob(f"*/{self.wid}/.azlon/manifest")
        was, tree = manifest.stat(), json.loads(manifest.read_text())
        blob = manifest.parent / "blobs" / "big"
        with blob.open("wb") as f:
            f.truncate(BIG)
        sha = hashlib.sha256(bytes(BIG)).hexdigest()
        blob = shutil.move(blob, blob.with_name(sha))
        tree["files"] = sorted(tree["files"] + [{**tree["files"][0], "path": "big.bin", "sha256": sha, "size": BIG}], key=lambda f: f["path"])
        manifest.write_text(json.dumps(tree, separators=(",", ":")))
        for f in (manifest, pathlib.Path(blob)):
            os.chown(f, was.st_uid, was.st_gid)
            f.chmod(was.st_mode & 0o777)

    def sockets(self):
        """Of each process: what it has open towards nginx and others."""
        return {p: sockets(self.s.pid(p)) for p in PARTS}

    def descriptors(self):
        return {p: len(list(pathlib.Path(f"/proc/{self.s.pid(p)}/fd").iterdir())) for p in PARTS}

    def in_hand(self):
        """Requests under way in the two that say it, the one that asks not counted."""
        texts = [self.s.get(f"/run_workflow/metrics{q}", user=None).text for q in ("", "?wait=0")]
        return sum(int(re.search(r"^azlon_http_requests_in_flight (\d+)$", t, re.M)[1]) - 1 for t in texts)

    def serves(self):
        s = self.s
        assert s.get(f"/run_workflow/{self.wid}", user="leaver").status_code == 200
        assert s.get(f"/run_workflow/{self.wid}/result?wait=1", user="leaver").status_code == 200
        assert "run.finished" in s.get(f"/run_workflow/{self.wid}/events", user="leaver", headers={"Accept": "text/event-stream"}).text
        assert s.request("PUT", "/files/inputs/default/after.txt", user="leaver", data=b"x").status_code == 201
        assert s.get("/files/inputs/default/after.txt", user="leaver").content == b"x"
        assert s.get(f"/files/{self.wid}?format=zip&prefix=solution", user="leaver").status_code == 200


@pytest.fixture(scope="module")
def host():
    s = Stack()
    try:
        yield Host(s.start())
    finally:
        s.close()


def form(n):
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="form.bin"\r\n\r\n' + b"y" * n + b"\r\n--b--\r\n"
    return request("POST", "/files/inputs", USER, "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(body)}", body=body)


def create(mode, *more):
    body = json.dumps({**example("hopeless"), "mode": mode}).encode()
    return request("POST", "/run_workflow", USER, "Content-Type: application/json", f"Content-Length: {len(body)}", *more, body=body)


KINDS = {
    "status": lambda h: request("GET", f"/run_workflow/{h.wid}", USER),
    "list": lambda h: request("GET", "/run_workflow", USER),
    "create": lambda h: create("async"),
    "create that waits": lambda h: create("sync"),
    "long poll": lambda h: request("GET", f"/run_workflow/{h.open}?wait=60", USER),
    "result": lambda h: request("GET", f"/run_workflow/{h.open}/result?wait=60", USER),
    "stream": lambda h: request("GET", f"/run_workflow/{h.open}/events", USER, "Accept: text/event-stream"),
    "stream that ends": lambda h: request("GET", f"/run_workflow/{h.wid}/events", USER, "Accept: text/event-stream"),
    "upload": lambda h: request("PUT", "/files/inputs/default/up.bin", USER, "Content-Length: 300000", body=b"u" * 300000),
    "form": lambda h: form(200000),
    "file": lambda h: request("GET", "/files/inputs/default/some.bin", USER),
    "large file": lambda h: request("GET", f"/files/{h.wid}/big.bin", USER),
    "listing": lambda h: request("GET", f"/files/{h.wid}?view=tree", USER),
    "zip": lambda h: request("GET", f"/files/{h.wid}?format=zip", USER),
    "tar.gz": lambda h: request("GET", f"/files/{h.wid}?format=tar.gz", USER),
}


def leave(c, hard):
    """By closing, or so that the other side sees a reset."""
    if hard:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def part_of_the_request(s, sent, n, hard):
    c = connect(s.port)
    c.sendall(sent[:n])
    leave(c, hard)


def part_of_the_answer(s, sent, n, hard):
    c = connect(s.port)
    c.sendall(sent)
    got = 0
    while got < n:
        chunk = c.recv(min(65536, n - got))
        if not chunk:
            break
        got += len(chunk)
    leave(c, hard)
    return got


def cut_everywhere(h, sent, answer):
    head = sent.index(b"\r\n\r\n") + 4
    places = [*range(0, head + 1, 3), head, *range(head, len(sent) + 1, max(1, (len(sent) - head) // 12)), len(sent)]
    for i, n in enumerate(places):
        part_of_the_request(h.s, sent, n, i % 2)
    for i, n in enumerate(answer):
        part_of_the_answer(h.s, sent, n, i % 2)


# how much of each answer: those that wait have none to give
ANSWER = {"long poll": (), "result": (), "create that waits": (), "stream": (1, 20, 200, 350), "create": (1, 50, 300)}
ALL = (1, 15, 100, 300, 1000, 5000, 70_000, 300_000, 3_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_costs_nothing(host, kind):
    h, sent = host, KINDS[kind](host)
    answer = ANSWER.get(kind, ALL)
    # what is made once and kept is there after the first round
    cut_everywhere(h, sent, answer)
    h.serves()
    until(lambda: h.in_hand() == 0, within=20)
    pids = {p: h.s.pid(p) for p in PARTS}
    sockets, files = h.sockets(), h.descriptors()
    for _ in range(2):
        cut_everywhere(h, sent, answer)
    h.serves()
    until(lambda: h.in_hand() == 0, within=20)
    until(lambda: all(h.sockets()[p] <= sockets[p] for p in PARTS), within=20)
    # readers of the journal are kept for who comes next
    assert all(n <= files[p] + 8 for p, n in h.descriptors().items()), (files, h.descriptors())
    assert {p: h.s.pid(p) for p in PARTS} == pids and all(h.s.alive(p) for p in PARTS)


def test_threads_do_not_grow(host):
    """A hundred at once who leave during their wait, and again: the threads of those before serve them."""
    sent = [KINDS[k](host) for k in ("long poll", "stream", "result")]

    def hundred():
        conns = [connect(host.s.port) for _ in range(100)]
        for k, c in enumerate(conns):
            c.sendall(sent[k % 3])
        for c in conns[1::3]:
            assert c.recv(4096)
        for k, c in enumerate(conns):
            leave(c, k % 2)
        until(lambda: host.in_hand() == 0, within=20)
        return {p: len(os.listdir(f"/proc/{host.s.pid(p)}/task")) for p in PARTS}

    before = hundred()
    after = [hundred() for _ in range(4)][-1]
    # as many as there were at once, give or take some; had they been kept, it were 400 more
    assert all(after[p] <= before[p] + 100 for p in PARTS), (before, after)
    host.serves()


def test_a_start_whose_client_left_is_one_run(host):
    """However often it is tried: with a key the same run, without a body none."""
    user = "X-User-ID: once"
    body = json.dumps({**example("hopeless"), "mode": "async"}).encode()
    sent = request("POST", "/run_workflow", user, "Content-Type: application/json", "Idempotency-Key: only-one",
                   f"Content-Length: {len(body)}", body=body)
    for n in (len(sent) - 1, len(sent) - len(body), len(sent) - len(body) // 2):
        for hard in (0, 1):
            part_of_the_request(host.s, sent, n, hard)
    assert host.s.get("/run_workflow", user="once").json()["runs"] == []
    for i in range(40):
        part_of_the_answer(host.s, sent, i % 5 * 40, i % 2)
    with connect(host.s.port) as c:
        c.sendall(sent)
        assert drain(c).startswith(b"HTTP/1.1 202 ")
    assert len(host.s.get("/run_workflow", user="once").json()["runs"]) == 1


def test_an_upload_whose_client_left_is_not_there(host):
    """Whole or not at all, and what was there before stays."""
    s, path = host.s, "/files/inputs/default/kept.bin"
    assert s.request("PUT", path, user="leaver", data=b"before").status_code == 201
    sent = request("PUT", path, USER, "Content-Length: 500000", body=b"n" * 500000)
    for n in (len(sent) - 500000, len(sent) - 250000, len(sent) - 1):
        for hard in (0, 1):
            part_of_the_request(s, sent, n, hard)
            assert s.get(path, user="leaver").content == b"before"
    kept = lambda: sum(len(files) for _, _, files in os.walk(s.var / "store"))  # noqa: E731
    n = kept()
    for hard in (0, 1):
        part_of_the_request(s, sent, len(sent) - 1, hard)
    until(lambda: host.in_hand() == 0)
    assert kept() == n


def test_a_run_that_ends_with_its_client(host):
    """on_disconnect: cancel. The one who waits leaves, and nobody else need stop it."""
    body = json.dumps({**example("hopeless"), "mode": "sync", "on_disconnect": "cancel"}).encode()
    c = connect(host.s.port)
    c.sendall(request("POST", "/run_workflow", "X-User-ID: quitter", "Content-Type: application/json", f"Content-Length: {len(body)}", body=body))
    until(lambda: len(host.s.get("/run_workflow", user="quitter").json()["runs"]) == 1)
    wid = host.s.get("/run_workflow", user="quitter").json()["runs"][0]["workflow_id"]
    assert host.s.get(f"/run_workflow/{wid}", user="quitter").json()["status"] in ("queued", "running")
    c.close()
    until(lambda: host.s.get(f"/run_workflow/{wid}", user="quitter").json()["status"] in ("cancelling", "cancelled"))
