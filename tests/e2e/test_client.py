"""The azlon client against a scripted peer: what it sends, how it follows a run whose
stream is cut, and which exit status it ends with. The whole stack is tested elsewhere."""

import json
import os
import pty
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AZLON = str(Path(os.environ.get("AZLON_BIN", ROOT / "build/release/bin")) / "azlon")
ID = "user-alice-1790000000000-abcdefghijklmnopqrstuvwxyz"


def run_object(status, **more):
    return {
        "workflow_id": ID, "user_id": "alice", "status": status, "phase": "execute",
        "reason": None, "result": None,
        "progress": {"percent": 10, "iteration": 1, "max_iterations": 20, "tail": ""},
        "checks": [{"id": "c1", "status": "pass", "ms": 41}],
        "model": {"name": "recording/x", "provenance": "recording"},
        "usage": {"llm_calls": 2, "tokens_in": 10, "tokens_out": 5, "sandbox_s": 1},
        "links": {"self": f"/run_workflow/{ID}", "files": f"/files/{ID}",
                  "zip": f"/files/{ID}?format=zip"},
        **more,
    }


EVENTS = [
    ("run.status", {"seq": 1, "iteration": 0, "status": "running"}),
    ("iteration.start", {"seq": 2, "iteration": 1, "max_iterations": 20}),
    ("check", {"seq": 3, "iteration": 1, "id": "c1", "status": "fail",
               "message": "1 failed"}),
    ("iteration.start", {"seq": 4, "iteration": 2, "max_iterations": 20}),
    ("check", {"seq": 5, "iteration": 2, "id": "c1", "status": "pass"}),
    ("run.finished", {"seq": 6, "iteration": 2, "status": "succeeded"}),
]


