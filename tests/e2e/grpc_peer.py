"""A gRPC server that misbehaves by script, in front of the real Temporal server: whatever a
method is answered there may be lost, torn, doubled or delayed on its way back.

`proxy.script(slow=True, cut={"StartWorkflowExecution": 1})` sets what goes wrong from now on,
`proxy.script()` that nothing does; `proxy.done` counts what went wrong."""
import asyncio
import collections
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest
from hyperframe.frame import GoAwayFrame
from temporalio.api.enums.v1 import CommandType
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse, RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest)

from temporal_peer import Loop

RESOURCE_EXHAUSTED, UNAUTHENTICATED = 8, 16
POLLS = {"PollActivityTaskQueue": PollActivityTaskQueueResponse,
         "PollWorkflowTaskQueue": PollWorkflowTaskQueueResponse}
TASK_TIMEOUT_S = 3  # of workflow tasks, of impatient servers


@dataclass
class Script:
    """What goes wrong. Numbers are how many calls of a method it happens to."""
    goaway_s: float = 0                         # each connection is told GOAWAY that often
    slow: bool = False                          # answers come a few bytes at a time
    bare: bool = False                          # no trailers: the stream just ends
    deny: tuple = ()                            # (code, message) to every call; nothing gets through
    refuse: dict = field(default_factory=dict)  # RESOURCE_EXHAUSTED; nothing gets through
    cut: dict = field(default_factory=dict)     # carried out, then the connection breaks
    mute: dict = field(default_factory=dict)    # carried out, then silence
    reset: dict = field(default_factory=dict)   # carried out, then RST_STREAM half way through the answer
    twice: dict = field(default_factory=dict)   # polls: a task is given to two of them
    heartbeat_s: int = 0                        # functions time out so soon, and workflow tasks too


@dataclass
class Answer:
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)


def status(code, message=""):
    """An answer of nothing but headers."""
    return Answer([(":status", "200"), ("content-type", "application/grpc"),
                   ("grpc-status", str(code)), ("grpc-message", message)])


def framed(message):
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


