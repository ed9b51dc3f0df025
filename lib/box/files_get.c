/* GET /files: a file of a box, whole, in part or packed. */
#include "files.h"

#include <time.h>
#include <azlon/crypto.h>

static const char op[] = "box.files";

enum az_code
files_open(struct box *b, struct az_str path, struct call *c, struct entry *e, struct az_err *err)
{
	struct az_buf payload;
	struct aw_frame f;
	enum az_code rc;

	az_buf_init(&payload, AZ_KIB(8));
	put_text(&payload, path);
	if (!(rc = path_check(&payload, op, err)))
		rc = call_open(b, c, AW_READ, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	rc = call_next(b, c, az_boot_ms() + FILE_MS, &f, err);
	if (!rc && (f.type != AW_ENTRY || !entry_parse(f.body, e)))
		rc = az_fail(err, AZ_EINTERNAL, op, "bad answer");
	if (rc)
		call_close(b, c, true);
	return rc;
}

static enum az_code
grant(struct box *b, const struct call *c, uint32_t n, struct az_err *err)
{
	enum az_code rc;

	pthread_mutex_lock(&b->mu);
	rc = link_send_u32(b, c->id, AW_GRANT, n) ? gone(b, err, op) : AZ_OK;
	pthread_mutex_unlock(&b->mu);
	return rc;
}

enum az_code
files_pull(
    struct box *b, struct call *c, uint64_t n, az_gzip_sink *sink, void *arg, struct az_err *err)
{
	enum az_code rc = n ? grant(b, c, READ_WINDOW, err) : AZ_OK;
	uint32_t used = 0;

	while (!rc && n) {
		struct aw_frame f;
		struct az_str s;

		if ((rc = call_next(b, c, az_boot_ms() + FILE_MS, &f, err)))
			break;
		if (f.type != AW_DATA)
			return az_fail(err, AZ_EIO, op, "the file became shorter meanwhile");
		used += (uint32_t)f.body.n;
		/* one that grows is cut at what was promised */
		s = az_str_n(f.body.p, f.body.n < n ? f.body.n : (size_t)n);
		n -= s.n;
		rc = sink(arg, s, err);
		if (!rc && n && used >= READ_WINDOW / 2) {
			rc = grant(b, c, used, err);
			used = 0;
		}
	}
	return rc;
}

/* ---- what the client takes ---- */

/* ";q=0", in any of its spellings: anything but that. */
static bool
refused(struct az_str params)
{
	struct az_str one;

	while (az_str_cut(&params, ';', &one)) {
		one = az_str_trim(one);
		if (!az_str_ieq(az_str_sub(one, 0, 2), AZ_S("q=")))
			continue;
		for (size_t i = 2; i < one.n; i++)
			if (one.p[i] != '0' && one.p[i] != '.')
				return false;
		return true;
	}
	return false;
}

int
coding_taken(struct az_str header, struct az_str coding)
{
	struct az_str one, name;
	int others = -1;

	while (az_str_cut(&header, ',', &one)) {
		if (!az_str_cut(&one, ';', &name))
			continue;
		name = az_str_trim(name);
		if (az_str_ieq(name, coding))
			return !refused(one);
		if (az_str_eqc(name, "*"))
			others = !refused(one);
	}
	return others;
}

static void
disposition(struct az_rq *rq, struct az_str path)
{
	struct az_str name = az_str_sub(path, (size_t)az_str_rchr(path, '/') + 1, path.n);
	struct az_buf b;
	bool plain = true;

	az_buf_init(&b, AZ_KIB(2));
	az_buf_addc(&b, "inline; filename=\"");
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool ok = c >= ' ' && c < 127 && c != '"' && c != '\\' && c != '%';

		plain &= ok;
		az_buf_addch(&b, ok ? c : '_');
	}
	az_buf_addch(&b, '"');
	if (!plain) {
		az_buf_addc(&b, "; filename*=UTF-8''");
		az_pct_encode(&b, name, NULL);
	}
	az_rs_header(rq, "Content-Disposition", b.fail ? AZ_S("inline") : az_buf_str(&b));
	az_buf_release(&b);
}

static void
http_date(uint64_t ns, char out[40])
{
	time_t t = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		out[0] = 0;
}

/* ---- the answer ---- */

struct down {
	struct az_rq *rq;
	struct box *b;
	struct call c;
	enum az_range part;
	bool packed;
	int64_t size, from, n;
};

