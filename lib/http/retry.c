/* When to try again. */
#include <azlon/clock.h>
#include "http_room.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

int64_t
az_backoff_ms(int n, int64_t base_ms, int64_t cap_ms, int64_t retry_after_ms)
{
	int64_t d = base_ms;

	for (int i = 1; i < n && d < cap_ms; i++)
		d *= 2;
	if (d > cap_ms)
		d = cap_ms;
	/* so that many clients of one dead peer do not come back together */
	if (d >= 4)
		d -= (int64_t)az_random_below((uint64_t)d / 4 + 1);
	return retry_after_ms > d ? retry_after_ms : d;
}

/* "1.5" -> 1500; false unless it is a number. */
static bool
seconds(struct az_str s, int64_t *ms)
{
	ptrdiff_t dot = az_str_chr(s, '.');
	struct az_str whole = dot < 0 ? s : az_str_sub(s, 0, (size_t)dot);
	int64_t v, scale = 100;

	if (!az_str_to_i64(whole, 0, DAY_MS / 1000, &v))
		return false;
	*ms = v * 1000;
	for (size_t i = whole.n + 1; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*ms += (s.p[i] - '0') * scale;
		scale /= 10;
	}
	return true;
}

int64_t
az_http_retry_after_ms(const struct az_http_resp *r)
{
	struct az_str s = az_str_trim(az_http_header(r, "retry-after-ms"));
	char text[64];
	int64_t ms;
	time_t t;

	if (s.n && az_str_to_i64(s, 0, DAY_MS, &ms))
		return ms;
	s = az_str_trim(az_http_header(r, "retry-after"));
	if (s.n == 0 || s.n >= sizeof text)
		return 0;
	if (seconds(s, &ms))
		return ms;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if ((t = curl_getdate(text, NULL)) < 0)
		return 0;
	ms = (int64_t)t * 1000 - az_wall_ms();
	return ms < 0 ? 0 : ms > DAY_MS ? DAY_MS : ms;
}
