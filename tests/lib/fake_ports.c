#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <azlon/crypto.h>

#include "fake_ports.h"

/* ---- files ---- */

static struct fake_sandbox *
self(struct az_sandbox *s)
{
	return (struct fake_sandbox *)(void *)s;
}

static void
absolute(const char *path, char out[512])
{
	snprintf(out, 512, "%s%s", path[0] == '/' ? "" : "/home/user/", path);
}

static struct fake_file *
find(struct fake_sandbox *s, const char *path)
{
	char abs[512];

	absolute(path, abs);
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].used && strcmp(s->files[i].path, abs) == 0)
			return &s->files[i];
	return NULL;
}

static struct fake_file *
make(struct fake_sandbox *s, const char *path)
{
	struct fake_file *f = find(s, path);

	if (!f) {
		if (s->n_files == sizeof(s->files) / sizeof(s->files[0]))
			abort();
		f = &s->files[s->n_files++];
		memset(f, 0, sizeof(*f));
		absolute(path, f->path);
		az_buf_init(&f->data, (size_t)1 << 30);
		f->used = true;
		f->mode = 0644;
	}
	az_buf_reset(&f->data);
	f->modified_ms = ++s->clock_ms;
	return f;
}

void
fake_write(struct fake_sandbox *s, const char *path, struct az_str body)
{
	az_buf_adds(&make(s, path)->data, body);
}

void
fake_rewrite(struct fake_sandbox *s, const char *path, struct az_str body)
{
	struct fake_file *f = find(s, path);
	int64_t was = f ? f->modified_ms : 0;

	f = make(s, path);
	az_buf_adds(&f->data, body);
	f->modified_ms = was;
}

struct az_str
fake_read(struct fake_sandbox *s, const char *path)
{
	struct fake_file *f = find(s, path);

	return f ? az_buf_str(&f->data) : (struct az_str){0};
}

bool
fake_exists(struct fake_sandbox *s, const char *path)
{
	return find(s, path) != NULL;
}

static bool
below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

void
fake_unlink(struct fake_sandbox *s, const char *path)
{
	char abs[512];

	absolute(path, abs);
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].used && below(s->files[i].path, abs)) {
			az_buf_release(&s->files[i].data);
			s->files[i].used = false;
			s->files[i].path[0] = '\0';
		}
}

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

void
fake_print(const struct az_sb_cmd *c, int stream, const char *text)
{
	if (c->output && c->output(c->arg, stream, az_str_c(text), NULL) != AZ_OK)
		return;
}

bool
fake_argv_has(const struct az_sb_cmd *c, const char *text)
{
	for (const char *const *v = c->argv; *v; v++)
		if (strstr(*v, text))
			return true;
	return false;
}

/* ---- the port ---- */

static enum az_code
usable(struct fake_sandbox *s, const struct az_box_ref *b, struct az_err *err)
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
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, NULL, err);

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
	enum az_code rc = usable(self(p), &b, err);

	(void)timeout_s;
	return rc == AZ_OK ? refer(self(p), a, out) : rc;
}

static enum az_code
sb_find(struct az_sandbox *p, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err)
{
	struct fake_sandbox *s = self(p);
	struct az_box_ref b;
	enum az_code rc = usable(s, NULL, err);

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
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, NULL, err);

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
	enum az_code rc = usable(self(p), b, err);

	(void)allow;
	if (rc == AZ_OK)
		self(p)->internet = internet;
	return rc;
}

static enum az_code
sb_blocked(struct az_sandbox *p, const struct az_box_ref *b, struct az_arena *a,
    struct az_sb_blocked **out, size_t *n, struct az_err *err)
{
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, b, err);

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

/* What tar writes for these names below dir: plain files only. */
static int
pack(struct fake_sandbox *s, const struct az_sb_cmd *c, const char *dir, const char *const *names)
{
	static const char zeros[1024];
	char path[600], head[513];
	int bad = 0;

	for (; *names; names++) {
		struct fake_file *f;
		struct az_str body;
		unsigned sum = 0;

		snprintf(path, sizeof(path), "%s/%s", dir, *names);
		if (!(f = find(s, path)) || strlen(*names) > 99) {
			bad = 2;
			continue;
		}
		body = az_buf_str(&f->data);
		memset(head, 0, sizeof(head));
		snprintf(head, 100, "%s", *names);
		snprintf(head + 100, 8, "%07o", f->mode & 0777);
		snprintf(head + 124, 12, "%011zo", body.n);
		snprintf(head + 136, 12, "%011o", 0);
		memset(head + 148, ' ', 8);
		head[156] = '0';
		memcpy(head + 257, "ustar\00000", 8);
		for (int i = 0; i < 512; i++)
			sum += (unsigned char)head[i];
		snprintf(head + 148, 8, "%06o", sum);
		if (c->output(c->arg, 1, az_str_n(head, 512), NULL) != AZ_OK ||
		    c->output(c->arg, 1, body, NULL) != AZ_OK ||
		    c->output(c->arg, 1, az_str_n(zeros, (512 - body.n % 512) % 512), NULL) !=
			AZ_OK)
			return 2;
	}
	return c->output(c->arg, 1, az_str_n(zeros, sizeof(zeros)), NULL) == AZ_OK ? bad : 2;
}

