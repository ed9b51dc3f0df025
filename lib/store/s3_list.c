/* Listing. */
#include <stdio.h>
#include <azlon/limits.h>
#include "s3.h"

static const char op[] = "s3.list";

enum az_code
s3_list_page(struct s3 *s, const struct az_bucket *b, const struct s3_query *q,
    struct s3_listing *l, struct az_err *err)
{
	struct s3_xml_opts xml = s3_listing_opts(l);
	char max[16];
	struct s3_kv kv[8] = {{AZ_S("list-type"), AZ_S("2")}, {AZ_S("encoding-type"), AZ_S("url")},
	    {AZ_S("max-keys"), {max, 0}}};
	struct s3_call c = {.method = "GET", .bucket = b, .query = kv, .n_query = 3, .xml = &xml};
	struct s3_reply r;
	enum az_code rc;

	kv[2].value.n = (size_t)snprintf(max, sizeof max, "%d", q->max);
	if (q->prefix.n)
		kv[c.n_query++] = (struct s3_kv){AZ_S("prefix"), q->prefix};
	if (q->delimiter)
		kv[c.n_query++] = (struct s3_kv){AZ_S("delimiter"), az_str_c(q->delimiter)};
	if (q->token.n)
		kv[c.n_query++] = (struct s3_kv){AZ_S("continuation-token"), q->token};
	else if (q->after.n)
		kv[c.n_query++] = (struct s3_kv){AZ_S("start-after"), q->after};
	rc = s3_do(s, &c, &r, err);
	return rc ? rc : s3_listing_done(l, err);
}

/* Where a list may begin for what comes behind after: MinIO refuses a name with a segment . or ..,
   blanks around it or not, so that such a one is cut off and its like are skipped here. */
static struct az_str
start_of(struct az_str after)
{
	size_t from = 0, dots = 0, others = 0;

	for (size_t i = 0; i <= after.n; i++) {
		if (i == after.n || after.p[i] == '/' || after.p[i] == '\\') {
			if ((dots == 1 || dots == 2) && !others)
				return az_str_sub(after, 0, from);
			from = i + 1;
			dots = others = 0;
		} else if (after.p[i] == '.') {
			dots++;
		} else if (after.p[i] != ' ' && (after.p[i] < '\t' || after.p[i] > '\r')) {
			others++;
		}
	}
	return after;
}

enum az_code
s3_list(struct az_store *base, const struct az_bucket *b, const struct az_store_list *want,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	struct s3 *s = (struct s3 *)base;
	struct s3_query q = {.prefix = want->prefix,
	    .after = start_of(want->after),
	    .delimiter = want->one_level ? "/" : NULL,
	    .max = want->limit};
	bool more = true;
	char after[1100];

	out->objs = az_arena_alloc(a, ((size_t)want->limit + 1) * sizeof *out->objs);
	if (!out->objs)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	/* behind a directory is behind all that is in it: the last character there is */
	if (want->one_level && q.after.n && q.after.n + 4 < sizeof after &&
	    q.after.p[q.after.n - 1] == '/') {
		memcpy(after, q.after.p, q.after.n);
		memcpy(after + q.after.n, "\xf4\x8f\xbf\xbf", 4);
		q.after = az_str_n(after, q.after.n + 4);
	}
	while (more && out->n < (size_t)want->limit) {
		struct s3_listing l = {.a = a};
		enum az_code rc = s3_list_page(s, b, &q, &l, err);

		if (rc == AZ_ENOTFOUND)
			return AZ_OK; /* no bucket yet */
		if (rc)
			return rc;
		if (q.token.n && az_str_eq(q.token, l.token))
			return az_fail(err, AZ_EUPSTREAM, op, "a listing goes round in circles");
		for (size_t i = 0; i < l.n && out->n <= (size_t)want->limit; i++) {
			const struct az_obj *o = &l.objs[i];

			/* a prefix of the listing itself, and what a server repeats */
			if (az_str_cmp(o->key, want->after) <= 0 ||
			    (o->dir && az_str_eq(o->key, want->prefix)) ||
			    (!o->dir && o->key.n && o->key.p[o->key.n - 1] == '/'))
				continue;
			out->objs[out->n++] = *o;
		}
		more = l.truncated;
		q.token = l.token;
	}
	if (out->n > (size_t)want->limit) {
		out->n = (size_t)want->limit;
		more = true;
	}
	if (more && out->n)
		out->next = out->objs[out->n - 1].key;
	return AZ_OK;
}
