"""A web host: Debian with systemd as PID 1 of a container, from the tree that `setup.sh host` makes, and in it what
`make install-files` installs. It sees no network but its loopback, and that a test may enter. Needs root."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

from conftest import ROOT, until
from minio_peer import BUILD_S

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000
POWER_OFF = signal.SIGRTMIN + 4  # systemd(1)
SPACES = ("--mount", "--pid", "--ipc", "--uts")
# nobody else's: they set the kernel that we share, or wait for a network that there is not
MASKED = ("systemd-sysctl.service", "systemd-binfmt.service", "systemd-modules-load.service", "systemd-journald-audit.socket",
          "proc-sys-fs-binfmt_misc.automount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
          "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "logrotate.timer")

# What a boot loader and a kernel leave to PID 1. The cgroup is entered from in here, for what is above
# one that has controllers may hold no process.
BOOT = r'''
echo 0 >"$group/cgroup.procs"
exec unshare --cgroup sh -euc '
mount --make-rprivate /
mount -t overlay -o lowerdir="$tree",upperdir="$dir/files",workdir="$dir/work" none "$dir/root"
cd "$dir/root"
mount -t proc -o nosuid,nodev,noexec none proc
mount -t sysfs -o ro,nosuid,nodev,noexec none sys
mount -t cgroup2 -o nosuid,nodev,noexec none sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid none dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec none dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev none dev/shm
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755,nosuid,nodev none run
mkdir run/before
pivot_root . run/before
exec chroot . sh -euc "
umount -l /run/before
rmdir /run/before
hostname azlon.example.org
exec env -i PATH=$PATH container=azlon-test /lib/systemd/systemd --show-status=no"
'
'''


def command(*words, check=True, timeout=120, **how):
    r = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=timeout, **how)
    assert not check or r.returncode == 0, (words, r.returncode, r.stdout, r.stderr)
    return r


def why_not():
    """What keeps this machine from booting another one in a container, or None."""
    if os.getuid() != 0:
        return "only root can boot a system in a container"
    if "ID=debian" not in pathlib.Path("/etc/os-release").read_text().splitlines():
        return "the host that is booted is of the release of this one, which is no Debian"
    if not shutil.which("debootstrap"):
        return "needs debootstrap: make test-full"
    with tempfile.TemporaryDirectory(prefix="azlon-booted-") as d:
        for name in ("a", "b", "c", "d", "e"):
            (pathlib.Path(d) / name).mkdir()
        tried = command("unshare", *SPACES, "--net", "--cgroup", "--fork", "sh", "-euc",
                        "mount --make-rprivate /; mount -t overlay -o lowerdir=a,upperdir=b,workdir=c none d; mount -t cgroup2 none e",
                        cwd=d, check=False)
    return f"no container can be made here: {tried.stderr.strip()}" if tried.returncode else None


def a_tree():
    """The Debian that setup.sh installs once."""
    kept = ROOT / "build/host"
    command(ROOT / "fcgi/spawn/setup.sh", "host", kept, timeout=BUILD_S)
    return kept / "tree"


class Booted:
    def __init__(self):
        self.tree = a_tree()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-booted-"))
        self.dir.chmod(0o755)
        for name in ("files", "work", "root"):
            (self.dir / name).mkdir()
        self.files = self.dir / "files"  # what differs from the tree
        where = CGROUPS / "unified"
        self.group = (where if where.is_dir() else CGROUPS) / self.dir.name
        self.init = self.proc = None
        # it ends when we do
        self.net = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.net.stdout.readline() == "up\n"
        etc = self.files / "etc/systemd/system"
        etc.mkdir(parents=True)
        for unit in MASKED:
            (etc / unit).symlink_to("/dev/null")
        for name, text in {"machine-id": f"{uuid.uuid4().hex}\n", "hostname": "azlon.example.org\n", "fstab": "",
                           "hosts": "127.0.0.1 localhost azlon.example.org\n"}.items():
            (self.files / "etc" / name).write_text(text)

    def install(self, into):
        """The plain build: sanitizers cannot look through walls such as those of the units."""
        command("make", "-s", "install-files", f"DESTDIR={into}", "PREFIX=/usr/local", f"BUILD={ROOT / 'build'}", cwd=ROOT,
                timeout=900, env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")})

    # ---- power ----
    def boot(self, within=60):
        self.group.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # where version 2 has them
            (self.group.parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        env = {"PATH": PATH, "tree": str(self.tree), "dir": str(self.dir), "group": str(self.group)}
        with open(self.dir / "console", "ab") as console:
            self.proc = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "nsenter", "-t", str(self.net.pid), "-n", "unshare", *SPACES, "--fork", "--kill-child",
                 "sh", "-euc", BOOT], env=env, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children")
        until(lambda: self.proc.poll() is not None or children.read_text().split(), within)
        assert self.proc.poll() is None, self.console()
        self.init = int(children.read_text().split()[0])
        try:
            until(lambda: self.state() in ("running", "degraded"), within, every=0.1)
        except AssertionError:
            raise AssertionError(f"not up: {self.state()}\n{self.console()}\n{self.journal()}") from None
        return self

    def state(self):
        if self.proc.poll() is not None:
            return "ended"
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def off(self, sig=signal.SIGKILL, within=60):
        """As if the plug had been pulled; POWER_OFF: as one should."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, sig)
        self.proc.wait(within)
        for d in sorted((d for d in [self.group, *self.group.rglob("*")] if d.is_dir()), reverse=True):
            d.rmdir()
        self.init = None

    def close(self):
        try:
            if self.init:
                self.off()
        finally:
            self.net.stdin.close()
            self.net.wait(20)
            if not os.environ.get("AZLON_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    # ---- in it ----
    def run(self, *words, **how):
        """As root, on its console."""
        env = how.pop("env", {})
        return command("nsenter", "-t", self.init, "-m", "-p", "-i", "-u", "-n", "-C", "env", "-i", f"PATH={PATH}", "HOME=/root",
                       "LANG=C.UTF-8", *(f"{k}={v}" for k, v in env.items()), *words, **how)

    def sh(self, text, **how):
        return self.run("bash", "-ec", text, **how).stdout

    def show(self, unit, *names):
        """Properties of a unit: one as text, several as a list."""
        said = dict(line.split("=", 1) for line in self.run("systemctl", "show", unit, *(f"-p{n}" for n in names)).stdout.splitlines())
        return said[names[0]] if len(names) == 1 else [said[n] for n in names]

    def pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def as_unit(self, unit, *words, **how):
        """What the unit's user sees and may from where the unit's process is."""
        pid, user = self.show(unit, "MainPID", "User")
        return self.run("nsenter", "-t", pid, "-m", "-n", "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all",
                        "--bounding-set=-all", "--no-new-privs", *words, **{"check": False, **how})

    def kill(self, unit):
        self.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)

    def journal(self, *words):
        return self.run("journalctl", "--no-pager", "-q", *words, check=False).stdout[-16000:]

    def console(self):
        return (self.dir / "console").read_text(errors="replace")[-4000:]

    @contextlib.contextmanager
    def network(self):
        """This thread, and those that it begins meanwhile, are in its network."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(fd):
            if libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

        own, its = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{self.net.pid}/ns/net", os.O_RDONLY)
        try:
            enter(its)
            yield
        finally:
            enter(own)
            os.close(its)
            os.close(own)


def wait_for(condition, what, within=30):
    """As until(), saying what there was instead."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.05)
