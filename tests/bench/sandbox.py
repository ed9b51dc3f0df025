"""Local sandboxes: how soon one is there, what bytes in and out cost, what many cost at rest."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import threading
import time

from conftest import Stack

MIB = 1 << 20


class Api:
    """E2B's protocol by hand, on one connection: what a client costs is not measured."""

    def __init__(self, s):
        self.key = (s.var / "secret" / "e2b.key").read_text()
        self.c = http.client.HTTPConnection("127.0.0.1", s.local_port, timeout=120)

    def call(self, method, path, body=None, headers=None):
        self.c.request(method, path, body, {"X-API-Key": self.key, "Content-Type": "application/json", **(headers or {})})
        r = self.c.getresponse()
        data = r.read()
        if r.status >= 300:
            raise RuntimeError(f"{method} {path}: {r.status} {data[:200]}")
        return data

    def create(self, ttl=600):
        return json.loads(self.call("POST", "/v2/sandboxes", json.dumps({"templateID": "base", "timeout": ttl})))

    def kill(self, box):
        self.call("DELETE", f"/sandboxes/{box['sandboxID']}")

    def headers(self, box):
        return {"E2b-Sandbox-Id": box["sandboxID"], "E2b-Sandbox-Port": "49983", "X-Access-Token": box["envdAccessToken"]}

    def run(self, box, cmd, on=lambda n: None):
        """Through to the end of the stream; on(n) for each n bytes of it."""
        frame = json.dumps({"process": {"cmd": "/bin/sh", "args": ["-c", cmd]}}).encode()
        self.c.request("POST", "/process.Process/Start", b"\0" + len(frame).to_bytes(4, "big") + frame,
                       {**self.headers(box), "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1"})
        r = self.c.getresponse()
        seen, tail = 0, b""
        while data := r.read1(1 << 20):
            seen += len(data)
            tail = (tail + data)[-400:]
            on(tail)
        if r.status != 200 or b'"exited":true' not in tail.replace(b" ", b"") and b'"exitCode"' not in tail:
            raise RuntimeError(f"{cmd}: {r.status} {tail}")
        return seen


def p99(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def ms(values):
    return f"median {statistics.median(values) * 1000:.1f} ms, p99 {p99(values) * 1000:.1f} ms"


def spares(s):
    c = http.client.HTTPConnection("127.0.0.1", s.local_port)
    c.request("GET", "/azlon/health")
    return json.loads(c.getresponse().read())["spares"]


def first_output(s, n, warm):
    """Seconds from the create request to the first byte that a program wrote; and of kills."""
    api, took, kills = Api(s), [], []
    for _ in range(n):
        while warm and spares(s) < 1:
            time.sleep(0.005)
        if warm:
            time.sleep(0.05)  # the spare was there before; nothing else is under way
        first = []
        t = time.monotonic()
        box = api.create()
        api.run(box, "echo x", lambda tail: first or b"stdout" not in tail or first.append(time.monotonic()))
        took.append(first[0] - t)
        t = time.monotonic()
        api.kill(box)
        kills.append(time.monotonic() - t)
    return took, kills


def rate(s, threads, n):
    """Creates a second, all of them there at the end."""
    def some(_):
        api = Api(s)
        return [api.create() for _ in range(n)], api
    t = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(some, range(threads)))
    took = time.monotonic() - t
    return threads * n / took, made


@contextlib.contextmanager
def echo(h, where, size):
    """A bare libfcgi process behind a plain nginx."""
    sock = where / "echo.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as lst:
        lst.bind(str(sock))
        sock.chmod(0o666)  # nginx's workers are another user
        lst.listen(64)
        p = subprocess.Popen([h.TOOLS / "echo", "8", str(size)], stdin=lst)
    try:
        with h.nginx(where, f"location / {{ client_max_body_size 0; fastcgi_request_buffering off; fastcgi_buffering off; fastcgi_pass unix:{sock}; "
                            "include /etc/nginx/fastcgi_params; }") as port:
            yield port
    finally:
        p.terminate()
        p.wait()
        sock.unlink()


