"""The HTTP side of a Restack engine, as far as SDKs and our engine use it: endpoint
registration, the payload key, the blob store. Everything received is kept for the test."""
import asyncio
import base64
import contextlib
import hashlib
import json
import pathlib
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from restack_ai.restack import CloudConnectionOptions, Restack

ENDPOINTS = "/api/engine/endpoints"
KEY = "/api/engine/codec/key"
PUT = "/v2/blobs/put"
GET = "/v2/blobs/get"


@dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict  # lower-case names
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Answer:
    status: int
    body: bytes = b""
    type: str = "application/json"


@dataclass
class Blob:
    data: bytes
    metadata: dict = field(default_factory=dict)


class RestackStub:
    """key: 32 bytes the engine hands out, or None. answers: path -> Answer put in its place."""

    def __init__(self, key=None):
        self.key = key
        self.answers = {}
        self.blobs = {}
        self.requests = []
        self.changed = threading.Condition()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                url = urlsplit(self.path)
                r = Request(self.command, url.path, {k: v[0] for k, v in parse_qs(url.query).items()},
                            {k.lower(): v for k, v in self.headers.items()},
                            self.rfile.read(int(self.headers.get("Content-Length", 0))))
                a = stub.answers.get(r.path) or stub.answer(r)
                with stub.changed:
                    stub.requests.append(r)
                    stub.changed.notify_all()
                self.send_response(a.status)
                self.send_header("Content-Type", a.type)
                self.send_header("Content-Length", str(len(a.body)))
                self.end_headers()
                self.wfile.write(a.body)

            do_GET = do_POST = do_PUT = serve

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def host(self):
        """host:port without a scheme, as Restack's SDK wants api_address"""
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def url(self):
        return f"http://{self.host}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # ---- what came ----
    def seen(self, path):
        with self.changed:
            return [r for r in self.requests if r.path == path]

    def wait(self, path, n=1, within=15):
        """The first n requests for path, as soon as they are here."""
        def there():
            return sum(r.path == path for r in self.requests) >= n

        with self.changed:
            assert self.changed.wait_for(there, within), f"fewer than {n} requests for {path}: {self.requests}"
        return self.seen(path)[:n]

    def registered(self, n=1):
        return [r.json() for r in self.wait(ENDPOINTS, n)]

    # ---- what is answered ----
    def answer(self, r):
        if (r.method, r.path) == ("POST", ENDPOINTS):
            return Answer(200, b'{"status":"ok"}')
        if (r.method, r.path) == ("GET", KEY):
            if self.key is None:
                return Answer(404, b"{}")
            key = base64.b64encode(self.key).decode()
            return Answer(200, json.dumps({"key": key, "alg": "AES-256-GCM"}).encode())
        if (r.method, r.path) == ("PUT", PUT):
            if r.query["digest"] != "sha256:" + hashlib.sha256(r.body).hexdigest():
                return Answer(400, b'{"error":"digest"}')
            metadata = json.loads(base64.b64decode(r.headers["x-temporal-metadata"]))
            return Answer(201, json.dumps({"Key": self.put(r.body, metadata, r.query["namespace"])}).encode())
        if (r.method, r.path) == ("GET", GET):
            blob = self.blobs.get(r.query["key"])
            if blob is None:
                return Answer(404, b'{"error":"no such key"}')
            if int(r.headers["x-payload-expected-content-length"]) != len(blob.data):
                return Answer(400, b'{"error":"length"}')
            return Answer(200, blob.data, "application/octet-stream")
        return Answer(404, b"{}")

    def put(self, data, metadata=None, namespace="default"):
        """Store a blob as an upload would; its key."""
        key = f"/blobs/{namespace}/sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[key] = Blob(data, metadata or {})
        return key

    def reference(self, data, encoding="json/plain"):
        """(metadata, data) of the payload that stands for a stored blob."""
        body = {"metadata": {"encoding": encoding}, "size": len(data),
                "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "key": self.put(data)}
        return ({"encoding": encoding.encode(), "temporal.io/remote-codec": b"v2"}, json.dumps(body).encode())


@pytest.fixture
def restack_stub():
    s = RestackStub()
    yield s
    s.close()


# ---- services of Restack's SDK, each in a process of its own: temporalio 1.18.1 panics in its
# log layer when several of the SDK's runtimes live in one ----

def host(**what):
    """What such a process does: python restack_coder.py ADDRESS API ENGINE_ID"""
    address, api, engine_id = sys.argv[1:]
    sdk = Restack(CloudConnectionOptions(engine_id=engine_id, api_key=None, address=address, api_address=api))
    asyncio.run(sdk.start_service(**what))


@contextlib.contextmanager
def service(program, temporal, stub, engine_id):
    """The service of a program beside this file, registered and at work."""
    path = pathlib.Path(__file__).with_name(program)
    p = subprocess.Popen([sys.executable, path, temporal.address, stub.host, engine_id], stdin=subprocess.DEVNULL)
    try:
        stub.wait(ENDPOINTS)
        yield
    finally:
        p.kill()
        p.wait()
