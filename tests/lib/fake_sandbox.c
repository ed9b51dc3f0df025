/* The sandbox port over plain memory: life, network, files in and out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_sandbox_int.h"

void
fake_die(struct fake_sandbox *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].used)
			az_buf_release(&s->files[i].data);
	s->n_files = 0;
	s->n_blocked = 0;
	s->alive = false;
}

void
fake_refuse(struct fake_sandbox *s, const char *host, int port, const char *why)
{
	char(*text)[256];

	for (size_t i = 0; i < s->n_blocked; i++)
		if (s->blocked[i].port == port && az_str_eqc(s->blocked[i].host, host)) {
			s->blocked[i].count++;
			return;
		}
	if (s->n_blocked == AZ_SB_BLOCKED_MAX)
		return;
	text = s->blocked_text[s->n_blocked];
	snprintf(text[0], sizeof(text[0]), "%s", host);
	snprintf(text[1], sizeof(text[1]), "%s", why);
	s->blocked[s->n_blocked++] =
	    (struct az_sb_blocked){az_str_c(text[0]), port, 1, az_str_c(text[1])};
}

enum az_code
fake_usable(struct fake_sandbox *s, const struct az_box_ref *b, struct az_err *err)
{
	char id[32];

	s->requests++;
	if (s->down != AZ_OK) {
		az_fail(err, s->down, "fake", "the sandbox service is away");
		return az_err_reason(err, "sandbox_unavailable");
	}
	if (!b)
		return AZ_OK;
	snprintf(id, sizeof(id), "box%d", s->serial);
	if (s->alive && az_str_eqc(b->id, id))
		return AZ_OK;
	az_fail(err, AZ_ENOTFOUND, "fake", "no such sandbox");
	return az_err_reason(err, "sandbox_killed");
}

static enum az_code
refer(struct fake_sandbox *s, struct az_arena *a, struct az_box_ref *out)
{
	*out = (struct az_box_ref){.id = az_str_c(az_arena_printf(a, "box%d", s->serial))};
	return AZ_OK;
}

/* Nothing here ever waits. */
static enum az_code
sb_watched(struct az_sandbox *p, bool (*cancelled)(void *arg), void *arg, struct az_arena *a,
    struct az_sandbox **out, struct az_err *err)
{
	(void)cancelled;
	(void)arg;
	(void)a;
	(void)err;
	*out = p;
	return AZ_OK;
}

static enum az_code
sb_create(struct az_sandbox *p, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, NULL, err);

	if (rc != AZ_OK)
		return rc;
	fake_die(s);
	s->alive = true;
	s->serial++;
	s->internet = c->internet;
	s->owner[0] = '\0';
	if (c->metadata && c->metadata[0] && strcmp(c->metadata[0], "azlon_run") == 0)
		snprintf(s->owner, sizeof(s->owner), "%s", c->metadata[1]);
	return refer(s, a, out);
}

static enum az_code
sb_connect(struct az_sandbox *p, struct az_str id, int timeout_s, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct az_box_ref b = {.id = id};
	enum az_code rc = fake_usable(fake_self(p), &b, err);

	(void)timeout_s;
	return rc == AZ_OK ? refer(fake_self(p), a, out) : rc;
}

static enum az_code
sb_find(struct az_sandbox *p, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	struct az_box_ref b;
	enum az_code rc = fake_usable(s, NULL, err);

	*n = 0;
	if (rc != AZ_OK || !s->alive || strcmp(key, "azlon_run") != 0 ||
	    strcmp(s->owner, value) != 0)
		return rc;
	*ids = az_arena_alloc(a, sizeof(**ids));
	refer(s, a, &b);
	(*ids)[0] = b.id;
	*n = 1;
	return AZ_OK;
}

static enum az_code
sb_kill(struct az_sandbox *p, struct az_str id, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, NULL, err);

	(void)id;
	if (rc != AZ_OK)
		return rc;
	s->kills++;
	if (s->on_kill)
		s->on_kill(s);
	fake_die(s);
	return AZ_OK;
}

static enum az_code
sb_network(struct az_sandbox *p, const struct az_box_ref *b, bool internet,
    const char *const *allow, struct az_err *err)
{
	enum az_code rc = fake_usable(fake_self(p), b, err);

	(void)allow;
	if (rc == AZ_OK)
		fake_self(p)->internet = internet;
	return rc;
}

static enum az_code
sb_blocked(struct az_sandbox *p, const struct az_box_ref *b, struct az_arena *a,
    struct az_sb_blocked **out, size_t *n, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, b, err);

	s->blocked_asked++;
	if (rc == AZ_OK && s->blocked_fails != AZ_OK)
		rc = az_fail(err, s->blocked_fails, "fake", "they cannot be had");
	if (rc != AZ_OK || !s->n_blocked)
		return rc;
	*out = az_arena_alloc(a, s->n_blocked * sizeof(**out));
	*n = s->n_blocked;
	for (size_t i = 0; i < *n; i++) {
		(*out)[i] = s->blocked[i];
		(*out)[i].host = az_arena_str(a, s->blocked[i].host);
		(*out)[i].why = az_arena_str(a, s->blocked[i].why);
	}
	return AZ_OK;
}

