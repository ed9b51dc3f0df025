/* One file on its way into a box: the agent writes it beside its place, then renames. */
#include "files.h"

#include <stdlib.h>

static const char op[] = "box.files";

enum az_code
no_space(const struct az_box_server *s, struct az_err *err)
{
	enum az_code rc = az_fail(
	    err, AZ_EIO, op, "no space left: disk limit (%lld MiB)", (long long)(s->disk >> 20));

	az_err_reason(err, "no_space");
	return rc;
}

enum az_code
put_begin(struct put *u, struct az_str path, struct az_err *err)
{
	struct az_buf payload;
	struct aw_frame f;
	struct az_str at;
	enum az_code rc;

	if (!path.n)
		return az_fail(err, AZ_EINVAL, op, "no path given");
	free(u->path);
	u->path = NULL;
	az_buf_init(&payload, AZ_KIB(16));
	put_text(&payload, path);
	az_buf_adds(&payload, u->meta);
	if (!(rc = path_check(&payload, op, err)))
		rc = call_open(u->b, &u->c, AW_WRITE, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	u->open = true;
	if ((rc = call_next(u->b, &u->c, az_boot_ms() + FILE_MS, &f, err)))
		return rc;
	at.p = aw_text(&f.body, &at.n);
	if (f.type != AW_OK || f.body.bad || at.n < 2 || at.p[0] != '/')
		return az_fail(err, AZ_EINTERNAL, op, "bad answer");
	u->path = az_str_dup(at);
	return u->path ? AZ_OK : az_fail(err, AZ_ENOMEM, op, "out of memory");
}

enum az_code
put_bytes(struct put *u, struct az_str s, struct az_err *err)
{
	struct aw_frame f;
	enum az_code rc = AZ_OK;

	/* an answer in between can only be a failure: disk full, say */
	if (call_pending(u->b, &u->c)) {
		rc = call_next(u->b, &u->c, az_boot_ms() + FILE_MS, &f, err);
		return rc ? rc : az_fail(err, AZ_EINTERNAL, op, "bad answer");
	}
	if (!disk_take(u->b, (int64_t)s.n))
		return no_space(u->b->srv, err);
	pthread_mutex_lock(&u->b->mu);
	while (!rc && s.n) {
		size_t n = s.n < AW_MAX ? s.n : AW_MAX;

		rc = link_send(
		    u->b, u->c.id, AW_BYTES, az_str_sub(s, 0, n), (struct az_str){0}, true, err);
		s = az_str_sub(s, n, s.n);
	}
	pthread_mutex_unlock(&u->b->mu);
	return rc;
}

enum az_code
put_end(struct put *u, struct az_jw *w, struct az_err *err)
{
	struct aw_frame f;
	struct entry e = {0};
	enum az_code rc;

	pthread_mutex_lock(&u->b->mu);
	rc = link_send(u->b, u->c.id, AW_COMMIT, (struct az_str){0}, (struct az_str){0}, true, err);
	pthread_mutex_unlock(&u->b->mu);
	if (!rc)
		rc = call_next(u->b, &u->c, az_boot_ms() + FILE_MS, &f, err);
	if (!rc && (f.type != AW_ENTRY || !entry_parse(f.body, &e)))
		rc = az_fail(err, AZ_EINTERNAL, op, "bad answer");
	if (!rc) {
		ptrdiff_t slash = az_str_rchr(e.path, '/');

		az_jw_obj(w);
		az_jw_ks(w, "name", az_str_sub(e.path, (size_t)slash + 1, e.path.n));
		az_jw_ks(w, "path", e.path);
		az_jw_kc(w, "type", "file");
		meta_json(w, e.meta);
		az_jw_end(w, '}');
	}
	call_close(u->b, &u->c, rc != AZ_OK);
	u->open = false;
	return rc;
}

void
put_release(struct put *u)
{
	if (u->open)
		call_close(u->b, &u->c, true);
	u->open = false;
	free(u->path);
	u->path = NULL;
}
