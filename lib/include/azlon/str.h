/*
 * Slices: struct az_str is a borrowed run of bytes. It may hold NULs, is not
 * terminated and is never freed. {NULL, 0} is the empty string.
 */
#ifndef AZLON_STR_H
#define AZLON_STR_H

#include <stddef.h>
#include <string.h>
#include <azlon/err.h>

struct az_str {
	const char *p;
	size_t n;
};

#define AZ_S(lit) ((struct az_str){"" lit, sizeof(lit) - 1})
/* For printf: "%.*s", AZ_FMT(s) */
#define AZ_FMT(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct az_str
az_str_c(const char *c)
{
	return (struct az_str){c, c ? strlen(c) : 0};
}

static inline struct az_str
az_str_n(const void *p, size_t n)
{
	return (struct az_str){(const char *)p, n};
}

AZ_API bool az_str_eq(struct az_str a, struct az_str b);
AZ_API bool az_str_eqc(struct az_str a, const char *c);
/* ASCII case folded. */
AZ_API bool az_str_ieq(struct az_str a, struct az_str b);
/* <0, 0, >0 by bytes, shorter first. */
AZ_API int az_str_cmp(struct az_str a, struct az_str b);
AZ_API bool az_str_starts(struct az_str s, struct az_str prefix);
AZ_API bool az_str_ends(struct az_str s, struct az_str suffix);
/* Offset of needle in s at or after from, or -1. */
AZ_API ptrdiff_t az_str_find(struct az_str s, struct az_str needle, size_t from);
/* Offset of the first / last c, or -1. */
AZ_API ptrdiff_t az_str_chr(struct az_str s, char c);
AZ_API ptrdiff_t az_str_rchr(struct az_str s, char c);
/* Bytes [from, to) clipped to s. */
AZ_API struct az_str az_str_sub(struct az_str s, size_t from, size_t to);
/* Without blanks, tabs, CR and LF at both ends. */
AZ_API struct az_str az_str_trim(struct az_str s);
/*
 * Cut the part before the first sep off *rest and return it; *rest becomes what
 * follows (or empty). Returns false when *rest was used up before the call, i.e.
 * rest->p is NULL: "a,b," yields "a", "b", "".
 */
AZ_API bool az_str_cut(struct az_str *rest, char sep, struct az_str *part);
/* Next line without its LF or CRLF; false at the end. */
AZ_API bool az_str_line(struct az_str *rest, struct az_str *line);
/* Decimal, optional '-', nothing else around it, within [min, max]. */
AZ_API AZ_MUST_CHECK bool az_str_to_i64(struct az_str s, int64_t min, int64_t max, int64_t *out);
/* Strict UTF-8: no overlong forms, no surrogates, <= U+10FFFF. */
AZ_API bool az_str_utf8_ok(struct az_str s);
/* Copy with a NUL for calls that want one; malloc, owned; NULL when out of memory
   or when s holds a NUL. */
AZ_API char *az_str_dup(struct az_str s);

#endif
