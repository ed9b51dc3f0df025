/* What an administrator does with API keys and sign-ins. */
#include <errno.h>
#include <stdio.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/path.h>
#include "files.h"
#include "keyring.h"
#include "ops.h"

static const char OP[] = "auth.apikeys";

enum { FORGET_S = 30 * 86400 };

enum az_code
az_auth_dir(const char *var, struct az_arena *a, const char **dir, struct az_err *err)
{
	const char *path = az_arena_printf(a, "%s/auth", var);

	if (!path)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	*dir = path;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return az_fail_errno(err, AZ_EIO, OP, "cannot make %s", path);
	return AZ_OK;
}

/* ---- one change at a time ---- */

struct change {
	int lock;
	char path[PATH_MAX];
	struct keyring *ring;
};

static enum az_code
load(const char *path, struct keyring **out, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&b, KEYRING_BYTES);
	rc = auth_file_read(path, KEYRING_BYTES, &b, NULL, err);
	if (!rc || rc == AZ_ENOTFOUND)
		rc = keyring_parse(az_buf_str(&b), out, err);
	az_buf_release(&b);
	return rc;
}

static enum az_code
begin(struct change *c, const char *dir, struct az_err *err)
{
	char lock[PATH_MAX];

	*c = (struct change){.lock = -1};
	if (snprintf(c->path, sizeof c->path, "%s/%s", dir, AUTH_KEYS_FILE) >=
		(int)sizeof c->path ||
	    snprintf(lock, sizeof lock, "%s/keys.lock", dir) >= (int)sizeof lock)
		return az_fail(err, AZ_EINVAL, OP, "path too long");
	if ((c->lock = auth_file_lock(lock, NULL, NULL)) < 0)
		return az_fail_errno(err, AZ_EIO, OP, "%s", lock);
	return load(c->path, &c->ring, err);
}

static void
end(struct change *c)
{
	keyring_free(c->ring);
	if (c->lock >= 0)
		close(c->lock);
}

