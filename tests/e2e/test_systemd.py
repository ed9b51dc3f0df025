"""Azlon under a systemd that is PID 1, on a host made by the commands of the pages (web_host.py): make test-full."""
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing

import pytest

from booted import POWER_OFF, wait_for, why_not
from conftest import FULL, example
from test_faults import check_finished_once
from test_runs import expected_months, upload_weather
from traffic import Traffic
from web_host import ALONE, SERVICES, SOCKETS, UNITS_PAGE, WEB, WebHost, in_prose, upgrade

LOCAL = "http://127.0.0.1:8090"
NOT_HERE = why_not() if FULL else None
pytestmark = [
    pytest.mark.skipif(not FULL, reason="a system to install and to boot"),
    pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE or ""),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def host():
    with closing(WebHost()) as h, h.machine.network():
        yield h.set_up()


@pytest.fixture(scope="module")
def m(host):
    return host.machine


@pytest.fixture(scope="module")
def weather(host):
    """A run with a file of the user's, to its end."""
    wid = host.start_run({**example("weather"), "inputs": [upload_weather(host)]})
    return wid, host.finish(wid)


def served(host, wid):
    """Its files, by both pools of them."""
    rows = list(csv.DictReader(io.StringIO(host.get(f"/files/{wid}/summary.csv").text)))
    assert [(r["month"], r["precipitation"]) for r in rows] == [(k, f"{v[1]:.1f}") for k, v in expected_months().items()]
    with zipfile.ZipFile(io.BytesIO(host.get(f"/files/{wid}?format=zip").content)) as z:
        assert {"main.py", "summary.csv", "chart.svg"} <= set(z.namelist()) and not z.testzip()


def paths(wid):
    """What every pool answers from."""
    return ["/run_workflow?limit=5", f"/run_workflow/{wid}", f"/run_workflow/{wid}?wait=0", f"/files/{wid}", f"/files/{wid}/main.py",
            f"/files/{wid}?format=zip"]


# ---- a host ----

def test_the_commands_of_the_pages_make_a_host_that_works(host, m, weather):
    wid, run = weather
    assert not host.all_active()
    assert "azlon" not in m.run("systemctl", "--failed", "--plain", "--no-legend").stdout
    # what the last of the commands showed
    assert json.loads(host.said)["status"], host.said
    assert run["status"] == "succeeded" and run["progress"]["iteration"] == 2, run
    served(host, wid)
    assert "<title>" in host.get("/", user=None).text and host.get("/run_workflow", user=None).status_code == 401
    # nobody but root may read what it was told; and what nginx said of its files is nothing
    assert m.sh("stat -c %a:%U /etc/azlon/azlon.env") == "600:root\n"
    assert m.run("nginx", "-t", "-q").stderr == ""


def test_an_answer_is_found_in_the_journal_by_its_id(host, m):
    r = host.get("/run_workflow/no-such-run")
    assert r.status_code == 404
    wait_for(lambda: f"req={r.headers['X-Request-Id']}" in m.journal("-u", "azlon-*", "-n", "50"), host.logs)


def test_two_of_a_kind_take_requests_of_one_socket(host, m, weather):
    pids = [m.pid(u) for u in WEB]
    assert len(set(pids)) == len(WEB)
    inodes = {u: m.sh(f"readlink /proc/{p}/fd/0").strip() for u, p in zip(WEB, pids)}
    for a, b in zip(WEB[::2], WEB[1::2]):
        assert inodes[a] == inodes[b] and inodes[a].startswith("socket:"), inodes
    assert len(set(inodes.values())) == len(WEB) // 2


# ---- walls ----

def status(m, unit):
    return dict(line.split(":\t", 1) for line in m.sh(f"cat /proc/{m.pid(unit)}/status").splitlines() if ":\t" in line)


