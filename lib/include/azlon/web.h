/*
 * FastCGI service: accept loop, routes, requests, answers, event streams.
 *
 * A process gives az_web_run() a route table and a listening socket. Threads run in
 * leader/follower: one at a time polls and accepts; it passes the lead on before it
 * serves, or keeps it through a short request. Paths are DOCUMENT_URI as nginx decoded it.
 * Parameters set by nginx carry no HTTP_ prefix; a client can never set them.
 */
#ifndef AZLON_WEB_H
#define AZLON_WEB_H

#include <azlon/arena.h>

struct az_rq; /* one request and its answer; lives until the handler returns */

/*
 * Handle one request. Return AZ_OK after answering; any other code makes the loop
 * answer with the problem document of err (unless headers already left: then the
 * connection is broken off so that a cut answer is never well-formed).
 */
struct az_route {
	const char *methods; /* "GET POST"; whoever serves GET serves HEAD, whose body
				is dropped: a handler that would wait asks az_rq_is_head() */
	const char *pattern; /* "/run_workflow/{id}/events"; a last "{rest*}" takes
				what follows, slashes included, at least one byte */
	enum az_code (*handle)(struct az_rq *rq, void *app, struct az_err *err);
};

struct az_web {
	const struct az_route *routes; /* ends with methods == NULL */
	void *app;                     /* handed to each handler */
	int listen_fd;                 /* 0 under spawn-fcgi and systemd */
	int threads;                   /* 0 = 64 */
	int drain_ms;                  /* after SIGTERM, 0 = 10 000 */
	size_t arena_bytes;            /* ceiling per request, 0 = 8 MiB */
	bool short_reads;              /* GETs mostly take less than a millisecond: a thread
					  then accepts again without waking another */
	/* Problem document of a failure instead of problem+json; NULL = ours.
	   Used by the stand-ins, whose protocols have error bodies of their own. */
	enum az_code (*problem)(struct az_rq *rq, void *app, const struct az_err *e, int status);
	/* NULL, or called once when connections are taken and signals obeyed. */
	void (*serving)(void);
	/* NULL, or called once when such a signal arrived, before draining. */
	void (*stopping)(void *app);
};

/*
 * Block the signals that stop az_web_run(), in this thread and those it makes from now on. To be
 * called first in a program: one that comes while it still opens things then waits, instead of
 * ending it, or of being lost where the program was started with that signal ignored.
 */
AZ_API void az_web_signals_block(void);

/*
 * Serve until SIGTERM, SIGINT or SIGQUIT, drain, return. After SIGQUIT requests in hand have
 * an hour instead of drain_ms, unless another of these signals comes. Who had connected before is
 * served. Blocks those signals in all threads and ignores SIGPIPE. AZ_ETIMEOUT: a handler did
 * not end; it still uses app, so leave by _exit(). AZ_EIO: the listening socket is unusable.
 */
AZ_API AZ_MUST_CHECK enum az_code az_web_run(const struct az_web *w, struct az_err *err);
/* True once a stop was asked for: long handlers end soon. */
AZ_API bool az_web_stopping(const struct az_rq *rq);
/* True when most of the pool's threads are taken: a handler that would hold its thread
   tells the client to come back instead, so that there is always one left to do so. */
AZ_API bool az_web_crowded(const struct az_rq *rq);

/* ---- reading ---- */
AZ_API struct az_arena *az_rq_arena(struct az_rq *rq);
AZ_API struct az_str az_rq_method(const struct az_rq *rq);
AZ_API bool az_rq_is_head(const struct az_rq *rq);
AZ_API struct az_str az_rq_path(const struct az_rq *rq);
/* Value of {name} in the matched pattern; empty if there is none. */
AZ_API struct az_str az_rq_param(const struct az_rq *rq, const char *name);
/* Query value, decoded once; first of several wins; .p == NULL if absent. */
AZ_API struct az_str az_rq_query(struct az_rq *rq, const char *name);
/* Integer query value within bounds, or dflt if absent; AZ_EINVAL if malformed. */
AZ_API AZ_MUST_CHECK enum az_code az_rq_query_i64(struct az_rq *rq, const char *name, int64_t min,
    int64_t max, int64_t dflt, int64_t *out, struct az_err *err);
/* The raw query string. */
AZ_API struct az_str az_rq_query_string(const struct az_rq *rq);
/* Header by its usual name ("If-None-Match"); .p == NULL if absent. */
AZ_API struct az_str az_rq_header(const struct az_rq *rq, const char *name);
/* Walk the headers whose names begin with prefix, *at from 0; false after the last. rest is
   what follows in CGI's form: capitals, '_' for '-'. */
AZ_API bool az_rq_header_next(const struct az_rq *rq, const char *prefix, size_t *at,
    struct az_str *rest, struct az_str *value);
