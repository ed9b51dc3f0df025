/* Range and the lists of tags: the first byte is the size's, the rest the header. A part
   lies within the object, a tag is found only where its bytes stand. */
#include <assert.h>
#include <api/send.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int64_t sizes[] = {0, 1, 10, INT64_C(1) << 40, INT64_MAX};
	const struct az_str tag = AZ_S("\"abc\"");
	struct az_str h = {"", 0};
	int64_t size, from, part;
	enum az_range r;

	if (n == 0)
		return 0;
	size = sizes[data[0] % 5];
	if (n > 1)
		h = az_str_n(data + 1, n - 1);
	r = az_range_of(h, size, &from, &part);
	assert(r != AZ_RANGE_NONE || (from == 0 && part == size));
	if (r == AZ_RANGE_PART)
		assert(from >= 0 && part > 0 && part <= size && from <= size - part);
	assert(size > 0 || r != AZ_RANGE_PART);
	if (send_tag_listed(h, tag, true)) {
		assert(az_str_find(h, tag, 0) >= 0 || az_str_chr(h, '*') >= 0);
		assert(send_tag_listed(h, tag, false));
	}
	return 0;
}
