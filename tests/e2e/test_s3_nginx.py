"""nginx between a caller and the store: a process of the test names objects by URLs that boto3
signed, a real MinIO or a store that misbehaves has them."""
import hashlib
import http.server
import signal
import socket
import ssl
import subprocess
import threading
import urllib.parse

import pytest
import requests

from conftest import Stack, free_ports, until
from fcgi_peer import FcgiPeer

BUCKET = "azlon-" + "a2" * 16
BODY = bytes(range(256)) * 4096
TAG = f'"{hashlib.sha256(BODY).hexdigest()}"'
KEYS = ["w/plain.bin", "w/a b+c&d=e?f#g%h'i.bin", "w/é 漢字 😀.bin", "w/" + "/".join(["k" * 200] * 4) + ".bin"]


def signed(client, key, method="get_object", **more):
    url = client.generate_presigned_url(method, Params={"Bucket": BUCKET, "Key": key, **more}, ExpiresIn=60)
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"


def front(s):
    """Take the place of `files` in a running stack."""
    s.kill_and_wait("files")
    peer = FcgiPeer(s.var / "run/files.sock", lambda got: ([], b""))
    peer.object = lambda path, tag=TAG, more=(): setattr(peer, "answer", lambda got: (
        [("Content-Type", "text/x-ours"), ("Cache-Control", "private, no-store"), ("Content-Disposition", 'attachment; filename="ours"'),
         ("X-Azlon-ETag", tag), *([("X-S3-Path", path)] if path else []), *more, ("X-Accel-Redirect", "@s3")], b""))
    return peer


@pytest.fixture(scope="module")
def real(minio):
    client = minio.client()
    client.create_bucket(Bucket=BUCKET)
    for k in KEYS:
        client.put_object(Bucket=BUCKET, Key=k, Body=BODY, ContentType="text/html")
    s = Stack(**minio.env)
    peer = None
    try:
        peer = front(s.start())
        peer.client = client
        yield s, peer
    finally:
        if peer:
            peer.close()
        s.close()


MIME = {"ResponseContentType": "image/png"}


@pytest.mark.parametrize("key", KEYS)
def test_bytes_come_as_they_are_with_our_tag_and_the_signed_type(real, key):
    s, peer = real
    peer.object(signed(peer.client, key, **MIME))
    r = s.get("/files/x/y", headers={"Authorization": "Bearer who", "If-None-Match": TAG, "If-Match": '"other"', "If-Modified-Since": "Fri, 01 Jan 2027 00:00:00 GMT"})
    assert r.status_code == 200 and r.content == BODY, r.text[:300]
    assert r.headers["ETag"] == TAG and r.headers["Content-Type"] == "image/png"
    assert r.headers["Content-Length"] == str(len(BODY)) and r.headers["Accept-Ranges"] == "bytes"
    assert r.headers["Content-Disposition"] == 'attachment; filename="ours"' and r.headers["Cache-Control"] == "private, no-store"
    assert r.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert r.headers["X-Content-Type-Options"] == "nosniff" and r.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [h for h in r.headers if h.lower().startswith(("x-amz", "x-minio", "x-azlon", "x-s3", "x-accel", "x-ratelimit"))], r.headers


def test_the_range_is_the_one_that_our_process_names(real):
    s, peer = real
    path = signed(peer.client, KEYS[0])
    peer.object(path, more=[("X-Azlon-Range", "bytes=100-199")])
    r = s.get("/files/x/y", headers={"Range": "bytes=0-0"})
    assert (r.status_code, r.content) == (206, BODY[100:200])
    assert r.headers["Content-Range"] == f"bytes 100-199/{len(BODY)}" and r.headers["ETag"] == TAG
    peer.object(path)
    r = s.get("/files/x/y", headers={"Range": "bytes=0-0"})
    assert (r.status_code, len(r.content)) == (200, len(BODY))


def test_head_stays_head(real):
    s, peer = real
    peer.object(signed(peer.client, KEYS[0], "head_object"))
    r = s.request("HEAD", "/files/x/y")
    assert r.status_code == 200 and r.headers["Content-Length"] == str(len(BODY)) and r.headers["ETag"] == TAG and not r.content
    assert s.get("/files/x/y").status_code == 503  # a signature is for one method


def test_a_body_of_the_caller_does_not_travel(real):
    s, peer = real
    peer.object(signed(peer.client, KEYS[0]))
    assert s.get("/files/x/y", data=b"x" * 5000).content == BODY


def test_pages_elsewhere_may_show_what_a_link_gave(real):
    s, peer = real
    peer.object(signed(peer.client, KEYS[0]), more=[("X-Azlon-Embed", "1")])
    assert s.get("/files/x/y").headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_what_is_gone_is_404_and_a_refusal_is_the_stores_failure(real):
    s, peer = real
    peer.object(signed(peer.client, "w/none.bin"))
    r = s.get("/files/x/y")
    assert r.status_code == 404 and r.json()["code"] == "not_found" and r.headers["Content-Type"] == "application/problem+json"
    peer.object(signed(peer.client, KEYS[0])[:-1] + "x")
    r = s.get("/files/x/y")
    assert r.status_code == 503 and r.json()["code"] == "store" and r.headers["Retry-After"] == "2"
    assert "Signature" not in r.text and "ETag" not in r.headers


