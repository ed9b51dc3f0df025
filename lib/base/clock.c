#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <azlon/clock.h>

int64_t
az_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
az_boot_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
az_boot_ms(void)
{
	return az_boot_us() / 1000;
}

static char boot_id[37];
static pthread_once_t boot_once = PTHREAD_ONCE_INIT;

static void
boot_read(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, boot_id, 36) : -1;

	if (fd >= 0)
		close(fd);
	if (n != 36)
		snprintf(boot_id, sizeof boot_id, "%036d", 0);
}

const char *
az_boot_id(void)
{
	pthread_once(&boot_once, boot_read);
	return boot_id;
}

void
az_rfc3339(struct az_buf *b, int64_t wall_ms)
{
	int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
	struct tm tm;
	time_t t;

	if (ms < 0) {
		ms += 1000;
		s--;
	}
	t = (time_t)s;
	if (!gmtime_r(&t, &tm))
		return;
	az_buf_addf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
}

/* Two or four digits at *s, which moves on. */
static bool
digits(struct az_str *s, size_t n, int max, int *out)
{
	int64_t v;

	if (s->n < n || s->p[0] == '-' || !az_str_to_i64(az_str_sub(*s, 0, n), 0, max, &v))
		return false;
	*out = (int)v;
	*s = az_str_sub(*s, n, s->n);
	return true;
}

static bool
lit(struct az_str *s, const char *any)
{
	if (!s->n || !strchr(any, s->p[0]) || !s->p[0])
		return false;
	*s = az_str_sub(*s, 1, s->n);
	return true;
}

bool
az_rfc3339_parse(struct az_str s, int64_t *wall_ms)
{
	struct tm tm = {0};
	int y, mo, d, h, mi, se, ms = 0, scale = 100, oh = 0, om = 0, sign = 0;

	if (!digits(&s, 4, 9999, &y) || !lit(&s, "-") || !digits(&s, 2, 12, &mo) || !lit(&s, "-") ||
	    !digits(&s, 2, 31, &d) || !lit(&s, "Tt") || !digits(&s, 2, 23, &h) || !lit(&s, ":") ||
	    !digits(&s, 2, 59, &mi) || !lit(&s, ":") || !digits(&s, 2, 60, &se))
		return false;
	if (mo < 1 || d < 1)
		return false;
	if (s.n && s.p[0] == '.') {
		size_t i = 1;

		for (; i < s.n && i <= 9 && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
			ms += (s.p[i] - '0') * scale;
			scale /= 10;
		}
		if (i == 1)
			return false;
		s = az_str_sub(s, i, s.n);
	}
	if (!lit(&s, "Zz")) {
		if (!s.n)
			return false;
		sign = s.p[0] == '+' ? 1 : -1;
		if (!lit(&s, "+-") || !digits(&s, 2, 23, &oh) || !lit(&s, ":") ||
		    !digits(&s, 2, 59, &om))
			return false;
	}
	if (s.n)
		return false;
	tm.tm_year = y - 1900;
	tm.tm_mon = mo - 1;
	tm.tm_mday = d;
	tm.tm_hour = h;
	tm.tm_min = mi;
	tm.tm_sec = se;
	*wall_ms = ((int64_t)timegm(&tm) - sign * (oh * 3600 + om * 60)) * 1000 + ms;
	return tm.tm_mday == d; /* timegm moves 31 February on */
}
