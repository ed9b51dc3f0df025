/*
 * Does a quote occur in a text, which comes in pieces? Runs of blanks count as one, at
 * the ends as none. Memory is bounded by the quote, not by the text.
 */
#ifndef AZ_WORK_QUOTE_H
#define AZ_WORK_QUOTE_H

#include <azlon/buf.h>

/* A shorter quote occurs anywhere by chance: it must be the whole text. */
#define QUOTE_MIN 4

struct quote {
	struct az_buf want; /* folded */
	struct az_buf seen; /* folded end of the text so far, in which it could begin */
	bool blank;         /* the text so far ends in blanks */
	bool found, never;
};

/* quote is copied; release in any case. */
void quote_init(struct quote *q, struct az_str quote);
void quote_release(struct quote *q);
/* The next piece; any split of the same text finds the same. */
AZ_MUST_CHECK enum az_code quote_push(struct quote *q, struct az_str piece, struct az_err *err);
/* The text is over: was it there? Ready for another text then. */
bool quote_end(struct quote *q);

#endif
