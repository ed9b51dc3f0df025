"""The contract of stores (tests/contract/store_s3_contract.c), on a real MinIO."""
import os
import subprocess

from conftest import BIN

CONTRACT = BIN.parent / "tests/contract/store_s3_contract"


def test_the_contract_holds_on_minio(minio):
    env = {**os.environ, "AZ_S3": minio.url, "AZ_S3_USER": minio.access, "AZ_S3_PASSWORD": minio.secret}
    r = subprocess.run([CONTRACT], env=env, capture_output=True, text=True, timeout=200)
    told = r.stdout + r.stderr
    assert r.returncode == 0, told
    assert "[  PASSED  ]" in told and "[  FAILED  ]" not in told
