"""The official e2b package, unmodified, against the local sandbox server."""
import os

import pytest
import requests

from conftest import until


@pytest.fixture
def box(e2b):
    b = e2b.Sandbox.create(timeout=120, metadata={"purpose": "sdk test", "odd": "a b&c=d"})
    yield b
    b.kill()


def test_sandbox_commands_callbacks_and_exit_codes(e2b, box):
    out, err = [], []
    r = box.commands.run("echo hello; echo oops >&2", on_stdout=out.append, on_stderr=err.append)
    assert (r.stdout, r.stderr, r.exit_code) == ("hello\n", "oops\n", 0)
    assert "".join(out) == "hello\n" and "".join(err) == "oops\n"
    with pytest.raises(e2b.CommandExitException) as e:
        box.commands.run("echo before; exit 3")
    assert e.value.exit_code == 3 and e.value.stdout == "before\n"
    assert box.commands.run("echo $WHO in $PWD", envs={"WHO": "azlon"}, cwd="/tmp").stdout == "azlon in /tmp\n"
    assert box.commands.run("id -un; pwd").stdout == "user\n/home/user\n"


def test_sandbox_background_stdin_list_and_kill(e2b, box):
    cat = box.commands.run("cat", background=True, stdin=True)
    assert cat.pid in [p.pid for p in box.commands.list()]
    box.commands.send_stdin(cat.pid, "typed\n")
    box.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "typed\n"
    sleeper = box.commands.run("sleep 600", background=True)
    assert box.commands.kill(sleeper.pid) is True
    with pytest.raises(e2b.CommandExitException):
        sleeper.wait()
    assert box.commands.kill(999999) is False


def test_sandbox_command_timeout_kills_the_tree(e2b, box):
    with pytest.raises(e2b.TimeoutException):
        box.commands.run("sleep 301 & sleep 302", timeout=1)
    until(lambda: "sleep 30" not in box.commands.run("ps ax -o args || true").stdout)


def test_sandbox_timeout_holds_when_the_client_leaves_first(stack, e2b, box):
    frame = b'{"process":{"cmd":"/bin/sleep","args":["303"]}}'
    with pytest.raises(requests.RequestException):
        requests.post(f"http://127.0.0.1:{stack.local_port}/process.Process/Start",
                      data=b"\0" + len(frame).to_bytes(4, "big") + frame, timeout=(5, 0.5),
                      headers={"Content-Type": "application/connect+json", "Connect-Timeout-Ms": "2000",
                               "E2b-Sandbox-Id": box.sandbox_id, "E2b-Sandbox-Port": "49983",
                               "X-Access-Token": box._envd_access_token}).content
    assert "sleep 303" in box.commands.run("ps ax -o args").stdout
    until(lambda: "sleep 303" not in box.commands.run("ps ax -o args").stdout)


def test_sandbox_files_round_trip(e2b, box):
    body = bytes(range(256)) * 5000
    box.files.write("deep/er/data.bin", body)
    assert box.files.read("deep/er/data.bin", format="bytes") == body
    box.files.write("grüße.txt", "hällo")
    assert box.files.read("/home/user/grüße.txt") == "hällo"
    names = {e.name: e.type.value for e in box.files.list(".")}
    assert names["grüße.txt"] == "file" and names["deep"] == "dir"
    assert box.files.exists("deep") and not box.files.exists("shallow")
    assert box.files.make_dir("made") is True and box.files.make_dir("made") is False
    box.files.rename("grüße.txt", "made/new.txt")
    assert box.files.read("made/new.txt") == "hällo"
    box.files.remove("made")
    assert not box.files.exists("made")
    with pytest.raises(e2b.FileNotFoundException if hasattr(e2b, "FileNotFoundException") else e2b.NotFoundException):
        box.files.read("nowhere.txt")
    many = box.files.write_files([{"path": f"many/{i}.txt", "data": str(i)} for i in range(20)])
    assert len(many) == 20
    assert box.files.read("many/19.txt") == "19"


def test_sandbox_list_connect_timeout_and_kill(e2b, box):
    page = e2b.Sandbox.list(query=e2b.SandboxQuery(metadata={"odd": "a b&c=d"}))
    found = [s.sandbox_id for s in page.next_items()]
    assert box.sandbox_id in found
    again = e2b.Sandbox.connect(box.sandbox_id)
    again.files.write("shared.txt", "x")
    assert box.files.read("shared.txt") == "x"
    box.set_timeout(300)
    info = box.get_info()
    assert (info.end_at - info.started_at).total_seconds() > 200
    assert box.is_running()
    other = e2b.Sandbox.create(timeout=60)
    assert other.kill() is True
    assert other.is_running() is False
    with pytest.raises(e2b.SandboxException):
        other.commands.run("true")


def test_sandbox_expires(e2b):
    b = e2b.Sandbox.create(timeout=1)
    until(lambda: not b.is_running(), 15)


def test_sandbox_has_no_network_when_asked(e2b):
    b = e2b.Sandbox.create(timeout=60, allow_internet_access=False)
    try:
        r = b.commands.run("cat /proc/net/route | wc -l; curl -s -w '%{http_code}' http://example.com/")
        assert r.stdout.splitlines() == ["1", "blocked by the sandbox: no network", "403"], r.stdout
    finally:
        b.kill()


def test_sandbox_key_and_host_are_asked_for(stack, e2b):
    url = f"http://127.0.0.1:{stack.local_port}"
    assert requests.get(url + "/v2/sandboxes").status_code == 401
    assert requests.get(url + "/v2/sandboxes", headers={"X-API-Key": "e2b_00"}).status_code == 401
    ok = {"X-API-Key": os.environ["E2B_API_KEY"]}
    assert requests.get(url + "/v2/sandboxes", headers=ok).status_code == 200
    assert requests.get(url + "/v2/sandboxes", headers={**ok, "Host": "evil.example"}).status_code in (400, 403, 421)
    assert requests.post(url + "/v1/chat/completions", json={}).status_code == 401
