"""What the containers of docker/compose.yaml do, without an engine (container_host.py says how): from the
entry script to a run in a local sandbox, files in MinIO, links as a tunnel asks for them."""
import json
import os
import shutil
import subprocess
import urllib.parse
from contextlib import closing

import pytest

from conftest import RECORDINGS
from container_host import Host
from temporal_peer import TEMPORAL

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="only root can lay out a container"),
              pytest.mark.skipif(not shutil.which("cgi-fcgi"), reason="libfcgi-bin is not installed on this host"), pytest.mark.timeout(300)]

PUBLIC = "azlon.tail1.ts.net"
API = "http://127.0.0.1:8000"
OURS = ("run_workflow", "run_workflow-wait", "files", "files-archive", "replay", "sandbox")


@pytest.fixture(scope="module")
def host(minio_program):
    with closing(Host(EXTERNAL_BACKEND_URL=f"https://{PUBLIC}", TS_AUTHKEY="k")) as h:
        h.start("minio", program=minio_program)
        # in Restack's place
        engine = subprocess.Popen(
            ["nsenter", "-t", str(h.net.pid), "-n", str(TEMPORAL), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", "7233",
             "--search-attribute", "engineId=Text", "--log-level", "error"],
            env={"PATH": os.environ["PATH"], "HOME": str(h.dir), "TEMPORAL_VERSION_CHECK_DISABLED": "1"})
        h.running["engine"] = engine
        h.healthy("minio")
        for n in (*OURS, "standins", "worker"):
            h.start(n)
        for n in OURS:
            h.healthy(n)
        h.start("nginx")
        h.healthy("nginx")
        h.ready()
        yield h


@pytest.fixture(scope="module")
def key(host):
    r = host.exec("files", "azlon", "keys", "create", "--user", "alice", "--scopes", "all")
    assert r.returncode == 0, r.stderr
    return next(w for w in r.stdout.split() if w.startswith("azk_"))


@pytest.fixture(scope="module")
def run(host, key):
    """One that succeeded, its id."""
    request = json.loads((RECORDINGS / "human-eval-127/request.json").read_text())
    status, body = host.curl(f"{API}/run_workflow", "-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json",
                             "-m", "120", "-d", json.dumps(request))
    assert status == 200, (body, host.log("worker"), host.log("sandbox"))
    said = json.loads(body)
    assert said["result"] is True and said["user_id"] == "alice", said
    return said["workflow_id"]


def test_a_run_goes_through_every_container(host, key, run):
    status, body = host.curl(f"{API}/files/{run}", "-H", f"Authorization: Bearer {key}")
    assert status == 200
    path = json.loads(body)["files"][0]["path"]
    status, body = host.curl(f"{API}/files/{run}/{path}", "-H", f"Authorization: Bearer {key}")
    assert status == 200 and body
    status, _ = host.curl(f"{API}/files/{run}?format=zip", "-H", f"Authorization: Bearer {key}", "-o", "/dev/null")
    assert status == 200


def test_code_ran_behind_all_walls(host, run):
    r = host.exec("sandbox", "sh", "-c", "curl -s -H 'X-API-Key: '$(cat /run/secrets/sandbox_key) http://127.0.0.1:8090/azlon/health")
    said = json.loads(r.stdout)
    # two ids for each box, by setuid programs, without a capability of the service's own
    assert said["uid_mode"] == "pair", said
    status = (host.dir / "volumes/boxes").stat()
    assert status.st_uid == host.file.users["azlon-sandbox"]


def test_a_caller_without_a_key_is_nobody(host, run):
    for more in ([], ["-H", "X-User-ID: alice"], ["-H", "Authorization: Bearer azk_x_y"]):
        for path in ("/run_workflow", f"/run_workflow/{run}", f"/files/{run}"):
            assert host.curl(f"{API}{path}", *more)[0] == 401


def test_links_pass_the_tunnel_and_nothing_else_of_minio_does(host, key, run):
    auth = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"]
    path = json.loads(host.curl(f"{API}/files/{run}", *auth)[1])["files"][0]["path"]
    status, body = host.curl(f"{API}/files/{run}/links", *auth, "-d", json.dumps({"path": path, "ttl_s": 60}))
    assert status in (200, 201), body
    link = urllib.parse.urlsplit(json.loads(body)["url"])
    assert link.netloc == f"{PUBLIC}:8443" and link.scheme == "https"
    asked = ["-H", f"Host: {link.netloc}"]
    there = f"http://127.0.0.1:8444{link.path}"
    want = host.curl(f"{API}/files/{run}/{path}", *auth)
    assert host.curl(f"{there}?{link.query}", *asked) == want
    assert host.curl(there, *asked)[0] == 403
    bucket = "/" + link.path.split("/")[1]
    for other in ("/", bucket, f"{bucket}/?list-type=2", "/minio/admin/v3/info", "/minio/health/cluster"):
        assert host.curl(f"http://127.0.0.1:8444{other}", *asked)[0] == 403, other
    assert host.curl(f"{there}?{link.query}", *asked, "-X", "PUT")[0] in (403, 405)


def test_the_tunnel_is_believed_and_others_are_not(host):
    for port in (8001, 8000):
        host.curl(f"http://127.0.0.1:{port}/nothing/{port}", "-H", "X-Forwarded-For: 203.0.113.9")
    seen = {line.split("/nothing/")[1].split('"')[0]: line.split()[0] for line in host.log("nginx").splitlines() if "/nothing/" in line}
    assert seen == {"8001": "203.0.113.9", "8000": "127.0.0.1"}
    # figures are for this host: not for who comes through, whatever he says of himself
    for forwarded in ("203.0.113.9", "127.0.0.1"):
        assert host.curl("http://127.0.0.1:8001/run_workflow/metrics", "-H", f"X-Forwarded-For: {forwarded}")[0] == 404


@pytest.mark.parametrize("name", ["run_workflow", "files"])
def test_dev_is_refused(host, name):
    r = host.exec(name, name, "--check-config", AZLON_IDENTITY="dev")
    assert r.returncode == 78 and "EXTERNAL_BACKEND_URL" in r.stderr


def test_who_is_told_to_stop_ends_well_and_comes_back(host, run):
    for n in ("files", "sandbox", "worker"):
        assert host.stop(n) == 0, host.log(n)
        host.start(n)
    for n in ("files", "sandbox"):
        host.healthy(n)
    host.ready()


def test_logs_hold_no_secret(host, run, key):
    texts = "".join(f.read_text(errors="replace") for f in host.dir.glob("*.log"))
    for f in (host.dir / "docker/secrets").iterdir():
        said = f.read_text()
        assert len(said) < 8 or said not in texts, f.name
    assert key not in texts
