/*
 * Structured log: one line per event.
 *
 *   level=info ev=store.put req=4f2a run=a81c key="main.py" bytes=812 ms=3
 *
 * Values are escaped: a raw newline or control byte never reaches the sink, and
 * what looks like a secret (bearer tokens, presigned queries, API keys) is masked.
 * Sink: stderr (a supervisor reads it) or syslog. AZ_ERROR means someone must act.
 */
#ifndef AZLON_LOG_H
#define AZLON_LOG_H

#include <azlon/err.h>
#include <azlon/str.h>
#include <azlon/buf.h>

enum az_level { AZ_DEBUG, AZ_INFO, AZ_WARN, AZ_ERROR };

struct az_kv {
	const char *k;
	struct az_str s; /* used when kind is 's' */
	int64_t i;       /* used when kind is 'n' */
	char kind;       /* 's', 'n', 0 = end of list */
};

#define AZ_KS(key, str) ((struct az_kv){.k = (key), .s = (str), .kind = 's'})
#define AZ_KC(key, c) ((struct az_kv){.k = (key), .s = az_str_c(c), .kind = 's'})
#define AZ_KN(key, num) ((struct az_kv){.k = (key), .i = (num), .kind = 'n'})
/* code, op, reason and text of an error */
#define AZ_KE(e)                                                                                   \
	AZ_KC("code", az_code_name((e)->code)), AZ_KC("op", (e)->op),                              \
	    AZ_KC("reason", (e)->reason), AZ_KC("err", (e)->text), AZ_KN("sys", (e)->sys)

/* Once at start. program is static. target: "stderr" or "syslog". */
AZ_API void az_log_open(const char *program, const char *target, enum az_level min);
/* Ids put on every line this thread logs until changed; "" clears, and both "" end what it works
   for, the trace too. Copied. */
AZ_API void az_log_context(struct az_str request_id, struct az_str workflow_id);
/* The trace that this thread works for, see azlon/trace.h: its lines name it unless the request
   has that id, its HTTP calls carry it on. One that is not ok clears. */
AZ_API void az_log_trace(struct az_str traceparent);
AZ_API struct az_str az_log_traceparent(void); /* borrowed; empty: none */
/* The request id set by az_log_context() for this thread; borrowed. */
AZ_API struct az_str az_log_request_id(void);
AZ_API void az_log_kv(enum az_level level, const char *ev, const struct az_kv *kv);
/* Format one line into b without writing it (what the fuzzer drives). */
AZ_API void az_log_format(
    struct az_buf *b, enum az_level level, const char *ev, const struct az_kv *kv);

/* No fields. */
#define AZ_KNONE ((struct az_kv){.kind = 0})
/* az_log(AZ_INFO, "store.put", AZ_KS("key", k), AZ_KN("ms", ms)); at least one field. */
#define az_log(level, ev, ...)                                                                     \
	az_log_kv((level), (ev), (const struct az_kv[]){__VA_ARGS__, {.kind = 0}})

#endif
