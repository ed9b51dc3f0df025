"""An S3 server that fails: it is shot, frozen, full, away, behind another password, or answers
nonsense. What was stored stays, what was not is not half there, and callers are told in a sentence."""
import hashlib
import io
import random
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests
from conftest import FULL, RECORDINGS, example, until
from files_stores import blob_key, bucket_of, plant_run
from s3_checks import (  # noqa: F401
    LARGE, MIB, SET, SMALL, ask, away, get, half_sent, left, listed, manifests, parts_left, proxy, put, server, stack_on, sums)
from s3_proxy import Fault
from test_faults import accepting, check_nothing_lost, scripts, under_way
from test_hostile import JUDGE, reply

SHOTS = 20 if FULL else 2
NAP = "3.861397"


@pytest.fixture(scope="module")
def recordings():
    """All of them, and recording/slow: its program sleeps for a while."""
    code = f"import subprocess\nsubprocess.run(['sleep', '{NAP}'])\nprint('fine')\n"
    with scripts("slow", reply(code), JUDGE) as d:
        for f in RECORDINGS.glob("*.jsonl"):
            shutil.copy(f, d)
        yield {"AZLON_RECORDINGS": str(d), "AZLON_RECORD": str(d)}


@pytest.fixture(scope="module")
def direct(server, recordings):  # noqa: F811
    """A stack on that server."""
    with stack_on(server, **recordings) as s:
        yield s


@pytest.fixture(scope="module")
def through(server, proxy):  # noqa: F811
    """A stack on the proxy in front of that server."""
    with stack_on(server, MINIO_ENDPOINT=proxy.host) as s:
        yield s


@pytest.fixture(autouse=True)
def brought_back(server):  # noqa: F811
    """Whatever a test did to it."""
    yield
    server.resume()
    if server.proc.poll() is not None:
        server.start()


@pytest.fixture
def behind(through, proxy):  # noqa: F811
    yield through
    proxy.script()


def slow_run(s, user="alice"):
    return s.start_run({
        "model": "recording/slow", "user_prompt": "Print fine.", "test_conditions": "fine is printed",
        "checks": [{"id": "o", "run": "echo fine", "expect": {"stdout_contains": "fine"}}],
        "limits": {"iterations": 1}}, user=user)


def test_who_asks_for_health_waits_for_no_store_that_hangs(behind, proxy):  # noqa: F811
    def down():
        return behind.get("/run_workflow/health/ready", user=None, timeout=20).json()["down"]

    until(lambda: down() == [])
    proxy.script(Fault("hang", "GET", times=10**6))
    until(lambda: down() == ["store"])
    proxy.script()
    until(lambda: down() == [])


# ---- one fault, then none: over HTTP ----

MANIFEST, BLOB = "/manifest($|[?])", "/blobs/[0-9a-z]{26,64}($|[?])"
HTTP = {  # what a caller does, and the request of ours that is spoilt
    "upload": ("PUT", BLOB), "upload, its manifest": ("PUT", MANIFEST), "list": ("GET", MANIFEST),
    "download": ("GET", BLOB), "delete": ("PUT", MANIFEST), "delete, its blob": ("DELETE|POST", f"{BLOB}|[?&]delete"),
    "zip": ("GET", BLOB),
}
FAULTS = {
    "busy": Fault("status", times=2), "too many": Fault("status", code=429, s3="TooManyRequests"), "internal": Fault("status", code=500, s3="InternalError"),
    "page": Fault("html", code=502), "reset": Fault("reset"), "answer lost": Fault("reset", carried=True), "drip": Fault("drip", n=150),
}
TORN = {"cut": Fault("cut", n=120), "reset inside": Fault("reset", carried=True, n=120), "too short": Fault("length", n=100)}
NONSENSE = {"error in a 200": Fault("error", s3="InternalError"), "illegal": Fault("xml"), "page in a 200": Fault("html", code=200)}


def unzipped(r):
    with zipfile.ZipFile(io.BytesIO(r.content)) as z:
        return {n: z.read(n) for n in z.namelist()} if z.testzip() is None else {}


