/* Input sets over HTTP: one upload of many files, or one file by PUT. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/multipart.h>
#include <azlon/path.h>
#include "files.h"

static const char op[] = "files.inputs";

enum kind { FORM, ARCHIVE, OTHER };

struct post {
	struct az_rq *rq;
	const struct az_api *api;
	struct upload *u;
	bool expand; /* archives come in as the files they hold */
	/* the part under way */
	bool in_file, spooling;
	int spool; /* unlinked temporary file, -1 */
	int64_t spooled;
};

static enum kind
kind_of(struct az_str type)
{
	static const char *const archives[] = {"application/zip", "application/x-zip-compressed",
	    "application/gzip", "application/x-gzip", "application/x-tar", "application/x-tgz",
	    "application/x-gtar", "application/x-compressed-tar"};
	struct az_str t;

	if (!az_str_cut(&type, ';', &t))
		return OTHER;
	t = az_str_trim(t);
	if (az_str_ieq(t, AZ_S("multipart/form-data")))
		return FORM;
	for (size_t i = 0; i < sizeof archives / sizeof *archives; i++)
		if (az_str_ieq(t, az_str_c(archives[i])))
			return ARCHIVE;
	return OTHER;
}

static bool
archive_name(struct az_str name)
{
	static const char *const ends[] = {".zip", ".tar.gz", ".tgz", ".tar"};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		size_t n = strlen(ends[i]);

		if (name.n > n &&
		    az_str_ieq(az_str_sub(name, name.n - n, name.n), az_str_c(ends[i])))
			return true;
	}
	return false;
}

static enum az_code
spool_open(struct post *p, struct az_err *err)
{
	const char *dir = getenv("TMPDIR");

	p->spool = az_open_spool(dir && dir[0] == '/' ? dir : "/tmp");
	p->spooled = 0;
	if (p->spool < 0)
		return az_fail_errno(err, AZ_EIO, op, "cannot make a temporary file");
	return AZ_OK;
}

static enum az_code
spool_add(struct post *p, struct az_str bytes, struct az_err *err)
{
	p->spooled += (int64_t)bytes.n;
	if (p->spooled > p->api->upload_bytes)
		return az_fail(err, AZ_ETOOBIG, op,
		    "the archive is larger than %lld bytes, the limit for one "
		    "upload",
		    (long long)p->api->upload_bytes);
	if (az_write_all(p->spool, bytes.p, bytes.n) < 0) {
		(void)az_fail_errno(
		    err, AZ_EUNAVAIL, op, "the temporary disk cannot take the upload");
		return az_err_reason(err, "store_full");
	}
	return AZ_OK;
}

static enum az_code
spool_expand(struct post *p, struct az_err *err)
{
	enum az_code rc = upload_archive(p->u, p->spool, err);

	close(p->spool);
	p->spool = -1;
	return rc;
}

/* Old browsers send the path of the file on their machine. */
static struct az_str
tail(struct az_str path)
{
	for (size_t i = path.n; i > 0; i--)
		if (path.p[i - 1] == '/' || path.p[i - 1] == '\\')
			return az_str_sub(path, i, path.n);
	return path;
}

static enum az_code
on_part(void *arg, const struct az_multipart_part *part, struct az_err *err)
{
	struct az_str name = tail(part->filename);
	struct post *p = arg;

	/* a file input that was left empty comes as a nameless, empty file */
	p->in_file = name.n > 0;
	if (!p->in_file)
		return AZ_OK;
	p->spooling = p->expand && archive_name(name);
	return p->spooling ? spool_open(p, err) : upload_begin(p->u, name, 0644, err);
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	struct post *p = arg;

	if (!p->in_file)
		return AZ_OK;
	return p->spooling ? spool_add(p, bytes, err) : upload_data(p->u, bytes, err);
}

static enum az_code
on_part_end(void *arg, struct az_err *err)
{
	struct post *p = arg;

	if (!p->in_file)
		return AZ_OK;
	return p->spooling ? spool_expand(p, err) : upload_end(p->u, err);
}

