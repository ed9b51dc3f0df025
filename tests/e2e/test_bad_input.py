"""Bad input gets a clear error, and nothing is lost or half made."""
import io
import json
import stat
import tarfile
import zipfile

import pytest

from conftest import example

GOOD = {"user_prompt": "p", "test_conditions": "t", "model": "recording/hopeless", "mode": "async"}


def problem(r, status, code=None):
    assert r.status_code == status, (r.status_code, r.text)
    assert r.headers["Content-Type"].startswith("application/problem+json"), r.headers
    body = r.json()
    assert body["status"] == status
    assert isinstance(body["detail"], str) and body["detail"]
    assert body["type"] == f"urn:azlon:problem:{body['code']}"
    assert body["request_id"]
    if code:
        assert body["code"] == code
    return body


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"nonsense", b'{"user_prompt":"a","test_conditions":"b",}',
    b'{"user_prompt":"\xff","test_conditions":"b"}', b'{"user_prompt":"a","user_prompt":"b","test_conditions":"c"}',
    b'{"user_prompt":"a\x00","test_conditions":"c"}', b'{"user_prompt":NaN,"test_conditions":"c"}',
    b'{"a":' + b"[" * 40 + b"]" * 40 + b',"user_prompt":"a","test_conditions":"b"}',
])
def test_malformed_json(stack, text):
    r = stack.post("/run_workflow", data=text, headers={"Content-Type": "application/json"})
    assert r.status_code in (400, 413, 422), (r.status_code, r.text)
    problem(r, r.status_code)


@pytest.mark.parametrize("change, loc", [
    ({"user_prompt": None}, "user_prompt"),
    ({"test_conditions": 7}, "test_conditions"),
    ({"checks": "none"}, "checks"),
    ({"checks": [{"run": 5, "expect": {}}]}, "checks"),
    ({"checks": [{"run": "true", "expect": {"stdout_matches": "("}}]}, "checks"),
    ({"limits": {"iterations": 0}}, "limits"),
    ({"limits": {"iterations": "many"}}, "limits"),
    ({"inputs": ["../x"]}, "inputs"),
    ({"mode": "sometimes"}, "mode"),
])
def test_wrong_types_are_422_and_name_the_place(stack, change, loc):
    body = {**GOOD, **change}
    body = {k: v for k, v in body.items() if v is not None}
    r = stack.post("/run_workflow", json=body)
    errors = problem(r, 422)["errors"]
    assert any(loc in map(str, e["loc"]) for e in errors), errors


def test_missing_prompt_looks_like_the_original(stack):
    r = stack.post("/run_workflow", json={"test_conditions": "t"})
    assert {"loc": ["body", "user_prompt"], "msg": "Field required", "type": "missing"} in problem(r, 422)["errors"]


def test_unknown_members_are_named_not_refused(stack):
    r = stack.post("/run_workflow", json={**GOOD, "colour": "blue"})
    assert r.status_code == 202
    assert any("colour" in w for w in r.json()["warnings"])
    stack.finish(r.json()["workflow_id"])


def test_body_over_the_limit(stack):
    r = stack.post("/run_workflow", json={**GOOD, "user_prompt": "x" * 300_000})
    problem(r, 413)


def test_unknown_routes_and_methods(stack):
    problem(stack.get("/nothing/here"), 404)
    problem(stack.get("/run_workflow/user-alice-1/nothing"), 404)
    r = stack.request("PATCH", "/run_workflow")
    problem(r, 405)
    assert "POST" in r.headers["Allow"]


