/* Environment -> struct az_conf: each value alone here, what they mean together in
   derive.c. */
#include <azlon/limits.h>
#include <azlon/path.h>
#include "table.h"

extern char **environ;

static const char OP[] = "conf.load";

/* Value of NAME or NAME<suffix>; NULL when unset or blank. */
static const char *
lookup(const char *const *env, const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	for (; *env; env++) {
		const char *e = *env;

		if (strncmp(e, name, n) || strncmp(e + n, suffix, m) || e[n + m] != '=')
			continue;
		if (az_str_trim(az_str_c(e + n + m + 1)).n == 0)
			return NULL;
		return e + n + m + 1;
	}
	return NULL;
}

/* Every byte of s is a letter, a digit or in more. */
static bool
made_of(struct az_str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], low = (char)(c | 0x20);

		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr(more, c)))
			return false;
	}
	return s.n > 0;
}

/* host, host:port or http(s)://host[:port]; an IPv6 address stands in brackets. nginx's files
   are written with it, so nothing else may pass. */
static bool
endpoint_ok(struct az_str s)
{
	struct az_str host, port = {0};
	ptrdiff_t colon;
	int64_t n;
	bool v6;

	if (az_str_starts(s, AZ_S("http://")))
		s = az_str_sub(s, 7, s.n);
	else if (az_str_starts(s, AZ_S("https://")))
		s = az_str_sub(s, 8, s.n);
	v6 = az_str_starts(s, AZ_S("["));
	colon = az_str_rchr(s, ':');
	if (colon >= 0 && !(v6 && az_str_ends(s, AZ_S("]"))))
		port = az_str_sub(s, (size_t)colon + 1, s.n);
	host = az_str_sub(s, 0, port.p ? (size_t)colon : s.n);
	if (v6 && !az_str_ends(host, AZ_S("]")))
		return false;
	if (v6)
		host = az_str_sub(host, 1, host.n - 1);
	return made_of(host, v6 ? ":." : ".-_") &&
	       (!port.p || (made_of(port, "") && az_str_to_i64(port, 1, 65535, &n)));
}

/* Each exactly as a browser will say it, for that is what it is compared with. */
static bool
origins_ok(struct az_str list)
{
	struct az_str o;

	while (az_str_cut(&list, ',', &o)) {
		o = az_str_trim(o);
		if (!o.n)
			continue;
		if (!endpoint_ok(o) ||
		    !(az_str_starts(o, AZ_S("http://"))
			    ? !az_str_ends(o, AZ_S(":80"))
			    : az_str_starts(o, AZ_S("https://")) && !az_str_ends(o, AZ_S(":443"))))
			return false;
		for (size_t i = 0; i < o.n; i++)
			if (o.p[i] >= 'A' && o.p[i] <= 'Z')
				return false;
	}
	return true;
}

/* The value without blanks around it; the text of an error never shows a secret. */
static enum az_code
set_text(struct az_conf *c, const struct conf_row *r, struct az_arena *a, struct az_str v,
    struct az_err *err)
{
	bool ok = az_str_utf8_ok(v);
	char *s;

	for (size_t i = 0; i < v.n; i++)
		ok = ok && (unsigned char)v.p[i] >= 0x20 && v.p[i] != 0x7f;
	if (!ok)
		return az_fail(err, AZ_EINVAL, OP, "%s holds a control character", r->name);
	while (r->kind == CONF_ENDPOINT && v.n && v.p[v.n - 1] == '/')
		v.n--;
	if (r->kind == CONF_ENDPOINT && !endpoint_ok(v))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s must be host, host:port or http(s)://host[:port]", r->name);
	if (r->kind == CONF_ORIGINS && !origins_ok(v))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s must be origins, comma-separated: http(s)://host[:port] in small letters, "
		    "without the usual port, without * and with nothing behind it",
		    r->name);
	if (r->kind == CONF_URL) {
		if (!az_str_starts(v, AZ_S("http://")) && !az_str_starts(v, AZ_S("https://")))
			return az_fail(
			    err, AZ_EINVAL, OP, "%s must start with http:// or https://", r->name);
		while (v.n && v.p[v.n - 1] == '/')
			v.n--;
	}
	if (r->kind == CONF_ENUM) {
		struct az_str rest = az_str_c(r->one_of), one;

		ok = false;
		while (!ok && az_str_cut(&rest, '|', &one))
			ok = az_str_eq(one, v);
		if (!ok)
			return az_fail(
			    err, AZ_EINVAL, OP, "%s must be one of %s", r->name, r->one_of);
	}
	if (!(s = az_arena_cstr(a, v)))
		return az_fail(err, AZ_ENOMEM, OP, "no memory for %s", r->name);
	conf_set(c, r, s);
	return AZ_OK;
}

