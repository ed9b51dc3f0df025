"""Commands and terminals of the official e2b package, both its faces, against the local
sandbox server: what each call does is looked at from inside the sandbox."""
import asyncio
import base64
import pathlib
import shutil
import threading

import pytest
import requests

from conftest import BIN, until


@pytest.fixture
def box(e2b):
    b = e2b.Sandbox.create(timeout=120)
    yield b
    b.kill()


def rpc(stack, box, method, body, **headers):
    """A unary call as any client may make it."""
    return requests.post(
        f"http://127.0.0.1:{stack.local_port}/process.Process/{method}", json=body, timeout=60,
        headers={"E2b-Sandbox-Id": box.sandbox_id, "E2b-Sandbox-Port": "49983",
                 "X-Access-Token": box._envd_access_token, **headers})


def arun(e2b, test):
    """test(sandbox) in a loop of its own, with an AsyncSandbox that ends with it."""

    async def main():
        box = await e2b.AsyncSandbox.create(timeout=120)
        try:
            await test(box)
        finally:
            await box.kill()

    asyncio.run(main())


# ---- commands ----

def test_sandbox_process_disconnect_and_connect_keep_the_output(e2b, box):
    h = box.commands.run("echo one; read x; echo two $x; exit 5", background=True, stdin=True)
    pid = h.pid
    seen = next(iter(h))
    assert seen[0] == "one\n"
    h.disconnect()
    box.commands.send_stdin(pid, "again\n")
    # written while nobody listened
    until(lambda: pid not in [p.pid for p in box.commands.list()])
    with pytest.raises(e2b.CommandExitException) as x:
        box.commands.connect(pid).wait()
    assert x.value.exit_code == 5 and x.value.stdout.endswith("two again\n")
    with pytest.raises(e2b.NotFoundException):
        box.commands.connect(4242)


def test_sandbox_process_two_listeners_hear_the_same(e2b, box):
    h = box.commands.run("read x; for i in 1 2 3; do echo $x $i; done", background=True, stdin=True)
    other = box.commands.connect(h.pid)
    h.send_stdin("go\n")
    assert h.wait().stdout == other.wait().stdout == "go 1\ngo 2\ngo 3\n"


def test_sandbox_process_list_says_what_runs(e2b, box):
    h = box.commands.run("sleep 600", background=True, envs={"A": "b"}, cwd="/tmp")
    p, = [p for p in box.commands.list() if p.pid == h.pid]
    assert (p.cmd, p.args, p.envs, p.cwd, p.tag) == (
        "/bin/bash", ["-l", "-c", "sleep 600"], {"A": "b"}, "/tmp", None)
    assert h.kill() is True
    with pytest.raises(e2b.CommandExitException) as x:
        h.wait()
    assert x.value.exit_code == -1 and x.value.error == "signal: killed"
    assert box.commands.kill(h.pid) is False
    assert h.pid not in [p.pid for p in box.commands.list()]


def test_sandbox_process_kill_takes_the_children_too(e2b, box):
    h = box.commands.run("sleep 611 & setsid sleep 612 & wait", background=True)
    until(lambda: box.commands.run("pgrep -c sleep || true").stdout == "2\n")
    h.kill()
    until(lambda: box.commands.run("pgrep -c sleep || true").stdout == "0\n")


def test_sandbox_process_timeout_is_a_timeout_whoever_notices(stack, e2b, box):
    with pytest.raises(e2b.TimeoutException):
        box.commands.run("sleep 621", timeout=0.5)
    # and without the client's own clock: the end with its reason, then the error
    frame = b'{"process":{"cmd":"/bin/sh","args":["-c","echo begun; sleep 622"]}}'
    r = requests.post(
        f"http://127.0.0.1:{stack.local_port}/process.Process/Start", timeout=60,
        data=b"\0" + len(frame).to_bytes(4, "big") + frame,
        headers={"Content-Type": "application/connect+json", "Connect-Timeout-Ms": "500",
                 "E2b-Sandbox-Id": box.sandbox_id, "X-Access-Token": box._envd_access_token})
    assert base64.b64encode(b"begun\n") in r.content
    assert b'"error":"timed out after 0.5 s"' in r.content
    assert r.content.endswith(
        b'{"error":{"code":"deadline_exceeded","message":"timed out after 0.5 s"}}')
    until(lambda: box.commands.run("pgrep -c sleep || true").stdout == "0\n")
    # no timeout at all
    assert box.commands.run("echo done", timeout=0).stdout == "done\n"


