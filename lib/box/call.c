/* Requests to the agent that have a few answers: files and names. */
#include "box.h"

#include <stdlib.h>

#define CALL_MAX AZ_MIB(8)

enum az_code
agent_error(enum aw_fail kind, struct az_str text, const char *op, struct az_err *err)
{
	static const struct {
		enum az_code code;
		const char *reason;
	} map[] = {
	    [AF_INVAL] = {AZ_EINVAL, ""},
	    [AF_NOTFOUND] = {AZ_ENOTFOUND, ""},
	    [AF_EXISTS] = {AZ_ECONFLICT, ""},
	    [AF_PERM] = {AZ_EPERM, ""},
	    [AF_SPACE] = {AZ_EIO, "no_space"},
	    [AF_NOTDIR] = {AZ_EINVAL, ""},
	    [AF_ISDIR] = {AZ_EINVAL, "is_dir"},
	    [AF_LOOP] = {AZ_EPRECOND, ""},
	    [AF_LIMIT] = {AZ_ETOOBIG, "limit"},
	    [AF_IO] = {AZ_EIO, ""},
	    [AF_UNSUPPORTED] = {AZ_EUNSUPPORTED, ""},
	};
	unsigned k = (unsigned)kind;
	enum az_code c;

	if (k < AF_INVAL || k > AF_UNSUPPORTED)
		k = AF_IO;
	c = az_fail(err, map[k].code, op, "%.*s", AZ_FMT(az_str_sub(text, 0, 230)));
	if (map[k].reason && map[k].reason[0])
		az_err_reason(err, map[k].reason);
	return c;
}

static enum az_code
open_call(struct box *b, struct call *c, enum aw_type type, struct az_str payload, bool bulk,
    struct az_err *err)
{
	enum az_code rc;

	*c = (struct call){0};
	az_buf_init(&c->in, CALL_MAX);
	az_buf_init(&c->cur, AW_MAX + AW_HEAD);
	az_cond_init(&c->cond);
	pthread_mutex_lock(&b->mu);
	c->id = b->next_id++;
	if (b->next_id >= AW_NET)
		b->next_id = 1;
	c->next = b->calls;
	b->calls = c;
	rc = link_send(b, c->id, type, payload, (struct az_str){0}, bulk, err);
	pthread_mutex_unlock(&b->mu);
	return rc;
}

enum az_code
call_open(
    struct box *b, struct call *c, enum aw_type type, struct az_str payload, struct az_err *err)
{
	enum az_code rc = open_call(b, c, type, payload, true, err);

	if (rc)
		call_close(b, c, false);
	return rc;
}

enum az_code
call_ask(struct box *b, struct call *c, enum aw_type type, struct az_str payload, int64_t ms,
    struct aw_frame *f, struct az_err *err)
{
	int64_t deadline = az_boot_ms() + ms;
	enum az_code rc = open_call(b, c, type, payload, false, err);

	return rc ? rc : call_next(b, c, deadline, f, err);
}

enum az_code
call_next(
    struct box *b, struct call *c, int64_t deadline_ms, struct aw_frame *f, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	size_t used, n;
	const char *p;

	pthread_mutex_lock(&b->mu);
	while (c->at == c->in.n && !c->overflow && !box_away(b))
		if (!az_cond_wait(&c->cond, &b->mu, deadline_ms)) {
			rc = az_fail(
			    err, AZ_ETIMEOUT, "box.call", "the sandbox did not answer in time");
			goto out;
		}
	if (c->overflow) {
		rc = c->in.fail == AZ_ENOMEM
			 ? az_buf_check(&c->in, "box.call", err)
			 : az_fail(err, AZ_ETOOBIG, "box.call", "the answer is too long");
		goto out;
	}
	if (c->at == c->in.n) {
		rc = away(b, "box.call", err);
		goto out;
	}
	/* call_frame() put whole frames in; hand out a copy of the first */
	az_buf_reset(&c->cur);
	if (aw_next((const unsigned char *)c->in.p + c->at, c->in.n - c->at, f, &used) != 1) {
		rc = az_fail(err, AZ_EINTERNAL, "box.call", "torn frame");
		goto out;
	}
	az_buf_add(&c->cur, c->in.p + c->at, used);
	c->at += used;
	if (c->at == c->in.n || c->at > CALL_MAX / 2) {
		az_buf_shift(&c->in, c->at);
		c->at = 0;
	}
	if ((rc = az_buf_check(&c->cur, "box.call", err)))
		goto out;
	aw_next((const unsigned char *)c->cur.p, c->cur.n, f, &used);
	if (f->type == AW_FAIL) {
		enum aw_fail kind = (enum aw_fail)aw_u8(&f->body);

		p = aw_text(&f->body, &n);
		rc = agent_error(kind, az_str_n(p, n), "box.agent", err);
	}
out:
	pthread_mutex_unlock(&b->mu);
	return rc;
}

bool
call_pending(struct box *b, struct call *c)
{
	bool yes;

	pthread_mutex_lock(&b->mu);
	yes = c->at < c->in.n || c->overflow || box_away(b);
	pthread_mutex_unlock(&b->mu);
	return yes;
}

void
call_close(struct box *b, struct call *c, bool abort_it)
{
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&b->mu);
	for (struct call **pp = &b->calls; *pp; pp = &(*pp)->next)
		if (*pp == c) {
			*pp = c->next;
			break;
		}
	if (abort_it)
		rc = link_send(
		    b, c->id, AW_ABORT, (struct az_str){0}, (struct az_str){0}, false, NULL);
	(void)rc; /* a dead link has nothing to give up */
	pthread_mutex_unlock(&b->mu);
	az_buf_release(&c->in);
	az_buf_release(&c->cur);
	pthread_cond_destroy(&c->cond);
}

/* What the pairs take, r being moved past them. */
static size_t
meta_bytes(struct aw_rd *r)
{
	uint32_t count = aw_u32(r);
	size_t all = r->n, n;

	if (count > AW_META_MAX)
		r->bad = true;
	for (uint32_t i = 0; i < 2 * count && !r->bad; i++)
		(void)aw_text(r, &n);
	return r->bad ? 0 : all - r->n;
}

bool
entry_parse(struct aw_rd r, struct entry *e)
{
	const char *p;

	*e = (struct entry){0};
	e->kind = aw_u8(&r);
	e->link = aw_u8(&r);
	e->mode = aw_u32(&r) & 07777;
	e->uid = aw_u32(&r);
	e->gid = aw_u32(&r);
	e->size = aw_u64(&r);
	e->mtime_ns = aw_u64(&r);
	p = aw_text(&r, &e->path.n);
	e->path.p = p;
	p = aw_text(&r, &e->target.n);
	e->target.p = p;
	e->meta = r;
	(void)aw_u32(&e->meta);
	e->meta.n = meta_bytes(&r);
	return !r.bad && !r.n && e->kind <= AK_DIR && e->path.n && e->path.p[0] == '/' &&
	       e->size <= INT64_MAX && e->mtime_ns <= INT64_MAX;
}
