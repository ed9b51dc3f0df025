#include "openai.h"

struct az_str
openai_model(struct az_str model)
{
	const struct az_str prefix = AZ_S("recording/");

	return az_str_starts(model, prefix) ? az_str_sub(model, prefix.n, model.n) : model;
}

bool
openai_says_json(const struct az_llm_req *q)
{
	for (size_t i = 0; i < q->n_msgs; i++)
		if (az_str_find(q->msgs[i].text, AZ_S("JSON"), 0) >= 0)
			return true;
	return false;
}

static void
response_format(struct az_jw *w, const struct az_llm_req *q, int rung)
{
	az_jw_key(w, "response_format");
	az_jw_obj(w);
	if (rung == RUNG_OBJECT) {
		az_jw_kc(w, "type", "json_object");
	} else {
		az_jw_kc(w, "type", "json_schema");
		az_jw_key(w, "json_schema");
		az_jw_obj(w);
		az_jw_kc(w, "name", q->schema_name);
		az_jw_kb(w, "strict", true);
		az_jw_kraw(w, "schema", q->schema);
		az_jw_end(w, '}');
	}
	az_jw_end(w, '}');
}

void
openai_body(const struct az_llm_req *q, const struct openai_quirks *k, struct az_buf *out)
{
	int max = q->max_tokens > 0 ? q->max_tokens : 8192;
	struct az_jw w;

	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_ks(&w, "model", openai_model(q->model));
	az_jw_key(&w, "messages");
	az_jw_arr(&w);
	for (size_t i = 0; i < q->n_msgs; i++) {
		az_jw_obj(&w);
		az_jw_kc(&w, "role", q->msgs[i].role);
		az_jw_ks(&w, "content", q->msgs[i].text);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	if (k->tokens != TOK_NONE)
		az_jw_ki(
		    &w, k->tokens == TOK_MAX_TOKENS ? "max_tokens" : "max_completion_tokens", max);
	if (!k->no_temperature) {
		az_jw_key(&w, "temperature");
		az_jw_double(&w, q->temperature);
	}
	if (!k->no_seed)
		az_jw_ki(&w, "seed", q->seed);
	az_jw_kb(&w, "stream", true);
	if (!k->no_stream_options)
		az_jw_kraw(&w, "stream_options", AZ_S("{\"include_usage\":true}"));
	if (q->schema.n && k->rung != RUNG_NONE)
		response_format(&w, q, k->rung);
	az_jw_end(&w, '}');
}
