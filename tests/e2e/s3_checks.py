"""What the tests of a failing S3 server share: the server, the proxy before it, and what must hold in
it after whatever happened."""
import contextlib
import glob
import hashlib
import http.client
import json
import pathlib
import random
import re

import pytest
import requests

from conftest import Stack, until
from files_stores import bucket_of
from minio_peer import Minio
from s3_proxy import Proxy

MIB = 1 << 20
SMALL, LARGE = random.Random(1).randbytes(1000), random.Random(2).randbytes(11 * MIB)  # one request; in parts
SET = "/files/inputs/default"


@pytest.fixture(scope="module")
def server(minio_program):
    """The module's MinIO, which may be shot."""
    m = Minio(minio_program)
    try:
        yield m.start()
    finally:
        m.close()


@pytest.fixture(scope="module")
def proxy(server):
    p = Proxy(server)
    try:
        yield p
    finally:
        p.close()


@contextlib.contextmanager
def stack_on(minio, **extra):
    s = Stack(**{**minio.env, **extra})
    s.minio = minio
    try:
        yield s.start()
    finally:
        s.close()


# ---- what is in the server ----

def objects(server, bucket):
    """{key: size}; nothing of a bucket that is not there."""
    s3 = server.client()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    try:
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}
    except s3.exceptions.NoSuchBucket:
        return {}


def manifests(server, *buckets):
    """Every manifest (of all buckets) names objects that are there and whole. Returns their number."""
    s3, n = server.client(), 0
    for bucket in buckets or [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        there, whole = objects(server, bucket), set()
        for key in [k for k in there if "/.azlon/" in k and k.endswith("/manifest")]:
            n += 1
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            for f in json.loads(body)["files"]:
                blob = f"{key.split('/.azlon/')[0]}/.azlon/blobs/{f.get('blob', f['sha256'])}"
                assert there.get(blob) == f["size"], (bucket, key, f)
                if blob not in whole:
                    got = s3.get_object(Bucket=bucket, Key=blob)["Body"].read()
                    assert hashlib.sha256(got).hexdigest() == f["sha256"], (bucket, key, f)
                    whole.add(blob)
    return n


def parts_left(server):
    """Multipart uploads that nobody ended; on its disk as it sees it, for MinIO lists only what it remembers."""
    disk = pathlib.Path(f"/proc/{server.pid}/root{server.dir}/data")
    # pathlib's own glob fails when a directory goes while it looks
    return {pathlib.Path(p).parent.name for p in glob.glob(f"{disk}/.minio.sys/multipart/*/*/xl.meta")}


# ---- callers ----

def ask(s, method, path, user, **how):
    """Without the stack's session: that belongs to one thread."""
    return requests.request(method, s.url + path, headers={"X-User-ID": user.encode(), **how.pop("headers", {})}, timeout=90, **how)


def put(s, user, name, body):
    return ask(s, "PUT", f"{SET}/{name}", user, data=body)


def get(s, user, name, **how):
    return ask(s, "GET", f"{SET}/{name}", user, **how)


def listed(s, user, of=SET):
    r = ask(s, "GET", of, user)
    assert r.status_code in (200, 404), r.text
    return {f["path"]: f["sha256"] for f in r.json()["files"]} if r.ok else {}


def sums(tree):
    return {k: hashlib.sha256(v).hexdigest() for k, v in tree.items()}


def left(s, user):
    return set(objects(s.minio, bucket_of(user)))


def away(r, code="store"):
    """Is it a refusal that names the store, and says when to come again, if that alone may help?"""
    problem = r.json() if "problem+json" in r.headers["Content-Type"] else {}
    assert r.status_code == 503 and problem.get("code") == code and "store" in problem["detail"], (r.status_code, r.text)
    assert code != "store" or int(r.headers["Retry-After"]) > 0
    return True


# ---- what the stack says of it ----

def store_is(s, word):
    """Both processes that are asked say so."""
    def said():
        for path in ("/files/health/ready", "/run_workflow/health/ready"):
            r = requests.get(s.url + path, timeout=60)
            if r.json()["parts"]["store"] != word or (r.status_code == 503) != (word == "down"):
                return False
        return True

    until(said, 30)


@contextlib.contextmanager
def told(s, sentence):
    """Within it, both say what is wrong with the store."""
    logs = {part: s.var / "log" / f"{part}.log" for part in ("files", "run_workflow")}
    before = {part: len(f.read_text(errors="replace")) for part, f in logs.items()}
    yield

    def said(part):
        # what was found out a moment ago is told without another look
        requests.get(f"{s.url}/{part}/health/ready", timeout=60)
        new = logs[part].read_text(errors="replace")[before[part]:]
        return any(re.search(sentence, line) for line in re.findall(r"^.* ev=api.dependency .*part=\"?store.*$", new, re.M))

    for part in logs:
        until(lambda p=part: said(p), 30)


def half_sent(s, user, path, body, half, **headers):
    """An upload under way: (its connection, what is still to be sent)."""
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=90)
    c.putrequest("PUT", path)
    for k, v in {"X-User-ID": user, "Content-Length": str(len(body)), **headers}.items():
        c.putheader(k, v)
    c.endheaders(body[:half])
    return c, body[half:]
