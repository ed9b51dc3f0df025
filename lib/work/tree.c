/* Files of a manifest on their way to the sandbox; for the way back see tree_back.c. */
#include "box.h"

#include <azlon/keys.h>

#define OP "work.tree"

enum { CHMOD_BATCH = 100 };

char *
work_tree_path(struct work_job *j, struct az_str path)
{
	return az_arena_printf(j->a, AZ_PLAN_APP "/%.*s", AZ_FMT(path));
}

struct source {
	struct work_job *j;
	const struct az_file *files;
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

static enum az_code
open_blob(void *arg, size_t i, struct az_err *err)
{
	struct source *s = arg;
	const struct az_file *f = &s->files[i];
	struct work_job *j = s->j;
	enum az_code rc;
	struct az_buf key;

	az_store_get_close(s->g);
	s->g = NULL;
	az_buf_init(&key, 1024);
	az_key_blob(&key, job_wid(j), az_file_blob(f));
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = az_store_get_open(j->w->store, &j->bkt, az_buf_str(&key), 0, NULL, &s->g, err);
	az_buf_release(&key);
	if (rc == AZ_ENOTFOUND) {
		az_fail(err, AZ_EUNAVAIL, OP, "a stored file is missing: %.*s", AZ_FMT(f->path));
		rc = AZ_EUNAVAIL;
	}
	return job_store_rc(rc, err);
}

/* n files of a manifest, in few requests. */
static enum az_code
upload(struct work_job *j, const struct work_box *b, const struct az_file *files, size_t n,
    struct az_err *err)
{
	struct source s = {.j = j, .files = files};
	struct az_sb_put *v = az_arena_alloc(j->a, (n + 1) * sizeof(*v));
	enum az_code rc;

	if (!v)
		return job_nomem(err);
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct az_sb_put){work_tree_path(j, files[i].path), files[i].size};
		if (!v[i].path)
			return job_nomem(err);
	}
	rc = az_sandbox_upload_many(j->sandbox, &b->ref,
	    &(struct az_sb_puts){.v = v, .n = n, .open = open_blob, .read = read_blob, .arg = &s},
	    err);
	az_store_get_close(s.g);
	return job_sandbox_rc(rc, err);
}

enum az_code
work_tree_upload_file(
    struct work_job *j, const struct work_box *b, const struct az_file *f, struct az_err *err)
{
	return upload(j, b, f, 1, err);
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
		if (rc == AZ_ENOTFOUND && !az_sandbox_is_gone(err))
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
	if (job_cancelled(j))
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	rc = upload(j, b, m->files, m->n, err);
	return rc == AZ_OK ? make_executable(j, b, m, err) : rc;
}
