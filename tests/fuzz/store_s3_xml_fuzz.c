/*
 * What an S3 server sends is foreign. The first byte says which reply is expected. However
 * it is cut it means the same; nothing goes beyond the limits; a listing that is accepted
 * has keys in UTF-8, in order, and a token if there is more.
 */
#include <stdlib.h>
#include <azlon/limits.h>
#include "store/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
	struct az_arena *a;
	struct s3_listing l;
	struct s3_uploads u;
	union {
		struct s3_upload_id id;
		struct s3_etag etag;
		struct s3_deleted deleted;
		struct s3_session session;
	} one;
	struct s3_error e;
	struct s3_xml_opts real;
	size_t calls;
	enum az_code rc;
};

static void
check_path(const char *path, struct az_str text)
{
	size_t levels = path[0] ? 2 : 1;

	for (const char *c = path; *c; c++)
		levels += *c == '/';
	if (levels > S3_XML_DEPTH || text.n > S3_XML_TEXT || !az_str_utf8_ok(text) ||
	    az_str_chr(text, '\0') >= 0)
		abort();
}

static enum az_code
leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct outcome *o = arg;

	check_path(path, text);
	o->calls++;
	return o->real.leaf ? o->real.leaf(o->real.arg, path, text, err) : AZ_OK;
}

static enum az_code
end(void *arg, const char *path, struct az_err *err)
{
	struct outcome *o = arg;

	check_path(path, AZ_S(""));
	o->calls++;
	return o->real.end ? o->real.end(o->real.arg, path, err) : AZ_OK;
}

static struct s3_xml_opts
opts(struct outcome *o, unsigned which)
{
	switch (which % 7) {
	case 0:
		return s3_listing_opts(&o->l);
	case 1:
		return s3_uploads_opts(&o->u);
	case 2:
		return s3_upload_id_opts(&o->one.id);
	case 3:
		return s3_etag_opts(&o->one.etag, "CopyObjectResult");
	case 4:
		return s3_deleted_opts(&o->one.deleted);
	case 5:
		return s3_session_opts(&o->one.session);
	default:
		return s3_etag_opts(&o->one.etag, "CompleteMultipartUploadResult");
	}
}

static void
check_listing(const struct s3_listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct az_str k = l->objs[i].key;

		if (!k.n || !az_str_utf8_ok(k) || az_str_chr(k, '\0') >= 0 ||
		    l->objs[i].bytes < 0 || (i && az_str_cmp(l->objs[i - 1].key, k) > 0))
			abort();
	}
	if (l->truncated && !l->token.n)
		abort();
}

static void
read_it(struct outcome *o, unsigned which, struct az_str doc, size_t piece)
{
	struct s3_xml_opts mine = {.leaf = leaf, .end = end, .arg = o};
	struct az_err err = AZ_ERR_INIT;
	struct s3_xml *x = NULL;

	memset(o, 0, sizeof *o);
	if (!(o->a = az_arena_new(AZ_MIB(32))))
		abort();
	o->l.a = o->u.a = o->a;
	o->real = opts(o, which);
	mine.root = o->real.root;
	if (s3_xml_new(&mine, &x, NULL))
		abort();
	for (size_t at = 0; !o->rc && at < doc.n; at += piece)
		o->rc = s3_xml_feed(x, az_str_sub(doc, at, at + piece), &err);
	if (s3_xml_finish(x, &o->e, o->rc ? NULL : &err) != AZ_OK && !o->rc)
		o->rc = err.code;
	if (!o->rc && which % 7 == 0 && !(o->rc = s3_listing_done(&o->l, &err)))
		check_listing(&o->l);
	if (o->rc != err.code || (o->rc && o->rc != AZ_EUPSTREAM && o->rc != AZ_ETOOBIG))
		abort();
	s3_xml_free(x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct outcome whole, cut;
	struct az_str doc;
	struct s3_error e;

	if (!n)
		return 0;
	doc = az_str_n(data + 1, n - 1);
	read_it(&whole, data[0], doc, n);
	read_it(&cut, data[0], doc, 1);
	if (whole.rc != cut.rc || whole.calls != cut.calls || whole.l.n != cut.l.n ||
	    whole.u.n != cut.u.n || memcmp(&whole.one, &cut.one, sizeof whole.one) ||
	    memcmp(&whole.e, &cut.e, sizeof whole.e))
		abort();
	for (size_t i = 0; !whole.rc && i < whole.l.n; i++)
		if (!az_str_eq(whole.l.objs[i].key, cut.l.objs[i].key))
			abort();
	az_arena_free(whole.a);
	az_arena_free(cut.a);
	s3_error_parse(doc, &e);
	return 0;
}