def test_sandbox_process_errors_have_their_types(stack, e2b, box):
    with pytest.raises(e2b.InvalidArgumentException, match="cwd '/nowhere' does not exist"):
        box.commands.run("true", cwd="/nowhere")
    with pytest.raises(e2b.AuthenticationException, match="invalid username: 'root'"):
        box.commands.run("true", user="root")
    with pytest.raises(e2b.CommandExitException) as x:
        box.commands.run("no-such-program")
    assert x.value.exit_code == 127 and "not found" in x.value.stderr
    h = box.commands.run("sleep 600", background=True)
    with pytest.raises(e2b.SandboxException, match="stdin not enabled or closed"):
        h.send_stdin("x")
    h.kill()
    until(lambda: not box.commands.list())
    with pytest.raises(e2b.NotFoundException):
        h.send_stdin("x")
    r = rpc(stack, box, "SendSignal", {"process": {"pid": h.pid}, "signal": "SIGNAL_SIGKILL"})
    assert (r.status_code, r.json()["code"]) == (404, "not_found")
    r = rpc(stack, box, "Fly", {})
    assert r.status_code == 404 and r.json()["code"] == 404


def test_sandbox_process_killed_sandbox_is_not_running(e2b):
    b = e2b.Sandbox.create(timeout=60)
    h = b.commands.run("sleep 600", background=True)
    b.kill()
    with pytest.raises(e2b.SandboxNotRunningException):
        h.wait()
    with pytest.raises(e2b.SandboxNotRunningException):
        b.commands.run("true")


def test_sandbox_process_sigterm_lets_it_say_goodbye(stack, e2b, box):
    h = box.commands.run("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 1 & wait; done",
                         background=True)
    assert next(iter(h))[0] == "ready\n"
    rpc(stack, box, "SendSignal", {"process": {"pid": h.pid}, "signal": "SIGNAL_SIGTERM"}).raise_for_status()
    with pytest.raises(e2b.CommandExitException) as x:
        h.wait()
    assert x.value.exit_code == 9 and x.value.stdout.endswith("bye\n")


# ---- input ----

def test_sandbox_process_input_streams_while_it_is_made(e2b, box):
    h = box.commands.run("while read x; do echo got $x; done", background=True, stdin=True)
    answers = iter(h)

    def lines():
        yield "one\n"
        assert next(answers)[0] == "got one\n"  # heard before the next is sent
        yield b"two\n"
        assert next(answers)[0] == "got two\n"

    box.commands.stream_input(h.pid, lines())
    h.close_stdin()
    assert h.wait().exit_code == 0
    with pytest.raises(e2b.NotFoundException):
        box.commands.stream_input(4242, ["x"])


def test_sandbox_process_large_inputs_stay_whole(e2b, box):
    h = box.commands.run("tr -s ab | tr -d '\\n'", background=True, stdin=True)
    size = 1 << 20
    threads = [threading.Thread(target=h.send_stdin, args=(c * size,)) for c in "ab"]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    h.close_stdin()
    assert h.wait().stdout in ("ab", "ba")


def test_sandbox_process_a_reader_may_be_slow(e2b, box):
    h = box.commands.run("read first; head -c 3000000 | wc -c", background=True, stdin=True)
    h.send_stdin("go\n" + "x" * 3_000_000)
    assert h.wait().stdout == "3000000\n"


# ---- terminals ----

