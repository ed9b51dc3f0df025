"""`make bench`: figures of this machine, each with the command that made it."""
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from conftest import BIN, Stack, example, free_ports  # noqa: E402

TOOLS = BIN.parent / "tests" / "bench"
rows = []


def row(what, goal, got, cmd):
    rows.append((what, goal, got, cmd))
    print(f"{what:<44} {goal:<26} {got}\n    {cmd}", flush=True)


def load(port, *args):
    cmd = [str(TOOLS / "load"), str(port), *map(str, args)]
    out = json.loads(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout)
    return out, "load " + " ".join(str(a) for a in args)


def cpu_s(pid):
    f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def mem_kib(pid, field="Rss"):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def tree(pid):
    kids = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    out = [pid]
    try:
        for k in kids.read_text().split():
            out += tree(int(k))
    except OSError:
        pass
    return out


PARTS = ["run_workflow", "run_workflow-wait", "files", "files-archive", "sandbox", "replay", "worker"]


def idle(s):
    total = sum(mem_kib(p, "Pss") for part in PARTS for p in tree(s.pid(part)))
    row("idle processes together, PSS", "<= 48 MiB", f"{total / 1024:.1f} MiB", "sum of Pss in smaps_rollup, sandbox spares included")


def starts(s, tmp):
    body = tmp / "start.json"
    body.write_text(json.dumps({**example("hopeless"), "mode": "async"}))
    s.kill("worker", signal.SIGSTOP)
    s.kill("sandbox", signal.SIGSTOP)
    try:
        out, cmd = load(s.port, "open", 300, 10, "POST", "/run_workflow", body)
        row("durable starts, open loop 300/s", "p50 <= 15 ms, p99 <= 60 ms",
            f"p50 {out['p50_ms']} ms, p99 {out['p99_ms']} ms, {out['errors']} errors of {out['n']}", cmd)
        before = commits(s)
        out, cmd = load(s.port, "closed", 100, 5, "POST", "/run_workflow", body)
        after = commits(s)
        per = out["n"] / max(1, after - before) if before is not None else None
        row("starts sharing one fsync, 100 clients", ">= 8",
            f"{per:.1f} ({out['n']} starts, {after - before} commits, {out['rate']}/s)" if per else f"{out['rate']}/s, commits not counted", cmd)
    finally:
        s.kill("worker", signal.SIGCONT)
        s.kill("sandbox", signal.SIGCONT)


def commits(s):
    """fdatasync calls of the run_workflow process, as its metrics count them."""
    r = s.get("/run_workflow/metrics", user=None)
    for line in r.text.splitlines():
        if line.startswith("azlon_journal_commits_total"):
            return float(line.split()[-1])
    return None


