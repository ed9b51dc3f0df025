/* How deep a message goes is told by its lengths alone: looked at before protobuf-c does. */
#include <stdbool.h>
#include <stdint.h>
#include "temporal.h"

struct cursor {
	const uint8_t *p;
	size_t n;
};

static bool
skip(struct cursor *c, uint64_t n)
{
	if (n > c->n)
		return false;
	c->p += n;
	c->n -= n;
	return true;
}

static bool
varint(struct cursor *c, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; c->n && shift < 70; shift += 7) {
		uint8_t b = *c->p;
		skip(c, 1);
		if (shift < 64)
			*out |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return true;
	}
	return false;
}

/* What is broken is not shallow: protobuf-c would refuse it too. */
static bool
shallow(const ProtobufCMessageDescriptor *type, struct cursor c, int left)
{
	const ProtobufCFieldDescriptor *f;
	uint64_t key, n;

	while (c.n) {
		if (!varint(&c, &key) || !(key >> 3) || key > UINT32_MAX)
			return false;
		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!varint(&c, &n))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			if (!skip(&c, 8))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			if (!skip(&c, 4))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!varint(&c, &n) || n > c.n)
				return false;
			f = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
			if (f && f->type == PROTOBUF_C_TYPE_MESSAGE &&
			    (!left || !shallow(f->descriptor, (struct cursor){c.p, n}, left - 1)))
				return false;
			skip(&c, n);
			break;
		default:
			return false;
		}
	}
	return true;
}

ProtobufCMessage *
temporal_unpack(
    const ProtobufCMessageDescriptor *type, ProtobufCAllocator *mem, const void *data, size_t n)
{
	if (!shallow(type, (struct cursor){data, n}, TEMPORAL_DEPTH_MAX))
		return NULL;
	return protobuf_c_message_unpack(type, mem, n, data);
}
