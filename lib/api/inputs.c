/* The inputs of a create: own sets, or files of own earlier runs. */
#include <azlon/path.h>
#include "files.h"
#include "run.h"

#define INPUTS_MAX 100

static enum az_code
has_object(const struct az_api *api, const struct az_bucket *b, const struct az_buf *key, bool *has,
    struct az_err *err)
{
	struct az_obj o;
	enum az_code rc = az_buf_check(key, "api.inputs", err);

	if (rc == AZ_OK)
		rc = az_store_stat(api->store, b, az_buf_str(key), &o, err);
	*has = rc == AZ_OK;
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

static enum az_code
has_set(const struct az_api *api, const struct az_bucket *b, struct az_str set, bool *has,
    struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;

	*has = false;
	if (!az_input_id_ok(set))
		return AZ_OK;
	az_buf_init(&key, 1024);
	az_key_input_manifest(&key, set);
	rc = has_object(api, b, &key, has, err);
	az_buf_release(&key);
	return rc;
}

static enum az_code
has_file(const struct az_api *api, const struct az_bucket *b, struct az_arena *a, struct az_str uid,
    struct az_str entry, bool *has, struct az_err *err)
{
	ptrdiff_t slash = az_str_chr(entry, '/');
	struct az_str wid, path;
	struct az_manifest m;
	enum az_code rc;

	*has = false;
	if (slash <= 0)
		return AZ_OK;
	wid = az_str_sub(entry, 0, (size_t)slash);
	path = az_str_sub(entry, (size_t)slash + 1, entry.n);
	if (!az_wid_owned_by(wid, uid) || az_path_ok(path, NULL) != AZ_OK)
		return AZ_OK;
	rc = files_current(api, a, b, wid, &m, err);
	if (rc == AZ_ENOTFOUND)
		return AZ_OK;
	if (rc == AZ_OK)
		*has = az_manifest_find(&m, path) != NULL;
	return rc;
}

enum az_code
create_check_inputs(
    struct create *c, const struct az_api *api, struct az_str uid, struct az_err *err)
{
	struct az_bucket b = az_bucket_of(uid);
	enum az_code rc = AZ_OK;
	bool has;

	/* what the original's upload route collected is taken in by runs that name none */
	if (az_json_type(c->inputs) == AZ_JNULL) {
		c->inputs = NULL;
		return has_set(api, &b, AZ_S("default"), &c->default_inputs, err);
	}
	if (az_json_type(c->inputs) != AZ_JARR || az_json_len(c->inputs) > INPUTS_MAX) {
		create_item(c, "list_type", "Input should be a list of at most 100 inputs",
		    "\"body\",\"inputs\"");
		return AZ_OK;
	}
	for (size_t i = 0; i < az_json_len(c->inputs) && rc == AZ_OK; i++) {
		struct az_str s = az_json_str(az_json_at(c->inputs, i));

		rc = az_str_chr(s, '/') < 0 ? has_set(api, &b, s, &has, err)
					    : has_file(api, &b, c->a, uid, s, &has, err);
		/* someone else's is no different from none */
		if (rc == AZ_OK && !has)
			create_item(c, "not_found", "No such input set or file",
			    "\"body\",\"inputs\",%zu", i);
	}
	return rc;
}
