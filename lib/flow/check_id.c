/* The ids of checks that came without one. */
#include <stdio.h>
#include <azlon/flow.h>
#include <azlon/limits.h>

void
az_flow_check_id(const struct az_json *checks, unsigned *last, char out[16])
{
	size_t n = az_json_len(checks);
	bool taken;

	if (n > AZ_LIM_CHECKS)
		n = AZ_LIM_CHECKS;
	do {
		taken = false;
		snprintf(out, 16, "c%u", ++*last);
		for (size_t k = 0; k < n && !taken; k++)
			taken = az_str_eqc(az_json_gets(az_json_at(checks, k), "id"), out);
	} while (taken);
}
