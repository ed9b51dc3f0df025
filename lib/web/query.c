/* Query strings: split, decoded once, the first value of a name wins. */
#include "web.h"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decoded text is never longer than its source. */
static enum az_code
decode(struct az_str s, struct az_arena *a, struct az_str *out, struct az_err *err)
{
	char *p = az_arena_alloc(a, s.n + 1);
	size_t n = 0;

	if (!p)
		return az_fail(err, AZ_ENOMEM, "web.query", "out of memory");
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			bool whole = s.n - i > 2;
			int hi = whole ? hex(s.p[i + 1]) : -1;
			int lo = whole ? hex(s.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return az_fail(
				    err, AZ_EINVAL, "web.query", "query: bad percent escape");
			c = (char)(hi * 16 + lo);
			i += 2;
		}
		if (c == '\0')
			return az_fail(err, AZ_EINVAL, "web.query", "query: NUL byte");
		p[n++] = c;
	}
	p[n] = '\0';
	*out = az_str_n(p, n);
	return AZ_OK;
}

enum az_code
web_query_parse(struct az_str qs, struct az_arena *a, struct web_pair *out, size_t max, size_t *n,
    struct az_err *err)
{
	struct az_str rest = qs, part;
	enum az_code rc;

	*n = 0;
	while (az_str_cut(&rest, '&', &part)) {
		struct az_str name, value = {"", 0};
		ptrdiff_t eq;

		if (part.n == 0)
			continue;
		if (*n == max)
			return az_fail(
			    err, AZ_ETOOBIG, "web.query", "query: more than %zu parameters", max);
		eq = az_str_chr(part, '=');
		name = eq < 0 ? part : az_str_sub(part, 0, (size_t)eq);
		if (eq >= 0)
			value = az_str_sub(part, (size_t)eq + 1, part.n);
		if ((rc = decode(name, a, &out[*n].name, err)) ||
		    (rc = decode(value, a, &out[*n].value, err)))
			return rc;
		(*n)++;
	}
	return AZ_OK;
}
