/*
 * The course of a call: tried again by the table of s3_rules.c, with the clock, the region
 * and temporary keys put right when the server says that they are wrong.
 */
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "s3_send.h"

#define TRIES 5
#define BASE_MS 50
#define CAP_MS 5000
#define AFTER_MAX_MS 20000 /* a server that wants more time gets no second try */
#define COURSE_MS 60000    /* no try begins later: what stalls is not asked five times */
/* Retries of a process, thousandths: each request adds a tenth of one. */
#define TOKENS_MAX 50000
#define TOKEN 1000
#define SKEW_MS 600000 /* beyond it a refusal without a word may be about the clock */

static bool
region_learn(struct s3 *s, const char *region, const char *signed_for)
{
	if (!region[0] || strlen(region) >= sizeof s->region ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(region) ||
	    strcmp(region, signed_for) == 0)
		return false;
	pthread_mutex_lock(&s->mu);
	snprintf(s->region, sizeof s->region, "%s", region);
	pthread_mutex_unlock(&s->mu);
	return true;
}

/* ---- trying again ---- */

struct course {
	bool clock, region, token; /* put right already */
	int retries;
	int64_t until_ms; /* boot clock */
};

static bool
spend(struct s3 *s)
{
	int64_t have = s->tokens;

	while (have >= TOKEN)
		if (atomic_compare_exchange_weak(&s->tokens, &have, have - TOKEN))
			return true;
	return false;
}

static void
earn(struct s3 *s)
{
	int64_t have = s->tokens;

	while (have < TOKENS_MAX)
		if (atomic_compare_exchange_weak(&s->tokens, &have, have + TOKEN / 10))
			return;
}

bool
s3_pause(struct s3 *s, int *retries, int64_t after_ms)
{
	int64_t cap = BASE_MS;

	if (*retries + 1 >= TRIES || after_ms > AFTER_MAX_MS || !spend(s))
		return false;
	for (int i = 0; i < *retries && cap < CAP_MS; i++)
		cap *= 2;
	++*retries;
	/* full jitter: many clients of one server come back spread out */
	cap = (int64_t)az_random_below((uint64_t)cap) + 1;
	(void)poll(NULL, 0, (int)(after_ms > cap ? after_ms : cap));
	return true;
}

static bool
pause_(struct s3 *s, struct course *k, int64_t after_ms)
{
	return az_boot_ms() + after_ms < k->until_ms && s3_pause(s, &k->retries, after_ms);
}

static bool
fix_clock(struct s3 *s, const struct s3_attempt *t, struct course *k)
{
	int64_t theirs = s3_attempt_date_ms(t);

	if (k->clock || !theirs)
		return false;
	s->skew_ms = theirs - az_wall_ms();
	return k->clock = true;
}

static bool
fix_region(struct s3 *s, const struct s3_attempt *t, const struct s3_reply *r, struct course *k)
{
	if (k->region || !region_learn(s, r->error.region, t->region))
		return false;
	return k->region = true;
}

/* A HEAD was refused without a word: is it for the region? Then a GET is told, and learns it. */
static bool
ask_region(struct s3 *s, const struct s3_call *c, const struct s3_attempt *t,
    const struct s3_reply *r, struct course *k)
{
	struct s3_kv q = {AZ_S("max-keys"), AZ_S("1")};
	struct s3_call list = {
	    .method = "GET", .bucket = c->bucket, .query = &q, .n_query = 1, .as_root = true};
	struct s3_reply told;
	char now[64];

	if (k->region || r->status != 400 || strcmp(c->method, "HEAD") != 0)
		return false;
	k->region = true;
	(void)!s3_do(s, &list, &told, NULL);
	s3_region_get(s, now);
	return strcmp(now, t->region) != 0;
}

/* A server that was set up anew knows none of the sessions it gave before. */
static bool
fix_token(struct s3 *s, const struct s3_call *c, const struct s3_attempt *t, struct course *k)
{
	if (k->token || !t->session[0])
		return false;
	s3_cred_forget(s, c->bucket, t->session);
	return k->token = true;
}

static bool
clock_is_off(struct s3 *s, const struct s3_attempt *t)
{
	int64_t theirs = s3_attempt_date_ms(t), ours = az_wall_ms() + s->skew_ms;

	return theirs && (theirs > ours + SKEW_MS || theirs < ours - SKEW_MS);
}

/* Refused. An answer to HEAD does not say whether it is about the keys, the clock or the
   region, and neither does every server else. */
