/* One try of a call: s3_send.c signs, sends and reads it, s3_call.c decides about another. */
#ifndef AZLON_S3_SEND_H
#define AZLON_S3_SEND_H

#include "s3.h"

#define S3_SEND_HEADERS_MAX 24

/* It must not move while its reply is pulled. */
struct s3_attempt {
	struct az_http_req req;
	struct az_http_resp resp;
	struct az_buf path, url, lines;
	const char *headers[S3_SEND_HEADERS_MAX];
	struct s3_xml *xml;
	size_t dropped;    /* of a body that nobody asked for */
	bool nonsense;     /* what came is no reply of S3's */
	char region[64];   /* it was signed for */
	char session[129]; /* the access key, if it is of a user's own session, else "" */
};

/*
 * Send it. AZ_OK whatever the status says; a 2xx was then what the call expects, or it has
 * r->error.code. t must be zero before and released after. pulled: the body of a success
 * stays to be read, else NULL.
 */
AZ_MUST_CHECK enum az_code s3_send(struct s3_attempt *t, struct s3 *s, const struct s3_call *c,
    struct s3_reply *r, struct az_http_stream **pulled, struct az_err *err);
void s3_attempt_release(struct s3_attempt *t); /* zeroes */
/* The server's clock when it answered, 0 if it did not say. */
int64_t s3_attempt_date_ms(const struct s3_attempt *t);

#endif
