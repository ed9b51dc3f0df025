/* The port's dispatch: preconditions are checked once, here, then the slot is called. */
#include <azlon/limits.h>
#include "port.h"

#define DAY_S 86400 /* a person at a terminal */

/* Paths go into URLs and JSON: any absolute or home-relative name, but no NUL (they are
   C strings), no emptiness, nothing endless. */
static enum az_code
path_ok(const char *path, const char *op, struct az_err *err)
{
	size_t n = path ? strlen(path) : 0;

	if (n == 0 || n > 4000)
		return az_fail(err, AZ_EINVAL, op, "a path of %zu bytes", n);
	return AZ_OK;
}

static enum az_code
id_ok(struct az_str id, const char *op, struct az_err *err)
{
	size_t i;

	if (id.n == 0 || id.n > 64)
		return az_fail(err, AZ_EINVAL, op, "a sandbox id of %zu bytes", id.n);
	for (i = 0; i < id.n; i++) {
		char c = id.p[i];

		/* it becomes a host label and a path segment */
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			c == '_' || (c == '-' && i > 0)))
			return az_fail(err, AZ_EINVAL, op, "not a sandbox id");
	}
	return AZ_OK;
}

enum az_code
sandbox_ref_ok(const struct az_box_ref *b, const char *op, struct az_err *err)
{
	if (!b)
		return az_fail(err, AZ_EINVAL, op, "no sandbox given");
	return id_ok(b->id, op, err);
}

enum az_code
az_sandbox_watched(struct az_sandbox *s, bool (*cancelled)(void *arg), void *arg,
    struct az_arena *a, struct az_sandbox **out, struct az_err *err)
{
	*out = NULL;
	return s->ops->watched(s, cancelled, arg, a, out, err);
}

enum az_code
az_sandbox_create(struct az_sandbox *s, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	const char *k = c->idempotency_key;
	size_t n = 0;

	if (c->timeout_s <= 0)
		return az_fail(err, AZ_EINVAL, "sandbox.create", "a life of %d s", c->timeout_s);
	for (; k && k[n]; n++)
		if (n >= 255 ||
		    !((k[n] >= 'a' && k[n] <= 'z') || (k[n] >= '0' && k[n] <= '9') || k[n] == '-'))
			return az_fail(
			    err, AZ_EINVAL, "sandbox.create", "not an idempotency key: %.40s", k);
	if (k && n == 0)
		return az_fail(err, AZ_EINVAL, "sandbox.create", "an empty idempotency key");
	return s->ops->create(s, c, a, out, err);
}

enum az_code
az_sandbox_connect(struct az_sandbox *s, struct az_str id, int timeout_s, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	enum az_code rc = id_ok(id, "sandbox.connect", err);

	if (rc != AZ_OK)
		return rc;
	if (timeout_s <= 0)
		return az_fail(err, AZ_EINVAL, "sandbox.connect", "a life of %d s", timeout_s);
	return s->ops->connect(s, id, timeout_s, a, out, err);
}

enum az_code
az_sandbox_find(struct az_sandbox *s, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err)
{
	*ids = NULL;
	*n = 0;
	if (!key || !*key || !value)
		return az_fail(err, AZ_EINVAL, "sandbox.find", "no key or value");
	return s->ops->find(s, key, value, a, ids, n, err);
}

enum az_code
az_sandbox_kill(struct az_sandbox *s, struct az_str id, struct az_err *err)
{
	enum az_code rc = id_ok(id, "sandbox.kill", err);

	return rc != AZ_OK ? rc : s->ops->kill(s, id, err);
}

enum az_code
az_sandbox_network(struct az_sandbox *s, const struct az_box_ref *b, bool internet,
    const char *const *allow, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.network", err);

	return rc != AZ_OK ? rc : s->ops->network(s, b, internet, allow, err);
}

enum az_code
az_sandbox_blocked(struct az_sandbox *s, const struct az_box_ref *b, struct az_arena *a,
    struct az_sb_blocked **out, size_t *n, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.blocked", err);

	*out = NULL;
	*n = 0;
	return rc != AZ_OK ? rc : s->ops->blocked(s, b, a, out, n, err);
}

