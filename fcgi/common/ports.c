#include <stdio.h>
#include <string.h>
#include "ports.h"

enum { PATH_BYTES = 4096 };

static enum az_code
below(const struct az_conf *c, const char *name, char out[PATH_BYTES], struct az_err *err)
{
	if (snprintf(out, PATH_BYTES, "%s/%s", c->var, name) < PATH_BYTES)
		return AZ_OK;
	return az_fail(err, AZ_EINVAL, "ports.open", "AZLON_VAR is too long");
}

enum az_code
ports_auth(const struct az_conf *c, struct az_http *http, struct az_auth **out, struct az_err *err)
{
	return az_auth_open(&(struct az_auth_opts){.identity = c->identity,
				.external_url = c->external_backend_url,
				.var = c->var,
				.http = http,
				.project = c->firebase_project,
				.keys_url = c->firebase_keys_url,
				.emulator = c->firebase_emulator != NULL},
	    out, err);
}

enum az_code
ports_rates(const struct az_conf *c, struct az_api_rates **out, struct az_err *err)
{
	char path[PATH_BYTES];
	enum az_code rc = below(c, "lock/rates", path, err);

	return rc ? rc
		  : az_api_rates_open(&(struct az_api_rates_opts){.path = path,
					  .reads = c->user_reads,
					  .writes = c->user_writes,
					  .creates = c->user_creates},
			out, err);
}

enum az_code
ports_engine(
    const struct az_conf *c, struct az_http *http, struct az_engine **out, struct az_err *err)
{
	char dir[PATH_BYTES];
	enum az_code rc;

	if (!strcmp(c->engine, "restack"))
		return az_engine_restack_open(&(struct az_engine_restack_opts){.http = http,
						  .address = c->restack_engine_address,
						  .temporal_address = c->restack_temporal_address,
						  .api_address = c->restack_api_address,
						  .codec_address = c->restack_codec_address,
						  .engine_id = c->restack_engine_id,
						  .api_key = c->restack_api_key,
						  .ns = c->restack_ns,
						  .queue = c->restack_queue,
						  .ca_file = c->restack_ca_file,
						  .tls = c->restack_tls,
						  .no_endpoints = !c->restack_endpoints},
		    out, err);
	rc = below(c, "journal", dir, err);
	return rc ? rc : az_engine_local_open(&(struct az_engine_local_opts){.dir = dir}, out, err);
}

enum az_code
ports_store(
    const struct az_conf *c, struct az_http *http, struct az_store **out, struct az_err *err)
{
	bool s3 = !strcmp(c->store, "s3");
	char dir[PATH_BYTES];
	enum az_code rc = below(c, s3 ? "lock" : "store", dir, err);

	if (rc)
		return rc;
	if (!s3)
		return az_store_dir_open(dir, out, err);
	return az_store_s3_open(&(struct az_s3_opts){.http = http,
				    .endpoint = c->minio_endpoint,
				    .ssl = c->minio_ssl,
				    .access_key = c->minio_user,
				    .secret_key = c->minio_password,
				    .region = c->s3_region,
				    .ca_file = c->s3_ca_file,
				    .external = c->use_external_minio ? c->minio_external : NULL,
				    .sts_off = !strcmp(c->s3_sts, "off"),
				    .lock_dir = dir},
	    out, err);
}

enum az_code
ports_sandbox(const struct az_conf *c, struct az_http *http, const char *key,
    struct az_sandbox **out, struct az_err *err)
{
	return az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = http,
				       .api_url = c->e2b_api_url,
				       .sandbox_url = c->e2b_sandbox_url,
				       .domain = c->e2b_domain,
				       .key = key,
				       .template_id = c->e2b_template_id,
				       .kills_trees = !strcmp(c->sandbox, "local")},
	    out, err);
}

static bool
on_loopback(const char *url)
{
	static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]"};

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		if (!strncmp(url, hosts[i], strlen(hosts[i])))
			return true;
	return false;
}

enum az_code
ports_llm(const struct az_conf *c, struct az_http *http, struct az_llm **out, struct az_err *err)
{
	struct az_llm *replay = NULL, *real = NULL;
	char url[64];
	enum az_code rc;

	snprintf(url, sizeof url, "http://127.0.0.1:%lld/v1", (long long)c->local_port);
	rc = az_llm_openai_open(&(struct az_llm_openai_opts){.http = http,
				    .base_url = url,
				    .key = c->replay_key,
				    .provenance = "recording",
				    .idle_ms = (int)c->llm_idle_ms,
				    .total_ms = (int)c->llm_total_ms},
	    &replay, err);
	if (!rc && !strcmp(c->llm, "openai"))
		rc = az_llm_openai_open(
		    &(struct az_llm_openai_opts){.http = http,
			.base_url = c->openai_base_url,
			.key = c->openai_api_key,
			.provenance = on_loopback(c->openai_base_url) ? "local" : "hosted",
			.idle_ms = (int)c->llm_idle_ms,
			.total_ms = (int)c->llm_total_ms},
		    &real, err);
	if (rc) {
		az_llm_close(replay);
		return rc;
	}
	return az_llm_router_open(replay, real, out, err);
}
