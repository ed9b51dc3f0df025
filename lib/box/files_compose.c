/* POST /files/compose: files joined to one, which takes their place. */
#include "files.h"

#define BODY_MAX AZ_MIB(4)
#define SOURCES_MAX 1000

static const char op[] = "box.compose";

static enum az_code
into(void *put, struct az_str s, struct az_err *err)
{
	return put_bytes(put, s, err);
}

static enum az_code
join(struct put *u, struct az_str source, struct az_err *err)
{
	struct entry e = {0};
	struct call c;
	enum az_code rc = files_open(u->b, source, &c, &e, err);

	if (rc)
		return rc;
	rc = files_pull(u->b, &c, e.size, into, u, err);
	call_close(u->b, &c, true);
	return rc;
}

/* A source goes, unless by another name it is the result. */
static enum az_code
drop(struct put *u, struct az_str source, struct az_err *err)
{
	struct az_buf payload;
	struct aw_frame f;
	struct call c;
	enum az_code rc;

	az_buf_init(&payload, AZ_KIB(16));
	put_text(&payload, source);
	put_text(&payload, az_str_c(u->path));
	if (!(rc = path_check(&payload, op, err)))
		rc = call_open(u->b, &c, AW_REMOVE, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	rc = call_next(u->b, &c, az_boot_ms() + FILE_MS, &f, err);
	call_close(u->b, &c, false);
	return rc;
}

static enum az_code
compose(struct put *u, const struct az_json *body, struct az_jw *w, struct az_err *err)
{
	const struct az_json *v = az_json_get(body, "source_paths");
	size_t n = az_json_type(v) == AZ_JARR ? az_json_len(v) : 0;
	enum az_code rc = check_username(az_json_gets(body, "username"), err);

	if (rc)
		return rc;
	if (n < 1 || n > SOURCES_MAX)
		return az_fail(err, AZ_EINVAL, op, "source_paths: from 1 to %d paths", SOURCES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!az_json_str(az_json_at(v, i)).n)
			return az_fail(err, AZ_EINVAL, op, "source_paths: no path at %zu", i);
	rc = put_begin(u, az_json_gets(body, "destination"), err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = join(u, az_json_str(az_json_at(v, i)), err);
	if (!rc)
		rc = put_end(u, w, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = drop(u, az_json_str(az_json_at(v, i)), err);
	return rc;
}

enum az_code
envd_files_compose(struct az_rq *rq, void *app, struct az_err *err)
{
	static const unsigned char no_meta[4];
	struct put u = {.meta = {(const char *)no_meta, sizeof no_meta}};
	const struct az_json *body;
	struct az_buf reply;
	struct az_str text;
	struct az_jw w;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &u.b, &stop, err)) || stop ||
	    (rc = az_rq_body(rq, BODY_MAX, &text, err)) ||
	    (rc = az_json_parse_in(az_rq_arena(rq), text, &connect_limits, &body, err)))
		return rc;
	az_buf_init(&reply, AZ_KIB(64));
	az_jw_init(&w, &reply);
	rc = compose(&u, body, &w, err);
	put_release(&u);
	if (!rc)
		rc = az_buf_check(&reply, op, err);
	if (!rc)
		rc = az_rs_json(rq, 200, az_buf_str(&reply), err);
	az_buf_release(&reply);
	return rc;
}