@pytest.mark.parametrize("path", [None, "/", "/?X-Amz-Signature=a", "/minio/admin/v3/info?X-Amz-Signature=a", f"/{BUCKET}?X-Amz-Signature=a",
                                  f"/{BUCKET}/?X-Amz-Signature=a", f"/{BUCKET}/w/plain.bin", f"/{BUCKET}/k?X-Amz-Signatur=a",
                                  "/other-bucket/k?X-Amz-Signature=a", "@evil.example/k?X-Amz-Signature=a"])
def test_nothing_but_a_signed_object_of_a_users_bucket_is_asked_for(real, path):
    s, peer = real
    peer.object(path)
    r = s.get("/files/x/y")
    assert r.status_code == 503 and r.json()["code"] == "store"


def test_callers_do_not_reach_the_store_themselves(real):
    s, peer = real
    path = signed(peer.client, KEYS[0])
    for url in (path, "/@s3", f"/%40s3{path}", f"/_s3{path}"):
        assert s.get(url, headers={"X-S3-Path": path}).status_code == 404
    peer.answer = lambda got: ([("Content-Type", "text/plain")], b"ours")
    assert s.get("/files/x/y", headers={"X-S3-Path": path, "X-Accel-Redirect": "@s3"}).text == "ours"


# ---- the server for links ----

@pytest.fixture(scope="module")
def links(real, minio):
    """azlon_minio.conf in a server of its own: (where it is, a client that signs for there)."""
    s, peer = real
    port = free_ports(1)[0]
    conf = s.var / "nginx/nginx.conf"
    text = conf.read_text().rstrip()
    conf.write_text(text[:-1] + f"server {{ listen 127.0.0.1:{port}; include azlon_minio.conf; }}\n}}\n")
    s.kill("nginx", signal.SIGHUP)

    def up():
        with socket.socket() as c:
            return c.connect_ex(("127.0.0.1", port)) == 0

    until(up)
    at = f"http://127.0.0.1:{port}"
    return at, minio.client(at)


@pytest.mark.parametrize("key", KEYS)
def test_a_presigned_link_works_from_outside(links, key):
    at, client = links
    url = at + signed(client, key, ResponseContentType="image/png", ResponseContentDisposition="inline")
    r = requests.get(url, headers={"Authorization": "Bearer who", "Origin": "http://localhost:3000"}, timeout=30)
    assert r.status_code == 200 and r.content == BODY, r.text[:300]
    assert r.headers["Content-Type"] == "image/png" and r.headers["Content-Disposition"] == "inline"
    assert r.headers["Cross-Origin-Resource-Policy"] == "cross-origin" and r.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert r.headers["Access-Control-Allow-Origin"] == "http://localhost:3000" and r.headers["Cache-Control"] == "private, no-store"
    part = requests.get(url, headers={"Range": "bytes=5-9"}, timeout=30)
    assert (part.status_code, part.content) == (206, BODY[5:10])
    assert requests.get(url, headers={"If-None-Match": r.headers["ETag"]}, timeout=30).status_code == 304
    head = requests.head(at + signed(client, key, "head_object"), timeout=30)
    assert head.status_code == 200 and head.headers["Content-Length"] == str(len(BODY))


def test_nothing_else_passes_the_server_for_links(real, links):
    at, client = links
    good = signed(client, KEYS[0])
    listing = client.generate_presigned_url("list_objects_v2", Params={"Bucket": BUCKET})
    put = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "w/new"})
    gone = client.generate_presigned_url("delete_object", Params={"Bucket": BUCKET, "Key": KEYS[0]})
    for method, url in (("GET", listing), ("PUT", put), ("POST", at + good), ("DELETE", gone), ("OPTIONS", at + good), ("GET", at + good.split("?")[0]),
                        ("GET", at + good[:-1] + "x"), ("GET", at + "/minio/health/live"), ("GET", at + "/"), ("GET", at + "/azlon-x/k?" + good.split("?")[1]),
                        ("GET", at + f"/{BUCKET}/?" + good.split("?")[1]), ("GET", at + f"/{BUCKET}/../minio/health/live?" + good.split("?")[1])):
        r = requests.request(method, url, timeout=30)
        assert r.status_code in (403, 404) and r.headers["Content-Type"] == "application/problem+json", (method, url, r.status_code, r.text)
    assert sorted(o["Key"] for o in real[1].client.list_objects_v2(Bucket=BUCKET)["Contents"]) == sorted(KEYS)


# ---- a store that misbehaves ----

