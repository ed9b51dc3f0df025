"""Files of runs and input sets over HTTP."""
import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from conftest import example


@pytest.fixture(scope="module")
def run(stack):
    wid = stack.start_run(example("human-eval-010"), user="filer")
    stack.finish(wid, user="filer")
    return wid


def test_files_list_tree_and_drawing(stack, run):
    files = stack.get(f"/files/{run}", user="filer").json()["files"]
    assert {f["path"] for f in files} >= {"Dockerfile", "solution.py"}
    assert not any(".azlon" in f["path"] for f in files)
    for f in files:
        body = stack.get(f"/files/{run}/{f['path']}", user="filer")
        assert body.status_code == 200
        assert hashlib.sha256(body.content).hexdigest() == f["sha256"]
        assert len(body.content) == f["size"]
        assert body.headers["ETag"] == f'"{f["sha256"]}"'
        assert body.headers["X-Content-Type-Options"] == "nosniff"
    drawn = stack.get(f"/files/{run}", user="filer", headers={"Accept": "text/plain"})
    assert drawn.headers["Content-Type"].startswith("text/plain")
    drawn.encoding = "utf-8"
    assert "── solution.py" in drawn.text
    assert stack.get(f"/files/{run}?view=tree", user="filer").json()


def test_files_paging(stack, run):
    whole = [f["path"] for f in stack.get(f"/files/{run}", user="filer").json()["files"]]
    paged, cursor = [], ""
    while True:
        page = stack.get(f"/files/{run}?limit=1&cursor={cursor}", user="filer").json()
        paged += [f["path"] for f in page["files"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert paged == whole


def test_files_range_head_and_conditions(stack, run):
    url = f"/files/{run}/solution.py"
    full = stack.get(url, user="filer")
    etag = full.headers["ETag"]
    part = stack.get(url, user="filer", headers={"Range": "bytes=4-9"})
    assert part.status_code == 206 and part.content == full.content[4:10]
    assert part.headers["Content-Range"] == f"bytes 4-9/{len(full.content)}"
    assert stack.get(url, user="filer", headers={"Range": "bytes=999999-"}).status_code == 416
    assert stack.get(url, user="filer", headers={"If-None-Match": etag}).status_code == 304
    same = stack.get(url, user="filer", headers={"Range": "bytes=0-3", "If-Range": etag})
    assert same.status_code == 206
    other = stack.get(url, user="filer", headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert other.status_code == 200 and other.content == full.content
    head = stack.request("HEAD", url, user="filer")
    assert head.status_code == 200 and head.content == b""
    assert int(head.headers["Content-Length"]) == len(full.content)


@pytest.mark.parametrize("fmt", ["zip", "tar.gz"])
def test_files_archive_holds_the_tree(stack, run, fmt):
    want = {f["path"]: f["sha256"] for f in stack.get(f"/files/{run}", user="filer").json()["files"]}
    r = stack.get(f"/files/{run}?format={fmt}", user="filer")
    assert r.status_code == 200, r.text
    got = {}
    if fmt == "zip":
        with zipfile.ZipFile(io.BytesIO(r.content)) as z:
            assert z.testzip() is None
            got = {n: hashlib.sha256(z.read(n)).hexdigest() for n in z.namelist() if not n.endswith("/")}
    else:
        with tarfile.open(fileobj=io.BytesIO(r.content), mode="r:gz") as t:
            got = {m.name: hashlib.sha256(t.extractfile(m).read()).hexdigest() for m in t if m.isfile()}
    assert got == want


def test_files_archive_of_one_path(stack, run):
    url = f"/files/{run}/solution.py"
    r = stack.get(f"{url}?format=zip", user="filer")
    assert r.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(r.content)) as z:
        assert z.namelist() == ["solution.py"]
        assert z.read("solution.py") == stack.get(url, user="filer").content
    assert stack.get(f"/files/{run}/nowhere?format=zip", user="filer").status_code == 404


def test_inputs_multipart_zip_and_put_read_back(stack):
    body = os.urandom(300_000)
    r = stack.post("/files/inputs", user="up", files=[
        ("file", ("data/one.bin", body)), ("file", ("ümläut ä+b.txt", b"hello"))])
    assert r.status_code in (200, 201), r.text
    sid = r.json()["input_id"]
    one = {f["path"]: f for f in r.json()["files"]}
    path = "one.bin" if "one.bin" in one else "data/one.bin"
    assert one[path]["sha256"] == hashlib.sha256(body).hexdigest()
    assert stack.get(f"/files/inputs/{sid}/{path}", user="up").content == body
    put = stack.request("PUT", f"/files/inputs/{sid}/sub/dir/two.txt", user="up", data=b"two")
    assert put.status_code in (200, 201, 204), put.text
    assert stack.get(f"/files/inputs/{sid}/sub/dir/two.txt", user="up").content == b"two"
    assert stack.get(f"/files/inputs/{sid}/sub/dir/two.txt", user="other").status_code == 404
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/b.txt", "b")
        z.writestr("c.bin", body)
    r = stack.post("/files/inputs", user="up", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    assert {f["path"]: f["size"] for f in r.json()["files"]} == {"a/b.txt": 1, "c.bin": len(body)}
    sid2 = r.json()["input_id"]
    assert stack.request("DELETE", f"/files/inputs/{sid2}", user="up").status_code in (200, 204)
    assert stack.get(f"/files/inputs/{sid2}", user="up").status_code == 404


def test_a_large_upload_comes_back_whole(stack, tmp_path):
    big = tmp_path / "big.bin"
    h = hashlib.sha256()
    with big.open("wb") as f:
        for _ in range(64):
            chunk = os.urandom(1 << 20)
            h.update(chunk)
            f.write(chunk)
    with big.open("rb") as f:
        r = stack.request("PUT", "/files/inputs/default/big.bin", user="large", data=f)
    assert r.status_code in (200, 201, 204), r.text
    back = hashlib.sha256()
    with stack.get("/files/inputs/default/big.bin", user="large", stream=True) as r:
        for chunk in r.iter_content(1 << 20):
            back.update(chunk)
    assert back.digest() == h.digest()


def test_delete_a_file_of_a_finished_run(stack):
    wid = stack.start_run(example("human-eval-010"), user="deleter")
    stack.finish(wid, user="deleter")
    assert stack.request("DELETE", f"/files/{wid}/solution.py", user="deleter").status_code in (200, 204)
    assert stack.get(f"/files/{wid}/solution.py", user="deleter").status_code == 404
    assert stack.get(f"/files/{wid}/Dockerfile", user="deleter").status_code == 200
    assert stack.request("DELETE", "/files", user="deleter").status_code in (200, 204)
    assert stack.get(f"/files/{wid}/Dockerfile", user="deleter").status_code == 404
