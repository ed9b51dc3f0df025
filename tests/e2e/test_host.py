"""What `make install-files` gives an administrator: units, users and directories, man pages, example.env."""
import grp
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BIN, ROOT, Stack
from stack_checks import as_root, installed  # noqa: F401

PROGRAMS = ("azlon", "files", "replay", "run_workflow", "sandbox", "worker")
# 0 is best; what a unit may not do more than this, in the words of systemd-analyze security
EXPOSED = {"azlon-sandbox": 6.6, "azlon-keys": 2.5, "azlon-replay": 1.0}


def run(*command, **kw):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **kw)


@pytest.fixture(scope="module")
def units(installed, open_dir):  # noqa: F811
    """The units, with their programs where they are here."""
    d = open_dir / "units"
    d.mkdir()
    for f in (installed / "lib/systemd/system").iterdir():
        (d / f.name).write_text(f.read_text().replace("=/usr/", f"={installed}/").replace("=-/usr/", f"=-{installed}/").replace("+/usr/share", f"+{installed}/share").replace(" /usr/bin/sandbox", f" {installed}/bin/sandbox"))
    return d


def lines(unit, key):
    return [line.split("=", 1)[1] for line in unit.read_text().splitlines() if line.startswith(key + "=")]


def bounding(unit):
    """For setpriv, what the unit leaves."""
    return "--bounding-set=-all," + ",".join(c.lower().replace("cap_", "+") for c in lines(unit, "CapabilityBoundingSet")[0].split())


# ---- systemd ----

def test_units_and_nginx_agree_on_places(installed, tmp_path):  # noqa: F811
    made = run(installed / "share/azlon/spawn/stack.sh", "conf", tmp_path)
    assert made.returncode == 0, made.stderr
    text = "".join(f.read_text() for f in tmp_path.iterdir())
    assert not re.search(r"^[^#\n]*@[A-Z_]+@", text, re.M)
    where = installed / "lib/systemd/system"
    listens = [at for f in where.glob("*.socket") for at in lines(f, "ListenStream")]
    # and one that the process makes itself
    ports = re.findall(r"AZLON_PORTS_SOCKET=(\S+)", (where / "azlon-sandbox.service").read_text())
    assert sorted(listens + ports) == sorted(re.findall(r'server "unix:([^"]+)"', text))
    assert len(listens) == 6 and len(ports) == 1
    var = {m for f in where.glob("*.service") for m in re.findall(r"AZLON_VAR=(\S+)", f.read_text())}
    assert len(var) == 1 and f'alias "{var.pop()}/store/";' in text


def test_archives_are_spooled_where_there_is_a_disk(installed):  # noqa: F811
    unit = installed / "lib/systemd/system/azlon-files@.service"
    spool = [e.split("=", 1)[1] for e in lines(unit, "Environment") if e.startswith("TMPDIR=")]
    state = re.findall(r"^d (\S+) +0700 azlon +azlon$", (installed / "lib/tmpfiles.d/azlon.conf").read_text(), re.M)
    assert len(spool) == 1 and spool[0] in state and spool[0].startswith(lines(unit, "ReadWritePaths")[0])


