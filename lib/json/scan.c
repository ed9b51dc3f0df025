/* What stands before json-c: it takes duplicate keys, raw control characters, lone
   surrogates and numbers it cannot hold, and a small hostile text costs it seconds. */
#include <azlon/json.h>
#include "scan.h"

const struct az_json_limits az_json_request_limits = {
    AZ_LIM_REQUEST_BYTES, AZ_LIM_REQUEST_DEPTH, AZ_LIM_JSON_TOKENS};
const struct az_json_limits az_json_own_limits = {AZ_MIB(16), 32, 1000000};

static const char OP[] = "json.scan";

struct scan {
	const char *p;
	size_t n, i; /* text, and where we are */
	size_t tokens, max_tokens;
	struct keyset keys;
	struct az_buf *big;
	uint32_t objects; /* number of the last object seen */
	size_t depth;
	uint32_t in[JSON_DEPTH_MAX]; /* per level: object number, 0 = array */
	struct az_err *err;
};

static enum az_code
bad(struct scan *s, const char *what)
{
	return az_fail(s->err, AZ_EINVAL, OP, "%s at byte %zu", what, s->i);
}

static int
peek(const struct scan *s)
{
	return s->i < s->n ? (unsigned char)s->p[s->i] : -1;
}

static void
blanks(struct scan *s)
{
	while (s->i < s->n && (s->p[s->i] == ' ' || s->p[s->i] == '\n' || s->p[s->i] == '\r' ||
				  s->p[s->i] == '\t'))
		s->i++;
}

static bool
digit(int c)
{
	return c >= '0' && c <= '9';
}