def test_ids_of_others_are_404_like_absent_ones(stack):
    wid = stack.start_run(example("human-eval-010"), user="owner")
    stack.finish(wid, user="owner")
    absent = wid[:-3] + ("aaa" if wid[-3:] != "aaa" else "bbb")
    for path in ("/run_workflow/{}", "/run_workflow/{}/result", "/run_workflow/{}/events", "/files/{}",
                 "/files/{}/main.py", "/files/{}?format=zip", "/run_workflow/{}/iterations"):
        theirs = problem(stack.get(path.format(wid), user="thief"), 404)
        missing = problem(stack.get(path.format(absent), user="owner"), 404)
        for b in (theirs, missing):
            b.pop("request_id"), b.pop("instance", None)
        assert theirs == missing, path
    assert stack.post(f"/run_workflow/{wid}/cancel", user="thief").status_code == 404
    assert stack.request("DELETE", f"/run_workflow/{wid}", user="thief").status_code == 404
    assert stack.get(f"/run_workflow/{wid}", user="owner").status_code == 200


def test_body_user_must_be_the_caller(stack):
    problem(stack.post("/run_workflow", json={**GOOD, "user_id": "someone"}), 403)


BAD_NAMES = ["../evil", "a/../../evil", "/etc/evil", "a\\b", "a\x01b", "a//b", ".azlon/x", "x" * 300]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_in_uploads_write_nothing(stack, name):
    before = {p for p in (stack.var / "store").rglob("*") if p.is_file()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        z.writestr("good.txt", "fine")
        z.writestr(name, "evil")
    r = stack.post("/files/inputs", user="mallory", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    assert r.status_code in (400, 422), (name, r.status_code, r.text)
    problem(r, r.status_code)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as t:
        info = tarfile.TarInfo(name)
        info.size = 4
        t.addfile(info, io.BytesIO(b"evil"))
    r = stack.post("/files/inputs", user="mallory", data=tar.getvalue(), headers={"Content-Type": "application/gzip"})
    assert r.status_code in (400, 422), (name, r.status_code, r.text)
    after = {p for p in (stack.var / "store").rglob("*") if p.is_file()}
    assert after == before


def test_encoded_traversal_in_paths(stack):
    wid = stack.start_run(example("human-eval-010"))
    stack.finish(wid)
    for path in ("%2e%2e/%2e%2e/secret/azlon.secret", "..%2f..%2fsecret", "a%5cb", "a%01b", ".azlon/request", "%2fetc%2fpasswd"):
        r = stack.http.get(f"{stack.url}/files/{wid}/{path}", headers={"X-User-ID": "alice"})
        assert r.status_code in (400, 404), (path, r.status_code)


def test_zip_bomb_is_refused_whole(stack):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("small.txt", "x")
        z.writestr("bomb.txt", b"\0" * 300_000_000)
    before = {p for p in (stack.var / "store").rglob("*") if p.is_file()}
    r = stack.post("/files/inputs", user="bomber", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    problem(r, r.status_code)
    assert r.status_code in (400, 413)
    assert "bomb.txt" in r.text
    assert {p for p in (stack.var / "store").rglob("*") if p.is_file()} == before


def test_links_in_archives_are_refused(stack):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as t:
        info = tarfile.TarInfo("link")
        info.type = tarfile.SYMTYPE
        info.linkname = "/etc/passwd"
        t.addfile(info)
    r = stack.post("/files/inputs", data=tar.getvalue(), headers={"Content-Type": "application/gzip"})
    problem(r, r.status_code)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        z.writestr(info, "/etc/passwd")
    r = stack.post("/files/inputs", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    problem(r, r.status_code)


def test_forwarding_headers_and_foreign_hosts_are_refused_in_dev(stack):
    for h in ({"X-Forwarded-For": "1.2.3.4"}, {"Host": "azlon.example.com"}):
        r = stack.get("/run_workflow", headers=h)
        assert r.status_code in (401, 403), (h, r.status_code)


def test_nginx_errors_have_the_same_shape_and_cors(stack):
    r = stack.get("/nothing", headers={"Origin": "http://localhost:5173"})
    problem(r, 404)
    assert r.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    r = stack.get("/nothing", headers={"Origin": "http://localhost:5173.evil.com"})
    assert "Access-Control-Allow-Origin" not in r.headers
    pre = stack.request("OPTIONS", "/run_workflow", headers={"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"})
    assert pre.status_code == 204 and pre.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
