/* Signed addresses: whoever has one may use it until its time is over. */
#include <azlon/clock.h>
#include "s3.h"

enum az_code
s3_url(struct s3 *s, const struct s3_endpoint *at, const struct s3_cred *cred, const char *method,
    const struct az_bucket *b, struct az_str key, const struct s3_kv *query, size_t n_query,
    int ttl_s, struct az_buf *out, struct az_err *err)
{
	char region[64];
	struct az_buf path;
	struct s3_sign q = {.method = method,
	    .host = az_str_c(at->host),
	    .query = query,
	    .n_query = n_query,
	    .payload = AZ_S(S3_UNSIGNED),
	    .cred = cred,
	    .region = region,
	    .service = "s3",
	    .at_ms = az_wall_ms() + s->skew_ms};
	enum az_code rc;

	az_buf_init(&path, 2048);
	s3_region_get(s, region);
	s3_path_of(b, key, &path);
	q.path = az_buf_str(&path);
	rc = az_buf_check(&path, "s3.url", err);
	if (!rc)
		rc = s3_presign(&q, ttl_s, out, err);
	az_buf_release(&path);
	return rc;
}
