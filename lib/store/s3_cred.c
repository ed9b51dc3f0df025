/*
 * Credentials of single users: by STS a session that opens one bucket and nothing else, so
 * that a mistake of ours cannot cross users. One session a bucket, asked for by one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "s3.h"

#define USERS 256
#define LIFE_S 3600
#define AGAIN_MS 10000 /* a renewal that failed, while the old session lives */

static const char op[] = "s3.sts";

struct user {
	char bucket[39];
	struct s3_cred cred;
	int64_t renew_ms, end_ms; /* wall clock: after 80 % of its life, and all; 0 = none */
	bool asking;
	uint64_t asked;    /* how often */
	struct az_err err; /* of the last time */
	uint64_t used;
};

struct s3_users {
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct user v[USERS];
	uint64_t tick;
	enum s3_cap sts;
	int64_t again_ms; /* boot clock: it had none, and one thread looks whether it has now */
};

enum az_code
s3_users_new(struct s3_users **out, struct az_err *err)
{
	struct s3_users *u = calloc(1, sizeof *u);

	*out = u;
	if (!u)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	pthread_mutex_init(&u->mu, NULL);
	az_cond_init(&u->changed);
	return AZ_OK;
}

void
s3_users_free(struct s3_users *u)
{
	if (!u)
		return;
	az_wipe(u->v, sizeof u->v);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->mu);
	free(u);
}

/* With the lock held: the bucket's place, or that of the one unused for longest. NULL when
   all are being asked for. */
static struct user *
place(struct s3_users *u, const struct az_bucket *b)
{
	struct user *to = NULL;

	for (size_t i = 0; i < USERS; i++) {
		struct user *x = &u->v[i];

		if (strcmp(x->bucket, b->name) == 0) {
			x->used = ++u->tick;
			return x;
		}
		if (!x->asking && (!to || x->used < to->used))
			to = x;
	}
	if (!to)
		return NULL;
	az_wipe(to, sizeof *to);
	memcpy(to->bucket, b->name, sizeof to->bucket);
	to->used = ++u->tick;
	return to;
}

static void
form(struct az_buf *out, const char *name, struct az_str value)
{
	az_buf_addf(out, "%s%s=", out->n ? "&" : "", name);
	az_pct_encode(out, value, NULL);
}

static void
policy(struct az_buf *out, const struct az_bucket *b)
{
	az_buf_addf(out,
	    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":["
	    "\"s3:GetObject\",\"s3:PutObject\",\"s3:DeleteObject\",\"s3:AbortMultipartUpload\","
	    "\"s3:ListMultipartUploadParts\"],\"Resource\":[\"arn:aws:s3:::%s/*\"]},"
	    "{\"Effect\":\"Allow\",\"Action\":[\"s3:ListBucket\",\"s3:GetBucketLocation\","
	    "\"s3:ListBucketMultipartUploads\"],\"Resource\":[\"arn:aws:s3:::%s\"]}]}",
	    b->name, b->name);
}

/* The server's answer means that it has no such thing, or not for keys like ours. Nothing
   else does: to go on without would give up what keeps users apart. */
static bool
without_sts(const struct s3_reply *r)
{
	static const char *const codes[] = {
	    "MethodNotAllowed", "NotImplemented", "InvalidAction", "AccessDenied"};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (!strcmp(r->error.code, codes[i]))
			return true;
	return r->status == 404 || r->status == 405 || r->status == 501;
}

static enum az_code
assume(struct s3 *s, const struct az_bucket *b, struct s3_session *session, bool *none,
    struct az_err *err)
{
	struct s3_xml_opts xml = s3_session_opts(session);
	struct s3_kv type = {AZ_S("content-type"), AZ_S("application/x-www-form-urlencoded")};
	struct s3_call c = {.method = "POST",
	    .headers = &type,
	    .n_headers = 1,
	    .xml = &xml,
	    .as_root = true,
	    .service = "sts"};
	struct s3_reply r = {.status = 0};
	struct az_buf body, rules;
	char life[16];
	enum az_code rc;

	az_buf_init(&body, AZ_KIB(8));
	az_buf_init(&rules, AZ_KIB(2));
	policy(&rules, b);
	snprintf(life, sizeof life, "%d", LIFE_S);
	form(&body, "Action", AZ_S("AssumeRole"));
	form(&body, "Version", AZ_S("2011-06-15"));
	form(&body, "DurationSeconds", az_str_c(life));
	form(&body, "Policy", az_buf_str(&rules));
	c.body = az_buf_str(&body);
	if (!(rc = az_buf_check(&rules, op, err)) && !(rc = az_buf_check(&body, op, err)))
		rc = s3_do(s, &c, &r, err);
	*none = rc && without_sts(&r);
	if (rc && !*none && r.status && s3_next(r.status, r.error.code) == S3_GIVE_UP)
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store gives no credentials for a user (%d %.40s); if it has no STS, set "
		    "AZLON_S3_STS=off",
		    r.status, r.error.code);
	az_buf_release(&rules);
	az_buf_release(&body);
	return rc;
}