/* A parameter set by nginx ("AZLON_REQUEST_ID", "REMOTE_ADDR"); .p == NULL if absent. */
AZ_API struct az_str az_rq_env(const struct az_rq *rq, const char *name);
AZ_API struct az_str az_rq_id(const struct az_rq *rq); /* request id, never empty */
/* Content-Length as nginx states it, or -1. */
AZ_API int64_t az_rq_body_bytes(const struct az_rq *rq);
/* Next bytes of the body; *got = 0 at its end. AZ_EINVAL when it was cut short. */
AZ_API AZ_MUST_CHECK enum az_code az_rq_read(
    struct az_rq *rq, char *p, size_t n, size_t *got, struct az_err *err);
/*
 * For a body that is being written while it is read: what there is of it, at most n bytes. Waits up
 * to ms for the first of them, AZ_ETIMEOUT when none came; *got = 0 at its end.
 */
AZ_API AZ_MUST_CHECK enum az_code az_rq_read_some(
    struct az_rq *rq, char *p, size_t n, int ms, size_t *got, struct az_err *err);
/* The whole body in the request's arena; AZ_ETOOBIG over max. */
AZ_API AZ_MUST_CHECK enum az_code az_rq_body(
    struct az_rq *rq, size_t max, struct az_str *out, struct az_err *err);

/* ---- answering ---- */
/* Status and headers are kept until the first body byte or the end of the handler. */
AZ_API void az_rs_status(struct az_rq *rq, int status);
/* Bytes below 0x20 and 0x7f in name or value make the whole answer a 500. */
AZ_API void az_rs_header(struct az_rq *rq, const char *name, struct az_str value);
AZ_API void az_rs_headerf(struct az_rq *rq, const char *name, const char *fmt, ...) AZ_PRINTF(3, 4);
/* Body bytes; the first call sends the headers. Fails with AZ_ECANCELLED when the
   client left. A HEAD request's body is dropped. */
AZ_API AZ_MUST_CHECK enum az_code az_rs_write(
    struct az_rq *rq, struct az_str s, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_rs_flush(struct az_rq *rq, struct az_err *err);
/* Break the connection: the client sees a failed transfer. */
AZ_API void az_rs_abort(struct az_rq *rq);
/* Is the client still there? Asks the socket, does not write. */
AZ_API bool az_rq_connected(struct az_rq *rq);

enum az_range { AZ_RANGE_NONE, AZ_RANGE_PART, AZ_RANGE_NOT_THERE };
/* The one byte range that a Range header asks for; several, or what is no range, are none. */
AZ_API enum az_range az_range_of(struct az_str header, int64_t size, int64_t *from, int64_t *n);

/* Whole answers. */
AZ_API AZ_MUST_CHECK enum az_code az_rs_json(
    struct az_rq *rq, int status, struct az_str json, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_rs_text(
    struct az_rq *rq, int status, struct az_str text, struct az_err *err);
/* One entry of "errors" in a 422. loc is a JSON array text: ["body","user_prompt"]. */
struct az_problem_item {
	const char *loc, *msg, *type;
};
/*
 * application/problem+json. status 0 takes it from e->code; "code" is e->reason or
 * a fixed word for the code ("malformed", "not_found", …); "detail" is e->text for AZ_EINVAL,
 * AZ_EUNPROC, AZ_ECONFLICT, AZ_ETOOBIG, AZ_EQUOTA, and AZ_EUNAVAIL, AZ_EPERM and AZ_EAUTH with
 * a reason, else the code's fixed sentence. Retry-After from e->retry_after_ms; 401 and the
 * reason "insufficient_scope" come with WWW-Authenticate (RFC 6750).
 */
AZ_API AZ_MUST_CHECK enum az_code az_rs_problem(struct az_rq *rq, int status,
    const struct az_err *e, const struct az_problem_item *items, size_t n);

/* ---- counting ---- */
enum { AZ_WEB_BOUNDS = 12 };
extern AZ_API const int64_t az_web_bounds_us[AZ_WEB_BOUNDS];
struct az_web_count {
	const char *methods, *pattern;     /* of the route; NULL: requests that found none */
	int64_t by_class[6];               /* answers by the first digit of their status; [0]: those
					      that were broken off */
	int64_t within[AZ_WEB_BOUNDS + 1]; /* answers that took at most that long; the last: all */
	int64_t us;                        /* what they took together */
};
/* Row i of what the server of rq answered so far, in the order of its table; false past the
   last. HEAD counts where GET does; a request counts when it has ended. */
AZ_API bool az_web_count(const struct az_rq *rq, size_t i, struct az_web_count *out);
struct az_web_load {
	int serving; /* requests under way, this one too */
	int threads, threads_max;
};
AZ_API struct az_web_load az_web_load(const struct az_rq *rq);

/* ---- server-sent events ---- */
AZ_API AZ_MUST_CHECK enum az_code az_sse_open(struct az_rq *rq, struct az_err *err);
/* One frame appended to b, to be written and flushed. id < 0: no id line. data is one line of
   JSON. */
AZ_API AZ_MUST_CHECK enum az_code az_sse_frame(
    struct az_buf *b, int64_t id, struct az_str event, struct az_str data, struct az_err *err);
/* ": ping" */
AZ_API AZ_MUST_CHECK enum az_code az_sse_ping(struct az_rq *rq, struct az_err *err);

#endif
