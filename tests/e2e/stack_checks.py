"""What the tests of the start script share: a stack's processes, files and refusals, and how a server
that the stack brings along behaves. `place` and `own` want a fixture `trial`, which makes such a stack."""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess

import pytest

from conftest import BIN, ROOT, made_on_request

PARTS = ("nginx", "run_workflow", "run_workflow-wait", "files", "files-archive", "sandbox", "replay", "worker")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can look at this")


@pytest.fixture
def place(trial):
    """Stacks that are not started yet."""
    yield from made_on_request(trial, started=False)


@pytest.fixture(scope="module")
def own(trial):
    """The module's stack, with a key that no other server may see; what its start printed is in .said."""
    with contextlib.closing(trial(OPENAI_KEY_CANARY="canary-1")) as s:
        s.said = s.control("start").stdout
        yield s


@pytest.fixture(scope="module")
def installed(open_dir):
    """Where `make install-files` has put everything: its PREFIX, /usr."""
    dest = open_dir
    variant = BIN.parent.name
    subprocess.run(["make", "-s", "install-files", f"DESTDIR={dest}", "PREFIX=/usr", f"BUILD={BIN.parents[1]}",
                    *([f"SANITIZE={variant.replace('-', ',')}"] if variant not in ("release", "coverage") else [])],
                   cwd=ROOT, check=True, capture_output=True, timeout=600)
    return dest / "usr"


def pids(stack):
    return {p: stack.pid(p) for p in PARTS}


def running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def refused(stack, words):
    r = stack.control("start", check=False)
    assert r.returncode != 0
    assert words in r.stderr, r.stderr
    assert len(r.stderr.splitlines()) <= 8, r.stderr
    return r


def left_in_run(stack, *suffixes):
    return [f.name for f in (stack.var / "run").glob("*") if f.suffix in suffixes]


def owner(path):
    st = path.lstat()
    return pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name, stat.S_IMODE(st.st_mode)


def listening(pid):
    """(table, address, port) of each socket it takes connections on."""
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


def make_run(tmp_path, *given, **env):
    """What `make run` hands to the start script; which refuses, so that it ends there."""
    script = tmp_path / "stack"
    script.write_text(f"#!/bin/sh\nenv >{tmp_path}/env\nexit 1\n")
    script.chmod(0o755)
    # MAKE=true: nothing is built
    subprocess.run(["make", "-s", "run", f"BUILD={tmp_path}/build", "MAKE=true", f"STACK={script}", *given], cwd=ROOT,
                   env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env}, capture_output=True, timeout=120)
    return dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())


# ---- of a server that the stack brings along, a part of that name ----

def stopped_with_all(s, part):
    """Stop the stack: the server ends too, and nothing is left."""
    before = {**pids(s), part: s.pid(part)}
    s.stop()
    assert not [p for p in before.values() if running(p)]
    assert not left_in_run(s, ".sock", ".pid", ".ports")
    assert s.control("status", check=False).stdout.count("stopped") == len(PARTS)


def shot_and_launched_again(s, part):
    """A start leaves a server that runs, launches one that was shot, and touches nothing else."""
    before, was = pids(s), s.pid(part)
    s.start()
    assert s.pid(part) == was
    s.kill_and_wait(part)
    r = s.control("status", check=False)
    assert r.returncode == 1 and re.search(rf"^{part} +stopped$", r.stdout, re.M)
    s.start()
    assert pids(s) == before and s.pid(part) != was


def no_root_and_private(s, part):
    """The server is the user azlon, without capabilities, and its directory nobody else's."""
    status = pathlib.Path(f"/proc/{s.pid(part)}/status").read_text()
    assert pwd.getpwuid(int(status.split("Uid:")[1].split()[0])).pw_name == "azlon"
    for caps in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        assert int(status.split(f"{caps}:")[1].split()[0], 16) == 0, caps
    name, _, mode = owner(s.var / part)
    assert (name, mode) == ("azlon", 0o700)


def refused_on_a_port_in_use(s, name):
    """The variable and the port are named, and nothing runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        s.env[name] = str(taken.getsockname()[1])
        assert s.env[name] in refused(s, name).stderr
    assert not left_in_run(s, ".pid")


def refused_with_a_broken_server(s, part, name, words):
    """In place of its program, which the variable names, one that ends at once: what it said is shown."""
    broken = s.dir / part
    broken.write_text("#!/bin/sh\necho 'broken on purpose' >&2\nexit 1\n")
    broken.chmod(0o755)
    s.env[name] = str(broken)
    assert "broken on purpose" in refused(s, words).stderr
    assert not left_in_run(s, ".pid", ".ports")
