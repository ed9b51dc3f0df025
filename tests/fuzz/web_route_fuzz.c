/* Routing: an accepted path has no control byte, backslash or dot segment, and the
   values of a match, put back into the pattern, give the path. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const patterns[] = {"/run_workflow", "/run_workflow/{id}",
    "/run_workflow/{id}/iterations/{n}/logs/{stream}", "/files/{id}/{rest*}", "/{a}/{b}/{c}",
    "/{rest*}"};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str path = az_str_n(data, n);

	if (web_path_ok(path, NULL) != AZ_OK)
		return 0;
	assert(n <= 4096 && path.p[0] == '/');
	for (size_t i = 0; i < n; i++)
		assert(data[i] >= 0x20 && data[i] != 0x7f && data[i] != '\\');
	assert(az_str_find(path, AZ_S("/../"), 0) < 0);
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		struct web_pair param[WEB_PARAMS_MAX];
		struct az_str pat = az_str_c(patterns[i]), want;
		struct az_buf b;
		size_t np, at = 0;

		if (!web_pattern_match(patterns[i], path, param, &np))
			continue;
		az_buf_init(&b, 8192);
		for (bool first = true; az_str_cut(&pat, '/', &want); first = false) {
			if (!first)
				az_buf_addc(&b, "/");
			if (want.n && want.p[0] == '{') {
				assert(at < np && param[at].value.n > 0);
				az_buf_adds(&b, param[at++].value);
			} else {
				az_buf_adds(&b, want);
			}
		}
		assert(at == np && az_str_eq(az_buf_str(&b), path));
		az_buf_release(&b);
	}
	return 0;
}
