/*
 * Telling a Restack engine what this worker hosts, so that its interface and HTTP API
 * offer it. Nothing depends on it: failures are warnings, tried again in the background,
 * and a plain Temporal server, which has no such route, is left alone.
 */
#ifndef AZLON_ENGINE_RESTACK_ENDPOINTS_H
#define AZLON_ENGINE_RESTACK_ENDPOINTS_H

#include <azlon/http.h>

struct restack_endpoint {
	const char *name;                         /* of the workflow */
	const char *description;                  /* NULL: none */
	const char *input_schema, *output_schema; /* JSON Schema, trusted; NULL: {} */
};

struct restack_endpoints_opts {
	struct az_http *http;
	const char *api_url;   /* no slash behind */
	const char *ca_file;   /* NULL: the system's CAs */
	const char *engine_id; /* "local" gets the pid behind it, as the SDKs do */
	const char *queue;     /* task queue without the prefix */
	const struct restack_endpoint *workflows;
	size_t n;
	int64_t retry_ms; /* before the second try; 0 = 1 s. Doubles up to 60 s. */
};

/* The request's JSON, appended. */
void restack_endpoints_body(const struct restack_endpoints_opts *o, struct az_buf *out);

struct restack_endpoints; /* a registration under way */

/* Register in a thread of its own, until the engine took it or has no such route.
   Everything but http is copied. */
AZ_MUST_CHECK enum az_code restack_endpoints_start(
    const struct restack_endpoints_opts *o, struct restack_endpoints **out, struct az_err *err);
/* End it, a call under way too, within a second; accepts NULL. */
void restack_endpoints_stop(struct restack_endpoints *e);

#endif
