/* Accept-Encoding: a coding is taken or refused only where the header names it or all. */
#include <assert.h>
#include "box/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str h = az_str_n(data, n);
	int taken = coding_taken(h, AZ_S("gzip"));
	bool named = az_str_chr(h, '*') >= 0;

	for (size_t i = 0; i + 4 <= h.n; i++)
		named |= az_str_ieq(az_str_sub(h, i, i + 4), AZ_S("gzip"));
	assert(taken >= -1 && taken <= 1);
	assert(named || taken == -1);
	return 0;
}