static enum az_code
save(struct change *c, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, KEYRING_BYTES);
	keyring_write(c->ring, &b);
	if (!(rc = az_buf_check(&b, OP, err)))
		rc = auth_file_write(c->path, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

static void
used_path(const char *dir, struct az_str id, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s/%.*s", dir, AUTH_USED_DIR, AZ_FMT(id));
}

/* Keys that ended long ago. */
static void
forget(struct change *c, const char *dir, int64_t now_s)
{
	struct keyring *r = c->ring;
	char used[PATH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct az_apikey *k = &r->keys[i].k;

		if ((k->revoked_s && k->revoked_s < now_s - FORGET_S) ||
		    (k->expires_s && k->expires_s < now_s - FORGET_S)) {
			used_path(dir, k->id, used);
			(void)!unlink(used);
		} else {
			r->keys[n].k = *k;
			memmove(r->keys[n].hash, r->keys[i].hash, sizeof r->keys[n].hash);
			n++;
		}
	}
	r->n = n;
}

/* ---- the verbs ---- */

static enum az_code
acceptable(const struct az_apikey *k, struct az_err *err)
{
	if (!auth_uid_ok(k->user))
		return az_fail(err, AZ_EINVAL, OP,
		    "a user id is 1 to %d bytes of UTF-8 without control characters",
		    AUTH_UID_BYTES);
	if (k->name.n && (k->name.n > KEY_NAME_BYTES || !auth_uid_ok(k->name)))
		return az_fail(err, AZ_EINVAL, OP,
		    "a name is at most %d bytes of UTF-8 without control characters",
		    KEY_NAME_BYTES);
	if (!k->scopes || (k->scopes & ~(unsigned)AZ_SCOPE_ALL))
		return az_fail(err, AZ_EINVAL, OP, "a key needs scopes");
	return AZ_OK;
}

enum az_code
az_apikey_create(const char *dir, const struct az_apikey *want, struct az_arena *a,
    struct az_str *id, struct az_buf *key, struct az_err *err)
{
	size_t from = key->n;
	struct keyring_key *k;
	struct change c;
	enum az_code rc;

	if ((rc = acceptable(want, err)))
		return rc;
	if ((rc = begin(&c, dir, err)))
		goto out;
	forget(&c, dir, want->created_s);
	if (c.ring->n == KEYRING_KEYS) {
		rc = az_fail(err, AZ_EQUOTA, OP, "there are %d keys already", KEYRING_KEYS);
		goto out;
	}
	do {
		az_buf_cut(key, from);
		az_buf_addc(key, AUTH_KEY_PREFIX);
		az_random_id(key, KEY_ID_CHARS);
		az_buf_addch(key, '_');
		az_random_id(key, KEY_SECRET_CHARS);
		if ((rc = az_buf_check(key, OP, err)))
			goto out;
		*id = keyring_id(az_str_sub(az_buf_str(key), from, key->n));
	} while (keyring_find(c.ring, *id));
	k = &c.ring->keys[c.ring->n++];
	k->k = *want;
	k->k.revoked_s = 0;
	if (!(*id = az_arena_str(a, *id)).p) {
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
		goto out;
	}
	k->k.id = *id;
	az_sha256_of(az_str_sub(az_buf_str(key), from, key->n), k->hash);
	rc = save(&c, err);
out:
	if (rc && key->n > from) {
		az_wipe(key->p + from, key->n - from);
		az_buf_cut(key, from);
	}
	end(&c);
	return rc;
}

enum az_code
az_apikey_list(
    const char *dir, struct az_arena *a, struct az_apikey **out, size_t *n, struct az_err *err)
{
	char path[PATH_MAX];
	struct keyring *r;
	enum az_code rc;
	struct stat st;

	*n = 0;
	if (snprintf(path, sizeof path, "%s/%s", dir, AUTH_KEYS_FILE) >= (int)sizeof path)
		return az_fail(err, AZ_EINVAL, OP, "path too long");
	if ((rc = load(path, &r, err)))
		return rc;
	*out = az_arena_alloc(a, (r->n + 1) * sizeof **out);
	for (size_t i = 0; *out && i < r->n; i++) {
		struct az_apikey *k = &(*out)[i];

		*k = r->keys[i].k;
		k->id = az_arena_str(a, k->id);
		k->user = az_arena_str(a, k->user);
		k->name = az_arena_str(a, k->name);
		if (!k->id.p || !k->user.p || !k->name.p)
			break;
		used_path(dir, k->id, path);
		k->used_s = stat(path, &st) == 0 ? st.st_mtim.tv_sec : 0;
		(*n)++;
	}
	if (!*out || *n < r->n)
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
	keyring_free(r);
	return rc;
}

enum az_code
az_apikey_revoke(const char *dir, struct az_str id, int64_t now_s, struct az_err *err)
{
	struct keyring_key *k;
	struct change c;
	enum az_code rc;

	if (!(rc = begin(&c, dir, err))) {
		k = keyring_find(c.ring, id);
		if (!k) {
			rc = az_fail(err, AZ_ENOTFOUND, OP, "there is no such key");
		} else if (!k->k.revoked_s) {
			k->k.revoked_s = now_s;
			rc = save(&c, err);
		}
	}
	end(&c);
	return rc;
}

enum az_code
az_auth_sign_out(const char *dir, struct az_str user, int64_t now_s, struct az_err *err)
{
	struct keyring_out *o;
	struct change c;
	enum az_code rc;
	size_t n = 0;

	if (!auth_uid_ok(user))
		return az_fail(err, AZ_EINVAL, OP, "not a user id");
	if (!(rc = begin(&c, dir, err))) {
		/* the line of this user is written anew */
		for (size_t i = 0; i < c.ring->n_out; i++)
			if (!az_str_eq(c.ring->out[i].user, user))
				c.ring->out[n++] = c.ring->out[i];
		c.ring->n_out = n;
		if (n == KEYRING_OUT) {
			rc = az_fail(
			    err, AZ_EQUOTA, OP, "%d users are signed out already", KEYRING_OUT);
		} else {
			o = &c.ring->out[c.ring->n_out++];
			*o = (struct keyring_out){user, now_s};
			rc = save(&c, err);
		}
	}
	end(&c);
	return rc;
}
