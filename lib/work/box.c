/* The run's sandbox: see box.h. */
#include "box.h"

#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>

#define OP "work.box"

enum {
	BOX_LIFE_S = 3600,
	/* who waits here keeps a thread from runs whose sandbox others wait for: beyond this
	   the engine's retry is the better place */
	BOX_LINE_S = 5
};

#define META_RUN "azlon_run"

static const char *const *
domains(struct work_job *j, const struct az_json *allow)
{
	size_t n = az_json_len(allow), k = 0;
	const char **v;

	if (n == 0 || n > 200)
		return NULL;
	v = az_arena_alloc(j->a, (n + 1) * sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		const char *d = az_arena_cstr(j->a, az_json_str(az_json_at(allow, i)));

		if (d && *d)
			v[k++] = d;
	}
	return k ? v : NULL;
}

static void
policy(struct work_job *j, struct work_box *b)
{
	const struct az_json *net = az_json_get(j->request, "network");
	struct az_str d = az_json_gets(net, "default");

	b->net = az_str_eqc(d, "deny")    ? NET_DENY
		 : az_str_eqc(d, "allow") ? NET_ALLOW
					  : NET_INSTALL;
	b->allow = domains(j, az_json_get(net, "allow"));
}

/* Does the program itself get a route? Domains named one by one are meant for it. */
static bool
running_net(const struct work_box *b)
{
	return b->net == NET_ALLOW || (b->net == NET_INSTALL && b->allow);
}

enum az_code
work_box_network(struct work_job *j, const struct work_box *b, bool building, struct az_err *err)
{
	bool on = building ? b->net != NET_DENY : running_net(b);
	const char *const *allow = building && b->net == NET_INSTALL ? NULL : b->allow;

	return job_sandbox_rc(
	    az_sandbox_network(j->sandbox, &b->ref, on, on ? allow : NULL, err), err);
}

/* The same attempt of the same step asks for the same sandbox. */
static void
create_key(const struct work_job *j, const char *nth, char out[65])
{
	char text[300];
	int n = snprintf(text, sizeof(text), "%.*s/%lld/%d%s", AZ_FMT(j->ctx->workflow_id),
	    (long long)j->ctx->ref, j->ctx->attempt, nth);

	az_sha256_hex(az_str_n(text, n < 0                    ? 0
				     : n >= (int)sizeof(text) ? sizeof(text) - 1
							      : (size_t)n),
	    out);
}

static enum az_code
create(struct work_job *j, struct work_box *b, const char *wid, const char *nth, struct az_err *err)
{
	const char *meta[] = {META_RUN, wid, NULL};
	char key[65];
	struct az_sb_create c = {.timeout_s = BOX_LIFE_S,
	    .wait_s = BOX_LINE_S,
	    .idempotency_key = key,
	    .metadata = meta,
	    .internet = running_net(b),
	    .allow = b->allow};

	create_key(j, nth, key);
	b->made = true;
	return job_sandbox_rc(az_sandbox_create(j->sandbox, &c, j->a, &b->ref, err), err);
}

enum az_code
work_box_open(struct work_job *j, struct work_box *b, struct az_err *err)
{
	const char *wid = az_arena_cstr(j->a, job_wid(j));
	struct az_str *ids = NULL;
	enum az_code rc;
	size_t n = 0;

	*b = (struct work_box){.made = false};
	policy(j, b);
	if (!wid)
		return job_nomem(err);
	rc = job_sandbox_rc(az_sandbox_find(j->sandbox, META_RUN, wid, j->a, &ids, &n, err), err);
	if (rc != AZ_OK)
		return rc;
	for (size_t i = 0; i < n; i++) {
		rc = az_sandbox_connect(j->sandbox, ids[i], BOX_LIFE_S, j->a, &b->ref, err);
		if (rc == AZ_OK)
			break;
		if (rc != AZ_ENOTFOUND)
			return job_sandbox_rc(rc, err);
	}
	if (!b->ref.id.n)
		rc = create(j, b, wid, "", err);
	(void)work_box_time(j, 1); /* from here on it counts, standing in line does not */
	return rc;
}

