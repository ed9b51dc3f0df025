#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <limits.h>
#include <unistd.h>
#include <azlon/json.h>
#include <azlon/path.h>
#include "files.h"
#include "keyset_file.h"

static const char OP[] = "auth.keys";

static const struct az_json_limits limits = {4 * JWKS_BYTES, 4, 64};

static enum az_code
parse(struct az_str text, const char *url, struct jwks **out, struct az_err *err)
{
	struct az_json *doc = NULL;
	struct jwks *s = NULL;
	int64_t fetched, life;
	enum az_code rc;

	if ((rc = az_json_parse(text, &limits, &doc, err)))
		return rc;
	if (!az_str_eqc(az_json_gets(doc, "url"), url) ||
	    !az_json_i64(az_json_get(doc, "fetched_s"), 0, INT64_C(1) << 40, &fetched) ||
	    !az_json_i64(az_json_get(doc, "life_s"), JWKS_LIFE_MIN_S, JWKS_LIFE_MAX_S, &life))
		rc = az_fail(err, AZ_EINVAL, OP, "not the keys of %s", url);
	else
		rc = jwks_parse(az_json_gets(doc, "body"), &s, err);
	if (!rc && s) {
		s->fetched_s = fetched;
		s->life_s = life;
		*out = s;
	}
	az_json_free(doc);
	return rc;
}

enum az_code
keyset_load(const char *path, const char *url, struct jwks **out, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&b, 4 * JWKS_BYTES);
	if (!(rc = auth_file_read(path, 4 * JWKS_BYTES, &b, NULL, err)))
		rc = parse(az_buf_str(&b), url, out, err);
	az_buf_release(&b);
	/* it is a copy: what cannot be used is fetched again */
	if (rc && rc != AZ_ENOMEM)
		return err ? (err->code = AZ_ENOTFOUND) : AZ_ENOTFOUND;
	return rc;
}

enum az_code
keyset_save(
    const char *path, const char *url, const struct jwks *s, struct az_str body, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, 4 * JWKS_BYTES);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "url", url);
	az_jw_ki(&w, "fetched_s", s->fetched_s);
	az_jw_ki(&w, "life_s", s->life_s);
	az_jw_ks(&w, "body", body);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&b, OP, err)))
		rc = auth_file_write(path, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

int64_t
keyset_stamp_get(int lock)
{
	char text[24];
	ssize_t n = pread(lock, text, sizeof text, 0);
	int64_t at;

	return n > 0 && az_str_to_i64(
			    az_str_trim(az_str_n(text, (size_t)n)), 0, INT64_C(1) << 40, &at)
		   ? at
		   : 0;
}

void
keyset_stamp_set(int lock, int64_t now_s)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%020lld\n", (long long)now_s);

	/* without it a try comes too soon, no more */
	(void)!pwrite(lock, text, (size_t)n, 0);
}
