"""docker/ without an engine: what server.sh chooses and refuses, what the compose file lets out and in,
whether the Dockerfile names what is there. What a container then does is tried in test_docker_run.py."""
import json
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest
from e2b_dockerfile_utils import PatternMatcher

from compose_file import COMPOSE, DOCKER, Dockerfile, chosen, filled, server, variables
from conftest import BIN, ROOT

FUNNEL = {"EXTERNAL_BACKEND_URL": "https://azlon.tail1.ts.net", "TS_AUTHKEY": "tskey-1"}
OUTSIDE = {"MINIO_ENDPOINT": "s3.example.org:9000", "MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p",
           "RESTACK_ENGINE_ADDRESS": "x.example.org:443", "RESTACK_ENGINE_ID": "e", "RESTACK_ENGINE_API_KEY": "k",
           "E2B_API_KEY": "e2b_1", "OPENAI_API_KEY": "sk-1", "FIREBASE_PROJECT_ID": "my-project"}
CHOICES = {"nothing": {}, "outside": OUTSIDE, "funnel": FUNNEL, "all": {**OUTSIDE, **FUNNEL}}


@pytest.fixture(scope="module")
def file():
    return Dockerfile()


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    return filled(chosen(tmp_path_factory.mktemp("services")))["services"]


# ---- what server.sh chooses ----

def test_with_nothing_set_all_is_here_and_api_keys_are_asked(tmp_path):
    c = chosen(tmp_path)
    assert (c["AZLON_IDENTITY"], c["AZLON_SANDBOX"], c["EXTERNAL_BACKEND_URL"]) == ("keys", "local", "http://localhost:8000")
    assert c["E2B_API_KEY_FILE"] == "/run/secrets/sandbox_key" and c["OPENAI_API_KEY_FILE"] == ""
    env = filled(c)["services"]["worker"]["environment"]
    assert (env["MINIO_ENDPOINT"], env["RESTACK_ENGINE_ADDRESS"]) == ("minio:9000", "engine:7233")
    assert (tmp_path / "docker/profiles").read_text() == "--profile sandbox"


def test_what_is_outside_is_used_and_its_keys_are_files(tmp_path):
    c = chosen(tmp_path, **OUTSIDE)
    assert (c["AZLON_IDENTITY"], c["AZLON_SANDBOX"]) == ("firebase", "e2b")
    assert c["E2B_API_KEY_FILE"] == "/run/secrets/e2b_api_key"
    # no key stands in an environment or in what is kept of the choice
    for k in ("MINIO_ROOT_PASSWORD", "RESTACK_ENGINE_API_KEY", "E2B_API_KEY", "OPENAI_API_KEY"):
        assert k not in c
        assert (tmp_path / "docker/secrets" / k.lower()).read_text() == OUTSIDE[k]
    assert (tmp_path / "docker/profiles").read_text() == ""


def test_an_engine_named_the_older_way_is_not_mixed_with_ours(tmp_path):
    env = filled(chosen(tmp_path, RESTACK_TEMPORAL_ADDRESS="x:7233"))["services"]["worker"]["environment"]
    assert (env["RESTACK_TEMPORAL_ADDRESS"], env["RESTACK_ENGINE_ADDRESS"]) == ("x:7233", "")


def test_a_key_may_stand_in_a_file(tmp_path):
    (tmp_path / "key").write_text("sk-2\n")
    assert chosen(tmp_path, OPENAI_API_KEY_FILE=str(tmp_path / "key"))["OPENAI_API_KEY_FILE"] == "/run/secrets/openai_api_key"
    assert (tmp_path / "docker/secrets/openai_api_key").read_text() == "sk-2"


def test_the_tunnel_has_both_ports(tmp_path):
    c = chosen(tmp_path, **FUNNEL)
    assert c["TS_HOSTNAME"] == "azlon" and c["USE_EXTERNAL_MINIO"] == "true"
    assert c["MINIO_EXTERNAL_ENDPOINT"] == "https://azlon.tail1.ts.net:8443"
    assert "--profile funnel" in (tmp_path / "docker/profiles").read_text()


