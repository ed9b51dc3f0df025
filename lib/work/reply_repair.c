/*
 * Almost-JSON -> JSON: unquoted keys and values, single, triple and back-tick quotes,
 * comments, missing and trailing commas, raw newlines, inner quotes, bad escapes,
 * brackets left open at the end. A stack of brackets, one pass, bounded look-ahead.
 */
#include <azlon/limits.h>
#include "reply_int.h"

enum where { KEY, IN_OBJECT, IN_ARRAY };
enum { KEY_BYTES = 64 };

struct repair {
	const char *p;
	size_t i, n;
	struct az_buf *out;
	char stack[AZ_LIM_REPLY_DEPTH];
	bool some[AZ_LIM_REPLY_DEPTH]; /* this level has a value already */
	size_t depth;
	bool in_value;
};

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t
skip_blanks(const struct repair *r, size_t i)
{
	while (i < r->n && blank(r->p[i]))
		i++;
	return i;
}

static bool
at(const struct repair *r, size_t i, const char *s)
{
	size_t n = strlen(s);

	return r->n - i >= n && memcmp(r->p + i, s, n) == 0;
}

/* Blanks and comments; a closing fence where a value might stand is the end. */
static void
skip(struct repair *r)
{
	for (;;) {
		r->i = skip_blanks(r, r->i);
		if (r->i < r->n && (r->p[r->i] == '#' || at(r, r->i, "//"))) {
			while (r->i < r->n && r->p[r->i] != '\n')
				r->i++;
		} else if (at(r, r->i, "/*")) {
			r->i += 2;
			while (r->i < r->n && !at(r, r->i, "*/"))
				r->i++;
			r->i = r->i < r->n ? r->i + 2 : r->n;
		} else {
			break;
		}
	}
	if (at(r, r->i, "```"))
		r->n = r->i;
}

/* Does a member begin at i: "key": or key: ? */
static bool
member_at(const struct repair *r, size_t i)
{
	size_t end = i + KEY_BYTES < r->n ? i + KEY_BYTES : r->n;
	char q = i < r->n ? r->p[i] : '\0';
	bool quoted = q == '"' || q == '\'';

	if (quoted)
		i++;
	while (i < end && (quoted ? r->p[i] != q && r->p[i] != '\n'
				  : (r->p[i] | 32) >= 'a' && (r->p[i] | 32) <= 'z'))
		i++;
	if (quoted) {
		if (i == end || r->p[i] != q)
			return false;
		i++;
	} else if (q == '\0' || (q | 32) < 'a' || (q | 32) > 'z') {
		return false;
	}
	i = skip_blanks(r, i);
	return i < r->n && r->p[i] == ':';
}

/* Is the quote before i the end of its string? Judged by what follows. */
static bool
closes(const struct repair *r, size_t i, enum where w)
{
	size_t k = skip_blanks(r, i), after;
	char c;

	if (k == r->n)
		return true;
	c = r->p[k];
	if (w == KEY)
		return c == ':' || c == '}' || c == ',';
	if (at(r, k, "//") || at(r, k, "/*") || (at(r, k, "```") && r->depth))
		return true;
	if (w == IN_ARRAY)
		return c == ',' || c == ']';
	after = skip_blanks(r, k + 1);
	if (c == '}')
		return r->depth == 1 || after == r->n || strchr(",]}`", r->p[after]) != NULL;
	if (c == ',')
		return after == r->n || r->p[after] == '}' || at(r, after, "//") ||
		       at(r, after, "/*") || member_at(r, after);
	/* a comma forgotten at the end of a line */
	return memchr(r->p + i, '\n', k - i) && member_at(r, k);
}

