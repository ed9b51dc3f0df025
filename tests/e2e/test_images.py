"""The images of docker/Dockerfile really built, and docker/compose.yaml really started by server.sh: make
test-full. Debian is installed by debootstrap under the name that the Dockerfile begins with, MinIO is the
program that other tests have (its own stage takes minutes and another registry), and Temporal's server
stands in Restack's place. Tailscale is left out."""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tarfile
import tempfile
import time
from contextlib import closing

import pytest
import yaml

import docker_engine
from compose_file import Dockerfile, filled
from conftest import FULL, RECORDINGS, ROOT, until
from minio_peer import built
from temporal_peer import TEMPORAL

pytestmark = [pytest.mark.skipif(not FULL, reason="images to build"),
              pytest.mark.skipif(bool(docker_engine.missing()), reason=docker_engine.missing()),
              pytest.mark.timeout(2400)]

API = "http://127.0.0.1:8000"
OURS = ("pod", "run_workflow", "run_workflow-wait", "files", "files-archive", "worker", "replay", "standins", "nginx", "minio", "sandbox")
ENGINE = "ghcr.io/restackio/restack:main"
MINIO = "localhost/minio-program:test"


def checkout(to):
    """What a clone has, with what this host cannot do replaced: see above."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for n in names.split("\0")[:-1]:
        if (ROOT / n).is_file():
            (to / n).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / n, to / n, follow_symlinks=False)
    file = to / "docker/Dockerfile"
    assert file.read_text().count("COPY --from=minio-build ") == 1
    file.write_text(file.read_text().replace("--from=minio-build ", f"--from={MINIO} "))
    # a host whose own limit is lower, and that may not raise it
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bound = int(re.search(r"CapBnd:\s*(\w+)", pathlib.Path("/proc/self/status").read_text())[1], 16)
    if not bound >> 24 & 1:
        compose = to / "docker/compose.yaml"
        compose.write_text(re.sub(r"nofile: (\d+)", lambda m: f"nofile: {min(int(m[1]), most)}", compose.read_text()))


def as_root(info):
    info.uid = info.gid = info.mtime = 0
    info.mode = 0o755
    return info


class Server:
    """docker/server.sh of a checkout, and what it started."""

    def __init__(self, engine, tree):
        self.engine, self.tree, self.var = engine, tree, engine.dir / "var"

    def __call__(self, *args, check=True, timeout=900, **env):
        r = subprocess.run([str(self.tree / "docker/server.sh"), *args], env={**self.engine.env, "AZLON_VAR": str(self.var), **env},
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert not check or r.returncode == 0, f"{args}: {r.stdout[-3000:]}\n{r.stderr[-6000:]}"
        return r

    def containers(self):
        """Service: what the engine says of its container."""
        ids = self.engine.docker("ps", "-aq").stdout.split()
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in (self.engine.inspect(*ids) if ids else [])}

    def exec(self, service, *cmd, **how):
        c = self.containers()[service]
        return self.engine.docker("exec", c["Id"], *cmd, **{"check": False, **how})

    def healthy(self, within=120):
        def all_are():
            state = {n: c["State"] for n, c in self.containers().items()}
            return set(state) == {*OURS, "engine"} and all(s["Running"] and s.get("Health", {"Status": "healthy"})["Status"] == "healthy" for s in state.values())

        until(all_are, within, every=0.5)
        until(lambda: self.engine.curl(f"{API}/run_workflow/health/ready")[0] == 200, within, every=0.5)


@pytest.fixture(scope="module")
def engine():
    with closing(docker_engine.Engine(built("compose"))) as e:
        yield e.start()


@pytest.fixture(scope="module")
def images(engine):
    """The server whose images are built; its images by name."""
    tree = engine.dir / "tree"
    checkout(tree)
    file = Dockerfile()
    release = re.search(r"^ARG DEBIAN=(debian:12\.\S+)$", file.text, re.M)[1]
    server = Server(engine, tree)
    engine.online()
    engine.debian(release, "bookworm")
    program = built("minio")
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as t:
            t.add(program, "out/bin/minio", filter=as_root)
        packed.seek(0)
        engine.docker("import", "-", MINIO, stdin=packed)
    if not engine.has(ENGINE):
        where = engine.dir / "engine"
        where.mkdir()
        shutil.copy(os.path.realpath(TEMPORAL), where / "temporal")
        (where / "Dockerfile").write_text(
            f"FROM {release}\nCOPY temporal /usr/local/bin/temporal\nENV TEMPORAL_VERSION_CHECK_DISABLED=1\n"
            'ENTRYPOINT ["temporal", "server", "start-dev", "--headless", "--ip", "0.0.0.0", "--search-attribute", "engineId=Text", '
            '"--db-filename", "/var/lib/engine.db", "--log-level", "error"]\n')
        engine.docker("build", "-t", ENGINE, str(where), timeout=300)
    server("check")
    server("build", timeout=1800)
    engine.docker("image", "prune", "-f")
    engine.offline()
    yield server


@pytest.fixture(scope="module")
def host(images):
    said = images("start").stdout
    try:
        images.said = said
        images.healthy()
        yield images
    finally:
        images("stop", check=False)
        images.engine.docker("volume", "prune", "-f", check=False)


@pytest.fixture(scope="module")
def key(host):
    # as start says
    how = re.search(r"an API key: docker/server\.sh (.*)", host.said)[1].split()
    r = host(*how)
    return next(w for w in r.stdout.split() if w.startswith("azk_"))


@pytest.fixture(scope="module")
def run(host, key):
    """One that succeeded, its id."""
    request = json.loads((RECORDINGS / "human-eval-127/request.json").read_text())
    status, body = host.engine.curl(f"{API}/run_workflow", *auth(key), "-d", json.dumps(request))
    assert status == 200, (body, host("logs", "--no-color", "worker", "sandbox").stdout[-4000:])
    said = json.loads(body)
    assert said["result"] is True and said["user_id"] == "alice", said
    return said["workflow_id"]


def auth(key):
    return "-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"


def compose(server):
    return yaml.safe_load((server.tree / "docker/compose.yaml").read_text())


# ---- images ----

def test_images_have_what_the_dockerfile_says_and_are_small(images):
    file = Dockerfile()
    limits = {"azlon": 300, "azlon-sandbox": 450, "azlon-minio": 350}
    for name, most in limits.items():
        i = images.engine.inspect(f"localhost/{name}:0.1.0", kind="image")[0]
        size = i["Size"] / 1e6
        print(f"{name}: {size:.0f} MB")
        assert size < most, name
        stage = name.removeprefix("azlon-")
        assert i["Config"]["Entrypoint"] == file.entrypoint("minio" if stage == "minio" else "azlon")
        assert i["Config"]["User"] == f"{(uid := file.users['azlon' if stage == 'azlon' else 'azlon-sandbox' if stage == 'sandbox' else 'minio'])}:{uid}"
        assert i["Config"]["Labels"]["org.opencontainers.image.licenses"] == ("AGPL-3.0-only" if stage == "minio" else "MIT")


@pytest.mark.parametrize("image, has, lacks", [
    ("azlon", ["nginx", "spawn-fcgi", "cgi-fcgi", "azlon", "worker", "curl"], ["gcc", "make", "python3", "bwrap", "minio"]),
    ("azlon-sandbox", ["bwrap", "newuidmap", "python3", "pip3", "sandbox"], ["gcc", "make"]),
    ("azlon-minio", ["minio", "curl"], ["gcc", "go", "python3"])])
def test_images_have_what_runs_and_nothing_that_builds(images, image, has, lacks):
    r = images.engine.docker("run", "--rm", "--network", "none", "--entrypoint", "sh", f"localhost/{image}:0.1.0", "-c",
                             'for p; do command -v "$p" >/dev/null && echo "$p"; done; true', "sh", *has, *lacks)
    assert r.stdout.split() == has


def test_every_program_of_an_image_finds_its_libraries(images):
    r = images.engine.docker("run", "--rm", "--network", "none", "--entrypoint", "sh", "localhost/azlon:0.1.0", "-c",
                             "ldd /usr/local/bin/* /usr/local/lib/*.so.0 /usr/sbin/nginx /usr/bin/curl /usr/bin/cgi-fcgi; "
                             "for p in run_workflow files worker replay sandbox; do $p --help; done; azlon --help; nginx -v")
    assert "not found" not in r.stdout + r.stderr and "error while loading" not in r.stderr


# ---- services ----

def processes(container):
    """Of a container, what sandboxes it made aside: what /proc says of each."""

    def spaces(p):
        return [(p / "ns" / kind).readlink() for kind in ("pid", "user")]

    its = spaces(pathlib.Path("/proc", str(container["State"]["Pid"])))
    out = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if spaces(p) == its:
                out.append(dict(re.findall(r"^(\w+):\s*(.*)$", (p / "status").read_text(), re.M)))
        except OSError:
            continue
    return out


def test_every_service_runs_as_its_user_behind_its_walls(host):
    said = compose(host)["services"]
    there = host.containers()
    assert set(there) == {*OURS, "engine"}
    for n in OURS:
        c, s = there[n], said[n]
        uid, gid = s["user"].split(":")
        bound = sum(1 << {"SETGID": 6, "SETUID": 7}[k] for k in s.get("cap_add", []))
        its = processes(c)
        assert its, n
        for p in its:
            who = (n, p["Name"])
            assert set(p["Uid"].split()) == {uid} and set(p["Gid"].split()) == {gid}, who
            assert {p["CapEff"], p["CapPrm"], p["CapInh"], p["CapAmb"]} == {"0" * 16}, who
            assert int(p["CapBnd"], 16) == bound, who
            assert p["Seccomp"] == "2" and p["NoNewPrivs"] == ("0" if n == "sandbox" else "1"), who
        assert c["HostConfig"]["ReadonlyRootfs"] and not c["HostConfig"]["Privileged"], n
        assert host.exec(n, "sh", "-c", ": >/usr/local/x").returncode != 0, n
        assert host.exec(n, "sh", "-c", 'rm "$(mktemp)"').returncode == 0, n
        assert c["RestartCount"] == 0, n


def test_a_run_goes_through_every_container(host, key, run):
    status, body = host.engine.curl(f"{API}/files/{run}", *auth(key))
    assert status == 200
    path = json.loads(body)["files"][0]["path"]
    status, text = host.engine.curl(f"{API}/files/{run}/{path}", *auth(key))
    assert status == 200 and text
    assert host.engine.curl(f"{API}/files/{run}?format=zip", *auth(key), "-o", "/dev/null")[0] == 200
    # links are MinIO's, through the other port
    status, body = host.engine.curl(f"{API}/files/{run}/links", *auth(key), "-d", json.dumps({"path": path, "ttl_s": 60}))
    assert status in (200, 201), body


def test_the_page_is_there_and_a_stranger_is_nobody(host, run):
    status, body = host.engine.curl(f"{API}/")
    assert status == 200 and "<html" in body
    assert host.engine.curl(f"{API}/run_workflow", "-H", "X-User-ID: alice")[0] == 401
    assert host.engine.curl(f"{API}/files/{run}")[0] == 401


def test_code_ran_behind_all_walls(host, run):
    r = host.exec("standins", "sh", "-c", "curl -s http://127.0.0.1:8090/azlon/health")
    key = (host.var / "docker/secrets/sandbox_key").read_text()
    r = host.exec("standins", "curl", "-s", "-H", f"X-API-Key: {key}", "http://127.0.0.1:8090/azlon/health")
    assert json.loads(r.stdout)["uid_mode"] == "pair", r.stdout


@pytest.mark.parametrize("without, refused", [(None, None), ("seccomp", "new namespace"), ("systempaths", "mount proc")])
def test_what_is_lifted_for_the_sandbox_is_needed(images, without, refused):
    s = compose(images)["services"]["sandbox"]
    opts = [o for o in s["security_opt"] if not o.startswith(f"{without}=")]
    c = images.engine.docker(
        "run", "-d", "--network", "none", "--user", s["user"], "--init", "--read-only", "--cap-drop", "ALL",
        *(f"--cap-add={k}" for k in s["cap_add"]), *(f"--security-opt={o}" for o in opts), "--tmpfs=/tmp",
        "--tmpfs=/run/azlon-sandbox:uid=10002", "--tmpfs=/var/lib/azlon-sandbox:uid=10002,mode=700,exec",
        "-e", "AZLON_SANDBOX=local", "-e", "E2B_API_KEY=e2b_for_this_test_alone", "-e", "AZLON_PORTS_SOCKET=/run/azlon-sandbox/http.sock",
        "localhost/azlon-sandbox:0.1.0", "sandbox", cwd=images.tree / "docker").stdout.strip()
    try:
        said = []

        def has_said():
            r = images.engine.docker("logs", c)
            said[:] = [r.stdout + r.stderr]
            return re.search(r"ev=sandbox\.(refused|start) ", said[0])

        until(has_said, 30, every=0.2)
        assert ("ev=sandbox.refused" in said[0] and refused in said[0]) if refused else "ev=sandbox.start" in said[0], said
    finally:
        images.engine.docker("rm", "-f", c)


REACHES = """for to; do
  timeout 2 bash -c ": </dev/tcp/${to%:*}/${to#*:}" 2>/dev/null && echo "$to"
