/* GET and POST /files: bytes into and out of a box, in constant memory. */
#include "box.h"

#include <stdio.h>
#include <stdlib.h>
#include <azlon/multipart.h>

#define FILE_MS 60000
#define TARGETS_MAX 100
#define CHUNK AZ_KIB(64) /* of the body, at once */

/* ---- down ---- */

static void
disposition(struct az_rq *rq, struct az_str path)
{
	struct az_str name = az_str_sub(path, (size_t)az_str_rchr(path, '/') + 1, path.n);
	char safe[128];
	size_t n = 0;

	for (size_t i = 0; i < name.n && n < sizeof safe - 1; i++) {
		char c = name.p[i];

		safe[n++] = c >= ' ' && c < 127 && c != '"' && c != '\\' ? c : '_';
	}
	safe[n] = 0;
	az_rs_headerf(rq, "Content-Disposition", "inline; filename=\"%s\"", safe);
}

/* DATA frames until OK; size bytes were promised. */
static enum az_code
send_data(struct az_rq *rq, struct box *b, struct call *c, uint64_t size, struct az_err *err)
{
	struct aw_frame f;
	enum az_code rc = AZ_OK;
	uint64_t sent = 0;
	uint32_t used = 0;

	pthread_mutex_lock(&b->mu);
	if (link_send_u32(b, c->id, AW_GRANT, READ_WINDOW))
		rc = gone(err, "box.files");
	pthread_mutex_unlock(&b->mu);
	while (!rc) {
		struct az_str s;

		rc = call_next(b, c, az_boot_ms() + FILE_MS, &f, err);
		if (rc || f.type == AW_OK)
			break;
		if (f.type != AW_DATA) {
			rc = az_fail(err, AZ_EINTERNAL, "box.files", "bad answer");
			break;
		}
		s = az_str_n(f.body.p, f.body.n);
		used += (uint32_t)s.n;
		/* a file that grows meanwhile is cut at what was promised */
		if (s.n > size - sent)
			s.n = (size_t)(size - sent);
		rc = az_rs_write(rq, s, err);
		sent += s.n;
		if (!rc && sent == size)
			break;
		if (!rc && used >= READ_WINDOW / 2) {
			pthread_mutex_lock(&b->mu);
			if (link_send_u32(b, c->id, AW_GRANT, used))
				rc = gone(err, "box.files");
			pthread_mutex_unlock(&b->mu);
			used = 0;
		}
	}
	if (!rc && sent != size)
		az_rs_abort(rq);
	return rc;
}

enum az_code
envd_files_get(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf payload;
	struct aw_frame f;
	struct entry e = {0};
	struct call c;
	struct box *b;
	uint64_t size;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop)
		return rc;
	az_buf_init(&payload, AZ_KIB(8));
	put_text(&payload, az_rq_query(rq, "path"));
	if (!(rc = path_check(&payload, "box.files", err)))
		rc = call_open(b, &c, AW_READ, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	rc = call_next(b, &c, az_boot_ms() + FILE_MS, &f, err);
	if (!rc && (f.type != AW_ENTRY || !entry_parse(f.body, &e)))
		rc = az_fail(err, AZ_EINTERNAL, "box.files", "bad answer");
	if (!rc) {
		size = e.size;
		az_rs_status(rq, 200);
		az_rs_header(rq, "Content-Type", AZ_S("application/octet-stream"));
		az_rs_headerf(rq, "Content-Length", "%llu", (unsigned long long)size);
		az_rs_header(rq, "Vary", AZ_S("Accept-Encoding"));
		disposition(rq, e.path);
		if (az_str_eqc(az_rq_method(rq), "HEAD") || !size)
			rc = az_rs_flush(rq, err);
		else
			rc = send_data(rq, b, &c, size, err);
	}
	call_close(b, &c, true);
	return rc;
}

/* ---- up ---- */

struct upload {
	struct box *b;
	struct az_str path; /* of the query, or .p NULL: the parts' names */
	struct call c;
	bool open;
	bool skip; /* the part under way is no file for us */
	struct az_buf hold;
	struct az_buf reply;
	struct az_jw w;
	char *done[TARGETS_MAX]; /* resolved targets so far */
	size_t n;
};

