#include "openai.h"

static const char OP[] = "llm.stream";

static const struct az_json_limits event_limits = {
    .bytes = AZ_LIM_LLM_BODY_BYTES,
    .depth = 32,
    .tokens = 50000,
};

void
openai_stream_init(struct openai_stream *s)
{
	*s = (struct openai_stream){.form = LOOK};
	az_buf_init(&s->line, AZ_LIM_LLM_BODY_BYTES);
	az_buf_init(&s->data, AZ_LIM_LLM_BODY_BYTES);
	az_buf_init(&s->text, AZ_LIM_REPLY_BYTES);
	az_buf_init(&s->refusal, 4096);
}

void
openai_stream_release(struct openai_stream *s)
{
	az_buf_release(&s->line);
	az_buf_release(&s->data);
	az_buf_release(&s->text);
	az_buf_release(&s->refusal);
}

static enum az_code
too_big(struct az_err *err)
{
	enum az_code rc =
	    az_fail(err, AZ_ETOOBIG, OP, "the answer is larger than %zu bytes", AZ_LIM_REPLY_BYTES);

	if (err)
		(void)az_err_reason(err, "bad_model_output");
	return rc;
}

static void
copy(char *to, size_t cap, struct az_str s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	/* a cut name stays whole characters and printable */
	while (n && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)s.p[i] < 0x20 ? '?' : s.p[i];
	to[n] = '\0';
}

static void
refused(struct openai_stream *s, const struct az_json *msg)
{
	struct az_str r = az_json_gets(msg, "refusal");

	if (r.n && r.n < s->refusal.max - s->refusal.n)
		az_buf_adds(&s->refusal, r);
}

/* One chunk of a stream, or the whole answer of a server that does not stream. */
static enum az_code
chunk(struct openai_stream *s, const struct az_json *j, struct az_err *err)
{
	const struct az_json *choice = az_json_at(az_json_get(j, "choices"), 0);
	const struct az_json *msg = az_json_get(choice, "delta"), *usage;
	const struct az_json *error = az_json_get(j, "error");
	struct az_str v;

	if (error) {
		s->failed = true;
		openai_fault_from(&s->fault, 200, error);
		return AZ_OK;
	}
	if (az_json_type(msg) != AZ_JOBJ)
		msg = az_json_get(choice, "message");
	/* content may be null; reasoning fields are not the answer */
	az_buf_adds(&s->text, az_json_gets(msg, "content"));
	if (s->text.fail == AZ_ETOOBIG)
		return too_big(err);
	refused(s, msg);
	if ((v = az_json_gets(choice, "finish_reason")).n)
		copy(s->finish, sizeof s->finish, v);
	if ((v = az_json_gets(j, "model")).n)
		copy(s->model, sizeof s->model, v);
	usage = az_json_get(j, "usage");
	if (az_json_type(usage) == AZ_JOBJ) {
		s->tokens_in = az_json_geti(usage, "prompt_tokens", s->tokens_in);
		s->tokens_out = az_json_geti(usage, "completion_tokens", s->tokens_out);
	}
	return az_buf_check(&s->text, OP, err);
}

static enum az_code
event(struct openai_stream *s, struct az_err *err)
{
	struct az_str data = az_str_trim(az_buf_str(&s->data));
	struct az_json *j = NULL;
	struct az_err why;
	enum az_code rc;

	if (s->done || s->failed || data.n == 0)
		return AZ_OK;
	if (az_str_eqc(data, "[DONE]")) {
		s->done = true;
		return AZ_OK;
	}
	rc = az_json_parse(data, &event_limits, &j, &why);
	if (rc == AZ_ENOMEM)
		return az_fail(err, rc, OP, "no memory");
	if (rc)
		return az_fail(err, AZ_EUPSTREAM, OP, "malformed event: %s", why.text);
	rc = chunk(s, j, err);
	az_json_free(j);
	return rc;
}

/* A complete line of an event stream, without its end. */
static enum az_code
line(struct openai_stream *s, struct az_err *err)
{
	struct az_str l = az_buf_str(&s->line);
	enum az_code rc = AZ_OK;

	if (l.n == 0) {
		if (s->has_data)
			rc = event(s, err);
		az_buf_reset(&s->data);
		s->has_data = false;
	} else if (az_str_starts(l, AZ_S("data:"))) {
		l = az_str_sub(l, 5, l.n);
		if (az_str_starts(l, AZ_S(" ")))
			l = az_str_sub(l, 1, l.n);
		if (s->has_data)
			az_buf_addch(&s->data, '\n');
		az_buf_adds(&s->data, l);
		s->has_data = true;
		rc = az_buf_check(&s->data, OP, err);
	}
	/* comments, event:, id:, retry: say nothing to us */
	az_buf_reset(&s->line);
	return rc;
}

static enum az_code
lines(struct openai_stream *s, struct az_str in, struct az_err *err)
{
	size_t from = 0;
	enum az_code rc;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		/* LF, CR and CRLF end a line; the LF of a CRLF may come later */
		if (c == '\n' && s->cr) {
			s->cr = false;
			from = i + 1;
			continue;
		}
		s->cr = c == '\r';
		if (c != '\n' && c != '\r')
			continue;
		az_buf_adds(&s->line, az_str_sub(in, from, i));
		from = i + 1;
		if ((rc = az_buf_check(&s->line, OP, err)) || (rc = line(s, err)))
			return rc;
	}
	az_buf_adds(&s->line, az_str_sub(in, from, in.n));
	return az_buf_check(&s->line, OP, err);
}

enum az_code
openai_stream_push(struct openai_stream *s, struct az_str in, struct az_err *err)
{
	s->bytes += in.n;
	if (s->bytes > AZ_LIM_LLM_BODY_BYTES)
		return too_big(err);
	while (s->form == LOOK && in.n) {
		unsigned char c = (unsigned char)in.p[0];

		/* blanks and a byte order mark before the first line */
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0xef || c == 0xbb ||
		    c == 0xbf)
			in = az_str_sub(in, 1, in.n);
		else
			s->form = c == '{' ? PLAIN : EVENTS;
	}
	if (s->form == EVENTS)
		return lines(s, in, err);
	az_buf_adds(&s->data, in);
	return az_buf_check(&s->data, OP, err);
}

enum az_code
openai_stream_end(struct openai_stream *s, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	if (s->form == PLAIN)
		rc = event(s, err);
	else if (s->form == EVENTS && s->line.n + s->data.n) {
		/* some servers leave the last blank line out */
		rc = line(s, err);
		if (!rc && s->has_data)
			rc = event(s, err);
	}
	if (rc || s->failed)
		return rc;
	if (!s->finish[0])
		return az_fail(err, AZ_EUPSTREAM, OP, "the answer ended before its finish_reason");
	return AZ_OK;
}
