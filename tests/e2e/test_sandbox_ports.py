"""Ports that programs in a sandbox listen on: <port>-<id>.<domain>, through nginx."""
import base64
import concurrent.futures
import hashlib
import select
import socket

import pytest
import requests

from conftest import until

# one program for all: what it heard, what it was asked to say
SERVER = r'''
import base64, hashlib, http.server, json, socket, socketserver, sys, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))
    def say(self, body, status=200, **headers):
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def do_GET(self):
        if self.path.startswith("/big"):
            return self.say(bytes(range(256)) * 4096 * 20)
        if self.path == "/accel":
            return self.say(b"its own words", X_Accel_Redirect="/run_workflow", X_Accel_Limit_Rate="1", X_Accel_Buffering="yes")
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"data: first\n\n"); self.wfile.flush()
            self.rfile.read(1)  # for ever
            return
        if self.path == "/socket":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket"); self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            while (b := self.rfile.read1(65536)): self.wfile.write(b[::-1])
            self.close_connection = True
            return
        said = {"path": self.path, "method": self.command, "headers": dict(self.headers)}
        self.say(json.dumps(said).encode(), int(self.headers.get("X-Want") or 200), Content_Type="application/json", Set_Cookie="a=1")
    do_HEAD = do_DELETE = do_GET
    def do_POST(self):
        self.say(hashlib.sha256(self.body()).hexdigest().encode(), 201)
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6 if sys.argv[2] == "::1" else socket.AF_INET
S((sys.argv[2], int(sys.argv[1])), H).serve_forever()
'''


def served(box, port=3000, host="127.0.0.1"):
    box.files.write("server.py", SERVER)
    box.commands.run(f"python3 server.py {port} {host}", background=True, timeout=0)
    probe = f"import socket; socket.create_connection(({host!r}, {port})).close()"
    until(lambda: box.commands.run(f'python3 -c "{probe}" 2>/dev/null || echo no').stdout == "", within=30)


@pytest.fixture(scope="module")
def box(e2b):
    b = e2b.Sandbox.create(timeout=600)
    served(b)
    yield b
    b.kill()


class Port:
    """Requests to a port of a sandbox; a name below localhost needs no look-up of ours."""

    def __init__(self, stack, box, port=3000):
        self.at, self.host = ("127.0.0.1", stack.local_port), box.get_host(port)

    def ask(self, method, path, headers=None, **kw):
        return requests.request(method, f"http://{self.at[0]}:{self.at[1]}{path}", timeout=60,
                                headers={"Host": self.host, **(headers or {})}, **kw)

    def get(self, path, headers=None, **kw):
        return self.ask("GET", path, headers, **kw)

    def open(self, head):
        s = socket.create_connection(self.at, timeout=30)
        s.sendall(head.replace("HOST", self.host).encode())
        return s


@pytest.fixture
def port(stack, box):
    return Port(stack, box)


def head_of(s):
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(1)
    return got


def test_sandbox_port_is_a_web_server_as_it_is(stack, box, port):
    assert port.host == f"3000-{box.sandbox_id}.localhost:{stack.local_port}"
    r = port.get("/a%20b/?q=1&x=%2F", {"X-Mine": "yes", "Cookie": "c=1"})
    heard = r.json()
    assert (r.status_code, heard["path"], heard["method"]) == (200, "/a%20b/?q=1&x=%2F", "GET")
    assert heard["headers"]["Host"] == port.host and heard["headers"]["X-Mine"] == "yes" and heard["headers"]["Cookie"] == "c=1"
    assert heard["headers"]["X-Forwarded-Proto"] == "http" and heard["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert r.headers["Set-Cookie"] == "a=1" and r.headers["Content-Type"] == "application/json"
    assert port.ask("DELETE", "/x").json()["method"] == "DELETE"
    r = port.ask("HEAD", "/x")
    assert r.status_code == 200 and not r.content and int(r.headers["Content-Length"]) > 0
    assert port.get("/x", {"X-Want": "418"}).status_code == 418


@pytest.mark.parametrize("size", [0, 1, 65536, 20_000_001])
def test_sandbox_port_takes_bodies_whole(port, size):
    body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    r = port.ask("POST", "/", data=body[:size])
    assert (r.status_code, r.text) == (201, hashlib.sha256(body[:size]).hexdigest())


def test_sandbox_port_gives_bodies_whole_to_many_at_once(port):
    want = hashlib.sha256(bytes(range(256)) * 4096 * 20).digest()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: hashlib.sha256(port.get(f"/big?{i}").content).digest(), range(8)))
    assert got == [want] * 8