static bool
truth(struct az_str v, bool *out)
{
	static const char *const yes[] = {"true", "1", "yes", "on"};
	static const char *const no[] = {"false", "0", "no", "off"};

	for (int i = 0; i < 4; i++) {
		if (az_str_ieq(v, az_str_c(yes[i])) || az_str_ieq(v, az_str_c(no[i]))) {
			*out = az_str_ieq(v, az_str_c(yes[i]));
			return true;
		}
	}
	return false;
}

static enum az_code
set(struct az_conf *c, const struct conf_row *r, struct az_arena *a, const char *text,
    struct az_err *err)
{
	struct az_str v = az_str_trim(az_str_c(text));
	int64_t n;
	bool b;

	switch (r->kind) {
	case CONF_NUMBER:
		if (!az_str_to_i64(v, r->min, r->max, &n))
			return az_fail(err, AZ_EINVAL, OP,
			    "%s must be a whole number from %lld to %lld", r->name,
			    (long long)r->min, (long long)r->max);
		conf_set_num(c, r, n);
		return AZ_OK;
	case CONF_BOOL:
		if (!truth(v, &b))
			return az_fail(err, AZ_EINVAL, OP, "%s must be true or false", r->name);
		conf_set_bool(c, r, b);
		return AZ_OK;
	case CONF_STRING:
	case CONF_URL:
	case CONF_ENDPOINT:
	case CONF_ORIGINS:
	case CONF_SECRET:
	case CONF_ENUM:
		break;
	}
	return set_text(c, r, a, v, err);
}

/* A secret out of the file that NAME_FILE names. */
static enum az_code
set_from_file(struct az_conf *c, const struct conf_row *r, struct az_arena *a, const char *path,
    struct az_err *err)
{
	struct az_err why = AZ_ERR_INIT;
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(16));
	if (az_read_file(path, AZ_KIB(16), &b, &why)) {
		rc = az_fail(err, AZ_EINVAL, OP, "%s_FILE: %s", r->name, why.text);
		goto out;
	}
	if (az_str_trim(az_buf_str(&b)).n == 0) {
		rc = az_fail(err, AZ_EINVAL, OP, "%s_FILE: %s is empty", r->name, path);
		goto out;
	}
	rc = set_text(c, r, a, az_str_trim(az_buf_str(&b)), err);
out:
	az_buf_release(&b);
	return rc;
}

static enum az_code
load_row(struct az_conf *c, const struct conf_row *r, struct az_arena *a, const char *const *env,
    struct az_err *err)
{
	const char *v = lookup(env, r->name, ""), *file = NULL;

	if (r->kind == CONF_SECRET)
		file = lookup(env, r->name, "_FILE");
	/* the original's compose file sets this word when it means nothing */
	if (v && strcmp(r->name, "RESTACK_ENGINE_API_KEY") == 0 &&
	    az_str_eqc(az_str_trim(az_str_c(v)), "None"))
		v = NULL;
	if (v && file)
		return az_fail(
		    err, AZ_EINVAL, OP, "%s and %s_FILE are both set: keep one", r->name, r->name);
	if (file)
		return set_from_file(c, r, a, file, err);
	if (!v)
		v = r->dflt;
	return v ? set(c, r, a, v, err) : AZ_OK;
}

enum az_code
az_conf_load(struct az_conf *c, const char *const *env, struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	enum az_code rc = AZ_OK;

	memset(c, 0, sizeof *c);
	if (!a)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	c->owned = a;
	if (!env)
		env = (const char *const *)environ;
	for (const struct conf_row *r = conf_table; r < conf_table + conf_rows && !rc; r++)
		rc = load_row(c, r, a, env, err);
	if (!rc)
		rc = conf_derive(c, a, err);
	if (rc)
		az_conf_release(c);
	return rc;
}

void
az_conf_release(struct az_conf *c)
{
	az_arena_free(c->owned);
	memset(c, 0, sizeof *c);
}