def test_secrets_are_nobody_elses_and_stay(tmp_path):
    chosen(tmp_path)
    d = tmp_path / "docker/secrets"
    assert stat.S_IMODE(d.stat().st_mode) == 0o700
    # other users have them in their containers, where the directory is not in the way
    assert {stat.S_IMODE(f.stat().st_mode) for f in d.iterdir()} == {0o444}
    made = {n: (d / n).read_text() for n in ("minio_root_password", "sandbox_key")}
    assert all(len(v) >= 40 for v in made.values())
    chosen(tmp_path, OPENAI_API_KEY="sk-1")
    chosen(tmp_path)
    assert {n: (d / n).read_text() for n in made} == made
    # what is not given any more is not kept: no run is paid for by accident
    assert (d / "openai_api_key").read_text() == ""


@pytest.mark.parametrize("env, words", [
    ({"AZLON_IDENTITY": "dev"}, "FIREBASE_PROJECT_ID, or AZLON_IDENTITY=keys"),
    ({"AZLON_IDENTITY": "firebase"}, "FIREBASE_PROJECT_ID, which is not set"),
    ({"MINIO_ENDPOINT": "x:9000"}, "MINIO_ROOT_USER is missing"),
    ({"MINIO_ENDPOINT": "x:9000", "MINIO_ROOT_USER": "u"}, "MINIO_ROOT_PASSWORD (or MINIO_ROOT_PASSWORD_FILE) is missing"),
    ({"RESTACK_ENGINE_API_KEY": "k"}, "RESTACK_ENGINE_ADDRESS is missing"),
    ({"AZLON_ENGINE": "local"}, "use make start"),
    ({"AZLON_STORE": "dir"}, "files are in the container minio"),
    ({"AZLON_S3_CA_FILE": "/etc/ca.pem"}, "AZLON_S3_CA_FILE is not for containers"),
    ({"ANTHROPIC_API_KEY": "k"}, "set OPENAI_API_KEY or OPENAI_BASE_URL"),
    ({"AZLON_SANDBOX": "e2b"}, "E2B_API_KEY (or E2B_API_KEY_FILE) is missing"),
    ({"TS_AUTHKEY": "k"}, "EXTERNAL_BACKEND_URL must say"),
    ({"EXTERNAL_BACKEND_URL": "https://a.b.ts.net"}, "TS_AUTHKEY (or TS_AUTHKEY_FILE) is missing"),
    ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, "host.docker.internal"),
    ({"OPENAI_API_KEY_FILE": "/nonexistent/key"}, "cannot be read"),
])
def test_half_a_choice_is_refused_in_one_sentence(tmp_path, env, words):
    r = server("start", tmp_path, **env)
    assert r.returncode == 2 and words in r.stderr and not r.stdout, r
    assert len([line for line in r.stderr.splitlines() if line.startswith("start-server: ")]) == 1
    assert "secret-value" not in r.stderr


def fake_docker(where, body):
    where.mkdir()
    f = where / "docker"
    f.write_text(f"#!/bin/sh\n{body}\n")
    f.chmod(0o755)
    for tool in ("bash", "cat", "chmod", "cp", "cut", "dirname", "env", "git", "grep", "head", "id", "mkdir", "nproc", "od", "readlink", "sort", "tr", "sh"):
        (where / tool).symlink_to(shutil.which(tool))
    return str(where)


@pytest.mark.parametrize("body, words", [
    (None, "docker is not installed"),
    ('[ "$1" != compose ]', "has no 'compose'"),
    ('[ "$1" != info ]', "daemon does not answer"),
])
def test_what_is_missing_of_docker_is_named(tmp_path, body, words):
    path = fake_docker(tmp_path / "bin", body or "exit 1")
    if body is None:
        (tmp_path / "bin/docker").unlink()
    r = server("start", tmp_path / "var", path=path)
    assert r.returncode == 2 and words in r.stderr, r


