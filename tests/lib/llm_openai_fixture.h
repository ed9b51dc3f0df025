/* The OpenAI adapter against a scripted peer on loopback. */
#ifndef LLM_OPENAI_FIXTURE_H
#define LLM_OPENAI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/json.h>
#include <azlon/llm.h>
#include "http_peer.h"

#define SSE "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define C(text) "data: {\"model\":\"srv\",\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
#define DONE "data: [DONE]\n\n"
#define GOOD SSE C("Hel") C("lo") STOP USAGE DONE
/* an error answer whose connection ends with it */
#define ERR(status, headers, body)                                                                 \
	"HTTP/1.1 " status " x\r\nConnection: close\r\n" headers "\r\n" body
#define SOON "retry-after-ms: 1\r\n"
#define BODY(message, param, code)                                                                 \
	"{\"error\":{\"message\":\"" message "\",\"param\":" param ",\"code\":" code               \
	",\"type\":\"t\"}}"
#define STEP(b)                                                                                    \
	{                                                                                          \
		.bytes = (b), .then = HTTP_THEN_CLOSE                                              \
	}

struct rig {
	struct az_http *http;
	struct http_peer *peer;
	struct az_llm *llm;
	struct az_arena *a;
	struct az_llm_reply r;
	struct az_err err;
};

static inline void
open_rig(
    struct rig *g, const struct http_peer_step *steps, size_t n, const char *provenance, int tries)
{
	char url[128];

	*g = (struct rig){0};
	assert_int_equal(az_http_new(&g->http, &g->err), AZ_OK);
	g->peer = http_peer_start(steps, n, NULL, NULL);
	assert_non_null(g->peer);
	http_peer_url(g->peer, "/v1/", url, sizeof url);
	assert_int_equal(az_llm_openai_open(&(struct az_llm_openai_opts){.http = g->http,
						.base_url = url,
						.key = "sk-test",
						.provenance = provenance,
						.tries = tries,
						.idle_ms = 300},
			     &g->llm, &g->err),
	    AZ_OK);
	g->a = az_arena_new(1 << 24);
}

static inline void
close_rig(struct rig *g)
{
	az_arena_free(g->a);
	az_llm_close(g->llm);
	http_peer_stop(g->peer);
	az_http_free(g->http);
}

#define RIG(g, steps, provenance, tries)                                                           \
	open_rig((g), (steps), sizeof(steps) / sizeof *(steps), (provenance), (tries))

static const struct az_llm_msg msgs[] = {
    {"system", {"Answer in JSON.", 15}},
    {"user", {"say \"hello\"", 11}},
};

static inline enum az_code
ask_with(struct rig *g, const char *model, const char *schema, bool (*cancelled)(void *),
    void (*progress)(void *, size_t), void *arg)
{
	return az_llm_complete(g->llm,
	    &(struct az_llm_req){.model = az_str_c(model),
		.msgs = msgs,
		.n_msgs = 2,
		.schema = az_str_c(schema),
		.schema_name = "verdict",
		.temperature = 0.2,
		.seed = 7,
		.max_tokens = 100,
		.cancelled = cancelled,
		.progress = progress,
		.arg = arg},
	    g->a, &g->r, &g->err);
}

static inline enum az_code
ask(struct rig *g)
{
	return ask_with(g, "gpt-x", NULL, NULL, NULL, NULL);
}

static const char schema[] = "{\"type\":\"object\"}";

#endif
