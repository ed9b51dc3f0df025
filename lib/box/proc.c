/* Processes in a box as the server sees them: records, followers, credit, the end. */
#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD_HEAD 5
#define FOLLOWER_SOFT AZ_KIB(256) /* a follower this far behind holds the program */
#define START_MS 30000

/* ---- life ---- */

void
proc_free(struct proc *p)
{
	free(p->tag);
	free(p->config);
	az_buf_release(&p->ring);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->in_mu);
	free(p);
}

/* With b->mu held. */
static void
unref(struct box *b, struct proc *p)
{
	if (--p->refs)
		return;
	for (struct proc **pp = &b->procs; *pp; pp = &(*pp)->next)
		if (*pp == p) {
			*pp = p->next;
			b->nprocs--;
			break;
		}
	proc_free(p);
}

void
proc_unref(struct box *b, struct proc *p)
{
	pthread_mutex_lock(&b->mu);
	unref(b, p);
	pthread_mutex_unlock(&b->mu);
}

/* Forget exits nobody asked for in time. With b->mu held. */
static void
sweep(struct box *b)
{
	int64_t now = az_boot_ms();

	for (struct proc *p = b->procs, *next; p; p = next) {
		next = p->next;
		/* the list's own reference is the last one left */
		if (p->refs == 1 && (p->failed || (p->ended && now - p->ended_ms > PROC_KEEP_MS)))
			unref(b, p);
	}
}

struct proc *
proc_find(struct box *b, uint32_t pid, struct az_str tag, bool ended_too)
{
	struct proc *p;

	pthread_mutex_lock(&b->mu);
	sweep(b);
	for (p = b->procs; p; p = p->next)
		if (p->started && (ended_too || !p->ended) &&
		    (tag.p ? p->tag && az_str_eqc(tag, p->tag) : p->pid == pid)) {
			p->refs++;
			break;
		}
	pthread_mutex_unlock(&b->mu);
	return p;
}

/* ---- start ---- */

static void
add_env(struct az_buf *b, uint32_t *n, const char *k, struct az_str v)
{
	put_u32(b, (uint32_t)(strlen(k) + 1 + v.n));
	az_buf_addc(b, k);
	az_buf_addch(b, '=');
	az_buf_adds(b, v);
	++*n;
}

static bool
given(const struct az_json *a, const struct az_json *b, struct az_str key)
{
	void *it = NULL;
	struct az_str k;
	const struct az_json *v;

	while (az_json_each(a, &it, &k, &v))
		if (az_str_eq(k, key))
			return true;
	it = NULL;
	while (az_json_each(b, &it, &k, &v))
		if (az_str_eq(k, key))
			return true;
	return false;
}

static enum az_code
add_object(struct az_buf *out, uint32_t *n, const struct az_json *o, const struct az_json *over,
    struct az_err *err)
{
	void *it = NULL;
	struct az_str k;
	const struct az_json *v;

	while (az_json_each(o, &it, &k, &v)) {
		struct az_str s = az_json_str(v);

		if (!k.n || memchr(k.p, '=', k.n) || memchr(k.p, 0, k.n) || !az_json_is_str(v) ||
		    (s.n && memchr(s.p, 0, s.n)))
			return az_fail(err, AZ_EINVAL, "box.start",
			    "environment variable '%.*s' is not usable",
			    AZ_FMT(az_str_sub(k, 0, 80)));
		if (over && given(over, NULL, k))
			continue;
		put_u32(out, (uint32_t)(k.n + 1 + s.n));
		az_buf_adds(out, k);
		az_buf_addch(out, '=');
		az_buf_adds(out, s);
		++*n;
	}
	return AZ_OK;
}

