/*
 * A form in random pieces: however it is split, the same parts with the same bytes come
 * out, or the same failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/multipart.h>
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct log {
	struct az_buf b;
	bool open;
};

static enum az_code
on_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	struct log *l = arg;

	(void)err;
	CHECK(!l->open && p->name.p);
	l->open = true;
	az_buf_addf(&l->b, "(%zu %d ", p->name.n, p->filename.p != NULL);
	az_buf_adds(&l->b, p->name);
	az_buf_adds(&l->b, p->filename);
	az_buf_addch(&l->b, ')');
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str s, struct az_err *err)
{
	struct log *l = arg;

	(void)err;
	CHECK(l->open && s.n);
	az_buf_adds(&l->b, s);
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	struct log *l = arg;

	(void)err;
	CHECK(l->open);
	l->open = false;
	az_buf_addch(&l->b, ';');
	return AZ_OK;
}

static enum az_code
run(struct az_str type, struct az_str body, uint32_t seed, struct log *l)
{
	struct az_multipart_sink sink = {on_begin, on_data, on_end, l};
	struct az_multipart m;
	enum az_code rc = az_multipart_init(&m, type, &sink, NULL);

	while (!rc && body.n) {
		size_t step = body.n;

		if (seed) {
			seed = seed * 1664525u + 1013904223u;
			step = 1 + (seed >> 16) % 7;
		}
		rc = az_multipart_feed(&m, az_str_sub(body, 0, step), NULL);
		body = az_str_sub(body, step, body.n);
	}
	if (!rc)
		rc = az_multipart_finish(&m, NULL);
	CHECK(rc || !l->open);
	az_multipart_release(&m);
	return rc;
}

/* The first line is the Content-Type, the rest the body. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str rest = az_str_n(data, n), type;
	struct log a = {.open = false};
	enum az_code whole;

	if (!az_str_cut(&rest, '\n', &type))
		return 0;
	az_buf_init(&a.b, 4 << 20);
	whole = run(type, rest, 0, &a);
	for (uint32_t seed = 1; seed < 4; seed++) {
		struct log b = {.open = false};

		az_buf_init(&b.b, 4 << 20);
		CHECK(run(type, rest, seed * (uint32_t)(n + 1), &b) == whole);
		CHECK(az_str_eq(az_buf_str(&a.b), az_buf_str(&b.b)));
		az_buf_release(&b.b);
	}
	az_buf_release(&a.b);
	return 0;
}