def test_every_socket_has_its_service_and_the_target_has_all(installed):  # noqa: F811
    where = installed / "lib/systemd/system"
    wanted = " ".join(lines(where / "azlon.target", "Wants")).split()
    services = {f.name for f in where.glob("*.service")} - {"azlon-keys.service"}
    assert {w.replace("@1.", "@.").replace("@2.", "@.") for w in wanted} == services | {f.name for f in where.glob("*.socket")}
    for f in where.glob("*.socket"):
        service = (lines(f, "Service") or [f.with_suffix(".service").name])[0]
        unit = where / service.replace("@1", "@")
        assert lines(unit, "StandardInput") == ["socket"] and lines(unit, "Sockets") == [f.name] and service in wanted
        # two of them on that socket, or one
        assert "@" not in service or service.replace("@1", "@2") in wanted
        # it is closed when what serves there is not to be tried again, and for nothing else
        assert lines(unit, "ExecStopPost") == [f"+/usr/share/azlon/spawn/closed.sh {f.stem.removeprefix('azlon-')}"]
        assert (lines(f, "TriggerLimitIntervalSec"), lines(f, "StartLimitIntervalSec")) == (["0"], ["0"])
    for name in services:
        unit = where / name
        # a start is over when it serves, a wrong configuration ends it, what crashed is back at once, and no number of crashes is enough
        assert (lines(unit, "Type"), lines(unit, "RestartPreventExitStatus")) == (["notify"], ["78"]), name
        assert (lines(unit, "Restart"), lines(unit, "RestartSec"), lines(unit, "StartLimitIntervalSec")) == (["always"], ["100ms"], ["0"])
        # it is asked first what is wrong; that alone would be tried again without end
        program = lines(unit, "ExecStart")[0].split("/bin/")[1].split()[0]
        assert f"-/usr/bin/{program} --check-config" in lines(unit, "ExecStartPre")
        assert lines(unit, "User")[0] == ("azlon-sandbox" if "sandbox" in name else "azlon")


analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@analyze
def test_systemd_accepts_the_units(units):
    r = run("systemd-analyze", "verify", "--man=no", *units.iterdir())
    ours = [line for line in (r.stdout + r.stderr).splitlines() if "azlon" in line]
    assert r.returncode == 0 and not ours, "\n".join(ours)


@analyze
def test_units_may_do_little(units):
    for f in sorted(units.glob("*.service")):
        r = run("systemd-analyze", "security", "--offline=true", "--no-pager", f)
        m = re.search(r"Overall exposure level for \S+: ([\d.]+)", r.stdout + r.stderr)
        assert m, r.stderr
        assert float(m[1]) <= EXPOSED.get(f.stem, 1.5), (f.name, m[1], r.stdout)


@as_root
@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="needs systemd-tmpfiles")
def test_users_and_directories_are_those_of_the_start_script(installed, tmp_path):  # noqa: F811
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for d in ("sysusers.d", "tmpfiles.d"):
        shutil.copytree(installed / "lib" / d, root / "usr/lib" / d)
    made = run("systemd-sysusers", f"--root={root}")
    assert made.returncode == 0, made.stderr
    ids = {f[0]: (int(f[2]), int(f[3])) for f in (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())}
    groups = {f[0]: int(f[2]) for f in (line.split(":") for line in (root / "etc/group").read_text().splitlines())}
    assert {"azlon", "azlon-sandbox", "azlon-web"} <= set(ids) & set(groups)
    made = run("systemd-tmpfiles", f"--root={root}", "--create")
    assert made.returncode == 0, made.stderr
    s = Stack().start()
    try:
        for name in ("journal", "lock", "tmp", "store", "secret", "auth", "box", "run/ports"):
            want = (s.var / name).stat()
            have = (root / ("run/azlon/ports" if name == "run/ports" else f"var/lib/azlon/{name}")).stat()
            assert have.st_mode == want.st_mode, name
            assert have.st_gid == groups[grp.getgrgid(want.st_gid).gr_name], name
            assert have.st_uid == ids["azlon-sandbox" if name in ("box", "run/ports") else "azlon"][0], name
    finally:
        s.close()


