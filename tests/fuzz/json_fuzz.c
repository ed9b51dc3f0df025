/* Whatever the scan accepts, json-c parses, and what we write of it the scan accepts
   again, with nothing lost in a second round. */
#include <stdlib.h>
#include <azlon/json.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct az_json_limits in_lim = {AZ_KIB(64), 60, 10000};
static const struct az_json_limits out_lim = {AZ_MIB(1), 60, 10000};

static void
write_again(struct az_str text, const struct az_json_limits *lim, struct az_buf *out)
{
	struct az_json *j = NULL;
	struct az_jw w;

	if (az_json_parse(text, lim, &j, NULL))
		abort();
	az_jw_init(&w, out);
	az_jw_value(&w, j);
	if (out->fail)
		abort();
	az_json_free(j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str text = az_str_n(data, n);
	struct az_buf once, twice;

	if (az_json_scan(text, &in_lim, NULL))
		return 0;
	az_buf_init(&once, AZ_MIB(1));
	az_buf_init(&twice, AZ_MIB(1));
	write_again(text, &in_lim, &once);
	if (az_json_scan(az_buf_str(&once), &out_lim, NULL))
		abort();
	write_again(az_buf_str(&once), &out_lim, &twice);
	if (!az_str_eq(az_buf_str(&once), az_buf_str(&twice)))
		abort();
	az_buf_release(&once);
	az_buf_release(&twice);
	return 0;
}
