/* The only place that puts keys and ids together. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/path.h>

#define TAIL 26

void
az_key_blob(struct az_buf *b, struct az_str wid, struct az_str name)
{
	az_buf_addf(b, "%.*s/.azlon/blobs/%.*s", AZ_FMT(wid), AZ_FMT(name));
}

void
az_key_iter(struct az_buf *b, struct az_str wid, int n, const char *name)
{
	az_buf_addf(b, "%.*s/.azlon/iterations/%04d/%s", AZ_FMT(wid), n, name);
}

void
az_key_meta(struct az_buf *b, struct az_str wid, const char *name)
{
	az_buf_addf(b, "%.*s/.azlon/%s", AZ_FMT(wid), name);
}

void
az_key_run(struct az_buf *b, struct az_str wid)
{
	az_buf_addf(b, "%.*s/", AZ_FMT(wid));
}

void
az_key_final(struct az_buf *b, struct az_str wid, struct az_str path)
{
	az_buf_addf(b, "%.*s/%.*s", AZ_FMT(wid), AZ_FMT(path));
}

void
az_key_input(struct az_buf *b, struct az_str set, struct az_str path)
{
	az_buf_addf(b, "input/%.*s/%.*s", AZ_FMT(set), AZ_FMT(path));
}

void
az_key_input_manifest(struct az_buf *b, struct az_str set)
{
	az_buf_addf(b, "input/%.*s/.azlon/manifest", AZ_FMT(set));
}

void
az_key_input_blob(struct az_buf *b, struct az_str set, struct az_str name)
{
	az_buf_addf(b, "input/%.*s/.azlon/blobs/%.*s", AZ_FMT(set), AZ_FMT(name));
}

void
az_key_prompt(struct az_buf *b, const char *which)
{
	az_buf_addf(b, "prompts/%s", which);
}

static bool
word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

static bool
base32_only(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '2' && s.p[i] <= '7')))
			return false;
	return true;
}

/* How an id names its owner: the uid where it is a short plain word, else the tag,
   whose 32 characters no such word has. */
static struct az_str
owner(struct az_str uid, char tag[33])
{
	bool plain = uid.n >= 1 && uid.n <= 31;

	for (size_t i = 0; plain && i < uid.n; i++)
		plain = word_char(uid.p[i]);
	if (plain)
		return uid;
	az_user_tag(uid, tag);
	return (struct az_str){tag, 32};
}

void
az_wid_prefix(struct az_buf *b, struct az_str uid)
{
	char tag[33];
	struct az_str u = owner(uid, tag);

	az_buf_addf(b, "user-%.*s-", AZ_FMT(u));
}

void
az_wid_user(struct az_buf *b, struct az_str uid)
{
	char tag[33];

	az_user_tag(uid, tag);
	az_buf_addf(b, "azlon-user-%s", tag);
}

void
az_wid_make(struct az_buf *b, struct az_str uid, int64_t ms, const char *tail26)
{
	az_wid_prefix(b, uid);
	az_buf_addf(b, "%lld-", (long long)ms);
	if (tail26)
		az_buf_add(b, tail26, TAIL);
	else
		az_random_id(b, TAIL);
}

bool
az_wid_parse(struct az_str wid, struct az_str *u, int64_t *ms)
{
	struct az_str head, name, digits;
	ptrdiff_t dash;
	int64_t t;

	if (wid.n < TAIL + 1 || wid.p[wid.n - TAIL - 1] != '-' ||
	    !base32_only(az_str_sub(wid, wid.n - TAIL, wid.n)))
		return false;
	head = az_str_sub(wid, 0, wid.n - TAIL - 1);
	dash = az_str_rchr(head, '-');
	if (dash < 0)
		return false;
	digits = az_str_sub(head, (size_t)dash + 1, head.n);
	if (digits.n == 0 || digits.p[0] == '-' || (digits.n > 1 && digits.p[0] == '0') ||
	    !az_str_to_i64(digits, 0, INT64_C(99999999999999), &t))
		return false;
	if (!az_str_starts(head, AZ_S("user-")) || dash < 6)
		return false;
	name = az_str_sub(head, 5, (size_t)dash);
	if (name.n > 32 || (name.n == 32 && !base32_only(name)))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!word_char(name.p[i]))
			return false;
	if (u)
		*u = name;
	if (ms)
		*ms = t;
	return true;
}

bool
az_wid_owned_by(struct az_str wid, struct az_str uid)
{
	char tag[33];
	struct az_str u;

	return uid.n && az_wid_parse(wid, &u, NULL) && az_str_eq(u, owner(uid, tag));
}

void
az_input_id_make(struct az_buf *b)
{
	az_buf_addc(b, "inp_");
	az_random_id(b, TAIL);
}

bool
az_input_id_ok(struct az_str id)
{
	return az_str_eqc(id, "default") || (id.n == 4 + TAIL && az_str_starts(id, AZ_S("inp_")) &&
						base32_only(az_str_sub(id, 4, id.n)));
}