static enum az_code
sb_run(struct az_sandbox *p, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, b, err);
	const char *const *argv = c->argv;
	struct az_sb_cmd inner = *c;

	*r = (struct az_sb_result){.end = AZ_END_EXITED, .ms = 7};
	if (rc != AZ_OK)
		return rc;
	s->runs++;
	if (c->cancelled && c->cancelled(c->arg)) {
		r->end = AZ_END_CANCELLED;
		return AZ_OK;
	}
	if (strcmp(argv[0], "chmod") == 0) {
		for (size_t i = 3; argv[i]; i++) {
			struct fake_file *f = find(s, argv[i]);

			if (f)
				f->mode = 0755;
		}
		return AZ_OK;
	}
	if (strcmp(argv[0], "sha256sum") == 0) {
		for (size_t i = 2; argv[i]; i++) {
			struct fake_file *f = find(s, argv[i]);
			char hex[65];

			if (!f)
				continue;
			az_sha256_hex(az_buf_str(&f->data), hex);
			fake_print(c, 1, hex);
			fake_print(c, 1, "  ");
			fake_print(c, 1, argv[i]);
			fake_print(c, 1, "\n");
		}
		return AZ_OK;
	}
	if (strcmp(argv[0], "tar") == 0) {
		r->exit_code = s->no_tar ? 127 : pack(s, c, argv[5], argv + 7);
		return AZ_OK;
	}
	/* the build's probe of languages */
	if (argv[1] && argv[2] && strstr(argv[2], "command -v")) {
		fake_print(c, 1, "path /home/user/.local/bin:/usr/bin:/bin\nhave python3\n");
		r->exit_code = argv[3] && argv[4] && strcmp(argv[4], "cobol") == 0;
		return AZ_OK;
	}
	if (argv[1] && argv[2] && strcmp(argv[2], "exec \"$@\"") == 0)
		inner.argv = argv + 4;
	return s->exec ? s->exec(s, &inner, r, err) : AZ_OK;
}

static enum az_code
sb_kill_all(struct az_sandbox *p, const struct az_box_ref *b, struct az_err *err)
{
	enum az_code rc = usable(self(p), b, err);

	self(p)->kill_alls++;
	return rc;
}

static enum az_code
sb_upload(struct az_sandbox *p, const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, b, err);
	struct fake_file *f;
	char chunk[4096];
	size_t got = 1;

	if (rc != AZ_OK)
		return rc;
	s->uploads++;
	f = make(s, path);
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
	int was = self(p)->uploads, requests = self(p)->requests;
	enum az_code rc = AZ_OK;

	for (size_t i = first; i < first + n && rc == AZ_OK; i++) {
		rc = q->open(q->arg, i, err);
		if (rc == AZ_OK)
			rc = sb_upload(p, b, q->v[i].path, q->v[i].bytes, q->read, q->arg, err);
	}
	self(p)->uploads = was + 1;
	self(p)->requests = requests + 1;
	return rc;
}

static enum az_code
sb_download(struct az_sandbox *p, const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, b, err);
	struct fake_file *f = find(s, path);
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
	struct fake_sandbox *s = self(p);
	enum az_code rc = usable(s, b, err);
	size_t dir_n = strlen(path);

	*n = 0;
	if (rc != AZ_OK)
		return rc;
	*out = az_arena_alloc(a, (s->n_files * 4 + 1) * sizeof(**out));
	for (size_t i = 0; i < s->n_files; i++) {
		struct fake_file *f = &s->files[i];
		const char *at = f->path + dir_n, *slash = at;

		if (!f->used || !below(f->path, path) || *at == '\0')
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
	return usable(self(p), b, err);
}

static enum az_code
sb_remove(struct az_sandbox *p, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	enum az_code rc = usable(self(p), b, err);

	if (rc == AZ_OK)
		fake_unlink(self(p), path);
	return rc;
}

static enum az_code
sb_ping(struct az_sandbox *p, struct az_err *err)
{
	return usable(self(p), NULL, err);
}

static void
sb_close(struct az_sandbox *p)
{
	(void)p;
}

static const struct az_sandbox_ops sandbox_ops = {"fake", sb_watched, sb_create, sb_connect,
    sb_find, sb_kill, sb_network, sb_blocked, sb_run, sb_kill_all, sb_upload, sb_upload_form,
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

/* ---- the model ---- */

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
