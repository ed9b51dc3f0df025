/*
 * Many files in one request: a form with a part for each, whose file name is the target.
 * The length is known beforehand and the bodies are read while they are sent.
 */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "e2b_files.h"

#define OP "sandbox.upload"

enum where { HEAD, BODY, TAIL, DONE };

struct form {
	struct e2b_transfer t;
	const struct az_sb_puts *p;
	size_t i, last;
	enum where where;
	int64_t left; /* of the body of p->v[i] */
	char boundary[40];
	struct az_buf text;   /* what comes next */
	struct az_str unsent; /* of text */
};

static bool
stopped(void *arg)
{
	return e2b_transfer_stopped(&((struct form *)arg)->t);
}

static void
put_head(const struct form *f, size_t i, struct az_buf *b)
{
	az_buf_addf(b,
	    "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n"
	    "Content-Type: application/octet-stream\r\n\r\n",
	    f->boundary, f->p->v[i].path);
}

static enum az_code
next_text(struct form *f, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	az_buf_reset(&f->text);
	switch (f->where) {
	case HEAD:
		put_head(f, f->i, &f->text);
		f->left = f->p->v[f->i].bytes;
		if ((rc = f->p->open(f->p->arg, f->i, err)) != AZ_OK)
			f->t.ours = true;
		f->where = BODY;
		break;
	case BODY:
		az_buf_addc(&f->text, "\r\n");
		f->where = ++f->i < f->last ? HEAD : TAIL;
		break;
	case TAIL:
		az_buf_addf(&f->text, "--%s--\r\n", f->boundary);
		f->where = DONE;
		break;
	case DONE:
		break;
	}
	if (rc == AZ_OK)
		rc = az_buf_check(&f->text, OP, err);
	f->unsent = az_buf_str(&f->text);
	return rc;
}

static enum az_code
pass_up(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct form *f = arg;
	enum az_code rc = AZ_OK;

	*got = 0;
	if (!f->unsent.n && !(f->where == BODY && f->left > 0) && (rc = next_text(f, err)) != AZ_OK)
		return rc;
	if (f->unsent.n) {
		*got = f->unsent.n < n ? f->unsent.n : n;
		memcpy(p, f->unsent.p, *got);
		f->unsent = az_str_sub(f->unsent, *got, f->unsent.n);
		return AZ_OK;
	}
	if (f->where != BODY)
		return AZ_OK;
	if ((int64_t)n > f->left)
		n = (size_t)f->left;
	rc = f->p->read(f->p->arg, p, n, got, err);
	if (rc == AZ_OK && *got == 0)
		rc = az_fail(err, AZ_EIO, OP, "a file ends %lld bytes early", (long long)f->left);
	f->left -= (int64_t)*got;
	f->t.ours = rc != AZ_OK;
	return rc;
}

static enum az_code
length(struct form *f, int64_t *out, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	int64_t n = 0;
	size_t i;

	for (i = f->i; i < f->last && rc == AZ_OK; i++) {
		az_buf_reset(&f->text);
		put_head(f, i, &f->text);
		rc = az_buf_check(&f->text, OP, err);
		n += (int64_t)f->text.n + f->p->v[i].bytes + 2;
	}
	*out = n + (int64_t)strlen(f->boundary) + 6; /* "--" before and behind, CRLF */
	return rc;
}

/* Each file must be named as written: a success that wrote less has been seen. */
static enum az_code
all_there(const struct az_http_resp *r, size_t n, struct az_err *err)
{
	static const struct az_json_limits limits = {AZ_MIB(4), 8, 100000};
	struct az_json *j = NULL;
	enum az_code rc = AZ_OK;
	size_t i = 0;

	if (az_json_parse(az_buf_str(&r->body), &limits, &j, NULL) == AZ_OK && az_json_len(j) == n)
		while (i < n && az_json_gets(az_json_at(j, i), "path").n)
			i++;
	if (i < n)
		rc = az_fail(err, AZ_EUPSTREAM, OP, "the answer names %zu of %zu written files",
		    az_json_len(j), n);
	az_json_free(j);
	return rc;
}

enum az_code
e2b_upload_form(struct az_sandbox *s, const struct az_box_ref *ref, const struct az_sb_puts *p,
    size_t first, size_t n, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct form f = {.t = {.e = e, .ref = ref}, .p = p, .i = first, .last = first + n};
	struct az_http_resp r = {0};
	unsigned char random[12];
	char hex[25], type[120];
	struct e2b_head h;
	struct az_buf url;
	int64_t bytes = 0;
	enum az_code rc;

	az_random(random, sizeof random);
	az_hex(random, sizeof random, hex);
	snprintf(f.boundary, sizeof f.boundary, "azlon-%s", hex);
	snprintf(type, sizeof type, "Content-Type: multipart/form-data; boundary=%s", f.boundary);
	az_buf_init(&url, AZ_KIB(4));
	az_buf_init(&f.text, AZ_KIB(8));
	if ((rc = e2b_files_url(e, ref, NULL, &url, OP, err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, ref, NULL, err)) != AZ_OK ||
	    (rc = length(&f, &bytes, err)) != AZ_OK)
		goto out;
	e2b_head_add(&h, type);
	rc = az_http_call(e->http,
	    &(struct az_http_req){.method = "POST",
		.url = url.p,
		.headers = h.line,
		.read = pass_up,
		.body_bytes = bytes,
		.cancelled = stopped,
		.arg = &f},
	    &r, err);
	rc = e2b_transfer_end(&f.t, rc, &r, OP, err);
	if (rc == AZ_OK)
		rc = all_there(&r, n, err);
out:
	az_http_resp_release(&r);
	az_buf_release(&f.text);
	az_buf_release(&url);
	return rc;
}