class Link:
    """One HTTP/2 connection, from either end."""

    def __init__(self, reader, writer, client):
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.window = asyncio.Condition()
        self.flush()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def close(self):
        self.writer.close()

    async def events(self):
        while data := await self.reader.read(65536):
            for e in self.h2.receive_data(data):
                if isinstance(e, h2.events.DataReceived) and e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                if isinstance(e, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                    async with self.window:
                        self.window.notify_all()
                yield e
            self.flush()

    async def send(self, stream, data, piece=16384, pause_s=0, end=False):
        while data:
            async with self.window:
                await self.window.wait_for(lambda: self.h2.local_flow_control_window(stream) > 0)
            n = min(piece, self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, data[:n], end_stream=end and n >= len(data))
            data = data[n:]
            self.flush()
            await self.writer.drain()
            if pause_s and data:
                await asyncio.sleep(pause_s)


class Proxy:
    """In front of a server (temporal_peer.Temporal), or of nothing for scripts that deny."""

    def __init__(self, server=None):
        self.behind = server
        self.now = Script()
        self.done = collections.Counter()  # (fault, method)
        self.parked = {}                   # method -> the poll that gets the next task too
        self.loop = Loop()
        self.server = self.loop.run(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def script(self, **what):
        async def change():
            self.now = Script(**what)
            self.done.clear()
            for poll in self.parked.values():  # no task after all
                if not poll.done():
                    poll.set_result(Answer([(":status", "200"), ("content-type", "application/grpc")],
                                           bytes(5), [("grpc-status", "0")]))

        self.loop.run(change())

    def close(self):
        async def end():
            self.server.close()

        self.loop.run(end())
        self.loop.close()

    # ---- from the client ----
    async def _connection(self, reader, writer):
        link = Link(reader, writer, client=False)
        calls, tasks = {}, {}
        ages = asyncio.ensure_future(self._goaway(link))
        try:
            async for e in link.events():
                stream = getattr(e, "stream_id", None)
                if isinstance(e, h2.events.RequestReceived):
                    calls[stream] = (e.headers, bytearray())
                elif isinstance(e, h2.events.DataReceived):
                    calls[stream][1].extend(e.data)
                elif isinstance(e, h2.events.StreamEnded):
                    tasks[stream] = asyncio.ensure_future(self._call(link, stream, *calls.pop(stream)))
                elif isinstance(e, h2.events.StreamReset) and stream in tasks:
                    tasks[stream].cancel()
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        finally:
            for t in [ages, *tasks.values()]:
                t.cancel()
            link.close()

    async def _goaway(self, link):
        while True:
            await asyncio.sleep(self.now.goaway_s or 0.2)
            if not self.now.goaway_s:
                continue
            # by hand: h2 would take no more answers for what is under way
            link.writer.write(GoAwayFrame(0, last_stream_id=link.h2.highest_inbound_stream_id).serialize())
            self.done["goaway", "connection"] += 1

    def _due(self, fault, method):
        """Does it happen to this call?"""
        left = getattr(self.now, fault)
        if left.get(method, 0) <= 0:
            return False
        left[method] -= 1
        self.done[fault, method] += 1
        return True

    async def _call(self, link, stream, headers, body):
        method = dict(headers)[":path"].rsplit("/", 1)[1]
        try:
            if self.now.deny:
                self.done["deny", method] += 1
                return await self._answer(link, stream, status(*self.now.deny))
            if self._due("refuse", method):
                return await self._answer(link, stream, status(RESOURCE_EXHAUSTED, "namespace rate limit exceeded"))
            answer = await self._poll(method, headers, body) if method in POLLS else \
                await self._forward(headers, self._impatient(method, bytes(body)))
            if self._due("cut", method):
                return link.close()
            if self._due("mute", method):
                return None
            if self._due("reset", method):
                link.h2.send_headers(stream, answer.headers)
                await link.send(stream, answer.body[:len(answer.body) // 2])
                link.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
                return link.flush()
            return await self._answer(link, stream, answer)
        except (OSError, EOFError):  # the server is away: so are we
            link.close()
        except h2.exceptions.ProtocolError:  # the client left
            pass

    async def _answer(self, link, stream, answer):
        bare = self.now.bare and answer.body
        piece, pause_s = (max(5, len(answer.body) // 50), 0.002) if self.now.slow else (16384, 0)
        link.h2.send_headers(stream, answer.headers, end_stream=not answer.body and not answer.trailers)
        link.flush()
        await link.send(stream, answer.body, piece, pause_s, end=bool(bare))
        if bare:
            self.done["bare", "answer"] += 1
        elif answer.trailers:
            link.h2.send_headers(stream, answer.trailers, end_stream=True)
        link.flush()

    async def _poll(self, method, headers, body):
        if self.now.twice.get(method, 0) > 0 and method not in self.parked:
            poll = self.parked[method] = asyncio.get_running_loop().create_future()
            try:
                return await poll
            finally:
                del self.parked[method]
        answer = await self._forward(headers, bytes(body))
        task = POLLS[method].FromString(answer.body[5:])
        other = self.parked.get(method)
        if task.task_token and other and not other.done() and self._due("twice", method):
            other.set_result(answer)
        return answer

    def _impatient(self, method, body):
        """The same request, with shorter timeouts."""
        if not self.now.heartbeat_s:
            return body
        if method == "StartWorkflowExecution":
            m = StartWorkflowExecutionRequest.FromString(body[5:])
            m.workflow_task_timeout.FromSeconds(TASK_TIMEOUT_S)
        elif method == "RespondWorkflowTaskCompleted":
            m = RespondWorkflowTaskCompletedRequest.FromString(body[5:])
            for c in m.commands:
                if c.command_type == CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
                    c.schedule_activity_task_command_attributes.heartbeat_timeout.FromSeconds(self.now.heartbeat_s)
        else:
            return body
        return framed(m)

    # ---- to the server ----
    async def _forward(self, headers, body):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.behind.port)
        link = Link(reader, writer, client=True)
        answer = Answer([])
        sending = asyncio.ensure_future(self._request(link, headers, body))
        try:
            async for e in link.events():
                if isinstance(e, h2.events.ResponseReceived):
                    answer.headers = e.headers
                elif isinstance(e, h2.events.DataReceived):
                    answer.body += e.data
                elif isinstance(e, h2.events.TrailersReceived):
                    answer.trailers = e.headers
                elif isinstance(e, h2.events.StreamEnded):
                    return answer
                elif isinstance(e, h2.events.StreamReset):
                    break
            raise ConnectionError("the server broke off")
        finally:
            sending.cancel()
            link.close()

    @staticmethod
    async def _request(link, headers, body):
        stream = link.h2.get_next_available_stream_id()
        link.h2.send_headers(stream, headers)
        await link.send(stream, body, end=True)


@pytest.fixture
def grpc_peer():
    """grpc_peer(server): a proxy in front of it."""
    made = []

    def make(server=None, **script):
        made.append(Proxy(server))
        made[-1].script(**script)
        return made[-1]

    yield make
    for p in made:
        p.close()