static bool
fix_refusal(struct s3 *s, const struct s3_call *c, const struct s3_attempt *t,
    const struct s3_reply *r, struct course *k)
{
	const char *code = r->error.code;

	if (r->status != 400 && r->status != 401 && r->status != 403)
		return false;
	if (!code[0] && ((clock_is_off(s, t) && fix_clock(s, t, k)) || fix_region(s, t, r, k) ||
			    ask_region(s, c, t, r, k)))
		return true;
	return (!code[0] || !strcmp(code, "InvalidAccessKeyId") ||
		   !strcmp(code, "SignatureDoesNotMatch")) &&
	       r->status != 400 && fix_token(s, c, t, k);
}

/* The server answered: is there a point in another try? */
static bool
once_more(struct s3 *s, const struct s3_call *c, const struct s3_attempt *t,
    const struct s3_reply *r, struct course *k)
{
	switch (s3_next(r->status, r->error.code)) {
	case S3_RETRY:
		return pause_(s, k, az_http_retry_after_ms(&t->resp));
	case S3_FIX_CLOCK:
		return fix_clock(s, t, k);
	case S3_FIX_REGION:
		return fix_region(s, t, r, k);
	case S3_FIX_TOKEN:
		return fix_token(s, c, t, k);
	case S3_GIVE_UP:
		return fix_refusal(s, c, t, r, k);
	case S3_DONE:
		break;
	}
	return false;
}

/* One try: sends it, and judges what came back. *again: it is worth another. */
static enum az_code
turn(struct s3_attempt *t, struct s3 *s, const struct s3_call *c, struct s3_reply *r,
    struct course *k, struct az_http_stream **pulled, bool *again, struct az_err *err)
{
	int tries = r->tries;
	enum az_code rc;

	*again = false;
	memset(r, 0, sizeof *r);
	r->tries = tries + 1;
	rc = s3_send(t, s, c, r, pulled, err);
	if (!rc && s3_next(r->status, r->error.code) == S3_DONE)
		return AZ_OK;
	if (pulled) {
		az_http_close(*pulled);
		*pulled = NULL;
	}
	if (!rc) {
		*again = once_more(s, c, t, r, k);
		return s3_rc(r, "s3.call", err);
	}
	if (!t->req.url || (rc != AZ_EUNAVAIL && rc != AZ_EUPSTREAM && rc != AZ_ETIMEOUT))
		return rc; /* never sent, or not the server's fault */
	*again = pause_(s, k, 0);
	if (rc == AZ_EUPSTREAM && !t->nonsense)
		rc = err->code = AZ_EUNAVAIL; /* cut off: its state */
	return rc;
}

static struct course
course(struct s3 *s, const struct s3_call *c)
{
	earn(s);
	return (struct course){
	    .until_ms = az_boot_ms() + (c->within_ms ? c->within_ms : COURSE_MS)};
}

enum az_code
s3_do(struct s3 *s, const struct s3_call *c, struct s3_reply *r, struct az_err *err)
{
	struct az_err local = AZ_ERR_INIT;
	struct course k = course(s, c);
	struct s3_attempt t = {.dropped = 0};
	bool again;
	enum az_code rc;

	memset(r, 0, sizeof *r);
	do {
		rc = turn(&t, s, c, r, &k, NULL, &again, err ? err : &local);
		s3_attempt_release(&t);
	} while (again);
	return rc;
}

/* ---- a body that is pulled ---- */

struct s3_body {
	struct s3_attempt t; /* lives as long as its stream */
	struct az_http_stream *stream;
};

enum az_code
s3_open(struct s3 *s, const struct s3_call *c, struct s3_reply *r, struct s3_body **out,
    struct az_err *err)
{
	struct az_err local = AZ_ERR_INIT;
	struct s3_body *b = calloc(1, sizeof *b);
	struct course k = course(s, c);
	bool again = false;
	enum az_code rc = AZ_OK;

	*out = NULL;
	memset(r, 0, sizeof *r);
	if (!b)
		return az_fail(err, AZ_ENOMEM, "s3.open", "out of memory");
	do {
		s3_attempt_release(&b->t);
		rc = turn(&b->t, s, c, r, &k, &b->stream, &again, err ? err : &local);
	} while (again);
	if (rc)
		s3_body_close(b);
	else
		*out = b;
	return rc;
}

enum az_code
s3_body_read(struct s3_body *b, char *p, size_t n, size_t *got, struct az_err *err)
{
	return az_http_read(b->stream, p, n, got, err);
}

void
s3_body_close(struct s3_body *b)
{
	if (!b)
		return;
	az_http_close(b->stream);
	s3_attempt_release(&b->t);
	free(b);
}