/* Ours first, then the sandbox's, then the request's; each name once. */
static enum az_code
add_environment(struct box *b, const struct az_json *envs, struct az_buf *out, struct az_err *err)
{
	static const struct {
		const char *k, *v;
	} fixed[] = {
	    {"HOME", BOX_HOME},
	    {"USER", "user"},
	    {"LOGNAME", "user"},
	    {"PATH", BOX_PATH},
	    {"SHELL", "/bin/bash"},
	    {"LANG", "C.UTF-8"},
	    {"E2B_SANDBOX", "true"},
	    {"PIP_BREAK_SYSTEM_PACKAGES", "1"},
	    {"PIP_NO_CACHE_DIR", "1"},
	    {"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
	};
	static const char *const proxied[] = {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy",
	    "https_proxy", "ALL_PROXY", "PIP_PROXY", "npm_config_proxy", "npm_config_https_proxy"};
	struct az_buf v;
	uint32_t n = 0;
	size_t at = out->n;
	enum az_code rc;
	char proxy[64];

	az_buf_init(&v, AW_MAX);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (!given(b->envs, envs, az_str_c(fixed[i].k)))
			add_env(&v, &n, fixed[i].k, az_str_c(fixed[i].v));
	if (!given(b->envs, envs, AZ_S("E2B_SANDBOX_ID")))
		add_env(&v, &n, "E2B_SANDBOX_ID", az_str_c(b->id));
	if (!given(b->envs, envs, AZ_S("E2B_TEMPLATE_ID")))
		add_env(&v, &n, "E2B_TEMPLATE_ID", az_json_gets(b->req, "templateID"));
	if (net_on(b)) {
		snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", AW_PROXY_PORT);
		for (size_t i = 0; i < sizeof proxied / sizeof *proxied; i++)
			if (!given(b->envs, envs, az_str_c(proxied[i])))
				add_env(&v, &n, proxied[i], az_str_c(proxy));
		if (!given(b->envs, envs, AZ_S("NO_PROXY")))
			add_env(&v, &n, "NO_PROXY", AZ_S("localhost,127.0.0.1,::1"));
		if (!given(b->envs, envs, AZ_S("no_proxy")))
			add_env(&v, &n, "no_proxy", AZ_S("localhost,127.0.0.1,::1"));
	}
	rc = add_object(&v, &n, b->envs, envs, err);
	if (!rc)
		rc = add_object(&v, &n, envs, NULL, err);
	(void)at;
	put_u32(out, n);
	az_buf_adds(out, az_buf_str(&v));
	if (!rc)
		rc = az_buf_check(&v, "box.start", err);
	az_buf_release(&v);
	return rc;
}

static uint32_t
task_limit(const struct box *b)
{
	return (uint32_t)(b->srv->pids > 16 ? b->srv->pids - 4 : b->srv->pids);
}

static enum az_code
start_payload(struct box *b, const struct proc_start *s, struct az_buf *out, struct az_err *err)
{
	unsigned char head[5];
	size_t n = az_json_len(s->args);
	/* a few below the cgroup's limit (the kernel counts them in the box's own user
	   namespace), so that a box full of forks can still be told to end them */
	uint32_t nproc = task_limit(b);
	enum az_code rc;

	head[0] = (unsigned char)((s->has_stdin ? AW_FLAG_STDIN : 0) | (s->pty ? AW_FLAG_PTY : 0));
	aw_store(head + 1, s->cols, 2);
	aw_store(head + 3, s->rows, 2);
	az_buf_add(out, head, sizeof head);
	put_u32(out, nproc);
	put_text(out, s->cwd);
	put_u32(out, (uint32_t)n + 1);
	put_text(out, s->cmd);
	for (size_t i = 0; i < n; i++) {
		const struct az_json *a = az_json_at(s->args, i);
		struct az_str v = az_json_str(a);

		if (!az_json_is_str(a) || (v.n && memchr(v.p, 0, v.n)))
			return az_fail(err, AZ_EINVAL, "box.start", "argument %zu is not text", i);
		put_text(out, v);
	}
	if ((rc = add_environment(b, s->envs, out, err)))
		return rc;
	return az_buf_check(out, "box.start", err);
}

static char *
config_json(const struct proc_start *s)
{
	struct az_buf b;
	struct az_jw w;
	char *out = NULL;
	size_t n;

	az_buf_init(&b, AZ_KIB(512));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "cmd", s->cmd);
	if (az_json_len(s->args)) {
		az_jw_key(&w, "args");
		az_jw_value(&w, s->args);
	}
	if (az_json_len(s->envs)) {
		az_jw_key(&w, "envs");
		az_jw_value(&w, s->envs);
	}
	if (s->cwd.n)
		az_jw_ks(&w, "cwd", s->cwd);
	az_jw_end(&w, '}');
	if (az_buf_take(&b, &out, &n, NULL))
		out = NULL;
	az_buf_release(&b);
	return out;
}

