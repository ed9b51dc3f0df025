/*
 * Replace a small object only if it still is what the caller read. By a conditional PUT where
 * the server honours it, which is tried once; else under a lock on a file of this host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "s3.h"

static const char op[] = "store.put_if";

static enum az_code
changed(struct az_err *err)
{
	return az_fail(err, AZ_EPRECOND, op, "the object was changed by somebody else");
}

static void
quote(char out[130], const char *etag, bool bare)
{
	snprintf(out, 130, "%s%s%s", bare ? "" : "\"", etag, bare ? "" : "\"");
}

/* Is the object what was says (.p NULL: absent)? Its tag, for the condition. */
static enum az_code
as_it_was(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_str was,
    char etag[130], struct az_err *err)
{
	struct s3_call c = {.method = "GET", .bucket = b, .key = key};
	struct s3_body *body = NULL;
	char chunk[16384];
	size_t at = 0, got = 1;
	struct s3_reply r;
	enum az_code rc = s3_open(s, &c, &r, &body, err);
	bool same = true;

	if (rc == AZ_ENOTFOUND)
		return was.p ? changed(err) : AZ_OK;
	if (!rc && (!was.p || r.bytes != (int64_t)was.n))
		rc = changed(err);
	while (!rc && was.p && got && same) {
		rc = s3_body_read(body, chunk, sizeof chunk, &got, err);
		same = got <= was.n - at && (!got || memcmp(chunk, was.p + at, got) == 0);
		at += got;
	}
	s3_body_close(body);
	if (!rc && !same)
		rc = changed(err);
	if (!rc && !r.etag[0])
		rc = az_fail(err, AZ_EUPSTREAM, op, "an object without its tag");
	if (!rc)
		quote(etag, r.etag, s->bare_tags);
	return rc;
}

/* Does a refusal say so? Others pass: a slow body, wrong keys, a proxy on the way. */
static bool
knows_no_condition(const struct s3_reply *r)
{
	static const char *const codes[] = {"NotImplemented", "InvalidArgument", "InvalidRequest"};

	for (size_t i = 0; r->status == 400 && i < sizeof codes / sizeof *codes; i++)
		if (!strcmp(r->error.code, codes[i]))
			return true;
	return r->status == 501;
}

/* One PUT of the probe: *taken, or refused. *cannot: the server knows no such condition. */
static enum az_code
try_put(struct s3 *s, const struct az_bucket *b, struct az_str key, struct s3_kv condition,
    struct s3_reply *r, bool *taken, bool *cannot, struct az_err *err)
{
	enum az_code rc;

	memset(r, 0, sizeof *r);
	rc = s3_put_body(s, b, key, AZ_S("1"), &condition, 1, r, err);
	*taken = rc == AZ_OK;
	if (rc && rc != AZ_EPRECOND)
		*cannot = knows_no_condition(r);
	return rc == AZ_EPRECOND || *cannot ? AZ_OK : rc;
}

/*
 * May we rely on conditions? Two writers of one name: the second must be refused. So must one
 * who knows another tag, and not the one who knows the right one: Ceph's gateway wants that
 * without its quotes. All bodies are the same, and so is the tag, however often one is sent.
 */
static enum az_code
ask(struct s3 *s, const struct az_bucket *b, struct az_str key, bool *yes, bool *bare,
    struct az_err *err)
{
	struct s3_kv none = {AZ_S("if-none-match"), AZ_S("*")};
	struct s3_kv match = {AZ_S("if-match"), AZ_S("\"00000000000000000000000000000000\"")};
	bool first, second, other, right = false, cannot = false;
	char etag[128], tag[130];
	struct s3_reply r;
	enum az_code rc = try_put(s, b, key, none, &r, &first, &cannot, err);

	*yes = *bare = false;
	if (rc || cannot)
		return rc;
	memcpy(etag, r.etag, sizeof etag);
	if ((rc = try_put(s, b, key, none, &r, &second, &cannot, err)) || second || cannot ||
	    (rc = try_put(s, b, key, match, &r, &other, &cannot, err)) || other || cannot)
		return rc;
	for (int i = 0; !rc && !right && !cannot && i < 2; i++) {
		*bare = i == 1;
		quote(tag, etag, *bare);
		match.value = az_str_c(tag);
		rc = try_put(s, b, key, match, &r, &right, &cannot, err);
	}
	*yes = right;
	return rc;
}

