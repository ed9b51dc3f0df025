/* The codec's key: fetched from the engine, kept, replaced, wiped. Private to the codec. */
#ifndef AZLON_ENGINE_RESTACK_CODEC_KEY_H
#define AZLON_ENGINE_RESTACK_CODEC_KEY_H

#include "restack_codec.h"

struct codec_key {
	bool have; /* false: the engine gave none */
	unsigned char bytes[32];
	unsigned generation; /* counts fetches; 0: none yet */
};

/*
 * The key in force, copied to *k; wipe it after use. Asks the engine when it was never
 * asked, or when generation `failed` (0: none) is still the latest; threads that want it at
 * the same time share one request. A key is replaced by another, never by a failure.
 * True when the answer is newer than the call.
 */
bool codec_key_get(struct restack_codec *c, unsigned failed, struct codec_key *k);

#endif