int
json_hex4(const char *p)
{
	int v = 0;

	for (int k = 0; k < 4; k++) {
		int c = p[k] | 0x20;
		if (digit(p[k]))
			v = v * 16 + (p[k] - '0');
		else if (c >= 'a' && c <= 'f')
			v = v * 16 + (c - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/* After "\u"; leaves i past the escape, or past both halves of a pair. */
static enum az_code
unicode(struct scan *s, bool is_key)
{
	int hi = s->n - s->i >= 4 ? json_hex4(s->p + s->i) : -1, lo;

	if (hi < 0)
		return bad(s, "bad \\u escape");
	if (hi == 0 && is_key) /* keys end at a NUL in json-c */
		return bad(s, "NUL in a key");
	if (hi < 0xd800 || hi > 0xdfff) {
		s->i += 4;
		return AZ_OK;
	}
	lo = hi < 0xdc00 && s->n - s->i >= 10 && s->p[s->i + 4] == '\\' && s->p[s->i + 5] == 'u'
		 ? json_hex4(s->p + s->i + 6)
		 : -1;
	if (lo < 0xdc00 || lo > 0xdfff)
		return bad(s, "lone surrogate");
	s->i += 10;
	return AZ_OK;
}

static enum az_code
string(struct scan *s, bool is_key, struct az_str *raw)
{
	size_t from = ++s->i;
	enum az_code rc;
	int c;

	for (;;) {
		c = peek(s);
		if (c < 0)
			return bad(s, "unclosed string");
		if (c < 0x20)
			return bad(s, "control byte in a string");
		s->i++;
		if (c == '"')
			break;
		if (c != '\\')
			continue;
		c = peek(s);
		if (c <= 0 || !strchr("\"\\/bfnrtu", c))
			return bad(s, "bad escape");
		s->i++;
		if (c == 'u' && (rc = unicode(s, is_key)))
			return rc;
	}
	*raw = az_str_n(s->p + from, s->i - 1 - from);
	return AZ_OK;
}

/* Would the digits p..p+n with the given sign overflow int64? */
static bool
overflows(const char *p, size_t n, bool neg)
{
	if (n != 19)
		return n > 19;
	return memcmp(p, neg ? "9223372036854775808" : "9223372036854775807", 19) > 0;
}

/*
 * Is the number larger than any double? e10 is the power of ten of the first
 * digit that is not 0. At e10 = 308 the first 17 digits decide.
 */
static bool
infinite(const char *p, size_t n)
{
	static const char top[] = "17976931348623157";
	int64_t e10 = -1, e = 0, shift = 0;
	bool dot = false, neg = false, seen = false;
	int cmp = 0;
	size_t k, m = 0;

	for (k = 0; k < n && (p[k] | 0x20) != 'e'; k++) {
		if (p[k] == '.') {
			dot = true;
			continue;
		}
		if (!digit(p[k]))
			continue;
		seen = seen || p[k] != '0';
		if (seen) {
			e10 += !dot;
			if (m < 17 && cmp == 0)
				cmp = p[k] - top[m];
			m++;
		} else if (dot) {
			shift--;
		}
	}
	if (!seen)
		return false;
	if (k < n)
		k++;
	for (; k < n; k++) {
		neg = neg || p[k] == '-';
		if (digit(p[k]) && e < 100000000)
			e = e * 10 + (p[k] - '0');
	}
	e10 += shift + (neg ? -e : e);
	return e10 > 308 || (e10 == 308 && cmp > 0);
}

static enum az_code
number(struct scan *s)
{
	size_t from = s->i, ints;
	bool neg = peek(s) == '-', real = false;

	s->i += neg;
	ints = s->i;
	if (!digit(peek(s)))
		return bad(s, "bad number");
	if (peek(s) == '0')
		s->i++;
	else
		while (digit(peek(s)))
			s->i++;
	if (peek(s) != '.' && peek(s) != 'e' && peek(s) != 'E' && s->big &&
	    overflows(s->p + ints, s->i - ints, neg))
		az_buf_add(s->big, &s->i, sizeof s->i);
	if (peek(s) == '.') {
		real = true;
		s->i++;
		if (!digit(peek(s)))
			return bad(s, "bad number");
		while (digit(peek(s)))
			s->i++;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		real = true;
		s->i++;
		if (peek(s) == '+' || peek(s) == '-')
			s->i++;
		if (!digit(peek(s)))
			return bad(s, "bad number");
		while (digit(peek(s)))
			s->i++;
	}
	if ((real || s->i - ints > 300) && infinite(s->p + from, s->i - from))
		return bad(s, "number out of range");
	return AZ_OK;
}

static enum az_code
word(struct scan *s, const char *w)
{
	size_t n = strlen(w);

	if (s->n - s->i < n || memcmp(s->p + s->i, w, n) != 0)
		return bad(s, "unexpected character");
	s->i += n;
	return AZ_OK;
}

static enum az_code
token(struct scan *s)
{
	if (++s->tokens > s->max_tokens)
		return az_fail(s->err, AZ_ETOOBIG, OP, "more than %zu values", s->max_tokens);
	return AZ_OK;
}

/* "key" : — of the innermost object */
static enum az_code
key(struct scan *s)
{
	struct az_str raw = AZ_S("");
	enum az_code rc;

	blanks(s);
	if (peek(s) != '"')
		return bad(s, "expected a key");
	if ((rc = token(s)) || (rc = string(s, true, &raw)) ||
	    (rc = keyset_add(&s->keys, az_str_n(s->p, s->n), s->in[s->depth - 1], raw, s->err)))
		return rc;
	blanks(s);
	if (peek(s) != ':')
		return bad(s, "expected ':'");
	s->i++;
	return AZ_OK;
}

/* One value; a container that is not empty is only opened. */
static enum az_code
value(struct scan *s, size_t max_depth, bool *opened)
{
	struct az_str raw;
	enum az_code rc;
	int c;

	*opened = false;
	blanks(s);
	if ((rc = token(s)))
		return rc;
	c = peek(s);
	if (c == '"')
		return string(s, false, &raw);
	if (c == 't')
		return word(s, "true");
	if (c == 'f')
		return word(s, "false");
	if (c == 'n')
		return word(s, "null");
	if (c == '-' || digit(c))
		return number(s);
	if (c != '{' && c != '[')
		return bad(s, c < 0 ? "unexpected end" : "unexpected character");
	if (s->depth >= max_depth)
		return az_fail(
		    s->err, AZ_ETOOBIG, OP, "nested deeper than %zu at byte %zu", max_depth, s->i);
	s->i++;
	blanks(s);
	if (peek(s) == (c == '{' ? '}' : ']')) {
		s->i++;
		return AZ_OK;
	}
	s->in[s->depth++] = c == '{' ? ++s->objects : 0;
	*opened = true;
	return c == '{' ? key(s) : AZ_OK;
}

/* After a value: close what ends here; *more when another value follows. */
static enum az_code
after(struct scan *s, bool *more)
{
	*more = false;
	while (s->depth) {
		bool obj = s->in[s->depth - 1] != 0;

		blanks(s);
		if (peek(s) == ',') {
			s->i++;
			*more = true;
			return obj ? key(s) : AZ_OK;
		}
		if (peek(s) != (obj ? '}' : ']'))
			return bad(s,
			    peek(s) < 0 ? "unexpected end" : "expected ',' or a closing bracket");
		s->i++;
		s->depth--;
	}
	return AZ_OK;
}

enum az_code
json_scan(struct az_str text, const struct az_json_limits *lim, struct az_buf *big, size_t *tokens,
    struct az_err *err)
{
	size_t max_depth = lim->depth < JSON_DEPTH_MAX ? lim->depth : JSON_DEPTH_MAX;
	struct scan s = {
	    .p = text.p, .n = text.n, .max_tokens = lim->tokens, .big = big, .err = err};
	bool opened, more = true;
	enum az_code rc;

	*tokens = 0;
	if (text.n > lim->bytes || text.n > UINT32_MAX)
		return az_fail(
		    err, AZ_ETOOBIG, OP, "%zu bytes, at most %zu allowed", text.n, lim->bytes);
	if (!az_str_utf8_ok(text))
		return az_fail(err, AZ_EINVAL, OP, "not UTF-8");
	while (more) {
		if ((rc = value(&s, max_depth, &opened)))
			goto out;
		if (!opened && (rc = after(&s, &more)))
			goto out;
	}
	blanks(&s);
	rc = s.i == s.n ? AZ_OK : bad(&s, "something follows the value");
out:
	*tokens = s.tokens;
	keyset_release(&s.keys);
	return rc;
}

enum az_code
az_json_scan(struct az_str text, const struct az_json_limits *lim, struct az_err *err)
{
	size_t tokens = 0;

	return json_scan(text, lim, NULL, &tokens, err);
}
