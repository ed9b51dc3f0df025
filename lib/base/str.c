#include <stdlib.h>
#include <azlon/str.h>

bool
az_str_eq(struct az_str a, struct az_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
az_str_eqc(struct az_str a, const char *c)
{
	return az_str_eq(a, az_str_c(c));
}

static unsigned char
lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool
az_str_ieq(struct az_str a, struct az_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

int
az_str_cmp(struct az_str a, struct az_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool
az_str_starts(struct az_str s, struct az_str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool
az_str_ends(struct az_str s, struct az_str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

ptrdiff_t
az_str_find(struct az_str s, struct az_str needle, size_t from)
{
	const char *at;

	if (from > s.n)
		return -1;
	if (needle.n == 0)
		return (ptrdiff_t)from;
	if (!s.p)
		return -1;
	at = memmem(s.p + from, s.n - from, needle.p, needle.n);
	return at ? at - s.p : -1;
}

ptrdiff_t
az_str_chr(struct az_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

ptrdiff_t
az_str_rchr(struct az_str s, char c)
{
	const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

struct az_str
az_str_sub(struct az_str s, size_t from, size_t to)
{
	if (to > s.n)
		to = s.n;
	if (from > to)
		from = to;
	return (struct az_str){s.p ? s.p + from : NULL, to - from};
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct az_str
az_str_trim(struct az_str s)
{
	while (s.n && blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
az_str_cut(struct az_str *rest, char sep, struct az_str *part)
{
	ptrdiff_t at;

	if (!rest->p)
		return false;
	at = az_str_chr(*rest, sep);
	if (at < 0) {
		*part = *rest;
		*rest = (struct az_str){NULL, 0};
		return true;
	}
	*part = az_str_sub(*rest, 0, (size_t)at);
	*rest = az_str_sub(*rest, (size_t)at + 1, rest->n);
	return true;
}

bool
az_str_line(struct az_str *rest, struct az_str *line)
{
	/* unlike a separator, a final LF starts no further line */
	if (rest->n == 0 || !az_str_cut(rest, '\n', line))
		return false;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

bool
az_str_to_i64(struct az_str s, int64_t min, int64_t max, int64_t *out)
{
	bool neg = false;
	size_t i = 0;
	int64_t v = 0;

	if (s.n && s.p[0] == '-') {
		neg = true;
		i = 1;
	}
	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int d = s.p[i] - '0';

		if (d < 0 || d > 9)
			return false;
		/* built up negative, since INT64_MIN has no positive twin */
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, d, &v))
			return false;
	}
	if (!neg) {
		if (v == INT64_MIN)
			return false;
		v = -v;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool
az_str_utf8_ok(struct az_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	while (i < s.n) {
		unsigned c = p[i];
		size_t more;
		unsigned min, cp;

		if (c < 0x80) {
			i++;
			continue;
		}
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1;
			min = 0x80;
			cp = c & 0x1f;
		} else if (c >= 0xe0 && c <= 0xef) {
			more = 2;
			min = 0x800;
			cp = c & 0x0f;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3;
			min = 0x10000;
			cp = c & 0x07;
		} else {
			return false;
		}
		if (s.n - i <= more)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			cp = cp << 6 | (p[i + k] & 0x3f);
		}
		if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
			return false;
		i += more + 1;
	}
	return true;
}

char *
az_str_dup(struct az_str s)
{
	char *c;

	if (s.n && memchr(s.p, 0, s.n))
		return NULL;
	c = malloc(s.n + 1);
	if (!c)
		return NULL;
	if (s.n)
		memcpy(c, s.p, s.n);
	c[s.n] = '\0';
	return c;
}
