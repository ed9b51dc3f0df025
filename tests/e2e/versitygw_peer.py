"""A second S3 server, versitygw on a directory: stricter than MinIO and without STS, in a region that
nobody told us, and with no connection that is kept. AZLON_VERSITYGW names its program; else the one
that `setup.sh versitygw` builds once is used."""
from contextlib import closing

import pytest
import requests

from minio_peer import S3Server, built


class Versitygw(S3Server):
    name = "versitygw"
    region = "eu-test-7"

    # ---- for PeerServer ----
    def args(self):
        data = self.dir / "data"
        data.mkdir(exist_ok=True)
        # its tags are attributes of the files: kept beside them instead, conditional writes lose some
        return ["--port", self.host, "--health", "/health", "posix", data]

    def its_env(self):
        return {"ROOT_ACCESS_KEY_ID": self.access, "ROOT_SECRET_ACCESS_KEY": self.secret, "VGW_REGION": self.region, **self.extra}

    def answers(self):
        try:
            with requests.Session() as http:
                http.trust_env = False
                return http.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@pytest.fixture(scope="session")
def versitygw_program():
    return built("versitygw")


@pytest.fixture(scope="module")
def versitygw(versitygw_program):
    with closing(Versitygw(versitygw_program)) as server:
        yield server.start()
