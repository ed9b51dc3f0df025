"""Our lib/engine/temporal.proto against the official messages: which is which, and helpers for
tests that look at bytes. Official are two sources: the temporalio package, and the descriptors
inside the Temporal server that the tests run, which is newer."""
import importlib
import mmap
import pathlib
import pkgutil
import subprocess
import tempfile

import temporalio.api
from google.protobuf import descriptor_pb2, unknown_fields

from temporal_peer import TEMPORAL

PROTO = pathlib.Path(__file__).resolve().parents[2] / "lib/engine/temporal.proto"

# official package -> our messages; "ours=theirs" where the name differs
_TABLE = {
    "google.protobuf": "Duration Timestamp DoubleValue Any Empty",
    "google.rpc": "Status",
    "grpc.health.v1": "HealthCheckRequest HealthCheckResponse",
    "temporal.api.common.v1":
        "Payload Payloads Memo Header SearchAttributes WorkflowExecution WorkflowType ActivityType DataBlob RetryPolicy",
    "temporal.api.taskqueue.v1": "TaskQueue TaskQueueMetadata PollerInfo StickyExecutionAttributes",
    "temporal.api.query.v1": "WorkflowQuery WorkflowQueryResult QueryRejected",
    "temporal.api.protocol.v1": "ProtocolMessage=Message",
    "temporal.api.sdk.v1": "UserMetadata WorkflowTaskCompletedMetadata",
    "temporal.api.failure.v1":
        "Failure ApplicationFailureInfo TimeoutFailureInfo CanceledFailureInfo TerminatedFailureInfo "
        "ServerFailureInfo ResetWorkflowFailureInfo ActivityFailureInfo ChildWorkflowExecutionFailureInfo",
    "temporal.api.history.v1": "History HistoryEvent",
    "temporal.api.command.v1": "Command ProtocolMessageCommand=ProtocolMessageCommandAttributes",
    "temporal.api.workflow.v1":
        "WorkflowExecutionConfig WorkflowExecutionInfo WorkflowExecutionExtendedInfo PendingActivityInfo "
        "PendingWorkflowTaskInfo",
    "temporal.api.namespace.v1":
        "NamespaceInfo NamespaceLimits=NamespaceInfo.Limits",
    "temporal.api.errordetails.v1":
        "WorkflowExecutionAlreadyStartedFailure QueryFailedFailure NamespaceNotFoundFailure NotFoundFailure "
        "PermissionDeniedFailure ResourceExhaustedFailure",
    "temporal.api.operatorservice.v1": "AddSearchAttributesRequest",
    "temporal.api.workflowservice.v1":
        "StartWorkflowExecutionRequest StartWorkflowExecutionResponse "
        "SignalWithStartWorkflowExecutionRequest SignalWithStartWorkflowExecutionResponse "
        "GetWorkflowExecutionHistoryRequest GetWorkflowExecutionHistoryResponse "
        "DescribeWorkflowExecutionRequest DescribeWorkflowExecutionResponse "
        "ListWorkflowExecutionsRequest ListWorkflowExecutionsResponse "
        "CountWorkflowExecutionsRequest CountWorkflowExecutionsResponse "
        "QueryWorkflowRequest QueryWorkflowResponse SignalWorkflowExecutionRequest "
        "RequestCancelWorkflowExecutionRequest TerminateWorkflowExecutionRequest DeleteWorkflowExecutionRequest "
        "SystemCapabilities=GetSystemInfoResponse.Capabilities GetSystemInfoResponse "
        "DescribeNamespaceRequest DescribeNamespaceResponse RegisterNamespaceRequest "
        "DescribeTaskQueueRequest DescribeTaskQueueResponse "
        "PollWorkflowTaskQueueRequest PollWorkflowTaskQueueResponse "
        "CompletionCapabilities=RespondWorkflowTaskCompletedRequest.Capabilities "
        "RespondWorkflowTaskCompletedRequest RespondWorkflowTaskCompletedResponse "
        "RespondWorkflowTaskFailedRequest ResetStickyTaskQueueRequest RespondQueryTaskCompletedRequest "
        "PollActivityTaskQueueRequest PollActivityTaskQueueResponse RespondActivityTaskCompletedRequest "
        "RespondActivityTaskFailedRequest RespondActivityTaskFailedResponse RespondActivityTaskCanceledRequest "
        "RecordActivityTaskHeartbeatRequest RecordActivityTaskHeartbeatResponse ShutdownWorkerRequest",
}
# these have official names with "EventAttributes" and "CommandAttributes" behind
_EVENTS = (
    "WorkflowExecutionStarted WorkflowExecutionCompleted WorkflowExecutionFailed WorkflowExecutionTimedOut "
    "WorkflowExecutionCanceled WorkflowExecutionTerminated WorkflowExecutionContinuedAsNew "
    "WorkflowExecutionCancelRequested WorkflowExecutionSignaled WorkflowTaskScheduled WorkflowTaskStarted "
    "WorkflowTaskCompleted WorkflowTaskTimedOut WorkflowTaskFailed ActivityTaskScheduled ActivityTaskStarted "
    "ActivityTaskCompleted ActivityTaskFailed ActivityTaskTimedOut ActivityTaskCancelRequested "
    "ActivityTaskCanceled TimerStarted TimerFired TimerCanceled MarkerRecorded")
