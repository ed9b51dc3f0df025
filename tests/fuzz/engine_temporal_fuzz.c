/*
 * What a server answers: any bytes, read as one of the messages that a client or worker gets.
 * What is understood is written and read again, and is the same length then.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include "engine/temporal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const ProtobufCMessageDescriptor *const types[] = {
	    &azt__poll_workflow_task_queue_response__descriptor,
	    &azt__poll_activity_task_queue_response__descriptor,
	    &azt__get_workflow_execution_history_response__descriptor,
	    &azt__describe_workflow_execution_response__descriptor,
	    &azt__list_workflow_executions_response__descriptor,
	    &azt__query_workflow_response__descriptor,
	    &azt__respond_activity_task_failed_response__descriptor,
	    &azt__describe_namespace_response__descriptor,
	    &azt__status__descriptor,
	    &azt__query_failed_failure__descriptor,
	};

	if (!n)
		return 0;
	const ProtobufCMessageDescriptor *type = types[data[0] % (sizeof types / sizeof *types)];
	ProtobufCMessage *m = temporal_unpack(type, NULL, data + 1, n - 1);
	if (!m)
		return 0;
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *out = malloc(size + 1);
	assert(out && protobuf_c_message_pack(m, out) == size);
	ProtobufCMessage *again = temporal_unpack(type, NULL, out, size);
	assert(again && protobuf_c_message_get_packed_size(again) == size);
	protobuf_c_message_free_unpacked(again, NULL);
	protobuf_c_message_free_unpacked(m, NULL);
	free(out);
	return 0;
}