@pytest.mark.parametrize("fault,what", [pytest.param(f, w, id=f"{w}-{f}") for w in HTTP for f in (
    *FAULTS, *(TORN if w in ("list", "zip", "download") else ()), *(NONSENSE if w == "list" else ()))])
def test_one_fault_is_waited_out_or_told(behind, proxy, fault, what):  # noqa: F811
    user, f = f"{what}-{fault}", {**FAULTS, **TORN, **NONSENSE}[fault]
    tree = {"a": SMALL, "b/c": SMALL[::-1]}
    for name, body in tree.items():
        assert put(behind, user, name, body).status_code in (200, 201)
    run = plant_run(behind, user, tree) if what == "zip" else None
    tree["seed"] = b"x"
    method, path = HTTP[what]
    proxy.script(replace(f, method=method, path=path))
    if what == "download":  # by nginx, which asks once, or again on a connection it kept
        if fault in ("drip", "reset", "answer lost"):
            r = get(behind, user, "a")
            assert r.content == SMALL or fault != "drip" and away(r)
        elif fault in TORN:
            with pytest.raises(requests.RequestException):
                get(behind, user, "a")
        else:
            assert away(get(behind, user, "a"))
    elif what == "zip":
        r = ask(behind, "GET", f"/files/{run}?format=zip", user)
        assert fault == "too short" and away(r) or unzipped(r) == {k: v for k, v in tree.items() if k != "seed"}
    elif what.startswith("upload"):
        tree["new"] = b"new" * 100
        assert put(behind, user, "new", tree["new"]).status_code in (200, 201)
    elif what.startswith("delete"):
        del tree["b/c"]
        assert ask(behind, "DELETE", f"{SET}/b/c", user).status_code == 204
    else:
        r = ask(behind, "GET", SET, user)
        assert r.ok and {x["path"] for x in r.json()["files"]} >= {"a", "b/c"} or fault in (*NONSENSE, "too short") and away(r)
    assert proxy.done[f.what] >= 1
    proxy.script()
    if what != "zip":
        del tree["seed"]
    assert listed(behind, user) == sums(tree)
    assert all(get(behind, user, k).content == v for k, v in tree.items())
    assert manifests(behind.minio, bucket_of(user))


@pytest.mark.parametrize("what", ["upload", "upload, its manifest", "list", "delete", "zip"])
def test_what_stays_is_a_503_and_nothing_is_half_there(behind, proxy, what):  # noqa: F811
    user = f"{what}-stays"
    assert put(behind, user, "a", SMALL).ok
    run, before = plant_run(behind, user, {"a": SMALL}), left(behind, user)
    tree = listed(behind, user)
    method, path = HTTP[what]
    proxy.script(Fault("status", method, path, times=10**6))
    if what == "zip":
        assert away(ask(behind, "GET", f"/files/{run}?format=zip", user))
    else:
        assert away(ask(behind, *{"u": ("PUT", f"{SET}/new"), "l": ("GET", SET), "d": ("DELETE", f"{SET}/a")}[what[0]], user,
                        **({"data": LARGE} if what[0] == "u" else {})))
    proxy.script()
    assert listed(behind, user) == tree and manifests(behind.minio, bucket_of(user))
    assert left(behind, user) == before | {f"{run}/.azlon/manifest"} and not parts_left(behind.minio)


def test_a_wrong_length_breaks_an_archive(behind, proxy):  # noqa: F811
    """The store says an object is shorter than the manifest has it."""
    user = "short"
    run = plant_run(behind, user, {f"{n}": bytes([n]) * 5000 for n in range(1, 9)})
    proxy.script(Fault("length", "GET", blob_key(run, b"\6" * 5000), n=-100, times=10**6))
    with pytest.raises((requests.RequestException, zipfile.BadZipFile)):
        unzipped(ask(behind, "GET", f"/files/{run}?format=zip", user))


# ---- frozen ----

