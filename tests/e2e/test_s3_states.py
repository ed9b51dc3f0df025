"""States an S3 server and its callers can be in: full, away when we start, behind another password, a
bucket gone; uploads that break off; very many objects; users that are almost the same."""
import hashlib
import io
import json
import os
import pathlib
import shlex
import subprocess
import tarfile
import zipfile

import pytest
import requests
from conftest import example, until
from files_stores import blob_key, bucket_of, plant_run, put_object
from minio_peer import Minio
from s3_checks import LARGE, MIB, SET, SMALL, ask, away, get, half_sent, left, listed, manifests, objects, parts_left, put, stack_on, store_is, sums, told

DISK = 96 * MIB


@pytest.fixture(scope="module")
def small(minio_program, tmp_path_factory):
    """A MinIO on a small disk: a mount that only it and a process that keeps it see."""
    m = Minio(minio_program)
    disk, user = m.dir / "data", [] if os.getuid() == 0 else ["-U"]
    disk.mkdir()
    keeper = subprocess.Popen(["unshare", "-m", *(user and ["-Ur"]), "sh", "-c", f'mount -t tmpfs -o size={DISK},mode=0700 none "$0" && echo it is && exec cat', disk],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        m.mounted = keeper.stdout.readline() == "it is\n"
        if m.mounted:
            m.program = tmp_path_factory.mktemp("small") / "minio"
            m.program.write_text(f"#!/bin/sh\nexec nsenter -t {keeper.pid} -m {' '.join([*user, *(user and ['--preserve-credentials'])])} "
                                 f'{shlex.quote(str(minio_program))} "$@"\n')
            m.program.chmod(0o755)
        yield m.start()
    finally:
        m.close()
        keeper.communicate()


@pytest.fixture(scope="module")
def own(small):
    """A stack on that server."""
    with stack_on(small) as s:
        yield s


@pytest.fixture(scope="module")
def stack(s3_stack, minio):
    """Nothing is broken here."""
    s3_stack.minio = minio
    return s3_stack


# ---- what people must mend ----

def test_a_full_disk_is_told_and_what_is_stored_stays(own, small):
    if not small.mounted:
        pytest.skip("no tmpfs can be mounted here")
    user = "full"
    assert put(own, user, "first", SMALL).ok
    filler = pathlib.Path(f"/proc/{small.pid}/root{small.dir}/data/filler")
    try:
        with open(filler, "wb", buffering=0) as f, pytest.raises(OSError):
            while True:
                f.write(bytes(MIB))
        r = put(own, user, "second", b"little")
        assert away(r, code="store_full") and "full" in r.json()["detail"], r.text
        # MinIO itself does not know why it cannot begin one in parts
        r = put(own, user, "second", LARGE)
        assert away(r, code=r.json()["code"]) and r.json()["code"] in ("store", "store_full")
        assert listed(own, user) == sums({"first": SMALL}) and get(own, user, "first").content == SMALL
    finally:
        filler.unlink()
    until(lambda: put(own, user, "second", LARGE).ok)  # MinIO looks at its disk now and then
    assert listed(own, user) == sums({"first": SMALL, "second": LARGE})
    assert manifests(small, bucket_of(user)) == 1
    assert ask(own, "DELETE", "/files", user).status_code == 204


def test_another_password_is_named_and_the_right_one_taken_at_once(own, small):
    user, right = "locked-out", small.secret
    assert put(own, user, "first", SMALL).ok
    small.stop()
    small.secret = "another-secret-1"
    small.start()
    try:
        with told(own, "MINIO_ROOT_(USER|PASSWORD)"):
            store_is(own, "down")
            for r in (put(own, user, "second", SMALL), ask(own, "GET", SET, user), get(own, user, "first")):
                assert away(r)
    finally:
        small.stop()
        small.secret = right
        small.start()
    store_is(own, "ok")
    assert put(own, user, "second", SMALL).ok
    assert get(own, user, "first").content == SMALL
    for part in ("files", "run_workflow", "worker"):
        assert right not in (own.var / "log" / f"{part}.log").read_text()


def test_a_server_that_is_away_at_the_start_is_waited_for(own, small):
    user = "early"
    assert put(own, user, "first", SMALL).ok
    own.stop()
    small.stop()
    try:
        r = own.control("start")
        assert "the store does not answer" in r.stderr
        with told(own, f"{small.host}"):
            store_is(own, "down")
        assert away(put(own, user, "second", SMALL)) and away(ask(own, "GET", SET, user))
        assert away(ask(own, "POST", "/run_workflow", user, json={**example("human-eval-010"), "mode": "async"}))
    finally:
        small.start()
    store_is(own, "ok")
    assert put(own, user, "second", SMALL).ok
    assert listed(own, user) == sums({"first": SMALL, "second": SMALL})
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_a_bucket_that_somebody_removed_is_made_again(stack, minio):
    user = "no-bucket"
    for body in (SMALL, LARGE):
        assert put(stack, user, "first", SMALL).ok  # the bucket is known now
        s3 = minio.client()
        for key in objects(minio, bucket_of(user)):
            s3.delete_object(Bucket=bucket_of(user), Key=key)
        s3.delete_bucket(Bucket=bucket_of(user))
        assert get(stack, user, "first").status_code == 404 and listed(stack, user) == {}
        assert put(stack, user, "second", body).ok
        assert listed(stack, user) == sums({"second": body}) and get(stack, user, "second").content == body
    assert ask(stack, "DELETE", "/files", user).status_code == 204
    assert bucket_of(user) not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


# ---- uploads that break off ----

@pytest.mark.parametrize("sent,size", [(500, 1000), (7 * MIB, 11 * MIB)], ids=["small", "in parts"])
def test_an_upload_that_is_broken_off_leaves_nothing(stack, minio, sent, size):
    user, known = f"cut-{size}", parts_left(minio)
    assert put(stack, user, "first", SMALL).ok
    before = left(stack, user)
    c, _ = half_sent(stack, user, f"{SET}/second", LARGE[:size], sent)
    c.close()
    assert put(stack, user, "third", SMALL).ok
    assert listed(stack, user) == sums({"first": SMALL, "third": SMALL})
    assert left(stack, user) == before and parts_left(minio) == known  # the same bytes: one blob


@pytest.mark.parametrize("how", ["form", "zip", "tar.gz"])
def test_a_truncated_body_of_many_files_leaves_nothing(stack, minio, how):
    user, known = f"torn-{how}", parts_left(minio)
    assert put(stack, user, "first", SMALL).ok
    before = left(stack, user)
    tree, out, headers = {"a": SMALL, "b": LARGE, "c": SMALL}, io.BytesIO(), {}
    if how == "form":
        form = requests.Request("POST", "http://x/", files=[("files", (k, v)) for k, v in tree.items()]).prepare()
        out.write(form.body)
        headers["Content-Type"] = form.headers["Content-Type"]
    elif how == "zip":
        headers["Content-Type"] = "application/zip"
        with zipfile.ZipFile(out, "w") as z:
            for k, v in tree.items():
                z.writestr(k, v)
    else:
        headers["Content-Type"] = "application/gzip"
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as t:
            for k, v in tree.items():
                info = tarfile.TarInfo(k)
                info.size = len(v)
                t.addfile(info, io.BytesIO(v))
    whole = out.getvalue()
    r = ask(stack, "POST", "/files/inputs", user, data=whole[:-700], headers=headers)
    assert r.status_code == 400, r.text
    assert left(stack, user) == before and parts_left(minio) == known
    r = ask(stack, "POST", "/files/inputs", user, data=whole, headers=headers)
    assert r.status_code == 201 and {f["path"]: f["sha256"] for f in r.json()["files"]} == sums(tree)


# ---- very many ----

def test_two_and_a_half_thousand_are_zipped_and_removed_whole(stack, minio):
    user = "many"
    tree = {f"d{n % 9}/{n:04d}": b"%d" % n for n in range(2500)}
    run = plant_run(stack, user, {})
    # MinIO unpacks an archive into its objects
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for body in tree.values():
            info = tarfile.TarInfo(blob_key(run, body))
            info.size = len(body)
            t.addfile(info, io.BytesIO(body))
    minio.client().put_object(Bucket=bucket_of(user), Key="many.tar", Body=out.getvalue(), Metadata={"snowball-auto-extract": "true"})
    put_object(stack, user, f"{run}/.azlon/manifest", json.dumps({"v": 1, "files": [
        {"path": k, "sha256": hashlib.sha256(tree[k]).hexdigest(), "size": len(tree[k]), "mode": "0644", "modified": "2026-09-21T13:33:20.000Z"}
        for k in sorted(tree)]}).encode())
    assert len(objects(minio, bucket_of(user))) > 2500
    r = ask(stack, "GET", f"/files/{run}?format=zip", user)
    with zipfile.ZipFile(io.BytesIO(r.content)) as z:
        assert z.testzip() is None
        assert {n: z.read(n) for n in z.namelist()} == tree
    assert ask(stack, "DELETE", f"/files/{run}", user).status_code == 204
    assert not [k for k in left(stack, user) if k.startswith(run)]
    assert listed(stack, user) == sums({"seed": b"x"})


# ---- users ----

def test_names_that_only_look_the_same_are_two_users(stack):
    users = ["m\u00e9\u00e9t", "me\u0301e\u0301t", "meet\u200b", "\u043ceet"]
    for u in users:
        assert put(stack, u, "who", u.encode()).ok
    assert [get(stack, u, "who").content for u in users] == [u.encode() for u in users]
    assert ask(stack, "DELETE", "/files", users[0]).status_code == 204
    assert listed(stack, users[0]) == {} and all(listed(stack, u) == sums({"who": u.encode()}) for u in users[1:])


def test_users_that_are_almost_the_same_never_meet(stack, minio):
    users = ["meet", "Meet", "MEET", "mee", "meet1", "meet-", "meet/x", "meet%2Fx", "meet.", "_meet"]
    runs = {}
    for u in users:
        own = {"who": u.encode(), f"of/{len(u)}": b"x"}
        for name, body in own.items():
            assert put(stack, u, name, body).ok, u
        runs[u] = plant_run(stack, u, {"who": u.encode()})
    assert len({bucket_of(u) for u in users}) == len({*runs.values()}) == len(users)
    for u in users:
        assert get(stack, u, "who").content == u.encode() and set(listed(stack, u)) == {"who", f"of/{len(u)}", "seed"}
        assert ask(stack, "GET", f"/files/{runs[u]}/who", u).content == u.encode()
        for other in users:
            if other != u:
                of = runs[other]
                for method, path in (("GET", f"/files/{of}"), ("GET", f"/files/{of}/who"), ("GET", f"/files/{of}?format=zip"),
                                     ("DELETE", f"/files/{of}/who"), ("DELETE", f"/files/{of}")):
                    assert ask(stack, method, path, u).status_code == 404, (method, path, u)
    first, *others = users
    assert ask(stack, "DELETE", f"{SET}/who", first).status_code == 204
    assert ask(stack, "DELETE", "/files", first).status_code == 204
    assert not left(stack, first)
    for u in others:
        assert get(stack, u, "who").content == u.encode() and ask(stack, "GET", f"/files/{runs[u]}/who", u).content == u.encode()
