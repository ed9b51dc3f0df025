/*
 * The one place that includes expat. It is told to read UTF-8 whatever the document says,
 * knows no namespaces (we cut prefixes off) and stops at a DOCTYPE, so that no entity of a
 * server's own is ever expanded.
 */
#include <stdlib.h>
#include <expat.h>
#include <azlon/crypto.h>
#include "s3_xml.h"

#define PATH_BYTES 1024 /* of the names down to an element */

enum kind { OTHER, WANTED, ERROR, ERROR_RESPONSE };

struct s3_xml {
	struct s3_xml_opts o;
	XML_Parser p;
	size_t bytes;       /* fed so far, leading white space too */
	bool began;         /* something but white space came */
	enum kind kind;     /* what the root says */
	size_t depth;       /* 1 within the root */
	bool parent;        /* the element that is open has children */
	struct az_buf path; /* "Contents/Key", terminated */
	struct az_buf text;
	struct s3_error e;
	struct az_err err; /* the first failure; all calls after it give it back */
};

static void
stop(struct s3_xml *x)
{
	if (x->p)
		XML_StopParser(x->p, XML_FALSE);
}

static void
fail_buf(struct s3_xml *x, const struct az_buf *b)
{
	if (!x->err.code && b->fail) {
		if (b->fail == AZ_ETOOBIG)
			az_fail(&x->err, AZ_ETOOBIG, "store.xml", "a name or text is too long");
		else
			az_fail(&x->err, b->fail, "store.xml", "out of memory");
		stop(x);
	}
}

static struct az_str
local(const char *name)
{
	struct az_str s = az_str_c(name);

	return az_str_sub(s, (size_t)(az_str_rchr(s, ':') + 1), s.n);
}

static void
root_begins(struct s3_xml *x, struct az_str name)
{
	if (x->o.root && az_str_eqc(name, x->o.root))
		x->kind = WANTED;
	else if (az_str_eqc(name, "Error"))
		x->kind = ERROR;
	else if (az_str_eqc(name, "ErrorResponse"))
		x->kind = ERROR_RESPONSE;
}

static void
begins(void *arg, const char *qname, const char **attrs)
{
	struct s3_xml *x = arg;
	struct az_str name = local(qname);

	(void)attrs;
	if (x->err.code)
		return;
	if (x->depth == S3_XML_DEPTH) {
		az_fail(&x->err, AZ_ETOOBIG, "store.xml", "more than %d levels", S3_XML_DEPTH);
		stop(x);
		return;
	}
	if (x->depth == 0)
		root_begins(x, name);
	if (x->depth > 1)
		az_buf_addch(&x->path, '/');
	if (x->depth > 0)
		az_buf_adds(&x->path, name);
	fail_buf(x, &x->path);
	az_buf_reset(&x->text);
	x->parent = false;
	x->depth++;
}

static void
copy_ascii(char *out, size_t size, struct az_str s)
{
	size_t n = 0;

	s = az_str_trim(s);
	for (; n < s.n && n < size - 1; n++)
		out[n] = s.p[n] >= 0x20 && s.p[n] < 0x7f ? s.p[n] : '?';
	out[n] = '\0';
}

void
s3_error_leaf(struct s3_error *e, struct az_str path, struct az_str text)
{
	if (az_str_eqc(path, "Code"))
		copy_ascii(e->code, sizeof e->code, text);
	else if (az_str_eqc(path, "Message"))
		copy_ascii(e->message, sizeof e->message, text);
	else if (az_str_eqc(path, "Region"))
		copy_ascii(e->region, sizeof e->region, text);
	else if (az_str_eqc(path, "Endpoint"))
		copy_ascii(e->endpoint, sizeof e->endpoint, text);
}

static enum az_code
tell(struct s3_xml *x)
{
	struct az_str path = az_buf_str(&x->path), text = az_buf_str(&x->text);
	const char *name = path.n ? path.p : "";

	switch (x->kind) {
	case WANTED:
		if (x->parent || x->depth == 1)
			return x->o.end ? x->o.end(x->o.arg, name, &x->err) : AZ_OK;
		return x->o.leaf ? x->o.leaf(x->o.arg, name, text, &x->err) : AZ_OK;
	case ERROR:
		s3_error_leaf(&x->e, path, text);
		return AZ_OK;
	case ERROR_RESPONSE:
		if (az_str_starts(path, AZ_S("Error/")))
			s3_error_leaf(&x->e, az_str_sub(path, 6, path.n), text);
		return AZ_OK;
	case OTHER:
		return AZ_OK;
	}
	return AZ_OK;
}

static void
ends(void *arg, const char *qname)
{
	struct s3_xml *x = arg;
	enum az_code rc;
	ptrdiff_t slash;

	(void)qname;
	if (x->err.code)
		return;
	if ((rc = tell(x))) {
		if (x->err.code != rc)
			az_fail(&x->err, rc, "store.xml", "the document was refused");
		stop(x);
		return;
	}
	slash = az_str_rchr(az_buf_str(&x->path), '/');
	az_buf_cut(&x->path, slash < 0 ? 0 : (size_t)slash);
	az_buf_reset(&x->text);
	x->parent = true;
	x->depth--;
}

