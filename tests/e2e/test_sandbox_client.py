"""Our client (tests/contract/sandbox_contract.c) on our own server, and on E2B's cloud."""
import os
import subprocess

import pytest

from conftest import BIN

CONTRACT = BIN.parent / "tests/contract/sandbox_contract"
CLOUD_KEY = os.environ.get("AZLON_TEST_E2B_KEY")


def run(**env):
    r = subprocess.run([CONTRACT], env={**os.environ, **env}, capture_output=True, text=True, timeout=300)
    told = r.stdout + r.stderr
    assert r.returncode == 0, told
    assert "[  PASSED  ]" in told and "[  FAILED  ]" not in told


def ours(stack):
    url = f"http://127.0.0.1:{stack.local_port}"
    return {"AZ_E2B_KEY": (stack.var / "secret" / "e2b.key").read_text(), "AZ_E2B_API": url, "AZ_E2B_SANDBOX": url}


def test_sandbox_client_on_our_server(stack):
    run(**ours(stack), AZ_E2B_OURS="1")


def test_sandbox_client_as_on_a_service_that_ends_one_process(stack):
    run(**ours(stack))


@pytest.mark.skipif(not CLOUD_KEY, reason="no account at E2B: E2B_API_KEY with make test-e2b")
def test_sandbox_client_on_e2b_cloud():
    run(AZ_E2B_KEY=CLOUD_KEY)
