/* The judge and its evidence: see judge.h. */
#include "judge.h"

#include <azlon/keys.h>

#include "prompt.h"
#include "quote.h"
#include "reply.h"

#define OP "work.judge"

enum { FILES_SEARCHED = 50, TURNS = 2 };

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"result\",\"reason\","
    "\"plan\","
    "\"suspectedFiles\",\"unsuspectedFiles\",\"evidence\"],\"properties\":{"
    "\"result\":{\"type\":\"boolean\"},\"reason\":{\"type\":[\"string\",\"null\"]},"
    "\"plan\":{\"type\":[\"string\",\"null\"]},\"suspectedFiles\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"filename\"],"
    "\"properties\":{\"filename\":{\"type\":\"string\"}}}},"
    "\"unsuspectedFiles\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"additionalProperties\":false,\"required\":[\"filename\",\"content\"],\"properties\":{"
    "\"filename\":{\"type\":\"string\"},\"content\":{\"type\":\"string\"}}}},"
    "\"evidence\":{\"type\":[\"string\",\"null\"]}}}";

/* Does the object hold the quote? One that is not there does not. */
static enum az_code
search(
    struct work_job *j, const struct az_buf *key, struct quote *q, bool *found, struct az_err *err)
{
	struct az_get *g = NULL;
	char chunk[16384];
	size_t got = 1;
	enum az_code rc = az_buf_check(key, OP, err);

	*found = false;
	if (rc == AZ_OK)
		rc = az_store_get_open(j->w->store, &j->bkt, az_buf_str(key), 0, NULL, &g, err);
	while (rc == AZ_OK && got > 0 && !q->found) {
		if (job_cancelled(j)) {
			rc = az_fail(err, AZ_ECANCELLED, OP, "cancelled");
			break;
		}
		rc = az_store_get_read(g, chunk, sizeof(chunk), &got, err);
		if (rc == AZ_OK)
			rc = quote_push(q, az_str_n(chunk, got), err);
	}
	az_store_get_close(g);
	*found = quote_end(q) && rc == AZ_OK;
	return job_store_rc(rc, err);
}

/* In stdout, stderr, or a file that the program wrote. */
static enum az_code
proven(struct work_job *j, struct az_str quote, const struct az_json *run,
    const struct az_manifest *m, bool *found, struct az_err *err)
{
	const struct az_json *all = az_json_get(run, "written");
	static const char *const logs[] = {"stdout", "stderr"};
	enum az_code rc = AZ_OK;
	struct az_buf key;
	struct quote q;

	*found = false;
	quote_init(&q, quote);
	az_buf_init(&key, 1024);
	for (size_t i = 0; i < 2 && !*found && rc == AZ_OK; i++) {
		az_buf_reset(&key);
		az_key_iter(&key, job_wid(j), j->iteration, logs[i]);
		rc = search(j, &key, &q, found, err);
		if (rc == AZ_ENOTFOUND)
			rc = AZ_OK;
	}
	for (size_t i = 0; i < az_json_len(all) && i < FILES_SEARCHED && !*found && rc == AZ_OK;
	     i++) {
		const struct az_file *f =
		    az_manifest_find(m, az_json_gets(az_json_at(all, i), "path"));

		if (!f || f->size > (int64_t)AZ_MIB(1))
			continue;
		az_buf_reset(&key);
		az_key_blob(&key, job_wid(j), az_file_blob(f));
		rc = search(j, &key, &q, found, err);
		if (rc == AZ_ENOTFOUND) { /* named by a manifest: it must be there */
			rc = az_fail(err, AZ_EUNAVAIL, OP, "a stored file is missing");
			az_err_reason(err, "store_unavailable");
		}
	}
	az_buf_release(&key);
	quote_release(&q);
	return rc;
}

/* Ask, once more if the answer is no verdict. *have false: neither was one. */
static enum az_code
ask(struct work_job *j, struct az_str system, struct az_str user, struct az_reply_verdict *v,
    bool *have, struct az_str *raw, struct model_use *use, struct az_err *err)
{
	struct az_llm_msg msgs[2 + 2 * TURNS] = {{"system", system}, {"user", user}};
	struct model_ask q = {.msgs = msgs,
	    .n = 2,
	    .schema = {schema, sizeof(schema) - 1},
	    .schema_name = "validate_output",
	    .tokens_left = az_json_geti(j->in, "tokens_left", 8192)};

	*have = false;
	for (int turn = 0; turn < TURNS && !*have; turn++) {
		struct az_err e = AZ_ERR_INIT;
		struct az_llm_reply r;
		enum az_code rc = model_complete(j, &q, &r, use, err);

		if (rc != AZ_OK)
			return rc;
		*raw = r.text;
		rc = az_reply_verdict_parse(r.text, j->a, v, &e);
		*have = rc == AZ_OK;
		if (rc == AZ_ENOMEM)
			return job_nomem(err);
		msgs[q.n++] = (struct az_llm_msg){"assistant", r.text};
		msgs[q.n++] = (struct az_llm_msg){
		    "user", AZ_S("That is no verdict. Answer with the JSON object alone.")};
	}
	return AZ_OK;
}

static enum az_code
decide(struct work_job *j, const struct az_reply_verdict *v, const struct az_json *run,
    const struct az_manifest *m, struct check_result *r, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	bool found = false;

	if (v->result)
		rc = proven(j, v->evidence, run, m, &found, err);
	if (rc != AZ_OK)
		return rc;
	if (!v->result) {
		r->status = CHECK_FAIL;
		r->message = v->reason.n ? v->reason : AZ_S("the condition is not fulfilled");
	} else if (!found) {
		r->status = CHECK_UNVERIFIED;
		r->message = v->evidence.n
				 ? AZ_S("judged true, but the quote does not occur in the output")
				 : AZ_S("judged true without a quote from the output");
	} else {
		r->status = CHECK_PASS;
		r->message = (struct az_str){0};
		r->got = job_clip(j, v->evidence, CHECK_SHOW_BYTES);
	}
	r->message = job_clip(j, r->message, WORK_MESSAGE_BYTES - 4);
	return AZ_OK;
}

enum az_code
judge_text(struct work_job *j, struct az_str condition, const struct az_json *run,
    const struct az_manifest *m, const struct checks *c, struct check_result *r,
    struct judged *said, struct model_use *use, struct az_err *err)
{
	struct az_str system = {0}, user = {0}, raw = {0};
	struct az_reply_verdict *v = az_arena_alloc(j->a, sizeof(*v));
	bool have = false;
	enum az_code rc;

	if (!v)
		return job_nomem(err);
	j->phase = "judge";
	job_beat(j);
	rc = prompt_system(j, "validate", &system, err);
	if (rc == AZ_OK)
		rc = prompt_judge(j, condition, run, m, c, &user, err);
	if (rc == AZ_OK)
		rc = job_put_iter(j, j->iteration, "judge_prompt", user, err);
	if (rc == AZ_OK)
		rc = ask(j, system, user, v, &have, &raw, use, err);
	if (rc == AZ_OK)
		rc = job_put_iter(j, j->iteration, "judge_reply", raw, err);
	if (rc != AZ_OK)
		return rc;
	if (!have) {
		r->status = CHECK_UNVERIFIED;
		r->message = AZ_S("the judge gave no verdict");
		return AZ_OK;
	}
	if (v->reason.n)
		said->reason = v->reason;
	if (v->plan.n)
		said->plan = v->plan;
	return decide(j, v, run, m, r, err);
}
