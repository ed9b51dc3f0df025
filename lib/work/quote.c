/* Searching for a quote in pieces: see quote.h. */
#include "quote.h"

#include <azlon/limits.h>

#define OP "work.quote"
#define PIECE AZ_KIB(32)

static bool
blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Append text to b with runs of blanks as one, none at the front; *open: it ended in some. */
static void
fold(struct az_buf *b, struct az_str text, bool *open)
{
	size_t i = 0;

	while (i < text.n) {
		size_t from = i;

		if (blank(text.p[i])) {
			*open = true;
			i++;
			continue;
		}
		while (i < text.n && !blank(text.p[i]))
			i++;
		if (*open && b->n > 0)
			az_buf_addch(b, ' ');
		*open = false;
		az_buf_adds(b, az_str_sub(text, from, i));
	}
}

static bool
whole_text(const struct quote *q)
{
	return q->want.n < QUOTE_MIN;
}

void
quote_init(struct quote *q, struct az_str quote)
{
	bool open = false;

	*q = (struct quote){.found = false};
	az_buf_init(&q->want, quote.n + 1);
	fold(&q->want, quote, &open);
	az_buf_init(&q->seen, 2 * (quote.n + PIECE));
}

void
quote_release(struct quote *q)
{
	az_buf_release(&q->want);
	az_buf_release(&q->seen);
}

enum az_code
quote_push(struct quote *q, struct az_str piece, struct az_err *err)
{
	enum az_code rc = az_buf_check(&q->want, OP, err);

	if (rc != AZ_OK)
		return rc;
	while (piece.n > 0 && !q->found && !q->never && q->want.n > 0) {
		struct az_str part = az_str_sub(piece, 0, PIECE);

		piece = az_str_sub(piece, part.n, piece.n);
		fold(&q->seen, part, &q->blank);
		rc = az_buf_check(&q->seen, OP, err);
		if (rc != AZ_OK)
			return rc;
		if (whole_text(q)) {
			q->never = q->seen.n > q->want.n;
			continue;
		}
		q->found = az_str_find(az_buf_str(&q->seen), az_buf_str(&q->want), 0) >= 0;
		if (q->seen.n >= q->want.n)
			az_buf_shift(&q->seen, q->seen.n - q->want.n + 1);
	}
	return AZ_OK;
}

bool
quote_end(struct quote *q)
{
	bool found = q->found;

	if (whole_text(q) && q->want.n > 0 && !q->never)
		found = az_str_eq(az_buf_str(&q->seen), az_buf_str(&q->want));
	az_buf_reset(&q->seen);
	q->blank = q->found = q->never = false;
	return found;
}
