"""An S3 server that misbehaves by script, in front of a real one (minio_peer.Minio): a request may be
refused, or carried out and its answer lost, torn, falsified or delayed on the way back.

`proxy.script(Fault("status", "PUT", "/blobs/", times=2))` sets what goes wrong from now on,
`proxy.script()` that nothing does; `proxy.done` counts what went wrong, `proxy.seen` is what was
asked for. Signatures stay valid: every byte of a request goes on as it came, its Host included."""
import collections
import http.client
import http.server
import os
import re
import select
import socket
import struct
import threading
from dataclasses import dataclass

NOTHING = 0.001  # seconds between two pieces of a slow answer


@dataclass
class Fault:
    """What happens to the next requests that match. Never carried out, unless it says so."""
    what: str               # status error html xml empty reset hang; of a real answer: cut drip length
    method: str = "[A-Z]+"
    path: str = ""          # a regex, searched in the path and query as sent
    times: int = 1
    skip: int = 0           # so many that match pass first
    carried: bool = False   # by the real server; its answer alone is replaced
    code: int = 503         # of status and html
    s3: str = "SlowDown"    # S3's own code in the body, of status and error
    after: int | None = None  # Retry-After, seconds
    n: int = 0              # cut, reset: bytes of the body that arrive; drip: so many at once; length: what is added to it


ERROR = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>by script</Message><Resource>/</Resource>'
         "<RequestId>1</RequestId><HostId>1</HostId></Error>")
PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1><p>This is the default page.</body></html>"
ILLEGAL = b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "cc">]><ListBucketResult><Key>&b;\x01</Key></Unopened'
ANSWERS_OF_ITS_OWN = ("status", "error", "html", "xml", "empty")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.upstream = http.client.HTTPConnection(self.server.behind, timeout=600)

    def finish(self):
        self.upstream.close()
        super().finish()

    def relay(self):
        # before the fault is counted, or a script that changes at once would not let go of it
        self.until = self.server.changed()
        fault = self.server.take(self.command, self.path)
        try:
            if not fault:
                return self.pass_on(self.forward())
            if not fault.carried and fault.what in (*ANSWERS_OF_ITS_OWN, "reset", "hang"):
                for _ in self.body():
                    pass
                real = None
            else:
                real = self.forward()
            self.spoil(fault, real)
        except (OSError, http.client.HTTPException):  # either end is gone
            self.break_off()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    # ---- to the server and back ----
    def body(self):
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(left, 65536))
            if not piece:
                raise ConnectionResetError("the client went away")
            left -= len(piece)
            yield piece

    def forward(self):
        """The server's answer, its body not read yet."""
        if self.upstream.sock and select.select([self.upstream.sock], [], [], 0)[0]:
            self.upstream.close()  # it was restarted meanwhile
        self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            self.upstream.putheader(name, value)
        self.upstream.endheaders()
        for piece in self.body():
            self.upstream.send(piece)
        return self.upstream.getresponse()

    def pass_on(self, real):
        known = real.length is not None or self.command == "HEAD"
        body = None if known else real.read()
        self.head(real.status, real.reason, real.getheaders(), None if known else len(body))
        if body is not None:
            self.wfile.write(body)
        while known and (piece := real.read1(65536)):
            self.wfile.write(piece)
        real.read()  # or the connection is not free for the next

    def head(self, status, reason, headers, length=None):
        """Headers as the server has them; length replaces its own."""
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{k}: {v}" for k, v in headers if length is None or k.lower() not in ("content-length", "transfer-encoding")]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    # ---- what goes wrong ----
    def spoil(self, fault, real):
        what, body = fault.what, b""
        if real:
            body = real.read()
        if what == "hang":
            self.until.wait(600)
            return self.break_off()
        if what in ANSWERS_OF_ITS_OWN:
            return self.own_answer(fault)
        if what == "reset":
            if real and fault.n:
                self.head(real.status, real.reason, real.getheaders(), len(body))
                self.wfile.write(body[:fault.n])
            return self.break_off()
        # nothing has a length of its own in an answer to HEAD or a 204
        told = real.headers["Content-Length"] if self.command == "HEAD" else len(body)
        self.head(real.status, real.reason, real.getheaders(), (int(told or 0) + fault.n) if what == "length" else told)
        if what == "drip":
            for at in range(0, len(body), fault.n):
                self.wfile.write(body[at:at + fault.n])
                self.server.changed().wait(NOTHING)
            return
        # with a length that is too small the rest of the body is what comes after the answer
        self.wfile.write(body[:fault.n] if what == "cut" else body)
        self.close_connection = True

    def own_answer(self, fault):
        kind, body = "application/xml", ERROR.format(fault.s3).encode()
        if fault.what == "html":
            kind, body = "text/html", PAGE
        elif fault.what == "xml":
            body = ILLEGAL
        elif fault.what == "empty":
            body = b""
        status = fault.code if fault.what in ("status", "html") else 200
        headers = [("Server", "MinIO"), ("Content-Type", kind)]
        if fault.after is not None:
            headers.append(("Retry-After", str(fault.after)))
        self.head(status, http.client.responses.get(status, "Unknown"), headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def break_off(self):
        """RST, at once: the other references to the socket do not keep it."""
        self.close_connection = True
        if self.connection.fileno() >= 0:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def log_message(self, *a):
        pass


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, server):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = server.host
        self.seen = []                     # (method, path and query)
        self.done = collections.Counter()  # what went wrong
        self.lock = threading.Lock()
        self.faults = []
        self._changed = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def host(self):
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self):
        return f"http://{self.host}"

    def script(self, *faults):
        with self.lock:
            self.faults = [(f, [f.skip, f.times]) for f in faults]
            self.seen.clear()
            self.done.clear()
            # what hangs is let go
            self._changed.set()
            self._changed = threading.Event()

    def asked(self, method="", path=""):
        """How many requests of that kind came since script()."""
        with self.lock:
            return sum(1 for m, p in self.seen if m.startswith(method) and re.search(path, p))

    def close(self):
        self.script()
        self.shutdown()
        self.server_close()

    # ---- for the handlers ----
    def changed(self):
        with self.lock:
            return self._changed

    def take(self, method, path):
        with self.lock:
            self.seen.append((method, path))
            for fault, left in self.faults:
                if left[1] and re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    if left[0]:
                        left[0] -= 1
                        return None
                    left[1] -= 1
                    self.done[fault.what] += 1
                    return fault
        return None

    def handle_error(self, request, client_address):
        pass  # a connection that broke
