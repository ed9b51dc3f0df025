/* A recorded reply as OpenAI would send it, whole or as a stream, sound or faulty. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <azlon/clock.h>
#include "replay.h"

enum { PIECE_BYTES = 512, STALL_MS = 600000 };

struct say {
	struct az_rq *rq;
	const struct replay_answer *w;
	struct az_err *err;
	struct az_buf b;
	int64_t now_s;
	size_t sent, cut_at; /* bytes of text said; where a fault strikes */
};

enum az_code
replay_error(
    struct az_rq *rq, int status, const char *code, struct az_err *err, const char *fmt, ...)
{
	char text[600];
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	az_buf_init(&b, 8192);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_key(&w, "error");
	az_jw_obj(&w);
	az_jw_kc(&w, "message", text);
	az_jw_kc(&w, "type", status >= 500 ? "server_error" : "invalid_request_error");
	az_jw_kn(&w, "param");
	az_jw_kc(&w, "code", code);
	az_jw_end(&w, '}');
	az_jw_end(&w, '}');
	rc = az_rs_json(rq, status, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

/* What every chunk and the whole answer begin with. */
static void
envelope(struct say *s, struct az_jw *w, const char *object)
{
	az_jw_init(w, &s->b);
	az_jw_obj(w);
	az_jw_key(w, "id");
	{
		char id[40];

		snprintf(id, sizeof id, "chatcmpl-replay-%.16s", s->w->key);
		az_jw_cstr(w, id);
	}
	az_jw_kc(w, "object", object);
	az_jw_ki(w, "created", s->now_s);
	az_jw_key(w, "model");
	{
		char model[REPLAY_NAME_BYTES + 16];

		snprintf(model, sizeof model, "recording/%s", s->w->name);
		az_jw_cstr(w, model);
	}
}

static void
usage(struct say *s, struct az_jw *w)
{
	const struct az_json *u = az_json_get(az_json_get(s->w->line, "response"), "usage");
	int64_t in = az_json_geti(u, "prompt_tokens", 0);
	int64_t out = az_json_geti(u, "completion_tokens", 0);

	az_jw_key(w, "usage");
	az_jw_obj(w);
	az_jw_ki(w, "prompt_tokens", in);
	az_jw_ki(w, "completion_tokens", out);
	az_jw_ki(w, "total_tokens", in + out);
	az_jw_end(w, '}');
}

/* Send what stands in b. For the split fault: in two parts, inside a character. */
static enum az_code
send_b(struct say *s)
{
	struct az_str t = az_buf_str(&s->b);
	size_t at = t.n / 2;
	enum az_code rc;

	if ((rc = az_buf_check(&s->b, "replay.say", s->err)))
		return rc;
	if (s->w->fault != F_SPLIT)
		return az_rs_write(s->rq, t, s->err);
	for (size_t i = 0; i < t.n; i++) {
		if ((unsigned char)t.p[i] >= 0x80) {
			at = i + 1;
			break;
		}
	}
	if ((rc = az_rs_write(s->rq, az_str_sub(t, 0, at), s->err)) ||
	    (rc = az_rs_flush(s->rq, s->err)) ||
	    (rc = az_rs_write(s->rq, az_str_sub(t, at, t.n), s->err)))
		return rc;
	return az_rs_flush(s->rq, s->err);
}

/* One event; content .p NULL: none; role, finish may be NULL. */
static enum az_code
chunk(struct say *s, struct az_str content, const char *role, struct az_str finish)
{
	struct az_jw w;

	az_buf_reset(&s->b);
	az_buf_addc(&s->b, "data: ");
	envelope(s, &w, "chat.completion.chunk");
	az_jw_key(&w, "choices");
	az_jw_arr(&w);
	az_jw_obj(&w);
	az_jw_ki(&w, "index", 0);
	az_jw_key(&w, "delta");
	az_jw_obj(&w);
	if (role)
		az_jw_kc(&w, "role", role);
	if (content.p)
		az_jw_ks(&w, "content", content);
	az_jw_end(&w, '}');
	if (finish.n)
		az_jw_ks(&w, "finish_reason", finish);
	else
		az_jw_kn(&w, "finish_reason");
	az_jw_end(&w, '}');
	az_jw_end(&w, ']');
	if (role && az_json_get(s->w->line, "provenance")) {
		/* not OpenAI's: who made this text, for whoever looks at the wire */
		az_jw_key(&w, "provenance");
		az_jw_value(&w, az_json_get(s->w->line, "provenance"));
	}
	az_jw_end(&w, '}');
	az_buf_addc(&s->b, "\n\n");
	return send_b(s);
}

/* The fault in the middle of a stream. *ended: nothing may follow. */
static enum az_code
strike(struct say *s, bool *ended)
{
	int64_t until = az_boot_ms() + STALL_MS;
	enum az_code rc;

	*ended = true;
	if ((rc = az_rs_flush(s->rq, s->err)))
		return rc;
	if (s->w->fault == F_STALL) {
		while (az_boot_ms() < until && az_rq_connected(s->rq) && !az_web_stopping(s->rq))
			(void)poll(NULL, 0, 50);
		az_rs_abort(s->rq);
		return AZ_OK;
	}
	if (s->w->fault == F_CUT) {
		/* nginx drops what it has not passed on when it sees the break */
		(void)poll(NULL, 0, 50);
		az_rs_abort(s->rq);
		return AZ_OK;
	}
	if (s->w->fault == F_ERROR)
		return az_rs_write(s->rq,
		    AZ_S("data: {\"error\":{\"message\":\"injected: "
			 "overloaded\",\"type\":\"server_error\",\"param\":null,\"code\":503}}"
			 "\n\n"),
		    s->err);
	*ended = false;
	for (size_t n = 0; s->w->fault == F_LONG && n < AZ_LIM_REPLY_BYTES + AZ_MIB(1);
	     n += PIECE_BYTES) {
		char fill[PIECE_BYTES];

		memset(fill, 'x', sizeof fill);
		if ((rc = chunk(s, az_str_n(fill, sizeof fill), NULL, (struct az_str){NULL, 0})))
			return rc;
	}
	return AZ_OK;
}

static bool
mid_fault(enum replay_fault f)
{
	return f == F_STALL || f == F_CUT || f == F_ERROR || f == F_LONG;
}

/* One part of the text, in pieces. */
static enum az_code
part(struct say *s, struct az_str text, bool *ended)
{
	const struct az_str none = {NULL, 0};
	enum az_code rc = AZ_OK;

	while (text.n && !rc && !*ended) {
		size_t n = text.n < PIECE_BYTES ? text.n : PIECE_BYTES;

		/* a short text is cut inside as well */
		if (mid_fault(s->w->fault) && s->sent < s->cut_at && s->sent + n > s->cut_at)
			n = s->cut_at - s->sent;
		while (n < text.n && n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n--;
		if (n == 0)
			n = text.n < 4 ? text.n : 4;
		rc = chunk(s, az_str_sub(text, 0, n), NULL, none);
		s->sent += n;
		text = az_str_sub(text, n, text.n);
		if (!rc && mid_fault(s->w->fault) && s->sent >= s->cut_at) {
			s->cut_at = SIZE_MAX;
			rc = strike(s, ended);
		}
	}
	return rc;
}

static enum az_code
stream(struct say *s, const struct az_json *resp)
{
	const struct az_json *chunks = az_json_get(resp, "chunks");
	struct az_str finish = az_json_gets(resp, "finish");
	const struct az_str none = {NULL, 0};
	bool ended = false;
	struct az_jw w;
	enum az_code rc;

	az_rs_status(s->rq, 200);
	az_rs_header(s->rq, "Content-Type", AZ_S("text/event-stream"));
	az_rs_header(s->rq, "Cache-Control", AZ_S("no-cache"));
	az_rs_header(s->rq, "X-Accel-Buffering", AZ_S("no"));
	rc = chunk(s, AZ_S(""), "assistant", none);
	if (az_json_type(chunks) == AZ_JARR) {
		for (size_t i = 0; !rc && !ended && i < az_json_len(chunks); i++)
			rc = part(s, az_json_str(az_json_at(chunks, i)), &ended);
	} else if (!rc) {
		rc = part(s, az_json_gets(resp, "text"), &ended);
	}
	if (rc || ended)
		return rc;
	if ((rc = chunk(s, none, NULL, finish.n ? finish : AZ_S("stop"))))
		return rc;
	if (s->w->usage) {
		az_buf_reset(&s->b);
		az_buf_addc(&s->b, "data: ");
		envelope(s, &w, "chat.completion.chunk");
		az_jw_kraw(&w, "choices", AZ_S("[]"));
		usage(s, &w);
		az_jw_end(&w, '}');
		az_buf_addc(&s->b, "\n\n");
		if ((rc = send_b(s)))
			return rc;
	}
	return az_rs_write(s->rq, AZ_S("data: [DONE]\n\n"), s->err);
}

static enum az_code
whole(struct say *s, const struct az_json *resp)
{
	const struct az_json *chunks = az_json_get(resp, "chunks");
	struct az_str finish = az_json_gets(resp, "finish");
	bool ended = false;
	struct az_buf text;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&text, AZ_LIM_REPLY_BYTES);
	az_buf_adds(&text, az_json_gets(resp, "text"));
	for (size_t i = 0; az_json_type(chunks) == AZ_JARR && i < az_json_len(chunks); i++)
		az_buf_adds(&text, az_json_str(az_json_at(chunks, i)));
	envelope(s, &w, "chat.completion");
	az_jw_key(&w, "choices");
	az_jw_arr(&w);
	az_jw_obj(&w);
	az_jw_ki(&w, "index", 0);
	az_jw_key(&w, "message");
	az_jw_obj(&w);
	az_jw_kc(&w, "role", "assistant");
	az_jw_ks(&w, "content", az_buf_str(&text));
	az_jw_kn(&w, "refusal");
	az_jw_end(&w, '}');
	az_jw_ks(&w, "finish_reason", finish.n ? finish : AZ_S("stop"));
	az_jw_end(&w, '}');
	az_jw_end(&w, ']');
	usage(s, &w);
	if (az_json_get(s->w->line, "provenance")) {
		az_jw_key(&w, "provenance");
		az_jw_value(&w, az_json_get(s->w->line, "provenance"));
	}
	az_jw_end(&w, '}');
	az_buf_release(&text);
	if (mid_fault(s->w->fault)) {
		/* half of it, then the fault */
		az_rs_status(s->rq, 200);
		az_rs_header(s->rq, "Content-Type", AZ_S("application/json"));
		az_buf_cut(&s->b, s->b.n / 2);
		if ((rc = send_b(s)))
			return rc;
		return strike(s, &ended);
	}
	return az_rs_json(s->rq, 200, az_buf_str(&s->b), s->err);
}

enum az_code
replay_say(struct az_rq *rq, const struct replay_answer *w, struct az_err *err)
{
	const struct az_json *resp = az_json_get(w->line, "response");
	struct say s = {.rq = rq, .w = w, .err = err, .now_s = az_wall_ms() / 1000};
	enum az_code rc;

	if (w->fault == F_429) {
		if (w->retry_after_s > 0)
			az_rs_headerf(rq, "Retry-After", "%lld", (long long)w->retry_after_s);
		else
			az_rs_header(rq, "retry-after-ms", AZ_S("1"));
		return replay_error(
		    rq, 429, "rate_limit_exceeded", err, "injected: too many requests");
	}
	if (w->fault == F_500) {
		az_rs_header(rq, "retry-after-ms", AZ_S("1"));
		return replay_error(rq, 500, "internal_error", err, "injected: server error");
	}
	s.cut_at = az_json_gets(resp, "text").n / 2;
	if (s.cut_at == 0)
		s.cut_at = 1;
	az_buf_init(&s.b, AZ_MIB(32));
	rc = w->stream ? stream(&s, resp) : whole(&s, resp);
	az_buf_release(&s.b);
	return rc;
}
