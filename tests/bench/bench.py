"""`make bench`: figures of this machine, each with the command that made it.

bench.py [part…]   parts: run idle sandbox status download zip starts reload restack s3 door page (default: all)
"""
import contextlib
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import door as front_door  # noqa: E402
import page as of_page  # noqa: E402
import reload as anew  # noqa: E402
import restack as beside  # noqa: E402
import s3 as in_s3  # noqa: E402
import sandbox as boxes  # noqa: E402
from conftest import BIN, Stack, example, free_ports, until  # noqa: E402

TOOLS = BIN.parent / "tests" / "bench"
PARTS = ["run_workflow", "run_workflow-wait", "files", "files-archive", "sandbox", "replay", "worker"]
rows = []


def row(what, goal, met, got, cmd):
    rows.append((what, goal, "met" if met else "MISSED", got, cmd))
    print(f"{what}: {got}", flush=True)


def table():
    w = [max(len(r[i]) for r in rows) for i in range(3)]
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    print(f"\n{os.cpu_count()} x {cpu}, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}\n")
    for what, goal, met, got, cmd in rows:
        print(f"{what:<{w[0]}}  {goal:<{w[1]}}  {met:<{w[2]}}  {got}\n    {cmd}")


# ---- what the kernel says of a process ----
def cpu_s(pids):
    total = 0
    for pid in pids:
        f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(f[11]) + int(f[12])
    return total / os.sysconf("SC_CLK_TCK")


def mem_kib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def tree(pid):
    out = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for kid in (task / "children").read_text().split():
                out += tree(int(kid))
    return out


def ours(s):
    return [s.pid(part) for part in PARTS]


# ---- tools ----
def load(port, *args, token=None):
    cmd = [str(TOOLS / "load"), str(port), *map(str, args)]
    env = {"AZLON_TOKEN": token} if token else {}
    out = json.loads(subprocess.run(cmd, env=env, capture_output=True, text=True, check=True).stdout)
    return out, "load PORT " + " ".join(pathlib.Path(str(a)).name if "/tmp" in str(a) else str(a) for a in args)


@contextlib.contextmanager
def nginx(where, http, before=""):
    """A plain nginx beside ours, same build, same number of workers."""
    port = free_ports(1)[0]
    conf = where / "plain.conf"
    temp = "".join(f"{k}_temp_path {where}/{k}; " for k in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi"))
    conf.write_text(f"pid {where}/plain.pid; error_log {where}/plain.log; worker_processes 2;\n"
                    f"events {{ worker_connections 1024; }}\n"
                    f"http {{ access_log off; sendfile on; tcp_nopush on; {temp}\n"
                    f"{before}\n"
                    f"server {{ listen 127.0.0.1:{port} backlog=1024; {http} }} }}\n")
    p = subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;", "-e", f"{where}/plain.log"])
    try:
        until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]).returncode == 0)
        yield port
    finally:
        p.terminate()
        p.wait()


@contextlib.contextmanager
def same_nginx(s, tmp, sock):
    """The stack's own configuration on other ports, with sock in the place of run_workflow."""
    where, ports = tmp / "nginx", free_ports(3)
    where.mkdir()
    new = {str(old): str(port) for old, port in zip((s.port, s.tls_port, s.local_port), ports)}
    for f in (s.var / "nginx").glob("*.conf"):
        text = f.read_text().replace(f"{s.var}/run/run_workflow.sock", str(sock))
        for part in ("nginx/tmp", "log"):
            text = text.replace(f"{s.var}/{part}/", f"{where}/")
        for old, port in new.items():
            text = re.sub(rf"listen 127\.0\.0\.1:{old}\b", f"listen 127.0.0.1:{port}", text)
        (where / f.name).write_text(text)
    p = subprocess.Popen(["nginx", "-c", str(where / "nginx.conf"), "-g", "daemon off;", "-e", f"{where}/nginx-error.log"])
    try:
        until(lambda: subprocess.run(["curl", "-s", "-f", "-o", "/dev/null", f"http://127.0.0.1:{ports[0]}/run_workflow/x"]).returncode == 0)
        yield ports[0]
    finally:
        p.terminate()
        p.wait()


