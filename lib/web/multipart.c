/* Forms. CR occurs in a delimiter only at its start, which makes one pass enough. */
#include <azlon/multipart.h>

static const char op[] = "multipart";

static enum az_code
malformed(struct az_err *err, const char *what)
{
	return az_fail(err, AZ_EINVAL, op, "the form data is malformed: %s", what);
}

/*
 * Cut "name=value" or "name="value"" off *rest, which starts behind a ';'. Inside quotes
 * a backslash escapes a quote or itself and is else a character: browsers write quotes
 * as %22, others escape them, and old ones send Windows paths as they are.
 */
static bool
parameter(struct az_str *rest, struct az_str *name, struct az_buf *value)
{
	struct az_str s = *rest;
	size_t i = 0;

	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == ';'))
		i++;
	s = az_str_sub(s, i, s.n);
	for (i = 0; i < s.n && s.p[i] != '=' && s.p[i] != ';'; i++)
		;
	if (i == 0 || i == s.n || s.p[i] != '=')
		return false;
	*name = az_str_trim(az_str_sub(s, 0, i));
	s = az_str_sub(s, i + 1, s.n);
	az_buf_reset(value);
	if (s.n == 0 || s.p[0] != '"') {
		for (i = 0; i < s.n && s.p[i] != ';'; i++)
			;
		az_buf_adds(value, az_str_trim(az_str_sub(s, 0, i)));
		*rest = az_str_sub(s, i, s.n);
		return true;
	}
	for (i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			i++;
		az_buf_addch(value, s.p[i]);
	}
	if (i == s.n)
		return false;
	*rest = az_str_sub(s, i + 1, s.n);
	return true;
}

static bool
boundary_ok(struct az_str b)
{
	if (b.n < 1 || b.n > 70 || b.p[b.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < b.n; i++) {
		char c = b.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    (c == '\0' || !strchr("'()+_,-./:=? ", c)))
			return false;
	}
	return true;
}

enum az_code
az_multipart_init(struct az_multipart *m, struct az_str content_type,
    const struct az_multipart_sink *sink, struct az_err *err)
{
	struct az_str rest = content_type, type, name;
	enum az_code rc = AZ_OK;
	struct az_buf value;
	bool found = false;

	memset(m, 0, sizeof *m);
	m->sink = *sink;
	m->state = AZ_MULTIPART_PREAMBLE;
	m->max_parts = AZ_MULTIPART_PARTS;
	az_buf_init(&m->head, AZ_MULTIPART_HEADER_BYTES);
	if (!az_str_cut(&rest, ';', &type) ||
	    !az_str_ieq(az_str_trim(type), AZ_S("multipart/form-data")))
		return az_fail(err, AZ_ETYPE, op, "not multipart/form-data");
	az_buf_init(&value, 1024);
	while (!found && parameter(&rest, &name, &value))
		found = az_str_ieq(name, AZ_S("boundary"));
	if (found && !value.fail && boundary_ok(az_buf_str(&value))) {
		memcpy(m->delim, "\r\n--", 4);
		memcpy(m->delim + 4, value.p, value.n);
		m->delim_n = 4 + value.n;
		/* the first one may stand at the very start, without its line end */
		m->matched = 2;
	}
	if (value.fail == AZ_ENOMEM)
		rc = az_buf_check(&value, op, err);
	else if (!m->delim_n)
		rc = malformed(err, "no usable boundary");
	az_buf_release(&value);
	return rc;
}

void
az_multipart_release(struct az_multipart *m)
{
	az_buf_release(&m->head);
}

/* What browsers turn a quote, CR and LF of a name into. */
static void
unescape(struct az_buf *b)
{
	size_t to = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct az_str s = az_str_n(b->p + i, b->n - i);
		char c = b->p[i];

		if (az_str_starts(s, AZ_S("%22")))
			c = '"';
		else if (az_str_starts(s, AZ_S("%0D")))
			c = '\r';
		else if (az_str_starts(s, AZ_S("%0A")))
			c = '\n';
		if (c != b->p[i])
			i += 2;
		b->p[to++] = c;
	}
	az_buf_cut(b, to);
}

/* The headers of a part are complete: tell the sink. */
static enum az_code
begin_part(struct az_multipart *m, struct az_err *err)
{
	struct az_multipart_part p = {.name = {NULL, 0}};
	struct az_str rest = az_buf_str(&m->head), line, name, key;
	struct az_buf value, field, file;
	bool form_data = false;
	enum az_code rc = AZ_OK;

	az_buf_init(&value, AZ_MULTIPART_HEADER_BYTES);
	az_buf_init(&field, AZ_MULTIPART_HEADER_BYTES);
	az_buf_init(&file, AZ_MULTIPART_HEADER_BYTES);
	while (az_str_line(&rest, &line)) {
		ptrdiff_t colon = az_str_chr(line, ':');

		if (line.n == 0)
			continue;
		if (colon < 1) {
			rc = malformed(err, "a header without a name");
			goto out;
		}
		name = az_str_sub(line, 0, (size_t)colon);
		line = az_str_trim(az_str_sub(line, (size_t)colon + 1, line.n));
		if (az_str_ieq(name, AZ_S("Content-Type")))
			p.type = line;
		if (!az_str_ieq(name, AZ_S("Content-Disposition")))
			continue;
		form_data = az_str_starts(line, AZ_S("form-data"));
		line = az_str_sub(line, 9, line.n);
		while (parameter(&line, &key, &value)) {
			bool is_name = az_str_ieq(key, AZ_S("name"));

			if ((rc = az_buf_check(&value, op, err)))
				goto out;
			/* "filename*" is not valid in a form and not looked at */
			if (!is_name && !az_str_ieq(key, AZ_S("filename")))
				continue;
			unescape(&value);
			az_buf_reset(is_name ? &field : &file);
			az_buf_adds(is_name ? &field : &file, az_buf_str(&value));
			*(is_name ? &p.name : &p.filename) = AZ_S("");
		}
	}
	if ((rc = az_buf_check(&field, op, err)) || (rc = az_buf_check(&file, op, err)))
		goto out;
	if (!form_data || !p.name.p) {
		rc = malformed(err, "a part without a name");
		goto out;
	}
	p.name = az_buf_str(&field);
	if (p.filename.p) {
		p.filename = az_buf_str(&file);
		if (!p.filename.p)
			p.filename = AZ_S("");
	}
	m->field = !p.filename.p;
	m->field_bytes = 0;
	rc = m->sink.begin(m->sink.arg, &p, err);
out:
	az_buf_release(&value);
	az_buf_release(&field);
	az_buf_release(&file);
	return rc;
}

