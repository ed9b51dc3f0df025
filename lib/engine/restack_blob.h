/*
 * Large payloads (DataDog's large payload service, version 2): SDKs put data from 128 KiB
 * up beside the engine and send a reference. We never do, our payloads are small; we
 * follow references that others left.
 */
#ifndef AZLON_ENGINE_RESTACK_BLOB_H
#define AZLON_ENGINE_RESTACK_BLOB_H

#include <azlon/arena.h>
#include <azlon/http.h>
#include <azlon/limits.h>

#define RESTACK_BLOB_MAX AZ_MIB(32)

/* One entry of a payload's metadata. */
struct restack_meta {
	struct az_str key, value;
};

struct restack_blob_opts {
	struct az_http *http;
	const char *codec_url;        /* no slash behind */
	const char *ca_file;          /* NULL: the system's CAs */
	bool (*cancelled)(void *arg); /* NULL: never */
	void *arg;
};

/* Is a payload with this metadata a reference? */
bool restack_blob_is(const struct restack_meta *m, size_t n);

/*
 * Follow a reference.
 *
 * ref       the payload's data: JSON {metadata, size, digest, key}
 * data      the bytes are appended; its ceiling may be lower than RESTACK_BLOB_MAX
 * encoding  the original payload's, out of the reference, in a; empty when it names none
 *	     (then the payload's own metadata does)
 *
 * Size and SHA-256 are verified before anything is appended. AZ_EINVAL for a malformed
 * reference, AZ_ETOOBIG, AZ_ENOTFOUND when the server has no such blob, AZ_EUPSTREAM when
 * it is another one or the server fails, or what az_http_call() says. The text names the
 * server, never the key.
 */
AZ_MUST_CHECK enum az_code restack_blob_get(const struct restack_blob_opts *o, struct az_str ref,
    struct az_arena *a, struct az_buf *data, struct az_str *encoding, struct az_err *err);

#endif
