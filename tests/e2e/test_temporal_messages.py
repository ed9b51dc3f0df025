"""lib/engine/temporal.proto says what Temporal says: every message, field and enum value is
compared with the official package and with the server that the tests run."""
import re

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as F
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import WorkflowIdReusePolicy
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

import temporal_wire
from temporal_wire import ENUMS, MESSAGES, NEWER, assert_exact

OURS = temporal_wire.ours()
# members of a union drop what the union's name says already
SHORTENED = {"Failure": "_failure_info", "HistoryEvent": "_event_attributes", "Command": "_command_attributes"}


@pytest.fixture(scope="module", params=["package", "server"])
def official(request):
    """(the types, what they may lack)"""
    if request.param == "package":
        return temporal_wire.official_package(), NEWER
    return temporal_wire.official_server(), {}


def theirs(type_name):
    """The official name of a type in our file."""
    parts = type_name.removeprefix(".azt.").split(".")
    if parts[-1] == "E":
        return "." + ENUMS[parts[0]]
    return "." + ".".join([MESSAGES[parts[0]], *parts[1:]])


def oneof(message, field):
    if not field.HasField("oneof_index") or field.proto3_optional:
        return None
    return message.oneof_decl[field.oneof_index].name


def compare(ours, official, full_name, lacking):
    for field in ours.field:
        where = f"{full_name}.{field.name} = {field.number}"
        match = [f for f in official.field if f.number == field.number]
        if not match:
            assert field.number in lacking, f"{where}: no such field"
            continue
        real = match[0]
        long = field.name + SHORTENED.get(ours.name, "")
        assert real.name == field.name or (real.name == long and oneof(ours, field)), f"{where}: is {real.name}"
        assert field.number not in lacking, f"{where}: not newer than the package"
        assert F.Type.Name(real.type) == F.Type.Name(field.type), where
        assert F.Label.Name(real.label) == F.Label.Name(field.label), where
        assert real.proto3_optional == field.proto3_optional, where
        assert real.options.HasField("packed") == field.options.HasField("packed"), where
        assert oneof(official, real) == oneof(ours, field), where
        if field.type_name:
            assert real.type_name == theirs(field.type_name), where


def test_the_tables_name_each_type_once():
    messages = {n.removeprefix("azt.") for n in OURS.messages if n.count(".") == 1}
    enums = {n.removeprefix("azt.").removesuffix(".E") for n in OURS.enums}
    assert messages - enums == set(MESSAGES)
    assert enums == set(ENUMS)
    assert len(set(MESSAGES.values())) == len(MESSAGES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_message(official, name):
    types, newer = official
    full = MESSAGES[name]
    lacking = newer.get(full, ())
    assert (full in types.messages) == (lacking is not None)
    if lacking is None:
        return
    mine, real = OURS.messages[f"azt.{name}"], types.messages[full]
    compare(mine, real, full, lacking)
    entries = {n.name: n for n in real.nested_type}
    for n in mine.nested_type:  # the entries of maps
        assert n.options.map_entry and entries[n.name].options.map_entry
        compare(n, entries[n.name], f"{full}.{n.name}", ())


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enum(official, name):
    types, newer = official
    full = ENUMS[name]
    lacking = newer.get(full, ())
    assert (full in types.enums) == (lacking is not None)
    if lacking is None:
        return
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper() + "_"
    real = {v.number: v.name.removeprefix(prefix) for v in types.enums[full].value}
    for v in OURS.enums[f"azt.{name}.E"].value:
        assert (v.number in real) != (v.number in lacking), f"{full}: {v.name} = {v.number}"
        assert real.get(v.number, v.name) == v.name, f"{full}: {v.number} is {real[v.number]}"


# ---- the helper for bytes sees what it is there for ----
def start(**more):
    return StartWorkflowExecutionRequest(
        namespace="default", workflow_id="w", input=Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"})]),
        **more)


def test_exact_bytes_pass():
    sent = start(workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
    assert assert_exact(StartWorkflowExecutionRequest, sent.SerializeToString()) == sent


@pytest.mark.parametrize("tail, why", [
    (b"\xba\x3e\x01x", "unknown fields"),                  # field 999, a string
    (b"\x2a\x06\x0a\x04\xba\x3e\x01x", "input.payloads"),  # the same in a payload of the input
    (b"\x58\x63", "no value 99"),                          # field 11, the reuse policy
])
def test_strange_bytes_do_not(tail, why):
    with pytest.raises(AssertionError, match=why):
        assert_exact(StartWorkflowExecutionRequest, start().SerializeToString() + tail)


def test_broken_bytes_do_not():
    with pytest.raises(DecodeError):
        assert_exact(StartWorkflowExecutionRequest, start().SerializeToString() + b"\x0a\x09x")
