/*
 * Errors: one type for every fallible call of the library.
 *
 * A code says what the caller should do, not where it broke. Each fallible
 * function returns one and takes a struct az_err last, which may be NULL. A lower
 * layer's error passes up untouched unless the caller can add meaning. The
 * library never prints, exits or aborts.
 */
#ifndef AZLON_ERR_H
#define AZLON_ERR_H

#include <stdbool.h>
#include <stdint.h>

#define AZ_API __attribute__((visibility("default")))
#define AZ_MUST_CHECK __attribute__((warn_unused_result))
#define AZ_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum az_code {
	AZ_OK = 0,
	AZ_EINVAL,       /* malformed input: 400 */
	AZ_EAUTH,        /* no valid identity: 401 */
	AZ_EPERM,        /* known, but not allowed: 403 */
	AZ_ENOTFOUND,    /* absent, or someone else's: 404 */
	AZ_EMETHOD,      /* 405 */
	AZ_ECONFLICT,    /* wrong state: 409 */
	AZ_EPRECOND,     /* 412 */
	AZ_ETOOBIG,      /* a limit on size, depth or count: 413 */
	AZ_ETYPE,        /* content type: 415 */
	AZ_ERANGE,       /* byte range: 416 */
	AZ_EUNPROC,      /* well-formed but not acceptable: 422 */
	AZ_EQUOTA,       /* too many: 429 */
	AZ_ECANCELLED,   /* the caller asked us to stop: 499 */
	AZ_EIO,          /* this host: 500 */
	AZ_ENOMEM,       /* 500 */
	AZ_EINTERNAL,    /* our own bug: 500 */
	AZ_EUNSUPPORTED, /* 501 */
	AZ_EUPSTREAM,    /* a peer answered nonsense or an error: 502 */
	AZ_EUNAVAIL,     /* a peer or a resource is away, try later: 503 */
	AZ_ETIMEOUT,     /* 504 */
	AZ_ECODES        /* number of codes */
};

struct az_err {
	enum az_code code;
	int sys;                /* errno, HTTP status or 0: for the log only */
	const char *op;         /* static string, "store.put" */
	char reason[32];        /* stable identifier where one is known
				   ("no_recording"), else "" */
	int64_t retry_after_ms; /* what the peer asked for, else 0 */
	char text[240];         /* one line, no secrets */
};

/* Start a struct az_err; the same as assigning {0}. */
#define AZ_ERR_INIT                                                                                \
	{                                                                                          \
		.code = AZ_OK                                                                      \
	}

/*
 * Fill err (may be NULL) and return code, so that "return az_fail(…)" reads well.
 * op is a static string. The text is cut to fit, never allocated. reason and
 * retry_after_ms are cleared.
 */
AZ_API enum az_code az_fail(
    struct az_err *err, enum az_code code, const char *op, const char *fmt, ...) AZ_PRINTF(4, 5);

/* As az_fail(), with the current errno kept in err->sys and named in the text. */
AZ_API enum az_code az_fail_errno(
    struct az_err *err, enum az_code code, const char *op, const char *fmt, ...) AZ_PRINTF(4, 5);

/* Set the stable identifier of a failure (cut to 31 bytes); returns err->code. */
AZ_API enum az_code az_err_reason(struct az_err *err, const char *reason);

/* "einval", "etimeout": for logs. Never NULL. */
AZ_API const char *az_code_name(enum az_code code);
/* HTTP status of a code; 200 for AZ_OK. */
AZ_API int az_code_http(enum az_code code);
/* May the same call succeed later without change? */
AZ_API bool az_code_retryable(enum az_code code);
/* The sentence a client may see for a code; never NULL. */
AZ_API const char *az_code_sentence(enum az_code code);

#endif