_COMMANDS = (
    "ScheduleActivityTask RequestCancelActivityTask StartTimer CancelTimer CompleteWorkflowExecution "
    "FailWorkflowExecution CancelWorkflowExecution RecordMarker ContinueAsNewWorkflowExecution")

MESSAGES = {
    **{ours: f"{package}.{theirs or ours}" for package, names in _TABLE.items()
       for ours, _, theirs in (n.partition("=") for n in names.split())},
    **{n: f"temporal.api.history.v1.{n}EventAttributes" for n in _EVENTS.split()},
    **{n: f"temporal.api.command.v1.{n}CommandAttributes" for n in _COMMANDS.split()},
}
ENUMS = {
    **{n: f"temporal.api.enums.v1.{n}" for n in (
        "TaskQueueKind TaskQueueType EncodingType IndexedValueType TimeoutType RetryState ApplicationErrorCategory "
        "WorkflowExecutionStatus WorkflowIdReusePolicy WorkflowIdConflictPolicy ContinueAsNewInitiator "
        "HistoryEventFilterType QueryRejectCondition QueryResultType PendingActivityState PendingWorkflowTaskState "
        "NamespaceState WorkflowTaskFailedCause ResourceExhaustedCause EventType CommandType").split()},
    "ServingStatus": "grpc.health.v1.HealthCheckResponse.ServingStatus",
}

# What the server has and the package of 2025 has not, or not under this name: field and value
# numbers by official name; None for the whole type.
NEWER = {
    "temporal.api.failure.v1.CanceledFailureInfo": {2},
    "temporal.api.failure.v1.TerminatedFailureInfo": {1},
    "temporal.api.namespace.v1.NamespaceInfo": {8},
    "temporal.api.namespace.v1.NamespaceInfo.Capabilities": {8},
    "temporal.api.namespace.v1.NamespaceInfo.Limits": None,
    "temporal.api.workflowservice.v1.PollWorkflowTaskQueueRequest": {8},
    "temporal.api.workflowservice.v1.PollActivityTaskQueueRequest": {8},
    "temporal.api.workflowservice.v1.RespondWorkflowTaskCompletedRequest": {19},
    "temporal.api.workflowservice.v1.ShutdownWorkerRequest": {6, 7, 8},
    "temporal.api.enums.v1.WorkflowExecutionStatus": {8},
    "temporal.api.enums.v1.WorkflowTaskFailedCause": {37},
    "temporal.api.enums.v1.EventType": {58, 59},
    "google.rpc.Status": None,
    "grpc.health.v1.HealthCheckRequest": None,
    "grpc.health.v1.HealthCheckResponse": None,
    "grpc.health.v1.HealthCheckResponse.ServingStatus": None,
}