static struct proc *
proc_new(const struct proc_start *s)
{
	struct proc *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	pthread_mutex_init(&p->in_mu, NULL);
	cond_init(&p->cond);
	az_buf_init(&p->ring, 2 * PROC_RING);
	p->refs = 2; /* list, caller */
	p->pty = s->pty;
	p->has_stdin = s->has_stdin || s->pty;
	p->stdin_room = AW_STDIN_WINDOW;
	p->config = config_json(s);
	p->tag = s->tag.p ? az_str_dup(s->tag) : NULL;
	if (!p->config || (s->tag.p && !p->tag)) {
		proc_free(p);
		return NULL;
	}
	return p;
}

enum az_code
proc_start(struct box *b, const struct proc_start *s, struct sub *sub, struct proc **out,
    struct az_err *err)
{
	int64_t deadline = az_boot_ms() + START_MS;
	struct az_buf payload;
	struct proc *p = NULL;
	enum az_code rc;

	az_buf_init(&payload, AW_MAX);
	if (!s->cmd.n || memchr(s->cmd.p, 0, s->cmd.n)) {
		rc = az_fail(err, AZ_EINVAL, "box.start", "no command");
		goto out;
	}
	pthread_mutex_lock(&b->mu);
	rc = start_payload(b, s, &payload, err);
	pthread_mutex_unlock(&b->mu);
	if (rc)
		goto out;
	rc = AZ_ENOMEM;
	p = proc_new(s);
	if (!p) {
		az_fail(err, rc, "box.start", "out of memory");
		goto out;
	}
	p->oom0 = cg_oom_kills(&b->srv->cg, b->id);
	p->pids0 = cg_pids_hits(&b->srv->cg, b->id);
	pthread_mutex_lock(&b->mu);
	sweep(b);
	if (b->nprocs >= PROC_MAX) {
		pthread_mutex_unlock(&b->mu);
		proc_free(p);
		p = NULL;
		rc = az_fail(err, AZ_ETOOBIG, "box.start", "more than %d commands in this sandbox",
		    PROC_MAX);
		goto out;
	}
	p->id = b->next_id++;
	if (b->next_id >= AW_NET)
		b->next_id = 1;
	p->next = b->procs;
	b->procs = p;
	b->nprocs++;
	proc_follow(b, p, sub);
	rc = link_send(b, p->id, AW_START, az_buf_str(&payload), (struct az_str){0}, true, err);
	if (!rc)
		rc = link_send_u32(b, p->id, AW_GRANT, PROC_WINDOW);
	while (!rc && !p->started && !p->failed && !b->dead)
		if (!cond_wait_until(&p->cond, &b->mu, deadline))
			rc = az_fail(err, AZ_ETIMEOUT, "box.start",
			    "the sandbox did not start the command in time");
	if (!rc && p->failed)
		rc = agent_error(p->fail_kind, az_str_c(p->fail_text), "box.start", err);
	else if (!rc && !p->started)
		rc = gone(err, "box.start");
	if (rc) {
		p->failed = true;
		proc_leave(b, p, sub);
	}
	pthread_mutex_unlock(&b->mu);
	if (rc) {
		proc_unref(b, p);
		p = NULL;
	}
out:
	az_buf_release(&payload);
	if (!rc)
		*out = p;
	return rc;
}

/* ---- followers and credit ---- */

static void
grant(struct box *b, struct proc *p)
{
	uint32_t n = p->ungranted;

	for (struct sub *s = p->subs; s; s = s->next)
		if (s->q.n > FOLLOWER_SOFT)
			return;
	if (n < PROC_WINDOW / 4 || p->ended)
		return;
	p->ungranted = 0;
	if (link_send_u32(b, p->id, AW_GRANT, n))
		p->ungranted = 0; /* dead: nobody waits for it */
}

void
proc_follow(struct box *b, struct proc *p, struct sub *sub)
{
	(void)b;
	az_buf_init(&sub->q, 4 * PROC_WINDOW + PROC_RING);
	/* what nobody heard so far */
	az_buf_adds(&sub->q, az_buf_str(&p->ring));
	az_buf_reset(&p->ring);
	sub->next = p->subs;
	p->subs = sub;
}

void
proc_leave(struct box *b, struct proc *p, struct sub *sub)
{
	struct az_str rest, bytes;
	int stream;

	for (struct sub **pp = &p->subs; *pp; pp = &(*pp)->next)
		if (*pp == sub) {
			*pp = sub->next;
			break;
		}
	/* the last follower's unread rest is kept for the next one, its end at least */
	rest = az_buf_str(&sub->q);
	while (rest.n > PROC_RING && record_next(&rest, &stream, &bytes))
		;
	if (!p->subs && !p->failed && rest.n <= PROC_RING)
		az_buf_adds(&p->ring, rest);
	az_buf_release(&sub->q);
	grant(b, p);
}