static int
hex4(const struct repair *r, size_t i)
{
	int v = 0;

	if (r->n - i < 4)
		return -1;
	for (size_t k = 0; k < 4; k++) {
		char c = r->p[i + k];
		int d = c >= '0' && c <= '9'                 ? c - '0'
			: (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
							     : -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* At the character after a backslash. */
static void
escape(struct repair *r)
{
	char c;
	int u, low;

	if (r->i == r->n)
		return;
	c = r->p[r->i++];
	if (c == '\0' || !strchr("\"\\/bfnrtu'`\n", c)) {
		az_buf_addc(r->out, "\\\\");
		r->i--;
	} else if (c == '\'' || c == '`') {
		az_buf_addch(r->out, c);
	} else if (c == '\n') {
		az_buf_addc(r->out, "\\n");
	} else if (c != 'u') {
		az_buf_addch(r->out, '\\');
		az_buf_addch(r->out, c);
	} else if ((u = hex4(r, r->i)) < 0) {
		az_buf_addc(r->out, "\\\\u");
	} else {
		r->i += 4;
		if (u >= 0xd800 && u < 0xdc00 && at(r, r->i, "\\u") &&
		    (low = hex4(r, r->i + 2)) >= 0xdc00 && low < 0xe000) {
			r->i += 6;
			az_buf_addf(r->out, "\\u%04x\\u%04x", (unsigned)u, (unsigned)low);
		} else {
			if (u >= 0xd800 && u < 0xe000)
				u = 0xfffd;
			az_buf_addf(r->out, "\\u%04x", (unsigned)u);
		}
	}
}

/* At an opening quote; emits a JSON string. */
static void
string(struct repair *r, enum where w)
{
	char q = r->p[r->i], three[4] = {q, q, q, '\0'};
	bool triple = at(r, r->i, three);

	r->i += triple ? 3 : 1;
	az_buf_addch(r->out, '"');
	while (r->i < r->n) {
		char c = r->p[r->i];

		if (c == q && (triple ? at(r, r->i, three) : closes(r, r->i + 1, w))) {
			r->i += triple ? 3 : 1;
			az_buf_addch(r->out, '"');
			return;
		}
		r->i++;
		if (c == '\\')
			escape(r);
		else if (c == '"')
			az_buf_addc(r->out, "\\\"");
		else if (c == '\n')
			az_buf_addc(r->out, "\\n");
		else if (c == '\t')
			az_buf_addc(r->out, "\\t");
		else if ((unsigned char)c < 0x20)
			az_buf_addf(r->out, "\\u%04x", (unsigned)c);
		else
			az_buf_addch(r->out, c);
	}
	r->in_value = true;
	az_buf_addch(r->out, '"');
}

static bool
is_number(struct az_str s)
{
	const struct az_json_limits lim = {64, 2, 4};

	return s.n && (s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9')) &&
	       az_json_scan(s, &lim, NULL) == AZ_OK;
}

/* A word without quotes: a literal, a number, or text up to the next separator. */
static void
bare(struct repair *r, bool key)
{
	static const struct {
		const char *word, *json;
	} known[] = {{"true", "true"}, {"false", "false"}, {"null", "null"}, {"none", "null"},
	    {"undefined", "null"}, {"nan", "null"}};
	size_t from = r->i;
	struct az_str s;

	while (r->i < r->n && !strchr(key ? ":,}]\n" : ",}]\n", r->p[r->i]))
		r->i++;
	/* strchr() finds the terminator: a NUL byte is a separator to step over */
	if (r->i == from && r->i < r->n)
		r->i++;
	s = az_str_trim(az_str_n(r->p + from, r->i - from));
	if (r->i == r->n)
		r->in_value = true;
	for (size_t k = 0; !key && k < sizeof known / sizeof *known; k++) {
		if (az_str_ieq(s, az_str_c(known[k].word))) {
			az_buf_addc(r->out, known[k].json);
			return;
		}
	}
	if (!key && is_number(s)) {
		az_buf_adds(r->out, s);
		return;
	}
	az_buf_addch(r->out, '"');
	for (size_t k = 0; k < s.n; k++) {
		if (s.p[k] == '"' || s.p[k] == '\\')
			az_buf_addch(r->out, '\\');
		if ((unsigned char)s.p[k] < 0x20)
			az_buf_addch(r->out, ' ');
		else
			az_buf_addch(r->out, s.p[k]);
	}
	az_buf_addch(r->out, '"');
}

static bool
push(struct repair *r)
{
	if (r->depth == AZ_LIM_REPLY_DEPTH)
		return false;
	az_buf_addch(r->out, r->p[r->i]);
	r->stack[r->depth] = r->p[r->i++];
	r->some[r->depth++] = false;
	return true;
}

static void
pop(struct repair *r)
{
	az_buf_addch(r->out, r->stack[--r->depth] == '{' ? '}' : ']');
}

static bool
is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static bool
value(struct repair *r, enum where w)
{
	char c = r->p[r->i];

	if (c == '{' || c == '[')
		return push(r);
	if (is_quote(c))
		string(r, w);
	else
		bare(r, false);
	return true;
}

/* A member: key, colon, value. */
static bool
member(struct repair *r)
{
	if (is_quote(r->p[r->i]))
		string(r, KEY);
	else
		bare(r, true);
	az_buf_addch(r->out, ':');
	skip(r);
	if (r->i < r->n && r->p[r->i] == ':')
		r->i++;
	else if (r->i < r->n) {
		az_buf_addc(r->out, "null");
		return true;
	}
	skip(r);
	if (r->i == r->n) {
		r->in_value = true;
		az_buf_addc(r->out, "null");
		return true;
	}
	if (strchr(",}]", r->p[r->i])) {
		az_buf_addc(r->out, "null");
		return true;
	}
	return value(r, IN_OBJECT);
}

bool
reply_repair(struct az_str in, struct az_buf *out, struct reply_cut *cut)
{
	struct repair r = {.p = in.p, .n = in.n, .out = out};

	*cut = (struct reply_cut){0};
	if (in.n == 0 || (in.p[0] != '{' && in.p[0] != '[') || !push(&r))
		return false;
	while (r.depth && out->fail == AZ_OK) {
		bool object = r.stack[r.depth - 1] == '{';
		char c;

		skip(&r);
		if (r.i == r.n)
			break;
		c = r.p[r.i];
		if (c == ',') {
			r.i++;
			continue;
		}
		if (c == '}' || c == ']') {
			/* a bracket of the other kind closes this level too, if there
			   is one it can belong to; else it is noise */
			if ((c == '}') == object) {
				r.i++;
				pop(&r);
			} else if (r.depth > 1) {
				pop(&r);
			} else {
				r.i++;
			}
			continue;
		}
		if (r.some[r.depth - 1])
			az_buf_addch(out, ',');
		r.some[r.depth - 1] = true;
		if (!(object ? member(&r) : value(&r, IN_ARRAY)))
			return false;
	}
	cut->end = r.i;
	cut->depth = r.depth;
	cut->in_value = r.in_value && r.depth;
	while (r.depth)
		pop(&r);
	return out->fail == AZ_OK;
}
