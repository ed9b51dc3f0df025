/*
 * GET …/iterations/{n}/diff: what was changed between two trees, in the form that git apply and
 * patch take. Whoever asks for much gets the beginning of it, and a header that says so.
 */
#include <stdatomic.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "diff.h"
#include "run.h"

#define FILE_BYTES AZ_MIB(1)     /* of each side; larger ones are only named */
#define ANSWER_BYTES AZ_MIB(4)   /* all of it is held: the header comes first */
#define REST_BYTES ((size_t)100) /* of it: what is not in it */
#define TREES_BYTES AZ_MIB(64)
#define TIME_MS 5000
#define AT_ONCE 4 /* in a process: others are to be served as well */

struct work {
	const struct run_iter *it;
	struct az_manifest from, to;
	struct az_buf out;
	const char *cut; /* why it is not all, or NULL */
	int64_t until_ms;
	size_t more; /* files that are not in it */
};

/* ---- one file ---- */

static void
put_name(struct az_buf *b, const char *side, struct az_str path)
{
	bool plain = az_str_chr(path, '"') < 0 && az_str_chr(path, '\\') < 0;

	az_buf_addf(b, "%s%s", plain ? "" : "\"", side);
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '"' || path.p[i] == '\\')
			az_buf_addch(b, '\\');
		az_buf_addch(b, path.p[i]);
	}
	az_buf_addc(b, plain ? "" : "\"");
}

/* "--- a/x" or "+++ b/x"; a name with a blank ends at a tab. */
static void
put_side(struct az_buf *b, const char *mark, const char *side, const struct az_file *f)
{
	az_buf_addf(b, "%s ", mark);
	if (f)
		put_name(b, side, f->path);
	else
		az_buf_addc(b, "/dev/null");
	az_buf_addc(b, f && az_str_chr(f->path, ' ') >= 0 ? "\t\n" : "\n");
}

static unsigned
mode_of(const struct az_file *f)
{
	return f->mode & 0111 ? 0100755 : 0100644;
}

static void
put_head(struct az_buf *b, const struct az_file *old, const struct az_file *now)
{
	const struct az_file *any = old ? old : now;

	if (!any)
		return;
	az_buf_addc(b, "diff --git ");
	put_name(b, "a/", any->path);
	az_buf_addc(b, " ");
	put_name(b, "b/", any->path);
	if (!old)
		az_buf_addf(b, "\nnew file mode %o\n", mode_of(now));
	else if (!now)
		az_buf_addf(b, "\ndeleted file mode %o\n", mode_of(old));
	else if (mode_of(old) != mode_of(now))
		az_buf_addf(b, "\nold mode %o\nnew mode %o\n", mode_of(old), mode_of(now));
	else
		az_buf_addc(b, "\n");
}

static void
put_unshown(
    struct az_buf *b, const char *what, const struct az_file *old, const struct az_file *now)
{
	az_buf_addf(b, "%s ", what);
	if (old)
		put_name(b, "a/", old->path);
	else
		az_buf_addc(b, "/dev/null");
	az_buf_addc(b, " and ");
	if (now)
		put_name(b, "b/", now->path);
	else
		az_buf_addc(b, "/dev/null");
	az_buf_addc(b, " differ\n");
}

static enum az_code
read_file(const struct work *w, const struct az_file *f, struct az_buf *out, struct az_err *err)
{
	const struct run_iter *it = w->it;
	struct az_buf key;
	enum az_code rc;

	if (!f)
		return AZ_OK;
	az_buf_init(&key, 1024);
	az_key_blob(&key, it->wid, az_file_blob(f));
	rc = az_store_get(it->api->store, &it->bucket, az_buf_str(&key), out, err);
	az_buf_release(&key);
	return api_store_rc(rc, err);
}

static bool
too_large(const struct az_file *f)
{
	return f && f->size > (int64_t)FILE_BYTES;
}

static enum az_code
put_bodies(struct work *w, struct az_buf *b, const struct az_file *old, const struct az_file *now,
    struct az_err *err)
{
	struct az_buf was, is;
	size_t head;
	enum az_code rc;

	az_buf_init(&was, FILE_BYTES);
	az_buf_init(&is, FILE_BYTES);
	if ((rc = read_file(w, old, &was, err)) != AZ_OK ||
	    (rc = read_file(w, now, &is, err)) != AZ_OK)
		goto out;
	if (!diff_is_text(az_buf_str(&was)) || !diff_is_text(az_buf_str(&is))) {
		put_unshown(b, "Binary files", old, now);
		goto out;
	}
	if (was.n + is.n == 0) /* an empty file that came or went */
		goto out;
	head = b->n;
	put_side(b, "---", "a/", old);
	put_side(b, "+++", "b/", now);
	rc = diff_hunks(az_buf_str(&was), az_buf_str(&is), DIFF_STEPS, b, err);
	if (rc == AZ_ETOOBIG && !b->fail) {
		az_buf_cut(b, head);
		put_unshown(b, "Files with too many lines", old, now);
		w->cut = "size";
		rc = AZ_OK;
	}
out:
	az_buf_release(&was);
	az_buf_release(&is);
	return rc;
}