def test_start_says_where_things_are_and_stop_ends_the_same(tmp_path):
    log = tmp_path / "log"
    path = fake_docker(tmp_path / "bin", f'printf "%s " "$@" >>{log}; env | grep -c AZLON_ >>{log}; exit 0')
    r = server("start", tmp_path / "var", path=path, AZLON_PORT="8123", **OUTSIDE)
    assert r.returncode == 0, r.stderr
    for words in ("http://localhost:8123/", "firebase (my-project)", "azlon keys create", "e2b sandboxes", "server.sh stop"):
        assert words in r.stdout
    up = log.read_text().splitlines()[-1]
    assert " up --detach --build --wait" in up and "--scale minio=0 --scale engine=0" in up and "--profile" not in up
    # compose is told by the file of the choice, not by what this shell has
    assert "--env-file" in up and up.endswith(" 0")
    assert not any(v in log.read_text() for v in ("sk-1", "e2b_1"))
    assert server("stop", tmp_path / "var", path=path).returncode == 0
    # whatever the last start did not ask for, an earlier one may have started
    assert log.read_text().splitlines()[-1].endswith("compose.yaml --profile sandbox --profile funnel down 0")


def test_resume_starts_what_was_chosen_and_builds_nothing(tmp_path):
    log = tmp_path / "log"
    path = fake_docker(tmp_path / "bin", f'echo "$@" >>{log}')
    assert server("resume", tmp_path / "var", path=path).returncode == 2  # nothing was
    assert server("check", tmp_path / "var", path=path, **OUTSIDE).returncode == 0
    assert server("resume", tmp_path / "var", path=path).returncode == 0
    up = log.read_text().splitlines()[-1]
    assert " up --detach --no-build --wait" in up and up.endswith(" --scale minio=0 --scale engine=0") and "--profile" not in up


@pytest.mark.parametrize("env, ended", [({}, ["tailscale"]), (FUNNEL, []), ({"E2B_API_KEY": "e2b_1"}, ["sandbox", "tailscale"])])
def test_start_ends_what_is_not_asked_for_any_more(tmp_path, env, ended):
    log = tmp_path / "log"
    path = fake_docker(tmp_path / "bin", f'echo "$@" >>{log}')
    assert server("start", tmp_path / "var", path=path, **env).returncode == 0
    assert re.findall(r" rm --stop --force (\w+)$", log.read_text(), re.M) == ended


@pytest.mark.parametrize("has, cpus", [("1", ("1", "1")), ("3", ("2", "3")), ("64", ("2", "4"))])
def test_no_service_is_given_more_processors_than_there_are(tmp_path, has, cpus):
    """An engine refuses to make such a container."""
    path = fake_docker(tmp_path / "bin", f'[ "$1" != info ] || echo {has}')
    assert server("check", tmp_path / "var", path=path).returncode == 0
    said = dict(line.split("=") for line in (tmp_path / "var/docker/chosen.env").read_text().splitlines())
    assert (said["AZLON_CPUS"].strip("'"), said["AZLON_BOX_CPUS"].strip("'")) == cpus
    services = filled({**chosen(tmp_path / "other"), "AZLON_CPUS": cpus[0], "AZLON_BOX_CPUS": cpus[1]})["services"]
    assert {n: s["cpus"] for n, s in services.items() if "cpus" in s} == {n: cpus[n == "sandbox"] for n in services if n != "tailscale"}


# ---- the compose file ----

def known_variables():
    out = subprocess.run([str(BIN / "worker"), "--example-config"], capture_output=True, text=True, check=True, timeout=30).stdout
    names = set(re.findall(r"^#([A-Z0-9_]+)=", out, re.M))
    secrets = set(re.findall(r"([A-Z0-9_]+)_FILE may name", out))
    started = set(re.findall(r": \"\$\{(AZLON_\w+):=", "\n".join(f.read_text() for f in (ROOT / "fcgi/spawn").glob("*.sh"))))
    return names | {f"{s}_FILE" for s in secrets} | started | {"TS_HOSTNAME", "AZLON_MINIO_PORT", "AZLON_SECRETS", "AZLON_REVISION", "AZLON_LANGUAGES",
                                       "AZLON_CPUS", "AZLON_BOX_CPUS"}


def test_every_variable_is_one_that_somebody_reads(services):
    known = known_variables()
    assert variables() <= known, variables() - known
    ours = {k for n, s in services.items() if n not in ("minio", "engine", "tailscale") for k in s.get("environment", {})}
    assert ours <= known | {"TMPDIR"}, ours - known


