/* signal: what a person says to a run, or, without a word, what the run asks. */
#include <stdlib.h>
#include <unistd.h>
#include <azlon/path.h>
#include "client.h"

/* The question as the model would get it. */
static int
show_question(struct cl *cl, const char *id)
{
	struct cl_call c = {.method = "GET", .more = {.max_bytes = AZ_MIB(16)}};
	const struct az_json *run = NULL, *need;
	struct az_http_resp r = {0};
	struct az_err err = AZ_ERR_INIT;
	const char *prompt;
	enum az_code code;
	int rc;

	c.path = az_arena_printf(cl->a, "/run_workflow/%s", cl_enc(cl, id, NULL));
	if (!c.path)
		return CL_FAILED;
	if ((rc = cl_json(cl, &c, &run)))
		return rc;
	need = az_json_get(run, "input_needed");
	if (az_json_type(need) != AZ_JOBJ) {
		fprintf(stderr, "azlon: the run waits for nobody\n");
		return CL_FAILED;
	}
	prompt = az_arena_cstr(cl->a, az_json_gets(az_json_get(need, "links"), "prompt"));
	if (!prompt || *prompt != '/')
		return CL_FAILED;
	c.path = prompt;
	code = cl_http(cl, &c, &r, &err);
	if (code != AZ_OK || r.status != 200) {
		rc = cl_explain(&r, code != AZ_OK ? &err : NULL);
	} else {
		fprintf(stderr, "the run waits for: ");
		cl_put(stderr, az_json_gets(need, "kind"), 20);
		fprintf(stderr, "; it was asked:\n");
		fwrite(r.body.p, 1, r.body.n, stdout);
	}
	az_http_resp_release(&r);
	return rc;
}

/* TEXT itself, @FILE, or - for standard input. */
static int
text_of(struct cl *cl, const char *arg, struct az_str *out)
{
	const char *path = strcmp(arg, "-") == 0 ? "/dev/stdin" : arg[0] == '@' ? arg + 1 : NULL;
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;
	int rc = CL_OK;

	*out = az_str_c(arg);
	if (!path)
		return CL_OK;
	az_buf_init(&b, AZ_LIM_REQUEST_BYTES);
	if (az_read_file(path, AZ_LIM_REQUEST_BYTES, &b, &err))
		rc = cl_usage("%s: %s", path, err.text);
	else if (!(*out = az_arena_str(cl->a, az_buf_str(&b))).p)
		rc = CL_FAILED;
	az_buf_release(&b);
	return rc;
}

/* iterations=30 tokens=900000 … */
static int
limits_of(const struct cl_opt *o, struct az_jw *w)
{
	az_jw_key(w, "limits");
	az_jw_obj(w);
	for (int i = 2; i < o->narg; i++) {
		struct az_str rest = az_str_c(o->arg[i]), name;
		int64_t v;

		if (!az_str_cut(&rest, '=', &name) || !az_str_to_i64(rest, 1, INT64_MAX, &v))
			return cl_usage("set_limits takes NAME=NUMBER, not %s", o->arg[i]);
		az_jw_keys(w, name);
		az_jw_int(w, v);
	}
	az_jw_end(w, '}');
	return CL_OK;
}

static int
build(struct cl *cl, const struct cl_opt *o, struct az_buf *body)
{
	struct az_str text;
	struct az_jw w;
	int rc = CL_OK;

	az_jw_init(&w, body);
	az_jw_obj(&w);
	az_jw_kc(&w, "type", o->arg[1]);
	if (o->key)
		az_jw_kc(&w, "signal_id", o->key);
	if (strcmp(o->arg[1], "set_limits") == 0) {
		rc = limits_of(o, &w);
	} else if (o->narg > 3) {
		rc = cl_usage("signal takes one text: quote it");
	} else if (o->narg == 3 && (rc = text_of(cl, o->arg[2], &text)) == CL_OK) {
		az_jw_ks(&w, "text", text);
	}
	az_jw_end(&w, '}');
	return rc;
}

int
cl_signal(struct cl *cl, const struct cl_opt *o)
{
	struct cl_call c = {.method = "POST", .type = "application/json"};
	const struct az_json *sent = NULL;
	struct az_buf body;
	int rc;

	if (o->narg < 1)
		return cl_usage("signal takes a run id, a word and a text");
	if (o->narg == 1)
		return show_question(cl, o->arg[0]);
	az_buf_init(&body, AZ_MIB(1));
	rc = build(cl, o, &body);
	c.path = az_arena_printf(cl->a, "/run_workflow/%s/signal", cl_enc(cl, o->arg[0], NULL));
	c.body = az_buf_str(&body);
	if (rc == CL_OK && (body.fail || !c.path))
		rc = cl_usage("the text is too large");
	if (rc == CL_OK)
		rc = cl_json(cl, &c, &sent);
	az_buf_release(&body);
	if (rc)
		return rc;
	if (cl->json)
		cl_print_json(sent);
	else
		printf("sent\n");
	return CL_OK;
}
