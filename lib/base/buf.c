#include <stdio.h>
#include <stdlib.h>
#include <azlon/buf.h>

void
az_buf_init(struct az_buf *b, size_t max_bytes)
{
	*b = (struct az_buf){.max = max_bytes};
}

void
az_buf_release(struct az_buf *b)
{
	free(b->p);
	az_buf_init(b, b->max);
}

void
az_buf_reset(struct az_buf *b)
{
	b->n = 0;
	b->fail = AZ_OK;
	if (b->p)
		b->p[0] = '\0';
}

/* Room for n more bytes and the NUL, or the failure sticks. */
static bool
room(struct az_buf *b, size_t n)
{
	size_t want, cap;
	char *p;

	if (b->fail)
		return false;
	if (n > b->max || b->n > b->max - n) {
		b->fail = AZ_ETOOBIG;
		return false;
	}
	want = b->n + n + 1;
	if (want <= b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap += cap / 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	p = realloc(b->p, cap);
	if (!p) {
		b->fail = AZ_ENOMEM;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void
az_buf_add(struct az_buf *b, const void *p, size_t n)
{
	if (!room(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void
az_buf_adds(struct az_buf *b, struct az_str s)
{
	az_buf_add(b, s.p, s.n);
}

void
az_buf_addc(struct az_buf *b, const char *c)
{
	az_buf_add(b, c, c ? strlen(c) : 0);
}

void
az_buf_addch(struct az_buf *b, char c)
{
	az_buf_add(b, &c, 1);
}

void
az_buf_vaddf(struct az_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->fail = AZ_ENOMEM;
		return;
	}
	if (!room(b, (size_t)n))
		return;
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

void
az_buf_addf(struct az_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	az_buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void
az_buf_cut(struct az_buf *b, size_t n)
{
	if (n >= b->n)
		return;
	b->n = n;
	b->p[n] = '\0';
}

void
az_buf_shift(struct az_buf *b, size_t n)
{
	if (n == 0)
		return;
	if (n >= b->n) {
		az_buf_cut(b, 0);
		return;
	}
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

struct az_str
az_buf_str(const struct az_buf *b)
{
	if (b->fail || !b->p)
		return AZ_S("");
	return (struct az_str){b->p, b->n};
}

enum az_code
az_buf_check(const struct az_buf *b, const char *op, struct az_err *err)
{
	if (b->fail == AZ_ETOOBIG)
		return az_fail(err, AZ_ETOOBIG, op, "more than %zu bytes", b->max);
	if (b->fail)
		return az_fail(err, b->fail, op, "out of memory");
	return AZ_OK;
}

enum az_code
az_buf_take(struct az_buf *b, char **out, size_t *n, struct az_err *err)
{
	enum az_code rc;

	az_buf_add(b, NULL, 0); /* an empty result is a string too */
	rc = az_buf_check(b, "buf.take", err);
	if (rc)
		return rc;
	*out = b->p;
	if (n)
		*n = b->n;
	b->p = NULL;
	az_buf_init(b, b->max);
	return AZ_OK;
}
