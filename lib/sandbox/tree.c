/*
 * Whole trees in few requests, on top of what an adapter offers. Up: small files share a
 * form. Down: small files come in a tar that a command in the sandbox writes to its standard
 * output. Both the command and the sandbox are a stranger's, so the tar is read behind
 * limits, and what it does not bring is asked for singly.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/archive.h>
#include <azlon/limits.h>
#include "port.h"

enum {
	TOGETHER_BYTES = AZ_MIB(1), /* larger files travel alone */
	UP_FILES = 100,             /* a form with more is refused by some */
	UP_BYTES = AZ_MIB(8),
	DOWN_FILES = 500,
	DOWN_BYTES = AZ_MIB(8),
	DOWN_NAMES = AZ_KIB(64), /* arguments of one command */
	TAR_ENTRY = AZ_KIB(8),   /* what an entry may need besides its body: long names */
	TAR_S = 60
};

/* ---- up ---- */

/* Can the path stand in the head of a part as it is? How readers take quotes, backslashes
   and percent signs there differs. */
static bool
form_path(const char *path)
{
	size_t n = 0;

	for (; path[n]; n++)
		if ((unsigned char)path[n] < ' ' || path[n] == 0x7f || strchr("\"\\%", path[n]))
			return false;
	return n > 0 && n < 4000;
}

static bool
small(const struct az_sb_put *f)
{
	return f->bytes >= 0 && f->bytes <= TOGETHER_BYTES && form_path(f->path);
}

static enum az_code
up_alone(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_puts *p, size_t i,
    struct az_err *err)
{
	enum az_code rc = p->open(p->arg, i, err);

	return rc != AZ_OK
		   ? rc
		   : az_sandbox_upload(s, b, p->v[i].path, p->v[i].bytes, p->read, p->arg, err);
}

enum az_code
az_sandbox_upload_many(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_puts *p,
    struct az_err *err)
{
	enum az_code rc = sandbox_ref_ok(b, "sandbox.upload", err);
	bool forms = true;
	size_t i = 0;

	while (i < p->n && rc == AZ_OK) {
		int64_t bytes = 0;
		size_t k = 0;

		for (; forms && k < UP_FILES && i + k < p->n && small(&p->v[i + k]); k++) {
			bytes += p->v[i + k].bytes;
			if (bytes > UP_BYTES)
				break;
		}
		if (k > 1) {
			rc = s->ops->upload_form(s, b, p, i, k, err);
			if (rc == AZ_EUNSUPPORTED) {
				forms = false;
				rc = AZ_OK;
				continue;
			}
			i += k;
		} else {
			rc = up_alone(s, b, p, i++, err);
		}
	}
	return rc;
}

/* ---- down ---- */

struct fetch {
	struct az_sandbox *s;
	const struct az_box_ref *b;
	const struct az_sb_gets *g;
	bool *done; /* of g->v */
	bool no_tar;
	size_t batch[DOWN_FILES], n; /* indices into g->v, of the tar under way */
	size_t seen;                 /* where in batch the last entry was */
	struct az_buf tar;
	size_t now;        /* the file that is open */
	bool open, enough; /* enough: the caller wants no more of it */
	enum az_code mine; /* the caller failed */
};

static enum az_code
open_file(struct fetch *f, size_t i, struct az_err *err)
{
	f->now = i;
	f->enough = false;
	f->mine = f->g->begin(f->g->arg, i, err);
	f->open = f->mine == AZ_OK;
	return f->mine;
}

static enum az_code
close_file(struct fetch *f, bool whole, struct az_err *err)
{
	enum az_code rc;

	if (!f->open)
		return AZ_OK;
	f->open = false;
	rc = f->g->end(f->g->arg, f->now, whole, err);
	if (rc != AZ_OK)
		f->mine = rc;
	return rc;
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	struct fetch *f = arg;
	enum az_code rc = f->enough ? AZ_OK : f->g->data(f->g->arg, bytes, err);

	f->enough = f->enough || rc == AZ_ETOOBIG;
	if (rc != AZ_OK && rc != AZ_ETOOBIG)
		f->mine = rc;
	return rc == AZ_ETOOBIG ? AZ_OK : rc;
}

