/*
 * Bytes that are to be gzip, in pieces: however they are split, the same comes out, or the
 * same failure; and what comes out, packed and unpacked again, is itself.
 */
#include <assert.h>
#include <azlon/buf.h>
#include <azlon/gzip.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum az_code
keep(void *arg, struct az_str s, struct az_err *err)
{
	assert(s.n);
	az_buf_adds(arg, s);
	return az_buf_check(arg, "fuzz", err);
}

static enum az_code
filter(bool pack, struct az_str in, size_t step, struct az_buf *out)
{
	struct az_gzip *g;
	enum az_code rc = az_gzip_open(pack, keep, out, &g, NULL);

	az_buf_init(out, 4 << 20);
	for (size_t i = 0; !rc && i < in.n; i += step)
		rc = az_gzip_feed(g, az_str_sub(in, i, i + step), NULL);
	if (!rc)
		rc = az_gzip_finish(g, NULL);
	az_gzip_close(g);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str in = az_str_n(data, n);
	struct az_buf a, b, packed;
	enum az_code whole = filter(false, in, n + 1, &a);

	assert(filter(false, in, 1 + n % 5, &b) == whole);
	if (!whole) {
		assert(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
		az_buf_release(&b);
		assert(!filter(true, az_buf_str(&a), 1000, &packed));
		assert(!filter(false, az_buf_str(&packed), 77, &b));
		assert(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
		az_buf_release(&packed);
	}
	az_buf_release(&a);
	az_buf_release(&b);
	return 0;
}
