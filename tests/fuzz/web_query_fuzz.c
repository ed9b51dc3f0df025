/* Query strings: what is accepted holds no NUL, no more bytes than came in, and
   re-encoding it gives the same pairs again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
encode(struct az_buf *b, struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		az_buf_addf(b, "%%%02x", (unsigned char)s.p[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_arena *a = az_arena_new(1 << 24);
	struct web_pair q[64], q2[64];
	struct az_buf b;
	size_t nq, nq2, total = 0;

	if (n > 65536 || !a) {
		az_arena_free(a);
		return 0;
	}
	az_buf_init(&b, 1 << 20);
	if (web_query_parse(az_str_n(data, n), a, q, 64, &nq, NULL) == AZ_OK) {
		for (size_t i = 0; i < nq; i++) {
			total += q[i].name.n + q[i].value.n;
			assert(!memchr(q[i].name.p, 0, q[i].name.n));
			assert(!memchr(q[i].value.p, 0, q[i].value.n));
			encode(&b, q[i].name);
			az_buf_addc(&b, "=");
			encode(&b, q[i].value);
			az_buf_addc(&b, "&");
		}
		assert(nq <= 64 && total <= n);
		assert(web_query_parse(az_buf_str(&b), a, q2, 64, &nq2, NULL) == AZ_OK);
		assert(nq2 == nq);
		for (size_t i = 0; i < nq; i++)
			assert(
			    az_str_eq(q[i].name, q2[i].name) && az_str_eq(q[i].value, q2[i].value));
	}
	az_buf_release(&b);
	az_arena_free(a);
	return 0;
}
