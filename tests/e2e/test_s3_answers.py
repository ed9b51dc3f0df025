"""What an S3 server may answer, and each operation of the store: refused for a while, carried out and
the answer lost, torn, or nonsense. By the store port alone (tests/tools/store_tool.c), through a proxy
before a real MinIO; what is in the bucket then is read by boto3."""
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from conftest import FULL, until
from files_stores import bucket_of
from s3_checks import objects, parts_left, proxy, server  # noqa: F401
from s3_proxy import Fault
from test_s3_sdk import TOOL, Tool

SMALL = bytes(range(250)) * 4
BIG = SMALL * 5300  # more than one part


@dataclass
class Op:
    """One call of the store, and the request of it that is spoilt."""
    method: str
    path: str
    args: tuple
    data: bytes = b""
    before: dict = field(default_factory=dict)
    after: dict = field(default_factory=dict)
    out: object = b""       # what is printed, or a function that looks at it
    answers: str = "none"   # has its answer a body, and is that XML or "bytes"?


TREE = {"d/1": b"one", "d/2": b"two", "d/sub/3": b"three", "e": b"e"}


def rows(out):
    return {r.split(b" ", 2)[2].decode(): int(r.split(b" ")[0]) for r in out.split(b"\0")[:-1]}


OPS = {
    "bucket": Op("PUT", "^/[^/]+/?$", ("put", "k"), SMALL, after={"k": SMALL}),
    "session": Op("POST", "^/$", ("put", "k"), SMALL, after={"k": SMALL}, answers="xml"),
    "put": Op("PUT", "/k$", ("put", "k"), SMALL, after={"k": SMALL}),
    "start": Op("POST", "[?&]uploads", ("put", "k"), BIG, after={"k": BIG}, answers="xml"),
    "part": Op("PUT", "partNumber=2($|&)", ("put", "k"), BIG, after={"k": BIG}),
    "complete": Op("POST", "[?&]uploadId=", ("put", "k"), BIG, after={"k": BIG}, answers="xml"),
    "get": Op("GET", "/k$", ("get", "k"), before={"k": SMALL * 50}, after={"k": SMALL * 50}, out=SMALL * 50, answers="bytes"),
    "stat": Op("HEAD", "/k$", ("stat", "k"), before={"k": SMALL}, after={"k": SMALL}, out=lambda o: o.startswith(b"1000 ")),
    "list": Op("GET", "list-type=2", ("list",), before=TREE, after=TREE, out=lambda o: rows(o) == {k: len(v) for k, v in TREE.items()}, answers="xml"),
    "remove": Op("DELETE", "/d/1$", ("rm", "d/1"), before=TREE, after={k: v for k, v in TREE.items() if k != "d/1"}),
    "remove many": Op("POST", "[?&]delete", ("rmprefix", "d/"), before=TREE, after={"e": b"e"}, answers="xml"),
    "copy": Op("PUT", "/to$", ("copy", "k", "to"), before={"k": SMALL}, after={"k": SMALL, "to": SMALL}, answers="xml"),
    "replace": Op("PUT", "/k$", ("if", "k", "was"), b"now", before={"k": b"was"}, after={"k": b"now"}),
    "create": Op("PUT", "/k$", ("if", "k", "-"), b"now", after={"k": b"now"}),
}
PASSING = {
    "busy": Fault("status", times=2), "busy, with a time": Fault("status", after=1), "too many": Fault("status", code=429, s3="TooManyRequests", times=2),
    "internal": Fault("status", code=500, s3="InternalError"), "page of a proxy": Fault("html", code=502), "reset": Fault("reset"),
    "answer lost": Fault("reset", carried=True), "drip": Fault("drip", n=13),
}
TORN = {"cut": Fault("cut", n=20), "reset inside": Fault("reset", carried=True, n=20), "too short": Fault("length", n=100)}
NONSENSE = {
    "error in a 200": Fault("error", s3="InternalError"), "illegal": Fault("xml"), "page": Fault("html", code=200), "nothing": Fault("empty"),
    **{f"{k}, carried out": replace(f, carried=True) for k, f in
       {"error in a 200": Fault("error", s3="InternalError"), "illegal": Fault("xml"), "page": Fault("html", code=200), "nothing": Fault("empty")}.items()},
}
LASTING = {"busy": PASSING["busy"], "too many": PASSING["too many"], "reset": PASSING["reset"], "answer lost": PASSING["answer lost"]}


SOON = {"put", "complete", "get", "list"}  # the rest of the table is for a long run


def cases(faults, *answers, all_of=()):
    return [pytest.param(f, o, id=f"{o}-{f}") for o in OPS for f in faults
            if (not answers or OPS[o].answers in answers) and (FULL or o in SOON or f in all_of)]


def right(op, out):
    return op.out(out) if callable(op.out) else out == op.out