def bytes_in_and_out(s, tmp, row, h):
    big = h.big_file(tmp)
    api = Api(s)
    box = api.create()
    ours = [x for k, v in api.headers(box).items() for x in ("-H", f"{k}: {v}")] + ["-H", "Expect:"]
    url = f"http://127.0.0.1:{s.local_port}/files?path=/home/user/big.bin"
    up, down, bare_up, bare_down = [], [], [], []
    put = ["-X", "POST", "-H", "Content-Type: application/octet-stream", "-T", str(big)]
    for size, out in ((600, None), (256 * MIB, None)):
        with echo(h, tmp, size) as port:
            for _ in range(5):
                if size == 600:
                    bare_up.append(h.curl(f"http://127.0.0.1:{port}/", *put, "-H", "Expect:")[0])
                    up.append(h.curl(url, *put, *ours)[0])
                else:
                    bare_down.append(h.curl(f"http://127.0.0.1:{port}/")[0])
                    down.append(h.curl(url, *ours)[0])
    for what, mine, bare in (("up", up, bare_up), ("down", down, bare_down)):
        share = statistics.median(bare) / statistics.median(mine)
        row(f"sandbox: 256 MiB {what} through nginx against a bare libfcgi process", ">= 80 %", share >= 0.8,
            f"{share * 100:.0f} % ({256 / statistics.median(mine):.0f} MiB/s of {256 / statistics.median(bare):.0f} MiB/s)",
            f"curl {'-T big.bin' if what == 'up' else 'GET'} /files?path=/home/user/big.bin; the same with tests/bench/echo, 5 times each, in turn")
    t = []
    for _ in range(5):
        began = time.monotonic()
        n = api.run(box, "head -c 67108864 /dev/zero | tr '\\0' x")
        t.append(time.monotonic() - began)
        assert n > 64 * MIB, n
    row("sandbox: 64 MiB of output", "<= 1 s", statistics.median(t) <= 1, f"median {statistics.median(t):.2f} s", "Start: head -c 67108864 /dev/zero | tr '\\0' x, 5 times")
    api.kill(box)


def neighbours(s, row):
    """Commands in one sandbox while three others do their worst."""
    api = Api(s)
    mine, others = api.create(), [api.create() for _ in range(3)]

    def commands(n):
        took = []
        for _ in range(n):
            t = time.monotonic()
            api.run(mine, "true")
            took.append(time.monotonic() - t)
        return took
    commands(20)
    quiet = commands(150)
    attacks = ["b() { b | b & }; b; sleep 20", "yes | head -c 2000000000", "while :; do head -c 200000000 /dev/zero >x; rm x; done"]

    def attack(box, cmd):
        with contextlib.suppress(Exception):  # it is ended by force
            Api(s).run(box, cmd)
    threads = [threading.Thread(target=attack, args=a) for a in zip(others, attacks)]
    for t in threads:
        t.start()
    time.sleep(1)
    loud = commands(150)
    for box in others:
        api.kill(box)
    for t in threads:
        t.join()
    api.kill(mine)
    row("sandbox: commands while three others attack", "p99 < 2 x quiet", p99(loud) < 2 * p99(quiet),
        f"{p99(loud) / p99(quiet):.1f} x: {ms(loud)}; quiet {ms(quiet)}", "Start: true, 150 times; meanwhile a fork bomb, a flood of output, a flood of the disk")


def many(row, h):
    s = Stack(AZLON_BOX_MAX="256", AZLON_BOX_SPARES="0", AZLON_RATE="100000", AZLON_BURST="100000")
    try:
        s.start()
        server = s.pid("sandbox")
        before = h.mem_kib(server, "Pss")
        _, made = rate(s, 4, 50)
        time.sleep(3)
        boxes = h.tree(server)[1:]
        each = (sum(h.mem_kib(p, "Pss") for p in boxes) + h.mem_kib(server, "Pss") - before) / 200 / 1024
        row("sandbox: each of 200 that idle", "<= 2 MiB PSS", each <= 2, f"{each:.2f} MiB ({len(boxes)} processes besides the server)",
            "sum of Pss in smaps_rollup of all processes below sandbox, and what itself grew by")
        hundred = [b for boxes, _ in made for b in boxes][:100]
        t = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            list(pool.map(lambda b: Api(s).run(b, "sleep 0.2; echo done"), hundred))
        took = time.monotonic() - t
        row("sandbox: 100 commands at once", "all in 2 s", took <= 2, f"{took:.2f} s for 'sleep 0.2; echo done' in each of 100 sandboxes", "Start, 100 threads")
    finally:
        s.close()


def measure(s, tmp, row, h):
    took, kills = first_output(s, 60, True)
    row("sandbox, ready: from create to first output", "<= 8 ms", statistics.median(took) <= 0.008, ms(took), "POST /v2/sandboxes, Start: echo x; one spare, 60 times")
    cold = Stack(AZLON_BOX_SPARES="0", AZLON_RATE="100000", AZLON_BURST="100000", AZLON_BOX_MAX="256")
    try:
        cold.start()
        took, more = first_output(cold, 60, False)
        row("sandbox, none ready: from create to first output", "<= 25 ms", statistics.median(took) <= 0.025, ms(took), "the same with AZLON_BOX_SPARES=0")
        row("sandbox: kill", "<= 100 ms", p99(kills + more) <= 0.1, ms(kills + more), "DELETE /sandboxes/ID of these")
        got, _ = rate(cold, 4, 25)
        cores = len(os.sched_getaffinity(0))
        row("sandbox: creates a second and core", ">= 50", got / cores >= 50, f"{got / cores:.0f} ({got:.0f} on {cores} cores)", "POST /v2/sandboxes, 4 threads, 25 each")
    finally:
        cold.close()
    bytes_in_and_out(s, tmp, row, h)
    neighbours(s, row)
    many(row, h)