def status(s, wid):
    echo_sock = s.var / "nginx" / "echo.sock"
    port = free_ports(1)[0]
    conf = s.var / "nginx" / "echo.conf"
    conf.write_text(f"""pid {s.var}/nginx/echo.pid; error_log {s.var}/nginx/echo.log; worker_processes 2; events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {s.var}/nginx/eb; fastcgi_temp_path {s.var}/nginx/ef; proxy_temp_path {s.var}/nginx/ep; uwsgi_temp_path {s.var}/nginx/eu; scgi_temp_path {s.var}/nginx/es;
server {{ listen 127.0.0.1:{port}; location / {{ include {s.var}/nginx/azlon_fastcgi.conf; fastcgi_pass unix:{echo_sock}; }} }} }}""")
    procs = [subprocess.Popen(["spawn-fcgi", "-n", "-s", str(echo_sock), "-M", "0666", "-b", "1024", "--", str(TOOLS / "echo"), "64"])]
    while not echo_sock.exists():
        time.sleep(0.02)
    procs.append(subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;", "-e", f"{s.var}/nginx/echo.log"]))
    time.sleep(0.5)
    try:
        ours, theirs, cpu = [], [], []
        for _ in range(3):  # side by side, alternating
            o, _ = load(port, "closed", 16, 4, "GET", "/x")
            theirs.append(o["rate"])
            c0 = cpu_s(s.pid("run_workflow"))
            o, cmd = load(s.port, "closed", 16, 4, "GET", f"/run_workflow/{wid}")
            cpu.append((cpu_s(s.pid("run_workflow")) - c0) / o["n"] * 1e6)
            ours.append(o["rate"])
        row("status read, CPU of our processes", "<= 120 us", f"{statistics.median(cpu):.0f} us", cmd)
        row("status reads against bare libfcgi echo", ">= 80 %",
            f"{100 * statistics.median(ours) / statistics.median(theirs):.0f} % ({statistics.median(ours):.0f}/s of {statistics.median(theirs):.0f}/s)", cmd)
    finally:
        for p in reversed(procs):
            p.terminate()
            p.wait()


def curl(url, *args):
    t = time.monotonic()
    subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-H", "X-User-ID: bench", *args, url], check=True)
    return time.monotonic() - t


def download(s, tmp):
    big = tmp / "big.bin"
    with big.open("wb") as f:
        for _ in range(256):
            f.write(os.urandom(1 << 20))
    subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-H", "X-User-ID: bench", "-T", str(big), f"{s.url}/files/inputs/default/big.bin"], check=True)
    port = free_ports(1)[0]
    tmp.chmod(0o755)
    conf = tmp / "plain.conf"
    conf.write_text(f"""pid {tmp}/plain.pid; error_log {tmp}/plain.log; worker_processes 2; events {{ }}
http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {tmp}/b; fastcgi_temp_path {tmp}/f; proxy_temp_path {tmp}/p; uwsgi_temp_path {tmp}/u; scgi_temp_path {tmp}/s;
server {{ listen 127.0.0.1:{port}; root {tmp}; }} }}""")
    p = subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;", "-e", f"{tmp}/plain.log"])
    time.sleep(0.5)
    try:
        m0 = mem_kib(s.pid("files"))
        plain, ours = [], []
        for _ in range(7):
            plain.append(curl(f"http://127.0.0.1:{port}/big.bin"))
            ours.append(curl(f"{s.url}/files/inputs/default/big.bin"))
        m1 = mem_kib(s.pid("files"))
        row("download of 256 MiB against plain nginx", ">= 90 %, memory flat",
            f"{100 * statistics.median(plain) / statistics.median(ours):.0f} % ({256 / statistics.median(ours):.0f} MiB/s), files RSS {m0} -> {m1} KiB",
            "curl GET /files/inputs/default/big.bin, 7 times each, alternating")
    finally:
        p.terminate()
        p.wait()


def zip5(s, tmp):
    for i in range(20):
        subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-H", "X-User-ID: zipper", "-T", str(tmp / "big.bin"),
                        f"{s.url}/files/inputs/default/part{i:02d}.bin"], check=True)
    top = 0
    t = time.monotonic()
    p = subprocess.Popen(["curl", "-sS", "-f", "-o", "/dev/null", "-w", "%{size_download}", "-H", "X-User-ID: zipper",
                          f"{s.url}/files/inputs/default?format=zip"], stdout=subprocess.PIPE, text=True)
    while p.poll() is None:
        top = max(top, mem_kib(s.pid("files-archive")))
        time.sleep(0.1)
    size = int(p.stdout.read() or 0)
    row("zip of 5 GB", "<= 16 MiB RSS", f"{top / 1024:.1f} MiB RSS, {size / 1e9:.2f} GB in {time.monotonic() - t:.1f} s (exit {p.returncode})",
        "curl GET /files/inputs/default?format=zip")
    s.request("DELETE", "/files", user="zipper")


def sandbox(s):
    from e2b import Sandbox
    key = (s.var / "secret" / "e2b.key").read_text()
    os.environ.update(E2B_API_KEY=key, E2B_API_URL=f"http://127.0.0.1:{s.local_port}", E2B_SANDBOX_URL=f"http://127.0.0.1:{s.local_port}")
    times = []
    for _ in range(30):
        t = time.monotonic()
        box = Sandbox.create(timeout=60)
        box.commands.run("true")
        times.append((time.monotonic() - t) * 1000)
        box.kill()
    row("sandbox: create to first command done", "median <= 60 ms", f"median {statistics.median(times):.1f} ms, max {max(times):.1f} ms",
        "e2b Sandbox.create() + commands.run('true'), 30 times")


def main():
    s = Stack(AZLON_RATE="100000", AZLON_BURST="100000", AZLON_CONNS="5000")
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="azlon-bench-"))
    try:
        t = time.monotonic()
        s.start()
        up = time.monotonic() - t
        idle(s)
        t = time.monotonic()
        wid = s.start_run(example("human-eval-010"), user="bench")
        first = s.get(f"/run_workflow/{wid}?wait=10", user="bench").status_code
        row("make run on a built tree: first answer", "<= 10 s", f"{up + time.monotonic() - t:.1f} s (status {first})", "stack.sh start + POST /run_workflow + GET")
        s.finish(wid, user="bench")
        sandbox(s)
        status(s, wid)
        download(s, tmp)
        zip5(s, tmp)
        starts(s, tmp)
    finally:
        s.close()
        subprocess.run(["rm", "-rf", str(tmp)])


main()
