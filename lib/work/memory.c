/* One line per attempt: see memory.h. */
#include "memory.h"

#define OP "work.memory"
#define NAME "memory.json"

static enum az_code
load(struct work_job *j, struct memory_line *v, size_t *n, struct az_err *err)
{
	const struct az_json *doc, *all;
	struct az_str text;
	enum az_code rc = job_get_meta(j, NAME, AZ_MIB(1), &text, err);

	*n = 0;
	if (rc == AZ_ENOTFOUND)
		return AZ_OK;
	if (rc == AZ_OK)
		rc = az_json_parse_in(j->a, text, &az_json_own_limits, &doc, err);
	if (rc != AZ_OK)
		return rc;
	all = az_json_get(doc, "attempts");
	for (size_t i = 0; i < az_json_len(all) && *n < MEMORY_LINES; i++) {
		const struct az_json *o = az_json_at(all, i);

		v[(*n)++] = (struct memory_line){
		    .iteration = (int)(az_json_geti(o, "iteration", 0) & 0xffff),
		    .hypothesis = az_json_gets(o, "hypothesis"),
		    .change = az_json_gets(o, "change_summary"),
		    .error_sig = az_json_gets(o, "error_signature"),
		    .passed = (int)(az_json_geti(o, "checks_passed", 0) & 0xffff),
		    .total = (int)(az_json_geti(o, "checks_total", 0) & 0xffff),
		    .lesson = az_json_gets(o, "lesson"),
		};
	}
	return AZ_OK;
}

enum az_code
memory_load(struct work_job *j, int before, struct memory_line *v, size_t *n, struct az_err *err)
{
	size_t all, k = 0;
	enum az_code rc = load(j, v, &all, err);

	for (size_t i = 0; i < all; i++)
		if (v[i].iteration < before)
			v[k++] = v[i];
	*n = k;
	return rc;
}

enum az_code
memory_put(struct work_job *j, const struct memory_line *l, struct az_err *err)
{
	struct memory_line v[MEMORY_LINES + 1];
	size_t n, first;
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	/* a repeated step rewrites its own line and what came after it */
	rc = memory_load(j, l->iteration, v, &n, err);
	if (rc != AZ_OK)
		return rc;
	v[n++] = *l;
	first = n > MEMORY_LINES ? n - MEMORY_LINES : 0;
	az_buf_init(&b, AZ_KIB(256));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_key(&w, "attempts");
	az_jw_arr(&w);
	for (size_t i = first; i < n; i++) {
		az_jw_obj(&w);
		az_jw_ki(&w, "iteration", v[i].iteration);
		az_jw_ks(&w, "hypothesis", job_clip(j, v[i].hypothesis, 400));
		az_jw_ks(&w, "change_summary", job_clip(j, v[i].change, 400));
		az_jw_ks(&w, "error_signature", v[i].error_sig);
		az_jw_ki(&w, "checks_passed", v[i].passed);
		az_jw_ki(&w, "checks_total", v[i].total);
		az_jw_ks(&w, "lesson", job_clip(j, v[i].lesson, 400));
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	rc = az_buf_check(&b, OP, err);
	if (rc == AZ_OK)
		rc = job_put_meta(j, NAME, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}
