/*
 * Connections that the sandbox refused to programs during one function: in the records
 * "run" and "verdict" for people, in the next prompt for the model. They are an extra: a
 * service that does not say them, or not now, makes nothing fail.
 */
#ifndef AZ_WORK_BLOCKED_H
#define AZ_WORK_BLOCKED_H

#include "box.h"

struct blocked {
	struct az_sb_blocked *v; /* by host and port */
	size_t n;
	/* of the sandbox id, what it had refused before; known false: nobody can tell */
	struct az_sb_blocked *before;
	size_t n_before;
	struct az_str id;
	bool known;
};

/* The sandbox is open, and programs are about to run. */
void blocked_begin(struct work_job *j, const struct work_box *x, struct blocked *b);
/* They have run, in x or in what came before it. */
void blocked_end(struct work_job *j, const struct work_box *x, struct blocked *b);
/* The member "blocked" of an open object, [{"host","port","count","why"}]; none if empty. */
void blocked_json(const struct blocked *b, struct az_jw *w);
/* "a.example:443, b.example:80 and 2 more", out of that member of a record. False: none. */
AZ_MUST_CHECK bool blocked_words(struct work_job *j, const struct az_json *list, struct az_buf *b);
/*
 * For the next prompt: what was refused in an attempt with these records (verdict may be
 * NULL), and what can be reached at all. Nothing where nothing was refused. What checks
 * asked for is left out when one of them is hidden.
 */
void blocked_prompt(
    struct work_job *j, const struct az_json *run, const struct az_json *verdict, struct az_buf *b);

#endif
