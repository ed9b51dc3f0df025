/*
 * Reads messages and writes them again, through the C made of lib/engine/temporal.proto.
 * In: a message's name, '\n', its length (4 bytes, big endian), its bytes. Out: length and
 * bytes. Ends with 0 when the input does, with 1 at a name or bytes it does not understand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/temporal.h"

/* Every message that is not a part of another one. */
static const ProtobufCMessageDescriptor *const roots[] = {
    &azt__empty__descriptor,
    &azt__start_workflow_execution_request__descriptor,
    &azt__start_workflow_execution_response__descriptor,
    &azt__signal_with_start_workflow_execution_request__descriptor,
    &azt__signal_with_start_workflow_execution_response__descriptor,
    &azt__get_workflow_execution_history_request__descriptor,
    &azt__get_workflow_execution_history_response__descriptor,
    &azt__describe_workflow_execution_request__descriptor,
    &azt__describe_workflow_execution_response__descriptor,
    &azt__list_workflow_executions_request__descriptor,
    &azt__list_workflow_executions_response__descriptor,
    &azt__count_workflow_executions_request__descriptor,
    &azt__count_workflow_executions_response__descriptor,
    &azt__query_workflow_request__descriptor,
    &azt__query_workflow_response__descriptor,
    &azt__signal_workflow_execution_request__descriptor,
    &azt__request_cancel_workflow_execution_request__descriptor,
    &azt__terminate_workflow_execution_request__descriptor,
    &azt__delete_workflow_execution_request__descriptor,
    &azt__get_system_info_response__descriptor,
    &azt__describe_namespace_request__descriptor,
    &azt__describe_namespace_response__descriptor,
    &azt__register_namespace_request__descriptor,
    &azt__describe_task_queue_request__descriptor,
    &azt__describe_task_queue_response__descriptor,
    &azt__poll_workflow_task_queue_request__descriptor,
    &azt__respond_workflow_task_completed_request__descriptor,
    &azt__respond_workflow_task_completed_response__descriptor,
    &azt__respond_workflow_task_failed_request__descriptor,
    &azt__reset_sticky_task_queue_request__descriptor,
    &azt__respond_query_task_completed_request__descriptor,
    &azt__poll_activity_task_queue_request__descriptor,
    &azt__respond_activity_task_completed_request__descriptor,
    &azt__respond_activity_task_failed_request__descriptor,
    &azt__respond_activity_task_failed_response__descriptor,
    &azt__respond_activity_task_canceled_request__descriptor,
    &azt__record_activity_task_heartbeat_request__descriptor,
    &azt__record_activity_task_heartbeat_response__descriptor,
    &azt__shutdown_worker_request__descriptor,
    &azt__add_search_attributes_request__descriptor,
    &azt__health_check_request__descriptor,
    &azt__health_check_response__descriptor,
    &azt__status__descriptor,
    &azt__workflow_execution_already_started_failure__descriptor,
    &azt__query_failed_failure__descriptor,
    &azt__namespace_not_found_failure__descriptor,
    &azt__not_found_failure__descriptor,
    &azt__permission_denied_failure__descriptor,
    &azt__resource_exhausted_failure__descriptor,
};

static const ProtobufCMessageDescriptor *
find(const char *name)
{
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
		if (!strcmp(roots[i]->short_name, name))
			return roots[i];
	return NULL;
}

static int
echo(const ProtobufCMessageDescriptor *d, const unsigned char *in, size_t n)
{
	ProtobufCMessage *m = temporal_unpack(d, NULL, in, n);
	if (!m)
		return 1;
	size_t size = protobuf_c_message_get_packed_size(m);
	unsigned char *out = malloc(size + 1);
	unsigned char head[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
	    (unsigned char)(size >> 8), (unsigned char)size};
	int bad = !out || protobuf_c_message_pack(m, out) != size ||
		  fwrite(head, 4, 1, stdout) != 1 || fwrite(out, 1, size, stdout) != size;
	free(out);
	protobuf_c_message_free_unpacked(m, NULL);
	return bad;
}

int
main(void)
{
	char name[128];
	while (fgets(name, sizeof name, stdin)) {
		unsigned char head[4];
		name[strcspn(name, "\n")] = 0;
		const ProtobufCMessageDescriptor *d = find(name);
		if (!d || fread(head, 4, 1, stdin) != 1)
			return 1;
		size_t n =
		    (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		unsigned char *in = malloc(n + 1);
		int bad = !in || fread(in, 1, n, stdin) != n || echo(d, in, n);
		free(in);
		if (bad)
			return 1;
	}
	return fflush(stdout) ? 1 : 0;
}
