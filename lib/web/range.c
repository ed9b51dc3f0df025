/* Which bytes a Range header asks for, as RFC 9110 weighs it. */
#include <azlon/web.h>

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

enum az_range
az_range_of(struct az_str header, int64_t size, int64_t *from, int64_t *n)
{
	struct az_str rest = header, a;
	int64_t first, last = size - 1;

	*from = 0;
	*n = size;
	if (!az_str_ieq(az_str_sub(rest, 0, 6), AZ_S("bytes=")))
		return AZ_RANGE_NONE;
	rest = az_str_trim(az_str_sub(rest, 6, rest.n));
	if (az_str_chr(rest, ',') >= 0 || az_str_chr(rest, '-') < 0)
		return AZ_RANGE_NONE;
	(void)az_str_cut(&rest, '-', &a);
	if (a.n == 0) {
		if (!position(rest, &last))
			return AZ_RANGE_NONE;
		if (last == 0 || size == 0)
			return AZ_RANGE_NOT_THERE;
		first = last < size ? size - last : 0;
		last = size - 1;
	} else {
		if (!position(a, &first) || (rest.n && (!position(rest, &last) || last < first)))
			return AZ_RANGE_NONE;
		if (first >= size)
			return AZ_RANGE_NOT_THERE;
		if (last >= size)
			last = size - 1;
	}
	*from = first;
	*n = last - first + 1;
	return AZ_RANGE_PART;
}