static enum az_code
probe(struct s3 *s, const struct az_bucket *b, struct az_err *err)
{
	struct az_buf key;
	bool yes = false, bare = false;
	enum az_code rc;

	az_buf_init(&key, 64);
	az_buf_addc(&key, ".azlon/probe-");
	az_random_id(&key, 26);
	rc = az_buf_check(&key, op, err);
	if (!rc)
		rc = ask(s, b, az_buf_str(&key), &yes, &bare, err);
	if (!rc) {
		if (!yes && s->conditional == S3_UNKNOWN)
			az_log(AZ_WARN, "store.no_conditions",
			    AZ_KC("text", "the file store has no conditional PUT: changes of one "
					  "object are serialised on this host only"));
		s->bare_tags = bare;
		s->conditional = yes ? S3_YES : S3_NO;
	}
	(void)!s3_remove(&s->base, b, az_buf_str(&key), NULL);
	az_buf_release(&key);
	return rc;
}

/* Refused, but perhaps because of an earlier try that did arrive: when a kept connection breaks,
   libcurl sends again without a word. Then the object carries our mark; its bytes alone prove
   nothing, for another writer may have had the same. */
static enum az_code
ours_after_all(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_str mark,
    struct az_err *err)
{
	struct s3_call c = {.method = "HEAD", .bucket = b, .key = key};
	struct s3_reply r;
	enum az_code rc = s3_do(s, &c, &r, err);

	if (rc && rc != AZ_ENOTFOUND)
		return rc;
	return !rc && az_str_eqc(mark, r.mark) ? AZ_OK : changed(err);
}

static enum az_code
conditionally(struct s3 *s, const struct az_bucket *b, struct az_str key, const char *etag,
    struct az_str body, struct az_err *err)
{
	struct s3_kv headers[2] = {{etag[0] ? AZ_S("if-match") : AZ_S("if-none-match"),
				       etag[0] ? az_str_c(etag) : AZ_S("*")},
	    {AZ_S(S3_MARK), {NULL, 0}}};
	struct s3_reply r;
	struct az_buf mark;
	enum az_code rc;

	az_buf_init(&mark, 64);
	az_random_id(&mark, 26);
	headers[1].value = az_buf_str(&mark);
	rc = az_buf_check(&mark, op, err);
	if (!rc)
		rc = s3_put_body(s, b, key, body, headers, 2, &r, err);
	/* its object went away meanwhile */
	if (rc == AZ_ENOTFOUND && etag[0])
		rc = changed(err);
	else if (rc == AZ_EPRECOND)
		rc = ours_after_all(s, b, key, headers[1].value, err);
	az_buf_release(&mark);
	return rc;
}

static enum az_code
locked(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_str was,
    struct az_str body, struct az_err *err)
{
	char path[1100], etag[130] = "";
	struct s3_reply r;
	enum az_code rc;
	int fd;

	snprintf(path, sizeof path, "%s/%s.lock", s->lock_dir, b->name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return az_fail_errno(err, AZ_EIO, op, "the lock of the file store");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			rc = az_fail_errno(err, AZ_EIO, op, "the lock of the file store");
			goto out;
		}
	rc = as_it_was(s, b, key, was, etag, err);
	if (!rc)
		rc = s3_free_name(s, b, key, err);
	if (!rc)
		rc = s3_put_body(s, b, key, body, NULL, 0, &r, err);
out:
	close(fd);
	return rc;
}

enum az_code
s3_put_if(struct az_store *base, const struct az_bucket *b, struct az_str key, struct az_str was,
    struct az_str body, struct az_err *err)
{
	struct s3 *s = (struct s3 *)base;
	char etag[130] = "";
	enum az_code rc = AZ_OK;

	if (s->conditional == S3_UNKNOWN && (rc = probe(s, b, err)))
		return rc;
	if (s->conditional == S3_NO)
		return locked(s, b, key, was, body, err);
	rc = as_it_was(s, b, key, was, etag, err);
	if (!rc)
		rc = s3_free_name(s, b, key, err);
	return rc ? rc : conditionally(s, b, key, etag, body, err);
}