class Peer:
    """Answers by method and path; every request is kept. An answer is a function of
    the handler, or (status, object)."""

    def __init__(self):
        peer = self
        self.requests, self.answers = [], {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                n = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(n)
                peer.requests.append((self.command, self.path, dict(self.headers), self.body))
                answer = peer.answers.get((self.command, self.path.split("?")[0]))
                if answer is None:
                    answer = (404, {"title": "Not Found", "detail": "no such thing"})
                if callable(answer):
                    return answer(self)
                self.send(answer[0], json.dumps(answer[1]).encode(), "application/json")

            do_GET = do_POST = serve

            def send(self, status, body, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def streams(self):
        return [r for r in self.requests if r[1].endswith("/events")]


@pytest.fixture
def peer():
    p = Peer()
    yield p
    p.server.shutdown()
    p.server.server_close()


def azlon(peer, *args, **kw):
    env = {"PATH": os.environ["PATH"], "AZLON_URL": peer.url + "/", "AZLON_USER": "alice"}
    env.update(kw.pop("env", {}))
    return subprocess.run([AZLON, *args], env=env, capture_output=True, text=True,
                          timeout=60, **kw)


def frames(events, progress=False):
    out = ": ping\n\n"
    for kind, data in events:
        out += f"id: {data['seq']}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
        if progress:
            out += 'event: progress\ndata: {"phase":"execute","tail":"line one\\nline two\\n"}\n\n'
    return out.encode()


def streaming(cuts, ended):
    """Each connection gives what follows Last-Event-ID, at most cuts[i] events, then is
    cut inside the next frame."""
    left = list(cuts)

    def answer(h):
        after = int(h.headers.get("Last-Event-ID") or 0)
        todo = [e for e in EVENTS if e[1]["seq"] > after]
        n = left.pop(0) if left else len(todo)
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Connection", "close")
        h.end_headers()
        body = frames(todo[:n], progress=True)
        if n < len(todo):
            body += frames(todo[n:n + 1])[len(": ping\n\n"):-9]
        else:
            ended.set()
        # odd pieces: frames must not depend on how bytes arrive
        for i in range(0, len(body), 7):
            h.wfile.write(body[i:i + 7])
            h.wfile.flush()
        h.close_connection = True

    return answer


def script_run(peer, cuts=(), final="succeeded", **more):
    ended = threading.Event()
    peer.answers["POST", "/run_workflow"] = (202, run_object("queued"))
    peer.answers["GET", f"/run_workflow/{ID}"] = lambda h: h.send(
        200, json.dumps(run_object(final if ended.is_set() else "running", **more)).encode(),
        "application/json")
    peer.answers["GET", f"/run_workflow/{ID}/events"] = streaming(cuts, ended)
    peer.answers["GET", f"/files/{ID}"] = (
        200, {"files": [{"path": "out/a.csv", "size": 1234}], "next_cursor": None})
    return ended


def test_schedule_sends_the_request_and_reports(peer, tmp_path):
    script_run(peer)
    checks = tmp_path / "checks.json"
    checks.write_text('[{"id":"c1","run":"python main.py"}]')
    r = azlon(peer, "schedule", "--prompt", 'say "hi"\n', "--test", "it says hi", "--checks",
              str(checks), "--input", "inp_1", "--input", "inp_2", "--model", "recording/x",
              "--iterations", "3", "--idempotency-key", "k1")
    assert r.returncode == 0, r.stderr
    method, path, headers, body = peer.requests[0]
    assert (method, path) == ("POST", "/run_workflow")
    assert headers["X-User-ID"] == "alice"
    assert headers["Prefer"] == "respond-async"
    assert headers["Idempotency-Key"] == "k1"
    assert json.loads(body) == {
        "user_prompt": 'say "hi"\n', "test_conditions": "it says hi", "model": "recording/x",
        "checks": [{"id": "c1", "run": "python main.py"}], "inputs": ["inp_1", "inp_2"],
        "limits": {"iterations": 3}}
    assert "succeeded" in r.stdout and "out/a.csv" in r.stdout and "c1" in r.stdout
    assert f"{peer.url}/files/{ID}?format=zip" in r.stdout
    assert "[1/20] check fail c1: 1 failed" in r.stderr
    assert "\033" not in r.stderr + r.stdout


def test_a_cut_stream_is_resumed_without_gap_or_repetition(peer):
    script_run(peer, cuts=[2, 2])
    r = azlon(peer, "watch", ID)
    assert r.returncode == 0, r.stderr
    assert [s[2].get("Last-Event-ID") for s in peer.streams()] == [None, "2", "4"]
    assert r.stderr.count("check fail c1") == 1
    assert r.stderr.count("check pass c1") == 1
    assert r.stderr.count("the model writes code") == 2


def test_without_a_stream_long_polls_do(peer):
    polls = []

    def status(h):
        polls.append(h.path)
        done = len(polls) > 3
        h.send(200, json.dumps(run_object("failed" if done else "running",
                                          reason="iterations_exhausted")).encode(),
               "application/json")

    script_run(peer)
    peer.answers["GET", f"/run_workflow/{ID}"] = status
    peer.answers["GET", f"/run_workflow/{ID}/events"] = (406, {"detail": "no stream"})
    r = azlon(peer, "watch", ID)
    assert r.returncode == 1, r.stderr
    assert any("?wait=" in p for p in polls)
    assert "iterations_exhausted" in r.stdout


def test_json_prints_one_value_and_nothing_else(peer):
    script_run(peer)
    r = azlon(peer, "schedule", "--prompt", "p", "--test", "t", "--json")
    assert r.returncode == 0
    assert json.loads(r.stdout)["status"] == "succeeded"
    assert r.stdout.count("\n") == 1 and r.stderr == ""


def test_async_prints_the_id_only(peer, tmp_path):
    script_run(peer)
    request = tmp_path / "r.json"
    request.write_text('{"user_prompt":"p","test_conditions":"t","mode":"sync"}')
    r = azlon(peer, "schedule", "--request", str(request), "--async")
    assert (r.returncode, r.stdout) == (0, ID + "\n")
    assert json.loads(peer.requests[0][3])["mode"] == "sync"
    assert peer.streams() == []


@pytest.mark.parametrize("args", [
    [], ["frobnicate"], ["schedule"], ["schedule", "--prompt", "p"], ["watch"],
    ["watch", "a", "b"], ["schedule", "--nonsense"], ["upload"],
    ["schedule", "--prompt", "p", "--test", "t", "--checks", "/nonexistent"],
    ["schedule", "--request", "/etc/hostname"],
    ["schedule", "--prompt", "p", "--test", "t", "--iterations", "0"],
])
def test_usage_errors_are_2_and_send_nothing(peer, args):
    assert azlon(peer, *args).returncode == 2
    assert peer.requests == []


def test_exit_status_tells_failed_from_unreachable(peer):
    r = azlon(peer, "watch", "user-alice-0-none")
    assert r.returncode == 1 and "no such thing" in r.stderr
    peer.answers["GET", "/run_workflow"] = (503, {"detail": "engine is away"})
    assert azlon(peer, "list").returncode == 3
    assert azlon(peer, "list", env={"AZLON_URL": "http://127.0.0.1:1"}).returncode == 3


def test_validation_errors_name_the_member(peer):
    peer.answers["POST", "/run_workflow"] = (422, {
        "detail": "one member is wrong", "errors": [
            {"loc": ["body", "checks", 0, "run"], "msg": "Field required", "type": "missing"}]})
    r = azlon(peer, "schedule", "--prompt", "", "--test", "t")
    assert r.returncode == 1
    assert "body.checks.0.run: Field required" in r.stderr


def test_foreign_text_cannot_drive_the_terminal(peer):
    evil = "\033]0;owned\007\033[2J\u202ereversed\u009b2J"
    script_run(peer, checks=[{"id": evil, "status": "fail", "message": evil}])
    peer.answers["GET", f"/files/{ID}"] = (200, {"files": [{"path": evil, "size": 1}]})
    r = azlon(peer, "watch", ID)
    for bad in "\033\007\u202e\u009b":
        assert bad not in r.stdout + r.stderr
    assert "reversed" in r.stdout


def test_on_a_terminal_a_bar_is_drawn_in_place(peer):
    script_run(peer, cuts=[3])
    main, side = pty.openpty()
    p = subprocess.Popen([AZLON, "watch", ID], stderr=side, stdout=subprocess.PIPE,
                         env={"AZLON_URL": peer.url, "TERM": "xterm"})
    os.close(side)
    seen = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    assert p.wait() == 0
    os.close(main)
    assert b"[#" in seen or b"[-" in seen
    assert b"iteration 2/20" in seen and b"line two" in seen and b"line one" not in seen
    assert seen.count(b"\033[1A") > 3


def test_get_lists_fetches_one_and_fetches_all(peer, tmp_path):
    body = bytes(range(256)) * 1000
    script_run(peer)
    peer.answers["GET", f"/files/{ID}/out/a%20b.bin"] = lambda h: h.send(
        200, body, "application/octet-stream")
    peer.answers["GET", f"/files/{ID}"] = (
        200, {"files": [{"path": "out/a b.bin", "size": len(body)}], "next_cursor": None})
    assert "out/a b.bin" in azlon(peer, "get", ID).stdout
    out = tmp_path / "one"
    assert azlon(peer, "get", ID, "out/a b.bin", "-o", str(out)).returncode == 0
    assert out.read_bytes() == body
    all_of_it = tmp_path / "tree"
    assert azlon(peer, "get", ID, "-o", str(all_of_it)).returncode == 0
    assert (all_of_it / "out/a b.bin").read_bytes() == body
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a b.bin", "one", "out", "tree"]
    # a failed download leaves nothing behind
    r = azlon(peer, "get", ID, "missing", "-o", str(tmp_path / "two"))
    assert r.returncode == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "tree"]


def test_who_is_too_fast_comes_back_as_told(peer, tmp_path):
    """A limit of how often is waited out; one that lasts is told."""
    script_run(peer)
    waits = [1, 1]

    def busy(h):
        if not waits:
            return h.send(200, b"whole", "application/octet-stream")
        h.send_response(429)
        h.send_header("Retry-After", str(waits.pop()))
        h.send_header("Content-Type", "application/problem+json")
        h.send_header("Content-Length", "2")
        h.end_headers()
        h.wfile.write(b"{}")

    peer.answers["GET", f"/files/{ID}"] = (200, {"files": [{"path": "x", "size": 5}], "next_cursor": None})
    peer.answers["GET", f"/files/{ID}/x"] = busy
    assert azlon(peer, "get", ID, "-o", str(tmp_path / "all")).returncode == 0
    assert (tmp_path / "all/x").read_bytes() == b"whole" and not waits
    waits.append(60)
    r = azlon(peer, "get", ID, "x", "-o", str(tmp_path / "one"))
    assert r.returncode == 1 and "429" in r.stderr and not waits
    assert [p.name for p in tmp_path.iterdir()] == ["all"]


def test_the_longest_names_can_be_written(peer, tmp_path):
    name = "d/" + "n" * 255
    script_run(peer)
    peer.answers["GET", f"/files/{ID}"] = (200, {"files": [{"path": name, "size": 1}], "next_cursor": None})
    peer.answers["GET", f"/files/{ID}/{name}"] = lambda h: h.send(200, b"x", "application/octet-stream")
    assert azlon(peer, "get", ID, "-o", str(tmp_path / "all")).returncode == 0
    assert azlon(peer, "get", ID, name, "-o", str(tmp_path / ("m" * 255))).returncode == 0
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == ["all/" + name, "m" * 255]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\b", "x\x00y", ""])
def test_names_from_the_server_never_leave_the_folder(peer, tmp_path, name):
    script_run(peer)
    peer.answers["GET", f"/files/{ID}"] = (200, {"files": [{"path": name, "size": 1}]})
    r = azlon(peer, "get", ID, "-o", str(tmp_path / "out"))
    assert r.returncode == 1
    assert [p.name for p in tmp_path.rglob("*")] == ["out"]


def test_a_link_planted_in_the_folder_is_not_followed(peer, tmp_path):
    script_run(peer)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "d").symlink_to(tmp_path / "elsewhere")
    peer.answers["GET", f"/files/{ID}"] = (200, {"files": [{"path": "d/x", "size": 1}]})
    assert azlon(peer, "get", ID, "-o", str(tmp_path / "out")).returncode == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_zip_cut_midway_is_no_file(peer, tmp_path):
    def cut(h):
        h.send_response(200)
        h.send_header("Content-Length", "1000")
        h.end_headers()
        h.wfile.write(b"PK" * 100)
        h.close_connection = True

    peer.answers["GET", f"/files/{ID}"] = cut
    r = azlon(peer, "zip", ID, cwd=tmp_path)
    assert r.returncode != 0
    assert list(tmp_path.iterdir()) == []
    peer.answers["GET", f"/files/{ID}"] = lambda h: h.send(200, b"PK whole", "application/zip")
    assert azlon(peer, "zip", ID, cwd=tmp_path).returncode == 0
    assert (tmp_path / f"{ID}.zip").read_bytes() == b"PK whole"


