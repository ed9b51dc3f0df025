/* Who may move a file: a token, or a URL that somebody signed with it. */
#include "files.h"

#include <azlon/crypto.h>

void
files_signature(struct az_buf *out, struct az_str path, enum files_op op, struct az_str user,
    struct az_str token, int64_t expiration)
{
	struct az_buf text;
	unsigned char sum[32];

	az_buf_init(&text, AZ_KIB(64));
	az_buf_adds(&text, path);
	az_buf_addc(&text, op == FILES_READ ? ":read:" : ":write:");
	az_buf_adds(&text, user);
	az_buf_addch(&text, ':');
	az_buf_adds(&text, token);
	if (expiration >= 0)
		az_buf_addf(&text, ":%lld", (long long)expiration);
	if (text.fail) {
		out->fail = text.fail;
	} else {
		az_sha256_of(az_buf_str(&text), sum);
		az_buf_addc(out, "v1_");
		az_base64(out, az_str_n(sum, sizeof sum));
		/* 32 bytes are 44 digits, the last of them padding */
		if (!out->fail)
			az_buf_cut(out, out->n - 1);
		az_wipe(text.p, text.n);
	}
	az_buf_release(&text);
}

struct claim {
	struct az_str path, user, signature;
	enum files_op op;
	int64_t expiration;
};

static bool
signed_by(const struct claim *c, const struct box *b)
{
	struct az_buf want;
	bool yes;

	az_buf_init(&want, 64);
	files_signature(&want, c->path, c->op, c->user, az_str_c(b->token), c->expiration);
	yes = !want.fail && az_ct_eq(c->signature, az_buf_str(&want));
	az_buf_release(&want);
	return yes;
}

static void
unref(void *box)
{
	box_unref(box);
}

/* A URL without the header says by its signature alone whose it is. */
static enum az_code
find_signer(struct az_rq *rq, struct az_box_server *s, const struct claim *c, struct box **out,
    struct az_err *err)
{
	struct box *b;

	pthread_mutex_lock(&s->mu);
	for (b = s->boxes; b && !signed_by(c, b); b = b->next)
		;
	if (b)
		b->refs++;
	pthread_mutex_unlock(&s->mu);
	*out = b;
	if (b && !az_arena_defer(az_rq_arena(rq), unref, b))
		return az_fail(err, AZ_ENOMEM, "box.files", "out of memory");
	return AZ_OK;
}

static enum az_code
find_box(struct az_rq *rq, struct az_box_server *s, enum files_op op, struct box **out, bool *stop,
    struct az_err *err)
{
	struct claim c = {.op = op, .expiration = -1};
	bool named = az_rq_header(rq, "E2b-Sandbox-Id").n > 0;
	struct az_str until = az_rq_query(rq, "signature_expiration");
	enum az_code rc;

	c.signature = az_rq_query(rq, "signature");
	*stop = true;
	if (az_rq_header(rq, "X-Access-Token").n || (!named && !c.signature.n))
		return envd_box(rq, s, out, stop, err);
	c.path = az_rq_query(rq, "path");
	c.user = az_rq_query(rq, "username");
	if (until.p && !az_str_to_i64(until, 0, INT64_MAX, &c.expiration))
		return rs_error(rq, 400, "signature_expiration is not a time", err);
	if (named) {
		rc = envd_find(rq, s, out, stop, err);
		if (rc || *stop)
			return rc;
		*stop = true;
		if (!c.signature.n)
			return rs_error(rq, 401, "missing signature query parameter", err);
		if (!signed_by(&c, *out))
			*out = NULL;
	} else if ((rc = check_host(rq, s, err)) || (rc = find_signer(rq, s, &c, out, err))) {
		return rc;
	}
	if (!*out)
		return rs_error(rq, 401, "invalid signature", err);
	if (c.expiration >= 0 && c.expiration < az_wall_ms() / 1000)
		return rs_error(rq, 401, "signature is already expired", err);
	return envd_awake(rq, *out, stop, err);
}

enum az_code
files_box(struct az_rq *rq, struct az_box_server *s, enum files_op op, struct box **out, bool *stop,
    struct az_err *err)
{
	enum az_code rc = find_box(rq, s, op, out, stop, err);

	return rc || *stop ? rc : check_username(az_rq_query(rq, "username"), err);
}