static enum az_code
sb_kill_all(struct az_sandbox *p, const struct az_box_ref *b, struct az_err *err)
{
	enum az_code rc = fake_usable(fake_self(p), b, err);

	fake_self(p)->kill_alls++;
	return rc;
}

static enum az_code
sb_upload(struct az_sandbox *p, const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, b, err);
	struct fake_file *f;
	char chunk[4096];
	size_t got = 1;

	if (rc != AZ_OK)
		return rc;
	s->uploads++;
	f = fake_make(s, path);
	while (got > 0) {
		rc = read(arg, chunk, sizeof(chunk), &got, err);
		if (rc != AZ_OK)
			return rc;
		az_buf_add(&f->data, chunk, got);
	}
	if (bytes >= 0 && f->data.n != (size_t)bytes)
		return az_fail(err, AZ_EINTERNAL, "fake", "upload of a wrong length");
	return AZ_OK;
}

static enum az_code
sb_upload_form(struct az_sandbox *p, const struct az_box_ref *b, const struct az_sb_puts *q,
    size_t first, size_t n, struct az_err *err)
{
	int was = fake_self(p)->uploads, requests = fake_self(p)->requests;
	enum az_code rc = AZ_OK;

	for (size_t i = first; i < first + n && rc == AZ_OK; i++) {
		rc = q->open(q->arg, i, err);
		if (rc == AZ_OK)
			rc = sb_upload(p, b, q->v[i].path, q->v[i].bytes, q->read, q->arg, err);
	}
	fake_self(p)->uploads = was + 1;
	fake_self(p)->requests = requests + 1;
	return rc;
}

static enum az_code
sb_download(struct az_sandbox *p, const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, b, err);
	struct fake_file *f = fake_find(s, path);
	struct az_str left;

	if (rc != AZ_OK)
		return rc;
	s->downloads++;
	if (!f)
		return az_fail(err, AZ_ENOTFOUND, "fake", "no such file");
	for (left = az_buf_str(&f->data); left.n && rc == AZ_OK;) {
		size_t n = left.n < 1000 ? left.n : 1000;

		rc = data(arg, az_str_sub(left, 0, n), err);
		left = az_str_sub(left, n, left.n);
	}
	return rc;
}

/* Is there an entry of that path among v already? */
static bool
listed(const struct az_sb_entry *v, size_t n, struct az_str path)
{
	for (size_t k = 0; k < n; k++)
		if (az_str_eq(v[k].path, path))
			return true;
	return false;
}

static enum az_code
sb_list(struct az_sandbox *p, const struct az_box_ref *b, const char *path, int depth,
    struct az_arena *a, struct az_sb_entry **out, size_t *n, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, b, err);
	size_t dir_n = strlen(path);

	*n = 0;
	if (rc != AZ_OK)
		return rc;
	*out = az_arena_alloc(a, (s->n_files * 4 + 1) * sizeof(**out));
	for (size_t i = 0; i < s->n_files; i++) {
		struct fake_file *f = &s->files[i];
		const char *at = f->path + dir_n, *slash = at;

		if (!f->used || !fake_below(f->path, path) || *at == '\0')
			continue;
		for (int level = 0; slash && level < depth; level++) {
			struct az_str name;

			slash = strchr(slash + 1, '/');
			name = slash ? az_str_n(f->path, (size_t)(slash - f->path))
				     : az_str_c(f->path);
			if (listed(*out, *n, name))
				continue;
			if (*n == s->n_files * 4)
				abort();
			if (depth > 1 && s->list_max && *n == s->list_max) {
				*n = 0;
				az_fail(err, AZ_EUNAVAIL, "fake", "more than it lists");
				return az_err_reason(err, "sandbox_unavailable");
			}
			(*out)[(*n)++] = (struct az_sb_entry){.path = az_arena_str(a, name),
			    .dir = slash != NULL,
			    .file = slash == NULL,
			    .size = slash ? 0 : (int64_t)f->data.n,
			    .mode = f->mode,
			    .modified_ms = f->modified_ms};
		}
	}
	return AZ_OK;
}

static enum az_code
sb_mkdir(struct az_sandbox *p, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	(void)path;
	return fake_usable(fake_self(p), b, err);
}

static enum az_code
sb_remove(struct az_sandbox *p, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	enum az_code rc = fake_usable(fake_self(p), b, err);

	if (rc == AZ_OK)
		fake_unlink(fake_self(p), path);
	return rc;
}

static enum az_code
sb_ping(struct az_sandbox *p, struct az_err *err)
{
	return fake_usable(fake_self(p), NULL, err);
}

static void
sb_close(struct az_sandbox *p)
{
	(void)p;
}

static const struct az_sandbox_ops sandbox_ops = {"fake", sb_watched, sb_create, sb_connect,
    sb_find, sb_kill, sb_network, sb_blocked, fake_run, sb_kill_all, sb_upload, sb_upload_form,
    sb_download, sb_list, sb_mkdir, sb_remove, sb_ping, sb_close};

void
fake_sandbox_init(struct fake_sandbox *s)
{
	memset(s, 0, sizeof(*s));
	s->base.ops = &sandbox_ops;
	s->clock_ms = 1000;
}

void
fake_sandbox_release(struct fake_sandbox *s)
{
	fake_die(s);
}
