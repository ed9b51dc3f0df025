"""A stack that others may use: users signed in with Firebase, API keys, and everybody who only says so."""
import contextlib
import json
import socket
import threading
import time

import pytest

from conftest import example, made_on_request, until
from identity import PROJECT, KeyServer, SignedInStack, b64, new_key


@pytest.fixture(scope="module")
def keys():
    k = KeyServer()
    yield k
    k.close()


@pytest.fixture(scope="module")
def fb(keys):
    s = SignedInStack(keys)
    try:
        yield s.start()
    finally:
        s.close()


@pytest.fixture
def own():
    yield from made_on_request(SignedInStack)


@pytest.fixture
def own_keys():
    k = KeyServer()
    yield k
    k.close()


def refused(r, code, error=None):
    assert r.status_code == 401, (r.status_code, r.text)
    doc = r.json()
    assert doc["code"] == code and doc["detail"].endswith("."), doc
    challenge = r.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer") and ("error" in challenge) == (error is not None), challenge
    return doc


def test_a_user_from_the_sign_in_to_the_file(fb):
    wid = fb.start_run({**example("human-eval-127"), "user_id": "alice"})
    run = fb.finish(wid)
    assert run["result"] is True and run["user_id"] == "alice"
    listed = fb.get("/run_workflow").json()["runs"]
    assert [r["workflow_id"] for r in listed] == [wid]
    path = fb.get(f"/files/{wid}").json()["files"][0]["path"]
    assert fb.get(f"/files/{wid}/{path}").status_code == 200
    # another user sees nothing of it, whatever the request says
    says = {"X-User-ID": "alice"}
    assert fb.get("/run_workflow", user="bob", headers=says).json()["runs"] == []
    for at in (f"/run_workflow/{wid}", f"/files/{wid}", f"/files/{wid}/{path}", f"/workflow_result/alice/{wid}"):
        assert fb.get(at, user="bob", headers=says).status_code == 404, at
        assert fb.get(at, user=None, headers=says).status_code == 401, at
    r = fb.post("/run_workflow", user="bob", headers=says, json={**example("human-eval-127"), "user_id": "alice"})
    assert r.status_code == 403, r.text
    assert fb.post("/run_workflow", user=None, json={"user_id": "alice"}).status_code == 401


def test_nobody_is_told_so(fb):
    doc = refused(fb.get("/run_workflow", user=None), "unauthorized")
    assert "Bearer" in doc["detail"]
    # nothing of the body is read for it
    r = fb.post("/run_workflow", user=None, data=b"{", headers={"Content-Type": "application/json"})
    refused(r, "unauthorized")
    assert fb.get("/run_workflow/health/ready", user=None).status_code == 200


def bad_tokens(k):
    now = int(time.time())
    good = k.token("alice")
    head, claims, sig = good.split(".")
    rs = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    mine = k.claims("alice")
    text = json.dumps(mine)
    return {
        "none": f"{b64({'alg': 'none', 'kid': 'k1'})}.{claims}.",
        "None": f"{b64({'alg': 'None', 'kid': 'k1'})}.{claims}.",
        "emulator": f"{b64({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
        "HS256": k.sign({**rs, "alg": "HS256"}, mine),
        "RS512": k.sign({**rs, "alg": "RS512"}, mine),
        "no signature": f"{head}.{claims}.",
        "other key": k.token("alice", key=new_key()),
        "no kid": k.sign({"alg": "RS256"}, mine),
        "kid number": k.sign({**rs, "kid": 1}, mine),
        "crit": k.sign({**rs, "crit": ["x"]}, mine),
        "own key": k.sign({**rs, "jku": "http://127.0.0.1:1/k", "kid": "own"}, mine, new_key()),
        "alg twice": k.sign('{"alg":"none","alg":"RS256","kid":"k1"}', mine),
        "sub twice": k.sign(rs, text[:-1] + ',"sub":"bob"}'),
        "not UTF-8": k.sign(rs, text.encode()[:-1] + b',"x":"\xff"}'),
        "trailing": k.sign(rs, text + "{}"),
        "aud": k.token("alice", aud="other"),
        "aud array": k.token("alice", aud=[PROJECT]),
        "custom token": k.token("alice", aud="https://identitytoolkit.googleapis.com/google.identity"),
        "iss slash": k.token("alice", iss=f"https://securetoken.google.com/{PROJECT}/"),
        "iss http": k.token("alice", iss=f"http://securetoken.google.com/{PROJECT}"),
        "cookie": k.token("alice", iss=f"https://session.firebase.google.com/{PROJECT}"),
        "tenant": k.token("alice", firebase={"tenant": "t"}),
        "sub empty": k.token(""),
        "sub number": k.token(7),
        "sub long": k.token("a" * 129),
        "sub none": k.token("alice", sub=None),
        "iat ahead": k.token("alice", iat=now + 300),
        "auth_time ahead": k.token("alice", auth_time=now + 300),
        "exp text": k.token("alice", exp=str(now + 300)),
        "exp float": k.token("alice", exp=now + 300.5),
        "exp none": k.token("alice", exp=None),
        "padded": f"{head}.{claims}.{sig}=",
        "changed": f"{head}.{b64({**mine, 'sub': 'bob'})}.{sig}",
        "five parts": f"{good}.x.y",
        "two parts": f"{head}.{claims}",
        "cut": good[:-1],
        "longer": good + "AA",
        "oversize": good + "A" * 9000,
        "bare": "x",
    }