enum az_code
proc_wait(struct box *b, struct proc *p, struct sub *sub, int64_t deadline_ms, struct az_buf *got,
    bool *ended, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf t;

	*ended = false;
	pthread_mutex_lock(&b->mu);
	while (!sub->q.n && !p->ended && !b->dead)
		if (!cond_wait_until(&p->cond, &b->mu, deadline_ms)) {
			rc = az_fail(err, AZ_ETIMEOUT, "box.wait", "nothing yet");
			break;
		}
	if (!rc && sub->q.n && got) {
		t = *got;
		*got = sub->q;
		sub->q = t;
		sub->q.max = got->max;
		grant(b, p);
	} else if (!rc && p->ended && !sub->q.n) {
		*ended = true;
	} else if (!rc && !sub->q.n) {
		rc = gone(err, "box.wait");
	}
	pthread_mutex_unlock(&b->mu);
	return rc;
}

bool
record_next(struct az_str *rest, int *stream, struct az_str *bytes)
{
	struct aw_rd r = {(const unsigned char *)rest->p, rest->n, false};
	const char *p;

	if (!rest->n)
		return false;
	*stream = aw_u8(&r);
	p = aw_text(&r, &bytes->n);
	bytes->p = p;
	*rest = az_str_n(r.p, r.n);
	return !r.bad;
}

static void
record_add(struct az_buf *q, int stream, struct az_str s)
{
	unsigned char head[RECORD_HEAD];

	head[0] = (unsigned char)stream;
	aw_store(head + 1, s.n, 4);
	az_buf_add(q, head, sizeof head);
	az_buf_adds(q, s);
}

static void
ring_add(struct az_buf *q, int stream, struct az_str s)
{
	struct az_str rest, bytes;
	int st;

	if (q->n + RECORD_HEAD + s.n > PROC_RING) {
		/* forget the older half, whole records */
		rest = az_buf_str(q);
		while (rest.n > PROC_RING / 2 && record_next(&rest, &st, &bytes))
			;
		az_buf_shift(q, q->n - rest.n);
	}
	record_add(q, stream, s);
}

/* ---- frames ---- */

static void
output(struct box *b, struct proc *p, int stream, struct az_str s, bool *ok)
{
	if (stream < 1 || stream > 3 || s.n > AW_CHUNK ||
	    p->ungranted + s.n > PROC_WINDOW + AW_CHUNK) {
		*ok = false; /* more than it had credit for */
		return;
	}
	p->ungranted += (uint32_t)s.n;
	if (p->total[stream] + s.n > AZ_LIM_LOG_BYTES) {
		s = az_str_sub(s, 0, AZ_LIM_LOG_BYTES - p->total[stream]);
		if (!p->cut) {
			p->cut = true;
			if (!p->stop[0])
				snprintf(p->stop, sizeof p->stop, "stopped: output limit (%zu MiB)",
				    AZ_LIM_LOG_BYTES >> 20);
			if (link_send_u32(b, p->id, AW_SIGNAL, SIGKILL))
				return;
		}
	}
	p->total[stream] += s.n;
	if (s.n && !p->subs)
		ring_add(&p->ring, stream, s);
	for (struct sub *sub = p->subs; s.n && sub; sub = sub->next)
		record_add(&sub->q, stream, s);
	grant(b, p);
	pthread_cond_broadcast(&p->cond);
}

static void
explain(struct box *b, struct proc *p)
{
	bool bad = p->signalled || p->code;

	if (p->stop[0])
		snprintf(p->error, sizeof p->error, "%s", p->stop);
	else if (bad && cg_oom_kills(&b->srv->cg, b->id) > p->oom0)
		snprintf(p->error, sizeof p->error, "killed: out of memory (limit %lld MiB)",
		    (long long)(b->memory >> 20));
	else if (bad &&
		 (p->tasks + 2 >= task_limit(b) || cg_pids_hits(&b->srv->cg, b->id) > p->pids0))
		snprintf(p->error, sizeof p->error, "stopped: process limit (%d)", b->srv->pids);
	else if (p->signalled && p->code == SIGXFSZ)
		snprintf(p->error, sizeof p->error, "stopped: file size limit (%zu MiB)",
		    AZ_LIM_BOX_FILE_BYTES >> 20);
}

