#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <azlon/err.h>

/* The one table: code -> name, HTTP status, retryable, what a client may read. */
static const struct {
	const char *name;
	int http;
	bool retryable;
	const char *sentence;
} codes[AZ_ECODES] = {
    [AZ_OK] = {"ok", 200, false, "Done."},
    [AZ_EINVAL] = {"bad_request", 400, false, "The request is malformed."},
    [AZ_EAUTH] = {"unauthorized", 401, false, "No valid identity came with the request."},
    [AZ_EPERM] = {"forbidden", 403, false, "This is not allowed."},
    [AZ_ENOTFOUND] = {"not_found", 404, false, "There is nothing here under this address."},
    [AZ_EMETHOD] = {"method_not_allowed", 405, false, "This address does not take that method."},
    [AZ_ECONFLICT] = {"conflict", 409, false, "The resource is not in a state that allows this."},
    [AZ_EPRECOND] = {"precondition_failed", 412, false,
	"A precondition of the request does not hold."},
    [AZ_ETOOBIG] = {"too_large", 413, false, "The request is larger than the limit."},
    [AZ_ETYPE] = {"unsupported_media_type", 415, false,
	"The content type is not one that this address takes."},
    [AZ_ERANGE] = {"range_not_satisfiable", 416, false,
	"The requested range lies outside the file."},
    [AZ_EUNPROC] = {"unprocessable", 422, false,
	"The request was understood but cannot be accepted."},
    [AZ_EQUOTA] = {"quota", 429, true, "Too many requests, or a quota is used up."},
    [AZ_ECANCELLED] = {"cancelled", 499, false, "The request was cancelled."},
    [AZ_EIO] = {"io_error", 500, true, "This host could not read or write its data."},
    [AZ_ENOMEM] = {"out_of_memory", 500, true, "This host is out of memory."},
    [AZ_EINTERNAL] = {"internal", 500, false, "An internal error."},
    [AZ_EUNSUPPORTED] = {"not_supported", 501, false, "This is not supported."},
    [AZ_EUPSTREAM] = {"bad_gateway", 502, true, "A service behind this one gave no usable answer."},
    [AZ_EUNAVAIL] = {"unavailable", 503, true,
	"A service behind this one is not available; try again later."},
    [AZ_ETIMEOUT] = {"timeout", 504, true, "A service behind this one did not answer in time."},
};

static enum az_code fill(struct az_err *err, enum az_code code, int sys, const char *op,
    const char *fmt, va_list ap) AZ_PRINTF(5, 0);

static enum az_code
fill(struct az_err *err, enum az_code code, int sys, const char *op, const char *fmt, va_list ap)
{
	int n;

	if (!err)
		return code;
	err->code = code;
	err->sys = sys;
	err->op = op;
	err->reason[0] = '\0';
	err->retry_after_ms = 0;
	n = vsnprintf(err->text, sizeof err->text, fmt, ap);
	if (n < 0)
		err->text[0] = '\0';
	/* one line, whatever a peer put into it */
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return code;
}

enum az_code
az_fail(struct az_err *err, enum az_code code, const char *op, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	code = fill(err, code, 0, op, fmt, ap);
	va_end(ap);
	return code;
}

enum az_code
az_fail_errno(struct az_err *err, enum az_code code, const char *op, const char *fmt, ...)
{
	int saved = errno;
	char why[80] = "";
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	code = fill(err, code, saved, op, fmt, ap);
	va_end(ap);
	if (err) {
		const char *w = strerror_r(saved, why, sizeof why);

		n = strlen(err->text);
		snprintf(err->text + n, sizeof err->text - n, ": %s", w);
	}
	return code;
}

enum az_code
az_err_reason(struct az_err *err, const char *reason)
{
	if (!err)
		return AZ_EINTERNAL;
	snprintf(err->reason, sizeof err->reason, "%s", reason);
	return err->code;
}

static enum az_code
known(enum az_code code)
{
	return (int)code >= 0 && code < AZ_ECODES ? code : AZ_EINTERNAL;
}

const char *
az_code_name(enum az_code code)
{
	return codes[known(code)].name;
}

int
az_code_http(enum az_code code)
{
	return codes[known(code)].http;
}

bool
az_code_retryable(enum az_code code)
{
	return codes[known(code)].retryable;
}

const char *
az_code_sentence(enum az_code code)
{
	return codes[known(code)].sentence;
}
