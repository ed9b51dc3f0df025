/* The two prompt texts a user may edit; what is not edited is the default. */
#include <azlon/limits.h>
#include "run.h"

#define PROMPT_BYTES ((size_t)32 * 1024)

/* The original's names, and ours of the same texts. */
static const struct {
	const char *name, *which, *loc;
} prompts[2] = {
    {"generate_code_prompt", "generate", "[\"body\",\"generate_code_prompt\"]"},
    {"validate_output_prompt", "validate", "[\"body\",\"validate_output_prompt\"]"},
};

/* The user's own text, else the default. */
static enum az_code
load(const struct az_api *api, struct az_arena *a, const struct az_bucket *bucket, size_t i,
    struct az_str *out, struct az_err *err)
{
	struct az_buf key, body;
	enum az_code rc;

	*out = i ? api->prompt_validate : api->prompt_generate;
	az_buf_init(&key, 200);
	az_buf_init(&body, 2 * PROMPT_BYTES);
	az_key_prompt(&key, prompts[i].which);
	rc = az_store_get(api->store, bucket, az_buf_str(&key), &body, err);
	if (rc == AZ_OK && az_str_trim(az_buf_str(&body)).n)
		*out = az_arena_str(a, az_buf_str(&body));
	az_buf_release(&key);
	az_buf_release(&body);
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

enum az_code
run_prompts_get(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_bucket bucket;
	struct az_str text[2];
	struct az_caller who;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	if ((rc = api_caller(rq, api, AZ_S(""), &who, err)) != AZ_OK)
		return rc;
	bucket = az_bucket_of(who.uid);
	for (size_t i = 0; i < 2; i++)
		if ((rc = load(api, az_rq_arena(rq), &bucket, i, &text[i], err)) != AZ_OK)
			return rc;
	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	for (size_t i = 0; i < 2; i++)
		az_jw_ks(&w, prompts[i].name, text[i]);
	az_jw_end(&w, '}');
	if ((rc = az_buf_check(&b, "api.prompts", err)) == AZ_OK)
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

/* "" goes back to the default. */
static enum az_code
store(const struct az_api *api, const struct az_bucket *bucket, size_t i, struct az_str text,
    struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;

	az_buf_init(&key, 200);
	az_key_prompt(&key, prompts[i].which);
	rc = az_str_trim(text).n ? az_store_put(api->store, bucket, az_buf_str(&key), text, err)
				 : az_store_remove(api->store, bucket, az_buf_str(&key), err);
	az_buf_release(&key);
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

enum az_code
run_prompts_set(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	const struct az_json *j = NULL;
	struct az_problem_item items[2];
	struct az_bucket bucket;
	struct az_caller who;
	struct az_str body;
	size_t n = 0;
	enum az_code rc;

	if ((rc = api_caller(rq, api, AZ_S(""), &who, err)) != AZ_OK ||
	    (rc = api_json_type(rq, err)) != AZ_OK ||
	    (rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, &body, err)) != AZ_OK ||
	    (rc = az_json_parse_in(az_rq_arena(rq), body, &az_json_request_limits, &j, err)) !=
		AZ_OK)
		return rc;
	if (az_json_type(j) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, "api.prompts", "the body must be an object");
	for (size_t i = 0; i < 2; i++) {
		const struct az_json *v = az_json_get(j, prompts[i].name);
		if (az_json_type(v) != AZ_JNULL &&
		    (!az_json_is_str(v) || az_json_str(v).n > PROMPT_BYTES))
			items[n++] = (struct az_problem_item){prompts[i].loc,
			    "Input should be a string of at most 32 KiB", "string_type"};
	}
	if (n) {
		az_fail(err, AZ_EUNPROC, "api.prompts", "A prompt is a string of at most 32 KiB.");
		return az_rs_problem(rq, 0, err, items, n);
	}
	bucket = az_bucket_of(who.uid);
	for (size_t i = 0; i < 2; i++) {
		const struct az_json *v = az_json_get(j, prompts[i].name);
		if (v && (rc = store(api, &bucket, i, az_json_str(v), err)) != AZ_OK)
			return rc;
	}
	return az_rs_json(rq, 200, AZ_S("{\"status\":\"updated\"}"), err);
}