/* The rest of a single file need not come at all. */
static enum az_code
on_single(void *arg, struct az_str bytes, struct az_err *err)
{
	struct fetch *f = arg;
	enum az_code rc = on_data(f, bytes, err);

	return rc == AZ_OK && f->enough ? AZ_ETOOBIG : rc;
}

static enum az_code
on_entry(void *arg, struct az_str path, enum az_tar_kind kind, bool *take, struct az_err *err)
{
	struct fetch *f = arg;
	enum az_code rc;
	size_t k, i = 0;

	/* a second name of a file comes without its bytes */
	if (kind == AZ_TAR_HARDLINK)
		return AZ_OK;
	for (k = 0; k < f->n; k++) {
		i = f->batch[(f->seen + k) % f->n];
		if (az_str_eqc(path, f->g->v[i].path))
			break;
	}
	if (k == f->n || f->done[i])
		return AZ_OK; /* not asked for, or come already */
	f->seen = (f->seen + k + 1) % f->n;
	*take = kind == AZ_TAR_FILE;
	rc = open_file(f, i, err);
	if (rc == AZ_OK && !*take) { /* it became a link or the like: not a file any more */
		f->done[i] = true;
		rc = close_file(f, false, err);
	}
	return rc;
}

static enum az_code
on_entry_end(void *arg, struct az_err *err)
{
	struct fetch *f = arg;

	f->done[f->now] = true;
	return close_file(f, !f->enough, err);
}

static enum az_code
on_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct fetch *f = arg;

	if (stream != 1)
		return AZ_OK;
	az_buf_adds(&f->tar, bytes);
	return az_buf_check(&f->tar, "sandbox.fetch", err);
}

static bool
on_wait(void *arg)
{
	const struct fetch *f = arg;

	return f->g->cancelled && f->g->cancelled(f->g->arg);
}

/* Failures of one file, after which the others are still to be had. */
static bool
only_this(enum az_code rc, const struct az_err *err)
{
	return rc == AZ_EINVAL || rc == AZ_EPERM || rc == AZ_ETOOBIG || rc == AZ_EUNSUPPORTED ||
	       rc == AZ_EUPSTREAM || (rc == AZ_ENOTFOUND && !az_sandbox_is_gone(err));
}

/* Have the batch packed; *usable: f->tar has it. */
static enum az_code
pack(struct fetch *f, int64_t bytes, bool *usable, struct az_err *err)
{
	const char *argv[DOWN_FILES + 8] = {"tar", "-c", "-f", "-", "-C", f->g->dir, "--"};
	/* a program may have put another tar where its own programs are looked for */
	static const char *const env[] = {
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
	    "TAR_OPTIONS=", NULL};
	struct az_sb_cmd c = {.argv = argv,
	    .env = env,
	    .timeout_s = TAR_S,
	    .output = on_output,
	    .cancelled = on_wait,
	    .arg = f};
	struct az_sb_result r;
	enum az_code rc;
	size_t k;

	for (k = 0; k < f->n; k++)
		argv[7 + k] = f->g->v[f->batch[k]].path;
	argv[7 + k] = NULL;
	az_buf_release(&f->tar);
	az_buf_init(&f->tar, (size_t)bytes + f->n * TAR_ENTRY + AZ_KIB(64));
	rc = az_sandbox_run(f->s, f->b, &c, &r, err);
	if (rc != AZ_OK)
		return only_this(rc, err) ? AZ_OK : rc;
	if (r.end == AZ_END_CANCELLED)
		return az_fail(err, AZ_ECANCELLED, "sandbox.fetch", "cancelled");
	f->no_tar = r.end == AZ_END_EXITED && (r.exit_code == 126 || r.exit_code == 127);
	/* an explanation of success says that output may be missing */
	*usable = r.end == AZ_END_EXITED && r.exit_code == 0 && !r.error[0];
	return AZ_OK;
}

