"""A real MinIO for tests, a PeerServer. AZLON_MINIO names its program; else the one that
`setup.sh minio` builds once is used, and waited for when that is still under way."""
import os
import pathlib
import shutil
import subprocess
from contextlib import closing
from functools import partial

import boto3
import pytest
import requests
from botocore.config import Config

from conftest import ROOT, Stack, free_ports, made_on_request
from peer_server import PeerServer

ACCESS, SECRET = "azlon-test", "azlon-test-secret"
BUILD_S = 1800


def built(name):
    """The program that AZLON_<NAME> names, else the one that setup.sh builds once."""
    named = os.environ.get(f"AZLON_{name.upper()}")
    if named:
        return pathlib.Path(shutil.which(named) or named)
    setup, kept = ROOT / "fcgi/spawn/setup.sh", ROOT / "build" / name
    r = subprocess.run([str(setup), name, str(kept)], capture_output=True, text=True, timeout=BUILD_S)
    if r.returncode:
        pytest.fail(f"no {name}: {r.stderr}", pytrace=False)
    return kept / "bin" / name


@pytest.fixture(scope="session")
def minio_program():
    return built("minio")


def pytest_collection_modifyitems(items):
    """Who needs what is built comes last, for it may be building still, and the first of each file waits for that."""

    def needs(item):  # a fixture for several stores asks for it by its parameter
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "versitygw_program" in item.fixturenames:
            return 2
        return int("minio_program" in item.fixturenames or "s3" in params)

    items.sort(key=needs)
    for kind in (1, 2):
        # whichever file a process takes first: each has its own of them
        for first in {i.path: i for i in reversed(items) if needs(i) == kind}.values():
            first.add_marker(pytest.mark.timeout(BUILD_S))


class S3Server(PeerServer):
    """One server. url is http://host, host what MINIO_ENDPOINT takes; env is for a Stack whose
    files are to be here."""

    access, secret, region = ACCESS, SECRET, "us-east-1"

    def __init__(self, program, **env):
        super().__init__(program)
        self.extra = env

    @property
    def host(self):
        return self.address

    @property
    def url(self):
        return f"http://{self.host}"

    @property
    def env(self):
        return {"MINIO_ENDPOINT": self.host, "MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret}

    def client(self, url=None, **how):
        """boto3's, as root; url when the server is reached through something."""
        return boto3.client("s3", endpoint_url=url or self.url, aws_access_key_id=self.access, aws_secret_access_key=self.secret,
                            region_name=self.region, config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **how))


class Minio(S3Server):
    name = "MinIO"

    # ---- for PeerServer ----
    def args(self):
        console = free_ports(1)[0]
        return ["server", "--quiet", "--address", self.host, "--console-address", f"127.0.0.1:{console}",
                "--certs-dir", self.dir / "certs", self.dir / "data"]

    def its_env(self):
        return {"MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret,
                "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off", "MINIO_BROWSER": "off", **self.extra}

    def answers(self):
        try:
            with requests.Session() as http:
                http.trust_env = False
                # the first is true as soon as it listens, the second when its disk can be used
                return all(http.get(f"{self.url}/minio/health/{what}", timeout=5).status_code == 200 for what in ("ready", "cluster"))
        except requests.RequestException:
            return False


@pytest.fixture(scope="session")
def minio(minio_program):
    """The session's server."""
    with closing(Minio(minio_program)) as m:
        yield m.start()


@pytest.fixture
def own_minio(minio_program):
    """For tests that stop it or want it otherwise: own_minio(MINIO_SITE_REGION="eu-1")."""
    yield from made_on_request(partial(Minio, minio_program))


@pytest.fixture(scope="session")
def s3_stack(minio):
    """A stack for the session whose files are in that server."""
    with closing(Stack(**minio.env)) as s:
        yield s.start()
