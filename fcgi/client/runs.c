/* Commands on runs: schedule, status, list, cancel. */
#include <azlon/path.h>
#include "client.h"

/* A JSON file, checked here so that its errors name the file. */
static int
json_file(struct cl *cl, const char *path, struct az_str *text, const struct az_json **out)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;
	int rc = CL_OK;

	az_buf_init(&b, AZ_LIM_REQUEST_BYTES);
	if (az_read_file(path, AZ_LIM_REQUEST_BYTES, &b, &err) ||
	    az_json_parse_in(cl->a, az_buf_str(&b), &az_json_request_limits, out, &err)) {
		rc = cl_usage("%s: %s", path, err.text);
	} else if (!(*text = az_arena_str(cl->a, az_buf_str(&b))).p) {
		rc = CL_FAILED;
	}
	az_buf_release(&b);
	return rc;
}

/* The members of the request file that no option replaces. */
static void
take_over(struct az_jw *w, const struct az_json *j, const struct cl_opt *o)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	while (az_json_each(j, &it, &key, &v)) {
		if ((o->prompt && az_str_eqc(key, "user_prompt")) ||
		    (o->test && az_str_eqc(key, "test_conditions")) ||
		    (o->model && az_str_eqc(key, "model")) ||
		    (o->checks && az_str_eqc(key, "checks")) ||
		    (o->ninputs && az_str_eqc(key, "inputs")) ||
		    (o->iterations && az_str_eqc(key, "limits")))
			continue;
		az_jw_keys(w, key);
		az_jw_value(w, v);
	}
}

static int
build(struct cl *cl, const struct cl_opt *o, struct az_buf *body)
{
	const struct az_json *j = NULL;
	struct az_str text;
	struct az_jw w;
	int rc;

	az_jw_init(&w, body);
	az_jw_obj(&w);
	if (o->request) {
		if ((rc = json_file(cl, o->request, &text, &j)))
			return rc;
		if (az_json_type(j) != AZ_JOBJ)
			return cl_usage("%s: not a JSON object", o->request);
		take_over(&w, j, o);
	} else if (!o->prompt || !o->test) {
		return cl_usage("schedule needs --prompt and --test, or --request");
	}
	if (o->prompt)
		az_jw_kc(&w, "user_prompt", o->prompt);
	if (o->test)
		az_jw_kc(&w, "test_conditions", o->test);
	if (o->model)
		az_jw_kc(&w, "model", o->model);
	if (o->checks) {
		if ((rc = json_file(cl, o->checks, &text, &j)))
			return rc;
		/* the array, or a whole object that holds it */
		az_jw_key(&w, "checks");
		az_jw_value(&w, az_json_type(j) == AZ_JOBJ ? az_json_get(j, "checks") : j);
	}
	if (o->ninputs) {
		az_jw_key(&w, "inputs");
		az_jw_arr(&w);
		for (size_t i = 0; i < o->ninputs; i++)
			az_jw_cstr(&w, o->inputs[i]);
		az_jw_end(&w, ']');
	}
	if (o->iterations) {
		az_jw_key(&w, "limits");
		az_jw_obj(&w);
		az_jw_ki(&w, "iterations", o->iterations);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, '}');
	return CL_OK;
}