def test_every_setting_reaches_a_container_or_is_refused_by_name(tmp_path):
    out = subprocess.run([str(BIN / "worker"), "--example-config"], capture_output=True, text=True, check=True, timeout=30).stdout
    names = set(re.findall(r"^#([A-Z0-9_]+)=", out, re.M))
    assert len(names) > 50
    kept = {"MINIO_ROOT_PASSWORD", "RESTACK_ENGINE_API_KEY", "OPENAI_API_KEY", "E2B_API_KEY"}  # as files
    script = {"AZLON_ENGINE", "AZLON_STORE", "ANTHROPIC_API_KEY"}  # refused with words of their own
    client = {"AZLON_URL", "AZLON_VAR"}  # of the program azlon; where server.sh keeps its choice
    for name in sorted(names - variables() - kept - client):
        r = server("check", tmp_path, **{name: "other"})
        assert r.returncode == 2 and name in r.stderr, (name, r)
        assert name in script or f"{name} is not for containers" in r.stderr, r.stderr


@pytest.mark.parametrize("choice", CHOICES)
def test_each_program_accepts_the_environment_it_gets(tmp_path, choice):
    c = chosen(tmp_path, **CHOICES[choice])
    programs = {"run_workflow": "run_workflow", "run_workflow-wait": "run_workflow", "files": "files", "files-archive": "files",
                "worker": "worker", "replay": "replay", "sandbox": "sandbox"}
    for name, program in programs.items():
        s = filled(c)["services"][name]
        env = {k: str(v).replace("/run/secrets", str(tmp_path / "docker/secrets")) for k, v in s.get("environment", {}).items()}
        given = {f"{tmp_path}/docker/secrets/{n}" for n in s.get("secrets", [])}
        assert {v for k, v in env.items() if k.endswith("_FILE") and v} <= given, f"{name} names a secret that it is not given"
        r = subprocess.run([str(BIN / program), "--check-config"], env=env, capture_output=True, text=True, timeout=30)
        assert r.returncode == 0, (name, r.stderr)
        # and dev is no choice of anybody's who has an address
        if "EXTERNAL_BACKEND_URL" in env:
            r = subprocess.run([str(BIN / program), "--check-config"], env={**env, "AZLON_IDENTITY": "dev"}, capture_output=True, text=True, timeout=30)
            assert r.returncode == 78 and "EXTERNAL_BACKEND_URL" in r.stderr


@pytest.mark.parametrize("choice", CHOICES)
def test_compose_accepts_it(tmp_path, choice):
    if not (tool := shutil.which("docker-compose")):
        pytest.skip("docker-compose is not installed on this host")
    chosen(tmp_path, **CHOICES[choice])
    for profiles in ([], ["--profile", "sandbox", "--profile", "funnel"]):
        r = subprocess.run([tool, "--file", str(COMPOSE), "--env-file", str(tmp_path / "docker/chosen.env"), *profiles, "config", "--quiet"],
                           cwd=DOCKER, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60)
        assert r.returncode == 0 and "variable is not set" not in r.stderr, r.stderr


def test_nothing_runs_as_root_or_may_become_it(services):
    ours = set(services) - {"engine", "tailscale"}  # images of others
    for n in ours:
        s = services[n]
        assert re.fullmatch(r"1000[1-4]:1000[1-4]", s["user"]), n
        assert s["read_only"] is True and s["cap_drop"] == ["ALL"], n
        assert "privileged" not in s and "devices" not in s and s.get("pid") is None and s.get("ipc") is None, n
        if n != "sandbox":
            assert s["security_opt"] == ["no-new-privileges:true"] and "cap_add" not in s, n
    # what bubblewrap needs, and no more
    assert services["sandbox"]["cap_add"] == ["SETUID", "SETGID"]
    assert set(services["sandbox"]["security_opt"]) == {"seccomp=./seccomp-sandbox.json", "apparmor=unconfined", "systempaths=unconfined"}
    assert not any("docker.sock" in str(v) for s in services.values() for v in s.get("volumes", []))


def test_every_service_has_limits_and_comes_back(services):
    for n, s in services.items():
        assert s["restart"] == "unless-stopped" and s["mem_limit"] and s["pids_limit"] and s["logging"]["options"]["max-size"], n


def test_threads_have_the_room_that_units_give_them(services):
    for unit in (ROOT / "fcgi/systemd").glob("*.service"):
        tasks = re.search(r"^TasksMax=(\d+)$", unit.read_text(), re.M)
        if tasks:
            assert services[unit.stem.removeprefix("azlon-").removesuffix("@")]["pids_limit"] >= int(tasks[1]), unit.name