static void
keep(struct s3 *s, struct user *x, const struct s3_session *session)
{
	int64_t now = az_wall_ms(), life = session->expires_ms - (now + s->skew_ms);

	if (life > LIFE_S * 1000)
		life = LIFE_S * 1000;
	snprintf(x->cred.access, sizeof x->cred.access, "%s", session->access);
	snprintf(x->cred.secret, sizeof x->cred.secret, "%s", session->secret);
	snprintf(x->cred.token, sizeof x->cred.token, "%s", session->token);
	if (life < 1000) /* over by our clocks: the server decides */
		life = 1000;
	x->end_ms = now + life;
	x->renew_ms = now + life / 10 * 8;
}

/* Ask for a user's session; the lock is not held meanwhile. What came of it is in *x. */
static void
ask(struct s3 *s, struct user *x, const struct az_bucket *b)
{
	struct s3_users *u = s->users;
	struct s3_session session = {.expires_ms = 0};
	struct az_err err = AZ_ERR_INIT;
	bool none = false;
	enum az_code rc;

	x->asking = true;
	pthread_mutex_unlock(&u->mu);
	rc = assume(s, b, &session, &none, &err);
	pthread_mutex_lock(&u->mu);
	x->asking = false;
	x->asked++;
	if (!rc) {
		keep(s, x, &session);
		if (u->sts == S3_NO)
			az_log(AZ_INFO, "store.sts",
			    AZ_KC("text",
				"the file store gives credentials for single users after all"));
		u->sts = S3_YES;
	} else if (u->sts == S3_NO) {
		rc = AZ_OK; /* as before, or another thread found out meanwhile */
	} else if (none && u->sts == S3_UNKNOWN) {
		u->sts = S3_NO;
		u->again_ms = az_boot_ms() + s->sts_again_ms;
		az_log(AZ_WARN, "store.sts",
		    AZ_KC("text",
			"the file store gives no credentials for single users: all data is "
			"read and written with the keys of MINIO_ROOT_USER"),
		    AZ_KE(&err));
		rc = AZ_OK;
	} else if (x->end_ms > az_wall_ms()) {
		x->renew_ms = az_wall_ms() + AGAIN_MS; /* the old ones do for now */
		rc = AZ_OK;
	}
	x->err = err;
	x->err.code = rc;
	az_wipe(&session, sizeof session);
	pthread_cond_broadcast(&u->changed);
}

/* May x serve as it is? While somebody renews it, the others go on with what there is. */
static bool
serves(const struct user *x)
{
	int64_t now = az_wall_ms();

	return x->end_ms > now && (x->renew_ms > now || x->asking);
}

/* Wait for what another thread asks for the same bucket: its failure is ours too, so that
   a server that fails is not asked by each thread in turn. */
static enum az_code
wait_for(struct s3_users *u, struct user *x, const struct az_bucket *b, struct az_err *err)
{
	uint64_t asked = x ? x->asked : 0;

	(void)az_cond_wait(&u->changed, &u->mu, -1);
	if (!x || strcmp(x->bucket, b->name) != 0 || x->asked == asked || !x->err.code)
		return AZ_OK;
	*err = x->err;
	return x->err.code;
}

static void
hand_out(const struct s3 *s, const struct user *x, int64_t for_ms, struct s3_cred *out)
{
	*out = x->end_ms - az_wall_ms() >= for_ms ? x->cred : s->root;
}

/* With the lock held: is it for this thread to look whether a server without STS has it now?
   A policy that was being changed or a proxy's page may have spoken for it. */
static bool
to_look_again(const struct s3 *s, struct s3_users *u)
{
	int64_t now = az_boot_ms();

	if (u->sts != S3_NO || now < u->again_ms)
		return false;
	u->again_ms = now + s->sts_again_ms;
	return true;
}

enum az_code
s3_cred_for(struct s3 *s, const struct az_bucket *b, int64_t for_ms, struct s3_cred *out,
    struct az_err *err)
{
	struct az_err local = AZ_ERR_INIT;
	struct s3_users *u = s->users;
	enum az_code rc = AZ_OK;
	bool look;

	if (!err)
		err = &local;
	pthread_mutex_lock(&u->mu);
	look = to_look_again(s, u);
	while (!rc) {
		struct user *x;

		if (s->sts_off || (u->sts == S3_NO && !look)) {
			*out = s->root;
			break;
		}
		x = place(u, b);
		if (x && serves(x)) {
			hand_out(s, x, for_ms, out);
			break;
		}
		if (x && !x->asking) {
			look = false;
			ask(s, x, b);
			rc = x->err.code;
			if (rc)
				*err = x->err;
		} else {
			rc = wait_for(u, x, b, err);
		}
	}
	pthread_mutex_unlock(&u->mu);
	return rc;
}

void
s3_cred_forget(struct s3 *s, const struct az_bucket *b, const char *access)
{
	struct s3_users *u = s->users;

	pthread_mutex_lock(&u->mu);
	for (size_t i = 0; i < USERS; i++)
		/* another thread may have got a new one since */
		if (strcmp(u->v[i].bucket, b->name) == 0 &&
		    (!access || !strcmp(u->v[i].cred.access, access)))
			u->v[i].renew_ms = u->v[i].end_ms = 0;
	pthread_mutex_unlock(&u->mu);
}
