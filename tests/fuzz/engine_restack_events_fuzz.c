/*
 * A history of any bytes: it is read or refused, ids rise, what is referred to came
 * before, a run that is over stays so; and the folds take or refuse it.
 */
#include <stdlib.h>
#include <azlon/flow.h>
#include "engine/restack.h"
#include "engine/temporal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct events *e)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct az_event *ev = &e->v[i];

		if (ev->type < AZ_EV_STARTED || ev->type >= AZ_EV_TYPES ||
		    (ev->type == AZ_EV_STARTED) != (i == 0) || ev->ref < 0 || ev->ref >= ev->id)
			abort();
		if (i && (ev->id <= ev[-1].id || ev->t_ms < ev[-1].t_ms))
			abort();
		if (az_ev_is_close(ev->type) && i + 1 != e->n)
			abort();
		if (ev->payload.n && az_json_scan(ev->payload, &az_json_own_limits, NULL))
			abort();
	}
}

/* Nobody is there to give a key or a large payload: a call that is cancelled asks nobody. */
static void
services(struct restack *r)
{
	static struct az_http *http;
	static struct restack_codec *codec;
	struct restack_codec_opts o = {.api_url = "http://127.0.0.1:1"};

	if (!http && az_http_new(&http, NULL))
		abort();
	o.http = http;
	if (!codec && restack_codec_new(&o, &codec, NULL))
		abort();
	r->http = http;
	r->codec = codec;
	atomic_init(&r->stopping, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct restack r = {.addr = {.queue = "local-restack", .codec_url = "http://127.0.0.1:1"}};
	struct az_cmds cmds = {.n = 0};
	struct az_err err = AZ_ERR_INIT;
	Azt__History *h =
	    (Azt__History *)temporal_unpack(&azt__history__descriptor, NULL, data, size);
	struct events e;
	Azt__Command **v;
	size_t n;

	services(&r);
	events_init(&e, a);
	if (h && a && events_add(&r, &e, h, &err) == AZ_OK) {
		struct az_history ours = {e.v, e.n};

		check(&e);
		if (e.n && az_flow_coding.fold(&ours, a, &cmds, &err) == AZ_OK)
			(void)!commands_put(&r, a, &e, &cmds, &v, &n, &err);
	}
	if (h)
		azt__history__free_unpacked(h, NULL);
	az_arena_free(a);
	return 0;
}
