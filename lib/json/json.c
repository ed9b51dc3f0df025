/* json-c behind the pre-scan, and the getters. A JSON null is a NULL pointer. */
#include <json-c/json.h>
#include <azlon/json.h>
#include "scan.h"

static const char OP[] = "json.parse";

static const struct json_object *
in(const struct az_json *j)
{
	return (const struct json_object *)j;
}

static const struct az_json *
wrap(const struct json_object *o)
{
	return (const struct az_json *)o;
}

/* Feed n bytes (at most INT_MAX, which the limits ensure). */
static struct json_object *
feed(struct json_tokener *tok, const char *p, size_t n, enum json_tokener_error *e)
{
	struct json_object *o = json_tokener_parse_ex(tok, p, (int)n);

	*e = json_tokener_get_error(tok);
	return o;
}

/* Keys and values below and with o; the scan bounded the depth. */
static size_t
count(struct json_object *o)
{
	size_t n = 1;

	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		struct json_object_iterator it = json_object_iter_begin(o);
		struct json_object_iterator end = json_object_iter_end(o);

		for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
			n += 1 + count(json_object_iter_peek_value(&it));
	}
	return n;
}

enum az_code
az_json_parse(
    struct az_str text, const struct az_json_limits *lim, struct az_json **out, struct az_err *err)
{
	struct json_tokener *tok = NULL;
	struct json_object *o = NULL;
	enum json_tokener_error e = json_tokener_continue;
	struct az_buf big;
	size_t from = 0, to, tokens;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&big, lim->bytes < AZ_MIB(64) ? lim->bytes : AZ_MIB(64));
	if ((rc = json_scan(text, lim, &big, &tokens, err)) || (rc = az_buf_check(&big, OP, err)))
		goto out;
	if (text.n > INT32_MAX) {
		rc = az_fail(err, AZ_ETOOBIG, OP, "%zu bytes", text.n);
		goto out;
	}
	/* scalars count as a level in json-c */
	if (!(tok = json_tokener_new_ex(JSON_DEPTH_MAX + 2))) {
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
		goto out;
	}
	/* not JSON_TOKENER_STRICT: json-c 0.18 takes bytes above 0x7f for control characters
	   then, and the scan was stricter already */
	/* json-c would saturate an integer beyond its range: ".0" makes it a double */
	for (size_t i = 0; i < big.n && e == json_tokener_continue; i += sizeof to) {
		memcpy(&to, big.p + i, sizeof to);
		o = feed(tok, text.p + from, to - from, &e);
		if (e == json_tokener_continue)
			o = feed(tok, ".0", 2, &e);
		from = to;
	}
	if (from < text.n && e == json_tokener_continue)
		o = feed(tok, text.p + from, text.n - from, &e);
	if (e == json_tokener_continue)
		o = feed(tok, "", 1, &e); /* the NUL ends a number at top level */
	if (e != json_tokener_success) {  /* the text is right, so memory is short */
		rc = az_fail(err, AZ_ENOMEM, OP, "json-c: %s", json_tokener_error_desc(e));
		goto out;
	}
	/* json-c 0.16 leaves out a member or element that it had no memory to add */
	if (count(o) != tokens) {
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
		goto out;
	}
	*out = (struct az_json *)o;
	o = NULL;
out:
	json_object_put(o);
	if (tok)
		json_tokener_free(tok);
	az_buf_release(&big);
	return rc;
}

static void
put(void *j)
{
	az_json_free(j);
}

enum az_code
az_json_parse_in(struct az_arena *a, struct az_str text, const struct az_json_limits *lim,
    const struct az_json **out, struct az_err *err)
{
	struct az_json *j = NULL;
	enum az_code rc;

	*out = NULL;
	if ((rc = az_json_parse(text, lim, &j, err)))
		return rc;
	if (j && !az_arena_defer(a, put, j))
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	*out = j;
	return AZ_OK;
}

void
az_json_free(struct az_json *j)
{
	json_object_put((struct json_object *)j);
}

enum az_json_type
az_json_type(const struct az_json *j)
{
	switch (json_object_get_type(in(j))) {
	case json_type_boolean:
		return AZ_JBOOL;
	case json_type_int:
		return AZ_JINT;
	case json_type_double:
		return AZ_JDOUBLE;
	case json_type_string:
		return AZ_JSTR;
	case json_type_array:
		return AZ_JARR;
	case json_type_object:
		return AZ_JOBJ;
	case json_type_null:
		break;
	}
	return AZ_JNULL;
}

const struct az_json *
az_json_get(const struct az_json *obj, const char *key)
{
	struct json_object *v = NULL;

	if (az_json_type(obj) != AZ_JOBJ || !json_object_object_get_ex(in(obj), key, &v))
		return NULL;
	return wrap(v);
}

size_t
az_json_len(const struct az_json *j)
{
	if (az_json_type(j) == AZ_JARR)
		return json_object_array_length(in(j));
	if (az_json_type(j) == AZ_JOBJ)
		return (size_t)json_object_object_length(in(j));
	return 0;
}

const struct az_json *
az_json_at(const struct az_json *arr, size_t i)
{
	if (az_json_type(arr) != AZ_JARR || i >= json_object_array_length(in(arr)))
		return NULL;
	return wrap(json_object_array_get_idx(in(arr), i));
}

bool
az_json_each(const struct az_json *obj, void **it, struct az_str *key, const struct az_json **val)
{
	struct lh_entry *e;

	if (az_json_type(obj) != AZ_JOBJ)
		return false;
	e = *it ? lh_entry_next((struct lh_entry *)*it)
		: lh_table_head(json_object_get_object(in(obj)));
	if (!e)
		return false;
	*it = e;
	*key = az_str_c(lh_entry_k(e));
	*val = wrap(lh_entry_v(e));
	return true;
}

bool
az_json_is_str(const struct az_json *j)
{
	return az_json_type(j) == AZ_JSTR;
}

struct az_str
az_json_str(const struct az_json *j)
{
	struct json_object *o;

	if (!az_json_is_str(j))
		return (struct az_str){"", 0};
	/* json-c's getter wants a mutable pointer but changes nothing for a string */
	memcpy(&o, &j, sizeof o);
	return az_str_n(json_object_get_string(o), (size_t)json_object_get_string_len(o));
}

bool
az_json_i64(const struct az_json *j, int64_t min, int64_t max, int64_t *out)
{
	int64_t v;

	if (az_json_type(j) != AZ_JINT)
		return false;
	v = json_object_get_int64(in(j));
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

double
az_json_num(const struct az_json *j, double otherwise)
{
	enum az_json_type t = az_json_type(j);

	if (t == AZ_JINT)
		return (double)json_object_get_int64(in(j));
	return t == AZ_JDOUBLE ? json_object_get_double(in(j)) : otherwise;
}

bool
az_json_bool(const struct az_json *j, bool otherwise)
{
	return az_json_type(j) == AZ_JBOOL ? json_object_get_boolean(in(j)) != 0 : otherwise;
}

struct az_str
az_json_gets(const struct az_json *obj, const char *key)
{
	return az_json_str(az_json_get(obj, key));
}

int64_t
az_json_geti(const struct az_json *obj, const char *key, int64_t dflt)
{
	int64_t v = dflt;

	return az_json_i64(az_json_get(obj, key), INT64_MIN, INT64_MAX, &v) ? v : dflt;
}

bool
az_json_getb(const struct az_json *obj, const char *key, bool dflt)
{
	return az_json_bool(az_json_get(obj, key), dflt);
}
