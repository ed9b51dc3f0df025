"""bench.py reload: a new generation under load, and how soon a crashed process is back."""
import json
import os
import signal
import statistics
import subprocess
import time


def reloads(s, path, row, bench):
    p = subprocess.Popen([str(bench.TOOLS / "load"), str(s.port), "open", "200", "12", "GET", path], stdout=subprocess.PIPE, text=True)
    took = []
    for _ in range(3):
        time.sleep(1)
        t = time.monotonic()
        s.control("reload")
        took.append(time.monotonic() - t)
    o = json.loads(p.communicate()[0])
    row("three reloads at 200 requests/s", "0 failed", o["errors"] == 0 and o["n"] > 2000,
        f"{o['errors']} of {o['n']} failed, p99 {o['p99_ms']:.1f} ms, longest {o['max_ms']:.0f} ms; a reload {statistics.median(took):.1f} s",
        "load PORT open 200 12 GET /run_workflow?limit=1; make reload, 3 times")


def crashes(s, path, row, bench):
    took = []
    for _ in range(10):
        kid, = subprocess.run(["pgrep", "-P", str(s.pid("run_workflow"))], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(kid), signal.SIGKILL)
        t = time.monotonic()
        assert s.get(path, user="bench").status_code == 200
        took.append(time.monotonic() - t)
    row("crash of run_workflow to the next answer", "< 1 s", max(took) < 1,
        f"median {statistics.median(took) * 1000:.0f} ms, longest {max(took) * 1000:.0f} ms", "kill -9; curl GET /run_workflow/ID, 10 times")


def measure(row, bench):
    s = bench.Stack(AZLON_RATE="100000", AZLON_BURST="100000", AZLON_CONNS="5000", AZLON_RESPAWN="on")
    try:
        wid = s.start().start_run(bench.example("human-eval-010"), user="bench")
        s.finish(wid, user="bench")
        reloads(s, "/run_workflow?limit=1", row, bench)
        crashes(s, f"/run_workflow/{wid}", row, bench)
    finally:
        s.close()
