"""azlon sandbox shell: a terminal in a fresh sandbox, at a terminal and at plain pipes."""
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

import pytest

from conftest import BIN, free_ports, until

AZLON = str(BIN / "azlon")


class Terminal:
    """The program at a terminal of its own, which is looked at from the other side."""

    def __init__(self, env, *args, size=(24, 80)):
        self.main, side = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(side)
        self.side = side  # kept, so that its settings can be looked at after the end
        self.p = subprocess.Popen(
            [AZLON, "sandbox", "shell", *args], stdin=side, stdout=side, stderr=subprocess.PIPE,
            env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(side, termios.TIOCSCTTY, 0))
        self.seen, self.err = b"", b""
        self.threads = [threading.Thread(target=self.read, args=a, daemon=True) for a in (
            (self.main, "seen"), (self.p.stderr.fileno(), "err"))]
        for t in self.threads:
            t.start()

    def read(self, fd, into):
        while True:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                return
            if not piece:
                return
            setattr(self, into, getattr(self, into) + piece)

    def resize(self, rows, cols):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.main, text)

    def shows(self, want):
        until(lambda: want in self.seen or self.p.poll() is not None, 30)
        assert want in self.seen, (self.seen, self.err)

    def is_raw(self):
        return not termios.tcgetattr(self.side)[3] & (termios.ICANON | termios.ECHO)

    def end(self):
        """Exit status; the terminal is as it was."""
        status = self.p.wait(30)
        self.threads[1].join(10)
        assert termios.tcgetattr(self.side) == self.before
        return status

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            self.p.wait(30)
        self.threads[1].join(10)
        self.p.stderr.close()
        os.close(self.side)
        self.threads[0].join(10)
        os.close(self.main)


@pytest.fixture
def env(stack):
    return {"AZLON_VAR": str(stack.var), "AZLON_LOCAL_PORT": str(stack.local_port), "TERM": "vt220",
            "PATH": os.environ["PATH"]}


@pytest.fixture
def terminal(env):
    made = []

    def make(*args, **kw):
        made.append(Terminal({**env, **kw.pop("env", {})}, *args, **kw))
        return made[-1]

    yield make
    for t in made:
        t.close()


@pytest.fixture(autouse=True)
def nothing_is_left(e2b):
    def shells():
        return e2b.Sandbox.list(query=e2b.SandboxQuery(metadata={"azlon": "shell"})).next_items()

    yield shells
    until(lambda: not shells())


def piped(env, *args, stdin=""):
    return subprocess.run([AZLON, "sandbox", "shell", *args], env=env, input=stdin, text=True,
                          capture_output=True, timeout=60)


# ---- at a terminal ----

def test_sandbox_shell_is_a_terminal_there(terminal, nothing_is_left):
    t = terminal(size=(33, 91))
    t.type(b"echo $TERM-$(stty size)-$(id -un)-$PWD; tty\n")
    t.shows(b"vt220-33 91-user-/home/user\r\n")
    t.shows(b"/dev/pts/")
    assert t.is_raw()
    box, = nothing_is_left()
    assert box.sandbox_id.encode() in t.err and b"3600 s" in t.err
    t.resize(44, 120)
    until(lambda: (t.type(b"stty size\n"), b"44 120\r\n" in t.seen)[1], every=0.2)
    t.type(b"exit 3\n")
    assert t.end() == 3


def test_sandbox_shell_passes_keys_through(terminal):
    t = terminal()
    until(t.is_raw)
    t.type(b"sh -c 'echo run\"n\"ing; sleep 600'\n")
    t.shows(b"running\r\n")
    t.type(b"\x03")  # for the program there
    t.shows(b"^C")
    t.type(b"echo st'il'l here\n")
    t.shows(b"still here\r\n")
    t.type(b"\x04")
    assert t.end() in (0, 130)  # bash ends with the status of the last command


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_sandbox_shell_puts_the_terminal_back_when_told_to_end(terminal, sig):
    t = terminal()
    t.type(b"echo rea'd'y\n")
    t.shows(b"ready\r\n")
    assert t.is_raw()
    t.p.send_signal(sig)
    assert t.end() == 128 + sig


