/* The table of boxes: finding, references, deadlines. */
#include "box.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

bool
thread_start(pthread_t *t, void *(*fn)(void *), void *arg, bool detached)
{
	pthread_attr_t a;
	sigset_t all, old;
	bool ok;

	/* signals are the accept loop's: one that lands here would end the process */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, AZ_KIB(256));
	if (detached)
		pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	ok = !pthread_create(t, &a, fn, arg);
	pthread_attr_destroy(&a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

enum az_code
gone(const struct box *b, struct az_err *err, const char *op)
{
	enum az_code c =
	    az_fail(err, AZ_EUNAVAIL, op, BOX_NOT_FOUND "%s%s", b->why[0] ? ": " : "", b->why);

	az_err_reason(err, BOX_GONE);
	return c;
}

bool
box_id_ok(const char *name)
{
	return name[0] == 'i' && strlen(name) == BOX_ID;
}

struct box *
box_find(struct az_box_server *s, struct az_str id)
{
	ptrdiff_t dash = az_str_chr(id, '-');
	struct box *b;

	/* older clients still append "-<client id>" */
	if (dash >= 0)
		id = az_str_sub(id, 0, (size_t)dash);
	pthread_mutex_lock(&s->mu);
	for (b = s->boxes; b; b = b->next)
		if (az_str_eqc(id, b->id)) {
			b->refs++;
			break;
		}
	pthread_mutex_unlock(&s->mu);
	return b;
}

static void
box_free(struct box *b)
{
	watchers_free(b);
	while (b->procs) {
		struct proc *p = b->procs;

		b->procs = p->next;
		proc_free(p);
	}
	for (size_t i = 0; i < b->allows; i++)
		free(b->allow[i]);
	if (b->sock >= 0)
		close(b->sock);
	if (b->wake >= 0)
		close(b->wake);
	if (b->init_fd >= 0)
		close(b->init_fd);
	az_buf_release(&b->out);
	journal_free(&b->journal);
	az_json_free(b->req);
	pthread_cond_destroy(&b->cond);
	pthread_mutex_destroy(&b->mu);
	free(b);
}

void
box_unref(struct box *b)
{
	if (--b->refs == 0)
		box_free(b);
}

bool
box_touch(struct box *b, int64_t timeout_s, bool only_extend)
{
	struct az_box_server *s = b->srv;
	int64_t at = az_boot_ms() + timeout_s * 1000;
	bool runs;

	pthread_mutex_lock(&s->mu);
	/* so that a pause and a longer life cannot cross */
	pthread_mutex_lock(&b->mu);
	runs = b->state == BOX_RUNNING && !b->dead;
	pthread_mutex_unlock(&b->mu);
	if (runs && (!only_extend || at > b->deadline_ms)) {
		b->deadline_ms = at;
		b->end_ms = az_wall_ms() + timeout_s * 1000;
		pthread_cond_broadcast(&s->changed); /* the reaper looks again */
	}
	pthread_mutex_unlock(&s->mu);
	return runs;
}
