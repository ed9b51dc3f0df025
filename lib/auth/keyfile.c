#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/log.h>
#include "files.h"
#include "keyfile.h"
#include "keyring.h"
#include "ops.h"

static const char OP[] = "auth.apikeys";

enum { TOUCH_S = 60, AGAIN_MS = 1000 };

struct keyfile {
	char path[PATH_MAX], used[PATH_MAX];
	pthread_rwlock_t mu;
	struct keyring *ring; /* or NULL: the file is there and cannot be used */
	struct stat seen;     /* of what ring was made from; all 0: there was none */
	int64_t read_ms;      /* boot clock */
};

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The file anew. Who cannot read it lets nobody in: a key might have been revoked there. */
static void
reload(struct keyfile *f)
{
	struct az_err err = AZ_ERR_INIT;
	struct keyring *r = NULL;
	struct stat st = {0};
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, KEYRING_BYTES);
	rc = auth_file_read(f->path, KEYRING_BYTES, &b, &st, &err);
	if (!rc || rc == AZ_ENOTFOUND)
		rc = keyring_parse(az_buf_str(&b), &r, &err);
	az_buf_release(&b);
	if (rc && f->ring)
		az_log(AZ_ERROR, "auth.apikeys", AZ_KE(&err));
	keyring_free(f->ring);
	f->ring = r;
	f->seen = st;
	f->read_ms = az_boot_ms();
}

/* The ring in force, read-locked; NULL and nothing locked when there is none. */
static struct keyring *
ring(struct keyfile *f)
{
	struct stat st = {0};
	bool old;

	if (stat(f->path, &st) != 0)
		st = (struct stat){0};
	pthread_rwlock_rdlock(&f->mu);
	/* what cannot be used is not read for every request */
	old = f->ring ? !same(&st, &f->seen) : az_boot_ms() - f->read_ms >= AGAIN_MS;
	if (!old && f->ring)
		return f->ring;
	pthread_rwlock_unlock(&f->mu);
	if (!old)
		return NULL;
	pthread_rwlock_wrlock(&f->mu);
	if (!f->ring || !same(&st, &f->seen))
		reload(f);
	pthread_rwlock_unlock(&f->mu);
	pthread_rwlock_rdlock(&f->mu);
	if (f->ring)
		return f->ring;
	pthread_rwlock_unlock(&f->mu);
	return NULL;
}

static enum az_code
away(struct az_err *err)
{
	(void)az_fail(err, AZ_EUNAVAIL, OP,
	    "The list of API keys and sign-outs cannot be read; nobody can be identified now.");
	err->retry_after_ms = 5000;
	return az_err_reason(err, "identity");
}

static enum az_code
no(struct az_err *err, const char *why)
{
	(void)az_fail(err, AZ_EAUTH, OP, "refused: %s", why);
	return az_err_reason(err, why);
}

/* The time of a file says when a key was last used: no lock, no write but once a minute. */
static void
touch(struct keyfile *f, struct keyring_key *k, int64_t now_s)
{
	long long before = atomic_load(&k->touched_s);
	char path[PATH_MAX];
	int fd;

	if (now_s - before < TOUCH_S ||
	    !atomic_compare_exchange_strong(&k->touched_s, &before, now_s) ||
	    snprintf(path, sizeof path, "%s/%.*s", f->used, AZ_FMT(k->k.id)) >= (int)sizeof path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == ENOENT && mkdir(f->used, 0700) == 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	(void)!futimens(fd, NULL);
	close(fd);
}

/* Of an unknown key as much is done as of a known one. */
static enum az_code
judge(const struct keyring_key *k, const unsigned char hash[32], int64_t now_s, struct az_err *err)
{
	static const unsigned char nobody[32];
	bool right = az_ct_eq(az_str_n(k ? k->hash : nobody, 32), az_str_n(hash, 32));

	if (!k)
		return no(err, "key_unknown");
	if (!right)
		return no(err, "key_wrong");
	if (k->k.revoked_s)
		return no(err, "key_revoked");
	if (k->k.expires_s && k->k.expires_s <= now_s)
		return no(err, "expired");
	return AZ_OK;
}

enum az_code
keyfile_check(struct keyfile *f, struct az_str key, int64_t now_s, struct az_arena *a,
    struct az_caller *out, struct az_err *err)
{
	struct az_str id = keyring_id(key);
	unsigned char hash[32];
	struct keyring_key *k;
	struct keyring *r;
	enum az_code rc;

	if (!id.n)
		return no(err, "key_form");
	az_sha256_of(key, hash);
	if (!(r = ring(f)))
		return away(err);
	k = keyring_find(r, id);
	if (!(rc = judge(k, hash, now_s, err))) {
		out->uid = az_arena_str(a, k->k.user);
		out->scopes = k->k.scopes;
		if (!out->uid.p)
			rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
		else
			touch(f, k, now_s);
	}
	pthread_rwlock_unlock(&f->mu);
	return rc;
}

enum az_code
keyfile_signed_in(struct keyfile *f, struct az_str uid, int64_t auth_time_s, struct az_err *err)
{
	struct keyring *r = ring(f);
	enum az_code rc = AZ_OK;

	if (!r)
		return away(err);
	for (size_t i = 0; i < r->n_out; i++)
		if (auth_time_s <= r->out[i].until_s && az_str_eq(r->out[i].user, uid))
			rc = no(err, "signed_out");
	pthread_rwlock_unlock(&f->mu);
	return rc;
}

enum az_code
keyfile_open(const char *dir, struct keyfile **out, struct az_err *err)
{
	struct keyfile *f = calloc(1, sizeof *f);

	*out = NULL;
	if (!f)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	if (snprintf(f->path, sizeof f->path, "%s/%s", dir, AUTH_KEYS_FILE) >=
		(int)sizeof f->path ||
	    snprintf(f->used, sizeof f->used, "%s/%s", dir, AUTH_USED_DIR) >= (int)sizeof f->used) {
		free(f);
		return az_fail(err, AZ_EINVAL, OP, "path too long");
	}
	pthread_rwlock_init(&f->mu, NULL);
	reload(f);
	if (!f->ring) /* later it may be mended; a start says at once what is wrong */
		az_log(AZ_ERROR, "auth.apikeys", AZ_KC("what", "not readable"),
		    AZ_KC("path", f->path));
	*out = f;
	return AZ_OK;
}

void
keyfile_close(struct keyfile *f)
{
	if (!f)
		return;
	pthread_rwlock_destroy(&f->mu);
	keyring_free(f->ring);
	free(f);
}