bool
work_box_spoiled(const struct work_box *b, enum az_code rc)
{
	return !b->renewed && (rc == AZ_EINVAL || rc == AZ_EPERM || rc == AZ_ECONFLICT ||
				  rc == AZ_ENOTFOUND || rc == AZ_ETOOBIG);
}

enum az_code
work_box_renew(struct work_job *j, struct work_box *b, struct az_err *err)
{
	const char *wid = az_arena_cstr(j->a, job_wid(j));
	enum az_code rc;

	if (!wid)
		return job_nomem(err);
	rc = job_sandbox_rc(az_sandbox_kill(j->sandbox, b->ref.id, err), err);
	if (rc == AZ_OK)
		rc = create(j, b, wid, "/again", err);
	b->renewed = true;
	return rc;
}

int
work_box_time(struct work_job *j, int wish_s)
{
	int64_t now = az_boot_ms(), left = az_json_geti(j->in, "sandbox_s_left", -1);

	if (!j->box_counted) {
		j->box_counted = true;
		if (left >= 0)
			j->box_until_ms = now + 1000 * (left < 30 * 86400 ? left : 30 * 86400);
	}
	left = j->box_until_ms ? (j->box_until_ms - now + 999) / 1000 : wish_s;
	if (left <= 0)
		j->box_spent = true;
	if (j->box_spent)
		return 0;
	return left < wish_s ? (int)left : wish_s;
}

enum az_code
work_box_run(struct work_job *j, const struct work_box *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	struct az_sb_cmd cmd = *c;
	enum az_code rc;

	cmd.timeout_s = work_box_time(j, c->timeout_s);
	if (cmd.timeout_s <= 0) {
		*r = (struct az_sb_result){.end = AZ_END_TIMEOUT};
		return AZ_OK;
	}
	rc = az_sandbox_run(j->sandbox, &b->ref, &cmd, r, err);
	if (rc == AZ_OK && r->end == AZ_END_TIMEOUT && cmd.timeout_s < c->timeout_s)
		j->box_spent = true;
	return rc;
}

enum az_code
job_box_kill(struct work_job *j, struct az_err *err)
{
	const char *wid = az_arena_cstr(j->a, job_wid(j));
	struct az_str *ids = NULL;
	enum az_code rc;
	size_t n = 0;

	if (!wid)
		return job_nomem(err);
	rc = az_sandbox_find(j->sandbox, META_RUN, wid, j->a, &ids, &n, err);
	for (size_t i = 0; i < n && rc == AZ_OK; i++)
		rc = az_sandbox_kill(j->sandbox, ids[i], err);
	return job_sandbox_rc(rc, err);
}

struct reader {
	struct az_str left;
};

static enum az_code
read_text(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct reader *r = arg;

	(void)err;
	*got = r->left.n < n ? r->left.n : n;
	if (*got)
		memcpy(p, r->left.p, *got);
	r->left = az_str_sub(r->left, *got, r->left.n);
	return AZ_OK;
}

enum az_code
work_box_write(struct work_job *j, const struct work_box *b, const char *path, struct az_str body,
    struct az_err *err)
{
	struct reader r = {body};

	return job_sandbox_rc(
	    az_sandbox_upload(j->sandbox, &b->ref, path, (int64_t)body.n, read_text, &r, err), err);
}

static enum az_code
append(void *arg, struct az_str chunk, struct az_err *err)
{
	struct az_buf *b = arg;

	az_buf_adds(b, chunk);
	return az_buf_check(b, OP, err);
}

enum az_code
work_box_read(struct work_job *j, const struct work_box *b, const char *path, size_t max,
    struct az_str *out, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	enum az_code rc;
	struct az_buf text;

	*out = (struct az_str){0};
	az_buf_init(&text, max);
	rc = az_sandbox_download(j->sandbox, &b->ref, path, append, &text, &e);
	if (rc == AZ_OK) {
		rc = job_text(j, &text, out, err);
	} else if ((rc == AZ_ENOTFOUND && !az_sandbox_is_gone(&e)) || rc == AZ_ETOOBIG ||
		   rc == AZ_EINVAL || rc == AZ_EPERM) {
		rc = AZ_OK;
	} else {
		rc = job_sandbox_rc(rc, &e);
		if (err)
			*err = e;
	}
	az_buf_release(&text);
	return rc;
}
