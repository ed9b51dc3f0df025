"""Range, If-Range, If-None-Match and HEAD, whoever moves the bytes."""
import email
import hashlib
import os

import pytest

from conftest import example
from files_stores import files, plant_run  # noqa: F401

BODY = os.urandom(3_000_000)
ODD = "sub dir/ä+b & c=d #1 %41 'q' \"z\" 文字 🎈.bin"


def quoted(path):
    from urllib.parse import quote

    return quote(path)


@pytest.fixture(scope="module")
def url(files):  # noqa: F811
    wid = plant_run(files, "ranger", {"big.bin": BODY, "empty.txt": b"", ODD: BODY[:1000]})
    return f"/files/{wid}"


@pytest.mark.parametrize("spec, start, end", [
    ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=2999990-", 2_999_990, 3_000_000),
    ("bytes=-7", 2_999_993, 3_000_000), ("bytes=2999999-9999999", 2_999_999, 3_000_000),
    ("bytes=-9999999", 0, 3_000_000)])
def test_one_range(files, url, spec, start, end):  # noqa: F811
    r = files.get(f"{url}/big.bin", user="ranger", headers={"Range": spec})
    assert r.status_code == 206
    assert r.content == BODY[start:end]
    assert r.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(BODY)}"
    assert r.headers["ETag"] == f'"{hashlib.sha256(BODY).hexdigest()}"'
    h = files.request("HEAD", f"{url}/big.bin", user="ranger", headers={"Range": spec})
    assert h.status_code == 206 and h.content == b""
    assert h.headers["Content-Range"] == r.headers["Content-Range"]
    assert h.headers["Content-Length"] == str(end - start)


def test_whole_and_head(files, url):  # noqa: F811
    r = files.get(f"{url}/big.bin", user="ranger")
    assert r.status_code == 200 and r.content == BODY
    assert r.headers["Content-Type"] == "application/octet-stream"
    assert r.headers["Cache-Control"] == "private, no-store"
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["Content-Security-Policy"].startswith("sandbox")
    assert r.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert r.headers["Accept-Ranges"] == "bytes"
    assert not [n for n in r.headers if n.lower().startswith(("x-amz", "x-minio", "x-s3", "x-azlon"))]
    h = files.request("HEAD", f"{url}/big.bin", user="ranger")
    assert h.status_code == 200 and h.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Content-Disposition"):
        assert h.headers[name] == r.headers[name]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path, spec, size", [
    ("big.bin", "bytes=3000000-", 3_000_000), ("big.bin", "bytes=-0", 3_000_000),
    ("empty.txt", "bytes=0-", 0), ("empty.txt", "bytes=0-0", 0), ("empty.txt", "bytes=-1", 0)])
def test_range_that_is_not_there(files, url, method, path, spec, size):  # noqa: F811
    r = files.request(method, f"{url}/{path}", user="ranger", headers={"Range": spec})
    assert r.status_code == 416
    assert r.headers["Content-Range"] == f"bytes */{size}"
    if method == "GET":
        assert r.json()["code"] == "bad_range"


def test_empty_file(files, url):  # noqa: F811
    r = files.get(f"{url}/empty.txt", user="ranger")
    assert r.status_code == 200 and r.content == b""
    assert r.headers["Content-Length"] == "0"


def test_several_ranges(files, url):  # noqa: F811
    """All of it, or each of them."""
    r = files.get(f"{url}/big.bin", user="ranger", headers={"Range": "bytes=0-9,100-119"})
    if r.status_code == 200:
        assert r.content == BODY
        return
    assert r.status_code == 206
    kind = r.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges")
    whole = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + r.content)
    parts = whole.get_payload()
    assert [p["Content-Range"] for p in parts] == [
        f"bytes 0-9/{len(BODY)}", f"bytes 100-119/{len(BODY)}"]
    assert BODY[0:10] in r.content and BODY[100:120] in r.content


def test_if_range_both_ways(files, url):  # noqa: F811
    tag = files.request("HEAD", f"{url}/big.bin", user="ranger").headers["ETag"]
    for method in ("GET", "HEAD"):
        same = files.request(method, f"{url}/big.bin", user="ranger",
                             headers={"Range": "bytes=5-9", "If-Range": tag})
        assert same.status_code == 206
        assert same.headers["Content-Range"] == f"bytes 5-9/{len(BODY)}"
        for other in ('"another"', f"W/{tag}"):
            r = files.request(method, f"{url}/big.bin", user="ranger",
                              headers={"Range": "bytes=5-9", "If-Range": other})
            assert r.status_code == 200
            assert r.headers["Content-Length"] == str(len(BODY))
    # a range that cannot be is not even looked at
    r = files.get(f"{url}/big.bin", user="ranger",
                  headers={"Range": "bytes=9999999-", "If-Range": '"another"'})
    assert r.status_code == 200 and r.content == BODY


def test_conditions(files, url):  # noqa: F811
    tag = files.request("HEAD", f"{url}/big.bin", user="ranger").headers["ETag"]
    for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        r = files.get(f"{url}/big.bin", user="ranger", headers={"If-None-Match": value})
        assert r.status_code == 304 and r.headers["ETag"] == tag and r.content == b""
    assert files.get(f"{url}/big.bin", user="ranger",
                     headers={"If-None-Match": '"x"'}).content == BODY
    r = files.get(f"{url}/big.bin", user="ranger", headers={"If-Match": tag, "Range": "bytes=0-4"})
    assert r.status_code == 206 and r.content == BODY[:5]
    r = files.get(f"{url}/big.bin", user="ranger", headers={"If-Match": '"x"'})
    assert r.status_code == 412 and r.json()["code"] == "precondition_failed"


def test_odd_names(files, url):  # noqa: F811
    r = files.get(f"{url}/{quoted(ODD)}", user="ranger")
    assert r.status_code == 200 and r.content == BODY[:1000]
    assert "filename*=UTF-8''" in r.headers["Content-Disposition"]
    part = files.get(f"{url}/{quoted(ODD)}?download=1", user="ranger",
                     headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == BODY[10:20]
    assert part.headers["Content-Disposition"].startswith("attachment")


def test_logs_have_ranges_too(files):  # noqa: F811
    wid = files.start_run(example("human-eval-010"), user="logreader")
    files.finish(wid, user="logreader")
    url = f"/run_workflow/{wid}/iterations/1/logs/stdout"
    whole = files.get(url, user="logreader")
    assert whole.status_code == 200
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    size, tag = len(whole.content), whole.headers["ETag"]
    assert files.get(url, user="logreader", headers={"If-None-Match": tag}).status_code == 304
    r = files.get(url, user="logreader", headers={"Range": f"bytes={size}-"})
    assert r.status_code == 416 and r.headers["Content-Range"] == f"bytes */{size}"
    if size > 3:
        r = files.get(url, user="logreader", headers={"Range": "bytes=1-2", "If-Range": tag})
        assert r.status_code == 206 and r.content == whole.content[1:3]
