"""The start script: twice, side by side, after a crash, as root and not, in odd places."""
import contextlib
import io
import os
import pathlib
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import zipfile

import pytest

from conftest import BIN, ROOT, Stack, example, free_ports, until
from stack_checks import PARTS, as_root, installed, left_in_run, owner, pids, place, refused, running  # noqa: F401


@pytest.fixture(scope="module")
def trial():
    return Stack


# ---- start, stop, repair ----

def test_start_and_stop_twice(place):
    s = place().start()
    first = pids(s)
    s.start()
    assert pids(s) == first
    assert s.control("status").stdout.count("running") == len(PARTS)
    s.stop()
    for p in first.values():
        assert not running(p)
    assert s.control("stop").returncode == 0
    assert s.control("status", check=False).stdout.count("stopped") == len(PARTS)
    assert not left_in_run(s, ".sock", ".pid")


def test_the_path_of_an_ordinary_user_is_enough(place):
    """Debian's has no sbin, and cron's has less; nginx and useradd are there."""
    s = place(PATH="/usr/local/bin:/usr/bin:/bin").start()
    assert s.get("/run_workflow/health/live").status_code == 200
    assert s.control("reload").returncode == 0


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_launched_again_and_the_others_stay(own_part, part):
    s = own_part
    before = pids(s)
    s.kill_and_wait(part)
    assert s.control("status", check=False).returncode == 1
    s.start()
    after = pids(s)
    assert after[part] != before[part]
    assert {k: v for k, v in after.items() if k != part} == {k: v for k, v in before.items() if k != part}
    assert s.get("/run_workflow/health/ready").json()["status"] == "ok"


@pytest.fixture(scope="module")
def own_part():
    s = Stack()
    try:
        yield s.start()
    finally:
        s.close()


def test_a_changed_environment_restarts_and_reaches_the_processes(place):
    s = place().start()
    before = pids(s)
    s.env["AZLON_SYNC_WAIT_S"] = "7"
    s.start()
    after = pids(s)
    assert not set(before.values()) & set(after.values())
    for part in ("run_workflow", "worker"):
        assert b"AZLON_SYNC_WAIT_S=7" in pathlib.Path(f"/proc/{after[part]}/environ").read_bytes().split(b"\0")


def test_the_sandbox_process_gets_no_keys(place):
    s = place(SOME_TOKEN="canary-1", GITHUB_TOKEN="canary-2").start()
    key = (s.var / "secret/replay.key").read_text()
    s.env |= {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"http://127.0.0.1:{s.local_port}/v1", "AZLON_MODEL": "m"}
    s.start()
    env = pathlib.Path(f"/proc/{s.pid('sandbox')}/environ").read_bytes()
    assert b"canary" not in env and b"OPENAI" not in env and key.encode() not in env, env
    assert key.encode() in pathlib.Path(f"/proc/{s.pid('worker')}/environ").read_bytes()


def test_workers_of_a_killed_nginx_do_not_keep_the_ports(place):
    s = place().start()
    s.kill_and_wait("nginx")
    s.stop()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", s.port))


