"""Docker's engine for tests: a dockerd in network and mount namespaces of its own. This host's addresses,
firewall and its own engine stay as they are, and nobody else reaches what is published. Packages for
builds come through a user-mode network, which offline() ends. Images stay in build/images. Needs root."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from conftest import ROOT, until

KEPT = ROOT / "build" / "images"
NEEDED = ("dockerd", "docker", "containerd", "runc", "iptables", "slirp4netns", "debootstrap", "nsenter")
# what the images of Debian's "slim" leave out
UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/groff", "usr/share/lintian",
          "var/lib/apt/lists", "var/cache/apt", "var/log")


def missing():
    """Why there can be no engine, or ''."""
    if os.getuid() != 0:
        return "an engine wants root"
    gone = [p for p in NEEDED if not shutil.which(p)]
    if gone:
        return f"not installed: {', '.join(gone)} (fcgi/spawn/setup.sh full)"
    return "" if os.path.exists("/dev/net/tun") else "there is no /dev/net/tun"


class Engine:
    def __init__(self, compose):
        """compose is the program of Docker's plugin."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-images-"))
        self.dir.chmod(0o755)
        KEPT.mkdir(parents=True, exist_ok=True)
        plugins = self.dir / ".docker/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(compose)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "DOCKER_HOST": f"unix://{self.dir}/docker.sock"}
        (self.dir / "daemon.json").write_text(json.dumps({
            "hosts": [self.env["DOCKER_HOST"]], "data-root": str(KEPT / "docker"), "exec-root": str(self.dir / "exec"),
            "pidfile": str(self.dir / "dockerd.pid"), "exec-opts": ["native.cgroupdriver=cgroupfs"], "log-level": "warn",
            "features": {"buildkit": True}, "oom-score-adjust": 0}))
        self.daemon = self.net = self.uplink = None

    # ---- the daemon ----
    def start(self):
        """Start, or start again in the same network."""
        if not self.net:
            self.net = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"])
            until(lambda: "127.0.0.1" in self.inside("ip", "-brief", "address", "show", "lo").stdout)
        # /sys of the new network, with this host's control groups; and no engine of this host's in sight
        script = """set -e
mount --make-rprivate /
mkdir "$1/groups"
mount --rbind /sys/fs/cgroup "$1/groups"
mount -t sysfs none /sys
mount --rbind "$1/groups" /sys/fs/cgroup
umount -R "$1/groups"
rmdir "$1/groups"
for d in /run/containerd /run/docker; do mkdir -p $d; mount -t tmpfs none $d; done
exec dockerd --config-file "$1/daemon.json\""""
        with open(self.dir / "dockerd.log", "ab") as log:
            self.daemon = subprocess.Popen(["nsenter", "-t", str(self.net.pid), "-n", "unshare", "--mount", "sh", "-c", script, "sh", str(self.dir)],
                                           env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: self.daemon.poll() is not None or self.docker("info", check=False).returncode == 0, within=60)
            assert self.daemon.poll() is None
        except AssertionError:
            raise RuntimeError(f"dockerd does not start:\n{self.log()}") from None
        return self

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(60)
            self.daemon = None

    def close(self):
        try:
            self.stop()
        finally:
            self.offline()
            for p in (self.daemon, self.net):
                if p:
                    p.kill()
                    p.wait()
            if not os.environ.get("AZLON_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        return (self.dir / "dockerd.log").read_text(errors="replace")[-4000:]

    # ---- its network ----
    def online(self):
        """Let builds fetch packages as this host does."""
        with open(self.dir / "uplink.log", "ab") as log:
            self.uplink = subprocess.Popen(["slirp4netns", "--configure", "--disable-host-loopback", "--mtu=65520", str(self.net.pid), "tap0"],
                                           stdout=log, stderr=log)
        until(lambda: "10.0.2." in self.inside("ip", "-brief", "address", "show", "tap0").stdout)

    def offline(self):
        if self.uplink:
            self.uplink.terminate()
            self.uplink.wait(10)
            self.uplink = None

    def inside(self, *cmd, timeout=60):
        """A command in the network that containers' ports are published in."""
        return subprocess.run(["nsenter", "-t", str(self.net.pid), "-n", *cmd], capture_output=True, text=True, timeout=timeout)

    def curl(self, url, *args):
        """Status and body."""
        r = self.inside("curl", "-s", "-m", "120", "--noproxy", "*", "-w", "\n%{http_code}", *args, url, timeout=150)
        body, _, status = r.stdout.rpartition("\n")
        return int(status), body

    # ---- docker ----
    def docker(self, *args, check=True, timeout=120, **how):
        r = subprocess.run(["docker", *args], env=self.env, capture_output=True, text=True, timeout=timeout, **how)
        assert not check or r.returncode == 0, (args, r.stdout, r.stderr)
        return r

    def inspect(self, *names, kind="container"):
        return json.loads(self.docker(kind, "inspect", *names).stdout)

    def has(self, image):
        return self.docker("image", "inspect", image, check=False).returncode == 0

    def debian(self, image, release):
        """A system of that release under the image's name, as no registry is asked."""
        if self.has(image):
            return
        tree = KEPT / "debian"
        shutil.rmtree(tree, ignore_errors=True)
        r = subprocess.run(["debootstrap", "--variant=minbase", release, str(tree), *mirror()], capture_output=True, text=True, timeout=900)
        assert r.returncode == 0, r.stdout[-2000:] + r.stderr
        listed = tree / "etc/apt/sources.list"
        archive = re.search(r"deb (\S+)", listed.read_text())[1].rstrip("/")
        listed.write_text(f"deb {archive} {release} main\ndeb {archive} {release}-updates main\ndeb {archive}-security {release}-security main\n")
        (tree / "etc/dpkg/dpkg.cfg.d/slim").write_text("".join(f"path-exclude /{d}/*\n" for d in UNUSED if d.startswith("usr/share")))
        (tree / "etc/apt/apt.conf.d/clean").write_text(
            'APT::Keep-Downloaded-Packages "false";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\nAcquire::Languages "none";\n')
        for d in UNUSED:
            for f in (tree / d).glob("*"):
                shutil.rmtree(f) if f.is_dir() and not f.is_symlink() else f.unlink()
        with tempfile.TemporaryFile(dir=KEPT) as packed:
            with tarfile.open(fileobj=packed, mode="w") as t:
                t.add(tree, ".", filter=lambda i: None if i.isdev() else i)
            packed.seek(0)
            self.docker("import", "--change", 'CMD ["bash"]', "-", image, stdin=packed, timeout=300)
        shutil.rmtree(tree)


def mirror():
    """Where this host has Debian's packages from, for debootstrap; nothing: its own default."""
    for f in [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        with contextlib.suppress(OSError):
            if m := re.search(r"^[^#\n]*?(https?://\S+/debian)/?\s", f.read_text(), re.M):
                return [m[1]]
    return []