enum az_code
az_sandbox_run(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	struct az_sb_cmd cmd = *c;
	enum az_code rc = sandbox_ref_ok(b, "sandbox.run", err);
	int most;

	*r = (struct az_sb_result){.exit_code = -1};
	if (rc != AZ_OK)
		return rc;
	if (!c->argv || !c->argv[0] || !*c->argv[0])
		return az_fail(err, AZ_EINVAL, "sandbox.run", "no command");
	if (cmd.timeout_s <= 0)
		cmd.timeout_s = AZ_LIM_CMD_S;
	most = cmd.input ? DAY_S : AZ_LIM_CMD_MAX_S;
	if (cmd.timeout_s > most)
		cmd.timeout_s = most;
	return s->ops->run(s, b, &cmd, r, err);
}

enum az_code
az_sandbox_kill_all(struct az_sandbox *s, const struct az_box_ref *b, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.kill_all", err);

	return rc != AZ_OK ? rc : s->ops->kill_all(s, b, err);
}

enum az_code
az_sandbox_upload(struct az_sandbox *s, const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.upload", err);

	if (rc == AZ_OK)
		rc = path_ok(path, "sandbox.upload", err);
	return rc != AZ_OK ? rc : s->ops->upload(s, b, path, bytes, read, arg, err);
}

enum az_code
az_sandbox_download(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.download", err);

	if (rc == AZ_OK)
		rc = path_ok(path, "sandbox.download", err);
	return rc != AZ_OK ? rc : s->ops->download(s, b, path, data, arg, err);
}

enum az_code
az_sandbox_list(struct az_sandbox *s, const struct az_box_ref *b, const char *path, int depth,
    struct az_arena *a, struct az_sb_entry **out, size_t *n, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.list", err);

	*out = NULL;
	*n = 0;
	if (rc == AZ_OK)
		rc = path_ok(path, "sandbox.list", err);
	return rc != AZ_OK ? rc : s->ops->list(s, b, path, depth, a, out, n, err);
}

enum az_code
az_sandbox_mkdir(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.mkdir", err);

	if (rc == AZ_OK)
		rc = path_ok(path, "sandbox.mkdir", err);
	return rc != AZ_OK ? rc : s->ops->mkdir(s, b, path, err);
}

enum az_code
az_sandbox_remove(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.remove", err);

	if (rc == AZ_OK)
		rc = path_ok(path, "sandbox.remove", err);
	return rc != AZ_OK ? rc : s->ops->remove(s, b, path, err);
}

enum az_code
az_sandbox_ping(struct az_sandbox *s, struct az_err *err)
{
	return s->ops->ping(s, err);
}

enum az_sb_cause
az_sandbox_cause(const struct az_err *err)
{
	static const struct {
		const char *reason;
		enum az_code code;
		enum az_sb_cause cause;
	} table[] = {
	    {"sandbox_expired", AZ_ENOTFOUND, AZ_CAUSE_EXPIRED},
	    {"sandbox_killed", AZ_ENOTFOUND, AZ_CAUSE_KILLED},
	    {"sandbox_memory", AZ_ENOTFOUND, AZ_CAUSE_MEMORY},
	    {"sandbox_unreachable", AZ_EUNAVAIL, AZ_CAUSE_UNREACHABLE},
	};
	size_t i;

	for (i = 0; err && i < sizeof table / sizeof table[0]; i++)
		if (err->code == table[i].code && strcmp(err->reason, table[i].reason) == 0)
			return table[i].cause;
	return AZ_CAUSE_NONE;
}

bool
az_sandbox_is_gone(const struct az_err *err)
{
	enum az_sb_cause cause = az_sandbox_cause(err);

	return cause != AZ_CAUSE_NONE && cause != AZ_CAUSE_UNREACHABLE;
}

void
az_sandbox_close(struct az_sandbox *s)
{
	if (s)
		s->ops->close(s);
}