void
proc_frame(struct box *b, struct proc *p, struct aw_frame *f, bool *ok)
{
	struct aw_rd *r = &f->body;
	const char *t;
	size_t n;

	switch ((int)f->type) {
	case AW_STARTED:
		*ok = !p->started && !p->failed;
		p->pid = aw_u32(r);
		p->started = true;
		break;
	case AW_OUT: {
		int stream = aw_u8(r);

		*ok = p->started && !p->ended && !r->bad;
		if (*ok)
			output(b, p, stream, az_str_n(r->p, r->n), ok);
		return;
	}
	case AW_CREDIT: {
		uint32_t k = aw_u32(r);

		*ok = k <= AW_STDIN_WINDOW - p->stdin_room;
		p->stdin_room += *ok ? k : 0;
		break;
	}
	case AW_EXIT:
		*ok = p->started && !p->ended;
		p->signalled = aw_u8(r);
		p->code = (int)(aw_u32(r) & 0xff);
		p->tasks = aw_u32(r);
		p->ended = true;
		p->ended_ms = az_boot_ms();
		explain(b, p);
		break;
	case AW_FAIL:
		*ok = !p->started && !p->failed;
		p->fail_kind = (enum aw_fail)aw_u8(r);
		t = aw_text(r, &n);
		snprintf(p->fail_text, sizeof p->fail_text, "%.*s", (int)(n < 230 ? n : 230), t);
		p->failed = true;
		break;
	default:
		*ok = false;
	}
	if (r->bad)
		*ok = false;
	pthread_cond_broadcast(&p->cond);
}

void
procs_dead(struct box *b)
{
	for (struct proc *p = b->procs; p; p = p->next)
		pthread_cond_broadcast(&p->cond);
}

/* ---- verbs ---- */

void
proc_stop(struct box *b, struct proc *p, const char *why)
{
	pthread_mutex_lock(&b->mu);
	if (!p->ended && !p->stop[0])
		snprintf(p->stop, sizeof p->stop, "%s", why);
	if (!p->ended && !link_send_u32(b, p->id, AW_SIGNAL, SIGKILL))
		p->killed = true;
	pthread_mutex_unlock(&b->mu);
}

void
proc_time_out(struct box *b, struct proc *p, int64_t timeout_ms)
{
	char why[64];

	snprintf(why, sizeof why, "timed out after %g s", (double)timeout_ms / 1000);
	proc_stop(b, p, why);
}

void
proc_stop_later(struct box *b, struct proc *p, int64_t at, int64_t timeout_ms)
{
	pthread_mutex_lock(&b->mu);
	p->stop_at = at;
	p->timeout_ms = timeout_ms;
	pthread_mutex_unlock(&b->mu);
}

void
procs_overdue(struct box *b, int64_t now)
{
	struct proc *p;

	do {
		int64_t timeout_ms = 0;

		pthread_mutex_lock(&b->mu);
		for (p = b->procs; p; p = p->next)
			if (!p->ended && p->stop_at && p->stop_at <= now)
				break;
		if (p) {
			p->refs++;
			p->stop_at = 0;
			timeout_ms = p->timeout_ms;
		}
		pthread_mutex_unlock(&b->mu);
		if (p) {
			proc_time_out(b, p, timeout_ms);
			proc_unref(b, p);
		}
	} while (p);
}

enum az_code
proc_input(struct box *b, struct proc *p, struct az_str bytes, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&p->in_mu);
	pthread_mutex_lock(&b->mu);
	if (!p->has_stdin)
		rc = az_fail(err, AZ_EIO, "box.input", "stdin not enabled or closed");
	while (!rc && bytes.n) {
		size_t n = bytes.n < AW_CHUNK ? bytes.n : AW_CHUNK;

		if (b->dead) {
			rc = gone(err, "box.input");
		} else if (p->ended) {
			rc = az_fail(err, AZ_ENOTFOUND, "box.input",
			    "process with pid %u not found", p->pid);
		} else if (p->stdin_room < n) {
			if (!cond_wait_until(&p->cond, &b->mu, az_boot_ms() + 60000))
				rc = az_fail(
				    err, AZ_ETIMEOUT, "box.input", "the process does not read");
		} else if (!(rc = link_send(b, p->id, AW_STDIN, az_str_sub(bytes, 0, n),
				 (struct az_str){0}, true, err))) {
			p->stdin_room -= (uint32_t)n;
			bytes = az_str_sub(bytes, n, bytes.n);
		}
	}
	pthread_mutex_unlock(&b->mu);
	pthread_mutex_unlock(&p->in_mu);
	return rc;
}
