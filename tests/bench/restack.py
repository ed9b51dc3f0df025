"""Our client and worker beside the official ones (package temporalio), on one Temporal server.

restack.py ADDRESS QUEUE   the official worker: the workflow and function of restack_bench.c
"""
import asyncio
import contextlib
import http.client
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.worker import Worker

SLOTS = 8
STARTS = 300
STEPS, STEP_RUNS = 50, 4
RUNS, ROUND, AT_ONCE = 1000, 100, 32


# ---- the official worker ----
@activity.defn(name="echo")
async def echo(_value):
    return time.time_ns() // 1000


@workflow.defn(name="Toy")
class Toy:
    @workflow.run
    async def run(self, script):
        got = None
        for step in script.split():
            got = await workflow.execute_activity(
                step.removeprefix("fn:"), got, start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)))
        return got


async def work(address, queue):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    async with Worker(client, task_queue=queue, workflows=[Toy], activities=[echo],
                      max_concurrent_activities=SLOTS, disable_eager_activity_execution=queue.endswith("-plain")):
        await stop.wait()


# ---- both, side by side ----
class Host:
    """A process with a worker, and the queue that it works on."""

    def __init__(self, name, queue, cmd):
        self.name, self.queue = name, queue
        self.proc = subprocess.Popen([str(c) for c in cmd])

    def rss(self):
        text = pathlib.Path(f"/proc/{self.proc.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def cpu(self):
        f = pathlib.Path(f"/proc/{self.proc.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / 100


@contextlib.contextmanager
def hosts(address, tools):
    me = pathlib.Path(__file__).resolve()
    made = [Host("ours", "azlon-bench", [tools / "restack_bench", address, "bench", SLOTS])]
    for queue in ("python", "python-plain"):
        made.append(Host(queue, queue, [sys.executable, me, address, queue]))
    try:
        yield made
    finally:
        for h in made:
            h.proc.terminate()
        for h in made:
            h.proc.wait(30)


async def play(client, host, script, wid):
    return await client.execute_workflow("Toy", script, id=wid, task_queue=host.queue)


async def step_times(client, wid):
    """For each function: ms from its schedule event to the start of its code; and between two of them."""
    begun, took, all_at = {}, [], []
    async for e in client.get_workflow_handle(wid).fetch_history_events():
        if e.HasField("activity_task_scheduled_event_attributes"):
            begun[e.event_id] = e.event_time.ToNanoseconds() / 1e6
            all_at.append(begun[e.event_id])
        if e.HasField("activity_task_completed_event_attributes"):
            a = e.activity_task_completed_event_attributes
            took.append(json.loads(a.result.payloads[0].data) / 1e3 - begun[a.scheduled_event_id])
    return took, [b - a for a, b in zip(all_at, all_at[1:])]


async def steps(client, made):
    """Runs of 50 functions in a row, one run at a time, the workers in turn."""
    script = " ".join(["fn:echo"] * STEPS)
    took, whole = {h.name: [] for h in made}, {h.name: [] for h in made}
    for h in made:
        await play(client, h, "fn:echo fn:echo", f"warm-{h.name}")
    for i in range(STEP_RUNS):
        for h in made:
            await play(client, h, script, f"steps-{h.name}-{i}")
            a, b = await step_times(client, f"steps-{h.name}-{i}")
            took[h.name] += a
            whole[h.name] += b
    return {k: (statistics.median(took[k]), statistics.median(whole[k])) for k in took}


async def throughput(client, made):
    """1000 runs of one function, 32 at once, in rounds of 100 that the workers take in turn."""
    rates, rss, cpu = {h.name: [] for h in made}, {h.name: [] for h in made}, {h.name: h.cpu() for h in made}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(h, wid):
        async with gate:
            await play(client, h, "fn:echo", wid)

    for r in range(RUNS // ROUND):
        for h in made:
            t = time.monotonic()
            await asyncio.gather(*(one(h, f"run-{h.name}-{r}-{i}") for i in range(ROUND)))
            rates[h.name].append(ROUND / (time.monotonic() - t))
            rss[h.name].append(h.rss())
    cpu = {h.name: (h.cpu() - cpu[h.name]) * 1000 / RUNS for h in made}
    return rates, rss, cpu


async def official_start(client, like, wid):
    """What the stack's own start carried, by the official client."""
    a = like.workflow_execution_started_event_attributes
    value = json.loads(a.input.payloads[0].data)
    memo = {k: json.loads(v.data) for k, v in a.memo.fields.items()}
    attrs = TypedSearchAttributes([SearchAttributePair(SearchAttributeKey.for_text("engineId"), "local")])
    t = time.monotonic()
    await client.start_workflow(a.workflow_type.name, value, id=wid, task_queue=a.task_queue.name, memo=memo,
                                search_attributes=attrs, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
    return (time.monotonic() - t) * 1000


def starts(temporal, s, body):
    """Start to 202 through nginx, and the official client's call, in turn; no worker runs."""
    conn = http.client.HTTPConnection("127.0.0.1", s.port)
    text = json.dumps({**body, "mode": "async"})

    def start():
        t = time.monotonic()
        conn.request("POST", "/run_workflow", text, {"X-User-ID": "bench", "Content-Type": "application/json"})
        r = conn.getresponse()
        got = r.read()
        took = (time.monotonic() - t) * 1000
        if r.status != 202:
            raise RuntimeError(f"start answered {r.status}: {got[:300]}")
        return took, json.loads(got)["workflow_id"]

    async def first(wid):
        async for e in temporal.client.get_workflow_handle(wid).fetch_history_events():
            return e

    like = temporal.run(first("local-" + start()[1]))
    ours, theirs = [], []
    for i in range(STARTS + 20):
        ours.append(start()[0])
        theirs.append(temporal.run(official_start(temporal.client, like, f"local-official-{i}")))
    return ours[20:], theirs[20:]


def measure(tools, row):
    from conftest import Stack, example
    from temporal_peer import Temporal

    # out of the box a development server hands out 20 batches of tasks a second: each step would wait for that
    temporal = Temporal(dynamic={"history.transferProcessorMaxPollRPS": 2000})
    try:
        temporal.start()
        s = Stack(RESTACK_ENGINE_ADDRESS=temporal.address, AZLON_RESTACK_ENDPOINTS="false",
                  AZLON_RATE="100000", AZLON_BURST="100000")
        try:
            s.start()
            s.kill_and_wait("worker", signal.SIGTERM)
            ours, theirs = starts(temporal, s, example("hopeless"))
        finally:
            s.close()
        a, b = statistics.median(ours), statistics.median(theirs)
        row("restack: start to 202 against the official client", "<= 1.2 x", a <= 1.2 * b,
            f"{a / b:.2f} x ({a:.2f} ms, official {b:.2f} ms; medians of {len(ours)})",
            "POST /run_workflow through nginx, Client.start_workflow() of temporalio, in turn; worker stopped")
        with hosts(temporal.address, tools) as made:
            got = temporal.run(steps(temporal.client, made), 300)
            (a, w), (b, v), (c, u) = (got[h.name] for h in made)
            cmd = f"restack_bench and restack.py: {STEP_RUNS} runs of {STEPS} functions each, in turn"
            row("restack: a function's schedule event to its code", "<= official worker", a <= b,
                f"{a:.2f} ms, official {b:.2f} ms; to the next schedule event {w:.2f}, {v:.2f} ms (medians of {STEPS * STEP_RUNS})",
                cmd)
            row("restack: the same, nobody's execution being eager", "<= official worker", a <= c,
                f"{a:.2f} ms, official {c:.2f} ms; to the next schedule event {w:.2f}, {u:.2f} ms",
                cmd + "; disable_eager_activity_execution=True")
            rates, rss, cpu = temporal.run(throughput(temporal.client, made[:2]), 600)
            a, b = (RUNS / sum(ROUND / r for r in rates[h.name]) for h in made[:2])
            row(f"restack: {RUNS} runs of one function, {SLOTS} slots", ">= official worker", a >= b,
                f"{a:.0f}/s, official {b:.0f}/s ({a / b * 100:.0f} %); CPU a run {cpu['ours']:.1f} ms, official {cpu['python']:.1f} ms",
                f"restack_bench and restack.py: {AT_ONCE} runs at once, rounds of {ROUND}, in turn")
            m, o = rss["ours"], rss["python"]
            row("restack: memory of the worker", "<= 32 MiB, flat", m[-1] <= 32 and m[-1] - m[0] <= 1,
                f"{m[0]:.1f} MiB after {ROUND} runs, {m[-1]:.1f} after {RUNS}; official {o[0]:.1f}, {o[-1]:.1f}",
                "VmRSS in /proc/PID/status during the same")
    finally:
        temporal.close()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:3]))
    os._exit(0)  # threads of the package may abort an interpreter that is winding up