int
cl_schedule(struct cl *cl, const struct cl_opt *o)
{
	/* asked to answer at once even when the request says sync: the events tell more */
	struct cl_call c = {.method = "POST",
	    .path = "/run_workflow",
	    .type = "application/json",
	    .header = {"Prefer: respond-async"}};
	const struct az_json *run = NULL;
	struct az_buf body;
	char *id;
	int rc;

	az_buf_init(&body, AZ_MIB(1));
	if (o->narg)
		rc = cl_usage("schedule takes options only, not %s", o->arg[0]);
	else
		rc = build(cl, o, &body);
	if (rc)
		goto out;
	if (body.fail) {
		rc = cl_usage("the request is too large");
		goto out;
	}
	if (o->key)
		c.header[1] = az_arena_printf(cl->a, "Idempotency-Key: %s", o->key);
	c.body = az_buf_str(&body);
	if ((rc = cl_json(cl, &c, &run)))
		goto out;
	id = az_arena_cstr(cl->a, az_json_gets(run, "workflow_id"));
	if (!id || !*id) {
		fprintf(stderr, "azlon: the answer names no run\n");
		rc = CL_FAILED;
	} else if (!o->async) {
		if (!cl->json) {
			fprintf(stderr, "run ");
			cl_put(stderr, az_str_c(id), 200);
			fprintf(stderr, "\n");
		}
		rc = cl_follow(cl, id);
	} else if (cl->json) {
		cl_print_json(run);
	} else {
		cl_put(stdout, az_str_c(id), 200);
		printf("\n");
	}
out:
	az_buf_release(&body);
	return rc;
}

int
cl_status(struct cl *cl, const struct cl_opt *o)
{
	struct cl_call c = {.method = "GET"};
	const struct az_json *run = NULL;
	struct az_str status;
	int rc;

	if (o->narg != 1)
		return cl_usage("status takes one run id");
	c.path = az_arena_printf(cl->a, "/run_workflow/%s", cl_enc(cl, o->arg[0], NULL));
	if (!c.path)
		return CL_FAILED;
	if ((rc = cl_json(cl, &c, &run)))
		return rc;
	status = az_json_gets(run, "status");
	if (cl->json)
		cl_print_json(run);
	else
		cl_report(cl, run, NULL);
	return cl_over(status) && !az_str_eqc(status, "succeeded") ? CL_FAILED : CL_OK;
}

int
cl_list(struct cl *cl, const struct cl_opt *o)
{
	const struct az_json *page = NULL, *runs;
	const char *cursor = "";
	int rc;

	if (o->narg)
		return cl_usage("list takes no arguments");
	do {
		struct cl_call c = {.method = "GET"};

		c.path = az_arena_printf(
		    cl->a, "/run_workflow?limit=100%s%s", *cursor ? "&cursor=" : "", cursor);
		if (!c.path)
			return CL_FAILED;
		if ((rc = cl_json(cl, &c, &page)))
			return rc;
		runs = az_json_get(page, "runs");
		for (size_t i = 0; i < az_json_len(runs); i++) {
			const struct az_json *r = az_json_at(runs, i);
			struct az_str status = az_json_gets(r, "status");

			if (cl->json) {
				cl_print_json(r);
				continue;
			}
			cl_put(stdout, az_json_gets(r, "created_at"), 19);
			printf("  ");
			cl_put(stdout, status, 14);
			printf("%*s", status.n < 14 ? (int)(14 - status.n) : 1, "");
			cl_put(stdout, az_json_gets(r, "workflow_id"), 200);
			printf("\n");
		}
		cursor = az_arena_cstr(cl->a, az_json_gets(page, "next_cursor"));
		cursor = cursor ? cl_enc(cl, cursor, NULL) : "";
	} while (*cursor && az_json_len(runs));
	return CL_OK;
}

int
cl_cancel(struct cl *cl, const struct cl_opt *o)
{
	struct cl_call c = {.method = "POST",
	    .type = "application/json",
	    .body = o->now ? AZ_S("{\"mode\":\"now\"}") : AZ_S("{\"mode\":\"graceful\"}")};
	const struct az_json *run = NULL;
	int rc;

	if (o->narg != 1)
		return cl_usage("cancel takes one run id");
	c.path = az_arena_printf(cl->a, "/run_workflow/%s/cancel", cl_enc(cl, o->arg[0], NULL));
	if (!c.path)
		return CL_FAILED;
	if ((rc = cl_json(cl, &c, &run)))
		return rc;
	if (cl->json)
		cl_print_json(run);
	else
		printf("asked to stop\n");
	return CL_OK;
}
