"""A run that begins with an iteration of an earlier one: on the embedded engine with files in a
directory, and on a Temporal server with files in MinIO."""

import pytest

from conftest import Stack, until
from files_stores import keys
from scripts import DOCKERFILE, Scripts, reply

USER = "forker"
ONE = "import lib\nprint('one', lib.add(1, 1))\nopen('out' + '.txt', 'w').write('left behind')\n"
LIB = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module", params=["dir", "s3"])
def host(request):
    scripts = Scripts()
    env = {}
    if request.param == "s3":
        minio, temporal = request.getfixturevalue("minio"), request.getfixturevalue("temporal")
        env = {**minio.env, "RESTACK_ENGINE_ADDRESS": temporal.address, "AZLON_RESTACK_ENDPOINTS": "false"}
    s = Stack(**env, **scripts.env)
    s.scripts = scripts
    if request.param == "s3":
        s.minio = minio
    try:
        yield s.start()
    finally:
        s.close()
        scripts.close()


def prints(text):
    return [{"id": "out", "run": "python3 main.py", "expect": {"exit": 0, "stdout_contains": text}}]


def first(host, name, *later, **more):
    """A run of two attempts: lib.py and a wrong main.py, then a right main.py. later: what else the model says."""
    model = host.scripts.add(name, reply({"Dockerfile": DOCKERFILE, "lib.py": LIB, "main.py": ONE}),
                             reply({"main.py": "print('two')\n"}), *(reply(r) for r in later))
    wid = host.start_run({"model": model, "user_prompt": "Print two.", "test_conditions": "", "checks": prints("two"),
                          "limits": {"iterations": 3, "tokens": 77777}, **more}, user=USER)
    run = host.finish(wid, user=USER)
    assert (run["status"], run["progress"]["iteration"]) == ("succeeded", 2), run
    return wid


def fork(host, wid, status=202, user=USER, headers=None, **body):
    r = host.post(f"/run_workflow/{wid}/fork", user=user, json={"mode": "async", **body}, headers=headers or {})
    assert r.status_code == status, (r.status_code, r.text)
    return r


def tree(host, wid, n):
    files = host.get(f"/files/{wid}?iteration={n}", user=USER).json()["files"]
    return {f["path"]: f["sha256"] for f in files}


def test_a_fork_goes_on_from_the_tree_of_an_iteration(host):
    r = host.post("/files/inputs", user=USER, files={"file": ("table.csv", b"a,b\n1,2\n", "text/csv")})
    wid = first(host, "goes-on", {"main.py": "import lib\nprint('three', lib.add(1, 2), open('table.csv').read())\n"},
                inputs=[r.json()["input_id"]])
    # synchronous, as a create is
    r = fork(host, wid, 200, iteration=1, user_prompt="Print three.", checks=prints("three 3 a,b"), mode="sync")
    run = r.json()["run"]
    new = run["workflow_id"]
    assert r.json()["result"] is True and run["progress"]["iteration"] == 1, run
    assert run["forked_from"] == {"workflow_id": wid, "iteration": 1}
    assert (run["limits"]["tokens"], run["limits"]["iterations"]) == (77777, 3)
    assert host.get(f"/run_workflow/{new}", user=USER).json()["forked_from"] == run["forked_from"]
    # what the model saw: the files of that attempt, the wish of now, nothing that the program had made
    asked = host.scripts.asked("goes-on")
    assert len(asked) == 3
    assert "Print three." in asked[2] and "Print two." not in asked[2]
    assert LIB in asked[2] and "print('one'" in asked[2] and "table.csv" in asked[2] and "out.txt" not in asked[2]
    # what it began with is iteration 0, and the first attempt is compared with that
    assert set(tree(host, new, 0)) == {"Dockerfile", "lib.py", "main.py", "table.csv"}
    diff = host.get(f"/run_workflow/{new}/iterations/1/diff", user=USER).text
    assert "\n-print('one', lib.add(1, 1))\n" in diff and "\n+print('three'" in diff and "lib.py" not in diff
    assert {"Dockerfile", "lib.py", "main.py", "table.csv", "out.txt"} == set(tree(host, wid, 1))