@as_root
def test_keys_are_made_for_units_as_for_the_start_script(installed, open_dir):  # noqa: F811
    var = open_dir / "keys"
    for name, user in (("secret", "azlon"), ("box", "azlon-sandbox")):
        (var / name).mkdir(parents=True)
        shutil.chown(var / name, user, user)
        (var / name).chmod(0o700)
    for _ in range(2):
        made = run("setpriv", "--no-new-privs", bounding(installed / "lib/systemd/system/azlon-keys.service"),
                   installed / "share/azlon/spawn/stack.sh", "keys", env={"PATH": os.environ["PATH"], "AZLON_VAR": str(var)})
        assert made.returncode == 0, made.stderr
        files = {str(f.relative_to(var)): (f.owner(), oct(f.stat().st_mode & 0o777), f.read_text()) for f in var.rglob("*.key")}
        assert {(k, *v[:2]) for k, v in files.items()} == {("secret/e2b.key", "azlon", "0o600"), ("secret/replay.key", "azlon", "0o600"),
                                                            ("box/e2b.key", "azlon-sandbox", "0o600")}
        assert files["secret/e2b.key"][2] == files["box/e2b.key"][2] and files["secret/e2b.key"][2].startswith("e2b_")
    before = files["secret/replay.key"]
    assert before[2].startswith("rk_")


MAPPED = '''
unshare -U sleep 60 & p=$!
until [ "$(readlink /proc/$p/ns/user)" != "$(readlink /proc/$$/ns/user)" ]; do sleep 0.01; done
ids=$(sed -n 's/^azlon-sandbox:\\([0-9]*\\):.*/\\1/p' /etc/subuid | head -n 1)
newuidmap $p 0 $ids 1 1 $((ids + 1)) 1 && newgidmap $p 0 $ids 1 1 $((ids + 1)) 1 && cat /proc/$p/uid_map
kill $p
'''


@as_root
@pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")
def test_the_sandbox_unit_leaves_what_ids_of_their_own_need(installed, stack):  # noqa: F811
    """stack: so that the user is there and has such ids."""
    unit = installed / "lib/systemd/system/azlon-sandbox.service"
    r = run("setpriv", "--reuid", "azlon-sandbox", "--regid", "azlon-sandbox", "--clear-groups", "--inh-caps=-all",
            bounding(unit), "bash", "-c", MAPPED)
    assert r.returncode == 0 and len(r.stdout.splitlines()) == 2, (r.stdout, r.stderr)


def test_without_a_cgroup_of_its_own_the_command_runs_all_the_same(installed):  # noqa: F811
    made = run(installed / "share/azlon/spawn/delegated.sh", "sh", "-c", "cat; echo ${AZLON_CGROUP:-none}", input="fd 0\n")
    assert made.returncode == 0 and made.stdout.startswith("fd 0\n"), made


# ---- what the pages say ----

def test_the_page_has_every_variable_of_the_sandbox_unit(installed):  # noqa: F811
    """They are ignored in the file of the other units, and the other way round nothing of these is read."""
    page = (ROOT / "fcgi/systemd/README.md").read_text()
    said = set(re.findall(r"`(AZLON_[A-Z_]+)\*?`", re.search(r"\*\*Settings\*\*.*?\n\n", page, re.S)[0]))
    member = {m: n for n, m in re.findall(r'\{"([A-Z0-9_]+)", \w+, AT\((\w+)\)', (ROOT / "lib/conf/table.c").read_text())}
    read = {member[m] for f in ("sandbox.c", "common/process.c") for m in re.findall(r"\bc(?:onf\.|->)(\w+)", (ROOT / "fcgi" / f).read_text())}
    read -= {member[m] for m in re.findall(r'AZ_KC\("\w+", c->(\w+)', (ROOT / "fcgi/common/process.c").read_text())}  # only told
    unit = installed / "lib/systemd/system/azlon-sandbox.service"
    fixed = {w.split("=")[0].removesuffix("_FILE") for e in lines(unit, "Environment") for w in e.split()} | {"AZLON_CGROUP"}  # delegated.sh
    want = {"AZLON_BOX_" if n.startswith("AZLON_BOX_") else n for n in read - fixed}
    assert said == want and len(want) > 6


