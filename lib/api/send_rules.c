/* Conditions of a request, as RFC 9110 weighs them. */
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
