/* Inside the llm room: the OpenAI Chat Completions adapter in pieces. */
#ifndef AZ_LLM_OPENAI_H
#define AZ_LLM_OPENAI_H

#include <azlon/json.h>
#include <azlon/llm.h>

/* What one model behind this base refused so far; learned from its 400s. */
enum { RUNG_SCHEMA, RUNG_OBJECT, RUNG_NONE };
enum { TOK_MAX_TOKENS, TOK_MAX_COMPLETION, TOK_NONE };
struct openai_quirks {
	int rung;   /* of response_format */
	int tokens; /* which limit field is sent */
	bool no_temperature, no_seed, no_stream_options;
};

/* An error as servers report it: a body of its own, or inside a stream. */
struct openai_fault {
	int status; /* HTTP status, or what an error inside a 200 stands for */
	char code[64], type[64], param[64], message[160];
};

/* What to do about a failure. */
enum openai_next { NEXT_FAIL, NEXT_RETRY, NEXT_ADJUST };

/* ---- openai_body.c ---- */
/* The name on the wire: without "recording/". */
struct az_str openai_model(struct az_str model);
void openai_body(const struct az_llm_req *q, const struct openai_quirks *k, struct az_buf *out);
/* Does the request, as k would shape it, ask for response_format json_object? Then the
   word JSON must stand in the prompt. */
bool openai_says_json(const struct az_llm_req *q);

/* ---- openai_sse.c ---- */
/*
 * Push parser of a reply: server-sent events, or one JSON object from servers that do
 * not stream. Bytes may come split anywhere.
 */
struct openai_stream {
	enum { LOOK, EVENTS, PLAIN } form;
	struct az_buf line, data; /* the line, the event (or plain body) so far */
	bool has_data, cr;
	size_t bytes; /* of the body, all together */
	struct az_buf text, refusal;
	char finish[24], model[96];
	int64_t tokens_in, tokens_out;
	bool done;   /* [DONE] came */
	bool failed; /* fault is set: an error object came */
	struct openai_fault fault;
};
void openai_stream_init(struct openai_stream *s);
void openai_stream_release(struct openai_stream *s);
/* AZ_ETOOBIG, reason bad_model_output, or AZ_EUPSTREAM for what is not the protocol. */
AZ_MUST_CHECK enum az_code openai_stream_push(
    struct openai_stream *s, struct az_str chunk, struct az_err *err);
/* The end of the transfer: AZ_EUPSTREAM when no finish_reason was seen. */
AZ_MUST_CHECK enum az_code openai_stream_end(struct openai_stream *s, struct az_err *err);

/* ---- openai_err.c ---- */
/* Read an error body tolerantly; never fails. */
void openai_fault_read(struct openai_fault *f, int status, struct az_str body);
void openai_fault_from(struct openai_fault *f, int status, const struct az_json *error);
/*
 * The table. NEXT_ADJUST changed k. NEXT_FAIL and NEXT_RETRY fill *err as
 * azlon/llm.h says. should_retry: the header's value, or empty.
 */
enum openai_next openai_judge(const struct openai_fault *f, struct az_str should_retry,
    const struct az_llm_req *q, struct openai_quirks *k, struct az_err *err);

#endif