def test_the_commands_of_an_upgrade(installed, tmp_path):  # noqa: F811
    page = (ROOT / "fcgi/systemd/README.md").read_text()
    typed = re.search(r"\*\*Upgrade.*?```\n(.*?)```", page, re.S)[1]
    (tmp_path / "nginx").mkdir()
    (tmp_path / "azlon.env").write_text("AZLON_CORS_ORIGINS=https://app.example.org\n")
    (tmp_path / "bin").mkdir()
    for name in ("make", "systemctl", "systemd-tmpfiles", "nginx"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/log\n')
        (tmp_path / "bin" / name).chmod(0o755)
    for place, here in (("/usr/local", installed), ("/etc/azlon/azlon.env", tmp_path / "azlon.env"), ("/etc/nginx", tmp_path / "nginx")):
        typed = typed.replace(place, str(here))
    done = run("sh", "-ec", typed, env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    ran = (tmp_path / "log").read_text().splitlines()
    assert ran[0] == "make install-files" and ran[-2:] == ["nginx -t", "systemctl reload nginx"]
    # the nginx files and the directories of the new programs, which `make install-files` does not put in place
    assert any(str(installed / "lib/tmpfiles.d/azlon.conf") in line for line in ran if line.startswith("systemd-tmpfiles"))
    assert {f.name for f in (tmp_path / "nginx").iterdir()} == {f.name for f in (ROOT / "nginx").glob("azlon_*.conf")}
    assert "https://app.example.org" in (tmp_path / "nginx/azlon_http.conf").read_text()


def test_installed_pages_name_what_is_installed(installed):  # noqa: F811
    doc = installed / "share/doc/azlon"
    pages = list(doc.rglob("*.md"))
    assert len(pages) > 20
    for f in pages:
        text = f.read_text()
        named = [to.split("#")[0] for to in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:|#", to)]
        named += re.findall(r"`([\w./-]+\.md|LICENSE)`", text)
        for to in named:
            assert (f.parent / to).exists() or (doc / to).exists(), f"{f.relative_to(doc)} names {to}"


@pytest.fixture
def asked(tmp_path):
    """Starts a program as systemd does, with a listening socket and an address where it is to say that it serves."""
    for d in ("journal", "lock", "store", "secret", "auth"):
        (tmp_path / d).mkdir()
    (tmp_path / "secret/e2b.key").write_text("e2b_" + "0" * 40)
    (tmp_path / "secret/replay.key").write_text("rk_" + "0" * 40)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, socket.socket(socket.AF_UNIX) as listening:
        told.settimeout(30)
        told.bind(str(tmp_path / "told"))
        listening.bind(str(tmp_path / "sock"))
        listening.listen()
        yield lambda program, **env: (told, subprocess.Popen(
            [BIN / program], stdin=listening, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "AZLON_VAR": str(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "told"), **env}))


@pytest.mark.parametrize("program", ["run_workflow", "files", "worker"])
def test_systemd_is_told_when_a_process_serves(asked, program):
    told, p = asked(program)
    assert told.recv(100) == b"READY=1"
    # and from then on it ends as it should
    p.send_signal(signal.SIGQUIT)
    assert p.wait(30) == 0, p.communicate()
    p.communicate()


def test_systemd_is_not_told_of_who_is_refused(asked):
    told, p = asked("files", AZLON_THREADS="0")
    assert "AZLON_THREADS" in p.communicate(timeout=30)[1] and p.returncode == 78
    told.setblocking(False)
    with pytest.raises(BlockingIOError):
        told.recv(100)


# ---- man pages ----

def page(installed, name):  # noqa: F811
    found = list((installed / "share/man").glob(f"man?/{name}.[158]"))
    assert len(found) == 1, (name, found)
    return found[0]


def plain(text):
    return re.sub(r"\\f.|\\&", "", text).replace("\\-", "-").replace('"', "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_true_man_page(installed, name):  # noqa: F811
    text = plain(page(installed, name).read_text())
    program = installed / "bin" / name
    assert f"{name} - " in text
    said = run(program, "--help").stdout
    assert "--" in said
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)):
        assert re.search(re.escape(option) + r"(?![\w-])", text), f"{option} is not in the page of {name}"
    # and nothing that is not there: neither options nor variables
    code = program.read_bytes() + (installed / "lib/libazlon.so.0").read_bytes() + b"-n -s"
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)):
        assert option[2:].encode() in code, f"the page of {name} has {option}"
    for variable in set(re.findall(r"\b(?:AZLON|E2B|OPENAI|MINIO|RESTACK|FIREBASE|EXTERNAL|USE|NO)_[A-Z0-9_]+\b", text)):
        assert variable.encode() in code, f"the page of {name} has {variable}"


