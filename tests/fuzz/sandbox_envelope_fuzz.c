/* Any split of the same bytes gives the same frames and the same verdict. The first byte
   seeds the split, the rest is the stream. */
#include <assert.h>
#include <stdlib.h>
#include "sandbox/e2b.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum az_code
note(void *arg, bool end, struct az_str payload, struct az_err *err)
{
	struct az_buf *log = arg;

	(void)err;
	assert(payload.n <= 4096);
	az_buf_addf(log, "%c%zu:", end ? 'E' : 'F', payload.n);
	az_buf_adds(log, payload);
	return AZ_OK;
}

static enum az_code
feed(struct az_str in, unsigned seed, struct az_buf *log, enum az_code *done)
{
	struct e2b_frames f;
	enum az_code rc = AZ_OK;
	size_t at = 0;

	e2b_frames_init(&f, 4096, note, log);
	while (rc == AZ_OK && at < in.n) {
		size_t k = seed ? 1 + (seed = seed * 1103515245u + 12345u) % 23 : in.n;

		rc = e2b_frames_push(&f, az_str_sub(in, at, at + k), NULL);
		at += k;
	}
	*done = e2b_frames_done(&f, NULL);
	e2b_frames_release(&f);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str in = az_str_n(data + (n > 0), n ? n - 1 : 0);
	struct az_buf a, b;
	enum az_code ra, rb, da, db;

	az_buf_init(&a, AZ_MIB(4));
	az_buf_init(&b, AZ_MIB(4));
	ra = feed(in, 0, &a, &da);
	rb = feed(in, n ? data[0] | 0x100u : 0x100u, &b, &db);
	assert(ra == rb);
	assert(da == db);
	assert(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
	az_buf_release(&a);
	az_buf_release(&b);
	return 0;
}