done; true"""


@pytest.mark.parametrize("who, can", [("nginx", {"minio"}), ("worker", {"minio", "engine", "nginx"}), ("minio", {"nginx"}), ("engine", set()), ("sandbox", set())])
def test_who_reaches_whom(host, who, can):
    """By every address: that a name is not known keeps nobody out."""
    there = host.containers()
    ports = {"nginx": 8000, "minio": 9000, "engine": 7233}
    at = {f"{n['IPAddress']}:{port}": service for service, port in ports.items() if service != who
          for n in there[service]["NetworkSettings"]["Networks"].values()}
    assert len(at) >= 2
    r = host.exec(who, "bash", "-c", REACHES, "bash", *at)
    assert r.returncode == 0 and {at[a] for a in r.stdout.split()} == can, (at, r)


def test_only_loopback_is_published(host):
    listens = host.engine.inside("ss", "-Hltn").stdout
    ports = {line.split()[3] for line in listens.splitlines()}
    assert {p for p in ports if p.rsplit(":", 1)[1] in ("8000", "9000")} == {"127.0.0.1:8000", "127.0.0.1:9000"}, ports
    assert all(p.startswith("127.0.0.1:") for p in ports), ports


def test_logs_hold_no_secret(host, key, run):
    text = host("logs", "--no-color").stdout
    for f in (host.var / "docker/secrets").iterdir():
        said = f.read_text()
        assert len(said) < 8 or said not in text, f.name
    assert key not in text


def test_who_dies_comes_back(host, key, run):
    # pod's network too, which seven others are in
    for n in ("files", "worker", "sandbox", "pod"):
        c = host.containers()[n]
        os.kill(c["State"]["Pid"], 9)
        until(lambda n=n, c=c: (s := host.containers()[n]["State"])["Running"] and s["Pid"] != c["State"]["Pid"], 60, every=0.5)
    host.healthy()
    assert host.engine.curl(f"{API}/files/{run}", *auth(key))[0] == 200


@pytest.mark.parametrize("what", [[], ["pod"]])
def test_a_restart_by_hand_keeps_runs(host, key, run, what):
    before = host.containers()
    host("restart", *what)
    host.healthy()
    followed = [n for n, c in host.containers().items() if c["State"]["StartedAt"] != before[n]["State"]["StartedAt"]]
    assert set(followed) >= {"pod", "worker", "files", "standins"}
    status, body = host.engine.curl(f"{API}/run_workflow/{run}", *auth(key))
    assert status == 200 and json.loads(body)["status"] == "succeeded", body


def test_what_an_engine_forgets_as_it_begins_is_resumed(host, key, run):
    """As when the host boots: of those in pod's network it starts only who comes after pod."""
    host.engine.stop()
    host.engine.start()
    host("resume")
    host.healthy()
    status, body = host.engine.curl(f"{API}/run_workflow/{run}", *auth(key))
    assert status == 200 and json.loads(body)["status"] == "succeeded", body


def test_what_is_not_asked_for_any_more_ends(host):
    """Sandboxes are E2B's now."""
    host("start", E2B_API_KEY="e2b_none")
    assert set(host.containers()) == {*OURS, "engine"} - {"sandbox"}


def test_stop_is_clean_and_start_finds_keys_and_files(host, key, run):
    there, since = host.containers(), time.time()
    host("stop")
    took = time.time() - since
    ends = [json.loads(line)["Actor"]["Attributes"] for line in host.engine.docker(
        "events", "--since", f"{since:.3f}", "--until", f"{time.time():.3f}", "--filter", "event=die", "--format", "{{json .}}").stdout.splitlines()]
    codes = {a["com.docker.compose.service"]: a["exitCode"] for a in ends}
    print(f"stopped in {took:.1f} s: {codes}")
    assert took < 30 and set(codes) == set(there)
    assert {n: c for n, c in codes.items() if n in OURS and c != "0"} in ({}, {"pod": "143"}), codes
    assert not host.containers()
    host("start")
    host.healthy()
    assert host.engine.curl(f"{API}/files/{run}", *auth(key))[0] == 200
