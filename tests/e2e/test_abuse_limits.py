"""Each limit to the byte: what is at it is taken, one more is refused, and says so."""
import io
import json
import time
import zipfile

import pytest

from conftest import Stack
from raw_http import answers, request, talk

GOOD = {"user_prompt": "p", "test_conditions": "t", "model": "recording/nothing", "mode": "async"}
USER = "limits"
MIB = 1 << 20


@pytest.fixture(scope="module")
def idle():
    """Nobody works in it: runs are accepted and wait."""
    s = Stack(AZLON_UPLOAD_BYTES=str(MIB))
    try:
        s.start()
        s.kill_and_wait("worker")
        yield s
    finally:
        s.close()


def post(s, body, **headers):
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return s.post("/run_workflow", user=USER, data=data, headers={"Content-Type": "application/json", **headers})


def refused(r, *codes):
    assert r.status_code in (400, 401, 404, 413, 414, 422), (r.status_code, r.text)
    doc = r.json()
    assert doc["status"] == r.status_code and doc["detail"], doc
    assert doc["code"] in codes, doc
    return doc


def filled(n):
    """A create of just n bytes, filled up with what is ignored."""
    body = json.dumps({**GOOD, "x": ""})
    return body[:-2] + "x" * (n - len(body)) + body[-2:]


def test_body_of_a_create(idle):
    at = 256 * 1024
    assert len(filled(at)) == at
    assert post(idle, filled(at)).status_code == 202
    refused(post(idle, filled(at + 1)), "too_large")
    # the same when its size is only known at its end
    for n, status in ((at, 202), (at + 1, 413)):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (filled(n)[i:i + 50000].encode() for i in range(0, n, 50000)))
        sent = request("POST", "/run_workflow", f"X-User-ID: {USER}", "Content-Type: application/json", "Transfer-Encoding: chunked",
                       body=chunks + b"0\r\n\r\n")
        assert answers(talk(idle.port, sent))[0].status == status
    # what a start carries is bounded too: a prompt of that size does not fit through the engine
    r = post(idle, {**GOOD, "user_prompt": "x" * (at - 200)})
    refused(r, "too_large", "unprocessable")
    assert post(idle, {**GOOD, "user_prompt": "x" * (at - 8192)}).status_code == 202


def nested(n):
    """A body in which n values stand inside each other."""
    return json.dumps(GOOD)[:-1] + ',"x":' + "[" * (n - 1) + "]" * (n - 1) + "}"


def test_depth_and_number_of_values(idle):
    assert post(idle, nested(16)).status_code == 202
    refused(post(idle, nested(17)), "malformed", "too_large")
    t = time.monotonic()
    refused(post(idle, nested(100_000)), "malformed", "too_large")
    assert time.monotonic() - t < 1
    # the object, keys and values of GOOD, the list with its key, and what is in it
    fit = 10_000 - 1 - 2 * len(GOOD) - 2
    for n, ok in ((fit, True), (fit + 1, False)):
        r = post(idle, json.dumps(GOOD)[:-1] + ',"x":[' + ",".join("0" * n) + "]}")
        if ok:
            assert r.status_code == 202, r.text
        else:
            refused(r, "malformed", "too_large")


CHECK = {"run": "true"}


