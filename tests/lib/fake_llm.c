#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_llm.h"

static enum az_code
llm_complete(struct az_llm *p, const struct az_llm_req *q, struct az_arena *a,
    struct az_llm_reply *r, struct az_err *err)
{
	struct fake_llm *l = (struct fake_llm *)(void *)p;
	const struct fake_answer *x;
	struct az_buf *b;

	if (l->calls == 64)
		abort();
	b = &l->seen[l->calls];
	az_buf_init(b, (size_t)8 << 20);
	for (size_t i = 0; i < q->n_msgs; i++)
		az_buf_addf(b, "[%s]\n%.*s\n", q->msgs[i].role, AZ_FMT(q->msgs[i].text));
	l->temperature[l->calls] = q->temperature;
	snprintf(l->model[l->calls], sizeof(l->model[0]), "%.*s", AZ_FMT(q->model));
	l->tries[l->calls] = q->tries;
	l->total_ms[l->calls] = q->total_ms;
	l->schema[l->calls++] = q->schema.n > 0;
	if (q->cancelled && q->cancelled(q->arg))
		return az_fail(err, AZ_ECANCELLED, "fake", "cancelled");
	if (l->next >= l->n) {
		az_fail(err, AZ_ECONFLICT, "fake", "no recording for this prompt");
		return az_err_reason(err, "no_recording");
	}
	x = &l->answers[l->next++];
	if (x->fail == AZ_ECANCELLED && x->text && q->progress)
		q->progress(q->arg, strlen(x->text));
	if (x->fail != AZ_OK) {
		az_fail(err, x->fail, "fake", "the model failed");
		return az_err_reason(err, x->reason ? x->reason : "llm_unavailable");
	}
	r->text = az_arena_str(a, az_str_c(x->text));
	snprintf(r->finish, sizeof(r->finish), "%s", x->finish ? x->finish : "stop");
	snprintf(r->model, sizeof(r->model), "fake-1");
	snprintf(r->provenance, sizeof(r->provenance), "recording");
	r->tokens_in = 100;
	r->tokens_out = 50;
	r->calls = 1;
	return AZ_OK;
}

static enum az_code
llm_ping(struct az_llm *p, struct az_err *err)
{
	(void)p;
	(void)err;
	return AZ_OK;
}

static void
llm_close(struct az_llm *p)
{
	(void)p;
}

static const struct az_llm_ops llm_ops = {"fake", llm_complete, llm_ping, llm_close};

void
fake_llm_init(struct fake_llm *l, const struct fake_answer *a, size_t n)
{
	memset(l, 0, sizeof(*l));
	l->base.ops = &llm_ops;
	l->answers = a;
	l->n = n;
}

void
fake_llm_release(struct fake_llm *l)
{
	for (int i = 0; i < l->calls; i++)
		az_buf_release(&l->seen[i]);
}

const char *
fake_llm_seen(const struct fake_llm *l, int call)
{
	return call < l->calls && l->seen[call].p ? l->seen[call].p : "";
}
