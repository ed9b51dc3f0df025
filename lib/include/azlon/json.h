/*
 * JSON. Reading: a strict pre-scan (size, depth, token count, UTF-8, grammar,
 * duplicate keys) before the parser sees a byte; then borrowed views with typed
 * getters that check range and length. Writing: straight into an az_buf.
 */
#ifndef AZLON_JSON_H
#define AZLON_JSON_H

#include <azlon/arena.h>
#include <azlon/limits.h>

struct az_json; /* a value; children are borrowed from their document */

enum az_json_type { AZ_JNULL, AZ_JBOOL, AZ_JINT, AZ_JDOUBLE, AZ_JSTR, AZ_JARR, AZ_JOBJ };

struct az_json_limits {
	size_t bytes, depth, tokens;
};
/* {AZ_LIM_REQUEST_BYTES, AZ_LIM_REQUEST_DEPTH, AZ_LIM_JSON_TOKENS} */
extern AZ_API const struct az_json_limits az_json_request_limits;
/* For what our own processes wrote (histories, manifests): 16 MiB, 32, 1 M. */
extern AZ_API const struct az_json_limits az_json_own_limits;

/* Grammar and limits only; keeps nothing. AZ_EINVAL (malformed, a key twice in an
   object) or AZ_ETOOBIG (size, depth, count), with the byte offset in the text. */
AZ_API AZ_MUST_CHECK enum az_code az_json_scan(
    struct az_str text, const struct az_json_limits *lim, struct az_err *err);
/* *out is yours: az_json_free(). */
AZ_API AZ_MUST_CHECK enum az_code az_json_parse(
    struct az_str text, const struct az_json_limits *lim, struct az_json **out, struct az_err *err);
/* As az_json_parse(), freed with the arena. */
AZ_API AZ_MUST_CHECK enum az_code az_json_parse_in(struct az_arena *a, struct az_str text,
    const struct az_json_limits *lim, const struct az_json **out, struct az_err *err);
AZ_API void az_json_free(struct az_json *j);

/* All getters accept NULL (treated as JSON null) and the wrong type (not found). */
AZ_API enum az_json_type az_json_type(const struct az_json *j);
AZ_API const struct az_json *az_json_get(const struct az_json *obj, const char *key);
AZ_API size_t az_json_len(const struct az_json *j); /* members or elements */
AZ_API const struct az_json *az_json_at(const struct az_json *arr, size_t i);
/* Walk an object: start with *it = NULL; false at the end. */
AZ_API bool az_json_each(
    const struct az_json *obj, void **it, struct az_str *key, const struct az_json **val);
AZ_API struct az_str az_json_str(const struct az_json *j); /* "" unless a string */
AZ_API bool az_json_is_str(const struct az_json *j);
AZ_API AZ_MUST_CHECK bool az_json_i64(const struct az_json *j, int64_t min, int64_t max,
    int64_t *out); /* integers only, no rounding */
AZ_API double az_json_num(const struct az_json *j, double otherwise);
AZ_API bool az_json_bool(const struct az_json *j, bool otherwise);
/* Shorthands on a member: the string or dflt; the integer or dflt. */
AZ_API struct az_str az_json_gets(const struct az_json *obj, const char *key);
AZ_API int64_t az_json_geti(const struct az_json *obj, const char *key, int64_t dflt);
AZ_API bool az_json_getb(const struct az_json *obj, const char *key, bool dflt);

/*
 * Writer. Keeps commas and nesting right; strings are escaped, bytes that are not
 * UTF-8 become U+FFFD. Failures stick in the buffer.
 */
struct az_jw {
	struct az_buf *b;
	unsigned depth;
	uint64_t comma; /* bit per level: a value stands before */
	bool key;       /* a key was just written */
};
AZ_API void az_jw_init(struct az_jw *w, struct az_buf *b);
AZ_API void az_jw_obj(struct az_jw *w);             /* { */
AZ_API void az_jw_arr(struct az_jw *w);             /* [ */
AZ_API void az_jw_end(struct az_jw *w, char close); /* '}' or ']' */
AZ_API void az_jw_key(struct az_jw *w, const char *key);
AZ_API void az_jw_keys(struct az_jw *w, struct az_str key);
AZ_API void az_jw_str(struct az_jw *w, struct az_str s);
AZ_API void az_jw_cstr(struct az_jw *w, const char *s); /* NULL -> null */
AZ_API void az_jw_int(struct az_jw *w, int64_t v);
AZ_API void az_jw_double(struct az_jw *w, double v);
AZ_API void az_jw_bool(struct az_jw *w, bool v);
AZ_API void az_jw_null(struct az_jw *w);
AZ_API void az_jw_raw(struct az_jw *w, struct az_str json);        /* trusted JSON text */
AZ_API void az_jw_value(struct az_jw *w, const struct az_json *j); /* re-serialised */
/* key + value in one */
AZ_API void az_jw_ks(struct az_jw *w, const char *key, struct az_str s);
AZ_API void az_jw_kc(struct az_jw *w, const char *key, const char *s);
AZ_API void az_jw_ki(struct az_jw *w, const char *key, int64_t v);
AZ_API void az_jw_kb(struct az_jw *w, const char *key, bool v);
AZ_API void az_jw_kn(struct az_jw *w, const char *key); /* null */
/* A time of day, ms since 1970, as RFC 3339; null for 0 and less. */
AZ_API void az_jw_kt(struct az_jw *w, const char *key, int64_t ms);
AZ_API void az_jw_kraw(struct az_jw *w, const char *key, struct az_str json);

#endif