@pytest.mark.parametrize("at, over", [
    ({"checks": [CHECK] * 100}, {"checks": [CHECK] * 101}),
    ({"checks": [{"run": ["a"] * 100}]}, {"checks": [{"run": ["a"] * 101}]}),
    ({"checks": [{"run": "a", "timeout_s": 900}]}, {"checks": [{"run": "a", "timeout_s": 901}]}),
    ({"checks": [{"run": "a", "timeout_s": 1}]}, {"checks": [{"run": "a", "timeout_s": 0}]}),
    ({"checks": [{"run": "a", "expect": {"exit": 255}}]}, {"checks": [{"run": "a", "expect": {"exit": 256}}]}),
    ({"checks": [{"http": {"port": 65535}}]}, {"checks": [{"http": {"port": 65536}}]}),
    ({"limits": {"iterations": 100}}, {"limits": {"iterations": 101}}),
    ({"limits": {"iterations": 1}}, {"limits": {"iterations": 0}}),
    ({"limits": {"tokens": 100_000_000}}, {"limits": {"tokens": 100_000_001}}),
    ({"limits": {"wall_s": 604_800}}, {"limits": {"wall_s": 604_801}}),
    ({"limits": {"sandbox_s": 604_800}}, {"limits": {"sandbox_s": 604_801}}),
    ({"model": "recording/" + "m" * 190}, {"model": "recording/" + "m" * 191}),
    ({"network": {"allow": ["a.example"] * 50}}, {"network": {"allow": ["a.example"] * 51}}),
    ({"network": {"allow": ["a" * 253]}}, {"network": {"allow": ["a" * 254]}}),
    ({"metadata": {"k": "v" * 8184}}, {"metadata": {"k": "v" * 8185}}),
    ({"inputs": []}, {"inputs": ["default"] * 101}),
])
def test_members_of_a_create(idle, at, over):
    r = post(idle, {**GOOD, **at})
    assert r.status_code == 202, r.text
    doc = refused(post(idle, {**GOOD, **over}), "unprocessable")
    assert any(next(iter(over)) in map(str, e["loc"]) for e in doc["errors"]), doc


def test_numbers_that_are_none(idle):
    for n in ("1e3", "1.0", "1e400", "9223372036854775808", "-0", "01", "+1", "0x1", "1_0", "NaN", "Infinity", "٣"):
        r = post(idle, json.dumps(GOOD)[:-1] + f',"limits":{{"iterations":{n}}}}}')
        refused(r, "malformed", "unprocessable")


def test_header_of_a_create(idle):
    assert post(idle, GOOD, **{"Idempotency-Key": "k" * 255}).status_code == 202
    refused(post(idle, GOOD, **{"Idempotency-Key": "k" * 256}), "malformed")


def test_user_ids(idle):
    assert idle.get("/run_workflow", user="u" * 128).status_code == 200
    refused(idle.get("/run_workflow", user="u" * 129), "unauthorized")


def test_small_bodies(idle):
    wid = idle.start_run(GOOD, user=USER)
    url = f"/run_workflow/{wid}/cancel"
    head = {"Content-Type": "application/json"}
    refused(idle.post(url, user=USER, data='{"mode":"now"}' + " " * (4097 - 14), headers=head), "too_large")
    assert idle.post(url, user=USER, data='{"mode":"now"}' + " " * (4096 - 14), headers=head).status_code == 202
    for n, ok in ((32 * 1024, True), (32 * 1024 + 1, False)):
        r = idle.post("/run_workflow/prompts", user=USER, json={"generate_code_prompt": "x" * n})
        assert (r.status_code == 200) == ok, r.text
        if not ok:
            refused(r, "unprocessable")


@pytest.mark.parametrize("path, at, over", [
    ("/run_workflow?limit={}", 200, 201), ("/run_workflow?limit={}", 1, 0), ("/files/inputs/default?limit={}", 1000, 1001),
    ("/run_workflow?{}", "&".join(["a=b"] * 64), "&".join(["a=b"] * 65)),
])
def test_queries(idle, path, at, over):
    assert idle.request("PUT", "/files/inputs/default/a", user=USER, data=b"x").status_code == 201
    assert idle.get(path.format(at), user=USER).status_code == 200
    refused(idle.get(path.format(over), user=USER), "malformed", "too_large")


def test_waits(idle):
    wid = idle.start_run(GOOD, user=USER)
    assert idle.get(f"/run_workflow/{wid}?wait=0", user=USER).status_code == 200
    for n in ("86401", "-1", "99999999999999999999", "1.5", "0x1", ""):
        r = idle.get(f"/run_workflow/{wid}?wait={n}", user=USER)
        if n:
            refused(r, "malformed")


