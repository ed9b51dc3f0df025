"""Sign-in for tests: a server of public keys as Google has one, ID tokens right and wrong, stacks whose
requests carry them, and requests straight to the socket of a process."""
import base64
import contextlib
import datetime
import http.server
import json
import socket
import struct
import subprocess
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from conftest import BIN, Stack

PROJECT = "azlon-test"


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data, separators=(",", ":"))
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key():
    return rsa.generate_private_key(65537, 2048)


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
    return cert.public_bytes(serialization.Encoding.PEM).decode()


class KeyServer:
    """{kid: certificate}, on loopback. keys may be changed, up says whether it answers."""

    def __init__(self):
        self.keys, self.up, self.asked, self.max_age = {"k1": new_key()}, True, 0, 3600
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                body = json.dumps({k: certificate(v) for k, v in outer.keys.items()}).encode()
                self.send_response(200 if outer.up else 503)
                self.send_header("Cache-Control", f"public, max-age={outer.max_age}, must-revalidate")
                self.send_header("Content-Length", str(len(body) if outer.up else 0))
                self.end_headers()
                if outer.up:
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/robot/v1/metadata/x509/securetoken"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def claims(self, user, **other):
        now = int(time.time())
        return {"iss": f"https://securetoken.google.com/{PROJECT}", "aud": PROJECT, "sub": user, "user_id": user,
                "iat": now - 10, "auth_time": now - 100, "exp": now + 3590,
                "firebase": {"identities": {}, "sign_in_provider": "password"}, **other}

    def sign(self, head, payload, key=None):
        """head and payload as dicts, text or bytes."""
        text = f"{b64(head)}.{b64(payload)}"
        key = key or self.keys["k1"]
        return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def token(self, user, kid="k1", key=None, **other):
        claims = {k: v for k, v in self.claims(user, **other).items() if v is not None}
        return self.sign({"alg": "RS256", "typ": "JWT", "kid": kid}, claims, key or self.keys.get(kid))


class SignedInStack(Stack):
    """user= is who signed in: its ID token goes with each request. None: no token."""

    def __init__(self, keys, **extra):
        self.keys = keys
        super().__init__(**{"FIREBASE_PROJECT_ID": PROJECT, "AZLON_FIREBASE_KEYS_URL": keys.url, **extra})

    def request(self, method, path, user="alice", **kw):
        headers = kw.pop("headers", {})
        if user is not None:
            headers = {"Authorization": f"Bearer {self.keys.token(user)}", **headers}
        return super().request(method, path, user=None, headers=headers, **kw)

    def with_token(self, method, path, token, **kw):
        return self.request(method, path, user=None, headers={"Authorization": f"Bearer {token}"}, **kw)

    def azlon(self, *args, check=True, **env):
        # a sanitizer cannot look at what became another user
        mine = {**self.env, "AZLON_URL": self.url, "ASAN_OPTIONS": "detect_leaks=0", **env}
        r = subprocess.run([str(BIN / "azlon"), *args], env=mine, text=True,
                           capture_output=True, timeout=60, check=False)
        assert not check or r.returncode == 0, (args, r.returncode, r.stdout, r.stderr)
        return r

    def api_key(self, user, scopes, *more):
        return json.loads(self.azlon("keys", "create", "--json", "--user", user, "--scopes", scopes, *more).stdout)

    def all_logs(self):
        return "\n".join(f.read_text(errors="replace") for f in (self.var / "log").glob("*.log"))


def routes(program, role=None):
    """[(method, pattern)] as that process has them."""
    argv = [str(BIN / program), *(["--role", role] if role else []), "--print-routes"]
    lines = subprocess.run(argv, env={}, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()
    return [(method, line.split()[-1]) for line in lines for method in line.split()[:-1]]


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.headers = {}
        for line in head.decode().splitlines():
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.status = int(self.headers.get("status", "200").split()[0])
        self.text = self.body.decode(errors="replace")


def over_fastcgi(path, method, uri, headers=None, body=b"", query=""):
    """One request to a process, as nginx would hand it over."""
    pairs = {"REQUEST_METHOD": method, "DOCUMENT_URI": uri, "REQUEST_URI": uri, "QUERY_STRING": query,
             "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "AZLON_REQUEST_ID": "e2e",
             "HTTP_HOST": "azlon.example.org"}
    if body:
        pairs["CONTENT_LENGTH"] = str(len(body))
    for name, value in (headers or {}).items():
        name = name.upper().replace("-", "_")
        pairs[name if name == "CONTENT_TYPE" else "HTTP_" + name] = value

    def size(n):
        return struct.pack("!I", n | 0x80000000) if n > 127 else bytes([n])

    def record(kind, data):
        return struct.pack("!BBHHBB", 1, kind, 1, len(data), 0, 0) + data

    params = b"".join(size(len(k)) + size(len(v.encode())) + k.encode() + v.encode() for k, v in pairs.items())
    out, raw = b"", b""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.settimeout(60)
        s.connect(str(path))
        s.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, params) + record(4, b"") +
                  b"".join(record(5, body[i:i + 60000]) for i in range(0, len(body), 60000)) + record(5, b""))
        while chunk := s.recv(65536):
            raw += chunk
    while len(raw) >= 8:
        _, kind, _, n, pad, _ = struct.unpack("!BBHHBB", raw[:8])
        if kind == 6:
            out += raw[8:8 + n]
        raw = raw[8 + n + pad:]
    return Answer(out)
