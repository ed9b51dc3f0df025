/* engine: Temporal's messages are read to a depth, and no deeper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "engine/temporal.h"

/* A QueryFailedFailure with depth messages in one another, each the cause of the one around. */
static uint8_t *
causes(size_t depth, size_t *n)
{
	size_t cap = depth * 6, at = cap;
	uint8_t *p = malloc(cap);

	assert_non_null(p);
	for (size_t i = 0; i < depth; i++) {
		size_t size = cap - at, k = 0;
		uint8_t head[6] = {i + 1 < depth ? 0x22 : 0x0a};
		do {
			head[++k] = (uint8_t)(size & 0x7f) | (size > 0x7f ? 0x80 : 0);
			size >>= 7;
		} while (size);
		at -= k + 1;
		memcpy(p + at, head, k + 1);
	}
	memmove(p, p + at, cap - at);
	*n = cap - at;
	return p;
}

static bool
read_causes(size_t depth)
{
	size_t n;
	uint8_t *p = causes(depth, &n);
	ProtobufCMessage *m = temporal_unpack(&azt__query_failed_failure__descriptor, NULL, p, n);

	free(p);
	if (!m)
		return false;
	assert_non_null(((Azt__QueryFailedFailure *)m)->failure);
	protobuf_c_message_free_unpacked(m, NULL);
	return true;
}

static void
a_chain_of_causes_is_read_to_the_limit(void **state)
{
	(void)state;
	assert_true(read_causes(1));
	assert_true(read_causes(TEMPORAL_DEPTH_MAX));
	assert_false(read_causes(TEMPORAL_DEPTH_MAX + 1));
	assert_false(read_causes(1000000));
}

static void
what_is_no_submessage_is_not_followed(void **state)
{
	/* task_token, bytes, that would read as a chain */
	size_t n;
	uint8_t *p = causes(50, &n);
	uint8_t buf[300] = {0x0a};

	(void)state;
	assert_true(n > 50 && n < 128);
	buf[1] = (uint8_t)n;
	memcpy(buf + 2, p, n);
	free(p);
	Azt__RespondActivityTaskCompletedRequest *m =
	    (Azt__RespondActivityTaskCompletedRequest *)temporal_unpack(
		&azt__respond_activity_task_completed_request__descriptor, NULL, buf, n + 2);
	assert_non_null(m);
	assert_int_equal(m->task_token.len, n);
	assert_string_equal(m->identity, "");
	azt__respond_activity_task_completed_request__free_unpacked(m, NULL);
}

static void
broken_bytes_are_refused(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} t[] = {
	    {"\x0a", 1},                                              /* no length */
	    {"\x0a\x05xy", 4},                                        /* too short */
	    {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* 2^64 - 1 bytes */
	    {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* no number */
	    {"\x02\x00", 2},                                          /* field 0 */
	    {"\x82\x00\x00", 3},                                      /* the same, longer */
	    {"\x0b\x0c", 2},                                          /* a group */
	    {"\x09\x01\x02", 3},                                      /* half a double */
	    {"\x0d\x01", 2},                                          /* half a float */
	    {"\x80", 1},                                              /* half a key */
	    {"\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", 11},     /* a field far out */
	    {"\x08\x01", 2},                                          /* a message as a number */
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		assert_null(
		    temporal_unpack(&azt__query_failed_failure__descriptor, NULL, t[i].p, t[i].n));
}

static void
unknown_fields_are_passed_over(void **state)
{
	static const char p[] = "\xc2\x3e\x02xy"                           /* 1000: bytes */
				"\xc8\x3e\x07"                             /* 1001: varint */
				"\xd5\x3e\x01\x02\x03\x04"                 /* 1002: 32 bits */
				"\xd9\x3e\x01\x02\x03\x04\x05\x06\x07\x08" /* 1003: 64 bits */
				"\x0a\x05\x0a\x03why";                     /* 1: failure{message} */
	Azt__QueryFailedFailure *m;

	(void)state;
	m = (Azt__QueryFailedFailure *)temporal_unpack(
	    &azt__query_failed_failure__descriptor, NULL, p, sizeof p - 1);
	assert_non_null(m);
	assert_string_equal(m->failure->message, "why");
	azt__query_failed_failure__free_unpacked(m, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_chain_of_causes_is_read_to_the_limit),
	    cmocka_unit_test(what_is_no_submessage_is_not_followed),
	    cmocka_unit_test(broken_bytes_are_refused),
	    cmocka_unit_test(unknown_fields_are_passed_over),
	};
	return cmocka_run_group_tests_name("engine_temporal", tests, NULL, NULL);
}