static enum az_code
up_begin(struct upload *u, struct az_str filename, struct az_err *err)
{
	struct az_str path = u->path.p ? u->path : filename;
	struct az_buf payload;
	struct aw_frame f;
	enum az_code rc;

	if (!path.n)
		return az_fail(err, AZ_EINVAL, "box.files", "no path given");
	if (u->n == TARGETS_MAX)
		return az_fail(err, AZ_EINVAL, "box.files", "more than %d files", TARGETS_MAX);
	az_buf_init(&payload, AZ_KIB(8));
	put_text(&payload, path);
	if (!(rc = path_check(&payload, "box.files", err)))
		rc = call_open(u->b, &u->c, AW_WRITE, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	u->open = true;
	return call_next(u->b, &u->c, az_boot_ms() + FILE_MS, &f, err);
}

static enum az_code
up_bytes(struct upload *u, struct az_str s, struct az_err *err)
{
	struct aw_frame f;
	enum az_code rc = AZ_OK;

	/* an answer in between can only be a failure: disk full, say */
	if (call_pending(u->b, &u->c)) {
		rc = call_next(u->b, &u->c, az_boot_ms() + FILE_MS, &f, err);
		return rc ? rc : az_fail(err, AZ_EINTERNAL, "box.files", "bad answer");
	}
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

static enum az_code
up_end(struct upload *u, struct az_err *err)
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
		rc = az_fail(err, AZ_EINTERNAL, "box.files", "bad answer");
	for (size_t i = 0; !rc && i < u->n; i++)
		if (az_str_eqc(e.path, u->done[i]))
			rc = az_fail(err, AZ_EINVAL, "box.files", "the same path twice: %.*s",
			    AZ_FMT(az_str_sub(e.path, 0, 150)));
	if (!rc && !(u->done[u->n] = az_str_dup(e.path)))
		rc = az_fail(err, AZ_ENOMEM, "box.files", "out of memory");
	if (!rc) {
		ptrdiff_t slash = az_str_rchr(e.path, '/');

		u->n++;
		az_jw_obj(&u->w);
		az_jw_ks(&u->w, "name", az_str_sub(e.path, (size_t)slash + 1, e.path.n));
		az_jw_ks(&u->w, "path", e.path);
		az_jw_kc(&u->w, "type", "file");
		az_jw_end(&u->w, '}');
	}
	if (u->open)
		call_close(u->b, &u->c, false);
	u->open = false;
	return rc;
}

/* Only parts named "file" that have a file name count; the others are read over. */
static enum az_code
part_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	struct upload *u = arg;

	u->skip = !p->filename.p || !az_str_eqc(p->name, "file");
	return u->skip ? AZ_OK : up_begin(u, p->filename, err);
}

static enum az_code
part_flush(struct upload *u, struct az_err *err)
{
	enum az_code rc = az_buf_check(&u->hold, "box.files", err);

	if (!rc)
		rc = up_bytes(u, az_buf_str(&u->hold), err);
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
	return rc ? rc : up_end(u, err);
}

/* form NULL: the body is the file. */
static enum az_code
take_body(struct az_rq *rq, struct upload *u, struct az_multipart *form, struct az_err *err)
{
	enum az_code rc = form ? AZ_OK : up_begin(u, (struct az_str){0}, err);
	char *chunk = az_arena_alloc(az_rq_arena(rq), CHUNK);
	size_t got = 0;

	if (!rc && !chunk)
		rc = az_fail(err, AZ_ENOMEM, "box.files", "out of memory");
	while (!rc) {
		rc = az_rq_read(rq, chunk, CHUNK, &got, err);
		if (rc || !got)
			break;
		rc = form ? az_multipart_feed(form, az_str_n(chunk, got), err)
			  : up_bytes(u, az_str_n(chunk, got), err);
	}
	if (!rc)
		rc = form ? az_multipart_finish(form, err) : up_end(u, err);
	return rc;
}

enum az_code
envd_files_post(struct az_rq *rq, void *app, struct az_err *err)
{
	struct upload u = {0};
	const struct az_multipart_sink sink = {part_begin, part_data, part_end, &u};
	struct az_multipart form;
	struct az_str type = az_rq_header(rq, "Content-Type");
	struct az_str enc = az_rq_header(rq, "Content-Encoding");
	bool stop, raw;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &u.b, &stop, err)) || stop)
		return rc;
	if (enc.n && !az_str_ieq(enc, AZ_S("identity")))
		return az_fail(err, AZ_EUNSUPPORTED, "box.files",
		    "Content-Encoding %.*s is not offered by this server",
		    AZ_FMT(az_str_sub(enc, 0, 40)));
	u.path = az_rq_query(rq, "path");
	az_buf_init(&u.hold, CHUNK);
	az_buf_init(&u.reply, AZ_MIB(1));
	az_jw_init(&u.w, &u.reply);
	az_jw_arr(&u.w);
	rc = az_multipart_init(&form, type, &sink, err);
	raw = rc == AZ_ETYPE;
	if (raw && !az_str_starts(type, AZ_S("application/octet-stream")))
		rc = az_fail(err, AZ_EINVAL, "box.files", "unsupported content type: %.*s",
		    AZ_FMT(az_str_sub(type, 0, 80)));
	else if (raw)
		rc = u.path.n ? AZ_OK : az_fail(err, AZ_EINVAL, "box.files", "path is required");
	if (!rc)
		rc = take_body(rq, &u, raw ? NULL : &form, err);
	if (!rc && !u.n)
		rc = az_fail(err, AZ_EINVAL, "box.files", "no file in the request");
	if (u.open)
		call_close(u.b, &u.c, true);
	az_jw_end(&u.w, ']');
	if (!rc)
		rc = az_buf_check(&u.reply, "box.files", err);
	if (!rc)
		rc = az_rs_json(rq, 200, az_buf_str(&u.reply), err);
	az_multipart_release(&form);
	for (size_t i = 0; i < u.n; i++)
		free(u.done[i]);
	az_buf_release(&u.hold);
	az_buf_release(&u.reply);
	return rc;
}

enum az_code
envd_envs(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	struct box *x;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &x, &stop, err)) || stop)
		return rc;
	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	if (az_json_len(x->envs))
		az_jw_value(&w, x->envs);
	else
		az_jw_raw(&w, AZ_S("{}"));
	if (!(rc = az_buf_check(&b, "box.envs", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}
