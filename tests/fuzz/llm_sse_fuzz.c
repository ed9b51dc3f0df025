/* Any bytes in any split: the same text, finish and verdict as in one piece. The first
   bytes of the input choose the splits. */
#include <stdint.h>
#include <stdlib.h>
#include "llm/openai.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct openai_stream whole, parts;
	enum az_code a, b = AZ_OK;
	size_t cuts = n < 4 ? n : 4;
	struct az_str in = az_str_n(data + cuts, n - cuts);

	openai_stream_init(&whole);
	openai_stream_init(&parts);
	a = openai_stream_push(&whole, in, NULL);
	if (!a)
		a = openai_stream_end(&whole, NULL);
	for (size_t i = 0, k = 0; !b && i < in.n; k++) {
		size_t step = cuts ? (size_t)data[k % cuts] % 17 + 1 : 1;

		b = openai_stream_push(&parts, az_str_sub(in, i, i + step), NULL);
		i += step;
	}
	if (!b)
		b = openai_stream_end(&parts, NULL);
	if (a != b || whole.failed != parts.failed || whole.done != parts.done ||
	    strcmp(whole.finish, parts.finish) != 0 || strcmp(whole.model, parts.model) != 0 ||
	    whole.tokens_in != parts.tokens_in ||
	    !az_str_eq(az_buf_str(&whole.text), az_buf_str(&parts.text)))
		abort();
	if (!az_str_utf8_ok(az_buf_str(&whole.text)) || !az_str_utf8_ok(az_str_c(whole.model)) ||
	    !az_str_utf8_ok(az_str_c(whole.fault.message)))
		abort();
	openai_stream_release(&whole);
	openai_stream_release(&parts);
	return 0;
}
