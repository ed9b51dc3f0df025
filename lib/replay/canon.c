/*
 * The canonical request and its key. Strict matching needs equal bytes for equal
 * situations, so what a run, a clock, a machine or a Python version puts into a prompt
 * is replaced. Each rule reads forward only; one pass.
 */
#include <azlon/crypto.h>
#include "replay.h"

static const char OP[] = "replay.canon";

const struct az_json_limits replay_limits = {
    .bytes = REPLAY_LINE_BYTES,
    .depth = 32,
    .tokens = 100000,
};

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
word(char c)
{
	return digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
}

static size_t
run(struct az_str s, size_t i, bool (*in)(char))
{
	size_t from = i;

	while (i < s.n && in(s.p[i]))
		i++;
	return i - from;
}

static bool
base32(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
}

static bool
hex(char c)
{
	return digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool
path(char c)
{
	return word(c) || c == '.' || c == '-' || c == '/';
}

static bool
at(struct az_str s, size_t i, const char *what)
{
	size_t n = strlen(what);

	return s.n - i >= n && memcmp(s.p + i, what, n) == 0;
}

/* Each returns the length of what it matches at i, 0 for no match. */

/* user-{u}-{13 digits}-{26 base32} */
static size_t
workflow_id(struct az_str s, size_t i)
{
	size_t u, k = i + 5;

	if (!at(s, i, "user-"))
		return 0;
	u = run(s, k, word);
	if (u == 0 || u > 64)
		return 0;
	k += u;
	if (!at(s, k, "-") || run(s, k + 1, digit) != 13 || !at(s, k + 14, "-") ||
	    run(s, k + 15, base32) != 26)
		return 0;
	return k + 41 - i;
}

static size_t
input_id(struct az_str s, size_t i)
{
	return at(s, i, "inp_") && run(s, i + 4, base32) == 26 ? 30 : 0;
}

/* ####-##-##T##:##:##[.#*][Z|+##:##] */
static size_t
time_of_day(struct az_str s, size_t i)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	size_t k = i;

	if (s.n - i < sizeof form - 1)
		return 0;
	for (size_t f = 0; form[f]; f++, k++) {
		char c = s.p[k];

		if (form[f] == 'd'   ? !digit(c)
		    : form[f] == 'T' ? c != 'T' && c != ' '
				     : c != form[f])
			return 0;
	}
	if (at(s, k, ".") && k + 1 < s.n && digit(s.p[k + 1]))
		k += 1 + run(s, k + 1, digit);
	if (at(s, k, "Z"))
		return k + 1 - i;
	if (k < s.n && (s.p[k] == '+' || s.p[k] == '-') && run(s, k + 1, digit) == 2 &&
	    at(s, k + 3, ":") && run(s, k + 4, digit) == 2)
		k += 6;
	return k - i;
}

/* 12 ms, 0.034s; *unit where the unit begins */
static size_t
duration(struct az_str s, size_t i, size_t *unit)
{
	size_t k = i + run(s, i, digit), u;

	if (k == i)
		return 0;
	if (at(s, k, ".") && k + 1 < s.n && digit(s.p[k + 1]))
		k += 1 + run(s, k + 1, digit);
	*unit = k;
	if (at(s, k, " "))
		k++;
	u = at(s, k, "ms") ? 2 : at(s, k, "s") ? 1 : 0;
	if (u == 0 || (k + u < s.n && word(s.p[k + u])))
		return 0;
	return k + u - i;
}

static size_t
prefixed(struct az_str s, size_t i, const char *prefix, bool (*in)(char))
{
	size_t n;

	if (!at(s, i, prefix))
		return 0;
	n = run(s, i + strlen(prefix), in);
	return n ? strlen(prefix) + n : 0;
}

/* A line of carets: where in its line an error is shown differs between versions. */
static size_t
marker_line(struct az_str s, size_t i)
{
	size_t k = i;
	bool any = false;

	for (; k < s.n && s.p[k] != '\n'; k++) {
		if (!strchr(" \t\r^~", s.p[k]) || s.p[k] == '\0')
			return 0;
		any = any || s.p[k] == '^' || s.p[k] == '~';
	}
	if (!any)
		return 0;
	return (k < s.n ? k + 1 : k) - i;
}

void
replay_normalise(struct az_buf *out, struct az_str s)
{
	size_t i = 0, n, unit = 0, from = out->n;

	while (i < s.n && !out->fail) {
		bool at_line = i == 0 || s.p[i - 1] == '\n';
		/* as a second pass would see it, so that there is nothing left for one */
		char before = out->n > from ? out->p[out->n - 1] : '\n';
		bool fresh = !word(before);

		if (at_line && (n = marker_line(s, i)))
			;
		else if (fresh && (n = workflow_id(s, i)))
			az_buf_addc(out, "<wid>");
		else if (fresh && (n = input_id(s, i)))
			az_buf_addc(out, "<input>");
		else if (fresh && (n = time_of_day(s, i)))
			az_buf_addc(out, "<time>");
		else if (fresh && before != '.' && (n = duration(s, i, &unit))) {
			az_buf_addc(out, "<n>");
			az_buf_adds(out, az_str_sub(s, unit, i + n));
		} else if ((n = prefixed(s, i, "/tmp/", path)))
			az_buf_addc(out, "/tmp/<path>");
		else if (fresh && (n = prefixed(s, i, "0x", hex)))
			az_buf_addc(out, "0x<addr>");
		else if ((n = prefixed(s, i, "python3.", digit)))
			az_buf_addc(out, "python3.<n>");
		else {
			az_buf_addch(out, s.p[i]);
			n = 1;
		}
		i += n;
	}
}

/* Content is a text, or a list of parts of which the texts count. */
static void
content(struct az_buf *out, const struct az_json *c)
{
	if (az_json_is_str(c))
		replay_normalise(out, az_json_str(c));
	for (size_t i = 0; az_json_type(c) == AZ_JARR && i < az_json_len(c); i++)
		replay_normalise(out, az_json_gets(az_json_at(c, i), "text"));
}

enum az_code
replay_canon(const struct az_json *request, struct az_buf *out, char key[65], struct az_err *err)
{
	const struct az_json *msgs = az_json_get(request, "messages");
	struct az_str schema = az_json_gets(request, "schema");
	size_t from = out->n;
	struct az_buf text;
	enum az_code rc;
	struct az_jw w;

	if (az_json_type(msgs) != AZ_JARR || az_json_len(msgs) == 0)
		return az_fail(err, AZ_EINVAL, OP,
		    "\"messages\" must be a list that is "
		    "not empty");
	if (schema.n == 0)
		schema = az_json_gets(
		    az_json_get(az_json_get(request, "response_format"), "json_schema"), "name");
	az_buf_init(&text, REPLAY_LINE_BYTES);
	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_key(&w, "messages");
	az_jw_arr(&w);
	for (size_t i = 0; i < az_json_len(msgs); i++) {
		const struct az_json *m = az_json_at(msgs, i);

		az_buf_reset(&text);
		content(&text, az_json_get(m, "content"));
		az_jw_obj(&w);
		az_jw_ks(&w, "role", az_json_gets(m, "role"));
		az_jw_ks(&w, "content", az_buf_str(&text));
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_ks(&w, "schema", schema);
	az_jw_end(&w, '}');
	rc = az_buf_check(&text, OP, err);
	if (!rc)
		rc = az_buf_check(out, OP, err);
	if (!rc)
		az_sha256_hex(az_str_sub(az_buf_str(out), from, out->n), key);
	az_buf_release(&text);
	return rc;
}
