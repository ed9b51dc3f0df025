"""A body of several parts: an S3 names it before its digest is known, so it has a name of its own."""
import hashlib
import io
import random
import zipfile

import pytest

from files_stores import files, keys, s3_of  # noqa: F401

USER = "long"
SET = "/files/inputs/default"
BODY = random.Random(12).randbytes(12_000_000)
OTHER = random.Random(13).randbytes(7_000_000)


def put(files, name, body):
    r = files.request("PUT", f"{SET}/{name}", user=USER, data=body)
    assert r.ok, r.text
    return r


def blobs(files):
    return {k for k in keys(files, USER) if "/.azlon/blobs/" in k}


@pytest.fixture
def clean(files):
    yield
    assert files.request("DELETE", "/files", user=USER).status_code in (204, 404)


def test_served_whole_in_ranges_and_packed(files, clean):
    put(files, "a/long.bin", BODY)
    sha = hashlib.sha256(BODY).hexdigest()
    r = files.get(f"{SET}/a/long.bin", user=USER)
    assert r.content == BODY and r.headers["ETag"] == f'"{sha}"'
    r = files.get(f"{SET}/a/long.bin", user=USER, headers={"Range": "bytes=5242870-5242899"})
    assert r.status_code == 206 and r.content == BODY[5242870:5242900]
    names = blobs(files)
    assert len(names) == 1
    # by its digest where the store can rename, else not
    assert names.pop().endswith(sha) == (s3_of(files) is None)


def test_the_same_again_and_another_leave_one_object_each(files, clean):
    put(files, "long.bin", BODY)
    put(files, "long.bin", BODY)
    assert len(blobs(files)) == 1
    put(files, "long.bin", OTHER)
    assert len(blobs(files)) == 1
    assert files.get(f"{SET}/long.bin", user=USER).content == OTHER
    put(files, "second.bin", OTHER)
    assert files.request("DELETE", f"{SET}/long.bin", user=USER).status_code == 204
    assert files.get(f"{SET}/second.bin", user=USER).content == OTHER
    assert files.request("DELETE", f"{SET}/second.bin", user=USER).status_code == 204
    assert not blobs(files)


def test_a_zip_with_it_becomes_a_set_and_goes_whole(files, clean):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("d/long.bin", BODY)
        z.writestr("d/short.txt", "short")
    r = files.request("POST", "/files/inputs", user=USER, data=packed.getvalue(), headers={"Content-Type": "application/zip"})
    assert r.status_code == 201, r.text
    made = r.json()["input_id"]
    assert files.get(f"/files/inputs/{made}/d/long.bin", user=USER).content == BODY
    assert files.request("DELETE", f"/files/inputs/{made}/d", user=USER).status_code == 204
    assert not blobs(files)