@pytest.mark.parametrize("unit", WEB + ALONE)
def test_a_process_has_its_user_and_no_power(host, m, unit):
    user = "azlon-sandbox" if unit == "azlon-sandbox" else "azlon"
    have = status(m, unit)
    assert m.sh(f"id -nu {have['Uid'].split()[2]}").strip() == user == m.show(unit, "User")
    assert set(have["Groups"].split()) <= {have["Gid"].split()[0]}
    assert {int(have[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if user == "azlon":
        assert (have["NoNewPrivs"], have["Seccomp"], int(have["CapBnd"], 16)) == ("1", "2", 0)
    environment = m.sh(f"cat /proc/{m.pid(unit)}/environ").split("\0")
    assert ("OPENAI_KEY_CANARY=canary-of-the-host" in environment) == (user == "azlon")


KEYS = {"/var/lib/azlon/secret/e2b.key", "/var/lib/azlon/secret/replay.key"}
STATE = {"/var/lib/azlon/journal/journal.db", "/var/lib/azlon/secret/azlon.secret"}
BOX = {"/var/lib/azlon/box/e2b.key"}
NOBODYS = {"/etc/azlon/azlon.env", "/home/alice/notes", "/root/notes", "/tmp/notes"}  # words: ok, of the booted host
READABLE = {"azlon-sandbox": BOX, "azlon-replay": KEYS | {"/var/lib/azlon/secret/azlon.secret"}}


@pytest.mark.parametrize("unit", WEB + ALONE)
def test_secrets_are_read_by_those_whose_they_are(host, m, unit):
    m.sh("for d in /home/alice /root /tmp; do mkdir -p $d; echo mine >$d/notes; chmod 644 $d/notes; done; chmod 755 /root")  # words: ok, of the booted host
    r = m.as_unit(unit, "sh", "-c", 'for f; do ! cat "$f" >/dev/null 2>&1 || echo "$f"; done', "sh", *KEYS, *STATE, *BOX, *NOBODYS, check=True)
    assert set(r.stdout.split()) == READABLE.get(unit, KEYS | STATE)


WRITABLE = {"azlon-replay": set(), "azlon-sandbox": {"/var/lib/azlon/box", "/run/azlon/ports"}}
PLACES = ["/etc", "/usr/local/bin", "/var/lib", "/var/lib/azlon", "/var/lib/azlon/store", "/var/lib/azlon/journal", "/var/lib/azlon/secret",
          "/var/lib/azlon/box", "/run/azlon", "/run/azlon/ports", "/var/log", "/home"]


@pytest.mark.parametrize("unit", WEB + ALONE)
def test_a_unit_writes_where_its_state_is(host, m, unit):
    r = m.as_unit(unit, "sh", "-c", 'for d; do ! ( : >"$d/.try" ) 2>/dev/null || { rm "$d/.try"; echo "$d"; }; done', "sh", *PLACES, check=True)
    assert set(r.stdout.split()) == WRITABLE.get(unit, {f"/var/lib/azlon/{d}" for d in ("store", "journal", "secret")})
    if unit != "azlon-sandbox":  # whose namespaces want a /proc of which nothing is hidden
        assert m.as_unit(unit, "test", "-e", "/proc/1").returncode == 1


CONNECT = "import socket, sys; s = socket.socket(int(sys.argv[1])); s.settimeout(5); s.connect(eval(sys.argv[2]))"


def test_recordings_are_played_without_a_network(host, m):
    for unit, ok in (("azlon-worker", True), ("azlon-replay", False)):
        assert (m.as_unit(unit, "python3", "-c", CONNECT, 2, "('127.0.0.1', 443)").returncode == 0) == ok, unit


def test_only_nginx_reaches_the_sockets(host, m):
    listening = [m.show(s, "Listen").split()[0] for s in SOCKETS] + ["/run/azlon/ports/http.sock"]
    for user, ok in (("www-data", True), ("nobody", False), ("azlon-sandbox", False)):
        for path in listening:
            r = m.run("setpriv", "--reuid", user, "--regid", m.sh(f"id -gn {user}").strip(), "--init-groups", "python3", "-c", CONNECT, 1, repr(path), check=False)
            # whose socket it is may
            own = user == "azlon-sandbox" and ("sandbox" in path or "ports" in path)
            assert (r.returncode == 0) == (ok or own), (user, path, r.stderr)


def test_sandboxes_have_all_their_walls(host, m):
    r = host.http.get(f"{LOCAL}/azlon/health", headers={"X-API-Key": m.sh("cat /var/lib/azlon/box/e2b.key")})
    said = r.json()
    assert said["level"] == "namespaces+seccomp" and said["uid_mode"] == "pair" and all(said["canaries"].values()), said
    group = m.sh(f"cat /proc/{m.pid('azlon-sandbox')}/cgroup").strip()
    assert group.endswith("/azlon-sandbox.service/server"), group
    assert said["cgroup"] == ("v2" if "memory" in m.sh("cat /sys/fs/cgroup/cgroup.controllers") else "rlimits"), said


# ---- restarts, crashes ----

def test_an_upgrade_fails_no_request_and_no_run(host, m, weather):
    before = {u: m.pid(u) for u in WEB + ALONE}
    wid = host.start_run(example("human-eval-065"))
    with Traffic(host, paths(weather[0]), rate=100) as t:
        upgrade(host)
        wait_for(lambda: t.sent > 300, lambda: t.sent)
    assert not t.failed, (len(t.failed), t.sent, t.failed[:3], host.logs())
    assert not [u for u, p in before.items() if p == m.pid(u)] and not host.all_active()
    check_finished_once(host, wid, "human-eval-065")


def connections(m, unit, sock):
    """How many requests that came by this socket it has in hand."""
    ours = {f[6] for f in (line.split() for line in m.sh("cat /proc/net/unix").splitlines()) if f[-1] == sock and f[5] == "03"}
    fds = m.sh(f"ls -l /proc/{m.pid(unit)}/fd")
    return len(ours & set(re.findall(r"socket:\[(\d+)\]", fds)))


def test_who_crashes_takes_its_own_requests_along_and_is_back(host, m):
    unit, sock = "azlon-run_workflow-wait", "/run/azlon/run_workflow-wait.sock"
    both = [f"{unit}@{i}" for i in (1, 2)]
    wid = host.start_run(example("endless"))
    got, asking = [], []
    for _ in range(12):
        asking.append(threading.Thread(target=lambda: got.append(host.get(f"/run_workflow/{wid}/result?wait=60").status_code)))
        asking[-1].start()
    wait_for(lambda: sum(connections(m, u, sock) for u in both) == 12, host.logs)
    victim, other = sorted(both, key=lambda u: -connections(m, u, sock))
    had, pids = connections(m, victim, sock), [m.pid(u) for u in (victim, other)]
    m.kill(victim)
    wait_for(lambda: len(got) == had, lambda: (had, got))
    assert set(got) == {503}
    wait_for(lambda: m.show(victim, "ActiveState") == "active" and m.pid(victim) not in (0, pids[0]), host.logs)
    assert m.pid(other) == pids[1] and len(got) == had
    host.post(f"/run_workflow/{wid}/cancel", json={"mode": "now"})
    for t in asking:
        t.join(60)
    assert len(got) == 12 and set(got[had:]) <= {200}
    assert not host.all_active()


@pytest.mark.parametrize("unit", ["azlon-worker", "azlon-sandbox", "azlon-replay"])
def test_runs_outlive_the_parts_that_carry_them_out(host, m, unit):
    wids = {n: host.start_run(example(n)) for n in ("human-eval-108", "hopeless")}
    wait_for(lambda: any(e["type"] == "iteration.start" for e in host.events(wids["hopeless"])), host.logs)
    before = m.pid(unit)
    m.kill(unit)
    for name, wid in wids.items():
        check_finished_once(host, wid, name)
    assert m.show(unit, "ActiveState") == "active" and m.pid(unit) != before


RUN_FOR_LONG = """
import e2b
command = e2b.Sandbox.create(timeout=60).commands.run("sleep 60", background=True)
print("runs", flush=True)
try:
    command.wait()
except e2b.exceptions.SandboxNotRunningException:
    print("gone")
"""


def test_a_restart_of_the_sandboxes_fails_no_command(host, m):
    """Who runs one is told that the sandbox is gone, not that the program was killed, for which it would be blamed."""
    key = m.sh("cat /var/lib/azlon/box/e2b.key")
    # in a process of its own: the threads that the package keeps would stay in this host's network
    with subprocess.Popen([sys.executable, "-c", RUN_FOR_LONG], stdout=subprocess.PIPE, text=True,
                          env={"PATH": os.environ["PATH"], "E2B_API_KEY": key, "E2B_API_URL": LOCAL, "E2B_SANDBOX_URL": LOCAL}) as p:
        assert p.stdout.readline() == "runs\n"
        m.run("systemctl", "restart", "azlon-sandbox")
        assert p.communicate(timeout=60)[0] == "gone\n"


@pytest.mark.parametrize("sig", [signal.SIGKILL, POWER_OFF], ids=["lost its power", "was shut down"])
def test_a_host_goes_on_after_the_boot(host, m, weather, sig):
    wid = host.start_run(example("human-eval-108"))
    wait_for(lambda: any(e["type"] == "iteration.start" for e in host.events(wid)), host.logs)
    m.off(sig, within=30)
    m.boot()
    host.ready()
    assert not host.all_active()
    check_finished_once(host, wid, "human-eval-108")
    served(host, weather[0])


# ---- what is wrong ----

def refused(m, unit, name, since):
    """It ended for what it said of that variable, and nobody tries again."""
    assert m.show(unit, "ActiveState", "Result", "ExecMainStatus", "NRestarts") == ["failed", "exit-code", "78", "0"], unit
    wait_for(lambda: name in m.journal("-u", unit, "--since", since), lambda: m.journal("-u", unit, "-n", "20"))


def test_a_wrong_variable_refuses_a_restart_by_its_name(host, m):
    for unit in ALONE:
        with host.setting("AZLON_LOG_LEVEL=loud", *(["sandbox"] if unit == "azlon-sandbox" else [])):
            since = m.sh("date +@%s.%N").strip()
            r = m.run("systemctl", "restart", unit, check=False)
            assert r.returncode != 0 and unit in r.stderr, r
            refused(m, unit, "AZLON_LOG_LEVEL", since)
        m.run("systemctl", "restart", unit)
    host.ready()
    assert not host.all_active()


def test_with_a_wrong_variable_the_second_of_each_kind_serves_on(host, m, weather):
    with host.setting("AZLON_THREADS=0"), Traffic(host, paths(weather[0]), rate=100) as t:
        since = m.sh("date +@%s.%N").strip()
        r = m.run("systemctl", "restart", "azlon-*@1.service", check=False)
        sent = t.sent
        wait_for(lambda: t.sent > sent + 100, lambda: t.sent)
        assert r.returncode != 0 and not t.failed, (r, t.failed[:3])
        for unit in WEB[::2]:
            refused(m, unit, "AZLON_THREADS", since)
    m.run("systemctl", "restart", "azlon-*@1.service")
    assert not t.failed and not host.all_active()


def test_all_that_was_refused_starts_once_it_is_right(host, m):
    with host.setting("AZLON_THREADS=0"):
        m.run("systemctl", "restart", "azlon.target", check=False)
        refusing = [u for u in SERVICES if "sandbox" not in u]
        wait_for(lambda: {host.states().get(u) for u in refusing} == {"failed"}, host.states)
        # who asks is told at once, and is no reason to try again
        starts = [m.show(u, "InvocationID") for u in refusing]
        for path in ("/run_workflow", "/files/x", "/run_workflow/x/events", "/files/x?format=zip"):
            r = host.get(path, timeout=10)
            assert r.status_code == 503 and r.headers["Content-Type"] == "application/problem+json"
        assert {host.states().get(u) for u in SOCKETS if "sandbox" not in u} == {"inactive"}
        assert starts == [m.show(u, "InvocationID") for u in refusing]
    m.run("systemctl", "start", "azlon.target")
    host.ready()
    assert not host.all_active()


# ---- the end of a day ----

def test_a_stop_leaves_nothing_and_a_start_has_all(host, m, weather):
    wid = host.start_run(example("human-eval-108"))
    wait_for(lambda: any(e["type"] == "iteration.start" for e in host.events(wid)), host.logs)
    stream = host.get(f"/run_workflow/{wid}/events", stream=True, headers={"Accept": "text/event-stream"})
    begun = time.monotonic()
    m.sh(in_prose(UNITS_PAGE, "systemctl stop [^`]*"))
    assert time.monotonic() - begun < 20
    assert b"restarting" in stream.content
    states = host.states()
    assert not [u for u in (*SERVICES, *SOCKETS, "azlon.target") if states.get(u, "inactive") != "inactive"], states
    # neither ours nor what sandboxes ran
    assert not host.of_users() and max(int(u) for u in m.sh("ps -eo uid=").split()) < 65536
    assert host.get("/run_workflow").status_code == 503
    m.run("systemctl", "start", "azlon.target")
    host.ready()
    assert not host.all_active()
    check_finished_once(host, wid, "human-eval-108")
    served(host, weather[0])


OTHER = {"AZLON_PORT": 8000, "AZLON_TLS_PORT": 8444, "AZLON_LOCAL_PORT": 8091}


def test_logs_of_a_stack_without_units_are_rotated(host, m):
    """stack.sh beside the units, on ports of its own; its logs by Debian's logrotate, as its timer starts it."""
    stack, log = "/usr/local/share/azlon/spawn/stack.sh", "/var/lib/azlon/stack/log"
    m.run(stack, "start", env=OTHER)
    try:
        m.sh("install -m 644 /usr/local/share/azlon/azlon.logrotate /etc/logrotate.d/azlon")
        ask = "curl -sf http://127.0.0.1:8000/run_workflow"
        m.sh(ask)
        for f, text in (("run_workflow", "ev=http.request"), ("nginx-access", "/run_workflow")):
            wait_for(lambda: text in m.sh(f"cat {log}/{f}.log"), lambda: m.sh(f"tail {log}/*"))
        # the last time is long ago
        names = m.sh(f"cd {log}; for f in *.log; do [ ! -s $f ] || echo $f; done").split()
        m.run("sh", "-c", "cat >/var/lib/logrotate/status", input="logrotate state -- version 2\n" + "".join(f'"{log}/{n}" 2020-1-1-0:0:0\n' for n in names))
        m.run("systemctl", "start", "logrotate.service")
        assert {"run_workflow.log", "worker.log", "nginx-access.log"} <= set(names)
        assert set(m.sh(f"cd {log}; ls *.gz").split()) == {f"{n}.1.gz" for n in names}
        assert "ev=http.request" in m.sh(f"zcat {log}/run_workflow.log.1.gz") and "ev=http.request" not in m.sh(f"cat {log}/run_workflow.log")
        m.sh(ask)
        wait_for(lambda: "ev=http.request" in m.sh(f"cat {log}/run_workflow.log"), lambda: m.sh(f"tail {log}/*"))
    finally:
        m.run(stack, "stop", env=OTHER)
    assert not host.all_active()
