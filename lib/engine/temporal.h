/*
 * Temporal's messages, private to the room: the C made of temporal.proto, and the one way to
 * read them off the wire.
 */
#ifndef AZLON_ENGINE_TEMPORAL_H
#define AZLON_ENGINE_TEMPORAL_H

#include <stddef.h>
#include "temporal.pb-c.h"

/* How deep messages may stand in one another. */
#define TEMPORAL_DEPTH_MAX 100

/*
 * As protobuf_c_message_unpack(), but bytes that go deeper than TEMPORAL_DEPTH_MAX are refused:
 * protobuf-c follows them with the thread's stack, and 30 KiB of a failure that is its own cause
 * are enough to end it. mem: NULL for the heap; else it must outlive the message. NULL: refused,
 * broken or out of memory. Strings end at their first NUL, whatever was sent behind it.
 */
ProtobufCMessage *temporal_unpack(
    const ProtobufCMessageDescriptor *type, ProtobufCAllocator *mem, const void *data, size_t n);

#endif
