"""The weather example with its files in a real MinIO: what came of it is read over HTTP, and by
boto3 as somebody with S3 tools would."""
import csv
import hashlib
import io
import zipfile

import pytest

from conftest import RECORDINGS, example
from files_stores import bucket_of
from test_runs import expected_months, upload_weather

USER = "s3-weather"


@pytest.fixture(scope="module")
def run(s3_stack):
    s = s3_stack
    wid = s.start_run({**example("weather"), "inputs": [upload_weather(s, user=USER)]}, user=USER)
    return wid, s.finish(wid, user=USER)


@pytest.fixture(scope="module")
def files(s3_stack, run):
    return s3_stack.get(f"/files/{run[0]}", user=USER).json()["files"]


def test_the_run_succeeds_and_its_numbers_are_exact(s3_stack, run):
    wid, done = run
    assert done["status"] == "succeeded" and done["result"] is True and done["progress"]["iteration"] == 2, done
    assert all(c["status"] == "pass" for c in done["checks"]), done["checks"]
    rows = list(csv.DictReader(io.StringIO(s3_stack.get(f"/files/{wid}/summary.csv", user=USER).text)))
    want = expected_months()
    assert [r["month"] for r in rows] == list(want)
    for r in rows:
        days, rain, high = want[r["month"]]
        assert (int(r["days"]), r["precipitation"], float(r["temp_max"])) == (days, f"{rain:.1f}", high)


def test_the_failure_of_the_first_program_is_kept(s3_stack, run):
    log = s3_stack.get(f"/run_workflow/{run[0]}/iterations/1/logs/stderr", user=USER)
    assert log.status_code == 200 and "ValueError: Invalid isoformat string: '2012/01/01'" in log.text


def test_every_file_comes_back_with_its_bytes_and_its_tag(s3_stack, run, files):
    assert {"summary.csv", "seattle-weather.csv"} <= {f["path"] for f in files}
    for f in files:
        url = f"/files/{run[0]}/{f['path']}"
        r = s3_stack.get(url, user=USER)
        assert r.status_code == 200 and len(r.content) == f["size"], (f, r.status_code)
        assert hashlib.sha256(r.content).hexdigest() == f["sha256"]
        assert r.headers["ETag"] == f'"{f["sha256"]}"' and r.headers["Accept-Ranges"] == "bytes"
        assert r.headers["X-Content-Type-Options"] == "nosniff" and r.headers["Content-Disposition"]
        assert not [h for h in r.headers if h.lower().startswith(("x-amz", "x-minio"))]
        head = s3_stack.request("HEAD", url, user=USER)
        assert head.status_code == 200 and not head.content
        for h in ("ETag", "Content-Length", "Content-Type", "Content-Disposition", "Accept-Ranges"):
            assert head.headers[h] == r.headers[h], h
    body = s3_stack.get(f"/files/{run[0]}/seattle-weather.csv", user=USER).content
    assert body == (RECORDINGS / "weather/seattle-weather.csv").read_bytes()


def test_ranges_and_conditions_are_weighed_against_our_tag(s3_stack, run):
    url = f"/files/{run[0]}/seattle-weather.csv"
    body = (RECORDINGS / "weather/seattle-weather.csv").read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()}"'

    def ask(**headers):
        return s3_stack.get(url, user=USER, headers={k.replace("_", "-"): v for k, v in headers.items()})

    for text, want in (("bytes=0-0", body[:1]), ("bytes=100-199", body[100:200]), ("bytes=-10", body[-10:]), ("bytes=500-", body[500:]),
                       ("bytes=0-99999999", body)):
        r = ask(Range=text)
        assert (r.status_code, r.content) == (206, want), text
        start = len(body) - 10 if text == "bytes=-10" else int(text[6:].split("-")[0])
        assert r.headers["Content-Range"] == f"bytes {start}-{start + len(want) - 1}/{len(body)}" and r.headers["ETag"] == tag
    r = ask(Range=f"bytes={len(body)}-")
    assert r.status_code == 416 and r.headers["Content-Range"] == f"bytes */{len(body)}"
    assert (ask(Range="bytes=0-9", If_Range=tag).status_code, ask(Range="bytes=0-9", If_Range='"other"').content) == (206, body)
    assert ask(If_None_Match=tag).status_code == 304 and ask(If_None_Match='"other"').content == body
    assert ask(If_Match='"other"').status_code == 412 and ask(If_Match=tag).content == body


def test_the_zip_holds_the_tree(s3_stack, run, files):
    r = s3_stack.get(f"/files/{run[0]}?format=zip", user=USER)
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(r.content)) as z:
        assert z.testzip() is None
        got = {n: hashlib.sha256(z.read(n)).hexdigest() for n in z.namelist() if not n.endswith("/")}
    assert got == {f["path"]: f["sha256"] for f in files}


def test_people_with_s3_tools_find_the_final_tree(minio, run, files):
    s3 = minio.client()
    for f in files:
        body = s3.get_object(Bucket=bucket_of(USER), Key=f"{run[0]}/{f['path']}")["Body"].read()
        assert hashlib.sha256(body).hexdigest() == f["sha256"], f["path"]


def test_nobody_else_sees_them(s3_stack, run, files):
    for user in ("s3-weathe", "s3-weather2", "S3-Weather", "mallory"):
        for path in (f"/files/{run[0]}", f"/files/{run[0]}/{files[0]['path']}", f"/files/{run[0]}?format=zip"):
            assert s3_stack.get(path, user=user).status_code == 404, (user, path)