def test_lengths_of_names(idle):
    def put(name):
        return idle.request("PUT", f"/files/inputs/default/{name}", user=USER, data=b"x")

    deep = "/".join(["d" * 99] * 9)
    assert len(deep) == 899
    assert put("n" * 255).status_code == 201
    refused(put("n" * 256), "malformed")
    assert put(deep + "e").status_code == 201
    refused(put(deep + "ef"), "malformed")
    # two bytes a character
    assert put("%C3%A9" * 127).status_code == 201
    refused(put("%C3%A9" * 128), "malformed")
    listed = {f["path"] for f in idle.get("/files/inputs/default?limit=1000", user=USER).json()["files"]}
    assert {"n" * 255, deep + "e", "é" * 127} <= listed
    # an address that no name of ours can have
    refused(idle.get("/files/inputs/default/" + "x" * 4074, user=USER), "malformed")
    refused(idle.get("/files/inputs/default/" + "x" * 4075, user=USER), "malformed")


def test_the_address_line(idle):
    """What nginx keeps of a request line, to the byte."""
    line = len("GET / HTTP/1.1\r\n")
    largest = next(n for n in range(16 * 1024, 16 * 1024 - 16, -1)
                   if answers(talk(idle.port, request("GET", "/" + "x" * (n - line))))[0].status == 404)
    assert largest >= 16 * 1024 - 8
    assert answers(talk(idle.port, request("GET", "/" + "x" * (largest + 1 - line))))[0].status == 414


def zipped(n):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("whole.bin", b"z" * n)
    return made.getvalue()


def test_size_of_an_upload(idle):
    url = "/files/inputs/default"
    assert idle.request("PUT", f"{url}/at.bin", user=USER, data=b"x" * MIB).status_code == 201
    for n in (MIB + 1, 2 * MIB, 2 * MIB + 1, 5 * MIB):  # ours, and from 2 MiB on nginx's
        refused(idle.request("PUT", f"{url}/over.bin", user=USER, data=b"x" * n), "too_large")
    assert idle.get(f"{url}/over.bin", user=USER).status_code == 404
    assert len(idle.get(f"{url}/at.bin", user=USER).content) == MIB
    for n, ok in ((MIB, True), (MIB + 1, False)):
        form = idle.post("/files/inputs", user=USER, files={"file": ("form.bin", b"x" * n)})
        whole = idle.post("/files/inputs", user=USER, data=zipped(n), headers={"Content-Type": "application/zip"})
        for r in (form, whole):
            assert (r.status_code == 201) == ok, (n, r.status_code, r.text)
            if not ok:
                refused(r, "too_large")
    # together as well: two files of a form that are larger than one upload may be
    r = idle.post("/files/inputs", user=USER, files=[("file", (f"{i}.bin", b"x" * (MIB // 2 + i))) for i in range(2)])
    refused(r, "too_large")


def test_entries_of_an_archive(idle):
    def archive(n):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as z:
            for i in range(n):
                z.writestr(f"{i}", b"")
        return idle.post("/files/inputs", user=USER, data=made.getvalue(), headers={"Content-Type": "application/zip"})

    r = archive(10_001)
    refused(r, "too_large", "malformed")
    assert archive(10_000).status_code == 201


def test_a_link_lives_no_longer_than_a_week(idle):
    assert idle.request("PUT", "/files/inputs/default/l.txt", user=USER, data=b"x").status_code == 201
    assert idle.post("/files/inputs/default/links", user=USER, json={"path": "l.txt", "ttl_s": 604_800}).status_code == 201
    for ttl in (604_801, 0, -1):
        refused(idle.post("/files/inputs/default/links", user=USER, json={"path": "l.txt", "ttl_s": ttl}), "unprocessable")
