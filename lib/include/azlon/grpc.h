/*
 * Unary gRPC calls over HTTP/2, in the clear ("prior knowledge") or TLS.
 *
 * A client belongs to one server and to any number of threads. A call is one request
 * message and one reply message, with a deadline for each try, retries by the row the
 * caller picks, and a cancel that is looked at all the time. Messages are opaque bytes.
 * The key of an authorization header never reaches an error text or a status. The process
 * must ignore SIGPIPE.
 */
#ifndef AZLON_GRPC_H
#define AZLON_GRPC_H

#include <azlon/buf.h>

struct az_grpc;

struct az_grpc_opts {
	const char *host; /* name, IPv4 or IPv6 address; no scheme, no port */
	int port;
	bool tls;                   /* always verified */
	const char *ca_file;        /* private CA, or NULL */
	const char *const *headers; /* "name: value" sent with every call, NULL-terminated,
				       or NULL; copied. Not content-type, te, grpc-timeout
				       and user-agent, which are ours. */
	size_t max_reply_bytes;     /* 0 = 32 MiB */
};

/* Nothing is sent before the first call. AZ_EINVAL names what is wrong. */
AZ_API AZ_MUST_CHECK enum az_code az_grpc_new(
    const struct az_grpc_opts *o, struct az_grpc **out, struct az_err *err);
/* Accepts NULL. No call may be under way: cancel them first. */
AZ_API void az_grpc_free(struct az_grpc *g);

/* The numbers are the protocol's. */
enum az_grpc_code {
	AZ_GRPC_OK = 0,
	AZ_GRPC_CANCELLED,           /* AZ_EUNAVAIL when the server says so */
	AZ_GRPC_UNKNOWN,             /* AZ_EUPSTREAM */
	AZ_GRPC_INVALID_ARGUMENT,    /* AZ_EINVAL */
	AZ_GRPC_DEADLINE_EXCEEDED,   /* AZ_ETIMEOUT */
	AZ_GRPC_NOT_FOUND,           /* AZ_ENOTFOUND */
	AZ_GRPC_ALREADY_EXISTS,      /* AZ_ECONFLICT */
	AZ_GRPC_PERMISSION_DENIED,   /* AZ_EPERM */
	AZ_GRPC_RESOURCE_EXHAUSTED,  /* AZ_EQUOTA, AZ_ETOOBIG for a message over a limit */
	AZ_GRPC_FAILED_PRECONDITION, /* AZ_ECONFLICT */
	AZ_GRPC_ABORTED,             /* AZ_ECONFLICT */
	AZ_GRPC_OUT_OF_RANGE,        /* AZ_EINVAL */
	AZ_GRPC_UNIMPLEMENTED,       /* AZ_EUNSUPPORTED */
	AZ_GRPC_INTERNAL,            /* AZ_EUPSTREAM */
	AZ_GRPC_UNAVAILABLE,         /* AZ_EUNAVAIL; also no connection, or one that broke */
	AZ_GRPC_DATA_LOSS,           /* AZ_EUPSTREAM */
	AZ_GRPC_UNAUTHENTICATED,     /* AZ_EAUTH */
	AZ_GRPC_CODES
};

/* "NOT_FOUND"; "UNKNOWN" for a number that is none of them. */
AZ_API const char *az_grpc_code_name(enum az_grpc_code code);
/* The code of the table above. */
AZ_API enum az_code az_grpc_code_az(enum az_grpc_code code);

/*
 * When a failed try is made again. Transient are UNKNOWN, RESOURCE_EXHAUSTED, ABORTED,
 * OUT_OF_RANGE, INTERNAL, UNAVAILABLE and DATA_LOSS. RESOURCE_EXHAUSTED waits from 1 s,
 * doubled up to 10 s; when it means a message over a limit it is final in every row, as
 * is a server certificate that does not verify.
 */
enum az_grpc_retry {
	AZ_GRPC_ONCE,   /* never */
	AZ_GRPC_NORMAL, /* transient ones; 100 ms x 1.7 up to 5 s; 10 tries, or as many as
			   there is time for if more than 10 s were given */
	AZ_GRPC_POLL,   /* for ever, also CANCELLED and DEADLINE_EXCEEDED; 200 ms x 2 up to
			   10 s; in the first 60 s any failure, each 10 s */
	AZ_GRPC_WAIT    /* as NORMAL; CANCELLED and DEADLINE_EXCEEDED without end */
};

struct az_grpc_call {
	const char *path;    /* "/package.Service/Method" */
	struct az_str body;  /* one message, unframed; over 4 MiB = AZ_ETOOBIG, not sent */
	int64_t deadline_ms; /* of one try, told to the server; 0 = 30 s */
	/* No try starts later than this after the first (for POLL and WAIT: after the last
	   one that lived longer than the longest delay); 0 = 10 s, for POLL no limit. A NORMAL
	   call with a limit of its own also ends near it: the last try is cut, to 1 s or more. */
	int64_t total_ms;
	enum az_grpc_retry retry;
	bool fresh; /* over a connection of at most 30 s, or a new one: for long polls */
	/* Asked at least every 500 ms, also between tries; true ends the call with
	   AZ_ECANCELLED. May be NULL. */
	bool (*cancelled)(void *arg);
	/* Told of each try that failed and is made again in next_ms. May be NULL. */
	void (*failing)(void *arg, const struct az_err *err, int64_t next_ms);
	void *arg; /* for cancelled and failing */
};

struct az_grpc_status {
	enum az_grpc_code code;
	char message[1024];    /* the server's, or ours without an answer; one line, UTF-8 */
	struct az_buf details; /* google.rpc.Status, still encoded; empty if none came */
};

AZ_API void az_grpc_status_release(struct az_grpc_status *st);

/*
 * Make a call and wait for its end.
 *
 * reply  becomes the reply message, unframed (zero bytes is a valid message)
 * st     code, message and details of the last try; may be NULL
 *
 * Both must be zeroed before their first use; what an earlier call left in them is
 * released here, the last is the caller's, also after a failure.
 * Returns AZ_OK only with status OK. Else the code of the table above, AZ_ECANCELLED
 * when cancelled() said so (code CANCELLED), AZ_EINVAL for a malformed path,
 * AZ_ENOMEM. The text of err names server, method and reason for an operator.
 */
AZ_API AZ_MUST_CHECK enum az_code az_grpc_call(struct az_grpc *g, const struct az_grpc_call *c,
    struct az_buf *reply, struct az_grpc_status *st, struct az_err *err);

#endif