static enum az_code
unpack(struct fetch *f, int64_t bytes, struct az_err *err)
{
	const struct az_archive_limits lim = {
	    .entries = 2 * f->n + 16, .file_bytes = bytes, .total_bytes = bytes};
	const struct az_tar_in in = {on_entry, on_data, on_entry_end, f};
	enum az_code rc;

	f->seen = 0;
	f->mine = AZ_OK;
	rc = az_archive_tar(az_buf_str(&f->tar), &lim, &in, err);
	if (f->mine != AZ_OK || rc == AZ_OK || rc == AZ_ENOMEM) {
		enum az_code x = close_file(f, false, NULL);

		(void)x; /* rc is why */
		return rc;
	}
	/* damaged or too large: what came whole stays, the rest is asked for singly */
	return close_file(f, false, err);
}

/* The next small files from *at on; their bytes. */
static int64_t
fill(struct fetch *f, size_t *at)
{
	int64_t bytes = 0;
	size_t names = 0;

	for (f->n = 0; *at < f->g->n && f->n < DOWN_FILES; ++*at) {
		const struct az_sb_get *v = &f->g->v[*at];

		if (v->bytes > TOGETHER_BYTES)
			continue;
		if (f->n && (bytes + v->bytes > DOWN_BYTES || names + strlen(v->path) > DOWN_NAMES))
			break;
		bytes += v->bytes;
		names += strlen(v->path) + 1;
		f->batch[f->n++] = *at;
	}
	return bytes;
}

static enum az_code
alone(struct fetch *f, size_t i, struct az_err *err)
{
	const struct az_sb_get *v = &f->g->v[i];
	struct az_err x = AZ_ERR_INIT;
	char path[4096];
	enum az_code rc;
	int n = snprintf(path, sizeof path, "%s/%s", f->g->dir, v->path);

	if ((rc = open_file(f, i, err)) != AZ_OK)
		return rc;
	rc = n < 0 || (size_t)n >= sizeof path
		 ? AZ_EINVAL
		 : az_sandbox_download(f->s, f->b, path, on_single, f, &x);
	if (f->mine == AZ_OK && (rc == AZ_OK || f->enough || only_this(rc, &x)))
		return close_file(f, rc == AZ_OK, err);
	if (err)
		*err = x;
	(void)!close_file(f, false, NULL);
	return rc;
}

enum az_code
az_sandbox_fetch(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_gets *g,
    struct az_err *err)
{
	struct az_err own = AZ_ERR_INIT;
	struct fetch *f = calloc(1, sizeof *f);
	enum az_code rc = AZ_OK;
	size_t at = 0, i;

	if (!err)
		err = &own;
	if (!f || !(f->done = calloc(g->n + 1, sizeof *f->done))) {
		free(f);
		return az_fail(err, AZ_ENOMEM, "sandbox.fetch", "out of memory");
	}
	f->s = s;
	f->b = b;
	f->g = g;
	az_buf_init(&f->tar, 1);
	while (rc == AZ_OK && !f->no_tar && at < g->n) {
		int64_t bytes = fill(f, &at);
		bool usable = false;

		if (f->n < 2)
			continue; /* one request either way */
		rc = pack(f, bytes, &usable, err);
		if (rc == AZ_OK && usable)
			rc = unpack(f, bytes, err);
	}
	for (i = 0; i < g->n && rc == AZ_OK; i++) {
		if (f->done[i])
			continue;
		if (on_wait(f))
			rc = az_fail(err, AZ_ECANCELLED, "sandbox.fetch", "cancelled");
		else
			rc = alone(f, i, err);
	}
	az_buf_release(&f->tar);
	free(f->done);
	free(f);
	return rc;
}