def test_files_of_an_earlier_boot_do_not_matter(place):
    """A pid file may name a process that is now somebody else's."""
    s = place().start()
    s.stop()
    run = s.var / "run"
    other = subprocess.Popen(["sleep", "600"])
    try:
        ticks = pathlib.Path(f"/proc/{other.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        for p in PARTS:
            (run / f"{p}.pid").write_text(str(other.pid))
            (run / f"{p}.start").write_text(ticks)
            (run / f"{p}.sock").write_text("")
        (run / "boot").write_text("00000000-0000-0000-0000-000000000000")
        s.start()
        assert other.poll() is None and other.pid not in pids(s).values()
        # and after a crash, with the pid taken by another since
        s.kill_and_wait("files")
        (run / "files.pid").write_text(str(other.pid))
        s.start()
        s.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_two_stacks_side_by_side(place):
    a, b = place().start(), place().start()
    assert not set(pids(a).values()) & set(pids(b).values())
    wid = a.start_run(example("human-eval-010"))
    assert a.finish(wid)["status"] == "succeeded"
    assert b.get(f"/run_workflow/{wid}").status_code == 404
    assert (a.var / "secret/e2b.key").read_bytes() != (b.var / "secret/e2b.key").read_bytes()
    a.stop()
    assert b.get("/run_workflow/health/ready").json()["status"] == "ok"


def test_a_lost_key_is_made_anew_on_both_sides(place):
    s = place().start()
    s.stop()
    (s.var / "secret/e2b.key").unlink()
    s.start()
    assert (s.var / "secret/e2b.key").read_text() == (s.var / "box/e2b.key").read_text()
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_a_change_of_the_secret(place):
    """As lib/SECURITY.md says."""
    s = place().start()
    again = {"headers": {"Idempotency-Key": "once"}}
    wid = s.start_run(example("human-eval-010"), **again)
    run = s.finish(wid)
    assert s.start_run(example("human-eval-010"), **again) == wid
    path = s.get(f"/files/{wid}").json()["files"][0]["path"]
    link = s.post(f"/files/{wid}/links", json={"path": path}).json()["url"]
    key = s.get(f"/run_workflow/{wid}/webhook").json()["key"]
    assert s.get(link, user=None).status_code == 200
    # the former one beside the new one: all of it holds, and receivers can be given their new key
    secret, also = s.var / "secret/azlon.secret", s.var / "secret/azlon.secret.also"
    secret.rename(also)
    s.control("reload")
    assert s.get(link, user=None).status_code == 200
    assert s.start_run(example("human-eval-010"), **again) == wid
    new_key = s.get(f"/run_workflow/{wid}/webhook").json()["key"]
    new_link = s.post(f"/files/{wid}/links", json={"path": path}).json()["url"]
    assert new_key != key
    # without it
    also.unlink()
    s.control("reload")
    assert s.get(new_link, user=None).status_code == 200
    r = s.get(link, user=None)
    assert r.status_code == 403 and r.json()["code"] == "link_invalid", r.text
    assert s.get(f"/run_workflow/{wid}/webhook").json()["key"] == new_key
    assert s.start_run(example("human-eval-010"), **again) != wid
    assert s.get(f"/run_workflow/{wid}").json()["finished_at"] == run["finished_at"]
    assert s.get(f"/files/{wid}/{path}").status_code == 200


def test_a_model_that_is_down_does_not_stop_the_start(place):
    s = place(OPENAI_BASE_URL=f"http://127.0.0.1:{free_ports(1)[0]}/v1", AZLON_MODEL="m")
    r = s.control("start")
    assert "the model does not answer" in r.stderr and len(r.stderr.splitlines()) == 1, r.stderr
    assert s.get("/run_workflow/health/ready").json()["down"] == ["llm"]
    waiting = s.start_run({"user_prompt": "print 1", "test_conditions": "prints 1"})
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
    assert s.get(f"/run_workflow/{waiting}").json()["status"] in ("queued", "running")
    # what is ours is still waited for
    s.kill_and_wait("worker")
    until(lambda: set(s.get("/run_workflow/health/ready").json()["down"]) == {"llm", "worker"})
    s.start()
    assert s.get("/run_workflow/health/ready").json()["down"] == ["llm"]


# ---- installed ----

def test_an_installed_tree_finds_its_parts(installed, tmp_path):  # noqa: F811
    s = Stack(XDG_STATE_HOME=str(tmp_path))
    del s.env["AZLON_BIN"]
    link = s.dir / "azlon-stack"
    link.symlink_to(installed / "share/azlon/spawn/stack.sh")

    def control(cmd, check=True):
        return subprocess.run([str(link), cmd], env=s.env, check=check, capture_output=True, text=True, timeout=120)

    s.control = control
    try:
        s.start()
        assert pathlib.Path(f"/proc/{s.pid('worker')}/exe").resolve() == installed / "bin/worker"
        assert s.get("/").status_code == 200
        assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
        s.stop()
        del s.env["AZLON_VAR"]
        want = "/var/lib/azlon/stack" if os.getuid() == 0 else str(tmp_path / "azlon")
        assert control("var").stdout.strip() == want
    finally:
        s.env["AZLON_VAR"] = str(s.var)
        s.close()


# ---- clear refusals ----

@pytest.mark.parametrize("name", ["AZLON_PORT", "AZLON_TLS_PORT", "AZLON_LOCAL_PORT"])
def test_a_port_in_use_is_named_and_nothing_is_left_running(place, name):
    s = place()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        s.env[name] = str(taken.getsockname()[1])
        r = refused(s, name)
        assert str(taken.getsockname()[1]) in r.stderr
    assert not left_in_run(s, ".pid")


def test_another_stack_on_the_port_is_no_success(place):
    a, b = place().start(), place()
    b.env["AZLON_PORT"] = a.env["AZLON_PORT"]
    refused(b, "AZLON_PORT")


@pytest.mark.parametrize("value", ["", "x", "0x10", "70000", "-1", "80 81"])
def test_what_is_no_port_is_named(place, value):
    s = place()
    s.env["AZLON_LOCAL_PORT"] = value or " "
    refused(s, "AZLON_LOCAL_PORT")


def test_paths_too_long_for_sockets_are_named(place):
    s = place()
    s.env["AZLON_VAR"] = str(s.dir / ("v" * 100))
    r = refused(s, "AZLON_VAR")
    assert "80" in r.stderr
    s.env["AZLON_VAR"] = str(s.dir) + "/" + "v" * (79 - len(str(s.dir)))
    s.var = pathlib.Path(s.env["AZLON_VAR"])
    s.start()
    assert s.get("/run_workflow").status_code == 200


def test_paths_with_blanks(place):
    s = place()
    s.var = s.dir / "my state é"
    s.env["AZLON_VAR"] = str(s.var)
    s.start()
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"


@pytest.mark.parametrize("name", ["a;b", "a$PATH", "a'b", 'a"b', "a\nb", "a|b", "a{b", "a&b"])
def test_paths_that_would_be_nginx_code_are_refused(place, name):
    s = place()
    s.env["AZLON_VAR"] = str(s.dir / name)
    refused(s, "paths may not hold")


def test_origins_may_be_long_and_are_exact(place):
    origins = [f"https://{'a' * 50}.app.example.org:8443", f"https://{'b' * 63}.{'c' * 63}.example.org", "http://[::1]:8080", "http://a.b"]
    s = place(AZLON_CORS_ORIGINS=", ".join(origins)).start()

    def allowed(origin):
        return s.get("/run_workflow", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")

    assert [allowed(o) for o in origins] == origins
    for other in ("http://axb", "http://a.b.c", "xhttp://a.b", "http://a.b:80", "HTTP://a.b", "null", "http://localhost:3000"):
        assert allowed(other) is None, other


def test_origins_that_no_browser_says_are_named(place):
    s = place(AZLON_CORS_ORIGINS="https://app.example.org/")
    r = refused(s, "AZLON_CORS_ORIGINS")
    assert "nothing behind it" in r.stderr
    assert not left_in_run(s, ".pid")
    r = subprocess.run([BIN / "worker", "--check-config"], env=s.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and "AZLON_CORS_ORIGINS" in r.stderr


def test_what_nginx_refuses_is_refused_before_anything_is_launched(place, open_dir):
    share = open_dir / "share"
    shutil.copytree(ROOT / "nginx", share / "nginx")
    shutil.copytree(ROOT / "tests/recordings", share / "recordings")
    broken = share / "nginx/azlon_page.conf"
    right = broken.read_text()
    s = place(AZLON_SHARE=str(share), AZLON_RECORDINGS=str(share / "recordings"))
    s.start()
    # settings that never came into force are not what processes go on with
    s.env["AZLON_SYNC_WAIT_S"] = "7"
    broken.write_text("no_such_directive;\n")
    refused(s, "nginx refuses its configuration")
    assert not left_in_run(s, ".pid", ".sock")
    broken.write_text(right)
    s.env["AZLON_SYNC_WAIT_S"] = "8"
    s.start()
    assert b"AZLON_SYNC_WAIT_S=8" in pathlib.Path(f"/proc/{s.pid('worker')}/environ").read_bytes().split(b"\0")


def test_a_process_that_cannot_start_is_named(place):
    s = place()
    broken = s.dir / "bin"
    shutil.copytree(BIN, broken / "bin")
    shutil.copytree(BIN.parent / "lib", broken / "lib", symlinks=True)
    shutil.copytree(BIN.parent / "libexec", broken / "libexec")
    (broken / "bin" / "replay").unlink()
    (broken / "bin" / "replay").write_text("#!/bin/sh\necho 'replay: broken on purpose' >&2\nexit 1\n")
    (broken / "bin" / "replay").chmod(0o755)
    s.env["AZLON_BIN"] = str(broken / "bin")
    r = refused(s, "replay ended at once")
    assert "broken on purpose" in r.stderr
    assert not left_in_run(s, ".pid")


# ---- who may read, write, connect ----

def can(user, *command):
    return subprocess.run(["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups", "--", *command],
                          capture_output=True).returncode == 0


PYTHON = "/usr/bin/python3"
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@as_root
def test_started_as_root_nothing_runs_as_root_and_nobody_reads_more_than_needed(place):
    s = place().start()
    wid = s.start_run(example("human-eval-010"))
    s.finish(wid)
    for part in PARTS:
        status = pathlib.Path(f"/proc/{s.pid(part)}/status").read_text()
        uid = int(status.split("Uid:")[1].split()[0])
        want = {"nginx": "azlon-web", "sandbox": "azlon-sandbox"}.get(part, "azlon")
        assert pwd.getpwuid(uid).pw_name == want, part
        for caps in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
            assert int(status.split(f"{caps}:")[1].split()[0], 16) == 0, (part, caps)
    for sock in (s.var / "run").glob("*.sock"):
        user, group, mode = owner(sock)
        assert (group, mode) == ("azlon-web", 0o660) and user == ("azlon-sandbox" if sock.name == "sandbox.sock" else "azlon")
        assert can("azlon-web", PYTHON, "-c", CONNECT, str(sock))
        for user in ("nobody", *({"azlon", "azlon-sandbox"} - {user})):
            assert not can(user, PYTHON, "-c", CONNECT, str(sock)), (user, sock)
    for f in (s.var / "secret").iterdir():
        assert owner(f) == ("azlon", "azlon", 0o600), f
    assert owner(s.var / "box/e2b.key") == ("azlon-sandbox", "azlon-sandbox", 0o600)
    secret = [*(s.var / "secret").iterdir(), *(s.var / "journal").glob("*"), *(p for p in (s.var / "store").rglob("*") if p.is_file()),
              *(s.var / "log").iterdir(), s.var / "tls/ca.key", s.var / "tls/server.key", s.var / "box/e2b.key"]
    assert len(secret) > 10
    for f in secret:
        for user in ("nobody", "azlon-sandbox"):
            if f == s.var / "box/e2b.key" and user == "azlon-sandbox":
                continue
            assert not can(user, "test", "-r", str(f)), (user, f)
        assert f.is_dir() or f.is_socket() or not stat.S_IMODE(f.lstat().st_mode) & 0o007, f
    # nginx reads the bytes of the store, and neither the journal nor a secret
    for f in secret:
        if "/secret/" in str(f) or "/journal/" in str(f) or "/box/" in str(f) or f.name == "ca.key":
            assert not can("azlon-web", "test", "-r", str(f)), f
    # and writes where only it writes
    for d in [s.var, *(p for p in s.var.rglob("*") if p.is_dir())]:
        assert not can("nobody", "test", "-w", str(d)), d
        if can("azlon-web", "test", "-w", str(d)):
            assert (s.var / "nginx" / "tmp") in (d, *d.parents), d


@as_root
def test_root_follows_no_link_that_a_process_planted(place):
    """A sandbox that broke out is azlon-sandbox: the next start must not give it files of root."""
    s = place().start()
    s.stop()
    victim = s.dir / "victim"
    victim.write_text("root's own")
    victim.chmod(0o600)
    plants = {"azlon-sandbox": [s.var / "box/e2b.key"], "azlon": [s.var / "secret/e2b.key", s.var / "secret/replay.key", s.var / "run/fingerprint"],
              "azlon-web": [s.var / "nginx/nginx.conf", s.var / "tls/server.key", s.var / "log/worker.log", s.var / "run/worker.pid"]}
    for user, paths in plants.items():
        for p in paths:
            can(user, "sh", "-c", f"rm -f '{p}'; ln -s '{victim}' '{p}'")
    s.control("start", check=False)
    assert victim.read_text() == "root's own" and owner(victim) == ("root", "root", 0o600)


@as_root
def test_a_tree_that_system_users_cannot_enter_is_copied_to_where_they_can():
    s = Stack()
    name = subprocess.run(["cksum"], input=str(s.dir / "clone").encode(), capture_output=True).stdout.split()[0].decode()
    away = pathlib.Path("/var/lib/azlon") / name
    assert not away.exists()
    try:
        s.dir.chmod(0o700)
        clone = s.dir / "clone"
        for d in ("fcgi", "nginx", "tests/recordings"):
            shutil.copytree(ROOT / d, clone / d)
        out = clone / "build/release"
        shutil.copytree(BIN.parent, out, symlinks=True, ignore=lambda d, names: [n for n in names if n.endswith((".o", ".d", ".a"))])
        s.env = {k: v for k, v in s.env.items() if k not in ("AZLON_BIN", "AZLON_VAR")}

        def control(cmd):
            return subprocess.run([str(clone / "fcgi/spawn/stack.sh"), cmd], env=s.env, check=True, capture_output=True, text=True, timeout=120)

        control("start")
        s.var = away / "var"
        assert control("var").stdout.strip() == str(s.var)
        assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
        assert control("status").stdout.count("running") == len(PARTS)
        before = pids(s)
        control("start")
        assert pids(s) == before
        control("stop")
        assert not left_in_run(s, ".pid")
    finally:
        with contextlib.suppress(Exception):
            control("stop")
        shutil.rmtree(away, ignore_errors=True)
        shutil.rmtree(s.dir, ignore_errors=True)


@as_root
def test_started_as_an_ordinary_user():
    user = f"azlontest{os.getpid()}"
    subprocess.run(["useradd", "-m", user], check=True)
    s = None
    try:
        home = pathlib.Path(pwd.getpwnam(user).pw_dir)
        s = Stack(HOME=str(home))
        shutil.chown(s.dir, user, user)
        shutil.rmtree(s.var)

        def control(cmd, check=True):
            return subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", str(ROOT / "fcgi/spawn/stack.sh"), cmd],
                                  env=s.env, check=check, capture_output=True, text=True, timeout=120)

        s.control = control
        s.start()
        assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
        for part in PARTS:
            assert pathlib.Path(f"/proc/{s.pid(part)}").stat().st_uid == pwd.getpwnam(user).pw_uid
        for p in s.var.rglob("*"):
            if p.is_symlink() or "/box/" in str(p):
                continue
            for other in ("nobody", "azlon"):
                if p.is_socket():
                    assert not can(other, PYTHON, "-c", CONNECT, str(p)), (other, p)
                elif p.is_file() and p.parent.name != "tls":
                    assert not can(other, "test", "-r", str(p)), (other, p)
        assert owner(s.var / "tls/server.key")[2] == 0o600
        # somebody else's stack is left alone
        r = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", str(pwd.getpwnam("nobody").pw_gid), "--clear-groups", "--",
                            str(ROOT / "fcgi/spawn/stack.sh"), "stop"], env=s.env, capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and user in r.stderr
        assert s.get("/run_workflow/health/ready").json()["status"] == "ok"
        s.stop()
    finally:
        if s:
            s.close()
        subprocess.run(["userdel", "-r", "-f", user], capture_output=True)


def test_archives_are_spooled_beneath_the_state(place):
    """/tmp may be memory, and our own TMPDIR is no place for another user's files."""
    s = place(TMPDIR="/nonexistent").start()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as z:
        z.writestr("a/b.txt", "b")
    r = s.post("/files/inputs", data=made.getvalue(), headers={"Content-Type": "application/zip"})
    assert r.status_code == 201 and [f["path"] for f in r.json()["files"]] == ["a/b.txt"], r.text
    assert not list((s.var / "tmp").iterdir())


def test_tempfiles_are_where_they_belong(own_part):
    """Nothing outside AZLON_VAR is left by a run."""
    before = set(os.listdir(tempfile.gettempdir()))
    own_part.finish(own_part.start_run(example("human-eval-010")))
    mine = {n for n in set(os.listdir(tempfile.gettempdir())) - before if n.startswith(("azlon-box", "nginx", "spawn"))}
    assert not mine