class Screen:
    """What a terminal showed, from a thread that reads it."""

    def __init__(self, handle):
        self.text, self.end, self.handle = b"", None, handle
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        try:
            self.end = self.handle.wait(on_pty=self.show)
        except Exception as e:  # looked at by the test
            self.end = e

    def show(self, data):
        self.text += data

    def until(self, want):
        until(lambda: want in self.text or self.end is not None)
        assert want in self.text, (self.text, self.end)


def test_sandbox_process_pty_is_a_terminal(e2b, box):
    h = box.pty.create(e2b.PtySize(rows=24, cols=80), cwd="/tmp", envs={"WHO": "azlon"})
    s = Screen(h)
    box.pty.send_stdin(h.pid, b"stty size; echo $TERM-$LANG-$WHO-$PWD-$(tty | cut -c1-9)\n")
    s.until(b"24 80\r\n")
    s.until(b"xterm-256color-C.UTF-8-azlon-/tmp-/dev/pts/\r\n")
    box.pty.resize(h.pid, e2b.PtySize(rows=40, cols=100))
    box.pty.send_stdin(h.pid, b"stty size\n")
    s.until(b"40 100\r\n")
    # Ctrl+C ends what runs, not the shell
    box.pty.send_stdin(h.pid, b"sleep 600; echo status $?\n")
    until(lambda: box.commands.run("pgrep -c sleep || true").stdout == "1\n")
    box.pty.send_stdin(h.pid, b"\x03")
    until(lambda: box.commands.run("pgrep -c sleep || true").stdout == "0\n")
    box.pty.stream_input(h.pid, [b"echo str", "'e'amed\n"])
    s.until(b"streamed\r\n")
    box.pty.send_stdin(h.pid, b"exit 3\n")
    s.thread.join()
    assert isinstance(s.end, e2b.CommandExitException) and s.end.exit_code == 3


def test_sandbox_process_pty_is_taken_up_again_and_killed(e2b, box):
    h = box.pty.create(e2b.PtySize(rows=24, cols=80))
    pid = h.pid
    h.disconnect()
    box.pty.send_stdin(pid, b"echo wh'il'e away\n")
    s = Screen(box.pty.connect(pid))
    s.until(b"while away\r\n")
    assert box.pty.kill(pid) is True
    s.thread.join()
    assert isinstance(s.end, e2b.CommandExitException) and s.end.error == "signal: killed"
    assert box.pty.kill(pid) is False


def test_sandbox_process_async_face(e2b):
    async def test(box):
        out = []
        r = await box.commands.run("echo a; echo b >&2", on_stdout=out.append, on_stderr=out.append)
        assert (r.stdout, r.stderr, sorted(out)) == ("a\n", "b\n", ["a\n", "b\n"])
        with pytest.raises(e2b.CommandExitException) as x:
            await box.commands.run("exit 4")
        assert x.value.exit_code == 4
        with pytest.raises(e2b.TimeoutException):
            await box.commands.run("sleep 631", timeout=0.5)
        h = await box.commands.run("cat", background=True, stdin=True)
        async with box.commands.stream_input(h.pid) as typed:
            await typed.send("typed ")
            await typed.send(b"in pieces\n")
        await h.close_stdin()
        assert (await h.wait()).stdout == "typed in pieces\n"
        h = await box.commands.run("sleep 632", background=True)
        assert h.pid in [p.pid for p in await box.commands.list()]
        await h.disconnect()
        h = await box.commands.connect(h.pid)
        assert await h.kill() is True
        with pytest.raises(e2b.CommandExitException):
            await h.wait()

    arun(e2b, test)


def test_sandbox_process_async_pty_and_its_input_stream_end_together(e2b):
    async def test(box):
        shown = bytearray()
        h = await box.pty.create(e2b.PtySize(rows=30, cols=90), on_data=shown.extend)
        typed = box.pty.stream_input(h.pid)
        await typed.send("stty size\n")
        while b"30 90\r\n" not in shown:
            await asyncio.sleep(0.01)
        await box.pty.resize(h.pid, e2b.PtySize(rows=31, cols=91))
        await typed.send("stty size; exit 6\n")
        with pytest.raises(e2b.CommandExitException) as x:
            await h.wait()
        assert x.value.exit_code == 6 and b"31 91\r\n" in shown
        await typed.close()

    arun(e2b, test)


