/* The Restack engine: life cycle and table of slots. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "restack.h"

#define OP "engine.open"

static void
restack_stop(struct az_engine *e)
{
	struct restack *r = (struct restack *)e;
	const uint64_t one = 1;
	int saved = errno; /* of what a signal interrupted */

	atomic_store(&r->stopping, true);
	(void)!write(r->stop_fd, &one, sizeof one); /* full: told already */
	errno = saved;
}

static void
restack_close(struct az_engine *e)
{
	struct restack *r = (struct restack *)e;

	if (r->leaked)
		return;
	atomic_store(&r->stopping, true);
	atomic_store(&r->closing, true);
	watch_free(r->watch);
	results_free(r->results);
	restack_codec_free(r->codec);
	az_grpc_free(r->grpc);
	restack_addr_release(&r->addr);
	if (r->stop_fd >= 0)
		close(r->stop_fd);
	free(r);
}

static const struct az_engine_ops ops = {
    .name = "restack",
    .start = restack_start,
    .describe = restack_describe,
    .history = restack_history,
    .list = restack_list,
    .count = restack_count,
    .load = restack_load,
    .wait = restack_wait,
    .signal = restack_signal,
    .signal_start = restack_signal_start,
    .cancel = restack_cancel,
    .terminate = restack_terminate,
    .remove = restack_remove,
    .ping = restack_ping,
    .work = restack_work,
    .stop = restack_stop,
    .close = restack_close,
};

/* As the SDKs name themselves, which is what the engine's pages show. */
static void
identities(struct restack *r)
{
	char host[65] = "localhost";

	if (gethostname(host, sizeof host - 1) != 0)
		snprintf(host, sizeof host, "localhost");
	snprintf(r->client_id, sizeof r->client_id, "%ld@%s", (long)getpid(), host);
	snprintf(
	    r->worker_id, sizeof r->worker_id, "%.100s-%ld", r->addr.engine_id, (long)getpid());
}

static enum az_code
parts(struct restack *r, const struct az_engine_restack_opts *o, struct az_err *err)
{
	struct restack_settings s = {.engine_id = o->engine_id,
	    .engine_address = o->address,
	    .temporal_address = o->temporal_address,
	    .api_key = o->api_key,
	    .api_address = o->api_address,
	    .codec_address = o->codec_address,
	    .ns = o->ns,
	    .queue = o->queue,
	    .ca_file = o->ca_file,
	    .tls = o->tls};
	enum az_code rc = restack_addr_init(&r->addr, &s, err);

	if (rc == AZ_OK)
		rc = az_grpc_new(&(struct az_grpc_opts){.host = r->addr.host,
				     .port = r->addr.port,
				     .tls = r->addr.tls,
				     .ca_file = r->addr.ca_file,
				     .headers = r->addr.headers},
		    &r->grpc, err);
	if (rc == AZ_OK)
		rc = restack_codec_new(&(struct restack_codec_opts){.http = o->http,
					   .api_url = r->addr.api_url,
					   .api_key = r->addr.api_key,
					   .ca_file = r->addr.ca_file},
		    &r->codec, err);
	return rc;
}

enum az_code
az_engine_restack_open(
    const struct az_engine_restack_opts *o, struct az_engine **out, struct az_err *err)
{
	struct restack *r = calloc(1, sizeof *r);
	enum az_code rc;

	*out = NULL;
	if (!r)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	r->base.ops = &ops;
	r->http = o->http;
	r->endpoints = !o->no_endpoints;
	r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->stop_fd < 0)
		rc = az_fail_errno(err, AZ_EIO, OP, "eventfd");
	else
		rc = parts(r, o, err);
	if (rc == AZ_OK && (!(r->results = results_new()) || !(r->watch = watch_new(r))))
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if (rc != AZ_OK) {
		restack_close(&r->base);
		return rc;
	}
	identities(r);
	*out = (struct az_engine *)r;
	return AZ_OK;
}