class Types:
    """Messages and enums of some .proto files by full name, as descriptor messages."""

    def __init__(self, files):
        self.messages = {}
        self.enums = {}
        for f in files:
            self._add(f.package, f.message_type, f.enum_type)

    def _add(self, scope, messages, enums):
        self.enums.update({f"{scope}.{e.name}": e for e in enums})
        for m in messages:
            name = f"{scope}.{m.name}"
            self.messages[name] = m
            self._add(name, m.nested_type, m.enum_type)


def our_files():
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out.name}", PROTO], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes()).file


def ours():
    return Types(our_files())


def official_package():
    """Every descriptor that the temporalio package knows."""
    files = {}

    def take(file):
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])
            for d in file.dependencies:
                take(d)

    modules = [m.name for m in pkgutil.walk_packages(temporalio.api.__path__, "temporalio.api.")
               if m.name.endswith("_pb2") and not m.name.endswith("service_pb2")]  # services need google.api
    for name in modules:
        take(importlib.import_module(name).DESCRIPTOR)
    return Types(files.values())


def official_server():
    """The descriptors that a Go program carries: each file's own, serialized, in one piece."""
    with open(TEMPORAL, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as image:
        wanted = ["temporal/api/workflowservice/v1/request_response.proto",
                  "temporal/api/operatorservice/v1/request_response.proto",
                  "temporal/api/errordetails/v1/message.proto", "google/rpc/status.proto",
                  "grpc/health/v1/health.proto"]
        files = {}
        while wanted:
            name = wanted.pop()
            if name not in files:
                files[name] = _carried(image, name)
                wanted += files[name].dependency
        return Types(files.values())


def _carried(image, name):
    head = b"\n" + bytes([len(name)]) + name.encode()  # field 1, the name, comes first
    at = image.find(head)
    while at >= 0:
        end = _file_end(image, at)
        if end:
            return descriptor_pb2.FileDescriptorProto.FromString(image[at:end])
        at = image.find(head, at + 1)
    raise LookupError(f"{name} is not in {TEMPORAL}")


def _file_end(image, at):
    """Behind the syntax, field 12, which ends a serialized proto3 file."""
    while True:
        key, at = _varint(image, at)
        if key >> 3 not in range(1, 13) or key & 7 != 2:
            return None
        size, at = _varint(image, at)
        at += size
        if key >> 3 == 12:
            return at if image[at - size:at] == b"proto3" else None


def _varint(image, at):
    value = shift = 0
    while True:
        byte = image[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


# ---- bytes ----
def assert_exact(official, data):
    """The message that data is, an official class's. All of it must be known to that class
    (or be listed in NEWER), down to the last submessage, with enum values that have names."""
    message = official.FromString(bytes(data))
    _assert_known(message, official.DESCRIPTOR.name)
    return message


def _assert_known(message, path):
    name = message.DESCRIPTOR.full_name
    newer = NEWER.get(name) or ()
    strangers = [u.field_number for u in unknown_fields.UnknownFieldSet(message) if u.field_number not in newer]
    assert not strangers, f"{path} ({name}) has unknown fields {strangers}"
    for f, value in message.ListFields():
        at = f"{path}.{f.name}"
        if f.message_type is not None and f.message_type.GetOptions().map_entry:
            f, value = f.message_type.fields_by_name["value"], list(value.values())
        elif not f.is_repeated:
            value = [value]
        for v in value:
            if f.message_type is not None:
                _assert_known(v, at)
            elif f.enum_type is not None:
                known = v in f.enum_type.values_by_number or v in (NEWER.get(f.enum_type.full_name) or ())
                assert known, f"{at}: {f.enum_type.full_name} has no value {v}"
