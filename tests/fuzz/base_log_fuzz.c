/* A log line never holds a raw newline or control byte. */
#include <stdint.h>
#include <stdlib.h>
#include <azlon/log.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_kv kv[] = {AZ_KS("v", az_str_n(data, n)), {.kind = 0}};
	struct az_buf b;
	struct az_str s;

	az_buf_init(&b, 65536);
	az_log_format(&b, AZ_WARN, "fuzz", kv);
	s = az_buf_str(&b);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
			abort();
	az_buf_release(&b);
	return 0;
}
