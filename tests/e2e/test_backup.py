"""The journal copied while runs are started and carried out, and a stack elsewhere that goes on from it."""
import os
import pathlib
import pwd
import re
import stat
import subprocess
import tarfile

from conftest import BIN, ROOT, Stack, example, until
from stack_checks import as_root
from test_faults import accepting, check_finished_once


def worker(s, *args):
    """The program, as the user who has the state and with the stack's environment."""
    as_user = []
    if os.getuid() == 0:
        owner = pwd.getpwuid((s.var / "journal").stat().st_uid)
        as_user = ["setpriv", "--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid), "--clear-groups", "--"]
    return subprocess.run([*as_user, str(BIN / "worker"), *args], env=s.env, capture_output=True, text=True, timeout=120)


def room(s):
    """A directory where that user may make files."""
    d = s.dir / "backup"
    d.mkdir()
    st = (s.var / "journal").stat()
    os.chown(d, st.st_uid, st.st_gid)
    return d


def moved_in(b, a, journal):
    """What an administrator copies to the new place, besides the journal."""
    st = (a.var / "journal").stat()
    tar = b.dir / "files.tar"
    r = subprocess.run(["tar", "-C", str(a.var), "--exclude=store/.tmp", "-cf", str(tar), "store", "secret", "auth"], check=False)
    assert r.returncode in (0, 1), r  # 1: a file that was being written, which no finished step needs
    subprocess.run(["tar", "-C", str(b.var), "-xpf", str(tar)], check=True)
    (b.var / "journal").mkdir()
    os.chown(b.var / "journal", st.st_uid, st.st_gid)
    return worker(b, "--restore", str(journal))


def test_runs_in_flight_go_on_where_the_backup_is_restored(own_stack):
    a, b = own_stack(), Stack()
    try:
        file = room(a) / "journal.db"
        with accepting(a, 9) as accepted:
            until(lambda: len(accepted) >= 5, 60)
            known = list(accepted)
            r = worker(a, "--backup", str(file))
            assert r.returncode == 0, r.stderr
        n, is_open = (int(word) for word in r.stdout.replace(",", "").split() if word.isdigit())
        assert n >= len(known) and 0 < is_open <= n, r.stdout
        back = moved_in(b, a, file)
        assert (back.returncode, back.stdout) == (0, r.stdout), back.stderr
        b.start()
        for wid, name in known:
            check_finished_once(b, wid, name)
        # it is no matter to the first one
        for wid, name in accepted:
            check_finished_once(a, wid, name)
        assert b.finish(b.start_run(example("human-eval-010")))["status"] == "succeeded"
    finally:
        b.close()


@as_root
def test_the_commands_of_the_page(own_stack):
    s = own_stack()
    assert s.finish(s.start_run(example("human-eval-010")))["status"] == "succeeded"
    page = (ROOT / "README.md").read_text()
    typed = re.search(r"\*\*Backup\.\*\*.*?```\n(.*?)```", page, re.S)[1]
    to = s.dir / "backups"
    typed = typed.replace("/var/backups/azlon", str(to)).replace("/var/lib/azlon", str(s.var))
    env = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin"}
    r = subprocess.run(["sh", "-ec", typed], cwd="/root", env=env, capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r
    # what is in them nobody else may read
    made = {f.name.split("-")[0]: (f.owner(), stat.S_IMODE(f.stat().st_mode)) for f in to.iterdir()}
    assert made == {"journal": ("azlon", 0o600), "files": ("azlon", 0o600)}
    assert (to.owner(), stat.S_IMODE(to.stat().st_mode)) == ("azlon", 0o700)
    with tarfile.open(next(to.glob("*.tar.gz"))) as tar:
        assert {"store", "secret/azlon.secret", "auth"} <= set(tar.getnames())


def test_refusals_change_nothing(own_stack):
    s = own_stack()
    wid = s.start_run(example("human-eval-010"))
    assert s.finish(wid)["status"] == "succeeded"
    file = room(s) / "journal.db"
    assert worker(s, "--backup", str(file)).returncode == 0

    def refused(words, *args):
        r = worker(s, *args)
        assert r.returncode == 1 and words in r.stderr and not r.stdout, (args, r)
        assert len(r.stderr.splitlines()) == 1, r.stderr

    refused("is there already", "--backup", str(file))
    refused("name one file", "--backup")
    refused("name one file", "--backup", str(file) + ".2", "--restore", str(file))
    refused("stop all processes first", "--restore", str(file))
    for part in ("worker", "run_workflow-wait", "files", "files-archive"):
        s.kill_and_wait(part)
        refused("stop all processes first", "--restore", str(file))
    s.stop()
    refused("move it, with its -wal and -shm, aside", "--restore", str(file))
    s.env["RESTACK_ENGINE_ADDRESS"] = "127.0.0.1:1"
    refused("AZLON_ENGINE is restack", "--backup", str(file) + ".2")
    del s.env["RESTACK_ENGINE_ADDRESS"]
    if os.getuid() == 0:
        r = subprocess.run([str(BIN / "worker"), "--backup", str(file) + ".2"], env=s.env, capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and "only that user" in r.stderr
    assert [f.name for f in file.parent.iterdir()] == [file.name]
    # aside, then: what was in the backup is back
    for f in list((s.var / "journal").glob("journal.db*")):
        f.rename(s.dir / f.name)
    # the run, and the workflow that served its user, which may have been about to end
    assert worker(s, "--restore", str(file)).stdout in ("2 runs, 0 of them not over\n", "2 runs, 1 of them not over\n")
    s.start()
    assert s.get(f"/run_workflow/{wid}").json()["status"] == "succeeded"
    assert pathlib.Path(s.var / "journal" / "journal.db").stat().st_mode & 0o777 == 0o660
