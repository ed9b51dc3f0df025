/*
 * Connect envelopes from any client. One that is taken lies within the input and
 * survives being written again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "box/box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str rest = az_str_n(data, n), msg;
	struct az_buf a;
	unsigned flags;
	size_t used;

	az_buf_init(&a, AZ_MIB(4));
	while (envelope_next(rest, &flags, &msg, &used) == 1) {
		assert(used == msg.n + 5 && used <= rest.n);
		az_buf_reset(&a);
		envelope_add(&a, flags, msg);
		assert(az_str_eq(az_buf_str(&a), az_str_sub(rest, 0, used)));
		rest = az_str_sub(rest, used, rest.n);
	}
	az_buf_release(&a);
	return 0;
}
