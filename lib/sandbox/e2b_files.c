/* Files of a sandbox: bytes stream up and down over /files, names over RPC. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "e2b_files.h"
#include "e2b_process.h"

#define ENTRIES_MAX 20000

enum az_code
e2b_files_url(const struct e2b *e, const struct az_box_ref *ref, const char *path,
    struct az_buf *url, const char *op, struct az_err *err)
{
	e2b_envd_url(e, ref, url);
	az_buf_addc(url, "/files");
	if (path) {
		az_buf_addc(url, "?path=");
		az_pct_encode(url, az_str_c(path), "/");
	}
	if (!e2b_default_user(ref))
		az_buf_addc(url, path ? "&username=user" : "?username=user");
	return az_buf_check(url, op, err);
}

bool
e2b_transfer_stopped(struct e2b_transfer *t)
{
	if (e2b_stopped(t->e))
		return true;
	e2b_lease_keep(t->e, t->ref, &t->look_ms);
	return false;
}

enum az_code
e2b_transfer_end(struct e2b_transfer *t, enum az_code rc, const struct az_http_resp *r,
    const char *op, struct az_err *err)
{
	if (rc != AZ_OK && !t->ours && e2b_transport(rc))
		return e2b_explain(t->e, t->ref, op, NULL, err);
	if (rc != AZ_OK || r->status / 100 == 2)
		return rc;
	rc = e2b_envd_fail(r, op, err);
	if (rc == AZ_ENOTFOUND)
		e2b_cause(t->e, t->ref->id, err);
	return rc;
}

struct upload {
	struct e2b_transfer t;
	enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err);
	void *arg;
	int64_t sent;
};

static bool
upload_stopped(void *arg)
{
	return e2b_transfer_stopped(&((struct upload *)arg)->t);
}

static enum az_code
pass_up(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct upload *u = arg;
	enum az_code rc = u->read(u->arg, p, n, got, err);

	if (rc == AZ_OK)
		u->sent += (int64_t)*got;
	else
		u->t.ours = true;
	return rc;
}

enum az_code
e2b_upload(struct az_sandbox *s, const struct az_box_ref *ref, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err)
{
	static const struct az_json_limits limits = {AZ_MIB(1), 8, 1000};
	struct e2b *e = e2b_of(s);
	struct upload u = {.t = {.e = e, .ref = ref}, .read = read, .arg = arg};
	struct az_http_resp r = {0};
	struct az_json *j = NULL;
	struct e2b_head h;
	struct az_buf url;
	enum az_code rc;

	az_buf_init(&url, AZ_KIB(20));
	if ((rc = e2b_files_url(e, ref, path, &url, "sandbox.upload", err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, ref, NULL, err)) != AZ_OK)
		goto out;
	e2b_head_add(&h, "Content-Type: application/octet-stream");
	rc = az_http_call(e->http,
	    &(struct az_http_req){.method = "POST",
		.url = url.p,
		.headers = h.line,
		.read = pass_up,
		.body_bytes = bytes,
		.cancelled = upload_stopped,
		.arg = &u},
	    &r, err);
	if ((rc = e2b_transfer_end(&u.t, rc, &r, "sandbox.upload", err)) != AZ_OK)
		goto out;
	if (bytes >= 0 && u.sent != bytes) {
		rc = az_fail(err, AZ_EIO, "sandbox.upload", "%lld bytes of %lld were there",
		    (long long)u.sent, (long long)bytes);
		goto out;
	}
	/* success without a written file has been seen: it must be named */
	if (az_json_parse(az_buf_str(&r.body), &limits, &j, NULL) != AZ_OK ||
	    !az_json_gets(az_json_at(j, 0), "path").n) {
		rc = az_fail(
		    err, AZ_EUPSTREAM, "sandbox.upload", "the answer names no written file");
	}
out:
	az_json_free(j);
	az_http_resp_release(&r);
	az_buf_release(&url);
	return rc;
}

struct download {
	struct e2b_transfer t;
	enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err);
	void *arg;
};

static bool
download_stopped(void *arg)
{
	return e2b_transfer_stopped(&((struct download *)arg)->t);
}

static enum az_code
pass_down(void *arg, struct az_str chunk, struct az_err *err)
{
	struct download *d = arg;
	enum az_code rc = d->data(d->arg, chunk, err);

	d->t.ours = rc != AZ_OK;
	return rc;
}

enum az_code
e2b_download(struct az_sandbox *s, const struct az_box_ref *ref, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct download d = {.t = {.e = e, .ref = ref}, .data = data, .arg = arg};
	struct az_http_resp r = {0};
	struct e2b_head h;
	struct az_buf url;
	enum az_code rc;

	az_buf_init(&url, AZ_KIB(20));
	if ((rc = e2b_files_url(e, ref, path, &url, "sandbox.download", err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, ref, NULL, err)) != AZ_OK)
		goto out;
	e2b_head_add(&h, "Accept-Encoding: identity");
	rc = az_http_call(e->http,
	    &(struct az_http_req){.method = "GET",
		.url = url.p,
		.headers = h.line,
		.data = pass_down,
		.cancelled = download_stopped,
		.arg = &d},
	    &r, err);
	rc = e2b_transfer_end(&d.t, rc, &r, "sandbox.download", err);
out:
	az_http_resp_release(&r);
	az_buf_release(&url);
	return rc;
}