def test_every_bad_token_is_refused_alike(fb, keys):
    seen = set()
    for name, token in bad_tokens(keys).items():
        r = fb.with_token("GET", "/run_workflow", token)
        if r.status_code == 400 and name == "oversize":  # nginx has limits of its own
            continue
        assert r.status_code == 401, (name, r.status_code, r.text)
        seen.add(refused(r, "token_invalid", error="invalid_token")["detail"])
    assert len(seen) == 1, seen
    now = int(time.time())
    refused(fb.with_token("GET", "/run_workflow", keys.token("alice", exp=now - 61)), "token_expired", error="x")
    assert fb.with_token("GET", "/run_workflow", keys.token("alice", exp=now - 30)).status_code == 200


def test_two_headers_are_no_choice(fb, keys):
    with socket.create_connection(("127.0.0.1", fb.port)) as s:
        s.sendall(f"GET /run_workflow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer "
                  f"{keys.token('alice')}\r\nAuthorization: Bearer {keys.token('bob')}\r\n\r\n".encode())
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    assert got.split()[1] in (b"400", b"401"), got[:200]
    for header in ("Basic YTpi", "Bearer", "Bearer a b", f"Token {keys.token('alice')}"):
        r = fb.get("/run_workflow", user=None, headers={"Authorization": header})
        refused(r, "token_invalid", error="x")
    r = fb.get("/run_workflow", user=None, headers={"Cookie": f"__session={keys.token('alice')}"})
    refused(r, "unauthorized")


def test_keys_change_under_traffic(own, own_keys):
    s = own(own_keys)
    assert s.get("/run_workflow").status_code == 200
    statuses, stop = [], threading.Event()

    def traffic():
        while not stop.is_set():
            kid = "k2" if "k2" in own_keys.keys else "k1"
            r = s.with_token("GET", "/run_workflow", own_keys.token("alice", kid=kid))
            statuses.append(r.status_code)

    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for t in threads:
        t.start()
    until(lambda: len(statuses) > 40)
    own_keys.keys["k2"] = new_key()
    n = len(statuses)
    until(lambda: len(statuses) > n + 80)
    stop.set()
    for t in threads:
        t.join()
    assert set(statuses) == {200}
    # the other processes have it from the file
    asked = own_keys.asked
    r = s.with_token("GET", f"/files/user-alice-1790000000000-{'a' * 26}", own_keys.token("alice", kid="k2"))
    assert r.status_code == 404, r.text
    # a flood of keys that nobody has: no fetch for it within the minute, and others are served
    for i in range(300):
        r = s.with_token("GET", "/run_workflow", own_keys.token("alice", kid=f"u{i}", key=own_keys.keys["k2"]))
        assert r.status_code == 401
    assert s.get("/run_workflow").status_code == 200
    assert own_keys.asked <= asked + 1