/* The body in pieces. */
static enum az_code
pump(struct az_rq *rq, enum az_code (*to)(void *arg, struct az_str bytes, struct az_err *err),
    void *arg, struct az_err *err)
{
	char *chunk = az_arena_alloc(az_rq_arena(rq), FILES_CHUNK);
	enum az_code rc = AZ_OK;
	size_t got = 1;

	if (!chunk)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	while (!rc && got) {
		rc = az_rq_read(rq, chunk, FILES_CHUNK, &got, err);
		if (!rc && got)
			rc = to(arg, az_str_n(chunk, got), err);
	}
	return rc;
}

static enum az_code
to_parser(void *arg, struct az_str bytes, struct az_err *err)
{
	return az_multipart_feed(arg, bytes, err);
}

static enum az_code
to_spool(void *arg, struct az_str bytes, struct az_err *err)
{
	return spool_add(arg, bytes, err);
}

static enum az_code
to_upload(void *arg, struct az_str bytes, struct az_err *err)
{
	return upload_data(arg, bytes, err);
}

static enum az_code
read_form(struct post *p, struct az_str type, struct az_err *err)
{
	struct az_multipart_sink sink = {on_part, on_data, on_part_end, p};
	struct az_multipart m;
	enum az_code rc = az_multipart_init(&m, type, &sink, err);

	if (!rc)
		rc = pump(p->rq, to_parser, &m, err);
	if (!rc)
		rc = az_multipart_finish(&m, err);
	az_multipart_release(&m);
	return rc;
}

/* The body is one file; ?name= says how it is called when it is kept whole. */
static enum az_code
read_whole(struct post *p, bool zip, struct az_err *err)
{
	struct az_str name = az_rq_query(p->rq, "name");
	enum az_code rc;

	if (!name.n)
		name = zip ? AZ_S("upload.zip") : AZ_S("upload.tar.gz");
	rc = upload_begin(p->u, name, 0644, err);
	if (!rc)
		rc = pump(p->rq, to_upload, p->u, err);
	return rc ? rc : upload_end(p->u, err);
}

/* Before a byte is read. around: what of them may be no file's, like the lines between the
   parts of a form. */
static enum az_code
too_large(
    struct upload *u, const struct az_api *api, int64_t bytes, int64_t around, struct az_err *err)
{
	if (bytes <= api->upload_bytes + around)
		return bytes > around ? upload_fits(u, bytes - around, err) : AZ_OK;
	return az_fail(err, AZ_ETOOBIG, op,
	    "the upload is larger than %lld bytes, the limit for one upload",
	    (long long)api->upload_bytes);
}

static enum az_code
answer(struct az_rq *rq, struct az_str set, const struct az_manifest *m, bool legacy,
    struct az_err *err)
{
	struct az_buf b, key;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, FILES_TEXT_BYTES);
	az_buf_init(&key, 2048);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	if (legacy)
		az_jw_kc(&w, "message", "Files uploaded");
	else
		az_jw_ks(&w, "input_id", set);
	az_jw_key(&w, "files");
	az_jw_arr(&w);
	for (size_t i = 0; i < m->n; i++) {
		const struct az_file *f = &m->files[i];

		if (!legacy) {
			files_view_file(&w, f);
			continue;
		}
		az_buf_reset(&key);
		az_key_input(&key, set, f->path);
		az_jw_obj(&w);
		az_jw_ks(&w, "filename", f->path);
		az_jw_ki(&w, "size", f->size);
		az_jw_ks(&w, "key", az_buf_str(&key));
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	rc = az_buf_check(&b, op, err);
	if (!rc && !legacy)
		az_rs_headerf(rq, "Location", "/files/inputs/%.*s", AZ_FMT(set));
	if (!rc)
		rc = az_rs_json(rq, legacy ? 200 : 201, az_buf_str(&b), err);
	az_buf_release(&b);
	az_buf_release(&key);
	return rc;
}