def test_it_needs_nothing_of_the_old_run(host):
    """Deleted before the first function of the new one has begun."""
    r = host.post("/files/inputs", user=USER, files={"file": ("in.txt", b"given", "text/plain")})
    wid = first(host, "outlives", {"main.py": "print('again', open('in.txt').read())\n"},
                {"main.py": "print('once more', open('in.txt').read())\n"}, inputs=[r.json()["input_id"]])
    # a worker that is only stopped could keep the journal's lock
    host.kill_and_wait("worker")
    try:
        new = fork(host, wid, iteration=2, checks=prints("again given")).json()["workflow_id"]
        assert host.request("DELETE", f"/run_workflow/{wid}", user=USER).status_code == 204
        assert host.request("DELETE", r.headers["Location"], user=USER).status_code == 204
        assert not [k for k in keys(host, USER) if k.startswith(f"{wid}/")]
    finally:
        host.control("start")
    run = host.finish(new, user=USER)
    assert run["status"] == "succeeded", run
    assert "print('two')" in host.scripts.asked("outlives")[2]
    # a fork of the fork, from what that began with
    last = fork(host, new, iteration=0, checks=prints("once more given")).json()["workflow_id"]
    assert host.request("DELETE", f"/run_workflow/{new}", user=USER).status_code == 204
    assert host.finish(last, user=USER)["status"] == "succeeded"
    assert "print('two')" in host.scripts.asked("outlives")[3]


def test_an_idempotency_key_makes_one(host):
    wid = first(host, "one-key", {"main.py": "print('two')\n"})
    key = {"Idempotency-Key": "fork-1"}
    one = fork(host, wid, headers=key, iteration=1)
    assert "Idempotency-Replayed" not in one.headers
    host.finish(one.json()["workflow_id"], user=USER)
    kept = keys(host, USER)
    two = fork(host, wid, headers=key, iteration=1)
    assert two.headers["Idempotency-Replayed"] == "true"
    assert one.json()["workflow_id"] == two.json()["workflow_id"]
    assert fork(host, wid, 422, headers=key, iteration=2).json()["code"] == "idempotency_mismatch"
    assert host.request("DELETE", f"/run_workflow/{wid}", user=USER).status_code == 204
    assert fork(host, wid, headers=key, iteration=1).json()["workflow_id"] == one.json()["workflow_id"]
    fork(host, wid, 404, iteration=1)
    assert {k for k in kept if not k.startswith(f"{wid}/")} == keys(host, USER)


def test_what_cannot_be_forked(host):
    endless = {"Dockerfile": DOCKERFILE, "main.py": "while True:\n    pass\n"}
    model = host.scripts.add("under-way", reply(endless), reply(endless))
    wid = host.start_run({"model": model, "user_prompt": "Loop.", "test_conditions": "", "checks": prints("x")}, user=USER)
    until(lambda: host.get(f"/run_workflow/{wid}", user=USER).json()["phase"] == "execute", within=60)
    for n in (1, 2):
        r = fork(host, wid, 409, iteration=n)
        assert r.json()["code"] == "not_finished" and r.headers["Retry-After"]
    assert fork(host, wid, 422).json()["errors"] == [{"loc": ["body", "iteration"], "msg": "Field required", "type": "missing"}]
    fork(host, wid, 422, iteration="1")
    fork(host, wid, 404, user="somebody", iteration=1)
    host.post(f"/run_workflow/{wid}/cancel", user=USER, json={"mode": "now"})
    host.finish(wid, user=USER, within=30)
    fork(host, wid, 404, iteration=2)
    # it is not going to change any more
    new = fork(host, wid, iteration=1).json()["workflow_id"]
    assert "main.py" in tree(host, new, 0)
    host.post(f"/run_workflow/{new}/cancel", user=USER, json={"mode": "now"})
    host.finish(new, user=USER, within=30)
