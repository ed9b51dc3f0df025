/*
 * Connect envelopes and multipart bodies from any client. An envelope that is taken
 * lies within the input and survives being written again; a form gives the same files
 * however the input is split.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "box/box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum az_code
begin(void *arg, struct az_str name, struct az_err *err)
{
	(void)err;
	az_buf_addch(arg, '<');
	az_buf_adds(arg, name);
	az_buf_addch(arg, '|');
	return AZ_OK;
}

static enum az_code
bytes(void *arg, struct az_str s, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, s);
	return AZ_OK;
}

static enum az_code
end(void *arg, struct az_err *err)
{
	(void)err;
	az_buf_addch(arg, '>');
	return AZ_OK;
}

/* Everything that came out, then '!' if the parser failed or the form was cut. */
static void
form(struct az_str s, size_t step, struct az_buf *out)
{
	const struct box_form_sink sink = {out, begin, bytes, end};
	struct box_form *m = box_form_new(AZ_S("b"), &sink);
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_OK;

	assert(m);
	for (size_t i = 0; !rc && i < s.n; i += step)
		rc = box_form_feed(m, az_str_sub(s, i, i + step), &err);
	if (!rc)
		rc = box_form_end(m, &err);
	if (rc)
		az_buf_addch(out, '!');
	box_form_free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str rest = az_str_n(data, n), msg, boundary;
	struct az_buf a, b;
	unsigned flags;
	size_t used;

	az_buf_init(&a, AZ_MIB(4));
	az_buf_init(&b, AZ_MIB(4));
	while (envelope_next(rest, &flags, &msg, &used) == 1) {
		assert(used == msg.n + 5 && used <= rest.n);
		az_buf_reset(&a);
		envelope_add(&a, flags, msg);
		assert(az_str_eq(az_buf_str(&a), az_str_sub(rest, 0, used)));
		rest = az_str_sub(rest, used, rest.n);
	}
	if (box_form_boundary(az_str_n(data, n), &boundary))
		assert(boundary.n >= 1 && boundary.n <= 70);
	az_buf_reset(&a);
	form(az_str_n(data, n), n ? n : 1, &a);
	form(az_str_n(data, n), 1, &b);
	/* a failure may come earlier or later in the output, never change it */
	if (a.n && b.n && a.p[a.n - 1] != '!')
		assert(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
	az_buf_release(&a);
	az_buf_release(&b);
	return 0;
}
