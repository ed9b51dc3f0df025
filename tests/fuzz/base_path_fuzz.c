/* No accepted path can leave a root, whoever joins it. */
#include <stdint.h>
#include <stdlib.h>
#include <azlon/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str s = az_str_n(data, n), rest = s, seg;

	if (az_path_ok(s, NULL) != AZ_OK)
		return 0;
	if (!az_str_utf8_ok(s) || az_str_chr(s, '\0') >= 0 || az_str_chr(s, '\\') >= 0 ||
	    s.p[0] == '/')
		abort();
	while (az_str_cut(&rest, '/', &seg))
		if (seg.n == 0 || az_str_eqc(seg, "..") || az_str_eqc(seg, "."))
			abort();
	return 0;
}