def test_a_frozen_store_delays_and_loses_nothing(behind, proxy):  # noqa: F811
    user = "frozen"
    for name in ("a", "b"):
        assert put(behind, user, name, SMALL).ok
    run = plant_run(behind, user, {"x": SMALL})
    work = {
        "upload": lambda: put(behind, user, "new", LARGE), "download": lambda: get(behind, user, "a"),
        "list": lambda: ask(behind, "GET", f"/files/{run}", user), "zip": lambda: ask(behind, "GET", f"/files/{run}?format=zip", user),
        "delete": lambda: ask(behind, "DELETE", f"{SET}/b", user),
    }
    wid = behind.start_run(example("human-eval-010"))
    proxy.script()
    behind.minio.pause()
    with ThreadPoolExecutor(len(work)) as pool:
        got = {k: pool.submit(f) for k, f in work.items()}
        try:
            until(lambda: proxy.asked() >= len(work))
            if FULL:
                time.sleep(20)
            assert not [k for k, r in got.items() if r.done()]
        finally:
            behind.minio.resume()
        got = {k: r.result() for k, r in got.items()}
    assert {k: r.status_code for k, r in got.items()} == {"upload": 201, "download": 200, "list": 200, "zip": 200, "delete": 204}
    assert got["download"].content == SMALL
    assert listed(behind, user) == sums({"seed": b"x", "a": SMALL, "new": LARGE})
    assert behind.finish(wid)["status"] == "succeeded"
    assert manifests(behind.minio, bucket_of(user)) >= 2 and not parts_left(behind.minio)


# ---- shot ----

def test_shot_before_between_and_after_an_upload(direct):
    user, minio = "shot-upload", direct.minio
    assert put(direct, user, "first", SMALL).ok
    minio.stop()
    for body in (SMALL, LARGE):
        assert away(put(direct, user, "second", body))
    assert away(ask(direct, "GET", SET, user)) and away(ask(direct, "DELETE", f"{SET}/first", user))
    minio.start()
    assert listed(direct, user) == sums({"first": SMALL})
    for body in (SMALL, LARGE):
        assert put(direct, user, "second", body).ok
    minio.stop()  # what was answered is on its disk
    minio.start()
    assert listed(direct, user) == sums({"first": SMALL, "second": LARGE})
    assert get(direct, user, "second").content == LARGE
    assert manifests(minio, bucket_of(user)) == 1


def test_shot_during_an_upload(behind, proxy):  # noqa: F811
    user, minio = "shot-mid-upload", behind.minio
    assert put(behind, user, "first", SMALL).ok
    proxy.script(Fault("hang", "PUT", "partNumber=2"))
    with ThreadPoolExecutor(1) as pool:
        r = pool.submit(put, behind, user, "second", LARGE)
        until(lambda: proxy.done["hang"])
        minio.stop()
        proxy.script()
        assert away(r.result())
    minio.start()
    assert listed(behind, user) == sums({"first": SMALL}) and manifests(minio, bucket_of(user)) == 1
    assert put(behind, user, "second", LARGE).ok
    assert listed(behind, user) == sums({"first": SMALL, "second": LARGE})


def test_a_caller_who_leaves_during_an_upload_leaves_nothing_half_there(behind, proxy):  # noqa: F811
    user, known = "left", parts_left(behind.minio)
    assert put(behind, user, "first", SMALL).ok
    proxy.script(Fault("hang", "PUT", "partNumber=2"))
    c, _ = half_sent(behind, user, f"{SET}/second", LARGE, len(LARGE))
    until(lambda: proxy.done["hang"])
    assert parts_left(behind.minio) - known
    c.close()
    proxy.script()
    until(lambda: not parts_left(behind.minio) - known, 30)
    # a later one waits for the end of it
    assert put(behind, user, "third", SMALL).ok
    assert listed(behind, user) in (sums({"first": SMALL, "third": SMALL}), sums({"first": SMALL, "second": LARGE, "third": SMALL}))
    assert manifests(behind.minio, bucket_of(user)) == 1
    until(lambda: not [k for k in left(behind, user) if "/tmp-" in k])


