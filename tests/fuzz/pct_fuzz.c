/* decode(encode(x)) == x for percent and base64, and decoders of foreign bytes never
   yield more than they were given. */
#include <stdlib.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
same(const struct az_buf *b, struct az_str s)
{
	if (b->fail || !az_str_eq(az_buf_str(b), s))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const keep[] = {NULL, "/", "/:@!$&'()*+,;="};
	struct az_str s = az_str_n(data, n);
	struct az_buf e, d;

	if (n > AZ_KIB(64))
		return 0;
	az_buf_init(&e, AZ_MIB(1));
	az_buf_init(&d, AZ_MIB(1));
	for (int i = 0; i < 3; i++) {
		az_buf_reset(&e);
		az_buf_reset(&d);
		az_pct_encode(&e, s, keep[i]);
		/* '+' kept as it is means a blank only in a query */
		if (!az_pct_decode(&d, az_buf_str(&e), i < 2))
			abort();
		same(&d, s);
	}
	for (int url = 0; url < 2; url++) {
		az_buf_reset(&e);
		az_buf_reset(&d);
		(url ? az_base64url : az_base64)(&e, s);
		if (!az_base64_decode(&d, az_buf_str(&e)))
			abort();
		same(&d, s);
	}
	az_buf_reset(&d);
	if (az_pct_decode(&d, s, true) && d.n > n)
		abort();
	az_buf_reset(&d);
	if (az_base64_decode(&d, s) ? d.n > n : d.n != 0)
		abort();
	az_buf_release(&e);
	az_buf_release(&d);
	return 0;
}
