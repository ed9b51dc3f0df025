/* JSON text straight into a buffer; commas and nesting are kept right here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/json.h>

void
az_jw_init(struct az_jw *w, struct az_buf *b)
{
	*w = (struct az_jw){.b = b};
}

/* What stands between the value before and the next one. */
static void
lead(struct az_jw *w)
{
	uint64_t bit = (uint64_t)1 << (w->depth & 63);

	if (w->key) {
		w->key = false;
		return;
	}
	if (w->comma & bit)
		az_buf_addch(w->b, ',');
	w->comma |= bit;
}

static void
open(struct az_jw *w, char c)
{
	lead(w);
	az_buf_addch(w->b, c);
	if (++w->depth > 63) { /* one bit a level */
		if (!w->b->fail)
			w->b->fail = AZ_ETOOBIG;
		return;
	}
	w->comma &= ~((uint64_t)1 << w->depth);
}

void
az_jw_obj(struct az_jw *w)
{
	open(w, '{');
}

void
az_jw_arr(struct az_jw *w)
{
	open(w, '[');
}

void
az_jw_end(struct az_jw *w, char close)
{
	if (w->depth)
		w->depth--;
	az_buf_addch(w->b, close);
}

/* Length of the strict UTF-8 character at p, 0 when there is none. */
static size_t
character(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return len <= n && az_str_utf8_ok(az_str_n(p, len)) ? len : 0;
}

static void
quote(struct az_buf *b, struct az_str s)
{
	static const char esc[] = "\"\\\b\f\n\r\t", as[] = "\"\\bfnrt";
	size_t i = 0, from = 0, len;

	az_buf_addch(b, '"');
	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		const char *e;

		if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
			i++;
			continue;
		}
		if (c >= 0x80 && (len = character(s.p + i, s.n - i))) {
			i += len;
			continue;
		}
		az_buf_add(b, s.p + from, i - from);
		if (c >= 0x80)
			az_buf_addc(b, "\xef\xbf\xbd");
		else if (c && (e = strchr(esc, c)))
			az_buf_addf(b, "\\%c", as[e - esc]);
		else
			az_buf_addf(b, "\\u%04x", (unsigned)c);
		from = ++i;
	}
	if (i > from)
		az_buf_add(b, s.p + from, i - from);
	az_buf_addch(b, '"');
}

void
az_jw_keys(struct az_jw *w, struct az_str key)
{
	lead(w);
	quote(w->b, key);
	az_buf_addch(w->b, ':');
	w->key = true;
}

void
az_jw_key(struct az_jw *w, const char *key)
{
	az_jw_keys(w, az_str_c(key));
}

void
az_jw_str(struct az_jw *w, struct az_str s)
{
	lead(w);
	quote(w->b, s);
}

void
az_jw_cstr(struct az_jw *w, const char *s)
{
	if (s)
		az_jw_str(w, az_str_c(s));
	else
		az_jw_null(w);
}

void
az_jw_int(struct az_jw *w, int64_t v)
{
	lead(w);
	az_buf_addf(w->b, "%lld", (long long)v);
}

/* Shortest of three lengths that reads back equal; always with '.' or 'e', so that
   a double stays one. JSON has no word for what is not finite. */
void
az_jw_double(struct az_jw *w, double v)
{
	char t[40];

	if (!isfinite(v)) {
		az_jw_null(w);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(t, sizeof t, "%.*g", digits, v);
		/* bit for bit, for -0 NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
		if (memcmp(&(double){strtod(t, NULL)}, &v, sizeof v) == 0)
			break;
	}
	for (char *p = t; *p; p++)
		if (*p == ',') /* another locale's decimal point */
			*p = '.';
	lead(w);
	az_buf_addc(w->b, t);
	if (!strpbrk(t, ".e"))
		az_buf_addc(w->b, ".0");
}

void
az_jw_bool(struct az_jw *w, bool v)
{
	az_jw_raw(w, v ? AZ_S("true") : AZ_S("false"));
}

void
az_jw_null(struct az_jw *w)
{
	az_jw_raw(w, AZ_S("null"));
}

void
az_jw_raw(struct az_jw *w, struct az_str json)
{
	lead(w);
	az_buf_adds(w->b, json);
}

void
az_jw_value(struct az_jw *w, const struct az_json *j)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	switch (az_json_type(j)) {
	case AZ_JNULL:
		az_jw_null(w);
		break;
	case AZ_JBOOL:
		az_jw_bool(w, az_json_bool(j, false));
		break;
	case AZ_JINT: {
		int64_t i = 0;
		if (az_json_i64(j, INT64_MIN, INT64_MAX, &i))
			az_jw_int(w, i);
		break;
	}
	case AZ_JDOUBLE:
		az_jw_double(w, az_json_num(j, 0));
		break;
	case AZ_JSTR:
		az_jw_str(w, az_json_str(j));
		break;
	case AZ_JARR:
		az_jw_arr(w);
		for (size_t i = 0, n = az_json_len(j); i < n && !w->b->fail; i++)
			az_jw_value(w, az_json_at(j, i));
		az_jw_end(w, ']');
		break;
	case AZ_JOBJ:
		az_jw_obj(w);
		while (!w->b->fail && az_json_each(j, &it, &key, &v)) {
			az_jw_keys(w, key);
			az_jw_value(w, v);
		}
		az_jw_end(w, '}');
		break;
	}
}

void
az_jw_ks(struct az_jw *w, const char *key, struct az_str s)
{
	az_jw_key(w, key);
	az_jw_str(w, s);
}

void
az_jw_kc(struct az_jw *w, const char *key, const char *s)
{
	az_jw_key(w, key);
	az_jw_cstr(w, s);
}

void
az_jw_ki(struct az_jw *w, const char *key, int64_t v)
{
	az_jw_key(w, key);
	az_jw_int(w, v);
}

void
az_jw_kb(struct az_jw *w, const char *key, bool v)
{
	az_jw_key(w, key);
	az_jw_bool(w, v);
}

void
az_jw_kn(struct az_jw *w, const char *key)
{
	az_jw_key(w, key);
	az_jw_null(w);
}

void
az_jw_kraw(struct az_jw *w, const char *key, struct az_str json)
{
	az_jw_key(w, key);
	az_jw_raw(w, json);
}

void
az_jw_kt(struct az_jw *w, const char *key, int64_t ms)
{
	struct az_buf t;

	if (ms <= 0) {
		az_jw_kn(w, key);
		return;
	}
	az_buf_init(&t, 64);
	az_rfc3339(&t, ms);
	az_jw_ks(w, key, az_buf_str(&t));
	az_buf_release(&t);
}
