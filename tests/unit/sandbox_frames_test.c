/* The frame parser: any split gives the same frames, and nonsense is refused. */
#include "e2b_fixture.h"

struct seen {
	struct az_buf log;
	int fail_at, n;
};

static enum az_code
note(void *arg, bool end, struct az_str payload, struct az_err *err)
{
	struct seen *s = arg;

	if (++s->n == s->fail_at)
		return az_fail(err, AZ_EIO, "test", "told to");
	az_buf_addf(&s->log, "%c%zu:", end ? 'E' : 'F', payload.n);
	az_buf_adds(&s->log, payload);
	az_buf_addch(&s->log, ';');
	return AZ_OK;
}

static enum az_code
feed(struct az_str bytes, size_t step, size_t max, struct seen *s, enum az_code *done)
{
	struct e2b_frames f;
	enum az_code rc = AZ_OK;
	struct az_err err = AZ_ERR_INIT;
	size_t at;

	az_buf_init(&s->log, AZ_MIB(1));
	e2b_frames_init(&f, max, note, s);
	for (at = 0; rc == AZ_OK && at < bytes.n; at += step)
		rc = e2b_frames_push(&f, az_str_sub(bytes, at, at + step), &err);
	*done = e2b_frames_done(&f, &err);
	e2b_frames_release(&f);
	return rc;
}

static void
splits_do_not_matter(void **state)
{
	struct az_buf b;
	size_t step;

	(void)state;
	az_buf_init(&b, AZ_KIB(8));
	frame(&b, 0, "{\"a\":1}");
	frame(&b, 0, "");
	frame(&b, 0, "{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}");
	frame(&b, 2, "{}");
	for (step = 1; step <= b.n; step++) {
		struct seen s = {.n = 0};
		enum az_code done;

		assert_int_equal(feed(az_buf_str(&b), step, 4096, &s, &done), AZ_OK);
		assert_int_equal(done, AZ_OK);
		assert_string_equal(s.log.p,
		    "F7:{\"a\":1};F0:;"
		    "F55:{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"};E2:{};");
		az_buf_release(&s.log);
	}
	az_buf_release(&b);
}

static void
refusals(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum az_code push, done;
	} t[] = {
	    {"\x01\0\0\0\1x", 6, AZ_EUPSTREAM, AZ_EUPSTREAM}, /* compressed */
	    {"\x04\0\0\0\1x", 6, AZ_EUPSTREAM, AZ_EUPSTREAM}, /* unknown flag */
	    {"\x82\0\0\0\1x", 6, AZ_EUPSTREAM, AZ_EUPSTREAM},
	    {"\0\0\0\x10\1", 5, AZ_EUPSTREAM, AZ_EUPSTREAM}, /* over the cap */
	    {"\0\xff\xff\xff\xff", 5, AZ_EUPSTREAM, AZ_EUPSTREAM},
	    {"\2\0\0\0\2{}x", 8, AZ_EUPSTREAM, AZ_OK}, /* after the end */
	    {"\0\0\0\0\2{", 6, AZ_OK, AZ_EUPSTREAM},   /* cut in a frame */
	    {"\0\0\0", 3, AZ_OK, AZ_EUPSTREAM},        /* cut in a head */
	    {"\0\0\0\0\2{}", 7, AZ_OK, AZ_EUPSTREAM},  /* no end frame */
	    {"", 0, AZ_OK, AZ_EUPSTREAM},
	    {"\2\0\0\0\0", 5, AZ_OK, AZ_OK},
	};
	size_t i, step;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		for (step = 1; step < 9; step += 7) {
			struct seen s = {.n = 0};
			enum az_code done;

			assert_int_equal(
			    feed(az_str_n(t[i].bytes, t[i].n), step, 4096, &s, &done), t[i].push);
			assert_int_equal(done, t[i].done);
			az_buf_release(&s.log);
		}
}

static void
a_failing_reader_stops_it(void **state)
{
	struct az_buf b;
	struct seen s = {.fail_at = 2};
	enum az_code done;

	(void)state;
	az_buf_init(&b, 100);
	frame(&b, 0, "1");
	frame(&b, 0, "2");
	frame(&b, 2, "{}");
	assert_int_equal(feed(az_buf_str(&b), b.n, 100, &s, &done), AZ_EIO);
	assert_int_equal(s.n, 2);
	az_buf_release(&s.log);
	az_buf_release(&b);
}

static void
requests_are_wrapped(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 100);
	e2b_frame_wrap(&b, AZ_S("{\"x\":1}"));
	assert_int_equal(b.n, 12);
	assert_memory_equal(b.p, "\0\0\0\0\7{\"x\":1}", 12);
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(splits_do_not_matter),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(a_failing_reader_stops_it),
	    cmocka_unit_test(requests_are_wrapped),
	};

	return cmocka_run_group_tests_name("sandbox_frames", tests, NULL, NULL);
}
