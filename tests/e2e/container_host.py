"""Services of docker/compose.yaml without an engine: each a process with its user, capabilities, filter,
environment, secrets and volumes in a mount namespace of its own, on files laid out as the image's. They
share one network namespace, so who reaches whom is not tried here. Needs root."""
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from compose_file import DOCKER, Dockerfile, chosen, filled
from conftest import BIN, ROOT, until

WITH_SECCOMP = pathlib.Path(__file__).with_name("with_seccomp.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STAGES = {"minio": "minio", "sandbox": "sandbox"}


def image(where):
    """What `make install-files` and the COPY lines of the Dockerfile put below /usr/local."""
    variant = BIN.parent.name
    subprocess.run(["make", "-s", "install-files", f"DESTDIR={where}", "PREFIX=/usr/local", f"BUILD={BIN.parents[1]}",
                    *([f"SANITIZE={variant.replace('-', ',')}"] if variant not in ("release", "coverage") else [])],
                   cwd=ROOT, check=True, capture_output=True, timeout=600)
    for sources, to in Dockerfile().copied("azlon"):
        assert to.endswith("/")
        (where / to.lstrip("/")).mkdir(parents=True)
        for s in sources:
            shutil.copy(ROOT / s, where / to.lstrip("/"))
    return where / "usr/local"


class Host:
    def __init__(self, **env):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-containers-"))
        self.dir.chmod(0o755)
        self.file = Dockerfile()
        self.values = chosen(self.dir, **env)
        self.compose = filled(self.values)
        self.local = image(self.dir / "image")
        self.running = {}
        self._accounts()
        self.net = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"])
        until(lambda: self._in_net("ip", "-brief", "address", "show", "lo").stdout.count("127.0.0.1"))

    def _in_net(self, *cmd, **how):
        return subprocess.run(["nsenter", "-t", str(self.net.pid), "-n", *cmd], capture_output=True, text=True, timeout=60, **how)

    def _accounts(self):
        """/etc/passwd and the like with the users that the Dockerfile makes, and names of services."""
        users = self.file.users
        first, last, who = self.file.subids
        more = {"passwd": "".join(f"{n}:x:{u}:{u}::/nonexistent:/usr/sbin/nologin\n" for n, u in users.items()),
                "group": "".join(f"{n}:x:{u}:\n" for n, u in users.items()),
                "hosts": "127.0.0.1 localhost minio engine\n",
                "subuid": f"{who}:{first}:{int(last) - int(first) + 1}\n"}
        more["subgid"] = more["subuid"]
        for name, text in more.items():
            old = pathlib.Path("/etc", name).read_text() if name in ("passwd", "group") else ""
            # this machine's own users of these names are others
            kept = [line for line in old.splitlines(True) if line.split(":")[0] not in users]
            (self.dir / name).write_text("".join(kept) + text)
        for path, cap in self.file.filecaps.items():  # not setuid, but with that capability
            copy = pathlib.Path(shutil.copyfile(path, self.dir / pathlib.Path(path).name))
            copy.chmod(0o755)
            os.setxattr(copy, "security.capability", struct.pack("<5I", 0x02000001, 1 << {"cap_setgid": 6, "cap_setuid": 7}[cap], 0, 0, 0))

    def volume(self, name):
        """Its directory: as its options say, or as the image has the place where it is mounted first."""
        at = self.dir / "volumes" / name
        if at.exists():
            return at
        at.mkdir(parents=True)
        how = dict(o.split("=") for o in (self.compose["volumes"][name].get("driver_opts") or {}).get("o", "").split(",") if o)
        if how:
            mode, uid, gid = int(how["mode"], 8), int(how["uid"]), int(how["gid"])
        else:
            targets = {v.split(":")[1] for s in self.compose["services"].values() for v in s.get("volumes", []) if v.split(":")[0] == name}
            mode, owner, group = self.file.dirs[targets.pop()]
            uid, gid = self.file.users[owner], self.file.users[group]
        os.chown(at, uid, gid)
        at.chmod(mode)
        return at

    def environment(self, name):
        stage = STAGES.get(name, "azlon")
        env = {**self.file.env(stage), **self.compose["services"][name].get("environment", {})}
        # a sanitizer cannot look at what may not be traced
        return {"PATH": PATH, "HOME": "/nonexistent", "ASAN_OPTIONS": "detect_leaks=0", **{k: str(v) for k, v in env.items()}}

    def as_user(self, name, env):
        s = self.compose["services"][name]
        uid, gid = s["user"].split(":")
        caps = "".join(f",+{c.lower()}" for c in s.get("cap_add", []))
        nnp = ["--no-new-privs"] if "no-new-privileges:true" in s["security_opt"] else []
        return ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--inh-caps=-all", f"--bounding-set=-all{caps}", *nnp,
                "env", "-i", *(f"{k}={v}" for k, v in env.items())]

    def start(self, name, program=None, command=None, **env):
        """One service; program is what the image of MinIO would have."""
        s = self.compose["services"][name]
        seccomp = [o.split("=", 1)[1] for o in s["security_opt"] if o.startswith("seccomp=")]
        entry = self.file.entrypoint(STAGES.get(name, "azlon"))
        do = ["set -e", "cd /", "mount --make-rprivate /", f"mount --bind {shlex.quote(str(self.local))} /usr/local"]
        for f in ("passwd", "group", "hosts", "subuid", "subgid"):
            do.append(f"mount --bind {shlex.quote(str(self.dir / f))} /etc/{f}")
        do += [f"mount -t tmpfs -o mode=755 none {d}" for d in ("/run", "/var/lib", "/var/cache", "/media")]
        binds = [(self.volume(v.split(":")[0]), v.split(":")[1]) for v in s.get("volumes", [])]
        binds += [(self.dir / "docker/secrets" / n, f"/run/secrets/{n}") for n in s.get("secrets", [])]
        if name == "sandbox":
            binds += [(self.dir / pathlib.Path(p).name, p) for p in self.file.filecaps]
        if program:
            binds.append((program, "/run/program/minio"))
        for source, to in binds:
            if to == "/data":  # no such place on this host
                to = "/media/data"
            make = "" if to.startswith("/usr/bin/") else f"mkdir -p {to}" if pathlib.Path(source).is_dir() else f"mkdir -p {pathlib.PurePath(to).parent} && : >{to}"
            do += [make, f"mount --bind {shlex.quote(str(source))} {to}"]
        if "/var/lib/azlon" not in [to for _, to in binds]:
            do += ["mkdir -p -m 700 /var/lib/azlon", f"chown {self.file.users['azlon']} /var/lib/azlon"]
        size = s["tmpfs"][0].split(":")[1]
        do += ["for d in /run /var/lib /var/cache /media; do mount -o remount,bind,ro $d; done", "mount -o remount,bind,ro /",
               f"mount -t tmpfs -o mode=1777,nosuid,nodev,noexec,{size} none /tmp", 'exec "$@"']
        words = [w.replace("/data", "/media/data") if name == "minio" else w for w in entry]
        envs = {**self.environment(name), **env}
        if program:
            envs["PATH"] = f"/run/program:{PATH}"
        cmd = ["nsenter", "-t", str(self.net.pid), "-n",
               *(["/usr/bin/python3", str(WITH_SECCOMP), str(DOCKER / seccomp[0])] if seccomp else []),
               "unshare", "--mount", "sh", "-c", "\n".join(do), "sh", *self.as_user(name, envs), *words, *(command or s.get("command", []))]
        log = open(self.dir / f"{name}.log", "ab")  # noqa: SIM115
        os.fchmod(log.fileno(), 0o666)  # as an engine does, so that /dev/stdout can be opened
        proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.running[name] = proc
        return proc

    def exec(self, name, *cmd, timeout=60, **env):
        """As `docker compose exec`."""
        pid = str(self.running[name].pid)
        return subprocess.run(["nsenter", "-t", pid, "-m", "-n", *self.as_user(name, {**self.environment(name), **env}), *cmd],
                              capture_output=True, text=True, timeout=timeout)

    def healthy(self, name, within=60):
        test = self.compose["services"][name]["healthcheck"]["test"][1:]
        end = time.monotonic() + within
        while True:
            r = self.exec(name, *test)
            if r.returncode == 0:
                return
            assert self.running[name].poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < end, f"{name} is not healthy: {r.stdout} {r.stderr}\n{self.log(name)}"
            time.sleep(0.2)

    def ready(self, within=90):
        said = [None]

        def is_ready():
            said[0] = self.curl("http://127.0.0.1:8000/run_workflow/health/ready")
            return said[0][0] == 200

        with contextlib.suppress(AssertionError):
            return until(is_ready, within)
        raise AssertionError(f"not ready: {said[0]}\n" + "\n".join(f"--- {n}\n{self.log(n)}" for n in self.running if n != "engine"))

    def log(self, name):
        return (self.dir / f"{name}.log").read_text(errors="replace")[-4000:]

    def stop(self, name):
        """What an engine does; the exit status."""
        p = self.running[name]
        p.send_signal(signal.SIGTERM)
        return p.wait(20)

    def curl(self, url, *args):
        """Status, body, head; from the host's network."""
        r = self._in_net("curl", "-s", "-m", "30", "--noproxy", "*", "-w", "\n%{http_code}", *args, url)
        body, _, status = r.stdout.rpartition("\n")
        return int(status), body

    def close(self):
        for p in [*self.running.values(), self.net]:
            with contextlib.suppress(ProcessLookupError):
                p.terminate()
        for p in [*self.running.values(), self.net]:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        if not os.environ.get("AZLON_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