def test_without_the_source_of_keys(own, own_keys):
    own_keys.up = False
    s = own(own_keys)
    r = s.get("/run_workflow")
    assert r.status_code == 503 and r.json()["code"] == "identity", r.text
    assert r.headers["Retry-After"] and "WWW-Authenticate" not in r.headers
    # what needs none is answered, and what is no token is no reason to wait
    assert s.get("/run_workflow/health/live", user=None).status_code == 200
    refused(s.get("/run_workflow", user=None), "unauthorized")
    k = s.api_key("alice", "runs:read")["key"]
    assert s.with_token("GET", "/run_workflow", k).status_code == 200
    own_keys.up = True
    until(lambda: s.get("/run_workflow").status_code == 200, within=15, every=0.5)
    # and away again: the stack starts anew and knows its users
    own_keys.up = False
    s.stop()
    s.start()
    assert s.get("/run_workflow").status_code == 200


def scoped(r, scope):
    assert r.status_code == 403, (r.status_code, r.text)
    assert r.json()["code"] == "insufficient_scope" and scope in r.json()["detail"], r.text
    assert "insufficient_scope" in r.headers["WWW-Authenticate"]


def test_api_keys_have_scopes(fb):
    reads = fb.api_key("carol", "runs:read")["key"]
    runs = fb.api_key("carol", "runs:read,runs:write", "--name", "ci")["key"]
    files = fb.api_key("carol", "files:read")["key"]
    both = fb.api_key("carol", "files:read,files:write")["key"]
    body = {**example("human-eval-127"), "mode": "async"}
    assert fb.with_token("GET", "/run_workflow", reads).status_code == 200
    scoped(fb.with_token("POST", "/run_workflow", reads, json=body), "runs:write")
    scoped(fb.with_token("GET", "/files/inputs/default", reads), "files:read")
    scoped(fb.with_token("GET", "/run_workflow", files), "runs:read")
    scoped(fb.with_token("PUT", "/files/inputs/default/a", files, data=b"x"), "files:write")
    r = fb.with_token("POST", "/run_workflow", runs, json=body)
    assert r.status_code == 202 and r.json()["user_id"] == "carol", r.text
    wid = r.json()["workflow_id"]
    assert fb.with_token("PUT", "/files/inputs/default/a", both, data=b"x").status_code == 201
    assert fb.with_token("GET", "/files/inputs/default/a", files).status_code == 200
    # the same user signed in, and no other
    assert fb.finish(wid, user="carol")["result"] is True
    assert fb.get(f"/run_workflow/{wid}", user="alice").status_code == 404
    assert fb.with_token("GET", f"/files/{wid}", files).status_code == 200
    r = fb.with_token("POST", "/run_workflow", runs, json={**body, "user_id": "alice"})
    assert r.status_code == 403 and r.json()["code"] == "forbidden"
    # who may only read must not sign as the server does
    hook = f"/run_workflow/{wid}/webhook"
    assert fb.with_token("GET", hook, reads).json()["key"] is None
    assert len(fb.with_token("GET", hook, runs).json()["key"]) == 64
    # by the program
    ids = [json.loads(line)["workflow_id"] for line in fb.azlon("list", "--json", AZLON_TOKEN=runs).stdout.splitlines()]
    assert ids == [wid]
    listed = {k["name"]: k for k in map(json.loads, fb.azlon("keys", "list", "--json").stdout.splitlines())}
    assert listed["ci"]["used_at"] and listed["ci"]["state"] == "good"


def test_a_stream_ends_with_what_opened_it(fb, keys):
    accept, ended = {"Accept": "text/event-stream"}, []
    with contextlib.ExitStack() as opened:
        def stream(user, token):
            wid = fb.start_run(example("endless"), user=user)
            url, head = f"/run_workflow/{wid}/events", {"Authorization": f"Bearer {token}", **accept}
            r = opened.enter_context(fb.get(url, user=None, headers=head, stream=True))
            assert r.status_code == 200
            lines = r.iter_lines(decode_unicode=True)
            assert next(lines)
            return wid, url, head, lines

        key, good = fb.api_key("erin", "runs:read"), fb.api_key("gina", "all")
        ended = [(stream("erin", key["key"]), "token_invalid"),
                 (stream("fred", keys.token("fred")), "token_invalid"),
                 # 60 s are for clocks that differ
                 (stream("dora", keys.token("dora", exp=int(time.time()) - 45)), "token_expired")]
        goes_on = stream("gina", good["key"])
        fb.azlon("keys", "revoke", key["id"])
        fb.azlon("keys", "sign-out", "fred")
        for (_, url, head, lines), code in ended:
            assert list(lines)[-2] == ": identify again"
            refused(fb.request("GET", url, user=None, headers=head), code, error="x")
        wid, _, _, lines = goes_on
        assert fb.post(f"/run_workflow/{wid}/cancel", user="gina", json={"mode": "now"}).status_code == 202
        assert "event: run.finished" in list(lines)


