"""AZLON_STORE=s3 without an endpoint: the stack brings a MinIO of its own."""
import os
import pathlib
import re
import subprocess

import boto3
import pytest
import requests
from botocore.config import Config

from conftest import BIN, ROOT, Stack, example, free_ports, until
from stack_checks import (  # noqa: F401
    PARTS, as_root, left_in_run, listening, make_run, no_root_and_private, own, owner, place, refused, refused_on_a_port_in_use,
    refused_with_a_broken_server, running, shot_and_launched_again, stopped_with_all)


@pytest.fixture(scope="module")
def trial(minio_program):
    def make(**extra):
        port, page = map(str, free_ports(2))
        return Stack(**{"AZLON_STORE": "s3", "AZLON_MINIO": str(minio_program),
                        "AZLON_MINIO_PORT": port, "AZLON_MINIO_CONSOLE_PORT": page, **extra})

    return make


def server(s):
    return f"http://127.0.0.1:{s.env['AZLON_MINIO_PORT']}"


def client(s):
    """With what the stack tells its user."""
    said = s.control("status").stdout
    user, password = re.search(r"\(user (\S+), password in ([^)]+)\)", said).groups()
    return boto3.client("s3", endpoint_url=server(s), aws_access_key_id=user, aws_secret_access_key=pathlib.Path(password).read_text(),
                        region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))


def test_it_prints_where_the_server_is_and_its_page_answers(own):
    page = f"http://127.0.0.1:{own.env['AZLON_MINIO_CONSOLE_PORT']}/"
    status = own.control("status").stdout
    for text in (own.said, status):
        assert server(own) in text and page in text and "minio.password" in text
    assert status.count("running") == len(PARTS) + 1
    r = requests.get(page, timeout=30)
    assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")


def test_a_run_keeps_its_files_there_and_they_outlive_stop_and_start(own):
    run = own.start_run(example("human-eval-010"))
    assert own.finish(run)["status"] == "succeeded"
    s3 = client(own)
    buckets = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert len(buckets) == 1 and re.fullmatch("azlon-[a-z2-7]{32}", buckets[0])
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=buckets[0])["Contents"]]
    assert keys and all(k.startswith(f"{run}/") for k in keys)
    assert not [p for p in (own.var / "store").rglob("*") if p.is_file()]
    files = own.get(f"/files/{run}").json()["files"]
    stopped_with_all(own, "minio")
    own.start()
    assert own.get(f"/files/{run}").json()["files"] == files
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_a_killed_server_is_launched_again_and_the_rest_stays(own):
    shot_and_launched_again(own, "minio")
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_the_server_is_on_loopback_and_gets_no_keys(own):
    pid = own.pid("minio")
    where = listening(pid)
    assert {p for _, _, p in where} == {int(own.env["AZLON_MINIO_PORT"]), int(own.env["AZLON_MINIO_CONSOLE_PORT"])}
    assert {a for _, a, _ in where} <= {"0100007F", "00000000000000000000000001000000"}, where
    env = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    password = (own.var / "secret/minio.password").read_bytes()
    assert b"canary" not in env and b"AZLON_" not in env and password not in env, env
    assert len(password) >= 32
    sandbox = pathlib.Path(f"/proc/{own.pid('sandbox')}/environ").read_bytes()
    assert b"MINIO_ROOT" not in sandbox and b"minio.password" not in sandbox


@as_root
def test_the_server_is_no_root_and_its_files_are_private(own):
    no_root_and_private(own, "minio")
    assert owner(own.var / "secret/minio.password") == ("azlon", "azlon", 0o600)
    assert owner(own.var / "lock") == ("azlon", "azlon", 0o700)


def test_two_stacks_have_passwords_of_their_own(own, place):
    other = place().start()
    assert (own.var / "secret/minio.password").read_text() != (other.var / "secret/minio.password").read_text()


def test_another_store_ends_the_server(place):
    s = place().start()
    was = s.pid("minio")
    s.env["AZLON_STORE"] = "dir"
    s.start()
    assert not running(was) and not (s.var / "run/minio.pid").exists()
    assert "MinIO" not in s.control("status").stdout
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_an_endpoint_starts_no_server(place, minio):
    s = place(**minio.env, AZLON_MINIO="/nonexistent").start()
    assert not (s.var / "run/minio.pid").exists() and not (s.var / "secret/minio.password").exists()
    assert "MinIO" not in s.control("status").stdout


# ---- clear refusals ----

@pytest.mark.parametrize("name", ["AZLON_MINIO_PORT", "AZLON_MINIO_CONSOLE_PORT"])
def test_a_port_in_use_is_named_and_nothing_is_left_running(place, name):
    refused_on_a_port_in_use(place(), name)