def test_sandbox_port_many_requests_leave_nothing_behind(port):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda i: port.get(f"/{i}").status_code, range(300))) == {200}


def test_sandbox_port_steers_nginx_by_no_header(port):
    r = port.get("/accel")
    assert (r.status_code, r.text) == (200, "its own words")
    assert not [h for h in r.headers if h.lower().startswith("x-accel")]


def test_sandbox_port_streams_as_it_comes_and_ends_with_its_client(port):
    for _ in range(70):  # more than may be open at once
        s = port.open("GET /events HTTP/1.1\r\nHost: HOST\r\n\r\n")
        got = b""
        while b"data: first\n\n" not in got:
            more = s.recv(4096)
            assert more, got
            got += more
        s.close()
    # each let go of its place
    until(lambda: port.get("/").status_code == 200)


def test_sandbox_port_speaks_websocket(port):
    key = base64.b64encode(b"0123456789abcdef").decode()
    s = port.open("GET /socket HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n")
    head = head_of(s)
    assert head.startswith(b"HTTP/1.1 101 ") and b"upgrade: websocket" in head.lower()
    for word in (b"abc", b"xyz" * 1000):
        s.sendall(word)
        got = b""
        while len(got) < len(word):
            got += s.recv(65536)
        assert sorted(got) == sorted(word)
    s.close()


def test_sandbox_port_that_is_not_open(stack, box):
    for kw in ({}, {"data": b"x" * 300_000}):
        r = Port(stack, box, 3999).ask("POST" if kw else "GET", "/", **kw)
        assert r.status_code == 502, r.text
        assert r.json() == {"sandboxId": box.sandbox_id, "port": 3999, "code": 502,
                            "message": "The sandbox is running but port is not open"}


def test_sandbox_port_of_a_server_on_ipv6_alone(stack, box):
    served(box, 3006, "::1")
    assert Port(stack, box, 3006).get("/six").json()["path"] == "/six"


@pytest.mark.parametrize("host, status, words", [
    ("3000-i0000000000000000000.localhost:PORT", 502, "The sandbox was not found"),
    ("3000-ID.localhost:1", 400, "Invalid host"),
    ("3000-ID.evil.example:PORT", 400, "Invalid host"),
    ("3000-ID.localhost", 400, "Invalid host"),
    ("03000-ID.localhost:PORT", 400, "Invalid host"),
    ("70000-ID.localhost:PORT", 400, "Invalid host"),
    ("0-ID.localhost:PORT", 400, "Invalid host"),
    ("49983-ID.localhost:PORT", 403, "not for programs"),
    ("3128-ID.localhost:PORT", 403, "not for programs"),
    ("-ID.localhost:PORT", 404, "no such route"),
    ("a-ID.localhost:PORT", 404, "no such route"),
])
def test_sandbox_port_by_another_name_is_refused(stack, box, host, status, words):
    p = Port(stack, box)
    p.host = host.replace("ID", box.sandbox_id).replace("PORT", str(stack.local_port))
    r = p.get("/")
    assert r.status_code == status and words in r.json()["message"], r.text


def test_sandbox_port_has_no_way_by_path(stack, port):
    # neither to other locations of nginx nor to the protocol's own routes
    for path in ("/run_workflow", "/files?path=/etc/passwd", "/process.Process/List", "/v1/models", "/sandboxes"):
        assert port.get(path).json()["path"] == path
    for path in ("/@port_away", "/%40port_413"):
        assert port.get(path).json()["path"] == path