@pytest.mark.parametrize("path", [BLOB, MANIFEST])
def test_shot_between_the_bytes_and_the_manifest(behind, proxy, path):  # noqa: F811
    """Just before an object is stored, and just after."""
    for carried in (False, True):
        user = f"shot-at-{path}-{carried}"
        assert put(behind, user, "first", SMALL).ok
        proxy.script(Fault("hang", "PUT", path, carried=carried))
        with ThreadPoolExecutor(1) as pool:
            r = pool.submit(put, behind, user, "second", b"second")
            until(lambda: proxy.done["hang"])
            behind.minio.stop()
            proxy.script()
            assert away(r.result())
        behind.minio.start()
        # refused, it may have been carried out; but never in part
        assert listed(behind, user) in [sums({"first": SMALL}), *([sums({"first": SMALL, "second": b"second"})] if carried else [])]
        assert manifests(behind.minio, bucket_of(user)) == 1
        assert put(behind, user, "second", b"second").ok
        assert get(behind, user, "second").content == b"second"


def test_shot_during_a_download(direct):
    user, minio, body = "shot-download", direct.minio, random.Random(3).randbytes(48 * MIB)
    assert put(direct, user, "big", body).ok
    run = plant_run(direct, user, {f"{n}.bin": body[n * MIB:(n + 12) * MIB] for n in (0, 12, 24, 36)})
    for path in (f"{SET}/big", f"/files/{run}?format=zip"):
        with ask(direct, "GET", path, user, stream=True) as r:
            assert r.status_code == 200
            got = [r.raw.read(MIB)]
            minio.stop()
            with pytest.raises(requests.RequestException):
                got += r.iter_content(MIB)
        minio.start()
        if "zip" not in path:
            head = b"".join(got)
            assert body.startswith(head) and len(head) < len(body)
            r = get(direct, user, "big", headers={"Range": f"bytes={len(head)}-", "If-Range": f'"{hashlib.sha256(body).hexdigest()}"'})
            assert r.status_code == 206 and head + r.content == body
    assert ask(direct, "DELETE", "/files", user).status_code == 204


def test_shot_before_during_and_after_a_run(direct):
    user, minio = "shot-run", direct.minio
    assert put(direct, user, "in.txt", SMALL).ok
    minio.stop()
    r = ask(direct, "POST", "/run_workflow", user, json={**example("human-eval-010"), "inputs": ["default"], "mode": "async"})
    assert away(r)
    assert away(ask(direct, "POST", "/run_workflow", "shot-early", json={**example("human-eval-010"), "mode": "async"}))
    minio.start()
    assert direct.get("/run_workflow", user="shot-early").json()["runs"] == []
    run = slow_run(direct, user)
    until(lambda: under_way(NAP.encode()), 60)
    minio.stop()
    until(lambda: not under_way(NAP.encode()), 60)  # and nowhere to put what it printed
    assert ask(direct, "GET", f"/run_workflow/{run}", user).json()["status"] == "running"
    minio.start()
    done = direct.finish(run, user=user)
    assert (done["status"], done["progress"]["iteration"]) == ("succeeded", 1)
    events = [e["type"] for e in direct.events(run, user=user)]
    assert events.count("run.finished") == 1 and events[-1] == "run.finished"
    tree = listed(direct, user, f"/files/{run}")
    minio.stop()
    assert ask(direct, "GET", f"/run_workflow/{run}", user).json()["status"] == "succeeded"
    assert away(ask(direct, "GET", f"/files/{run}?iteration=1", user))  # the final manifest may be remembered
    minio.start()
    assert tree and listed(direct, user, f"/files/{run}") == tree
    assert manifests(minio, bucket_of(user)) >= 3


def test_random_shots_lose_no_run(direct):
    rng = random.Random(20261128)
    with accepting(direct, 6 + SHOTS) as accepted:
        for _ in range(SHOTS):
            time.sleep(rng.uniform(0.05, 0.6))
            direct.minio.stop()
            direct.minio.start()
        until(lambda: len(accepted) >= 5, 60)
    check_nothing_lost(direct, accepted)
    assert manifests(direct.minio, bucket_of("alice")) >= len(accepted)
