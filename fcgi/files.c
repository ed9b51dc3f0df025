/*
 * files: list, read, upload and remove the files of runs and input sets. --role archive
 * makes zip and tar.gz while they are sent, on a socket of its own.
 */
#include <string.h>
#include <azlon/api.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "common/ports.h"
#include "common/process.h"

/* twice the archives made at once: who comes too late is told so, not queued */
enum { ARCHIVE_THREADS = 32 };

static enum az_code
open_all(const struct az_conf *c, struct az_http **http, struct az_api *api, struct az_err *err)
{
	enum az_code rc;

	if ((rc = az_secrets_load(c->secret_file, &api->secrets, err)) ||
	    (rc = az_http_new(http, err)) || (rc = ports_auth(c, *http, &api->auth, err)) ||
	    (rc = ports_rates(c, &api->rates, err)) ||
	    (rc = ports_engine(c, *http, &api->engine, err)))
		return rc;
	/* in a directory a manifest is read as fast as remembered */
	if (!(api->usage = az_api_usage_new()) || !(api->health = az_api_health_new()) ||
	    (!strcmp(c->store, "s3") && !(api->manifests = az_api_manifests_new())))
		return az_fail(err, AZ_ENOMEM, "files", "out of memory");
	api->upload_bytes = c->upload_bytes;
	api->quota_bytes = c->quota_bytes;
	api->quota_files = c->quota_files;
	api->external_url = c->external_backend_url;
	api->store_links = c->use_external_minio;
	return ports_store(c, *http, &api->store, err);
}

int
main(int argc, char **argv)
{
	struct process p = {.name = "files",
	    .what = "files of runs, in and out",
	    .role = "archive",
	    .routes = az_api_file_routes,
	    .role_routes = az_api_archive_routes};
	struct az_http *http = NULL;
	struct az_api api = {0};
	int threads;

	az_web_signals_block();
	if (!process_begin(&p, argc, argv))
		return p.status;
	if (open_all(&p.conf, &http, &api, &p.err)) {
		process_refused(&p);
		goto out;
	}
	threads = (int)p.conf.threads;
	if (p.in_role && threads > ARCHIVE_THREADS)
		threads = ARCHIVE_THREADS;
	process_serve(&p, &(struct az_web){.routes = p.in_role ? p.role_routes : p.routes,
			      .app = &api,
			      .threads = threads,
			      .arena_bytes = AZ_MIB(64)});
out:
	az_store_close(api.store);
	az_engine_close(api.engine);
	az_auth_close(api.auth);
	az_api_rates_close(api.rates);
	az_http_free(http);
	az_api_usage_free(api.usage);
	az_api_health_free(api.health);
	az_api_manifests_free(api.manifests);
	az_wipe(&api.secrets, sizeof api.secrets);
	return process_end(&p);
}