class Faulty(Tool):
    """store_tool through the proxy, for a user of its own."""

    def __init__(self, server, proxy, user):  # noqa: F811
        super().__init__(server, user)
        self.at, self.bucket, self.server, self.s3 = f"s3:{proxy.url}", bucket_of(user), server, server.client()
        self.parts_before = parts_left(server)

    def prepare(self, name):
        op = OPS[name]
        if name != "bucket":
            self.s3.create_bucket(Bucket=self.bucket)
        for key, body in op.before.items():
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return op

    def either(self, op):
        """(did it succeed, what it printed or said)"""
        r = subprocess.run([TOOL, self.at, self.user, *op.args], input=op.data, capture_output=True, env=self.env, timeout=120)
        assert r.returncode in (0, 1), r
        return r.returncode == 0, r.stdout if r.returncode == 0 else r.stderr.decode()

    def do(self, op):
        done, out = self.either(op)
        assert done and right(op, out), out

    def whole(self):
        return {k: self.s3.get_object(Bucket=self.bucket, Key=k)["Body"].read() for k in objects(self.server, self.bucket)}

    def parts(self):
        return parts_left(self.server) - self.parts_before


@pytest.fixture
def tool(server, proxy, request):  # noqa: F811
    t = Faulty(server, proxy, f"faulty {request.node.name}")
    yield t
    proxy.script()
    t("rmbucket")
    assert t.bucket not in [b["Name"] for b in t.s3.list_buckets()["Buckets"]]


def spoil(proxy, op, fault, **how):  # noqa: F811
    # a short answer is torn near its start, an object somewhere inside
    n = fault.n * (500 if op.answers == "bytes" else 1)
    proxy.script(replace(fault, method=op.method, path=op.path, n=n, **how))


def clear(said):
    """CODE REASON: one sentence."""
    return said.split(" ")[0] in ("unavailable", "timeout", "bad_gateway", "io_error") and ": " in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("fault,name", [*cases(PASSING, all_of=("busy", "answer lost")), *cases(TORN, "xml", "bytes")])
def test_what_passes_is_waited_out(tool, proxy, fault, name):  # noqa: F811
    op, f = tool.prepare(name), {**PASSING, **TORN}[fault]
    spoil(proxy, op, f)
    if name == "start" and (f.carried or fault in TORN):
        # nobody knows the name of an upload that was started so: the server drops it in time
        tool.either(op)
        assert tool.whole() in ({}, op.after)
        return
    done, out = tool.either(op)
    # a length that is not true may also be told
    assert done and right(op, out) or fault == "too short" and clear(out), out
    assert proxy.done == {f.what: f.times}
    assert tool.whole() == (op.after if done else op.before) and not tool.parts()


@pytest.mark.parametrize("fault,name", cases(NONSENSE, "xml", all_of=("error in a 200", "nothing, carried out")))
def test_nonsense_is_no_success(tool, proxy, fault, name):  # noqa: F811
    """It is asked again, or refused in a sentence; and then it is as before, or done."""
    op, f = tool.prepare(name), NONSENSE[fault]
    spoil(proxy, op, f)
    done, out = tool.either(op)
    assert proxy.done == {f.what: 1}
    if done:
        assert tool.whole() == op.after
    else:
        assert clear(out) and tool.whole() in (op.before, op.after), out
    assert not tool.parts() or name == "start" and f.carried
    # it works as soon as the server does
    tool.do(op)
    assert tool.whole() == op.after


@pytest.mark.parametrize("fault,name", cases(LASTING, all_of=("reset",)))
def test_what_stays_is_a_clear_failure(tool, proxy, fault, name):  # noqa: F811
    op, f = tool.prepare(name), LASTING[fault]
    spoil(proxy, op, f, times=10**6)
    done, said = tool.either(op)
    now = tool.whole()
    assert 1 <= proxy.done[f.what] <= 8
    if done:  # it was looked whether it had been carried out
        assert name == "complete" and f.carried and now == op.after
        return
    assert clear(said), said
    assert now == op.before or f.carried and now == op.after
    assert not tool.parts() or f.carried
    proxy.script()
    if now == op.before or name not in ("replace", "create"):
        tool.do(op)
    assert tool.whole() == op.after


@pytest.mark.skipif(not FULL, reason="as long as the store's patience, each")
@pytest.mark.parametrize("name", sorted(SOON))
def test_silence_ends(tool, proxy, name):  # noqa: F811
    op = tool.prepare(name)
    spoil(proxy, op, Fault("hang"))
    tool.do(op)
    assert tool.whole() == op.after


def test_a_storm_is_not_answered_with_another(tool, proxy):  # noqa: F811
    """Many writers, each refused: what they ask for again stays within a budget."""
    tool.prepare("put")
    proxy.script(Fault("status", "PUT", "/many/", times=10**6))
    assert "unavailable" in tool("puts", "many/", "64", "10", "64", code=1)
    assert 64 <= proxy.done["status"] <= 64 + 80  # of the 320 that they would ask each for itself
    proxy.script(Fault("status", "PUT", "/many/", times=20))
    tool("puts", "many/", "200", "10", "16")
    assert len(tool.whole()) == 200


def test_a_download_is_resumed_where_it_broke(tool, proxy):  # noqa: F811
    op = tool.prepare("get")
    spoil(proxy, op, Fault("reset", carried=True, n=20), times=3)
    tool.do(op)
    assert proxy.asked("GET", "/k$") == 4


def test_a_download_is_never_resumed_with_other_bytes(tool, proxy):  # noqa: F811
    op = tool.prepare("get")
    proxy.script(Fault("reset", "GET", "/k$", carried=True, n=10_000), Fault("hang", "GET", "/k$"))
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(tool.either, op)
        until(lambda: proxy.done["hang"])
        tool.s3.put_object(Bucket=tool.bucket, Key="k", Body=op.out[::-1])
        proxy.script()
        done, said = got.result()
    assert not done and said, said
