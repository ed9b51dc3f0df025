/* Conditions and ranges of a request, as RFC 9110 weighs them. */
#include "send.h"

bool
send_tag_listed(struct az_str header, struct az_str etag, bool strong)
{
	struct az_str one;

	while (az_str_cut(&header, ',', &one)) {
		one = az_str_trim(one);
		if (az_str_eqc(one, "*"))
			return true;
		if (!strong && az_str_starts(one, AZ_S("W/")))
			one = az_str_sub(one, 2, one.n);
		if (az_str_eq(one, etag))
			return true;
	}
	return false;
}

/* Digits only. A position past any file is still a position. */
static bool
position(struct az_str s, int64_t *out)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	if (!az_str_to_i64(s, 0, INT64_MAX, out))
		*out = INT64_MAX;
	return true;
}

enum send_range
send_range_of(struct az_str header, int64_t size, int64_t *from, int64_t *n)
{
	struct az_str rest = header, a;
	int64_t first, last = size - 1;

	*from = 0;
	*n = size;
	if (!az_str_ieq(az_str_sub(rest, 0, 6), AZ_S("bytes=")))
		return SEND_WHOLE;
	rest = az_str_trim(az_str_sub(rest, 6, rest.n));
	if (az_str_chr(rest, ',') >= 0 || az_str_chr(rest, '-') < 0)
		return SEND_WHOLE;
	(void)az_str_cut(&rest, '-', &a);
	if (a.n == 0) {
		if (!position(rest, &last))
			return SEND_WHOLE;
		if (last == 0 || size == 0)
			return SEND_NOT_THERE;
		first = last < size ? size - last : 0;
		last = size - 1;
	} else {
		if (!position(a, &first) || (rest.n && (!position(rest, &last) || last < first)))
			return SEND_WHOLE;
		if (first >= size)
			return SEND_NOT_THERE;
		if (last >= size)
			last = size - 1;
	}
	*from = first;
	*n = last - first + 1;
	return SEND_PART;
}