@pytest.mark.parametrize("value", ["0", "x", "65536", "-1"])
def test_what_is_no_port_is_named(place, value):
    refused(place(AZLON_MINIO_PORT=value), "AZLON_MINIO_PORT")


@pytest.mark.parametrize("name,value", [
    ("MINIO_ROOT_USER", "me"), ("MINIO_ROOT_PASSWORD", "secret-secret"), ("MINIO_ROOT_PASSWORD_FILE", "/etc/key"), ("MINIO_USE_SSL", "true")])
def test_half_a_server_is_refused_with_both_ways_out(place, name, value):
    r = refused(place(**{name: value}), name)
    assert "MINIO_ENDPOINT" in r.stderr and "unset" in r.stderr and len(r.stderr.splitlines()) == 1


@pytest.mark.parametrize("name,value,words", [
    ("MINIO_ENDPOINT", "http://minio:9000/bucket", "MINIO_ENDPOINT must be"), ("MINIO_ENDPOINT", "a;b", "MINIO_ENDPOINT must be"),
    ("MINIO_ROOT_PASSWORD", "", "MINIO_ROOT_PASSWORD"), ("USE_EXTERNAL_MINIO", "true", "MINIO_EXTERNAL_ENDPOINT"),
    ("AZLON_S3_CA_FILE", "/nonexistent/ca.pem", "AZLON_S3_CA_FILE"), ("AZLON_QUOTA_FILES", "-1", "AZLON_QUOTA_FILES"),
    ("AZLON_S3_CA_FILE", "/etc/a;b", "paths may not hold")])
def test_wrong_values_stop_the_start_by_name(place, name, value, words):
    s = place(MINIO_ENDPOINT="127.0.0.1:1", MINIO_ROOT_USER="u", MINIO_ROOT_PASSWORD="p")
    s.env[name] = value
    refused(s, words)
    assert not left_in_run(s, ".pid")


def test_a_missing_program_is_named(place):
    refused(place(AZLON_MINIO="/nonexistent/minio"), "AZLON_MINIO")


def test_a_server_that_ends_at_once_is_shown_and_nothing_is_left(place):
    refused_with_a_broken_server(place(), "minio", "AZLON_MINIO", "MinIO does not come up")


def test_a_store_that_is_away_does_not_stop_the_start(place):
    s = place(MINIO_ENDPOINT=f"127.0.0.1:{free_ports(1)[0]}", MINIO_ROOT_USER="u", MINIO_ROOT_PASSWORD="p")
    r = s.control("start")
    assert "the store does not answer" in r.stderr and len(r.stderr.splitlines()) == 1, r.stderr


@pytest.mark.parametrize("endpoint,tls,want", [
    ("minio:9000", "", ("http", "minio:9000", "minio:9000", None)), ("minio:09000", "", ("http", "minio:9000", "minio:9000", None)), ("minio", "", ("http", "minio:80", "minio", None)),
    ("http://minio:80/", "", ("http", "minio:80", "minio", None)), ("https://minio", "", ("https", "minio:443", "minio", "minio")),
    ("minio", "true", ("https", "minio:443", "minio", "minio")), ("https://minio:9000", "", ("https", "minio:9000", "minio:9000", "minio")),
    ("[::1]", "", ("http", "[::1]:80", "[::1]", None)), ("https://[::1]:9000", "", ("https", "[::1]:9000", "[::1]:9000", "::1"))])
def test_nginx_is_told_of_the_endpoint(tmp_path, endpoint, tls, want):
    env = {"PATH": os.environ["PATH"], "AZLON_BIN": str(BIN), "MINIO_ENDPOINT": endpoint, "MINIO_USE_SSL": tls, "MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p"}
    subprocess.run([str(ROOT / "fcgi/spawn/stack.sh"), "conf", str(tmp_path)], env=env, check=True, capture_output=True, timeout=30)
    conf = (tmp_path / "azlon_s3.conf").read_text()
    got = [re.search(p, text) for p, text in ((r"proxy_pass (\w+)://azlon_s3", conf), (r"upstream azlon_s3 +{ server (\S+);", (tmp_path / "azlon_http.conf").read_text()),
                                              (r"proxy_set_header Host (\S+);", conf), (r"proxy_ssl_name (\S+);", conf))]
    assert tuple(m and m[1] for m in got) == want
    assert ("proxy_ssl_verify on;" in conf) == (want[0] == "https") == ('proxy_ssl_trusted_certificate "/' in conf)


# ---- building it ----

def test_a_build_that_fails_says_what_to_do_and_leaves_nothing(tmp_path):
    """No module can be had here: the sentence names the way out, and the next try starts anew."""
    kept = tmp_path / "minio"
    r = subprocess.run([str(ROOT / "fcgi/spawn/setup.sh"), "minio", str(kept)], capture_output=True, text=True, timeout=120,
                       env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "", "GOPROXY": "off", "PIP_INDEX_URL": "http://127.0.0.1:1/",
                            "PIP_NO_INDEX": "1", "PIP_RETRIES": "0"})
    assert r.returncode == 1 and "AZLON_MINIO" in r.stderr and len(r.stderr.splitlines()) <= 25, r.stderr
    assert sorted(p.name for p in kept.iterdir()) == [".lock", "log"]


