"""The control plane as the official e2b package uses it: pause, lists, metrics, logs."""
import asyncio
import datetime
import json
import os
import pathlib

import pytest
import requests

from conftest import until


@pytest.fixture
def box(e2b):
    b = e2b.Sandbox.create(timeout=120)
    yield b
    b.kill()


@pytest.fixture
def api(stack):
    """Raw calls, for what the package has no method for."""
    def call(method, path, **kw):
        return requests.request(method, f"http://127.0.0.1:{stack.local_port}{path}", timeout=30,
                                headers={"X-API-Key": os.environ["E2B_API_KEY"]}, **kw)
    return call


def pages(paginator):
    out = []
    while paginator.has_next:
        out.append([s.sandbox_id for s in paginator.next_items()])
    return out


# ---- pause ----

def test_sandbox_pause_keeps_programs_and_files(e2b, box):
    box.files.write("kept.txt", "kept")
    cat = box.commands.run("cat", background=True, stdin=True)
    assert box.pause() is True
    assert box.pause() is False
    assert e2b.Sandbox.pause(box.sandbox_id) is False
    assert box.is_running() is False
    info = box.get_info()
    assert info.state == e2b.SandboxState.PAUSED
    assert info.lifecycle == {"on_timeout": "kill", "auto_resume": False}
    with pytest.raises(e2b.SandboxException):
        box.commands.run("true")
    with pytest.raises(e2b.SandboxException):
        box.files.read("kept.txt")
    with pytest.raises(e2b.NotFoundException):
        box.set_timeout(600)
    again = e2b.Sandbox.connect(box.sandbox_id, timeout=90)
    assert again.is_running() and again.get_info().state == e2b.SandboxState.RUNNING
    left = again.get_info().end_at - datetime.datetime.now(datetime.timezone.utc)
    assert 60 < left.total_seconds() <= 91
    assert again.files.read("kept.txt") == "kept"
    assert cat.pid in [p.pid for p in again.commands.list()]
    handle = again.commands.connect(cat.pid)
    again.commands.send_stdin(cat.pid, "still here\n")
    again.commands.close_stdin(cat.pid)
    assert handle.wait().stdout == "still here\n"


def test_sandbox_pause_ends_the_streams_that_follow(e2b, box):
    handle = box.commands.run("sleep 304", background=True)
    assert box.pause()
    with pytest.raises(e2b.SandboxException):
        handle.wait()
    box.connect()
    assert "sleep 304" in box.commands.run("ps ax -o args").stdout


def test_sandbox_pause_without_memory_drops_programs_only(e2b, box):
    box.files.write("kept.txt", "kept")
    box.commands.run("sleep 305", background=True)
    assert box.pause(mode="filesystem") is True
    box.connect()
    assert box.files.read("kept.txt") == "kept"
    assert "sleep 305" not in box.commands.run("ps ax -o args").stdout
    box.commands.run("sleep 306", background=True)
    assert box.pause() is True
    box.connect(on_resume="reboot")
    assert "sleep 306" not in box.commands.run("ps ax -o args").stdout


def test_sandbox_that_is_paused_is_killed(e2b):
    b = e2b.Sandbox.create(timeout=120)
    b.commands.run("sleep 307", background=True)
    assert b.pause()
    assert b.kill() is True
    assert b.kill() is False
    with pytest.raises(e2b.NotFoundException):
        b.get_info()
    with pytest.raises(e2b.NotFoundException):
        e2b.Sandbox.connect(b.sandbox_id)
    with pytest.raises(e2b.NotFoundException):
        e2b.Sandbox.pause(b.sandbox_id)


def test_sandbox_timeout_may_pause_and_traffic_wake(e2b):
    b = e2b.Sandbox.create(timeout=1, lifecycle={"on_timeout": "pause", "auto_resume": True})
    try:
        b.files.write("kept.txt", "kept")
        until(lambda: b.get_info().state == e2b.SandboxState.PAUSED, 20)
        assert b.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": True}
        assert b.is_running() is False  # to look at it does not wake it
        assert b.files.read("kept.txt") == "kept"
        assert b.is_running() is True
    finally:
        b.kill()


def test_sandbox_resume_by_the_old_route(e2b, box, api):
    assert api("POST", f"/sandboxes/{box.sandbox_id}/resume", json={}).status_code == 409
    assert box.pause()
    r = api("POST", f"/sandboxes/{box.sandbox_id}/resume", json={"timeout": 60})
    assert r.status_code == 201 and r.json()["envdAccessToken"] == box._envd_access_token
    assert box.commands.run("echo on").stdout == "on\n"
    # and connect of both versions tells what it did
    assert box.pause()
    v1 = f"/sandboxes/{box.sandbox_id}/connect"
    assert api("POST", v1, json={"timeout": 60}).status_code == 201
    assert api("POST", v1, json={"timeout": 60}).status_code == 200
    assert api("POST", "/v2" + v1).status_code == 200