def test_api_keys_end(fb):
    k = fb.api_key("dave", "all")
    assert fb.with_token("GET", "/run_workflow", k["key"]).status_code == 200
    fb.azlon("keys", "revoke", k["id"])
    refused(fb.with_token("GET", "/run_workflow", k["key"]), "token_invalid", error="x")
    late = fb.api_key("dave", "all", "--days", "1")
    path = fb.var / "auth/keys.json"
    ring = json.loads(path.read_text())
    for one in ring["keys"]:
        if one["id"] == late["id"]:
            one["expires_s"] = int(time.time()) - 1
    path.write_text(json.dumps(ring))
    refused(fb.with_token("GET", "/run_workflow", late["key"]), "token_expired", error="x")
    assert late["key"] not in path.read_text()
    wrong = late["key"][:-1] + ("b" if late["key"][-1] == "a" else "a")
    refused(fb.with_token("GET", "/run_workflow", wrong), "token_invalid", error="x")
    assert fb.azlon("keys", "revoke", "nosuchkey", check=False).returncode == 1
    assert fb.azlon("keys", "create", "--user", "x", check=False).returncode == 2


def test_a_user_is_signed_out(fb, keys):
    assert fb.get("/run_workflow", user="eve").status_code == 200
    fb.azlon("keys", "sign-out", "eve")
    refused(fb.get("/run_workflow", user="eve"), "token_invalid", error="x")
    again = keys.token("eve", auth_time=int(time.time()) + 1)
    assert fb.with_token("GET", "/run_workflow", again).status_code == 200


def test_no_token_is_in_any_log(fb, keys):
    canary = keys.token("frank")
    k = fb.api_key("frank", "runs:read")["key"]
    for path in ("/run_workflow", "/files/health/live", "/run_workflow?token=1"):
        fb.with_token("GET", path, canary)
        fb.with_token("GET", path, canary[:-2])
        fb.with_token("POST", path, k)
    logs = fb.all_logs()
    assert "ev=auth.refused" in logs and "why=signature" in logs
    for secret in (*canary.split("."), k.split("_")[2], "eyJhbGciOi"):
        assert secret not in logs


def test_api_keys_alone(own, own_keys):
    s = own(own_keys, AZLON_IDENTITY="keys", FIREBASE_PROJECT_ID="")
    k = s.api_key("alice", "all")["key"]
    assert s.with_token("GET", "/run_workflow", k).status_code == 200
    refused(s.get("/run_workflow"), "token_invalid", error="x")
    assert own_keys.asked == 0


def test_the_emulator_is_for_this_machine(own, own_keys):
    s = own(own_keys, FIREBASE_PROJECT_ID="demo-azlon", FIREBASE_AUTH_EMULATOR_HOST="127.0.0.1:9099")
    claims = own_keys.claims("alice", aud="demo-azlon", iss="https://securetoken.google.com/demo-azlon")
    token = f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(claims)}."
    assert s.with_token("GET", "/run_workflow", token).status_code == 200
    for header in ({"Host": "azlon.example.org"}, {"X-Forwarded-For": "192.0.2.1"}):
        r = s.get("/run_workflow", user=None, headers={"Authorization": f"Bearer {token}", **header})
        assert r.status_code == 403, r.text
    refused(s.get("/run_workflow"), "token_invalid", error="x")
    assert own_keys.asked == 0


@pytest.mark.parametrize("env, word", [
    ({"FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:9099"}, "demo-"),
    ({"AZLON_FIREBASE_KEYS_URL": "http://keys.example.org/"}, "AZLON_FIREBASE_KEYS_URL"),
    ({"AZLON_IDENTITY": "firebase", "FIREBASE_PROJECT_ID": ""}, "FIREBASE_PROJECT_ID"),
    ({"FIREBASE_PROJECT_ID": "demo-a", "FIREBASE_AUTH_EMULATOR_HOST": "x:1",
      "EXTERNAL_BACKEND_URL": "https://azlon.example.org"}, "EXTERNAL_BACKEND_URL"),
])
def test_half_choices_do_not_start(fb, env, word):
    r = fb.azlon("check-config", check=False, **env)
    assert r.returncode == 78 and word in r.stderr, r.stderr