/* FILE_TYPE_FILE and FILE_TYPE_DIRECTORY, by name or by number */
static bool
type_is(const struct az_json *e, const char *name, int64_t number)
{
	const struct az_json *t = az_json_get(e, "type");
	int64_t v = 0;

	return az_json_is_str(t) ? az_str_eqc(az_json_str(t), name)
				 : az_json_i64(t, 0, 99, &v) && v == number;
}

static bool
read_entry(const struct az_json *e, struct az_arena *a, struct az_sb_entry *out)
{
	int64_t size = 0, mode = 0;
	const struct az_json *link;

	*out = (struct az_sb_entry){.path = az_arena_str(a, az_json_gets(e, "path"))};
	if (!out->path.p)
		return false;
	out->file = type_is(e, "FILE_TYPE_FILE", 1);
	out->dir = type_is(e, "FILE_TYPE_DIRECTORY", 2);
	/* a link is told as what it points to, with the target beside */
	link = az_json_get(e, "symlinkTarget");
	if (!link)
		link = az_json_get(e, "symlink_target");
	out->link = type_is(e, "FILE_TYPE_SYMLINK", 3) || az_json_str(link).n > 0 ||
		    az_json_getb(e, "isSymlink", false);
	if (e2b_json_i64(az_json_get(e, "size"), &size) && size >= 0)
		out->size = size;
	if (e2b_json_i64(az_json_get(e, "mode"), &mode) && mode >= 0)
		out->mode = (unsigned)(mode & 07777);
	if (!az_rfc3339_parse(az_json_gets(e, "modifiedTime"), &out->modified_ms))
		out->modified_ms = 0;
	return true;
}

static enum az_code
path_call(struct az_sandbox *s, const struct az_box_ref *ref, const char *method, const char *path,
    int depth, struct az_json **reply, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(32));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "path", path);
	if (depth > 0)
		az_jw_ki(&w, "depth", depth);
	az_jw_end(&w, '}');
	if ((rc = az_buf_check(&b, "sandbox.rpc", err)) == AZ_OK)
		rc = e2b_unary(e2b_of(s), ref,
		    &(struct e2b_call){
			.method = method, .body = az_buf_str(&b), .max_bytes = E2B_REPLY_BYTES},
		    reply, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
e2b_list(struct az_sandbox *s, const struct az_box_ref *ref, const char *path, int depth,
    struct az_arena *a, struct az_sb_entry **out, size_t *n, struct az_err *err)
{
	struct az_json *j = NULL;
	const struct az_json *list;
	struct az_sb_entry *v;
	size_t i, count;
	enum az_code rc;

	rc = path_call(
	    s, ref, "filesystem.Filesystem/ListDir", path, depth > 0 ? depth : 1, &j, err);
	if (rc != AZ_OK)
		goto out;
	list = az_json_get(j, "entries");
	count = az_json_len(list);
	if (count > ENTRIES_MAX) {
		rc = az_fail(err, AZ_ETOOBIG, "sandbox.list", "%zu entries in one listing", count);
		goto out;
	}
	if (!(v = az_arena_alloc(a, (count ? count : 1) * sizeof *v))) {
		rc = az_fail(err, AZ_ENOMEM, "sandbox.list", "out of memory");
		goto out;
	}
	for (i = 0; i < count; i++)
		if (!read_entry(az_json_at(list, i), a, &v[i])) {
			rc = az_fail(err, AZ_ENOMEM, "sandbox.list", "out of memory");
			goto out;
		}
	*out = v;
	*n = count;
out:
	az_json_free(j);
	return rc;
}

enum az_code
e2b_mkdir(struct az_sandbox *s, const struct az_box_ref *ref, const char *path, struct az_err *err)
{
	enum az_code rc = path_call(s, ref, "filesystem.Filesystem/MakeDir", path, 0, NULL, err);

	return rc == AZ_ECONFLICT ? AZ_OK : rc; /* there already */
}

enum az_code
e2b_remove(struct az_sandbox *s, const struct az_box_ref *ref, const char *path, struct az_err *err)
{
	struct az_err own = AZ_ERR_INIT;
	enum az_code rc;

	if (!err)
		err = &own;
	rc = path_call(s, ref, "filesystem.Filesystem/Remove", path, 0, NULL, err);
	if (rc == AZ_ENOTFOUND && !az_sandbox_is_gone(err))
		return AZ_OK;
	return rc;
}
