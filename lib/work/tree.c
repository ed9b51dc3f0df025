/*
 * Files between a manifest and the sandbox. The way back is hostile: the program chose
 * the names, may have made endless files, and may still be busy. Links are not followed.
 */
#include "box.h"

#include <stdlib.h>
#include <azlon/keys.h>
#include <azlon/path.h>

#define OP "work.tree"

enum { DIRS_MAX = 500, CHMOD_BATCH = 100 };

char *
work_tree_path(struct work_job *j, struct az_str path)
{
	return az_arena_printf(j->a, AZ_PLAN_APP "/%.*s", AZ_FMT(path));
}

/* ---- there ---- */

struct source {
	struct work_job *j;
	struct az_get *g;
};

static enum az_code
read_blob(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct source *s = arg;

	if (job_cancelled(s->j))
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	return job_store_rc(az_store_get_read(s->g, p, n, got, err), err);
}

enum az_code
work_tree_upload_file(
    struct work_job *j, const struct work_box *b, const struct az_file *f, struct az_err *err)
{
	const char *to = work_tree_path(j, f->path);
	struct source s = {.j = j};
	enum az_code rc;
	struct az_buf key;

	if (!to)
		return job_nomem(err);
	az_buf_init(&key, 1024);
	az_key_blob(&key, job_wid(j), az_file_blob(f));
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = az_store_get_open(j->w->store, &j->bkt, az_buf_str(&key), 0, NULL, &s.g, err);
	if (rc == AZ_ENOTFOUND) {
		az_fail(err, AZ_EUNAVAIL, OP, "a stored file is missing: %.*s", AZ_FMT(f->path));
		rc = AZ_EUNAVAIL;
	}
	if (rc != AZ_OK)
		rc = job_store_rc(rc, err);
	else
		rc = job_sandbox_rc(
		    az_sandbox_upload(j->sandbox, &b->ref, to, f->size, read_blob, &s, err), err);
	az_store_get_close(s.g);
	az_buf_release(&key);
	return rc;
}

static enum az_code
make_executable(
    struct work_job *j, const struct work_box *b, const struct az_manifest *m, struct az_err *err)
{
	const char *argv[CHMOD_BATCH + 4] = {"chmod", "755", "--"};
	struct az_sb_cmd c = {.argv = argv,
	    .cwd = AZ_PLAN_APP,
	    .timeout_s = 30,
	    .cancelled = job_cancelled,
	    .arg = j};
	struct az_sb_result r;
	enum az_code rc = AZ_OK;
	size_t n = 0;

	for (size_t i = 0; i < m->n && rc == AZ_OK; i++) {
		if (m->files[i].mode & 0111) {
			argv[3 + n] = work_tree_path(j, m->files[i].path);
			if (!argv[3 + n])
				return job_nomem(err);
			n++;
		}
		if (n == CHMOD_BATCH || (n > 0 && i + 1 == m->n)) {
			argv[3 + n] = NULL;
			n = 0;
			rc = job_sandbox_rc(work_box_run(j, b, &c, &r, err), err);
		}
	}
	return rc;
}

/* What earlier programs left in a box that is used again would count against the disk of
   this one. Names with a dot stay: caches and installed packages. */
static enum az_code
empty_home(struct work_job *j, const struct work_box *b, struct az_err *err)
{
	struct az_sb_entry *e = NULL;
	size_t n = 0;
	enum az_code rc = az_sandbox_list(j->sandbox, &b->ref, AZ_PLAN_HOME, 1, j->a, &e, &n, err);

	for (size_t i = 0; i < n && rc == AZ_OK; i++) {
		ptrdiff_t slash = az_str_rchr(e[i].path, '/');
		const char *path = az_arena_cstr(j->a, e[i].path);

		if (slash < 0 || e[i].path.p[slash + 1] == '.')
			continue;
		if (!path)
			return job_nomem(err);
		rc = az_sandbox_remove(j->sandbox, &b->ref, path, err);
		if (rc == AZ_ENOTFOUND && (!err || strcmp(err->reason, "sandbox_gone") != 0))
			rc = AZ_OK;
	}
	return rc;
}

enum az_code
work_tree_upload(
    struct work_job *j, const struct work_box *b, const struct az_manifest *m, struct az_err *err)
{
	enum az_code rc = b->made ? AZ_OK : empty_home(j, b, err);

