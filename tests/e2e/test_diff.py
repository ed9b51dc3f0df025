"""What an iteration changed: git makes the one tree out of the other with it, on either store."""
import hashlib
import json
import os
import random
import shutil
import subprocess

import pytest

from conftest import example
from files_stores import blob_key, files, put_objects  # noqa: F401

USER = "differ"
WORDS = ["alpha", "beta", "gamma", "", "    return x", "}", "\tindented", "naïve – ünïcödé", "x" * 300, "end\r"]


def plant(host, wid, n, tree):
    """The tree {path: (bytes, mode)} as iteration n of the run."""
    listed = [{"path": p, "sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "mode": mode, "modified": "2026-09-21T13:33:20.000Z"}
              for p, (body, mode) in sorted(tree.items(), key=lambda i: i[0].encode())]
    put_objects(host, USER, {blob_key(wid, body): body for body, _ in tree.values()})
    put_objects(host, USER, {f"{wid}/.azlon/iterations/{n:04d}/manifest": json.dumps({"v": 1, "files": listed}).encode()})


def text(rnd):
    body = "\n".join(rnd.choice(WORDS) for _ in range(rnd.choice([0, 1, 3, 40, 400]))).encode()
    return body + b"\n" if body and rnd.random() < 0.7 else body


def edited(rnd, body):
    lines = body.split(b"\n")
    for _ in range(rnd.choice([1, 1, 2, 9])):
        at = rnd.randrange(len(lines) + 1)
        lines[at:at + rnd.choice([0, 1, 5])] = [rnd.choice(WORDS).encode() for _ in range(rnd.choice([0, 1, 4]))]
    return b"\n".join(lines)


def some_tree(rnd):
    names = ["main.py", "a b.txt", "src/lib.py", "src/deep/er/x.txt", "ü/naïve.md", "tab", "-dash", "a'quote.txt", "#hash", "Dockerfile"]
    return {n: (text(rnd), rnd.choice(["0644", "0755"])) for n in rnd.sample(names, rnd.randrange(2, len(names)))}


def changed(rnd, tree):
    out = dict(tree)
    for path, (body, mode) in tree.items():
        what = rnd.randrange(6)
        if what == 0:
            del out[path]
        elif what < 3:
            out[path] = (edited(rnd, body), mode)
        elif what == 3:
            out[path] = (body, rnd.choice(["0644", "0755"]))
    out["new/one.txt"] = (text(rnd), "0644")
    out["empty"] = (b"", "0755")
    if "tab" in out:  # a file becomes a directory
        del out["tab"]
        out["tab/inside"] = (b"x\n", "0644")
    return out


def write(at, tree):
    for path, (body, mode) in tree.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(body)
        (at / path).chmod(int(mode, 8))


def read(at):
    return {str(p.relative_to(at)): (p.read_bytes(), "0755" if p.stat().st_mode & 0o100 else "0644") for p in at.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def run(files):  # noqa: F811
    wid = files.start_run(example("human-eval-010"), user=USER)
    files.finish(wid, user=USER)
    return wid


def diff(host, wid, n, query="", status=200):
    r = host.get(f"/run_workflow/{wid}/iterations/{n}/diff{query}", user=USER)
    assert r.status_code == status, r.text
    return r


@pytest.mark.parametrize("seed", range(6))
def test_git_apply_makes_the_tree(files, run, tmp_path, seed):  # noqa: F811
    rnd = random.Random(seed)
    old = some_tree(rnd)
    new = changed(rnd, old)
    plant(files, run, 40, old)
    plant(files, run, 41, new)
    for there, back, want in ((41, 40, new), (40, 41, old)):
        at = tmp_path / str(there)
        write(at, old if want is new else new)
        r = diff(files, run, there, f"?against={back}")
        assert r.headers["Content-Type"] == "text/x-diff; charset=utf-8" and "X-Azlon-Cut" not in r.headers
        done = subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], cwd=at, input=r.content, capture_output=True,
                              env={"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path), "HOME": str(tmp_path)}, check=False)
        assert done.returncode == 0, (done.stderr, r.text)
        assert read(at) == want


@pytest.mark.skipif(not shutil.which("patch"), reason="no patch program")
def test_patch_takes_it_too(files, run, tmp_path):  # noqa: F811
    old = {"a.txt": (b"1\n2\n3\n4\n5\n6\n7\n8\n9", "0644"), "b": (b"x\n", "0644")}
    new = {"a.txt": (b"0\n1\n2\n4\n5\n6\n7\n8\n9\n", "0644"), "sub/c": (b"y\n", "0644")}
    plant(files, run, 50, old)
    plant(files, run, 51, new)
    write(tmp_path, old)
    subprocess.run(["patch", "-p1", "-s"], cwd=tmp_path, input=diff(files, run, 51).content, check=True, timeout=20)
    assert read(tmp_path) == new


def test_of_a_real_run(files, run):  # noqa: F811
    r = diff(files, run, 1)
    assert r.text.startswith("diff --git a/") and "new file mode 100644\n--- /dev/null\n+++ b/solution.py\n" in r.text
    assert diff(files, run, 1, "?against=1").text == ""
    head = files.request("HEAD", f"/run_workflow/{run}/iterations/1/diff", user=USER)
    assert head.status_code == 200 and int(head.headers["Content-Length"]) == len(r.content)
    diff(files, run, 99, status=404)
    diff(files, run, 1, "?against=99", status=404)
    diff(files, run, 1, "?against=all", status=400)
    assert files.get(f"/run_workflow/{run}/iterations/1/diff", user="another").status_code == 404


def test_what_is_too_much_is_cut_and_said(files, run):  # noqa: F811
    rnd = random.Random(7)

    def lines(n):
        return "".join(f"{rnd.randrange(10**40):050d}\n" for _ in range(n)).encode()

    old = {f"{i}.txt": (lines(18000), "0644") for i in range(6)} | {"pic": (b"\0\1", "0644"), "z-large": (b"a" * 1_100_000, "0644")}
    new = {f"{i}.txt": (lines(18000), "0644") for i in range(6)} | {"pic": (b"\0\2", "0644"), "z-large": (b"b", "0644")}
    plant(files, run, 60, old)
    plant(files, run, 61, new)
    r = diff(files, run, 61)
    # a busy host may run out of time first
    assert r.headers["X-Azlon-Cut"] in ("size", "time") and len(r.content) <= 4 << 20
    assert r.text.splitlines()[-1].startswith("# and ") and r.text.splitlines()[-1].endswith(" more that differ")
    small = {"pic": old["pic"], "z-large": old["z-large"]}, {"pic": new["pic"], "z-large": new["z-large"]}
    plant(files, run, 70, small[0])
    plant(files, run, 71, small[1])
    r = diff(files, run, 71)
    assert r.headers["X-Azlon-Cut"] == "size"
    assert "Binary files a/pic and b/pic differ\n" in r.text and "Files too large to show a/z-large and b/z-large differ\n" in r.text