def test_upload_streams_multipart(peer, tmp_path):
    a, b = tmp_path / 'odd"name.bin', tmp_path / "empty.csv"
    data = os.urandom(300_000)
    a.write_bytes(data)
    b.write_bytes(b"")
    peer.answers["POST", "/files/inputs"] = (201, {"input_id": "inp_9", "files": []})
    r = azlon(peer, "upload", str(a), str(b))
    assert (r.returncode, r.stdout) == (0, "inp_9\n"), r.stderr
    _, _, headers, body = peer.requests[0]
    boundary = headers["Content-Type"].split("boundary=")[1].encode()
    parts = body.split(b"--" + boundary)
    assert parts[0] == b"" and parts[3] == b"--\r\n" and len(parts) == 4
    head, got = parts[1].split(b"\r\n\r\n", 1)
    assert b'filename="odd%22name.bin"' in head and got == data + b"\r\n"
    assert b'filename="empty.csv"' in parts[2] and parts[2].endswith(b"\r\n\r\n\r\n")


def test_cancel_says_how(peer):
    peer.answers["POST", f"/run_workflow/{ID}/cancel"] = (202, run_object("cancelling"))
    assert azlon(peer, "cancel", ID).returncode == 0
    assert azlon(peer, "cancel", ID, "--now").returncode == 0
    assert [json.loads(r[3])["mode"] for r in peer.requests] == ["graceful", "now"]