	if (rc == AZ_OK)
		rc = az_sandbox_mkdir(j->sandbox, &b->ref, AZ_PLAN_APP, err);
	if (rc == AZ_ECONFLICT)
		rc = AZ_OK;
	if (rc != AZ_OK)
		return job_sandbox_rc(rc, err);
	for (size_t i = 0; i < m->n; i++) {
		if (job_cancelled(j))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		rc = work_tree_upload_file(j, b, &m->files[i], err);
		if (rc != AZ_OK)
			return rc;
	}
	return make_executable(j, b, m, err);
}

/* ---- and back ---- */

static bool
is_cache(struct az_str name)
{
	static const char *const skip[] = {"__pycache__", "node_modules", ".git", ".cache",
	    ".azlon", ".venv", ".pytest_cache", ".mypy_cache", ".npm"};

	for (size_t i = 0; i < sizeof(skip) / sizeof(skip[0]); i++)
		if (az_str_eqc(name, skip[i]))
			return true;
	return false;
}

static int
by_path(const void *x, const void *y)
{
	const struct tree_entry *a = x, *b = y;

	return az_str_cmp(a->path, b->path);
}

static enum az_code
add(struct work_job *j, struct tree_list *l, const struct az_sb_entry *e, struct az_str rel,
    struct az_err *err)
{
	if (az_path_ok(rel, NULL) != AZ_OK) {
		l->odd++;
		return AZ_OK;
	}
	if (l->n >= AZ_LIM_COLLECT_FILES) {
		l->cut = true;
		return AZ_OK;
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct tree_entry *v = az_arena_alloc(j->a, cap * sizeof(*v));

		if (!v)
			return job_nomem(err);
		if (l->n)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct tree_entry){
	    .path = rel, .size = e->size, .modified_ms = e->modified_ms, .mode = e->mode};
	return AZ_OK;
}

/* Path below the app directory; empty when it lies elsewhere. */
static struct az_str
relative(struct az_str abs)
{
	static const char root[] = AZ_PLAN_APP "/";

	if (!az_str_starts(abs, az_str_c(root)))
		return (struct az_str){0};
	return az_str_sub(abs, sizeof(root) - 1, abs.n);
}

enum az_code
work_tree_list(
    struct work_job *j, const struct work_box *b, struct tree_list *out, struct az_err *err)
{
	const char *dirs[DIRS_MAX] = {AZ_PLAN_APP};
	size_t n_dirs = 1;

	*out = (struct tree_list){0};
	for (size_t d = 0; d < n_dirs; d++) {
		struct az_sb_entry *es = NULL;
		struct az_err e = AZ_ERR_INIT;
		enum az_code rc;
		size_t n = 0;

		if (job_cancelled(j))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		rc = az_sandbox_list(j->sandbox, &b->ref, dirs[d], 1, j->a, &es, &n, &e);
		if (rc == AZ_ETOOBIG) {
			out->cut = true;
			continue;
		}
		/* removed meanwhile, or made unreadable by the program */
		if (rc == AZ_EINVAL || rc == AZ_EPERM ||
		    (rc == AZ_ENOTFOUND && strcmp(e.reason, "sandbox_gone") != 0))
			continue;
		if (rc != AZ_OK) {
			rc = job_sandbox_rc(rc, &e);
			if (err)
				*err = e;
			return rc;
		}
		for (size_t i = 0; i < n; i++) {
			struct az_str rel = relative(es[i].path);

			if (rel.n == 0 || es[i].link || is_cache(az_path_base(rel)))
				continue;
			if (es[i].dir && n_dirs < DIRS_MAX) {
				const char *p = work_tree_path(j, rel);

				if (!p)
					return job_nomem(err);
				if (az_path_ok(rel, NULL) == AZ_OK)
					dirs[n_dirs++] = p;
				else
					out->odd++;
			} else if (es[i].dir) {
				out->cut = true;
			} else if (es[i].file) {
				rc = add(j, out, &es[i], rel, err);
				if (rc != AZ_OK)
					return rc;
			}
		}
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_path);
	return AZ_OK;
}

static const struct tree_entry *
find(const struct tree_list *l, struct az_str path)
{
	struct tree_entry key = {.path = path};

	return l->n ? bsearch(&key, l->v, l->n, sizeof(key), by_path) : NULL;
}

struct taker {
	struct work_job *j;
	struct az_blob_writer *w;
	int64_t room;
	bool full;
};

