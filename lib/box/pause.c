/*
 * Pausing: a box that stands still and keeps everything it has, memory too. Its control
 * group freezes it; where none can, the agent stops its programs by signals.
 *
 * PAUSING and RESUMING belong to the thread that set them; everybody else waits.
 */
#include "box.h"

#include <sys/prctl.h>

#define FREEZE_MS 3000
#define ANSWER_MS 3000
#define END_MS 1000
#define STEADY_MS 15000
#define REST_MS 30000 /* more than a pause can take */
#define WAKE_S 60     /* least life of a box that a request woke */

bool
box_away(const struct box *b)
{
	return b->dead || b->state == BOX_PAUSED;
}

enum az_code
away(const struct box *b, const char *op, struct az_err *err)
{
	enum az_code c;

	if (b->dead)
		return gone(b, err, op);
	c = az_fail(err, AZ_EUNAVAIL, op, "the sandbox is paused");
	az_err_reason(err, "sandbox_paused");
	return c;
}

/* With b->mu held: until nobody changes its state. */
static enum az_code
steady(struct box *b, struct az_err *err)
{
	int64_t deadline = az_boot_ms() + STEADY_MS;

	while (!b->dead && (b->state == BOX_PAUSING || b->state == BOX_RESUMING))
		if (!az_cond_wait(&b->cond, &b->mu, deadline))
			return az_fail(
			    err, AZ_ECONFLICT, "box.pause", "sandbox '%s' is changing", b->id);
	return b->dead ? gone(b, err, "box.pause") : AZ_OK;
}

/* The new state, and what follows from it for time. */
static void
settle(struct box *b, enum box_state to, int64_t left_s)
{
	struct az_box_server *s = b->srv;
	int64_t now = az_boot_ms();

	pthread_mutex_lock(&s->mu);
	pthread_mutex_lock(&b->mu);
	if (to == BOX_PAUSED && left_s) {
		b->paused_ms = now;
		b->end_ms = az_wall_ms();
		b->deadline_ms = now + left_s * 1000;
		procs_wake(b);
		for (struct call *c = b->calls; c; c = c->next)
			pthread_cond_signal(&c->cond);
	} else if (left_s) {
		/* for its commands no time went by */
		for (struct proc *p = b->procs; p; p = p->next)
			if (p->stop_at)
				p->stop_at += now - b->paused_ms;
		b->end_ms = az_wall_ms() + left_s * 1000;
		b->deadline_ms = now + left_s * 1000;
		meter_reset(b);
	}
	b->state = to;
	pthread_cond_broadcast(&b->cond);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&b->mu);
	pthread_mutex_unlock(&s->mu);
}

static enum az_code
ask(struct box *b, enum aw_type type, struct az_str payload, struct az_err *err)
{
	struct aw_frame f;
	struct call c;
	enum az_code rc = call_ask(b, &c, type, payload, ANSWER_MS, &f, err);

	call_close(b, &c, false);
	if (rc == AZ_ETIMEOUT) {
		rc = az_fail(err, AZ_EUNAVAIL, "box.pause", "the sandbox does not answer");
		az_err_reason(err, "sandbox_unresponsive");
	}
	return rc;
}

/* The agent does what it is told in order: an answer means that all are ended. */
static enum az_code
end_programs(struct box *b, const char *why, struct az_err *err)
{
	enum az_code rc;

	pthread_mutex_lock(&b->mu);
	rc = procs_end(b, why, err);
	pthread_mutex_unlock(&b->mu);
	if (rc || (rc = ask(b, AW_USAGE, (struct az_str){0}, err)))
		return rc;
	/* and now that it is known of each; what nobody reads may hold that up */
	pthread_mutex_lock(&b->mu);
	procs_wait(b, az_boot_ms() + END_MS);
	pthread_mutex_unlock(&b->mu);
	return AZ_OK;
}

static enum az_code
freeze(struct box *b, bool on, struct az_err *err)
{
	const struct cgroups *c = &b->srv->cg;
	char byte = on, off = 0;
	enum az_code rc;

	if (cg_freezer(c) == CG_FREEZE_NONE) {
		rc = ask(b, AW_FREEZE, az_str_n(&byte, 1), err);
		if (!rc || !on)
			return rc;
		/* it may come to it yet */
		pthread_mutex_lock(&b->mu);
		if (link_send(b, b->next_id++, AW_FREEZE, az_str_n(&off, 1), (struct az_str){0},
			false, NULL))
			az_log(AZ_DEBUG, "box.pause", AZ_KC("err", "gone"));
		pthread_mutex_unlock(&b->mu);
		return rc;
	}
	if (on ? cg_freeze(c, b->id, az_boot_ms() + FREEZE_MS) : cg_thaw(c, b->id))
		return AZ_OK;
	rc = az_fail(
	    err, AZ_EUNAVAIL, "box.pause", "the sandbox does not %s", on ? "come to rest" : "wake");
	az_err_reason(err, "sandbox_unresponsive");
	return rc;
}