/* All of a file's part or, where the answer has no room for it, nothing. */
static enum az_code
put_file(struct work *w, const struct az_file *old, const struct az_file *now, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc = AZ_OK;

	az_buf_init(&b, ANSWER_BYTES - REST_BYTES - w->out.n);
	put_head(&b, old, now);
	if (too_large(old) || too_large(now)) {
		put_unshown(&b, "Files too large to show", old, now);
		w->cut = "size";
	} else if (!old || !now || strcmp(old->sha256, now->sha256) != 0) {
		rc = put_bodies(w, &b, old, now, err);
	}
	if (b.fail == AZ_ETOOBIG) {
		w->cut = "size";
		w->more++;
		rc = AZ_OK;
	} else if (rc == AZ_OK && (rc = az_buf_check(&b, "api.diff", err)) == AZ_OK) {
		az_buf_adds(&w->out, az_buf_str(&b));
	}
	az_buf_release(&b);
	return rc;
}

/* ---- two trees ---- */

static enum az_code
put_trees(struct work *w, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (size_t i = 0, k = 0; rc == AZ_OK && (i < w->from.n || k < w->to.n);) {
		int order = i == w->from.n ? 1
			    : k == w->to.n ? -1
					   : az_str_cmp(w->from.files[i].path, w->to.files[k].path);
		const struct az_file *old = order <= 0 ? &w->from.files[i++] : NULL;
		const struct az_file *now = order >= 0 ? &w->to.files[k++] : NULL;

		if (old && now && strcmp(old->sha256, now->sha256) == 0 &&
		    mode_of(old) == mode_of(now))
			continue;
		if (!w->more && az_boot_ms() >= w->until_ms) {
			w->cut = "time";
			w->more++;
		} else if (w->more) {
			w->more++;
		} else {
			rc = put_file(w, old, now, err);
		}
	}
	return rc;
}

/* What people see of an iteration. A run without inputs begins with nothing. */
static enum az_code
load(
    const struct run_iter *it, int n, struct az_arena *a, struct az_manifest *m, struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;

	az_manifest_init(m, a);
	if (n < 0)
		return AZ_OK;
	az_buf_init(&key, 1024);
	az_key_iter(&key, it->wid, n, "manifest");
	rc = az_manifest_load(m, it->api->store, &it->bucket, az_buf_str(&key), err);
	az_buf_release(&key);
	return rc == AZ_ENOTFOUND && n == 0 ? AZ_OK : api_store_rc(rc, err);
}

static enum az_code
compared(struct run_iter *it, int against, struct work *w, struct az_err *err)
{
	struct az_arena *a = az_arena_new(TREES_BYTES);
	enum az_code rc = a ? AZ_OK : az_fail(err, AZ_ENOMEM, "api.diff", "out of memory");

	if (rc == AZ_OK)
		rc = load(it, it->n, a, &w->to, err);
	if (rc == AZ_OK)
		rc = load(it, against, a, &w->from, err);
	if (rc == AZ_OK)
		rc = put_trees(w, err);
	if (rc == AZ_OK && w->more)
		az_buf_addf(&w->out, "# and %zu more that differ\n", w->more);
	az_arena_free(a);
	return rc;
}

enum az_code
run_diff(struct az_rq *rq, void *app, struct az_err *err)
{
	static atomic_int under_way;
	struct work w = {.until_ms = az_boot_ms() + TIME_MS};
	struct run_iter it;
	int64_t against;
	enum az_code rc = run_iter_open(&it, rq, app, err);

	if (rc != AZ_OK || (rc = az_rq_query_i64(rq, "against", 0, AZ_LIM_ITERATIONS_MAX, it.n - 1,
				&against, err)) != AZ_OK)
		return rc;
	w.it = &it;
	az_buf_init(&w.out, ANSWER_BYTES);
	if (atomic_fetch_add(&under_way, 1) < AT_ONCE) {
		rc = compared(&it, (int)against, &w, err);
	} else {
		az_fail(err, AZ_EUNAVAIL, "api.diff", "Too many comparisons at once; try again.");
		err->retry_after_ms = 1000;
		rc = az_err_reason(err, "busy");
	}
	atomic_fetch_sub(&under_way, 1);
	if (rc == AZ_OK && (rc = az_buf_check(&w.out, "api.diff", err)) == AZ_OK) {
		az_rs_header(rq, "Content-Type", AZ_S("text/x-diff; charset=utf-8"));
		az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
		if (w.cut)
			az_rs_header(rq, "X-Azlon-Cut", az_str_c(w.cut));
		rc = az_rs_text(rq, 200, az_buf_str(&w.out), err);
	}
	az_buf_release(&w.out);
	return rc;
}
