/* The body of a create: whatever is accepted makes a start input that is JSON, names every
   check, and is accepted again as a request. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <azlon/limits.h>
#include "api/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(struct create *c, struct az_arena *a, const struct az_json *j)
{
	*c = (struct create){.a = a};
	az_buf_init(&c->warnings, AZ_KIB(32));
	create_check(c, j);
	assert(c->n_items <= CREATE_ITEMS);
	for (size_t i = 0; i < c->n_items; i++)
		assert(az_json_scan(az_str_c(c->items[i].loc), &az_json_request_limits, NULL) ==
		       AZ_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	const struct az_json *j = NULL, *again = NULL, *req, *checks;
	struct create c, c2;
	struct az_buf b;

	if (!a || az_json_parse_in(a, az_str_n(data, n), &az_json_request_limits, &j, NULL) ||
	    az_json_type(j) != AZ_JOBJ) {
		az_arena_free(a);
		return 0;
	}
	check(&c, a, j);
	az_buf_init(&b, AZ_MIB(8));
	if (c.n_items == 0 && az_json_type(c.inputs) == AZ_JNULL) {
		c.model = AZ_S("recording/x");
		c.inputs = NULL;
		create_input(&c, AZ_S("alice"), &b);
		assert(az_json_parse_in(a, az_buf_str(&b), &az_json_own_limits, &again, NULL) ==
		       AZ_OK);
		req = az_json_get(again, "request");
		checks = az_json_get(req, "checks");
		assert(az_json_len(checks) == az_json_len(c.checks));
		for (size_t i = 0; i < az_json_len(checks); i++)
			assert(az_json_gets(az_json_at(checks, i), "id").n > 0);
		check(&c2, a, req);
		assert(c2.n_items == 0 && c2.warnings.n == 0);
		az_buf_release(&c2.warnings);
	}
	az_buf_release(&b);
	az_buf_release(&c.warnings);
	az_arena_free(a);
	return 0;
}