static void
chars(void *arg, const char *p, int n)
{
	struct s3_xml *x = arg;

	/* between children there is only layout, and a server may pass the time with blanks */
	if (x->err.code || x->parent || x->depth < 2 || x->kind == OTHER)
		return;
	az_buf_add(&x->text, p, (size_t)n);
	fail_buf(x, &x->text);
}

static void
doctype(void *arg, const char *name, const char *sys, const char *pub, int subset)
{
	struct s3_xml *x = arg;

	(void)name, (void)sys, (void)pub, (void)subset;
	if (!x->err.code)
		az_fail(&x->err, AZ_EUPSTREAM, "store.xml", "a document with a DOCTYPE");
	stop(x);
}

enum az_code
s3_xml_new(const struct s3_xml_opts *o, struct s3_xml **out, struct az_err *err)
{
	/* by name, so that tests can make ours fail */
	const XML_Memory_Handling_Suite mem = {malloc, realloc, free};
	struct s3_xml *x = calloc(1, sizeof *x);

	if (!x)
		return az_fail(err, AZ_ENOMEM, "store.xml", "out of memory");
	x->o = *o;
	if (o->reset)
		o->reset(o->arg);
	az_buf_init(&x->path, PATH_BYTES);
	az_buf_init(&x->text, S3_XML_TEXT);
	x->p = XML_ParserCreate_MM("UTF-8", &mem, NULL);
	if (!x->p) {
		s3_xml_free(x);
		return az_fail(err, AZ_ENOMEM, "store.xml", "out of memory");
	}
	XML_SetUserData(x->p, x);
	XML_SetElementHandler(x->p, begins, ends);
	XML_SetCharacterDataHandler(x->p, chars);
	XML_SetStartDoctypeDeclHandler(x->p, doctype);
	*out = x;
	return AZ_OK;
}

static enum az_code
given_back(const struct s3_xml *x, struct az_err *err)
{
	if (err && x->err.code)
		*err = x->err;
	return x->err.code;
}

static void
parse(struct s3_xml *x, struct az_str s, bool last)
{
	enum XML_Error why;

	if (x->err.code || XML_Parse(x->p, s.p ? s.p : "", (int)s.n, last) == XML_STATUS_OK ||
	    x->err.code)
		return;
	why = XML_GetErrorCode(x->p);
	if (why == XML_ERROR_NO_MEMORY)
		az_fail(&x->err, AZ_ENOMEM, "store.xml", "out of memory");
	else
		az_fail(&x->err, AZ_EUPSTREAM, "store.xml", "not XML: %s", XML_ErrorString(why));
}

enum az_code
s3_xml_feed(struct s3_xml *x, struct az_str bytes, struct az_err *err)
{
	struct az_str fits = az_str_sub(bytes, 0, S3_XML_BYTES - x->bytes);
	bool over = fits.n < bytes.n;

	x->bytes += fits.n;
	/* AWS keeps a connection alive with white space, which may not precede a prolog */
	while (!x->began && fits.n) {
		x->began = !fits.p[0] || !strchr(" \t\r\n", fits.p[0]);
		if (!x->began)
			fits = az_str_sub(fits, 1, fits.n);
	}
	if (fits.n)
		parse(x, fits, false);
	if (!x->err.code && over)
		az_fail(&x->err, AZ_ETOOBIG, "store.xml", "more than 8 MiB");
	return given_back(x, err);
}

enum az_code
s3_xml_finish(struct s3_xml *x, struct s3_error *e, struct az_err *err)
{
	if (x->began)
		parse(x, AZ_S(""), true);
	*e = x->e;
	if (x->err.code)
		return given_back(x, err);
	if (!x->began)
		return az_fail(err, AZ_EUPSTREAM, "store.xml", "an empty answer");
	if (x->kind == ERROR || x->kind == ERROR_RESPONSE)
		return az_fail(err, AZ_EUPSTREAM, "store.xml", "the server said %s",
		    e->code[0] ? e->code : "that it failed");
	if (x->kind == OTHER)
		return az_fail(err, AZ_EUPSTREAM, "store.xml", "the answer is no <%s>",
		    x->o.root ? x->o.root : "Error");
	return AZ_OK;
}

void
s3_xml_free(struct s3_xml *x)
{
	if (!x)
		return;
	if (x->p)
		XML_ParserFree(x->p);
	az_buf_release(&x->path);
	if (x->text.p) /* a secret key may have been its last */
		az_wipe(x->text.p, x->text.cap);
	az_buf_release(&x->text);
	free(x);
}

void
s3_error_parse(struct az_str body, struct s3_error *e)
{
	const struct s3_xml_opts o = {.root = NULL};
	struct s3_xml *x = NULL;

	*e = (struct s3_error){.code = ""};
	if (s3_xml_new(&o, &x, NULL) || !x)
		return;
	/* what an error said before it broke off is still the best there is */
	if (s3_xml_feed(x, body, NULL) || s3_xml_finish(x, e, NULL))
		*e = x->e;
	s3_xml_free(x);
}
