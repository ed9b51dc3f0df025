"""What a user may keep: refused with the numbers, nothing listed, nothing left."""
import io
import os
import zipfile

import pytest

from conftest import example
from files_stores import keys


@pytest.fixture(params=["dir", "s3"])
def small(request, own_stack):
    limits = {"AZLON_QUOTA_BYTES": "3000000", "AZLON_QUOTA_FILES": "8"}
    if request.param == "dir":
        return own_stack(**limits)
    minio = request.getfixturevalue("own_minio")()
    stack = own_stack(**minio.env, **limits)
    stack.minio = minio
    return stack


def put(stack, name, body, user="alice"):
    return stack.request("PUT", f"/files/inputs/default/{name}", user=user, data=body)


def test_bytes(small):
    assert put(small, "a", os.urandom(2_000_000)).status_code == 201
    before = keys(small, "alice")
    r = put(small, "b", os.urandom(2_000_000))
    assert r.status_code == 429, r.text
    doc = r.json()
    assert doc["code"] == "quota" and "3000000" in doc["detail"] and "2000000" in doc["detail"]
    assert r.headers["Retry-After"]
    assert keys(small, "alice") == before
    listed = small.get("/files/inputs/default", user="alice").json()["files"]
    assert [f["path"] for f in listed] == ["a"]
    # each user has a quota of their own; what is removed makes room at once
    assert put(small, "b", os.urandom(2_000_000), user="bob").status_code == 201
    assert small.request("DELETE", "/files/inputs/default/a", user="alice").status_code == 204
    assert put(small, "b", os.urandom(2_000_000)).status_code == 201
    # a new version of a file takes the old one's place
    for _ in range(4):
        assert put(small, "c", os.urandom(400_000)).status_code == 201


def test_midway(small):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
        for i in range(4):
            z.writestr(f"{i}", (b"%d" % i + os.urandom(99)) * 10_000)
    assert len(packed.getvalue()) < 1_000_000
    r = small.post("/files/inputs", user="alice", data=packed.getvalue(),
                   headers={"Content-Type": "application/zip"})
    assert r.status_code == 429 and r.json()["code"] == "quota"
    assert not keys(small, "alice")
    r = small.post("/files/inputs", user="alice",
                   files=[("f", (f"{i}.bin", os.urandom(100))) for i in range(9)])
    assert r.status_code == 429 and "objects" in r.json()["detail"]
    assert not keys(small, "alice")
    assert put(small, "a", b"fits").status_code == 201


def start(stack, user):
    return stack.post("/run_workflow", user=user, json={**example("human-eval-127"), "mode": "async"})


def test_who_is_full_starts_no_run_until_something_is_removed(small):
    names = [f"{i}" for i in range(7)]  # and the list of them
    assert [put(small, n, n.encode()).status_code for n in names] == [201] * 7
    r = start(small, "alice")
    assert r.status_code == 429 and r.json()["code"] == "quota" and r.headers["Retry-After"], r.text
    assert start(small, "bob").status_code == 202
    # by another process than the one that counts
    assert small.request("DELETE", "/files/inputs/default/3", user="alice").status_code == 204
    r = start(small, "alice")
    assert r.status_code == 202, r.text
