/*
 * The HTTP handlers of runs and files (API.md). The processes in fcgi/ hand their
 * tables to az_web_run().
 */
#ifndef AZLON_API_H
#define AZLON_API_H

#include <azlon/auth.h>
#include <azlon/crypto.h>
#include <azlon/engine.h>
#include <azlon/llm.h>
#include <azlon/sandbox.h>
#include <azlon/store.h>
#include <azlon/web.h>

struct az_api_usage;     /* what users have stored, see lib/api/quota.h */
struct az_api_logs;      /* event logs that streams share, see lib/api/run_log.h */
struct az_api_rates;     /* how often they ask, see lib/api/rates.h */
struct az_api_manifests; /* manifests read lately, see lib/api/manifests.h */
struct az_api_cache;     /* rendered run objects, see lib/api/run_view.c */
struct az_api_health;    /* which parts are there, see lib/api/health.c */

struct az_api { /* app of every route; ports borrowed */
	struct az_auth *auth;
	struct az_engine *engine;
	struct az_store *store;
	struct az_llm *llm;         /* NULL where not needed */
	struct az_sandbox *sandbox; /* NULL where not needed; readiness only */
	struct az_secrets secrets;
	bool has_model;                                 /* a real model is configured */
	const char *default_model;                      /* or NULL */
	struct az_str prompt_generate, prompt_validate; /* the default texts */
	int64_t sync_wait_ms;
	int64_t upload_bytes;
	int64_t quota_bytes, quota_files; /* of one user, 0 = none */
	/* of one user: runs at once, and what they may use up a day, in the order of enum
	   az_measure; 0 = none */
	int64_t user_runs, user_caps[4];
	bool webhook_local;         /* webhooks may name loopback addresses */
	struct az_api_usage *usage; /* az_api_usage_new(), needed with a quota */
	struct az_api_logs *logs;   /* az_api_logs_new(), or NULL: each stream has its own */
	struct az_api_rates *rates; /* az_api_rates_open(), or NULL: no limits */
	const char *external_url;   /* how links begin, or NULL: they are relative */
	bool store_links;           /* links are the store's own, where it has any */
	struct az_api_manifests *manifests; /* az_api_manifests_new(), or NULL: read each time */
	struct az_api_cache *cache;         /* az_api_cache_new() */
	struct az_api_health *health;       /* az_api_health_new(), or NULL: asked each time */
};
AZ_API struct az_api_cache *az_api_cache_new(size_t entries);
AZ_API void az_api_cache_free(struct az_api_cache *c);
AZ_API struct az_api_health *az_api_health_new(void); /* NULL when out of memory */
AZ_API void az_api_health_free(struct az_api_health *h);
AZ_API struct az_api_usage *az_api_usage_new(void); /* NULL when out of memory */
AZ_API void az_api_usage_free(struct az_api_usage *u);

AZ_API struct az_api_logs *az_api_logs_new(void); /* NULL when out of memory */
AZ_API void az_api_logs_free(struct az_api_logs *l);
struct az_api_rates_opts {
	const char *path; /* of a file that the processes of a host share; NULL, or where it
			     cannot be made: each counts for itself */
	int64_t reads, writes, creates; /* of one user, a minute; 0: no limit */
};
AZ_API AZ_MUST_CHECK enum az_code az_api_rates_open(
    const struct az_api_rates_opts *o, struct az_api_rates **out, struct az_err *err);
AZ_API void az_api_rates_close(struct az_api_rates *r); /* accepts NULL */

AZ_API struct az_api_manifests *az_api_manifests_new(void); /* NULL when out of memory */
AZ_API void az_api_manifests_free(struct az_api_manifests *c);

extern AZ_API const struct az_route az_api_run_routes[];     /* run_workflow */
extern AZ_API const struct az_route az_api_wait_routes[];    /* run_workflow --role wait */
extern AZ_API const struct az_route az_api_file_routes[];    /* files */
extern AZ_API const struct az_route az_api_archive_routes[]; /* files --role archive */

#endif
