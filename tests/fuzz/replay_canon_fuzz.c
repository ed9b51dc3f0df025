/* Any text: normalising twice is normalising once, and keeps valid UTF-8 valid. */
#include <stdint.h>
#include <stdlib.h>
#include "replay/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str in = az_str_n(data, n);
	struct az_buf a, b;

	az_buf_init(&a, 1 << 24);
	az_buf_init(&b, 1 << 24);
	replay_normalise(&a, in);
	replay_normalise(&b, az_buf_str(&a));
	if (a.fail || !az_str_eq(az_buf_str(&a), az_buf_str(&b)))
		abort();
	if (az_str_utf8_ok(in) && !az_str_utf8_ok(az_buf_str(&a)))
		abort();
	az_buf_release(&a);
	az_buf_release(&b);
	return 0;
}
