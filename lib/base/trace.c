#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/trace.h>

#define LEN (AZ_TRACE_BYTES - 1)
#define ID 32
#define SENDER 16

static bool
hex(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

/* Hex digits, and not only zeros: those name nothing. */
static bool
names(struct az_str s, size_t n)
{
	size_t zeros = 0;

	while (zeros < s.n && s.p[zeros] == '0')
		zeros++;
	return s.n == n && hex(s) && zeros < n;
}

bool
az_trace_ok(struct az_str s)
{
	struct az_str version = az_str_sub(s, 0, 2);

	/* a later version may have more behind another dash */
	if (s.n < LEN || (s.n > LEN && (az_str_eqc(version, "00") || s.p[LEN] != '-')))
		return false;
	return hex(version) && !az_str_eqc(version, "ff") && s.p[2] == '-' && s.p[35] == '-' &&
	       s.p[52] == '-' && names(az_trace_id(s), ID) &&
	       names(az_str_sub(s, 36, 36 + SENDER), SENDER) && hex(az_str_sub(s, 53, LEN));
}

struct az_str
az_trace_id(struct az_str s)
{
	return az_str_sub(s, 3, 3 + ID);
}

/* n random hex digits, not all zero. */
static void
draw(char *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	unsigned char r[ID / 2];

	az_random(r, n / 2);
	r[0] |= 1;
	for (size_t i = 0; i < n / 2; i++) {
		p[2 * i] = digit[r[i] >> 4];
		p[2 * i + 1] = digit[r[i] & 15];
	}
}

void
az_trace_next(struct az_str from, struct az_str id, char out[AZ_TRACE_BYTES])
{
	char trace[ID], sender[SENDER];
	bool joins = az_trace_ok(from);
	struct az_str flags = joins ? az_str_sub(from, 53, LEN) : AZ_S("00");

	if (joins)
		id = az_trace_id(from);
	if (names(id, ID))
		memcpy(trace, id.p, ID);
	else
		draw(trace, ID);
	draw(sender, SENDER);
	snprintf(
	    out, AZ_TRACE_BYTES, "00-%.*s-%.*s-%.*s", ID, trace, SENDER, sender, AZ_FMT(flags));
}
