/* A command on its way into the box: environment, arguments, and the wait until it runs. */
#include "box.h"

#include <stdio.h>
#include <stdlib.h>

#define START_MS 30000

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

/* What a program calls the box it is in: its own servers are not behind the proxy. */
#define OWN_NAMES "localhost,127.0.0.1,::1,0.0.0.0,e2b.local"

/* Ours first, then the sandbox's, then the request's; each name once. */
static enum az_code
add_environment(
    struct box *b, const struct az_json *envs, bool pty, struct az_buf *out, struct az_err *err)
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
	if (pty && !given(b->envs, envs, AZ_S("TERM")))
		add_env(&v, &n, "TERM", AZ_S("xterm-256color"));
	if (b->srv->wheels && !given(b->envs, envs, AZ_S("PIP_FIND_LINKS")))
		add_env(&v, &n, "PIP_FIND_LINKS", AZ_S(BOX_WHEELS));
	if (b->proxy_on) {
		snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", AW_PROXY_PORT);
		for (size_t i = 0; i < sizeof proxied / sizeof *proxied; i++)
			if (!given(b->envs, envs, az_str_c(proxied[i])))
				add_env(&v, &n, proxied[i], az_str_c(proxy));
		if (!given(b->envs, envs, AZ_S("NO_PROXY")))
			add_env(&v, &n, "NO_PROXY", AZ_S(OWN_NAMES));
		if (!given(b->envs, envs, AZ_S("no_proxy")))
			add_env(&v, &n, "no_proxy", AZ_S(OWN_NAMES));
	}
	rc = add_object(&v, &n, b->envs, envs, err);
	if (!rc)
		rc = add_object(&v, &n, envs, NULL, err);
	put_u32(out, n);
	az_buf_adds(out, az_buf_str(&v));
	if (!rc)
		rc = az_buf_check(&v, "box.start", err);
	az_buf_release(&v);
	return rc;
}

static enum az_code
start_payload(struct box *b, const struct proc_start *s, struct az_buf *out, struct az_err *err)
{
	unsigned char head[5];
	size_t n = az_json_len(s->args);
	/* a few below the cgroup's limit (the kernel counts them in the box's own user
	   namespace), so that a box full of forks can still be told to end them */
	uint32_t nproc = proc_task_limit(b);
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
	rc = add_environment(b, s->envs, s->pty, out, err);
	if (!rc)
		rc = az_buf_check(out, "box.start", err);
	if (rc == AZ_ETOOBIG)
		az_fail(err, rc, "box.start",
		    "the command and its environment take more than %u KiB", AW_MAX >> 10);
	return rc;
}

static char *
config_json(const struct proc_start *s)
{
	struct az_buf b;
	struct az_jw w;
	char *out = NULL;
	size_t n;

	az_buf_init(&b, 8 * AW_MAX); /* of what was sent, escaped */
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
	az_cond_init(&p->cond);
	az_buf_init(&p->ring, 2 * PROC_RING);
	p->refs = 2; /* list, caller */
	p->pty = s->pty;
	p->has_stdin = s->has_stdin || s->pty;
	p->stdin_room = AW_STDIN_WINDOW;
	p->config = config_json(s);
	p->cmd = az_str_dup(s->cmd);
	p->tag = s->tag.p ? az_str_dup(s->tag) : NULL;
	if (!p->config || !p->cmd || (s->tag.p && !p->tag)) {
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
	procs_sweep(b);
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
	if (!rc && link_send_u32(b, p->id, AW_GRANT, PROC_WINDOW))
		rc = gone(b, err, "box.start");
	while (!rc && !p->started && !p->failed && !box_away(b))
		if (!az_cond_wait(&p->cond, &b->mu, deadline))
			rc = az_fail(err, AZ_ETIMEOUT, "box.start",
			    "the sandbox did not start the command in time");
	if (!rc && p->failed)
		rc = agent_error(p->fail_kind, az_str_c(p->fail_text), "box.start", err);
	else if (!rc && !p->started)
		rc = away(b, "box.start", err);
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
