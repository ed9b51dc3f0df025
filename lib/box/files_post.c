/* POST /files: one file as the body, or a form of many; packed with gzip or not. */
#include "files.h"

#include <stdlib.h>
#include <azlon/multipart.h>

#define PARTS_MAX 2000        /* SDKs send what one call writes in one form */
#define CHUNK AZ_KIB(64)      /* of the body, at once */
#define FORM_EXTRA AZ_MIB(16) /* what a form may be longer than its files */
#define REPLY_MAX AZ_MIB(16)

static const char op[] = "box.files";

struct upload {
	struct put put;
	struct az_str path; /* of the query, or .p NULL: the parts' names */
	struct az_multipart form;
	bool is_form;
	bool skip;         /* the part under way is no file for us */
	int64_t seen, max; /* bytes of the body, unpacked */
	struct az_buf hold;
	struct az_buf reply;
	struct az_jw w;
	char **done; /* targets so far, resolved */
	size_t n;
};

static enum az_code
begin(struct upload *u, struct az_str path, struct az_err *err)
{
	enum az_code rc = put_begin(&u->put, path, err);

	for (size_t i = 0; !rc && i < u->n; i++)
		if (!strcmp(u->put.path, u->done[i]))
			rc = az_fail(err, AZ_EINVAL, op, "the same path twice: %.150s", u->done[i]);
	return rc;
}

static enum az_code
end(struct upload *u, struct az_err *err)
{
	enum az_code rc = put_end(&u->put, &u->w, err);

	if (rc)
		return rc;
	u->done[u->n++] = u->put.path;
	u->put.path = NULL;
	return AZ_OK;
}

/* ---- a form ---- */

/* Only parts named "file" that have a file name count; the others are read over. */
static enum az_code
part_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	struct upload *u = arg;

	u->skip = !p->filename.p || !az_str_eqc(p->name, "file");
	return u->skip ? AZ_OK : begin(u, u->path.p ? u->path : p->filename, err);
}

static enum az_code
part_flush(struct upload *u, struct az_err *err)
{
	enum az_code rc = az_buf_check(&u->hold, op, err);

	if (!rc)
		rc = put_bytes(&u->put, az_buf_str(&u->hold), err);
	az_buf_reset(&u->hold);
	return rc;
}

/* The parser hands on what lies between line ends; a frame for each would be slow. */
static enum az_code
part_data(void *arg, struct az_str s, struct az_err *err)
{
	struct upload *u = arg;
	enum az_code rc = AZ_OK;

	if (u->skip)
		return AZ_OK;
	if (u->hold.n + s.n > CHUNK)
		rc = part_flush(u, err);
	az_buf_adds(&u->hold, s);
	return rc;
}

static enum az_code
part_end(void *arg, struct az_err *err)
{
	struct upload *u = arg;
	enum az_code rc;

	if (u->skip)
		return AZ_OK;
	rc = part_flush(u, err);
	return rc ? rc : end(u, err);
}

/* ---- the body ---- */

static enum az_code
take(void *arg, struct az_str s, struct az_err *err)
{
	struct upload *u = arg;

	/* what is small while packed may be endless unpacked */
	u->seen += (int64_t)s.n;
	if (u->seen > u->max)
		return no_space(u->put.b->srv, err);
	return u->is_form ? az_multipart_feed(&u->form, s, err) : put_bytes(&u->put, s, err);
}

static enum az_code
take_body(struct az_rq *rq, struct upload *u, struct az_gzip *z, struct az_err *err)
{
	enum az_code rc = u->is_form ? AZ_OK : begin(u, u->path, err);
	char *chunk = az_arena_alloc(az_rq_arena(rq), CHUNK);
	size_t got = 0;

	if (!rc && !chunk)
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	while (!rc) {
		rc = az_rq_read(rq, chunk, CHUNK, &got, err);
		if (rc || !got)
			break;
		rc = z ? az_gzip_feed(z, az_str_n(chunk, got), err)
		       : take(u, az_str_n(chunk, got), err);
	}
	if (!rc && z)
		rc = az_gzip_finish(z, err);
	if (!rc)
		rc = u->is_form ? az_multipart_finish(&u->form, err) : end(u, err);
	return rc;
}

/* What the headers say of the body; *z NULL: it is not packed. */
static enum az_code
look_at_body(struct az_rq *rq, struct upload *u, struct az_gzip **z, struct az_err *err)
{
	static const struct az_multipart_sink plain = {part_begin, part_data, part_end, NULL};
	struct az_multipart_sink sink = plain;
	struct az_str type = az_rq_header(rq, "Content-Type");
	struct az_str coding = az_rq_header(rq, "Content-Encoding");
	enum az_code rc;

	sink.arg = u;
	rc = az_multipart_init(&u->form, type, &sink, err);
	u->form.max_parts = PARTS_MAX;
	u->is_form = !rc;
	if (rc == AZ_ETYPE && !az_str_starts(type, AZ_S("application/octet-stream")))
		return az_fail(err, AZ_EINVAL, op, "unsupported content type: %.*s",
		    AZ_FMT(az_str_sub(type, 0, 80)));
	if (rc == AZ_ETYPE)
		rc = u->path.n ? AZ_OK : az_fail(err, AZ_EINVAL, op, "path is required");
	if (rc || !coding.n || az_str_ieq(coding, AZ_S("identity")))
		return rc;
	if (!az_str_ieq(coding, AZ_S("gzip")))
		return az_fail(err, AZ_EUNSUPPORTED, op,
		    "Content-Encoding %.*s is not offered by this server",
		    AZ_FMT(az_str_sub(coding, 0, 40)));
	return az_gzip_open(false, take, u, z, err);
}

enum az_code
envd_files_post(struct az_rq *rq, void *app, struct az_err *err)
{
	struct upload u = {0};
	struct az_gzip *z = NULL;
	struct az_buf meta;
	bool stop;
	enum az_code rc;

	if ((rc = files_box(rq, app, FILES_WRITE, &u.put.b, &stop, err)) || stop)
		return rc;
	u.path = az_rq_query(rq, "path");
	u.max = u.put.b->srv->disk + (int64_t)FORM_EXTRA;
	az_buf_init(&u.hold, CHUNK);
	az_buf_init(&u.reply, REPLY_MAX);
	az_buf_init(&meta, AZ_KIB(8));
	az_jw_init(&u.w, &u.reply);
	az_jw_arr(&u.w);
	u.done = calloc(PARTS_MAX, sizeof *u.done);
	rc = u.done ? AZ_OK : az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (!rc)
		rc = meta_of_request(rq, &meta, err);
	u.put.meta = az_buf_str(&meta);
	if (!rc)
		rc = look_at_body(rq, &u, &z, err);
	if (!rc)
		rc = take_body(rq, &u, z, err);
	if (!rc && !u.n)
		rc = az_fail(err, AZ_EINVAL, op, "no file in the request");
	put_release(&u.put);
	az_jw_end(&u.w, ']');
	if (!rc)
		rc = az_buf_check(&u.reply, op, err);
	if (!rc)
		rc = az_rs_json(rq, 200, az_buf_str(&u.reply), err);
	az_gzip_close(z);
	az_multipart_release(&u.form);
	for (size_t i = 0; i < u.n; i++)
		free(u.done[i]);
	free(u.done);
	az_buf_release(&u.hold);
	az_buf_release(&u.reply);
	az_buf_release(&meta);
	return rc;
}