static enum az_code
take_chunk(void *arg, struct az_str chunk, struct az_err *err)
{
	struct taker *t = arg;

	if (job_cancelled(t->j))
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	if ((int64_t)chunk.n > t->room) {
		t->full = true;
		return az_fail(err, AZ_ETOOBIG, OP, "the program wrote too much");
	}
	t->room -= (int64_t)chunk.n;
	return job_store_rc(az_blob_write(t->w, chunk, err), err);
}

/* One file into the store and the manifest. */
static enum az_code
take(struct work_job *j, const struct work_box *b, const struct tree_entry *e,
    struct az_manifest *m, struct tree_stats *st, struct az_err *err)
{
	struct az_file f = {
	    .path = e->path, .modified_ms = e->modified_ms, .mode = e->mode & 0111 ? 0755 : 0644};
	struct taker t = {.j = j, .room = (int64_t)AZ_LIM_COLLECT_BYTES - st->bytes};
	const char *from = work_tree_path(j, e->path);
	struct az_err x = AZ_ERR_INIT;
	enum az_code rc;

	if (!from)
		return job_nomem(err);
	rc = az_blob_open(j->w->store, &j->bkt, job_wid(j), (struct az_str){0}, &t.w, err);
	if (rc != AZ_OK)
		return job_store_rc(rc, err);
	rc = az_sandbox_download(j->sandbox, &b->ref, from, take_chunk, &t, &x);
	if (rc != AZ_OK) {
		az_blob_abort(t.w);
		if (t.full) {
			st->cut = true;
			return AZ_OK;
		}
		/* gone or unreadable meanwhile: then it is not part of the output */
		if (rc == AZ_EINVAL || rc == AZ_EPERM ||
		    (rc == AZ_ENOTFOUND && strcmp(x.reason, "sandbox_gone") != 0))
			return AZ_OK;
		rc = strcmp(x.reason, "store_unavailable") == 0 ? rc : job_sandbox_rc(rc, &x);
		if (err)
			*err = x;
		return rc;
	}
	rc = job_store_rc(az_blob_commit(t.w, &f, err), err);
	if (rc != AZ_OK)
		return rc;
	if (az_manifest_set(m, &f, NULL) != AZ_OK)
		return AZ_OK; /* a file where the source has a directory */
	st->collected++;
	st->bytes += f.size;
	return AZ_OK;
}

/*
 * Which files of now are new or were changed: by size and time, and where these are as they
 * were, by content.
 */
static enum az_code
changes(struct work_job *j, const struct work_box *b, const struct tree_list *before,
    const struct tree_list *now, const struct az_manifest *m, bool **out, struct az_err *err)
{
	const struct tree_entry **same = az_arena_alloc(j->a, (now->n + 1) * sizeof(*same));
	char(*sums)[AZ_SUM_BYTES] = az_arena_alloc(j->a, (now->n + 1) * sizeof(*sums));
	bool *changed = az_arena_alloc(j->a, now->n + 1);
	enum az_code rc;
	size_t n = 0;

	if (!same || !sums || !changed)
		return job_nomem(err);
	for (size_t i = 0; i < now->n; i++) {
		const struct tree_entry *e = &now->v[i], *was = find(before, e->path);

		changed[i] = !was || was->size != e->size || was->modified_ms != e->modified_ms;
		if (!changed[i])
			same[n++] = e;
	}
	rc = work_tree_sums(j, b, same, n, sums, err);
	for (size_t k = 0; rc == AZ_OK && k < n; k++) {
		const struct az_file *f = az_manifest_find(m, same[k]->path);

		changed[same[k] - now->v] = f && sums[k][0] && strcmp(sums[k], f->sha256) != 0;
	}
	*out = changed;
	return rc;
}

enum az_code
work_tree_collect(struct work_job *j, const struct work_box *b, const struct tree_list *before,
    struct az_manifest *m, struct tree_stats *st, struct az_err *err)
{
	struct tree_list now;
	bool *changed = NULL;
	enum az_code rc = work_tree_list(j, b, &now, err);

	*st = (struct tree_stats){.cut = now.cut};
	if (rc == AZ_OK)
		rc = changes(j, b, before, &now, m, &changed, err);
	for (size_t i = 0; rc == AZ_OK && changed && i < now.n; i++) {
		const struct tree_entry *e = &now.v[i];

		if (!changed[i])
			continue;
		if (job_cancelled(j))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		if (e->size > (int64_t)AZ_LIM_COLLECT_BYTES - st->bytes) {
			st->cut = true;
			continue;
		}
		rc = take(j, b, e, m, st, err);
	}
	return rc;
}