static enum az_code
to_client(void *rq, struct az_str s, struct az_err *err)
{
	return az_rs_write(rq, s, err);
}

static enum az_code
to_packer(void *z, struct az_str s, struct az_err *err)
{
	return az_gzip_feed(z, s, err);
}

static enum az_code
send_body(struct down *d, struct az_err *err)
{
	struct az_gzip *z = NULL;
	unsigned char at[8];
	enum az_code rc = AZ_OK;

	if (az_rq_is_head(d->rq) || !d->n)
		return az_rs_flush(d->rq, err);
	if (d->from) {
		aw_store(at, (uint64_t)d->from, sizeof at);
		pthread_mutex_lock(&d->b->mu);
		rc = link_send(d->b, d->c.id, AW_SEEK, az_str_n(at, sizeof at), (struct az_str){0},
		    false, err);
		pthread_mutex_unlock(&d->b->mu);
	}
	if (!rc && d->packed)
		rc = az_gzip_open(true, to_client, d->rq, &z, err);
	if (!rc)
		rc = files_pull(d->b, &d->c, (uint64_t)d->n, z ? to_packer : to_client,
		    z ? (void *)z : d->rq, err);
	if (!rc && z)
		rc = az_gzip_finish(z, err);
	az_gzip_close(z);
	return rc;
}

/* Which bytes, in which form; *stop when that is refused. */
static enum az_code
choose(struct down *d, const char *modified, bool *stop, struct az_err *err)
{
	struct az_str accept = az_rq_header(d->rq, "Accept-Encoding");
	struct az_str range = az_rq_header(d->rq, "Range");
	struct az_str if_range = az_rq_header(d->rq, "If-Range");

	*stop = true;
	d->packed = !range.p && d->size && coding_taken(accept, AZ_S("gzip")) == 1;
	if (!d->packed && coding_taken(accept, AZ_S("identity")) == 0)
		return rs_error(d->rq, 406, "no coding that the client takes", err);
	d->n = d->size;
	if (range.p && (!if_range.p || (modified[0] && az_str_eqc(if_range, modified))))
		d->part = az_range_of(range, d->size, &d->from, &d->n);
	if (d->part == AZ_RANGE_NOT_THERE) {
		az_rs_headerf(d->rq, "Content-Range", "bytes */%lld", (long long)d->size);
		return rs_error(d->rq, 416, "no such bytes", err);
	}
	*stop = false;
	return AZ_OK;
}

static enum az_code
answer(struct down *d, const struct entry *e, struct az_err *err)
{
	char modified[40];
	bool stop;
	enum az_code rc;

	d->size = (int64_t)e->size;
	http_date(e->mtime_ns, modified);
	if ((rc = choose(d, modified, &stop, err)) || stop)
		return rc;
	az_rs_status(d->rq, d->part == AZ_RANGE_PART ? 206 : 200);
	az_rs_header(d->rq, "Content-Type", AZ_S("application/octet-stream"));
	az_rs_header(d->rq, "X-Content-Type-Options", AZ_S("nosniff"));
	az_rs_header(d->rq, "Vary", AZ_S("Accept-Encoding"));
	if (modified[0])
		az_rs_header(d->rq, "Last-Modified", az_str_c(modified));
	disposition(d->rq, e->path);
	if (d->packed) {
		az_rs_header(d->rq, "Content-Encoding", AZ_S("gzip"));
	} else {
		az_rs_header(d->rq, "Accept-Ranges", AZ_S("bytes"));
		az_rs_headerf(d->rq, "Content-Length", "%lld", (long long)d->n);
	}
	if (d->part == AZ_RANGE_PART)
		az_rs_headerf(d->rq, "Content-Range", "bytes %lld-%lld/%lld", (long long)d->from,
		    (long long)(d->from + d->n - 1), (long long)d->size);
	return send_body(d, err);
}

enum az_code
envd_files_get(struct az_rq *rq, void *app, struct az_err *err)
{
	struct down d = {.rq = rq};
	struct entry e = {0};
	bool stop;
	enum az_code rc;

	if ((rc = files_box(rq, app, FILES_READ, &d.b, &stop, err)) || stop ||
	    (rc = files_open(d.b, az_rq_query(rq, "path"), &d.c, &e, err)))
		return rc;
	rc = answer(&d, &e, err);
	call_close(d.b, &d.c, true);
	return rc;
}
