/* Metadata of files: X-Metadata-<key> of an upload, "metadata" of what is told of them. */
#include "files.h"

#include <ctype.h>

static const char op[] = "box.metadata";

/* A header's name comes in capitals, with '_' for its dashes. */
static bool
key_of(struct az_str rest, char out[AW_META_KEY])
{
	static const char others[] = "!#$%&'*+-.^`|~";

	if (!rest.n || rest.n > AW_META_KEY)
		return false;
	for (size_t i = 0; i < rest.n; i++) {
		char c = rest.p[i] == '_' ? '-' : (char)tolower((unsigned char)rest.p[i]);

		if (!isalnum((unsigned char)c) && !strchr(others, c))
			return false;
		out[i] = c;
	}
	return true;
}

static bool
printable(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

enum az_code
meta_of_request(struct az_rq *rq, struct az_buf *out, struct az_err *err)
{
	struct az_str rest, value;
	unsigned char count[4];
	size_t at = 0, sum = 0;
	uint32_t n = 0;

	put_u32(out, 0);
	while (az_rq_header_next(rq, "X-Metadata-", &at, &rest, &value)) {
		char key[AW_META_KEY];

		if (!key_of(rest, key))
			return az_fail(err, AZ_EINVAL, op, "bad metadata key: %.*s",
			    AZ_FMT(az_str_sub(rest, 0, 80)));
		if (!printable(value))
			return az_fail(err, AZ_EINVAL, op,
			    "metadata %.*s: only printable ASCII is allowed",
			    AZ_FMT(az_str_n(key, rest.n < 80 ? rest.n : 80)));
		sum += rest.n + value.n;
		if (++n > AW_META_MAX || sum > AW_META_BYTES)
			return az_fail(err, AZ_EINVAL, op,
			    "metadata is larger than %u bytes or %u entries", AW_META_BYTES,
			    AW_META_MAX);
		put_text(out, az_str_n(key, rest.n));
		put_text(out, value);
	}
	aw_store(count, n, 4);
	if (!out->fail)
		memcpy(out->p, count, 4);
	return az_buf_check(out, op, err);
}

void
meta_json(struct az_jw *w, struct aw_rd pairs)
{
	if (!pairs.n)
		return;
	az_jw_key(w, "metadata");
	az_jw_obj(w);
	while (pairs.n && !pairs.bad) {
		struct az_str k, v;

		k.p = aw_text(&pairs, &k.n);
		v.p = aw_text(&pairs, &v.n);
		az_jw_keys(w, k);
		az_jw_str(w, v);
	}
	az_jw_end(w, '}');
}
