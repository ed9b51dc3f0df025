/* Sending what the store holds: the one way for files of runs, input sets and logs. */
#ifndef AZLON_API_SEND_H
#define AZLON_API_SEND_H

#include "caller.h"

struct api_object {
	struct az_str key;
	int64_t bytes;
	const char *etag; /* strong, in its quotes */
	const char *mime;
	struct az_str disposition; /* Content-Disposition, or empty */
	bool embed;                /* pages of other origins may show it */
};
/*
 * Answer a GET or HEAD with the object: If-Match, If-None-Match, If-Range and Range are
 * weighed here against our tag, the bytes are moved by nginx where the store has an address
 * for them, else from here.
 */
AZ_MUST_CHECK enum az_code api_send(struct az_rq *rq, const struct az_api *api,
    const struct az_bucket *b, const struct api_object *o, struct az_err *err);

/* ---- the rules, as a pure function ---- */
/* Does an If-None-Match (weak) or If-Match (strong) list hold the tag? */
bool send_tag_listed(struct az_str header, struct az_str etag, bool strong);

#endif
