/* Inside the http room: the parts of gRPC. */
#ifndef AZLON_GRPC_ROOM_H
#define AZLON_GRPC_ROOM_H

#include <azlon/grpc.h>
#include <azlon/limits.h>
#include "http_room.h"

#define GRPC_BODY_BYTES AZ_MIB(4)
#define GRPC_REPLY_BYTES AZ_MIB(32)
#define GRPC_DETAILS_BYTES AZ_KIB(64)
#define GRPC_PREFIX 5

/* ---- grpc_parse.c: what a server said; pure ---- */

struct grpc_answer {
	int http_status;
	bool grpc_type;  /* content-type is application/grpc… */
	bool has_status; /* grpc-status came, in the first header block or the last */
	enum az_grpc_code code;
	char message[sizeof((struct az_grpc_status *)0)->message];
	struct az_buf details;
	size_t head_bytes; /* of all header lines since the answer began */
	/* the one frame */
	unsigned char prefix[GRPC_PREFIX];
	size_t prefix_n;
	size_t left; /* of the message */
	struct az_buf *msg;
};

/* msg gets the message; its ceiling is the limit on the answer. */
void grpc_answer_init(struct grpc_answer *a, struct az_buf *msg);
void grpc_answer_release(struct grpc_answer *a);
/* A header line of any block, with or without its line end; false when the headers
   are over their limit. */
AZ_MUST_CHECK bool grpc_answer_line(struct grpc_answer *a, struct az_str line);
/* Bytes of the body; AZ_EUPSTREAM: not one uncompressed frame, AZ_ETOOBIG, AZ_ENOMEM,
   with the reason in why. */
AZ_MUST_CHECK enum az_code grpc_answer_data(
    struct grpc_answer *a, struct az_str p, const char **why);
/* One frame is there, whole. */
bool grpc_answer_whole(const struct grpc_answer *a);
/* The status of an answer that ended; *why: what to say when the server gave no message,
   or NULL. */
enum az_grpc_code grpc_answer_code(const struct grpc_answer *a, const char **why);
/* The peer limits messages and this one was over it: no use to send it again. */
bool grpc_over_limit(enum az_grpc_code code, const char *message);
/* Percent-decoded, one line, valid UTF-8, cut to out_n - 1 bytes between characters. */
void grpc_message(struct az_str s, char *out, size_t out_n);

/* ---- grpc_retry.c: when to try again; pure but for the jitter ---- */

struct grpc_pace {
	enum az_grpc_retry kind;
	int64_t total_ms;      /* 0 = no limit */
	int64_t start_ms;      /* when this row of failures began */
	int tries;             /* of this row */
	int64_t delay_ms;      /* the last one, before jitter */
	int64_t busy_delay_ms; /* the same for RESOURCE_EXHAUSTED */
};

void grpc_pace_start(
    struct grpc_pace *p, enum az_grpc_retry kind, int64_t total_ms, int64_t now_ms);
/* A try that began at began_ms failed: ms to wait before the next, or -1. final: it
   would fail again. */
int64_t grpc_pace_next(
    struct grpc_pace *p, enum az_grpc_code code, bool final, int64_t began_ms, int64_t now_ms);

/* ---- grpc.c, grpc_try.c ---- */

struct az_grpc {
	struct az_http *pool;
	char key[HTTP_KEY_MAX]; /* scheme://host:port */
	const char *peer;       /* host:port of it, for messages */
	char *ca_file;
	char **headers;    /* NULL-terminated */
	const char *token; /* of an authorization header, borrowed from headers, or NULL */
	bool tls;
	bool h2c_once; /* this libcurl may turn a connection in the clear to HTTP/2 but once */
	size_t max_reply_bytes;
	/* Waits and the allowance over a deadline are divided by it; 1, more in tests. */
	int64_t haste;
};

/* One try: the frame is sent, out filled, *final set when another try is no use. */
struct grpc_try {
	const struct az_grpc_call *call;
	struct az_str frame;
	int64_t deadline_ms;
	struct az_buf *reply;
	struct az_grpc_status *st;
	struct az_err *err;
	bool final;
};

AZ_MUST_CHECK enum az_code grpc_try(struct az_grpc *g, struct grpc_try *t);
/* AZ_ECANCELLED when the caller says stop. */
AZ_MUST_CHECK enum az_code grpc_stop(
    const struct az_grpc_call *c, struct az_grpc_status *st, struct az_err *err);

#endif