enum az_code
files_post_inputs(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str type = az_rq_header(rq, "Content-Type"), set;
	struct az_str legacy_user = az_rq_query(rq, "legacy_user");
	bool legacy = az_str_eqc(az_rq_query(rq, "view"), "legacy");
	struct post p = {.rq = rq, .api = app, .spool = -1};
	enum kind kind = kind_of(type);
	struct az_caller caller;
	struct az_bucket b;
	struct az_buf id;
	enum az_code rc = api_caller(rq, app, AZ_S(""), &caller, err);

	if (rc)
		return rc;
	if (legacy_user.p && !az_str_eq(legacy_user, caller.uid))
		return az_fail(err, AZ_ENOTFOUND, op, "another user's uploads");
	if (kind == OTHER)
		return az_fail(err, AZ_ETYPE, op, "multipart, zip or tar.gz");
	az_buf_init(&id, 64);
	if (legacy)
		az_buf_addc(&id, "default");
	else
		az_input_id_make(&id);
	set = az_buf_str(&id);
	/* the original kept what it was given */
	p.expand = !legacy && !az_str_eqc(az_rq_query(rq, "expand"), "0");
	b = az_bucket_of(caller.uid);
	rc = upload_open(app, &b, set, az_rq_arena(rq), !legacy, &p.u, err);
	if (!rc)
		rc = too_large(p.u, app, az_rq_body_bytes(rq), (int64_t)AZ_MIB(1), err);
	if (rc)
		goto out;
	if (kind == FORM) {
		rc = read_form(&p, type, err);
	} else if (p.expand) {
		rc = spool_open(&p, err);
		if (!rc)
			rc = pump(rq, to_spool, &p, err);
		if (!rc)
			rc = spool_expand(&p, err);
	} else {
		rc = read_whole(&p,
		    az_str_find(type, AZ_S("zip"), 0) >= 0 &&
			az_str_find(type, AZ_S("gzip"), 0) < 0,
		    err);
	}
	if (!rc)
		rc = upload_commit(p.u, err);
	if (!rc)
		rc = answer(rq, set, upload_files(p.u), legacy, err);
out:
	if (p.spool >= 0)
		close(p.spool);
	upload_close(p.u);
	az_buf_release(&id);
	return rc;
}

enum az_code
files_put_input(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str set = az_rq_param(rq, "set");
	struct upload *u = NULL;
	struct az_caller caller;
	struct az_bucket b;
	struct az_buf out;
	struct az_jw w;
	enum az_code rc = api_caller(rq, app, AZ_S(""), &caller, err);

	if (rc)
		return rc;
	if (!az_input_id_ok(set))
		return az_fail(err, AZ_ENOTFOUND, op, "no such set");
	az_buf_init(&out, AZ_KIB(64));
	b = az_bucket_of(caller.uid);
	rc = upload_open(app, &b, set, az_rq_arena(rq), false, &u, err);
	if (!rc)
		rc = too_large(u, app, az_rq_body_bytes(rq), 0, err);
	if (!rc)
		rc = upload_begin(u, az_rq_param(rq, "path"), 0644, err);
	if (!rc)
		rc = pump(rq, to_upload, u, err);
	if (!rc)
		rc = upload_end(u, err);
	if (!rc)
		rc = upload_commit(u, err);
	if (rc)
		goto out;
	az_jw_init(&w, &out);
	files_view_file(&w, &upload_files(u)->files[0]);
	az_rs_headerf(rq, "ETag", "\"%s\"", upload_files(u)->files[0].sha256);
	rc = az_buf_check(&out, op, err);
	if (!rc)
		rc = az_rs_json(rq, 201, az_buf_str(&out), err);
out:
	upload_close(u);
	az_buf_release(&out);
	return rc;
}

enum az_code
files_get_input(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str set = az_rq_param(rq, "set"), path;
	const struct az_file *f;
	struct az_caller caller;
	struct az_manifest m;
	struct az_bucket b;
	struct az_buf key;
	enum az_code rc = files_path(az_rq_arena(rq), az_rq_param(rq, "path"), &path, err);

	if (!rc && files_by_link(rq)) {
		rc = files_link_set(rq, api, path, &b, err);
	} else if (!rc) {
		rc = api_caller(rq, api, AZ_S(""), &caller, err);
		if (!rc)
			b = az_bucket_of(caller.uid);
	}
	if (rc)
		return rc;
	az_manifest_init(&m, az_rq_arena(rq));
	rc = files_set_load(api, &b, set, &m, err);
	if (rc)
		return rc;
	f = az_manifest_find(&m, path);
	if (!f)
		return az_fail(err, AZ_ENOTFOUND, op, "no such file");
	az_buf_init(&key, 2048);
	az_key_input_blob(&key, set, az_file_blob(f));
	rc = az_buf_check(&key, op, err);
	if (!rc)
		rc = files_serve(rq, api, &b, az_buf_str(&key), f, err);
	az_buf_release(&key);
	return rc;
}
