/* Two texts, the first as long as the first byte says in 256ths, within the steps that the second
   byte gives: the hunks make the one of the other. */
#include <azlon/limits.h>
#include <api/diff.h>
#include "diff_apply.h"
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str a, b;
	struct az_buf out, made;
	size_t cut, marked;
	int64_t steps;

	if (n < 2)
		return 0;
	steps = data[1] == 255 ? DIFF_STEPS : data[1] * INT64_C(16);
	cut = (n - 2) * data[0] / 256;
	a = az_str_n(data + 2, cut);
	b = az_str_n(data + 2 + cut, n - 2 - cut);
	az_buf_init(&out, AZ_MIB(16));
	az_buf_init(&made, AZ_MIB(16));
	if (diff_hunks(a, b, steps, &out, NULL) == AZ_OK) {
		CHECK(diff_apply(a, az_buf_str(&out), &made, &marked));
		CHECK(az_str_eq(az_buf_str(&made), b));
		CHECK((out.n == 0) == az_str_eq(a, b));
	}
	az_buf_release(&out);
	az_buf_release(&made);
	return 0;
}
