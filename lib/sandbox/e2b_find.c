/* Finding sandboxes by their metadata, page by page. */
#include <azlon/crypto.h>
#include "e2b_rest.h"

/* The filter's text is encoded as a value, as a query of its own, and as a parameter
   of the real query: "b c" travels as b%252520c. */
static void
put_filter(struct az_buf *path, const char *key, const char *value)
{
	struct az_buf one, two;

	az_buf_init(&one, AZ_KIB(4));
	az_buf_init(&two, AZ_KIB(16));
	az_pct_encode(&one, az_str_c(key), NULL);
	az_pct_encode(&two, az_buf_str(&one), NULL);
	az_buf_addch(&two, '=');
	az_buf_reset(&one);
	az_pct_encode(&one, az_str_c(value), NULL);
	az_pct_encode(&two, az_buf_str(&one), NULL);
	if (one.fail != AZ_OK || two.fail != AZ_OK)
		path->fail = AZ_ETOOBIG;
	az_pct_encode(path, az_buf_str(&two), NULL);
	az_buf_release(&one);
	az_buf_release(&two);
}

struct found {
	struct az_arena *a;
	struct az_str *ids;
	size_t n, cap;
};

static enum az_code
add_page(
    struct found *f, struct az_str text, const char *key, const char *value, struct az_err *err)
{
	struct az_json *j = NULL;
	enum az_code rc;
	size_t i;

	rc = az_json_parse(text, &e2b_rest_limits, &j, NULL);
	if (rc != AZ_OK || az_json_type(j) != AZ_JARR) {
		rc = az_fail(err, AZ_EUPSTREAM, "sandbox.find", "not a list of sandboxes");
		goto out;
	}
	for (i = 0; i < az_json_len(j); i++) {
		const struct az_json *o = az_json_at(j, i);
		struct az_str id = e2b_id_only(az_json_gets(o, "sandboxID"));
		struct az_str has = az_json_gets(az_json_get(o, "metadata"), key);

		/* a service that ignores the filter must not hand us others' boxes */
		if (!e2b_id_ok(id) || !az_str_eqc(has, value))
			continue;
		if (f->n == f->cap) {
			size_t cap = f->cap ? f->cap * 2 : 8;
			struct az_str *ids = az_arena_alloc(f->a, cap * sizeof *ids);

			if (!ids) {
				rc = az_fail(err, AZ_ENOMEM, "sandbox.find", "out of memory");
				goto out;
			}
			if (f->n)
				memcpy(ids, f->ids, f->n * sizeof *ids);
			f->ids = ids;
			f->cap = cap;
		}
		f->ids[f->n] = az_arena_str(f->a, id);
		if (!f->ids[f->n++].p) {
			rc = az_fail(err, AZ_ENOMEM, "sandbox.find", "out of memory");
			goto out;
		}
	}
out:
	az_json_free(j);
	return rc;
}

enum az_code
e2b_find(struct az_sandbox *s, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	struct found f = {.a = a};
	struct az_buf path, cursor;
	int version, page;
	enum az_code rc = AZ_OK;

	az_buf_init(&path, AZ_KIB(12));
	az_buf_init(&cursor, AZ_KIB(2));
	version = atomic_load(&e->shared->api) == 1 ? 1 : 2;
	for (page = 0;;) {
		struct az_str next;

		az_buf_reset(&path);
		az_buf_addc(&path, version == 1 ? "/sandboxes?" : "/v2/sandboxes?limit=100&");
		az_buf_addc(&path, "metadata=");
		put_filter(&path, key, value);
		if (cursor.n) {
			az_buf_addc(&path, "&nextToken=");
			az_pct_encode(&path, az_buf_str(&cursor), NULL);
		}
		if ((rc = az_buf_check(&path, "sandbox.find", err)) != AZ_OK)
			break;
		az_http_resp_release(&r);
		r = (struct az_http_resp){0};
		rc = e2b_rest(e,
		    &(struct e2b_rest){.method = "GET", .path = path.p, .max_bytes = AZ_MIB(4)}, &r,
		    "sandbox.find", err);
		if (rc != AZ_OK)
			break;
		if (version == 2 && page == 0 && e2b_no_route(&r)) {
			version = 1;
			continue;
		}
		if (r.status != 200) {
			rc = e2b_rest_fail(&r, "sandbox.find", err);
			break;
		}
		if ((rc = add_page(&f, az_buf_str(&r.body), key, value, err)) != AZ_OK)
			break;
		next = az_str_trim(az_http_header(&r, "x-next-token"));
		if (!next.n || version == 1)
			break;
		if (++page >= E2B_PAGES || az_str_eq(next, az_buf_str(&cursor))) {
			rc = az_fail(err, AZ_EUPSTREAM, "sandbox.find",
			    "the list of sandboxes does not end");
			break;
		}
		az_buf_reset(&cursor);
		az_buf_adds(&cursor, next);
		if ((rc = az_buf_check(&cursor, "sandbox.find", err)) != AZ_OK)
			break;
	}
	if (rc == AZ_OK) { /* half a list is no answer */
		*ids = f.ids;
		*n = f.n;
	}
	az_http_resp_release(&r);
	az_buf_release(&path);
	az_buf_release(&cursor);
	return rc;
}
