/*
 * Configuration: environment -> struct az_conf, from one table. Read once in main,
 * validated whole, const afterwards. Blank counts as unset. For a secret, NAME_FILE may
 * name a file that holds the value.
 */
#ifndef AZLON_CONF_H
#define AZLON_CONF_H

#include <azlon/buf.h>

struct az_conf {
	/* which adapter, derived or set: names of DESIGN's table */
	const char *engine, *store, *sandbox, *llm, *identity;
	/* where we are */
	const char *var; /* AZLON_VAR */
	int64_t port, tls_port, local_port;
	const char *url; /* AZLON_URL, for the client */
	const char *secret_file;
	const char *recordings; /* AZLON_RECORDINGS: directory of *.jsonl */
	const char *record;     /* AZLON_RECORD: scripts to record from, or NULL */
	bool replay_faults;     /* AZLON_REPLAY_FAULTS: obey X-Azlon-Fault */
	const char *agent;      /* AZLON_AGENT: path of sandbox-agent */
	const char *cgroup;     /* AZLON_CGROUP: where boxes may make cgroups, or NULL */
	const char *bwrap;      /* AZLON_BWRAP */
	const char *log, *log_level;
	int64_t threads, worker_slots;
	int64_t sync_wait_s;
	int64_t upload_bytes;
	int64_t quota_bytes, quota_files;              /* of one user; 0 = none */
	int64_t rate, burst, conns, streams, uploads;  /* of one address, in nginx */
	int64_t user_reads, user_writes, user_creates; /* requests of one user, a minute; 0 = any */
	/* of one user: runs at once (0: no queue), and what they may use up a day (0: any) */
	int64_t user_runs, user_iterations, user_tokens, user_wall_s, user_sandbox_s;
	bool webhook_local; /* AZLON_WEBHOOK_LOCAL */
	const char *cors_origins;
	const char *model; /* AZLON_MODEL: when a request names none */
	const char *llm_profile;
	int64_t llm_idle_ms, llm_total_ms;
	/* box */
	int64_t box_memory_mb, box_pids, box_disk_mb, box_cpus_pct, box_max, box_spares;
	const char *templates_dir, *wheels;        /* AZLON_TEMPLATES_DIR, AZLON_WHEELS, or NULL */
	const char *sandbox_domain, *ports_socket; /* AZLON_SANDBOX_DOMAIN, AZLON_PORTS_SOCKET */
	/* the outside services, as the original named them */
	const char *e2b_api_key, *e2b_api_url, *e2b_sandbox_url, *e2b_domain, *e2b_template_id;
	bool e2b_debug;
	const char *openai_api_key, *openai_base_url, *anthropic_api_key;
	const char *minio_endpoint, *minio_user, *minio_password, *minio_external;
	bool minio_ssl, use_external_minio;
	const char *s3_region, *s3_ca_file; /* or NULL */
	const char *s3_sts;                 /* "auto" or "off" */
	const char *external_backend_url;
	const char *restack_engine_id, *restack_engine_address, *restack_api_key,
	    *restack_api_address, *restack_temporal_address;
	const char *restack_ns, *restack_queue, *restack_ca_file, *restack_codec_address;
	bool restack_tls, restack_endpoints;
	const char *firebase_project, *firebase_keys_url;
	const char *firebase_emulator; /* or NULL */
	/* keys of the local stand-ins, made at first start (mode 0600 files) */
	const char *replay_key; /* from $AZLON_VAR/secret/replay.key */
	void *owned;            /* memory of the above */
};

/*
 * Read and validate. env NULL = the process environment, else "K=V" strings ending in
 * NULL. On AZ_EINVAL the text names the variable and what it should be. Derives the
 * adapters; a contradiction or half a choice is an error.
 */
AZ_API AZ_MUST_CHECK enum az_code az_conf_load(
    struct az_conf *c, const char *const *env, struct az_err *err);
AZ_API void az_conf_release(struct az_conf *c);
/* "NAME=value" lines, secrets masked; for --print-config. */
AZ_API void az_conf_print(const struct az_conf *c, struct az_buf *out);
/* The table as a commented example file, and as man page text. */
AZ_API void az_conf_example(struct az_buf *out);
AZ_API void az_conf_man(struct az_buf *out);
/*
 * The options every process has: --check-config, --print-config, --example-config,
 * --man-config, --version, --help; other arguments are left to the caller. Loads *c
 * from the process environment. Returns -1 to go on (then az_conf_release() is the
 * caller's), else the exit status after printing: 0, or 78 when the configuration is
 * wrong.
 */
AZ_API int az_conf_main(int argc, char **argv, const char *what, struct az_conf *c);

#endif
