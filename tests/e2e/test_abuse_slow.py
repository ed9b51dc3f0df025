"""Clients that take their time, or all the connections there are: they end by a timeout, and nobody else
waits for them."""
import concurrent.futures
import os
import pathlib
import re
import select
import signal
import time

import pytest

from conftest import ROOT, Stack, example, until
from raw_http import connect, request

MANY = 500


@pytest.fixture(scope="module")
def impatient():
    """As shipped, but for the seconds that a slow client is given: one instead of 20 to 60."""
    s = Stack()
    try:
        s.start()
        changed = 0
        for f in (s.var / "nginx").glob("*.conf"):
            text, n = re.subn(r"(client_(?:header|body)_timeout|keepalive_timeout) \d+s", r"\1 1s", f.read_text())
            f.write_text(text)
            changed += n
        assert changed >= 4, changed
        nginx = s.pid("nginx")
        kids = children(nginx)
        os.kill(nginx, signal.SIGHUP)
        until(lambda: children(nginx) and not children(nginx) & kids)
        yield s
    finally:
        s.close()


def children(pid):
    return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def threads(s):
    return {p: len(os.listdir(f"/proc/{s.pid(p)}/task")) for p in ("run_workflow", "run_workflow-wait", "files")}


def others_are_served(s, n=100):
    """Soon, whoever else is slow: who had to wait for one of those would wait for its timeout."""
    def ask(i):
        t = time.monotonic()
        # a connection that was kept may be closed just now: these keep-alives are short
        r = s.get(("/run_workflow", "/files/inputs/default", "/run_workflow/health/live")[i % 3], user="other", headers={"Connection": "close"})
        assert r.status_code in (200, 404), (r.status_code, r.text)
        return time.monotonic() - t

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        took = sorted(pool.map(ask, range(n)))
    assert took[n // 2] < 0.25 and took[-2] < 2, took


def all_ended(conns, within):
    """Every one of them is closed by the server, whatever it said before."""
    left, end = {c.fileno(): c for c in conns}, time.monotonic() + within
    poll = select.epoll()
    for fd in left:
        poll.register(fd, select.EPOLLIN)
    while left and time.monotonic() < end:
        for fd, _ in poll.poll(0.5):
            try:
                over = not left[fd].recv(65536)
            except OSError:
                over = True
            if over:
                poll.unregister(fd)
                del left[fd]
    poll.close()
    assert not left, f"{len(left)} of {len(conns)} connections are still there"


def test_what_is_shipped_is_not_endless():
    """The seconds that the tests below make shorter."""
    text = "".join(f.read_text() for f in (ROOT / "nginx").glob("azlon_*.conf"))
    seconds = {name: [int(n) for n in re.findall(name + r" (\d+)s", text)] for name in ("client_header_timeout", "client_body_timeout", "keepalive_timeout")}
    assert seconds["client_header_timeout"] == [20]
    # the two that are longer are of the stand-ins, on loopback: a terminal, a program in a sandbox
    assert sorted(seconds["client_body_timeout"])[:2] == [30, 60] and seconds["keepalive_timeout"] == [65]


PART = {
    "a request line": b"GET /run_wor",
    "headers": request("GET", "/run_workflow", "X-User-ID: slow", close=False)[:-2],
    "a body": request("POST", "/run_workflow", "Content-Type: application/json", "Content-Length: 1000", body=b'{"user_prompt":', close=False),
    "chunks": request("POST", "/run_workflow", "Content-Type: application/json", "Transfer-Encoding: chunked", body=b"10\r\nabc", close=False),
    "an upload": request("PUT", "/files/inputs/default/x", "X-User-ID: slow", "Content-Length: 100000", body=b"x" * 20000, close=False),
    "a form": request("POST", "/files/inputs", "X-User-ID: slow", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 5000",
                      body=b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nxx', close=False),
}


@pytest.mark.parametrize("what", PART)
def test_slow_senders_hold_up_nobody(impatient, what):
    s = impatient
    others_are_served(s, 20)
    before = threads(s)
    conns = [connect(s.port) for _ in range(MANY)]
    try:
        for c in conns:
            c.sendall(PART[what])
        others_are_served(s)
        # no thread of ours knows of them
        after = threads(s)
        assert all(after[p] - before[p] < 20 for p in after), (before, after)
        all_ended(conns, 15)
    finally:
        for c in conns:
            c.close()
    # nothing was begun for them
    assert s.get("/run_workflow", user="slow").json()["runs"] == []
    assert s.get("/files/inputs/default", user="slow").status_code == 404


def test_a_byte_at_a_time_does_not_buy_time(impatient):
    """Headers have to be there in their time, however often a byte of them comes."""
    conns = [connect(impatient.port) for _ in range(50)]
    try:
        for c in conns:
            c.sendall(b"GET /run_workflow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        left, begun = set(conns), time.monotonic()
        while left and time.monotonic() - begun < 15:
            for c in list(left):
                try:
                    c.sendall(b"a")
                except OSError:
                    left.remove(c)
            select.select([], [], [], 0.1)
        assert not left, len(left)
    finally:
        for c in conns:
            c.close()


def test_slow_readers_hold_up_nobody(impatient):
    """Who asks for much and reads nothing: its bytes wait in nginx, not in a thread of ours."""
    s = impatient
    assert s.request("PUT", "/files/inputs/default/big.bin", user="reader", data=os.urandom(8 << 20)).status_code == 201
    wid = s.start_run(example("human-eval-010"), user="reader")
    s.finish(wid, user="reader")
    asks = [request("GET", t, "X-User-ID: reader", close=False) for t in (
        "/files/inputs/default/big.bin", f"/run_workflow/{wid}", "/run_workflow", f"/files/{wid}?format=zip", "/run_workflow/openapi.json")]
    conns = [connect(s.port) for _ in range(100)]
    try:
        for i, c in enumerate(conns):
            c.sendall(asks[i % len(asks)] * (1 if i % len(asks) == 0 else 5))
        others_are_served(s)
    finally:
        for c in conns:
            c.close()
    others_are_served(s)


def test_500_idle_connections(stack):
    """Half of them never said anything, half are kept after a request."""
    conns = [connect(stack.port) for _ in range(MANY)]
    try:
        for c in conns[::2]:
            c.sendall(request("GET", "/run_workflow/health/live", close=False))
        for c in conns[::2]:
            assert c.recv(65536).startswith(b"HTTP/1.1 200 ")
        others_are_served(stack)
        wid = stack.start_run(example("human-eval-010"), user="other")
        assert stack.finish(wid, user="other")["result"] is True
        # they are still good
        for c in conns:
            c.sendall(request("GET", "/run_workflow/health/live", close=False))
        for c in conns:
            assert c.recv(65536).startswith(b"HTTP/1.1 200 ")
    finally:
        for c in conns:
            c.close()


def test_idle_connections_end(impatient):
    conns = [connect(impatient.port) for _ in range(100)]
    try:
        for c in conns[::2]:
            c.sendall(request("GET", "/run_workflow/health/live", close=False))
        all_ended(conns, 15)
    finally:
        for c in conns:
            c.close()


def test_idle_connections_to_a_process(own_stack):
    """nginx never does it; whoever may open the socket of a process and says nothing takes a thread for
    a while, and the next request is served all the same."""
    import socket
    s = own_stack()
    conns = []
    try:
        for _ in range(30):
            c = socket.socket(socket.AF_UNIX)
            c.connect(str(s.var / "run" / "run_workflow.sock"))
            conns.append(c)
        others_are_served(s, 30)
    finally:
        for c in conns:
            c.close()
    others_are_served(s)