class Bad(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.wfile.write(self.server.reply)
        self.close_connection = True

    def log_message(self, *a):
        pass


@pytest.fixture(scope="module")
def bad():
    store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    store.seen = []
    threading.Thread(target=store.serve_forever, daemon=True).start()
    s = Stack(MINIO_ENDPOINT=f"http://127.0.0.1:{store.server_port}/", MINIO_ROOT_USER="u", MINIO_ROOT_PASSWORD="p")
    peer = None
    try:
        store.reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        s.control("start")
        peer = front(s)
        peer.object(f"/{BUCKET}/k?X-Amz-Signature=a")
        yield s, store, peer
    finally:
        if peer:
            peer.close()
        s.close()
        store.shutdown()
        store.server_close()


def answer(status, *headers, body=b"xml"):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "412 Precondition Failed",
                                    "416 Range Not Satisfiable", "429 Too Many Requests", "500 Internal Server Error", "503 Slow Down", "507 Full"])
def test_no_failure_of_the_store_is_shown_as_it_is(bad, status):
    s, store, peer = bad
    store.reply = answer(status, "Location: http://127.0.0.1:1/", "Content-Type: application/xml")
    r = s.get("/files/x/y", allow_redirects=False)
    assert r.status_code == 503 and r.json()["code"] == "store" and "Location" not in r.headers, (r.status_code, r.text)


def test_the_store_does_not_steer_nginx_nor_speak_for_us(bad):
    s, store, peer = bad
    store.reply = answer("200 OK", "X-Accel-Redirect: /_dir/", "X-Accel-Limit-Rate: 1", "Set-Cookie: a=b", 'ETag: "theirs"', "Cache-Control: public",
                         "Content-Disposition: inline", "Access-Control-Allow-Origin: *", "Content-Security-Policy: none", "X-Amz-Request-Id: 1",
                         "Content-Type: text/plain", body=b"the bytes")
    r = s.get("/files/x/y")
    assert r.status_code == 200 and r.text == "the bytes" and r.headers["ETag"] == TAG
    assert r.headers["Cache-Control"] == "private, no-store" and r.headers["Content-Disposition"] == 'attachment; filename="ours"'
    assert not {"Set-Cookie", "Access-Control-Allow-Origin", "X-Amz-Request-Id"} & set(r.headers)
    assert r.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_the_store_learns_nothing_of_the_caller(bad):
    s, store, peer = bad
    store.reply = answer("200 OK", body=b"")
    store.seen.clear()
    s.get("/files/x/y", headers={"Authorization": "Bearer who", "Cookie": "c=1", "If-None-Match": TAG, "X-Forwarded-For": "9.9.9.9"})
    path, headers = store.seen[-1]
    assert path == f"/{BUCKET}/k?X-Amz-Signature=a" and headers == {"Host": f"127.0.0.1:{store.server_port}"}


def test_a_cut_answer_is_cut_for_the_caller_too(bad):
    s, store, peer = bad
    store.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000
    with pytest.raises(requests.RequestException):
        s.get("/files/x/y")


# ---- TLS ----

@pytest.fixture(scope="module")
def secure(open_dir):
    """A store with a certificate for localhost: (port, its CA)."""
    d = open_dir
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=t",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", d / "key", "-out", d / "ca.pem"], check=True, capture_output=True)
    (d / "ca.pem").chmod(0o644)
    store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    store.seen, store.reply = [], answer("200 OK", body=b"over TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(d / "ca.pem", d / "key")
    store.socket = context.wrap_socket(store.socket, server_side=True)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    yield store, str(d / "ca.pem")
    store.shutdown()
    store.server_close()


@pytest.mark.parametrize("how,code", [("https://localhost:{}", 200), ("localhost:{}", 200), ("https://127.0.0.1:{}", 503), ("system", 503)])
def test_the_stores_certificate_is_checked(secure, how, code):
    store, ca = secure
    extra = {"MINIO_USE_SSL": "true"} if how.startswith("localhost") else {}
    if how != "system":
        extra["AZLON_S3_CA_FILE"] = ca
    else:
        how = "https://localhost:{}"
    s = Stack(MINIO_ENDPOINT=how.format(store.server_port), MINIO_ROOT_USER="u", MINIO_ROOT_PASSWORD="p", **extra)
    peer = None
    store.seen.clear()
    try:
        peer = front(s.start())
        peer.object(f"/{BUCKET}/k?X-Amz-Signature=a")
        r = s.get("/files/x/y")
        assert r.status_code == code, r.text
        if code == 200:
            assert r.text == "over TLS" and store.seen[-1][1] == {"Host": f"localhost:{store.server_port}"}
        else:
            assert not [path for path, _ in store.seen if "Signature=a" in path]
    finally:
        if peer:
            peer.close()
        s.close()


def test_with_the_dir_store_nobody_is_asked():
    s = Stack()
    peer = None
    try:
        peer = front(s.start())
        peer.object(f"/{BUCKET}/k?X-Amz-Signature=a")
        r = s.get("/files/x/y")
        assert r.status_code == 503 and r.json()["code"] == "store"
    finally:
        if peer:
            peer.close()
        s.close()
