/*
 * Growing buffer. It cannot exist without a ceiling. Appends return nothing: the
 * first failure (ceiling, memory) sticks, later appends do nothing, and
 * az_buf_check() or az_buf_take() reports it.
 */
#ifndef AZLON_BUF_H
#define AZLON_BUF_H

#include <stdarg.h>
#include <azlon/str.h>

struct az_buf {
	char *p; /* NUL-terminated whenever not NULL; the NUL is not counted */
	size_t n, cap;
	size_t max;        /* ceiling of n, bytes */
	enum az_code fail; /* AZ_OK, AZ_ETOOBIG or AZ_ENOMEM */
};

AZ_API void az_buf_init(struct az_buf *b, size_t max_bytes);
AZ_API void az_buf_release(struct az_buf *b);
/* Empty it, forget a failure, keep memory and ceiling. */
AZ_API void az_buf_reset(struct az_buf *b);

AZ_API void az_buf_add(struct az_buf *b, const void *p, size_t n);
AZ_API void az_buf_adds(struct az_buf *b, struct az_str s);
AZ_API void az_buf_addc(struct az_buf *b, const char *c);
AZ_API void az_buf_addch(struct az_buf *b, char c);
AZ_API void az_buf_addf(struct az_buf *b, const char *fmt, ...) AZ_PRINTF(2, 3);
AZ_API void az_buf_vaddf(struct az_buf *b, const char *fmt, va_list ap) AZ_PRINTF(2, 0);
/* Shorten to n bytes; no effect when already shorter. */
AZ_API void az_buf_cut(struct az_buf *b, size_t n);
/* Drop the first n bytes. */
AZ_API void az_buf_shift(struct az_buf *b, size_t n);

/* The contents, borrowed until the next append. Empty after a failure. */
AZ_API struct az_str az_buf_str(const struct az_buf *b);
/* The sticky failure as an error, AZ_OK if none. op as in az_fail(). */
AZ_API AZ_MUST_CHECK enum az_code az_buf_check(
    const struct az_buf *b, const char *op, struct az_err *err);
/* Move the contents out: *out is malloc'ed, NUL-terminated, yours. b is empty then. */
AZ_API AZ_MUST_CHECK enum az_code az_buf_take(
    struct az_buf *b, char **out, size_t *n, struct az_err *err);

#endif