# ---- much of it ----

def memory_peak(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def test_sandbox_process_64_mib_of_output_in_bounded_memory(stack, e2b, box):
    pid = stack.pid("sandbox")
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, size, got = memory_peak(pid), 64 << 20, [0]

    def count(text):
        got[0] += len(text)

    r = box.commands.run(f"head -c {size} /dev/zero | tr '\\0' x", retain_output=False,
                         on_stdout=count, timeout=120)
    assert r.exit_code == 0 and got[0] == size
    # a sanitizer keeps what was freed
    assert "address" in BIN.parent.name or memory_peak(pid) - before < 32 << 20


def test_sandbox_process_too_much_output_is_ended_and_said(e2b, box):
    with pytest.raises(e2b.CommandExitException) as x:
        box.commands.run("yes", retain_output=False, timeout=120)
    assert x.value.error == "stopped: output limit (64 MiB)"


def test_sandbox_process_100_commands_at_once(stack, e2b):
    """In four sandboxes; each is heard while all run, and so is everybody else."""

    async def main():
        boxes = [await e2b.AsyncSandbox.create(timeout=120) for _ in range(4)]
        try:
            handles = [(i, await boxes[i % 4].commands.run(
                f"read x; echo {i} $x", background=True, stdin=True)) for i in range(100)]
            assert len({(i % 4, h.pid) for i, h in handles}) == 100
            for b in boxes:
                assert len(await b.commands.list()) == 25
                assert (await b.commands.run("echo here")).stdout == "here\n"
            await asyncio.gather(*(h.send_stdin(f"said {i}\n") for i, h in handles))
            ends = await asyncio.gather(*(h.wait() for _, h in handles))
            assert [r.stdout for r in ends] == [f"{i} said {i}\n" for i in range(100)]
        finally:
            await asyncio.gather(*(b.kill() for b in boxes))

    asyncio.run(main())


def test_sandbox_process_more_commands_than_are_remembered(stack, e2b, box):
    for i in range(270):
        assert box.commands.run(f"echo {i}").stdout == f"{i}\n"


# ---- languages ----

C = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	char line[80];
	fgets(line, sizeof line, stdin);
	printf("%s %d\n", argv[1], atoi(line) + 1);
	fprintf(stderr, "c\n");
	return 7;
}
"""
PROGRAMS = {
    "python3": ("main.py", "import sys\nn = int(input())\nprint(sys.argv[1], n + 1)\n"
                "print('py', file=sys.stderr)\nsys.exit(7)\n", "python3 main.py"),
    "node": ("main.js", "const n = parseInt(require('fs').readFileSync(0, 'utf8'));\n"
             "console.log(process.argv[2], n + 1);\nconsole.error('js');\nprocess.exit(7);\n",
             "node main.js"),
    "cc": ("main.c", C, "cc -O -o main main.c && ./main"),
    "sh": ("main.sh", "read n\necho $1 $((n + 1))\necho sh >&2\nexit 7\n", "sh main.sh"),
}


@pytest.mark.parametrize("tool", PROGRAMS)
def test_sandbox_process_runs_programs_in(e2b, box, tool):
    if not any(shutil.which(tool, path=p) for p in ("/usr/local/bin", "/usr/bin", "/bin")):
        pytest.skip(f"{tool} is not installed on this host")
    name, text, command = PROGRAMS[tool]
    box.files.write(name, text)
    with pytest.raises(e2b.CommandExitException) as x:
        box.commands.run(f"echo 41 | {{ {command} 'the answer is'; }}")
    assert (x.value.stdout, x.value.exit_code) == ("the answer is 42\n", 7)
    assert len(x.value.stderr.strip()) in (1, 2)