def test_list_follows_the_cursor(peer):
    def page(h):
        more = "cursor" not in h.path
        h.send(200, json.dumps({"runs": [run_object("failed")],
                                "next_cursor": "c+/=" if more else None}).encode(),
               "application/json")

    peer.answers["GET", "/run_workflow"] = page
    r = azlon(peer, "list")
    assert r.returncode == 0 and r.stdout.count(ID) == 2
    assert "cursor=c%2B%2F%3D" in peer.requests[1][1]


def test_interrupt_leaves_the_run_alone_and_says_so(peer):
    waiting = threading.Event()

    def endless(h):
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.end_headers()
        h.wfile.write(b": ping\n\n")
        h.wfile.flush()
        waiting.set()
        gone.wait(30)

    gone = threading.Event()
    script_run(peer)
    peer.answers["GET", f"/run_workflow/{ID}/events"] = endless
    p = subprocess.Popen([AZLON, "watch", ID], stderr=subprocess.PIPE, text=True,
                         env={"AZLON_URL": peer.url})
    assert waiting.wait(30)
    p.send_signal(2)
    _, err = p.communicate(timeout=30)
    gone.set()
    assert p.returncode == 130
    assert f"azlon watch {ID}" in err
    assert all(r[0] == "GET" for r in peer.requests)


def test_config_commands_are_the_servers(peer):
    r = azlon(peer, "print-config", env={"OPENAI_API_KEY": "sk-canary"})
    assert r.returncode == 0 and "OPENAI_API_KEY=***" in r.stdout
    assert "sk-canary" not in r.stdout
    r = azlon(peer, "check-config", env={"AZLON_PORT": "x"})
    assert r.returncode == 78 and "AZLON_PORT" in r.stderr
    assert peer.requests == []