def test_no_program_is_without_a_page(installed):  # noqa: F811
    assert {f.name for f in (installed / "bin").iterdir()} == set(PROGRAMS)


def test_the_start_script_has_a_true_page(installed):  # noqa: F811
    text = plain(page(installed, "azlon-stack").read_text())
    spawn = installed / "share/azlon/spawn"
    usage = run(spawn / "stack.sh", "no-such-command").stderr
    commands = re.search(r"stack\.sh (\S+) DIR\|(\S+)", usage)
    for command in f"{commands[1]}|{commands[2]}".split("|"):
        assert re.search(rf"^\.BI? {command}\b", text, re.M), command
    scripts = "".join(f.read_text() for f in spawn.glob("*.sh"))
    for variable in set(re.findall(r"\bAZLON_[A-Z0-9_]+\b", text)):
        assert variable in scripts, variable


def variables(text):
    return re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.M)


def test_one_page_and_one_file_have_every_variable(installed):  # noqa: F811
    table = variables(run(installed / "bin/worker", "--print-config", env={"PATH": os.environ["PATH"]}).stdout)
    assert len(table) > 50
    assert variables((installed / "share/azlon/example.env").read_text()) == table
    text = page(installed, "azlon.env").read_text()
    assert re.findall(r"^\.B ([A-Z][A-Z0-9_]+)$", text, re.M) == table
    assert "@" not in re.sub(r"\S+@\S+\.\S+", "", text)


def test_the_shown_defaults_are_what_is_without_them(installed):  # noqa: F811
    """Who takes the comment signs away changes nothing."""
    example = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", (installed / "share/azlon/example.env").read_text(), re.M))
    bare = run(installed / "bin/worker", "--print-config", env={"PATH": os.environ["PATH"]})
    full = run(installed / "bin/worker", "--print-config", env={"PATH": os.environ["PATH"], **example})
    assert (bare.returncode, full.returncode) == (0, 0), full.stderr
    assert full.stdout == bare.stdout


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_pages_are_clean_markup(installed):  # noqa: F811
    for f in (installed / "share/man").rglob("*.[158]"):
        r = run("groff", "-man", "-Tutf8", "-ww", "-Wbreak", "-z", f)
        assert r.returncode == 0 and not r.stderr, r.stderr


def test_pages_name_pages_that_are_there(installed):  # noqa: F811
    ours = {f.name for f in (installed / "share/man").rglob("*.[158]")}
    others = {"bwrap.1", "subuid.5", "newuidmap.1", "spawn-fcgi.1", "logrotate.8"}
    for f in (installed / "share/man").rglob("*.[158]"):
        for name, section in re.findall(r"^\.[BI]R? ([\w.\\-]+) \((\d)\)", f.read_text(), re.M):
            assert f"{name}.{section}".replace("\\", "") in ours | others, (f.name, name)


def test_the_log_file_is_the_start_scripts(installed):  # noqa: F811
    text = (installed / "share/azlon/azlon.logrotate").read_text()
    assert "copytruncate" in text and text.count("{") == text.count("}") == 1
    if os.getuid() == 0:
        var = run(installed / "share/azlon/spawn/stack.sh", "var", env={"PATH": os.environ["PATH"]}).stdout.strip()
        assert f"{var}/log/*.log {{" in text
    assert pathlib.Path(ROOT / "fcgi/spawn/azlon.logrotate").read_text() == text
