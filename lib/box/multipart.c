/*
 * multipart/form-data as a push parser in constant memory: a tail as long as the
 * delimiter is kept, everything before it is handed on. Any split of the input gives
 * the same calls.
 */
#include "box.h"

#include <stdio.h>
#include <stdlib.h>

#define BOUNDARY_MAX 70
#define HEAD_MAX AZ_KIB(8)
#define PARTS_MAX 100

enum stage { PREAMBLE, AFTER, HEAD, BODY, DONE };

struct box_form {
	enum stage stage;
	char delim[BOUNDARY_MAX + 5]; /* CRLF -- boundary */
	size_t dn;
	struct box_form_sink sink;
	struct az_buf in;
	unsigned parts;
	bool wanted; /* this part is a file for us */
};

bool
box_form_boundary(struct az_str t, struct az_str *out)
{
	struct az_str rest = t, part;

	if (!az_str_cut(&rest, ';', &part) ||
	    !az_str_ieq(az_str_trim(part), AZ_S("multipart/form-data")))
		return false;
	while (az_str_cut(&rest, ';', &part)) {
		part = az_str_trim(part);
		if (part.n < 10 || !az_str_ieq(az_str_sub(part, 0, 9), AZ_S("boundary=")))
			continue;
		*out = az_str_sub(part, 9, part.n);
		if (out->n >= 2 && out->p[0] == '"' && out->p[out->n - 1] == '"')
			*out = az_str_sub(*out, 1, out->n - 1);
		return out->n >= 1 && out->n <= BOUNDARY_MAX && az_str_chr(*out, '\r') < 0 &&
		       az_str_chr(*out, '\n') < 0;
	}
	return false;
}

struct box_form *
box_form_new(struct az_str boundary, const struct box_form_sink *sink)
{
	struct box_form *m = calloc(1, sizeof *m);

	if (!m || boundary.n > BOUNDARY_MAX) {
		free(m);
		return NULL;
	}
	m->dn = (size_t)snprintf(m->delim, sizeof m->delim, "\r\n--%.*s", AZ_FMT(boundary));
	m->sink = *sink;
	az_buf_init(&m->in, AZ_MIB(1));
	/* the first delimiter has no line before it */
	az_buf_addc(&m->in, "\r\n");
	return m;
}

void
box_form_free(struct box_form *m)
{
	if (!m)
		return;
	az_buf_release(&m->in);
	free(m);
}

/* name="value" of a Content-Disposition line, %22 for a quote, into out. */
static bool
param(struct az_str line, const char *name, char *out, size_t size, size_t *n)
{
	char want[32];
	ptrdiff_t at;
	size_t from = 0;

	snprintf(want, sizeof want, "%s=\"", name);
	for (;;) {
		at = az_str_find(line, az_str_c(want), from);
		if (at < 0)
			return false;
		/* "filename" ends in "name": it must stand alone */
		if (at > 0 && (line.p[at - 1] == ' ' || line.p[at - 1] == ';'))
			break;
		from = (size_t)at + 1;
	}
	*n = 0;
	for (size_t i = (size_t)at + strlen(want); i < line.n; i++) {
		char c = line.p[i];

		if (c == '"')
			return true;
		if (*n + 1 >= size)
			return false;
		if (c == '\\' && i + 1 < line.n && (line.p[i + 1] == '"' || line.p[i + 1] == '\\'))
			c = line.p[++i];
		else if (c == '%' && line.n - i > 2 && line.p[i + 1] == '2' &&
			 line.p[i + 2] == '2') {
			c = '"';
			i += 2;
		}
		out[(*n)++] = c;
	}
	return false;
}

static enum az_code
part_head(struct box_form *m, struct az_str head, struct az_err *err)
{
	struct az_str line;
	char name[64], file[4096];
	size_t nn, fn;

	if (++m->parts > PARTS_MAX)
		return az_fail(err, AZ_EINVAL, "box.multipart", "more than %d parts", PARTS_MAX);
	m->wanted = false;
	while (az_str_line(&head, &line)) {
		if (line.n < 20 ||
		    !az_str_ieq(az_str_sub(line, 0, 20), AZ_S("content-disposition:")))
			continue;
		if (param(line, "name", name, sizeof name, &nn) &&
		    az_str_eqc(az_str_n(name, nn), "file") &&
		    param(line, "filename", file, sizeof file, &fn)) {
			m->wanted = true;
			return m->sink.begin(m->sink.arg, az_str_n(file, fn), err);
		}
	}
	return AZ_OK;
}

/* One step on what is there; *more false when it needs input. */
static enum az_code
step(struct box_form *m, bool *more, struct az_err *err)
{
	struct az_str s = az_buf_str(&m->in), d = az_str_n(m->delim, m->dn);
	enum az_code rc = AZ_OK;
	ptrdiff_t at;
	size_t keep;

	*more = false;
	switch (m->stage) {
	case PREAMBLE:
	case BODY:
		at = az_str_find(s, d, 0);
		keep = at >= 0 ? (size_t)at : s.n >= m->dn ? s.n - (m->dn - 1) : 0;
		if (m->stage == BODY && m->wanted && keep)
			rc = m->sink.bytes(m->sink.arg, az_str_sub(s, 0, keep), err);
		if (!rc && at >= 0) {
			if (m->stage == BODY && m->wanted)
				rc = m->sink.end(m->sink.arg, err);
			keep += m->dn;
			m->stage = AFTER;
			*more = true;
		}
		az_buf_shift(&m->in, keep);
		return rc;
	case AFTER:
		/* blanks, then either the end or a line break */
		while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
			s = az_str_sub(s, 1, s.n);
		if (s.n < 2) {
			if (m->in.n > HEAD_MAX)
				return az_fail(err, AZ_EINVAL, "box.multipart", "bad delimiter");
			return AZ_OK;
		}
		if (s.p[0] == '-' && s.p[1] == '-')
			m->stage = DONE;
		else if (s.p[0] == '\r' && s.p[1] == '\n')
			m->stage = HEAD;
		else
			return az_fail(err, AZ_EINVAL, "box.multipart", "bad delimiter");
		/* keep the line break: an empty head is "\r\n\r\n" too */
		az_buf_shift(&m->in, m->in.n - s.n);
		*more = true;
		return AZ_OK;
	case HEAD:
		at = az_str_find(s, AZ_S("\r\n\r\n"), 0);
		if (at < 0 || (size_t)at > HEAD_MAX)
			return s.n > HEAD_MAX ? az_fail(err, AZ_EINVAL, "box.multipart",
						    "part header too long")
					      : AZ_OK;
		rc = part_head(m, az_str_sub(s, 0, (size_t)at + 2), err);
		az_buf_shift(&m->in, (size_t)at + 4);
		m->stage = BODY;
		*more = true;
		return rc;
	case DONE:
	default:
		az_buf_reset(&m->in); /* an epilogue says nothing */
		return AZ_OK;
	}
}

enum az_code
box_form_feed(struct box_form *m, struct az_str s, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	bool more = true;

	az_buf_adds(&m->in, s);
	rc = az_buf_check(&m->in, "box.multipart", err);
	while (!rc && more)
		rc = step(m, &more, err);
	return rc;
}

enum az_code
box_form_end(struct box_form *m, struct az_err *err)
{
	if (m->stage != DONE)
		return az_fail(err, AZ_EINVAL, "box.multipart", "the form is cut off");
	return AZ_OK;
}