def test_sandbox_shell_ends_with_its_time(terminal):
    t = terminal("--timeout", "2")
    assert t.end() == 124
    assert b"the 2 seconds of this shell are over" in t.err


def test_sandbox_shell_ends_with_its_sandbox(terminal, nothing_is_left, e2b):
    t = terminal()
    t.type(b"echo rea'd'y\n")
    t.shows(b"ready\r\n")
    for box in nothing_is_left():
        e2b.Sandbox.kill(box.sandbox_id)
    assert t.end() == 1
    assert b"azlon: " in t.err


# ---- at pipes ----

def test_sandbox_shell_reads_a_script_from_a_pipe(env):
    r = piped(env, stdin="echo out; echo err >&2; tty; exit 5\necho not reached\n")
    assert (r.returncode, r.stdout, r.stderr) == (5, "out\nnot a tty\n", "err\n")
    assert piped(env, stdin="").returncode == 0
    # more than one call's worth, and its end
    r = piped(env, stdin="cat | wc -c\n" + "x" * 300_000)
    assert (r.returncode, r.stdout.strip()) == (0, "300000")


def test_sandbox_shell_answers_while_it_is_written_to(env):
    p = subprocess.Popen([AZLON, "sandbox", "shell"], env=env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    for i in range(3):
        print(f"echo line {i}", file=p.stdin, flush=True)
        assert p.stdout.readline() == f"line {i}\n"
    p.stdin.close()
    assert p.wait(30) == 0
    p.stdout.close()


def test_sandbox_shell_ends_when_nobody_reads(env):
    p = subprocess.Popen([AZLON, "sandbox", "shell"], env=env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    print("yes", file=p.stdin, flush=True)
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(30) == 1
    assert "nobody reads the output" in p.stderr.read()
    p.stdin.close()
    p.stderr.close()


def test_sandbox_shell_has_a_network_only_when_asked(env):
    ask = "curl -s http://127.0.0.2/\n"
    assert piped(env, stdin=ask).stdout.strip() == "blocked by the sandbox: no network"
    assert piped(env, "--allow-internet", stdin=ask).stdout.strip() == "blocked by the sandbox: address or port not allowed"


# ---- what goes wrong ----

def test_sandbox_shell_says_what_to_do_without_a_server(env, tmp_path):
    port, = free_ports(1)
    r = piped({**env, "AZLON_LOCAL_PORT": str(port)})
    assert r.returncode == 3
    assert f"http://127.0.0.1:{port}" in r.stderr and "make start" in r.stderr
    assert "E2B_API_KEY" in r.stderr and "AZLON_LOCAL_PORT" in r.stderr
    r = piped({**env, "AZLON_VAR": str(tmp_path)})
    assert r.returncode == 3 and f"{tmp_path}/secret/e2b.key is missing" in r.stderr
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "e2b.key").write_text("e2b_00ff")
    (tmp_path / "secret" / "e2b.key").chmod(0o600)
    r = piped({**env, "AZLON_VAR": str(tmp_path)})
    assert r.returncode == 1 and "another key" in r.stderr
    cloud = {**env, "E2B_API_KEY": "e2b_00ff", "E2B_API_URL": f"http://127.0.0.1:{port}"}
    r = piped(cloud)
    assert r.returncode == 3 and "E2B_API_URL" in r.stderr and "make start" not in r.stderr


def test_sandbox_shell_refuses_what_it_does_not_know(env):
    r = piped(env, "--template", "no-such-template")
    assert r.returncode == 1 and "no-such-template" in r.stderr
    for args in (["--timeout", "0"], ["--timeout", "86401"], ["--timeout", "soon"], ["more"]):
        assert piped(env, *args).returncode == 2
    r = subprocess.run([AZLON, "sandbox"], env=env, capture_output=True, text=True)
    assert r.returncode == 2 and "shell" in r.stderr
