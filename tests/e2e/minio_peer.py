"""A real MinIO for tests, on free loopback ports and a directory of its own, that can be stopped,
shot, frozen and brought back on the same address. AZLON_MINIO names its program; else the one that
`setup.sh minio` builds once is used, and waited for when that is still under way."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import boto3
import pytest
import requests
from botocore.config import Config

from conftest import ROOT, Stack, free_ports, until

ACCESS, SECRET = "azlon-test", "azlon-test-secret"


BUILD_S = 1800


@pytest.fixture(scope="session")
def minio_program():
    named = os.environ.get("AZLON_MINIO")
    if named:
        return pathlib.Path(shutil.which(named) or named)
    setup, kept = ROOT / "fcgi/spawn/setup.sh", ROOT / "build/minio"
    r = subprocess.run([str(setup), "minio", str(kept)], capture_output=True, text=True, timeout=BUILD_S)
    if r.returncode:
        pytest.fail(f"no MinIO: {r.stderr}", pytrace=False)
    return kept / "bin/minio"


def pytest_collection_modifyitems(items):
    """Who needs it comes last, for it may be building still, and the first of them waits for that."""

    def needs(item):  # a fixture for several stores asks for it by its parameter
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return "minio_program" in item.fixturenames or "s3" in params

    items.sort(key=needs)
    late = [i for i in items if needs(i)]
    if late:
        late[0].add_marker(pytest.mark.timeout(BUILD_S))


class Minio:
    """One server. url is http://host, host what MINIO_ENDPOINT takes; env is for a Stack whose
    files are to be here."""

    access, secret = ACCESS, SECRET

    def __init__(self, program, **env):
        self.program = program
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-minio-"))
        self.extra = env
        self.port = None
        self.proc = None

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.host}"

    @property
    def pid(self):
        return self.proc.pid

    @property
    def env(self):
        return {"MINIO_ENDPOINT": self.host, "MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret}

    def client(self, url=None, **how):
        """boto3's, as root; url when the server is reached through something."""
        return boto3.client("s3", endpoint_url=url or self.url, aws_access_key_id=self.access, aws_secret_access_key=self.secret,
                            region_name="us-east-1", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **how))

    # ---- life ----
    def start(self):
        """Start, or start again after stop() on the same port and directory."""
        if self.port is not None:
            self._launch()
            return self._ready()
        for last in (False, False, True):
            self.port = free_ports(1)[0]
            self._launch()
            try:
                return self._ready()
            except ChildProcessError:  # somebody else was quicker on the port
                if last:
                    raise

    def stop(self, sig=signal.SIGKILL):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.send_signal(sig)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()

    def pause(self):
        """It takes connections and answers nothing, until resume()."""
        self.proc.send_signal(signal.SIGSTOP)

    def resume(self):
        self.proc.send_signal(signal.SIGCONT)

    def close(self):
        self.stop()
        if not os.environ.get("AZLON_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, lines=30):
        return "\n".join((self.dir / "log").read_text(errors="replace").splitlines()[-lines:])

    # ---- private ----
    def _launch(self):
        console = free_ports(1)[0]
        args = [self.program, "server", "--quiet", "--address", self.host, "--console-address", f"127.0.0.1:{console}",
                "--certs-dir", self.dir / "certs", self.dir / "data"]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret,
               "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off", "MINIO_BROWSER": "off", **self.extra}
        with open(self.dir / "log", "ab") as log:
            self.proc = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ready(self):
        try:
            until(self._answers, within=60)
        except AssertionError as e:
            raise RuntimeError(f"MinIO is not ready: {e}\n{self.log()}") from None
        return self

    def _answers(self):
        if self.proc.poll() is not None:
            raise ChildProcessError(f"MinIO ended with {self.proc.returncode}:\n{self.log()}")
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
    m = Minio(minio_program)
    try:
        yield m.start()
    finally:
        m.close()


@pytest.fixture
def own_minio(minio_program):
    """For tests that stop it or want it otherwise: own_minio(MINIO_SITE_REGION="eu-1")."""
    made = []

    def make(**env):
        made.append(Minio(minio_program, **env))
        return made[-1].start()

    yield make
    for m in made:
        m.close()


@pytest.fixture(scope="session")
def s3_stack(minio):
    """A stack for the session whose files are in that server."""
    s = Stack(**minio.env)
    try:
        yield s.start()
    finally:
        s.close()