def curl(url, *args, user="bench"):
    t = time.monotonic()
    r = subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-w", "%{size_download}", "-H", f"X-User-ID: {user}", *args, url],
                       check=True, capture_output=True, text=True)
    return time.monotonic() - t, int(r.stdout)


# ---- the rows ----
def run(s, tmp):
    """The command itself, on ports and a state directory of its own."""
    env = {**os.environ, "AZLON_VAR": str(tmp / "run-var"), "MAKEFLAGS": ""}
    for name, port in zip(("AZLON_PORT", "AZLON_TLS_PORT", "AZLON_LOCAL_PORT"), free_ports(3)):
        env[name] = str(port)
    (tmp / "run-var").mkdir()
    make = ["make", "-s", "-C", str(ROOT), f"BUILD={BIN.parents[1]}"]
    t = time.monotonic()
    with open(tmp / "run.log", "w") as log:
        p = subprocess.Popen([*make, "run"], env=env, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{env['AZLON_PORT']}/run_workflow/health/ready"
        try:
            until(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", url]).returncode == 0, within=60)
            first = time.monotonic() - t
            ok = p.wait(timeout=120) == 0
            whole = time.monotonic() - t
        finally:
            p.poll() is None and p.terminate()
            subprocess.run([*make, "stop"], env=env, check=False)
    row("make run on a built tree, first answer", "<= 10 s", first <= 10 and ok,
        f"{first:.1f} s; weather example {'succeeded' if ok else 'FAILED'} after {whole:.1f} s", "make run; first 200 of GET /run_workflow/health/ready")


def idle(s, tmp):
    time.sleep(2)
    each = {part: sum(mem_kib(p, "Pss") for p in tree(s.pid(part))) / 1024 for part in PARTS}
    total = sum(each.values())
    row("idle processes together", "<= 48 MiB PSS", total <= 48,
        f"{total:.1f} MiB ({', '.join(f'{k} {v:.1f}' for k, v in each.items())})",
        "sum of Pss in /proc/PID/smaps_rollup, sandboxes kept ready included")


def sandbox(s, tmp):
    boxes.measure(s, tmp, row, sys.modules[__name__])


def status(s, tmp):
    wid = s.start_run(example("human-eval-010"), user="bench")
    s.finish(wid, user="bench")
    size = len(s.get(f"/run_workflow/{wid}", user="bench").content)
    sock = tmp / "echo.sock"
    echo = subprocess.Popen(["spawn-fcgi", "-n", "-s", str(sock), "-M", "0666", "-b", "1024", "--",
                             str(TOOLS / "echo"), "64", str(size)])
    try:
        until(sock.exists)
        with same_nginx(s, tmp, sock) as port:
            mine, bare, cpu = [], [], []
            for _ in range(5):  # side by side, alternating
                o, _ = load(port, "closed", 16, 3, "GET", f"/run_workflow/{wid}")
                bare.append(o["rate"])
                if o["errors"]:
                    raise RuntimeError(f"{o['errors']} errors of the echo")
                c = cpu_s(ours(s))
                o, cmd = load(s.port, "closed", 16, 3, "GET", f"/run_workflow/{wid}")
                cpu.append((cpu_s(ours(s)) - c) / o["n"] * 1e6)
                mine.append(o["rate"])
                if o["errors"]:
                    raise RuntimeError(f"{o['errors']} errors in status reads")
    finally:
        echo.terminate()
        echo.wait()
    us, rate = statistics.median(cpu), statistics.median(a / b for a, b in zip(mine, bare))
    row("status read, CPU of our processes", "<= 120 us", us <= 120, f"{us:.0f} us", cmd.replace(wid, "ID"))
    row("status reads against a bare libfcgi echo", ">= 80 %", rate >= 0.8,
        f"{rate * 100:.0f} % ({statistics.median(mine):.0f}/s of {statistics.median(bare):.0f}/s, {size} bytes each)",
        cmd.replace(wid, "ID") + "; the same to echo behind the same nginx configuration, in turn")


def big_file(tmp):
    big = tmp / "big.bin"
    if not big.exists():
        with big.open("wb") as f:
            for _ in range(256):
                f.write(os.urandom(1 << 20))
        big.chmod(0o644)
    return big


def download(s, tmp):
    curl(f"{s.url}/files/inputs/default/big.bin", "-T", str(big_file(tmp)))
    with nginx(tmp, f"root {tmp};") as port:
        plain, mine, mem = [], [], []
        for i in range(15):
            plain.append(curl(f"http://127.0.0.1:{port}/big.bin")[0])
            t, n = curl(f"{s.url}/files/inputs/default/big.bin")
            assert n == 256 << 20, n
            mine.append(t)
            mem.append(mem_kib(s.pid("files"), "Rss"))
    rate = statistics.median(plain) / statistics.median(mine)
    row("download of 256 MiB against plain nginx", ">= 90 %, memory flat", rate >= 0.9 and mem[-1] - mem[0] <= 256,
        f"{rate * 100:.0f} % ({256 / statistics.median(mine):.0f} MiB/s of {256 / statistics.median(plain):.0f} MiB/s), files RSS {mem[0]} -> {mem[-1]} KiB",
        "curl GET /files/inputs/default/big.bin, 15 times each, alternating")


def zip5(s, tmp):
    """A finished run to whose tree 20 files of 256 MiB are added in the store: no
    program of an example writes 5 GB."""
    wid = s.start_run(example("human-eval-010"), user="bench")
    s.finish(wid, user="bench")
    manifest, = (s.var / "store").glob(f"*/{wid}/.azlon/manifest")
    owner = manifest.stat()
    tree = json.loads(manifest.read_text())
    big = big_file(tmp)
    sha = subprocess.run(["sha256sum", str(big)], check=True, capture_output=True, text=True).stdout.split()[0]
    blob = manifest.parent / "blobs" / sha
    shutil.copyfile(big, blob)
    tree["files"] = sorted(tree["files"] + [{**tree["files"][0], "path": f"part{i:02d}.bin", "sha256": sha, "size": 256 << 20}
                                            for i in range(20)], key=lambda f: f["path"])
    manifest.write_text(json.dumps(tree, separators=(",", ":")))
    for f in (manifest, blob):
        os.chown(f, owner.st_uid, owner.st_gid)
        f.chmod(owner.st_mode & 0o777)
    top, t = 0, time.monotonic()
    p = subprocess.Popen(["curl", "-sS", "-f", "-o", "/dev/null", "-w", "%{size_download}", "-H", "X-User-ID: bench",
                          f"{s.url}/files/{wid}?format=zip"], stdout=subprocess.PIPE, text=True)
    while p.poll() is None:
        top = max(top, mem_kib(s.pid("files-archive"), "Rss"))
        time.sleep(0.1)
    size, took = int(p.stdout.read() or 0), time.monotonic() - t
    row("zip of 5 GB", "<= 16 MiB RSS", top <= 16384 and p.returncode == 0 and size >= 5e9,
        f"{top / 1024:.1f} MiB, {size / 1e9:.2f} GB in {took:.1f} s", "curl GET /files/ID?format=zip, ID with 20 files of 256 MiB; RSS of files --role archive")


def counted(s, tmp):
    """run_workflow again, with its calls of fdatasync counted: the map of the number."""
    count = tmp / "syncs"
    count.write_bytes(bytes(8))
    count.chmod(0o666)
    so = tmp / "sync_count.so"
    so.write_bytes((TOOLS / "sync_count.so").read_bytes())
    pid = s.pid("run_workflow")
    proc = pathlib.Path(f"/proc/{pid}")
    env = dict(e.split("=", 1) for e in (proc / "environ").read_text().split("\0") if "=" in e)
    args = (proc / "cmdline").read_text().split("\0")[:-1]
    sock = s.var / "run" / "run_workflow.sock"
    st = sock.stat()
    own = ["-u", str(proc.stat().st_uid), "-g", str(proc.stat().st_gid), "-U", str(st.st_uid), "-G", str(st.st_gid)] if os.getuid() == 0 else []
    s.kill_and_wait("run_workflow", signal.SIGTERM)
    sock.unlink(missing_ok=True)
    with open(s.var / "log" / "run_workflow.log", "a") as log:
        p = subprocess.Popen(["spawn-fcgi", "-n", "-s", str(sock), "-M", "0660", "-b", "1024", *own, "--", *args],
                             env={**env, "LD_PRELOAD": str(so), "SYNC_COUNT": str(count)}, stdout=log, stderr=log, start_new_session=True)
    (s.var / "run" / "run_workflow.pid").write_text(str(p.pid))
    start = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    (s.var / "run" / "run_workflow.start").write_text(start)
    until(lambda: s.get("/run_workflow/health/live").status_code == 200)
    with open(count, "r+b") as f:
        return p, mmap.mmap(f.fileno(), 8)


def starts(s, tmp):
    body = tmp / "start.json"
    body.write_text(json.dumps({**example("hopeless"), "mode": "async"}))
    s.kill_and_wait("worker", signal.SIGTERM)
    p, syncs = counted(s, tmp)
    number = lambda: struct.unpack("q", syncs[:])[0]  # noqa: E731
    try:
        runs = []
        for _ in range(3):
            runs.append(load(s.port, "open", 300, 8, "POST", "/run_workflow", body))
        o, cmd = sorted(runs, key=lambda r: r[0]["p99_ms"])[1]
        row("durable starts, open loop of 300/s", "p50 <= 15, p99 <= 60 ms",
            o["p50_ms"] <= 15 and o["p99_ms"] <= 60 and not sum(r[0]["errors"] for r in runs),
            f"p50 {o['p50_ms']:.1f} ms, p99 {o['p99_ms']:.1f} ms (middle one of 3; {o['n']} starts, {o['errors']} errors)", cmd + "; worker stopped")
        before = number()
        o, cmd = load(s.port, "closed", 100, 5, "POST", "/run_workflow", body)
        n = number() - before
        row("starts that share an fsync, 100 clients", ">= 8", n > 0 and o["n"] / n >= 8 and not o["errors"],
            f"{o['n'] / max(n, 1):.1f} ({o['n']} starts, {n} fsyncs, {o['rate']:.0f}/s, p50 {o['p50_ms']:.1f} ms)",
            cmd + "; fsync and fdatasync counted by a preloaded library")
    finally:
        p.terminate()
        p.wait()


def reload(s, tmp):
    anew.measure(row, sys.modules[__name__])


def restack(s, tmp):
    beside.measure(TOOLS, row)


def s3(s, tmp):
    in_s3.measure(tmp, row, sys.modules[__name__])


def page(s, tmp):
    of_page.measure(s, row)


def door(s, tmp):
    front_door.measure(tmp, row, sys.modules[__name__])


def main():
    all_parts = {"run": run, "idle": idle, "sandbox": sandbox, "status": status, "download": download, "zip": zip5, "starts": starts,
                 "reload": reload, "restack": restack, "s3": s3, "door": door, "page": page}
    chosen = sys.argv[1:] or list(all_parts)
    # limits per address are for the world, not for one load generator
    s = Stack(AZLON_RATE="100000", AZLON_BURST="100000", AZLON_CONNS="5000")
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="azlon-bench-"))
    tmp.chmod(0o755)
    try:
        s.start()
        for name in chosen:
            all_parts[name](s, tmp)
    finally:
        s.close()
        subprocess.run(["rm", "-rf", str(tmp)])
        if rows:
            table()


main()