def programs(arg):
    """Of this host, that were given it."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        try:
            if p.name.isdigit() and arg.encode() in (p / "cmdline").read_bytes().split(b"\0"):
                found.append(int(p.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("again", [True, False])
def test_sandbox_paused_when_its_server_is_killed_leaves_nothing(own_stack, again):
    s = own_stack()
    url, arg = f"http://127.0.0.1:{s.local_port}", f"86320.{s.local_port}"
    key = {"X-API-Key": (s.var / "secret" / "e2b.key").read_text()}
    box = requests.post(url + "/v2/sandboxes", headers=key, json={"templateID": "base"}, timeout=60).json()
    frame = json.dumps({"process": {"cmd": "sleep", "args": [arg]}}).encode()
    follow = requests.post(
        url + "/process.Process/Start", data=b"\0" + len(frame).to_bytes(4, "big") + frame, stream=True,
        timeout=60, headers={"Content-Type": "application/connect+json", "E2b-Sandbox-Port": "49983",
                             "E2b-Sandbox-Id": box["sandboxID"], "X-Access-Token": box["envdAccessToken"]})
    until(lambda: programs(arg))
    r = requests.post(f"{url}/sandboxes/{box['sandboxID']}/pause", headers=key, json={}, timeout=60)
    assert r.status_code == 204
    follow.close()
    s.kill_and_wait("sandbox")
    s.control("start" if again else "stop")
    until(lambda: not programs(arg))


# ---- lists ----

def test_sandbox_list_pages_and_filters(e2b):
    meta = {"suite": "list é&=+ %", "n": "1"}
    made = [e2b.Sandbox.create(timeout=120, metadata=meta) for _ in range(3)]
    try:
        ids = [b.sandbox_id for b in made]
        query = e2b.SandboxQuery(metadata={"suite": meta["suite"]})
        assert pages(e2b.Sandbox.list(query=query, limit=2)) == [ids[:0:-1], ids[:1]]
        assert pages(e2b.Sandbox.list(query=query, limit=2, order="asc")) == [ids[:2], ids[2:]]
        assert pages(e2b.Sandbox.list(query=query, limit=3)) == [ids[::-1]]
        assert made[1].pause()
        running = e2b.SandboxQuery(metadata=query.metadata, state=[e2b.SandboxState.RUNNING])
        paused = e2b.SandboxQuery(metadata=query.metadata, state=[e2b.SandboxState.PAUSED])
        both = e2b.SandboxQuery(metadata=query.metadata,
                                state=[e2b.SandboxState.RUNNING, e2b.SandboxState.PAUSED])
        assert pages(e2b.Sandbox.list(query=running)) == [[ids[2], ids[0]]]
        assert pages(e2b.Sandbox.list(query=paused)) == [[ids[1]]]
        assert pages(e2b.Sandbox.list(query=both)) == [ids[::-1]]
        started = made[2].get_info().started_at
        late = e2b.SandboxQuery(metadata=query.metadata, started_after=started)
        assert ids[2] in pages(e2b.Sandbox.list(query=late))[0]
        never = started + datetime.timedelta(hours=1)
        assert pages(e2b.Sandbox.list(query=e2b.SandboxQuery(started_after=never))) == [[]]
        base = e2b.SandboxQuery(metadata=query.metadata, template="base")
        assert len(pages(e2b.Sandbox.list(query=base))[0]) == 3
        other = e2b.SandboxQuery(template="other")
        assert pages(e2b.Sandbox.list(query=other)) == [[]]
        wrong = e2b.SandboxQuery(metadata={**query.metadata, "n": "2"})
        assert pages(e2b.Sandbox.list(query=wrong)) == [[]]
        with pytest.raises(e2b.SandboxException):
            e2b.Sandbox.list(next_token="bm9uc2Vuc2U").next_items()
    finally:
        for b in made:
            b.kill()


def test_sandbox_info_network_and_refusals(e2b, box):
    box.update_network({"allow_out": ["pkgs.example"], "deny_out": ["0.0.0.0/0"]})
    info = box.get_info()
    assert info.network == {"allow_out": ["pkgs.example"], "deny_out": ["0.0.0.0/0"], "allow_public_traffic": True}
    box.update_network({})
    info = box.get_info()
    assert info.allow_internet_access is True and info.network == {"allow_out": [], "deny_out": [], "allow_public_traffic": True}
    assert info.memory_mb > 0 and info.cpu_count >= 1 and info.template_id == "base"
    for wish, field in [({"network": {"dns_servers": ["1.1.1.1"]}}, "dnsServers"),
                        ({"network": {"mask_request_host": "a b"}}, "maskRequestHost"),
                        ({"mcp": {"x": {}}}, "mcp")]:
        with pytest.raises(e2b.SandboxException, match=field):
            e2b.Sandbox.create(timeout=60, **wish)
    with pytest.raises(e2b.SandboxException, match="not found"):
        e2b.Sandbox.create("no-such-template", timeout=60)
    with pytest.raises(e2b.SandboxException, match="snapshots"):
        box.create_snapshot()


def test_sandbox_timeout_of_nothing_ends_it(e2b):
    b = e2b.Sandbox.create(timeout=120)
    b.set_timeout(0)
    until(lambda: not b.is_running())
    with pytest.raises(e2b.NotFoundException):
        b.set_timeout(60)


def test_sandbox_create_is_done_once_for_a_key(e2b):
    one = e2b.Sandbox.create(timeout=120, idempotency_key="sdk-once")
    two = e2b.Sandbox.create(timeout=120, idempotency_key="sdk-once")
    try:
        assert one.sandbox_id == two.sandbox_id
        with pytest.raises(e2b.SandboxException):
            e2b.Sandbox.create(timeout=60, idempotency_key="sdk-once")
    finally:
        one.kill()


# ---- metrics, logs, templates ----

def test_sandbox_metrics(e2b, box, api):
    box.files.write("big", b"x" * 3_000_000)
    until(box.get_metrics, 20)
    m = box.get_metrics()[-1]
    assert m.cpu_count >= 1 and 0 <= m.cpu_used_pct
    assert 0 < m.mem_used <= m.mem_total and m.mem_cache >= 0
    assert m.disk_used <= m.disk_total
    until(lambda: box.get_metrics()[-1].disk_used >= 3_000_000, 60)
    later = m.timestamp + datetime.timedelta(hours=1)
    assert box.get_metrics(start=later) == []
    assert box.get_metrics(end=m.timestamp - datetime.timedelta(hours=1)) == []
    r = api("GET", "/sandboxes/metrics", params={"sandbox_ids": f"{box.sandbox_id},gone"})
    assert list(r.json()["sandboxes"]) == [box.sandbox_id]
    assert box.pause()
    assert box.get_metrics()  # they stay to be read
    with pytest.raises(e2b.NotFoundException):
        e2b.Sandbox.get_metrics("i00000000000000000000")


def test_sandbox_logs_tell_its_life_and_no_secrets(e2b, box, api):
    with pytest.raises(e2b.CommandExitException):
        box.commands.run("echo hush-output; exit 4 # hush-arg", envs={"X": "hush-env"})
    r = api("GET", f"/v2/sandboxes/{box.sandbox_id}/logs")
    messages = [e["message"] for e in r.json()["logs"]]
    assert messages == ["sandbox started", "command started", "command ended"]
    assert r.json()["logs"][2]["fields"]["exit_code"] == "4"
    assert "hush" not in r.text
    back = api("GET", f"/v2/sandboxes/{box.sandbox_id}/logs",
               params={"direction": "backward", "limit": 1}).json()["logs"]
    assert [e["message"] for e in back] == ["command ended"]
    box.kill()
    old = api("GET", f"/sandboxes/{box.sandbox_id}/logs").json()
    assert [e["message"] for e in old["logEntries"]][-1] == "sandbox ended"
    assert len(old["logs"]) == len(old["logEntries"])


def test_sandbox_templates_are_known_by_name(e2b):
    assert e2b.Template.exists("base") is True
    assert e2b.Template.exists("no-such-template") is False


# ---- the other half of the package ----

def test_sandbox_control_async(e2b):
    async def life():
        b = await e2b.AsyncSandbox.create(timeout=120, metadata={"half": "async"})
        try:
            assert await b.pause() is True
            assert await b.pause() is False
            assert await b.is_running() is False
            query = e2b.SandboxQuery(metadata={"half": "async"}, state=[e2b.SandboxState.PAUSED])
            found = await e2b.AsyncSandbox.list(query=query).next_items()
            assert [s.sandbox_id for s in found] == [b.sandbox_id]
            again = await e2b.AsyncSandbox.connect(b.sandbox_id)
            assert (await again.commands.run("echo on")).stdout == "on\n"
            # all at once: one wins, nobody breaks
            results = await asyncio.gather(*(again.pause() for _ in range(4)))
            assert sorted(results) == [False, False, False, True]
            await asyncio.gather(*(e2b.AsyncSandbox.connect(b.sandbox_id) for _ in range(4)))
            assert await b.is_running()
            await b.set_timeout(300)
            assert (await b.get_info()).state == e2b.SandboxState.RUNNING
            assert isinstance(await b.get_metrics(), list)
        finally:
            assert await b.kill() is True
    asyncio.run(life())
