/* What servers say went wrong, and what follows from it (one table). */
#include <stdio.h>
#include "openai.h"

static const char OP[] = "llm.complete";

static void
copy(char *to, size_t cap, struct az_str s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	while (n && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i];
	to[n] = '\0';
}

void
openai_fault_from(struct openai_fault *f, int status, const struct az_json *error)
{
	const struct az_json *code = az_json_get(error, "code");
	int64_t n;

	*f = (struct openai_fault){.status = status};
	if (az_json_is_str(error))
		copy(f->message, sizeof f->message, az_json_str(error));
	copy(f->code, sizeof f->code, az_json_str(code));
	copy(f->type, sizeof f->type, az_json_gets(error, "type"));
	copy(f->param, sizeof f->param, az_json_gets(error, "param"));
	if (!f->message[0])
		copy(f->message, sizeof f->message, az_json_gets(error, "message"));
	/* an error inside a 200: its integer code is the status it stands for */
	if (status < 400) {
		f->status = 502;
		if (az_json_i64(code, 400, 599, &n))
			f->status = (int)n;
	}
}

void
openai_fault_read(struct openai_fault *f, int status, struct az_str body)
{
	const struct az_json_limits lim = {.bytes = AZ_KIB(128), .depth = 16, .tokens = 2000};
	struct az_json *j = NULL;
	const struct az_json *e;

	*f = (struct openai_fault){.status = status};
	if (az_json_parse(az_str_trim(body), &lim, &j, NULL)) {
		/* a proxy's page or plain text: its beginning helps who reads the log */
		if (az_str_utf8_ok(body))
			copy(f->message, sizeof f->message, az_str_trim(body));
		return;
	}
	e = az_json_get(j, "error");
	/* {"error":…}, or {"message":…} (vLLM), or {"detail":…} (FastAPI) */
	openai_fault_from(f, status, e ? e : j);
	if (!f->message[0])
		copy(f->message, sizeof f->message, az_json_gets(j, "detail"));
	az_json_free(j);
}

/* Fields the request carries that a server may refuse, and how to do without. */
struct field {
	const char *name;
	bool sent;
};

static ptrdiff_t
named(const struct openai_fault *f, const char *name)
{
	ptrdiff_t at;

	if (strcmp(f->param, name) == 0)
		return 0;
	if (f->param[0] && strcmp(name, "response_format") == 0 &&
	    az_str_starts(az_str_c(f->param), AZ_S("response_format")))
		return 0;
	at = az_str_find(az_str_c(f->message), az_str_c(name), 0);
	return at < 0 ? -1 : at + 1;
}

/* One step away from what the server refused; false when it named nothing we sent. */
static bool
adjust(const struct openai_fault *f, const struct az_llm_req *q, struct openai_quirks *k)
{
	const bool format = q->schema.n && k->rung != RUNG_NONE;
	const struct field fields[] = {
	    {"response_format", format},
	    {"json_schema", format},
	    {"json_object", format},
	    {"max_completion_tokens", k->tokens == TOK_MAX_COMPLETION},
	    {"max_tokens", k->tokens == TOK_MAX_TOKENS},
	    {"temperature", !k->no_temperature},
	    {"seed", !k->no_seed},
	    {"stream_options", !k->no_stream_options},
	};
	const size_t none = sizeof fields / sizeof *fields;
	ptrdiff_t best = -1;
	size_t which = none;

	/* "max_tokens is not supported, use max_completion_tokens": the first named */
	for (size_t i = 0; i < none; i++) {
		ptrdiff_t at = fields[i].sent ? named(f, fields[i].name) : -1;

		if (at >= 0 && (best < 0 || at < best)) {
			best = at;
			which = i;
		}
	}
	switch (which) {
	case 0:
	case 1:
	case 2:
		k->rung++;
		if (k->rung == RUNG_OBJECT && !openai_says_json(q))
			k->rung = RUNG_NONE;
		return true;
	case 3:
		k->tokens = TOK_NONE;
		return true;
	case 4:
		k->tokens = TOK_MAX_COMPLETION;
		return true;
	case 5:
		k->no_temperature = true;
		return true;
	case 6:
		k->no_seed = true;
		return true;
	case 7:
		k->no_stream_options = true;
		return true;
	default:
		return false;
	}
}

static bool
is(const struct openai_fault *f, const char *what)
{
	return strcmp(f->code, what) == 0 || strcmp(f->type, what) == 0;
}

static enum openai_next
fail(struct az_err *err, enum openai_next next, enum az_code code, const char *reason,
    const struct openai_fault *f, const char *what)
{
	(void)az_fail(err, code, OP, "%s%s%s", what, f->message[0] ? ": " : "", f->message);
	if (err) {
		err->sys = f->status;
		(void)az_err_reason(err, reason);
	}
	return next;
}

enum openai_next
openai_judge(const struct openai_fault *f, struct az_str should_retry, const struct az_llm_req *q,
    struct openai_quirks *k, struct az_err *err)
{
	static const char away[] = "llm_unavailable";
	char what[64];
	bool retry;

	if (is(f, "no_recording"))
		return fail(err, NEXT_FAIL, AZ_ECONFLICT, "no_recording", f, "no recording");
	if (is(f, "insufficient_quota") || f->status == 402)
		return fail(
		    err, NEXT_FAIL, AZ_EPERM, away, f, "the model provider's quota is used up");
	if (f->status == 401 || f->status == 403)
		return fail(
		    err, NEXT_FAIL, AZ_EPERM, away, f, "the model provider refused the key");
	if (is(f, "content_filter") || is(f, "content_policy_violation"))
		return fail(err, NEXT_FAIL, AZ_EUNPROC, "bad_model_output", f,
		    "the provider's filter refused the prompt");
	if (is(f, "context_length_exceeded") || is(f, "exceed_context_size_error"))
		return fail(err, NEXT_FAIL, AZ_EPERM, away, f,
		    "the prompt is longer than the model's context");
	if (f->status == 404 || is(f, "model_not_found"))
		return fail(err, NEXT_FAIL, AZ_EPERM, away, f, "the model is not there");
	if ((f->status == 400 || f->status == 422) && adjust(f, q, k))
		return NEXT_ADJUST;
	retry = f->status == 408 || f->status == 409 || f->status == 429 || f->status >= 500;
	if (az_str_eqc(should_retry, "true"))
		retry = true;
	else if (az_str_eqc(should_retry, "false"))
		retry = false;
	snprintf(what, sizeof what, "the model server answered %d", f->status);
	if (!retry)
		return fail(
		    err, NEXT_FAIL, f->status >= 500 ? AZ_EUPSTREAM : AZ_EPERM, away, f, what);
	return fail(err, NEXT_RETRY, AZ_EUNAVAIL, away, f, what);
}
