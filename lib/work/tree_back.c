/*
 * Files of the sandbox on their way back. That way is hostile: the program chose the names,
 * may have made endless files, and may still be busy. Links are not followed.
 */
#include "box.h"

#include <stdlib.h>
#include <azlon/path.h>

#define OP "work.tree"

enum { DIRS_MAX = 500, DEEP = 16 /* levels of one listing */ };

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

/* Does a directory on the way to path hold nothing we want, or has path such a name? */
static bool
in_cache(struct az_str path)
{
	struct az_str part;

	while (az_str_cut(&path, '/', &part))
		if (is_cache(part))
			return true;
	return false;
}

struct walk {
	struct work_job *j;
	const struct work_box *b;
	struct tree_list *out;
	const char *dirs[DIRS_MAX]; /* to be listed */
	size_t n_dirs;
	bool level; /* all at once was too much: level by level */
};

/* One listing; *depth is what it reached. AZ_OK with *n 0 when there is nothing to be had. */
static enum az_code
look(struct walk *w, const char *dir, struct az_sb_entry **es, size_t *n, int *depth,
    struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	int deep = w->level ? 1 : DEEP;
	enum az_code rc = az_sandbox_list(w->j->sandbox, &w->b->ref, dir, deep, w->j->a, es, n, &e);

	/* services say "too much" in several ways; one that is away fails once more */
	if (rc != AZ_OK && rc != AZ_ECANCELLED && !az_sandbox_is_gone(&e) && !w->level) {
		w->level = true;
		deep = 1;
		rc = az_sandbox_list(w->j->sandbox, &w->b->ref, dir, deep, w->j->a, es, n, &e);
	}
	*depth = deep;
	if (rc == AZ_ETOOBIG) {
		w->out->cut = true;
		return AZ_OK;
	}
	/* removed meanwhile, or made unreadable by the program */
	if (rc == AZ_EINVAL || rc == AZ_EPERM || (rc == AZ_ENOTFOUND && !az_sandbox_is_gone(&e)))
		return AZ_OK;
	if (rc != AZ_OK) {
		rc = job_sandbox_rc(rc, &e);
		if (err)
			*err = e;
	}
	return rc;
}

/* What one listing of dir, depth levels deep, found. */
static enum az_code
sort_out(struct walk *w, const char *dir, const struct az_sb_entry *es, size_t n, int depth,
    struct az_err *err)
{
	size_t skip = strlen(dir) + 1;
	enum az_code rc = AZ_OK;

	for (size_t i = 0; i < n && rc == AZ_OK; i++) {
		struct az_str rel = relative(es[i].path);
		int levels = 1;

		if (rel.n == 0 || es[i].link || in_cache(rel))
			continue;
		for (size_t k = skip; k < es[i].path.n; k++)
			levels += es[i].path.p[k] == '/';
		if (es[i].file) {
			rc = add(w->j, w->out, &es[i], rel, err);
		} else if (es[i].dir && levels >= depth) {
			const char *p = work_tree_path(w->j, rel);

			if (!p)
				return job_nomem(err);
			if (az_path_ok(rel, NULL) != AZ_OK)
				w->out->odd++;
			else if (w->n_dirs == DIRS_MAX)
				w->out->cut = true;
			else
				w->dirs[w->n_dirs++] = p;
		}
	}
	return rc;
}

enum az_code
work_tree_list(
    struct work_job *j, const struct work_box *b, struct tree_list *out, struct az_err *err)
{
	struct walk w = {.j = j, .b = b, .out = out, .dirs = {AZ_PLAN_APP}, .n_dirs = 1};
	enum az_code rc = AZ_OK;

	*out = (struct tree_list){0};
	for (size_t d = 0; d < w.n_dirs && rc == AZ_OK; d++) {
		struct az_sb_entry *es = NULL;
		size_t n = 0;
		int depth;

		if (job_cancelled(j))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		rc = look(&w, w.dirs[d], &es, &n, &depth, err);
		if (rc == AZ_OK)
			rc = sort_out(&w, w.dirs[d], es, n, depth, err);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_path);
	return rc;
}

static const struct tree_entry *
find(const struct tree_list *l, struct az_str path)
{
	struct tree_entry key = {.path = path};

	return l->n ? bsearch(&key, l->v, l->n, sizeof(key), by_path) : NULL;
}

struct taker {
	struct work_job *j;
	const struct tree_entry *const *v; /* asked for */
	struct az_manifest *m;
	struct tree_stats *st;
	struct az_blob_writer *w;
	int64_t bytes; /* of the file under way */
	enum az_code store;
};

