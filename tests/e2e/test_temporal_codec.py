"""The C made of lib/engine/temporal.proto reads and writes every field of every message: one
that is full, all unions turned through, goes through it and comes back the same, and the
official classes find nothing strange in it."""
import struct
import subprocess

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.descriptor_pool import Default

import temporal_wire
from conftest import BIN
from temporal_wire import MESSAGES, NEWER, assert_exact

ECHO = BIN.parent / "tests/tools/temporal_echo"
DEEP = 7  # Failure is its own cause


def classes():
    pool = descriptor_pool.DescriptorPool()
    for f in temporal_wire.our_files():
        pool.Add(f)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"azt.{n}")) for n in MESSAGES}


OURS = classes()


def parts(message):
    """The messages that message is made of, one step deep; a map's entry counts as its value."""
    for f in message.DESCRIPTOR.fields:
        m = f.message_type
        if m and m.GetOptions().map_entry:
            m = m.fields_by_name["value"].message_type
        if m:
            yield m.name


ROOTS = sorted(set(OURS) - {p for m in OURS.values() for p in parts(m)})


def scalar(f, turn):
    if f.enum_type:
        values = f.enum_type.values
        return values[(f.number + turn) % (len(values) - 1) + 1].number
    return {
        F.TYPE_STRING: f"{f.name} é {turn}", F.TYPE_BYTES: bytes([0, 255, turn % 256]), F.TYPE_BOOL: True,
        F.TYPE_DOUBLE: 1.5 + turn, F.TYPE_INT32: -f.number - turn, F.TYPE_UINT32: 2**32 - 1 - turn,
        F.TYPE_INT64: -(2**40) * f.number - turn,
    }[f.type]


def fill(message, turn, depth=0):
    """All fields; of a union the member whose turn it is."""
    for f in message.DESCRIPTOR.fields:
        o = f.containing_oneof
        if o and o.fields[turn % len(o.fields)] is not f:
            continue
        if f.message_type and depth >= DEEP:
            continue
        if f.message_type and f.message_type.GetOptions().map_entry:
            value = f.message_type.fields_by_name["value"]
            for i in range(2):
                if value.message_type:
                    fill(getattr(message, f.name)[f"k{i}"], turn + i, depth + 1)
                else:
                    getattr(message, f.name)[f"k{i}"] = scalar(value, turn + i)
        elif f.is_repeated:
            for i in range(2):
                if f.message_type:
                    fill(getattr(message, f.name).add(), turn + i, depth + 1)
                else:
                    getattr(message, f.name).append(scalar(f, turn + i))
        elif f.message_type:
            getattr(message, f.name).SetInParent()
            fill(getattr(message, f.name), turn, depth + 1)
        else:
            setattr(message, f.name, scalar(f, turn))
    return message


def echo(name, messages):
    sent = b"".join(name.encode() + b"\n" + struct.pack(">I", len(m)) + m for m in messages)
    p = subprocess.run([ECHO], input=sent, capture_output=True, timeout=60)
    out, back = p.stdout, []
    while out:
        (n,) = struct.unpack(">I", out[:4])
        back.append(out[4:4 + n])
        out = out[4 + n:]
    return p.returncode, back


@pytest.mark.parametrize("name", ROOTS)
def test_round_trip(name):
    turns = max(len(o.fields) for c in OURS.values() for o in c.DESCRIPTOR.oneofs)
    sent = [fill(OURS[name](), t) for t in range(turns)] + [OURS[name]()]
    status, back = echo(name, [m.SerializeToString() for m in sent])
    assert status == 0 and len(back) == len(sent)
    for there, data in zip(sent, back):
        assert OURS[name].FromString(data) == there
        if NEWER.get(MESSAGES[name], ()) is not None:
            official = message_factory.GetMessageClass(Default().FindMessageTypeByName(MESSAGES[name]))
            assert_exact(official, data)


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\xff", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f"])
def test_broken_bytes_are_refused(data):
    assert echo("StartWorkflowExecutionRequest", [data]) == (1, [])