static enum az_code
emit(struct az_multipart *m, struct az_str bytes, struct az_err *err)
{
	if (m->state != AZ_MULTIPART_DATA || bytes.n == 0)
		return AZ_OK;
	if (m->field && (m->field_bytes += (int64_t)bytes.n) > AZ_MULTIPART_FIELD_BYTES)
		return az_fail(err, AZ_ETOOBIG, op,
		    "a text field of the form is larger than %lld bytes",
		    (long long)AZ_MULTIPART_FIELD_BYTES);
	return m->sink.data(m->sink.arg, bytes, err);
}

/*
 * Pass on data up to the next boundary. CR occurs in the delimiter only at its start, so
 * after a mismatch nothing but a fresh CR can begin another match.
 */
static enum az_code
data(struct az_multipart *m, struct az_str *in, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	while (!rc && in->n) {
		char c = in->p[0];

		if (m->matched == 0) {
			const char *cr = memchr(in->p, '\r', in->n);
			size_t run = cr ? (size_t)(cr - in->p) : in->n;

			rc = emit(m, az_str_sub(*in, 0, run), err);
			*in = az_str_sub(*in, run, in->n);
			if (cr && !rc) {
				m->matched = 1;
				*in = az_str_sub(*in, 1, in->n);
			}
			continue;
		}
		if (c == m->delim[m->matched]) {
			*in = az_str_sub(*in, 1, in->n);
			if (++m->matched < m->delim_n)
				continue;
			m->matched = 0;
			if (m->state == AZ_MULTIPART_DATA)
				rc = m->sink.end(m->sink.arg, err);
			m->state = AZ_MULTIPART_AFTER;
			return rc;
		}
		rc = emit(m, az_str_n(m->delim, m->matched), err);
		m->matched = 0;
	}
	return rc;
}

static enum az_code
header_byte(struct az_multipart *m, char c, struct az_err *err)
{
	size_t n;

	az_buf_addch(&m->head, c);
	if (m->head.fail == AZ_ENOMEM)
		return az_buf_check(&m->head, op, err);
	if (m->head.fail)
		return az_fail(err, AZ_ETOOBIG, op,
		    "the headers of a part are longer than %zu bytes", AZ_MULTIPART_HEADER_BYTES);
	n = m->head.n;
	if (c == '\0' || (c == '\n' && (n < 2 || m->head.p[n - 2] != '\r')) ||
	    (n >= 2 && m->head.p[n - 2] == '\r' && c != '\n'))
		return malformed(err, "a bare line end or NUL in a header");
	if (c != '\n' || (n != 2 && (n < 4 || m->head.p[n - 4] != '\r')))
		return AZ_OK;
	m->state = AZ_MULTIPART_DATA;
	/* an empty part: its boundary follows at once */
	m->matched = 0;
	return begin_part(m, err);
}

static enum az_code
after_byte(struct az_multipart *m, char c, struct az_err *err)
{
	bool blank = c == ' ' || c == '\t';

	if (m->state == AZ_MULTIPART_AFTER && c == '-') {
		m->state = AZ_MULTIPART_DASH;
	} else if (m->state == AZ_MULTIPART_DASH && c == '-') {
		m->state = AZ_MULTIPART_DONE;
	} else if (m->state == AZ_MULTIPART_LF && c == '\n') {
		if (++m->parts > m->max_parts)
			return az_fail(
			    err, AZ_ETOOBIG, op, "the form has more than %d parts", m->max_parts);
		az_buf_reset(&m->head);
		m->state = AZ_MULTIPART_HEADERS;
	} else if (m->state != AZ_MULTIPART_DASH && m->state != AZ_MULTIPART_LF &&
		   (blank || c == '\r')) {
		m->state = blank ? AZ_MULTIPART_BLANK : AZ_MULTIPART_LF;
	} else {
		return malformed(err, "something stands behind a boundary");
	}
	return AZ_OK;
}

enum az_code
az_multipart_feed(struct az_multipart *m, struct az_str bytes, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	while (!rc && bytes.n && m->state != AZ_MULTIPART_DONE) {
		if (m->state == AZ_MULTIPART_PREAMBLE || m->state == AZ_MULTIPART_DATA) {
			rc = data(m, &bytes, err);
			continue;
		}
		rc = m->state == AZ_MULTIPART_HEADERS ? header_byte(m, bytes.p[0], err)
						      : after_byte(m, bytes.p[0], err);
		bytes = az_str_sub(bytes, 1, bytes.n);
	}
	return rc;
}

enum az_code
az_multipart_finish(struct az_multipart *m, struct az_err *err)
{
	return m->state == AZ_MULTIPART_DONE
		   ? AZ_OK
		   : malformed(err, "it ends before its closing boundary");
}