static bool
take_stopped(void *arg)
{
	return job_cancelled(((struct taker *)arg)->j);
}

static enum az_code
take_begin(void *arg, size_t i, struct az_err *err)
{
	struct taker *t = arg;

	(void)i;
	t->bytes = 0;
	t->store = job_store_rc(
	    az_blob_open(t->j->w->store, &t->j->bkt, job_wid(t->j), (struct az_str){0}, &t->w, err),
	    err);
	return t->store;
}

static enum az_code
take_data(void *arg, struct az_str chunk, struct az_err *err)
{
	struct taker *t = arg;

	if (take_stopped(t))
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	t->bytes += (int64_t)chunk.n;
	if (t->bytes > (int64_t)AZ_LIM_COLLECT_BYTES - t->st->bytes) {
		t->st->cut = true;
		return az_fail(err, AZ_ETOOBIG, OP, "the program wrote too much");
	}
	t->store = job_store_rc(az_blob_write(t->w, chunk, err), err);
	return t->store;
}

/* One file into the store and the manifest. What is gone or unreadable meanwhile is not
   part of the output. */
static enum az_code
take_end(void *arg, size_t i, bool whole, struct az_err *err)
{
	struct taker *t = arg;
	const struct tree_entry *e = t->v[i];
	struct az_file f = {
	    .path = e->path, .modified_ms = e->modified_ms, .mode = e->mode & 0111 ? 0755 : 0644};

	if (!whole) {
		az_blob_abort(t->w);
		return AZ_OK;
	}
	t->store = job_store_rc(az_blob_commit(t->w, &f, err), err);
	if (t->store != AZ_OK)
		return t->store;
	if (az_manifest_set(t->m, &f, NULL) != AZ_OK)
		return AZ_OK; /* a file where the source has a directory */
	t->st->collected++;
	t->st->bytes += f.size;
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

/* Those of now that are to be taken, within the limit. */
static enum az_code
choose(struct work_job *j, const struct tree_list *now, const bool *changed,
    const struct tree_entry ***out, struct az_sb_get **gets, size_t *n, struct tree_stats *st,
    struct az_err *err)
{
	const struct tree_entry **v = az_arena_alloc(j->a, (now->n + 1) * sizeof(*v));
	struct az_sb_get *g = az_arena_alloc(j->a, (now->n + 1) * sizeof(*g));
	int64_t room = AZ_LIM_COLLECT_BYTES;

	*n = 0;
	if (!v || !g)
		return job_nomem(err);
	for (size_t i = 0; i < now->n; i++) {
		const struct tree_entry *e = &now->v[i];

		if (!changed[i])
			continue;
		if (e->size > room) {
			st->cut = true;
			continue;
		}
		room -= e->size;
		v[*n] = e;
		g[*n] = (struct az_sb_get){az_arena_cstr(j->a, e->path), e->size};
		if (!g[(*n)++].path)
			return job_nomem(err);
	}
	*out = v;
	*gets = g;
	return AZ_OK;
}

enum az_code
work_tree_collect(struct work_job *j, const struct work_box *b, const struct tree_list *before,
    struct az_manifest *m, struct tree_stats *st, struct az_err *err)
{
	struct taker t = {.j = j, .m = m, .st = st};
	const struct tree_entry **v = NULL;
	struct az_err x = AZ_ERR_INIT;
	struct az_sb_get *g = NULL;
	struct tree_list now;
	bool *changed = NULL;
	size_t n = 0;
	enum az_code rc = work_tree_list(j, b, &now, err);

	*st = (struct tree_stats){.cut = now.cut};
	if (rc == AZ_OK)
		rc = changes(j, b, before, &now, m, &changed, err);
	if (rc == AZ_OK && changed)
		rc = choose(j, &now, changed, &v, &g, &n, st, err);
	if (rc != AZ_OK || n == 0)
		return rc;
	t.v = v;
	rc = az_sandbox_fetch(j->sandbox, &b->ref,
	    &(struct az_sb_gets){.dir = AZ_PLAN_APP,
		.v = g,
		.n = n,
		.begin = take_begin,
		.data = take_data,
		.end = take_end,
		.cancelled = take_stopped,
		.arg = &t},
	    &x);
	if (rc != AZ_OK) {
		if (t.store == AZ_OK)
			rc = job_sandbox_rc(rc, &x);
		if (err)
			*err = x;
	}
	return rc;
}
