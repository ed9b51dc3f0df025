/*
 * Engine-managed encryption: values that a JSON payload marks as sensitive.
 *
 *   in the clear  {"__restack_sensitive__":true,"value":V}
 *   encrypted     {"__restack_encrypted__":"v1","alg":"AES-256-GCM","iv":…,"ct":…}
 *
 * A mark may stand anywhere in a document. The key comes from the engine's HTTP side, at
 * the first mark that needs it, and is wiped when the codec is freed. One codec serves
 * all threads of a process. V reaches neither log nor error text.
 *
 * Documents without a mark pass byte for byte. Those with one are written anew, with the
 * same meaning (integers beyond 64 bits become doubles, as everywhere in lib/json).
 */
#ifndef AZLON_ENGINE_RESTACK_CODEC_H
#define AZLON_ENGINE_RESTACK_CODEC_H

#include <azlon/buf.h>
#include <azlon/http.h>

struct restack_codec;

struct restack_codec_opts {
	struct az_http *http;
	const char *api_url; /* no slash behind; copied, as the next two */
	const char *api_key; /* NULL: none */
	const char *ca_file; /* NULL: the system's CAs */
};

/* Asks nothing of the network. */
AZ_MUST_CHECK enum az_code restack_codec_new(
    const struct restack_codec_opts *o, struct restack_codec **out, struct az_err *err);
void restack_codec_free(struct restack_codec *c); /* accepts NULL */

/* False when json certainly holds no mark, neither kind; cheap. The calls below are then
   a copy and may be left out. */
bool restack_codec_marked(struct az_str json);

/*
 * Append json with each encrypted value in its clear shape.
 *
 * May fetch the key: at first need, and once more when a value does not open. Blocks for
 * at most 5 s each time. AZ_EINVAL, reason "encrypted_payload", names the JSON path of a
 * value that cannot be opened (no key, another algorithm, altered, malformed): final, and
 * never taken for the user's own JSON. AZ_EINVAL or AZ_ETOOBIG for what is not JSON.
 * On failure nothing was appended.
 */
AZ_MUST_CHECK enum az_code restack_codec_decode(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err);

/*
 * Append json with each clear sensitive value encrypted; encrypted ones pass. With an
 * engine that manages no key, or that cannot say, values stay in the clear, as the SDKs
 * do; the latter is logged, and asked again after a minute.
 */
AZ_MUST_CHECK enum az_code restack_codec_encode(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err);

/* Append json with V itself in place of each mark of either kind: for the function that
   needs it. Fails as restack_codec_decode() does. */
AZ_MUST_CHECK enum az_code restack_codec_unwrap(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err);

#endif
