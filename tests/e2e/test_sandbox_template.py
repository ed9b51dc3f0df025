"""A template that is a whole system of its own, made as the manual says: make test-full."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
import requests

from conftest import FULL, Stack

KEYS = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
pytestmark = [
    pytest.mark.skipif(not FULL, reason="a system to install"),
    pytest.mark.skipif(os.getuid() != 0 or not KEYS.exists() or not shutil.which("debootstrap"),
                       reason="debootstrap wants root and Debian's keys"),
]


@pytest.fixture(scope="module")
def stack():
    templates = pathlib.Path(tempfile.mkdtemp(prefix="azlon-templates-"))
    templates.chmod(0o755)
    s = Stack(AZLON_TEMPLATES_DIR=str(templates))
    try:
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", templates / "bookworm"], check=True, capture_output=True, timeout=220)
        yield s.start()
    finally:
        s.close()
        shutil.rmtree(templates, ignore_errors=True)


@pytest.fixture(scope="module")
def box(stack, e2b):
    b = e2b.Sandbox.create("bookworm", timeout=300)
    yield b
    b.kill()


@pytest.mark.timeout(400)
def test_sandbox_template_is_listed(stack, e2b, box):
    r = requests.get(f"http://127.0.0.1:{stack.local_port}/templates", headers={"X-API-Key": os.environ["E2B_API_KEY"]})
    assert "bookworm" in [t["templateID"] for t in r.json()]
    assert box.get_info().template_id == "bookworm"


@pytest.mark.timeout(400)
def test_sandbox_template_has_its_own_programs(e2b, box):
    assert box.commands.run("cat /etc/debian_version").stdout.startswith("12.")
    assert "amd64" in box.commands.run("dpkg --print-architecture").stdout or os.uname().machine != "x86_64"
    # minbase has none, whatever the host has
    for program in ("python3", "gcc", "node"):
        with pytest.raises(e2b.CommandExitException):
            box.commands.run(f"command -v {program}")
    assert box.commands.run("perl -e 'print 6 * 7'").stdout == "42"


@pytest.mark.timeout(400)
def test_sandbox_template_is_behind_the_same_walls(e2b, box):
    assert box.commands.run("id -u; pwd; cat /proc/sys/kernel/hostname").stdout == "1000\n/home/user\ne2b.local\n"
    for cmd in ("touch /usr/bin/x", "touch /etc/x", "apt-get update -o Acquire::Retries=0", "chroot / true", "mount -t tmpfs x /mnt"):
        with pytest.raises(e2b.CommandExitException):
            box.commands.run(cmd, timeout=60)
    box.files.write("kept", "mine")
    assert box.commands.run('cat kept; cat /etc/shadow 2>/dev/null || echo ", hidden"; grep ^user: /etc/passwd | cut -d: -f3').stdout == "mine, hidden\n1000\n"