enum az_code
box_pause(struct box *b, const struct box_pause *how, struct az_err *err)
{
	enum az_code rc;
	bool dead;

	pthread_mutex_lock(&b->mu);
	rc = steady(b, err);
	if (!rc && b->state == BOX_PAUSED)
		rc = az_fail(
		    err, AZ_ECONFLICT, "box.pause", "sandbox '%s' is already paused", b->id);
	if (!rc)
		b->state = BOX_PAUSING;
	pthread_mutex_unlock(&b->mu);
	if (rc)
		return rc;
	if (!how->memory)
		rc = end_programs(b, "ended: the sandbox was paused without its memory", err);
	else if (how->healthy)
		rc = ask(b, AW_USAGE, (struct az_str){0}, err);
	if (!rc)
		rc = freeze(b, true, err);
	pthread_mutex_lock(&b->mu);
	dead = b->dead;
	b->pause_memory = how->memory;
	if (!rc && !dead)
		note(b, AZ_INFO, "sandbox paused", AZ_KC("by", how->by),
		    AZ_KC("mode", how->memory ? "full" : "filesystem"));
	pthread_mutex_unlock(&b->mu);
	settle(b, rc ? BOX_RUNNING : BOX_PAUSED, rc ? 0 : BOX_KEEP_S);
	if (!dead)
		return rc;
	/* killed meanwhile: whoever buries it must not wait for the frozen */
	cg_thaw(&b->srv->cg, b->id);
	return gone(b, err, "box.pause");
}

static enum az_code
wake_up(struct box *b, bool memory, int64_t timeout_s, const char *by, struct az_err *err)
{
	enum az_code rc = freeze(b, false, err);

	if (rc) {
		settle(b, BOX_PAUSED, 0);
		return rc;
	}
	if (!memory)
		rc = end_programs(b, "ended: the sandbox was resumed without its memory", err);
	settle(b, BOX_RUNNING, timeout_s);
	pthread_mutex_lock(&b->mu);
	note(b, AZ_INFO, "sandbox resumed", AZ_KC("by", by), AZ_KN("timeout", timeout_s));
	pthread_mutex_unlock(&b->mu);
	return rc;
}

enum az_code
box_resume(struct box *b, bool memory, int64_t timeout_s, const char *by, bool *was_paused,
    struct az_err *err)
{
	enum az_code rc;

	*was_paused = false;
	for (int i = 0; i < 3; i++) {
		pthread_mutex_lock(&b->mu);
		rc = steady(b, err);
		*was_paused = !rc && b->state == BOX_PAUSED;
		if (*was_paused)
			b->state = BOX_RESUMING;
		pthread_mutex_unlock(&b->mu);
		if (rc)
			return rc;
		if (*was_paused)
			return wake_up(b, memory, timeout_s, by, err);
		/* else somebody may pause it in between */
		if (box_touch(b, timeout_s, true))
			return AZ_OK;
	}
	return az_fail(err, AZ_ECONFLICT, "box.pause", "sandbox '%s' is changing", b->id);
}

bool
box_paused(struct box *b)
{
	bool yes;

	pthread_mutex_lock(&b->mu);
	yes = b->state == BOX_PAUSED;
	pthread_mutex_unlock(&b->mu);
	return yes;
}

bool
box_ready(struct box *b, bool wake)
{
	struct az_err err = AZ_ERR_INIT;
	bool ready, was_paused;

	pthread_mutex_lock(&b->mu);
	/* of one that died it is said later what of */
	ready = steady(b, &err) ? b->dead : b->state == BOX_RUNNING;
	pthread_mutex_unlock(&b->mu);
	if (ready || !wake || !b->auto_resume)
		return ready;
	return !box_resume(
	    b, true, b->ttl_s > WAKE_S ? b->ttl_s : WAKE_S, "traffic", &was_paused, &err);
}

/* ---- when its time is over ---- */

static void *
rest_main(void *arg)
{
	struct box *b = arg;
	struct az_box_server *s = b->srv;
	const struct box_pause how = {.memory = b->auto_pause_memory, .by = "timeout"};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	prctl(PR_SET_NAME, "box-rest");
	rc = box_pause(b, &how, &err);
	/* in conflict: somebody was faster */
	if (rc && rc != AZ_ECONFLICT) {
		az_log(AZ_WARN, "box.rest", AZ_KC("box", b->id), AZ_KE(&err));
		box_destroy(b, "expired", false);
	}
	box_unref(b);
	pthread_mutex_lock(&s->mu);
	s->pausers--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

bool
box_rest(struct box *b, int64_t now)
{
	enum box_state state;
	pthread_t t;

	pthread_mutex_lock(&b->mu);
	state = b->dead ? BOX_PAUSED : b->state;
	pthread_mutex_unlock(&b->mu);
	if (state == BOX_PAUSED || (state == BOX_RUNNING && !b->auto_pause))
		return false;
	b->deadline_ms = now + REST_MS;
	if (state != BOX_RUNNING)
		return true; /* who changes it sets the time, too */
	b->refs++;
	b->srv->pausers++;
	if (thread_start(&t, rest_main, b, true))
		return true;
	b->srv->pausers--;
	b->refs--;
	return false;
}
