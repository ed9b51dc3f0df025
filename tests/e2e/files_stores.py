"""What the tests of files share: the stores they run on, and a hand inside them."""
import base64
import hashlib
import json
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(scope="module", params=["dir", "s3"])
def files(request):
    """A stack on each store."""
    if request.param == "dir":
        return request.getfixturevalue("stack")
    stack = request.getfixturevalue("s3_stack")
    stack.minio = request.getfixturevalue("minio")
    return stack


def bucket_of(user):
    tag = base64.b32encode(hashlib.sha256(user.encode()).digest()[:20]).decode().lower()
    return f"azlon-{tag}"


def s3_of(stack):
    """A client of the store itself, or None."""
    if not hasattr(stack, "minio"):
        return None
    if not hasattr(stack, "s3"):
        stack.s3 = stack.minio.client(max_pool_connections=8)  # made once: it costs more than a request
    return stack.s3


def put_object(stack, user, key, body):
    s3 = s3_of(stack)
    if s3:
        s3.put_object(Bucket=bucket_of(user), Key=key, Body=body)
        return
    root = stack.var / "store" / bucket_of(user)
    owner = root.stat()
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    # the stack may run as somebody else
    for made in (path, *path.parents):
        if made == root:
            break
        os.chown(made, owner.st_uid, owner.st_gid)


def put_objects(stack, user, objects):
    with ThreadPoolExecutor(8 if s3_of(stack) else 1) as pool:
        list(pool.map(lambda o: put_object(stack, user, *o), objects.items()))


def delete_object(stack, user, key):
    s3 = s3_of(stack)
    if s3:
        s3.delete_object(Bucket=bucket_of(user), Key=key)
    else:
        (stack.var / "store" / bucket_of(user) / key).unlink()


def keys(stack, user):
    """Every object of a user."""
    s3 = s3_of(stack)
    if s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket_of(user))
        try:
            return {o["Key"] for page in pages for o in page.get("Contents", [])}
        except s3.exceptions.NoSuchBucket:
            return set()
    root = stack.var / "store" / bucket_of(user)
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def blob_key(wid, body):
    return f"{wid}/.azlon/blobs/{hashlib.sha256(body).hexdigest()}"


def plant_run(stack, user, tree):
    """A finished run of which only the files are left: {path: bytes}."""
    # the bucket is made by the first upload
    assert stack.request("PUT", "/files/inputs/default/seed", user=user, data=b"x").ok
    tail = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))
    name = user if re.fullmatch(r"[A-Za-z0-9_]{1,31}", user) else bucket_of(user)[6:]
    wid = f"user-{name}-1790000000000-{tail}"
    put_objects(stack, user, {blob_key(wid, body): body for body in tree.values()})
    put_object(stack, user, f"{wid}/.azlon/manifest", json.dumps({"v": 1, "files": [
        {"path": p, "sha256": hashlib.sha256(tree[p]).hexdigest(), "size": len(tree[p]),
         "mode": "0644", "modified": "2026-09-21T13:33:20.000Z"}
        for p in sorted(tree, key=str.encode)]}).encode())
    return wid