# as Go names a program: by the end of its module
INSTALL = 'for m; do :; done; m=${m%@*}; mkdir "$GOBIN" && echo program >"$GOBIN/${m##*/}"'


@pytest.fixture
def fake_go(tmp_path):
    """(what setup.sh runs as Go, a function that runs setup.sh with it): it notes every build."""
    d = tmp_path / "path"
    d.mkdir()
    go = d / "go"

    def be(install, version="go1.31.2"):
        go.write_text(f'#!/bin/sh\n[ "$1" != env ] || {{ echo {version}; exit; }}\necho "$*" >>{tmp_path}/builds\n'
                      f'env >{tmp_path}/env\necho $$ >{tmp_path}/pid\n{install}\n')
        go.chmod(0o755)

    def setup(*args, **how):
        return subprocess.Popen([str(ROOT / "fcgi/spawn/setup.sh"), *args], env={"PATH": f"{d}:{os.environ['PATH']}", "HOME": ""},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, **how)

    be(INSTALL)
    return be, setup


def ended(p):
    out, err = p.communicate(timeout=60)
    return p.returncode, out, err


@pytest.mark.parametrize("name,module", [("minio", "github.com/minio/minio"), ("versitygw", "github.com/versity/versitygw/cmd/versitygw")])
def test_it_is_built_once_whoever_asks_and_nothing_else_is_left(fake_go, tmp_path, name, module):
    _, setup = fake_go
    for p in [setup(name, "kept") for _ in range(3)]:
        assert ended(p)[0] == 0
    assert ended(setup(name, "kept")) == (0, "", "")
    builds = (tmp_path / "builds").read_text().splitlines()
    assert len(builds) == 1 and re.fullmatch(rf"install -trimpath -ldflags -s -w {module}@v[0-9a-f.-]+", builds[0])
    assert (tmp_path / "kept/bin" / name).read_text() == "program\n"
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == [".lock", "bin", "log", "version"]
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    inside = {k for k, v in env.items() if v.startswith(f"{tmp_path}/kept/.make-")}
    assert {"HOME", "GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR", "GOBIN"} <= inside and env["CGO_ENABLED"] == "0"


def test_another_version_is_built_anew(fake_go, tmp_path):
    _, setup = fake_go
    assert ended(setup("minio", "kept"))[0] == 0
    (tmp_path / "kept/version").write_text("v0.0.0-other\n")
    assert ended(setup("minio", "kept"))[0] == 0
    assert len((tmp_path / "builds").read_text().splitlines()) == 2


def test_begun_ahead_it_goes_on_for_who_asked_and_ends_with_them(fake_go, tmp_path):
    be, setup = fake_go
    be("exec sleep 600")
    asker = subprocess.Popen(["sleep", "600"])
    try:
        assert ended(setup("minio-ahead", "kept", str(asker.pid)))[:2] == (0, "")
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        build = int((tmp_path / "pid").read_text())
        assert running(build) and os.getpriority(os.PRIO_PROCESS, build) == 19
    finally:
        asker.kill()
        asker.wait()
    until(lambda: not running(build))
    until(lambda: not list((tmp_path / "kept").glob(".make-*")))
    # who comes later builds it
    be(INSTALL)
    assert ended(setup("minio", "kept"))[0] == 0 and (tmp_path / "kept/bin/minio").exists()


def test_an_interrupted_build_leaves_no_process_and_no_files(fake_go, tmp_path):
    be, setup = fake_go
    be("exec sleep 600")
    p = setup("minio", "kept")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    build = int((tmp_path / "pid").read_text())
    p.terminate()
    assert ended(p)[0] != 0
    until(lambda: not running(build))
    assert sorted(f.name for f in (tmp_path / "kept").iterdir()) == [".lock", "log"]


def test_the_example_runs_on_the_store_that_make_was_told(tmp_path):
    got = make_run(tmp_path, "AZLON_STORE=s3", MINIO_ENDPOINT="files.example.org", MINIO_ROOT_PASSWORD="p", AZLON_MINIO_PORT="9100")
    assert got["AZLON_STORE"] == "s3" and got["AZLON_MINIO_PORT"] == "9100" and not [k for k in got if k.startswith("MINIO_")]
    assert make_run(tmp_path, "MINIO_ENDPOINT=m:1", "USE_EXTERNAL_MINIO=true").items() >= {"MINIO_ENDPOINT": "m:1", "USE_EXTERNAL_MINIO": "true"}.items()