def test_sandbox_port_with_a_token_of_its_own(stack, e2b):
    b = e2b.Sandbox.create(timeout=120, network={"allow_public_traffic": False})
    try:
        served(b)
        p = Port(stack, b)
        token = b.traffic_access_token
        assert token
        for headers in ({}, {"e2b-traffic-access-token": token[:-1] + ("0" if token[-1] != "0" else "1")}):
            r = p.get("/", headers)
            assert r.status_code == 403 and "e2b-traffic-access-token" in r.json()["message"]
        heard = p.get("/", {"E2B-Traffic-Access-Token": token}).json()["headers"]
        assert token not in str(heard), "the program learned it"
    finally:
        b.kill()


def test_sandbox_port_under_a_host_that_its_program_knows(stack, e2b):
    b = e2b.Sandbox.create(timeout=120, network={"mask_request_host": "localhost:${PORT}"})
    try:
        served(b)
        heard = Port(stack, b).get("/").json()["headers"]
        assert heard["Host"] == "localhost:3000" and heard["X-Forwarded-Host"] == b.get_host(3000)
    finally:
        b.kill()


def test_sandbox_port_of_one_that_rests(stack, e2b, box):
    asleep = e2b.Sandbox.create(timeout=120)
    served(asleep)
    asleep.pause()
    r = Port(stack, asleep).get("/")
    assert r.status_code == 502 and "was not found" in r.json()["message"]
    e2b.Sandbox.connect(asleep.sandbox_id)
    assert Port(stack, asleep).get("/again").json()["path"] == "/again"
    asleep.kill()
    r = Port(stack, asleep).get("/")
    assert r.status_code == 502 and "was not found" in r.json()["message"]


def test_sandbox_ports_of_two_never_meet(stack, e2b, box):
    other = e2b.Sandbox.create(timeout=120)
    try:
        assert Port(stack, other).get("/").status_code == 502
        assert Port(stack, box).get("/").status_code == 200
    finally:
        other.kill()


def test_sandbox_port_has_room_for_so_many(stack, box, port):
    # takes connections, answers none
    box.commands.run("python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", 3064), backlog=128); time.sleep(600)'",
                     background=True, timeout=0)
    full = Port(stack, box, 3064)
    until(lambda: ":0BF8" in box.commands.run("cat /proc/net/tcp").stdout)
    held = [full.open("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n") for _ in range(65)]
    try:
        one, _, _ = select.select(held, [], [], 30)
        assert len(one) == 1
        assert b" 429 " in head_of(one[0]) and b"too many open connections" in one[0].recv(4096)
        assert port.get("/").status_code == 429
    finally:
        for s in held:
            s.close()
    until(lambda: port.get("/").status_code == 200)


def test_sandbox_port_of_a_program_that_breaks_off(stack, box):
    box.commands.run("python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 3065))\nwhile 1: s.accept()[0].close()'",
                     background=True, timeout=0)
    p = Port(stack, box, 3065)
    until(lambda: "broke off" in p.get("/").json()["message"])
    assert p.get("/").status_code == 502


def test_sandbox_ports_have_so_many_connections_of_one_address(own_stack, monkeypatch):
    stack = own_stack(AZLON_CONNS="3")
    import e2b
    for name in ("API", "SANDBOX"):
        monkeypatch.setenv(f"E2B_{name}_URL", f"http://127.0.0.1:{stack.local_port}")
    monkeypatch.setenv("E2B_API_KEY", (stack.var / "secret/e2b.key").read_text())
    box = e2b.Sandbox.create(timeout=120)
    held = []
    try:
        served(box)
        port = Port(stack, box)
        for _ in range(3):
            held.append(port.open("GET /events HTTP/1.1\r\nHost: HOST\r\n\r\n"))
            assert b" 200 " in head_of(held[-1])
        r = port.get("/")
        assert (r.status_code, r.json()["code"]) == (429, 429) and "this address" in r.json()["message"]
        # they use up nothing else
        assert stack.get("/run_workflow").status_code == 200
        held.pop().close()
        until(lambda: port.get("/").status_code == 200)
    finally:
        for s in held:
            s.close()
        box.kill()