def test_only_nginx_is_reached_and_only_from_this_host(services):
    ports = {n: s["ports"] for n, s in services.items() if "ports" in s}
    assert list(ports) == ["nginx"] and all(p.startswith("127.0.0.1:") for p in ports["nginx"])
    nets = filled({"AZLON_IDENTITY": "keys", "EXTERNAL_BACKEND_URL": "http://x", "E2B_API_KEY_FILE": "x", "AZLON_SECRETS": "x"})["networks"]
    internal = {n for n, v in nets.items() if v.get("internal")}
    assert set(services["minio"]["networks"]) == {"store"} <= internal
    assert set(services["engine"]["networks"]) == {"engine"} <= internal
    # who faces the world cannot reach the engine, which asks nobody who they are
    assert set(services["nginx"]["networks"]) == {"web", "store"}
    # and hostile code shares a network with nobody
    assert services["sandbox"]["networks"] == ["boxes"]
    assert [n for n, s in services.items() if "boxes" in s.get("networks", [])] == ["sandbox"]


def test_sandboxes_hold_their_own_key_and_nothing_else(services):
    assert services["sandbox"]["secrets"] == ["sandbox_key"]
    assert {v.split(":")[0] for v in services["sandbox"]["volumes"]} == {"run_sandbox", "boxes"}
    for n in ("nginx", "standins", "replay", "pod"):
        assert "secrets" not in services[n], n
    # only the worker has keys that cost money to use
    for key in ("e2b_api_key",):
        assert [n for n, s in services.items() if key in s.get("secrets", [])] == ["worker"]


def test_whoever_is_waited_for_can_be_healthy(services):
    everything = filled({"AZLON_IDENTITY": "keys", "EXTERNAL_BACKEND_URL": "http://x", "E2B_API_KEY_FILE": "x", "AZLON_SECRETS": "x"})
    for n, s in services.items():
        for d, how in s.get("depends_on", {}).items():
            assert d in services and "profiles" not in services[d], (n, d)
            if how["condition"] == "service_healthy":
                assert services[d]["healthcheck"]["test"][0] == "CMD", (n, d)
        assert set(s.get("secrets", [])) <= set(everything["secrets"]), n
        named = {v.split(":")[0] for v in s.get("volumes", []) if not v.startswith(".")}
        assert named <= set(everything["volumes"]), n


def test_health_checks_ask_the_socket_of_their_own(services):
    for n, s in services.items():
        test = s.get("healthcheck", {}).get("test", [])
        if "health" in test:
            assert pathlib.Path(test[-1]).stem == n or test[-1] == "health" and n in ("worker", "standins"), test


def test_who_shares_the_network_of_pod_follows_it(services):
    """Compose makes whoever has another's network start after it, and again with it, unless depends_on
    says the first only; and who lost it, as pod ended alone, is told by the check of its health."""
    follow = [n for n, s in services.items() if s.get("network_mode") == "service:pod"]
    assert len(follow) == 7
    for n in follow:
        assert "pod" not in services[n].get("depends_on", {}), n
        assert services[n]["healthcheck"]["test"][1:3] == ["/usr/local/share/azlon/docker/entry.sh", "health"], n


def test_the_tunnel_leads_to_listeners_on_loopback():
    serve = json.loads((DOCKER / "tailscale/serve.json").read_text())
    listens = re.findall(r"listen 127\.0\.0\.1:(\d+)", (DOCKER / "nginx.conf").read_text())
    to = {web.rsplit(":", 1)[1]: h["Handlers"]["/"]["Proxy"] for web, h in serve["Web"].items()}
    assert to == {"443": f"http://127.0.0.1:{listens[0]}", "8443": f"http://127.0.0.1:{listens[1]}"}
    assert set(serve["AllowFunnel"]) == set(serve["Web"]) and all(serve["AllowFunnel"].values())
    servers = (DOCKER / "nginx.conf").read_text().split("server {")
    minio = [s for s in servers if f"listen 127.0.0.1:{listens[1]}" in s]
    assert len(minio) == 1 and "azlon_minio.conf" in minio[0] and "azlon_server.conf" not in minio[0]


