/*
 * Model port: one completion. Adapters: openai (any compatible server, and our own
 * replay process), anthropic later. The adapter streams, retries as the official SDK
 * does, and steps down response_format when a server refuses it.
 */
#ifndef AZLON_LLM_H
#define AZLON_LLM_H

#include <azlon/arena.h>
#include <azlon/http.h>

struct az_llm;

struct az_llm_msg {
	const char *role; /* "system", "user", "assistant" */
	struct az_str text;
};

struct az_llm_req {
	struct az_str model; /* as the user named it; "recording/NAME" goes to replay */
	const struct az_llm_msg *msgs;
	size_t n_msgs;
	struct az_str schema;    /* JSON Schema the reply must follow, or empty */
	const char *schema_name; /* when schema is set: [A-Za-z0-9_-]{1,64} */
	double temperature;
	int64_t seed;
	int max_tokens;   /* 0 = 8192 */
	int tries;        /* at most so many, 0 = as many as the adapter makes */
	int64_t total_ms; /* at most so long, tries and waits together; 0 = the adapter's own */
	/* Asked often; true stops the call with AZ_ECANCELLED. May be NULL. */
	bool (*cancelled)(void *arg);
	/* Called with the length so far, for heartbeats. May be NULL. */
	void (*progress)(void *arg, size_t bytes);
	void *arg;
};

struct az_llm_reply {
	struct az_str text;  /* in the arena; think blocks removed */
	char finish[24];     /* "stop", "length", "content_filter" … */
	char model[96];      /* as the server names it */
	char provenance[16]; /* hosted, local, recording, manual */
	/* As the server counts them; where it does not, a token for four bytes of prompt and
	   answer (reasoning that is cut off included). 0 for recordings. */
	int64_t tokens_in, tokens_out;
	int calls; /* HTTP requests made, retries included */
};

struct az_llm_ops {
	const char *name; /* value of AZLON_LLM */
	/* Fails with: AZ_EUNAVAIL/AZ_ETIMEOUT/AZ_EUPSTREAM reason "llm_unavailable" (after its
	   own tries; retryable), AZ_ECONFLICT "no_recording" or "llm_not_configured",
	   AZ_EPERM "llm_unavailable" (key refused, quota: terminal), AZ_ETOOBIG
	   "bad_model_output", AZ_EUNPROC "bad_model_output" (refusal), AZ_ECANCELLED. */
	enum az_code (*complete)(struct az_llm *l, const struct az_llm_req *q, struct az_arena *a,
	    struct az_llm_reply *r, struct az_err *err);
	enum az_code (*ping)(struct az_llm *l, struct az_err *err);
	void (*close)(struct az_llm *l);
};
struct az_llm {
	const struct az_llm_ops *ops;
};

struct az_llm_openai_opts {
	struct az_http *http;   /* borrowed */
	const char *base_url;   /* includes /v1 */
	const char *key;        /* Bearer, or NULL */
	const char *provenance; /* "hosted", "local", "recording" */
	int tries;              /* 0 = 4 */
	int idle_ms, total_ms;  /* 0 = 120 s, 900 s */
};
AZ_API AZ_MUST_CHECK enum az_code az_llm_openai_open(
    const struct az_llm_openai_opts *o, struct az_llm **out, struct az_err *err);
/*
 * Chooses by model name: "recording/…" -> replay; else real, and when real is NULL
 * fails with llm_not_configured. Owns both.
 */
AZ_API AZ_MUST_CHECK enum az_code az_llm_router_open(
    struct az_llm *replay, struct az_llm *real, struct az_llm **out, struct az_err *err);

AZ_API AZ_MUST_CHECK enum az_code az_llm_complete(struct az_llm *l, const struct az_llm_req *q,
    struct az_arena *a, struct az_llm_reply *r, struct az_err *err);
/* What follows the think blocks a text begins with (<think>…</think>; an unclosed one
   reaches to the end; a template may have swallowed the opening mark). Borrowed. */
AZ_API struct az_str az_llm_unthink(struct az_str text);
AZ_API AZ_MUST_CHECK enum az_code az_llm_ping(struct az_llm *l, struct az_err *err);
AZ_API void az_llm_close(struct az_llm *l); /* accepts NULL */

#endif