# ---- the Dockerfile ----

def test_what_is_copied_is_there_and_not_ignored(file):
    lines = [line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    ignored = PatternMatcher(lines)
    for stage in ("build", "minio-build", "azlon", "sandbox"):
        for sources, _ in file.copied(stage):
            for s in sources:
                assert (ROOT / s).exists(), s
                assert s == "." or not ignored.matches(s), f"{s} is ignored"
    needed = ["Makefile", "README.md", "fcgi/worker.c", "lib/api/openapi.json", "nginx/html/index.html", "tests/recordings/weather.jsonl"]
    assert not [n for n in needed if ignored.matches(n)]
    for n in ("var/secret/azlon.secret", "build/release/bin/worker", ".git/config", "tests/e2e/conftest.py"):
        assert ignored.matches(n), n


def test_images_begin_with_named_releases(services, file):
    assert re.search(r"^ARG DEBIAN=debian:12\.\d+-slim$", file.text, re.M)
    assert {m for m in re.findall(r"^FROM (\S+) AS", file.text, re.M)} == {"${DEBIAN}", "base"}
    assert not any(s["image"].endswith((":latest", ":stable")) for s in services.values())
    version = re.search(r"^VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert file.text.count(f"ARG VERSION={version}\n") == file.text.count("ARG VERSION") == 2
    assert {s["image"].rsplit(":", 1)[1] for s in services.values() if s["image"].startswith("localhost/")} == {version}


def test_no_step_is_cached_by_the_revision(file):
    """Or every commit would fetch the packages again."""
    assert not any("REVISION" in line for stage in ("base", "build") for line in file.stage(stage))
    for stage in ("azlon", "sandbox"):
        lines = file.stage(stage)
        after = lines[lines.index("ARG REVISION=unknown"):]
        assert not any(line.startswith(("RUN", "COPY")) for line in after), after


def test_users_of_the_images_are_those_of_the_services(services, file):
    uid = file.users
    assert uid == file.groups and len(uid) == 4  # useradd would choose others
    want = {"worker": uid["azlon"], "nginx": uid["azlon-web"], "standins": uid["azlon-web"], "sandbox": uid["azlon-sandbox"], "minio": uid["minio"]}
    assert {n: services[n]["user"] for n in want} == {n: f"{u}:{u}" for n, u in want.items()}


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_the_image_has_every_library_that_is_needed(file):
    if pathlib.Path("/etc/debian_version").read_text().split(".")[0] != "12":
        pytest.skip("the image is Debian 12; packages have other names here")
    out = subprocess.run(["readelf", "-d", str(BIN.parent / "lib/libazlon.so.0"), *map(str, (BIN / p for p in ("worker", "files", "azlon")))],
                         capture_output=True, text=True, check=True, timeout=30).stdout
    libs = set(re.findall(r"NEEDED.*\[(.+)\]", out)) - {"libazlon.so.0", "libasan.so.8", "libubsan.so.1"}
    assert len(libs) > 5
    for lib in libs:
        found = subprocess.run(["dpkg", "-S", f"*/{lib}"], capture_output=True, text=True, timeout=30).stdout
        owners = {line.split(":")[0] for line in found.splitlines()}
        assert owners & {"libc6", *file.packages("base")}, f"{lib}: {owners}"


def test_the_filter_denies_nothing_that_makes_a_sandbox():
    profile = json.loads((DOCKER / "seccomp-sandbox.json").read_text())
    denied = {n for rule in profile["syscalls"] for n in rule["names"]}
    box = set(re.findall(r'^    "(\w+)",$', (ROOT / "lib/box/seccomp.c").read_text(), re.M))
    assert len(box) > 50
    # less than a sandbox itself is denied by what bubblewrap and the server do
    assert denied < box
    assert box - denied == {"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
                            "fspick", "mount_setattr", "unshare", "setns", "sethostname", "keyctl", "personality"}


def test_the_linter_has_nothing_to_say():
    tool = shutil.which("hadolint", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("hadolint")
    if not tool:
        pytest.skip("hadolint is not installed on this host")
    r = subprocess.run([tool, "--no-color", str(DOCKER / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and not r.stdout, r.stdout + r.stderr
