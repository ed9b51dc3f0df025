/* The one table of variables, and what is generated from it. */
#include <stddef.h>
#include <azlon/limits.h>
#include "table.h"

#define AT(f) offsetof(struct az_conf, f)
#define STRING CONF_STRING
#define URL CONF_URL
#define ENDPOINT CONF_ENDPOINT
#define ORIGINS CONF_ORIGINS
#define SECRET CONF_SECRET
#define ENUM CONF_ENUM
#define NUMBER CONF_NUMBER
#define BOOL CONF_BOOL

/* To add an adapter to the build: its line here says true. */
const struct conf_adapter conf_adapters[] = {
    {"AZLON_ENGINE", "local", true},
    {"AZLON_ENGINE", "restack", true},
    {"AZLON_STORE", "dir", true},
    {"AZLON_STORE", "s3", true},
    {"AZLON_SANDBOX", "local", true},
    {"AZLON_SANDBOX", "e2b", true},
    {"AZLON_LLM", "none", true},
    {"AZLON_LLM", "openai", true},
    {"AZLON_LLM", "anthropic", false},
    {"AZLON_IDENTITY", "dev", true},
    {"AZLON_IDENTITY", "firebase", true},
    {"AZLON_IDENTITY", "keys", true},
};
const size_t conf_nadapters = sizeof conf_adapters / sizeof *conf_adapters;

const struct conf_row conf_table[] = {
    {"AZLON_ENGINE", ENUM, AT(engine), NULL, 0, 0,
	"durable engine; derived: restack when RESTACK_ENGINE_ADDRESS or "
	"RESTACK_TEMPORAL_ADDRESS is set, else local",
	"local|restack"},
    {"AZLON_STORE", ENUM, AT(store), NULL, 0, 0,
	"where files are kept; derived: s3 when MINIO_ENDPOINT is set, else dir", "dir|s3"},
    {"AZLON_SANDBOX", ENUM, AT(sandbox), NULL, 0, 0,
	"where generated code runs; derived: e2b when E2B_API_KEY is set, else local", "local|e2b"},
    {"AZLON_LLM", ENUM, AT(llm), NULL, 0, 0,
	"language model; derived: openai when OPENAI_API_KEY or OPENAI_BASE_URL is "
	"set, anthropic when ANTHROPIC_API_KEY is, else none",
	"openai|anthropic|none"},
    {"AZLON_IDENTITY", ENUM, AT(identity), NULL, 0, 0,
	"who is calling: what a request says, on loopback; ID tokens and API keys; API keys only; "
	"derived: firebase when FIREBASE_PROJECT_ID is set, else dev",
	"dev|firebase|keys"},
    {"AZLON_VAR", STRING, AT(var), "var", 0, 0, "state directory", NULL},
    {"AZLON_PORT", NUMBER, AT(port), "8000", 1, 65535, "HTTP port of nginx", NULL},
    {"AZLON_TLS_PORT", NUMBER, AT(tls_port), "8444", 1, 65535, "HTTPS port of nginx", NULL},
    {"AZLON_LOCAL_PORT", NUMBER, AT(local_port), "8090", 1, 65535,
	"loopback port of the local stand-ins (E2B and OpenAI protocols)", NULL},
    {"AZLON_URL", URL, AT(url), NULL, 0, 0,
	"server that the azlon client talks to; derived: http://localhost:$AZLON_PORT", NULL},
    {"AZLON_SECRET_FILE", STRING, AT(secret_file), NULL, 0, 0,
	"the installation's 32-byte secret, made at first start, the same on every "
	"host; a second one, in a file of the same name with .also, is believed too while it is "
	"changed; derived: $AZLON_VAR/secret/azlon.secret",
	NULL},
    {"AZLON_RECORDINGS", STRING, AT(recordings), NULL, 0, 0,
	"directory of recorded model replies (*.jsonl); derived: ../share/recordings "
	"beside the programs, else tests/recordings",
	NULL},
    {"AZLON_AGENT", STRING, AT(agent), NULL, 0, 0,
	"the program inside local sandboxes; derived: ../libexec/sandbox-agent beside "
	"the programs",
	NULL},
    {"AZLON_RECORD", STRING, AT(record), NULL, 0, 0,
	"directory of reply scripts: requests without a recording are answered from them "
	"and recorded there (make record)",
	NULL},
    {"AZLON_REPLAY_FAULTS", BOOL, AT(replay_faults), "false", 0, 0,
	"the replay process honours X-Azlon-Fault; for tests", NULL},
    {"AZLON_CGROUP", STRING, AT(cgroup), NULL, 0, 0,
	"cgroup directories that local sandboxes may use, comma-separated", NULL},
    {"AZLON_BWRAP", STRING, AT(bwrap), "/usr/bin/bwrap", 0, 0, "bubblewrap", NULL},
    {"AZLON_LOG", ENUM, AT(log), "stderr", 0, 0, "where log lines go", "stderr|syslog"},
    {"AZLON_LOG_LEVEL", ENUM, AT(log_level), "info", 0, 0, "least level logged",
	"debug|info|warn|error"},
    {"AZLON_THREADS", NUMBER, AT(threads), "64", 1, 4096, "threads of a FastCGI process", NULL},
    {"AZLON_WORKER_SLOTS", NUMBER, AT(worker_slots), "8", 1, 1024,
	"functions a worker runs at once", NULL},
    {"AZLON_SYNC_WAIT_S", NUMBER, AT(sync_wait_s), "3600", 1, 86400,
	"longest wait of a synchronous request, seconds; past it 202", NULL},
    {"AZLON_UPLOAD_BYTES", NUMBER, AT(upload_bytes), "1073741824", 1, INT64_C(1) << 40,
	"largest uploaded file, bytes", NULL},
    {"AZLON_QUOTA_BYTES", NUMBER, AT(quota_bytes), "0", 0, INT64_C(1) << 50,
	"what the files of one user may take in all, bytes; 0: no limit", NULL},
    {"AZLON_QUOTA_FILES", NUMBER, AT(quota_files), "0", 0, 1000000000,
	"how many objects of the store the files of one user may be; 0: no limit", NULL},
    {"AZLON_RATE", NUMBER, AT(rate), "50", 1, 1000000,
	"nginx: requests of one address a second, before anybody asks who it is", NULL},
    {"AZLON_BURST", NUMBER, AT(burst), "100", 1, 1000000,
	"nginx: how many of them may come at once", NULL},
    {"AZLON_CONNS", NUMBER, AT(conns), "100", 1, 65000,
	"nginx: requests of one address that are open at once, without event streams; as many "
	"again to ports of sandboxes",
	NULL},
    {"AZLON_STREAMS", NUMBER, AT(streams), "100", 1, 65000,
	"nginx: event streams of one address that are open at once", NULL},
    {"AZLON_UPLOADS", NUMBER, AT(uploads), "8", 1, 65000,
	"nginx: uploads of one address that are under way at once", NULL},
    {"AZLON_USER_READS", NUMBER, AT(user_reads), "3000", 0, 6000000,
	"requests of one user that only read, a minute; a third of them may come at once; 0: no "
	"limit",
	NULL},
    {"AZLON_USER_WRITES", NUMBER, AT(user_writes), "1200", 0, 6000000,
	"uploads and other changes by one user, likewise", NULL},
    {"AZLON_USER_CREATES", NUMBER, AT(user_creates), "120", 0, 6000000,
	"runs that one user starts, likewise", NULL},
    {"AZLON_USER_RUNS", NUMBER, AT(user_runs), "4", 0, 500,
	"runs of one user at once, others wait their turn; 0: no limit", NULL},
    {"AZLON_USER_ITERATIONS", NUMBER, AT(user_iterations), "0", 0, 1000000000,
	"iterations that the runs of one user may use up a day (UTC); 0: no limit", NULL},
    {"AZLON_USER_TOKENS", NUMBER, AT(user_tokens), "0", 0, INT64_C(1) << 50,
	"tokens that the runs of one user may use up a day; 0: no limit", NULL},
    {"AZLON_USER_WALL_S", NUMBER, AT(user_wall_s), "0", 0, INT64_C(1) << 40,
	"seconds that the runs of one user may take a day, added up; 0: no limit", NULL},
    {"AZLON_USER_SANDBOX_S", NUMBER, AT(user_sandbox_s), "0", 0, INT64_C(1) << 40,
	"seconds in sandboxes that the runs of one user may use up a day; 0: no limit", NULL},
    {"AZLON_WEBHOOK_LOCAL", BOOL, AT(webhook_local), "false", 0, 0,
	"webhooks may name loopback addresses, also without TLS; for trying them out", NULL},
    {"AZLON_CORS_ORIGINS", ORIGINS, AT(cors_origins),
	"http://localhost:3000,http://localhost:5173,http://localhost:8080", 0, 0,
	"exact origins allowed by CORS", NULL},
    {"AZLON_MODEL", STRING, AT(model), NULL, 0, 0,
	"model of a request that names none; derived: gpt-4o when OPENAI_API_KEY is "
	"set and OPENAI_BASE_URL is not",
	NULL},
    {"AZLON_LLM_PROFILE", ENUM, AT(llm_profile), NULL, 0, 0,
	"habits of the model server; derived: openai for its own address, else generic",
	"openai|ollama|lmstudio|llamacpp|vllm|openrouter|azure|generic"},
    {"AZLON_LLM_IDLE_MS", NUMBER, AT(llm_idle_ms), "120000", 1000, 3600000,
	"model silent for so long: the call is given up, milliseconds", NULL},
    {"AZLON_LLM_TOTAL_MS", NUMBER, AT(llm_total_ms), "900000", 1000, 7200000,
	"one model call, milliseconds", NULL},
    {"AZLON_BOX_MEMORY_MB", NUMBER, AT(box_memory_mb), "512", 32, 1048576,
	"memory of one local sandbox, MiB", NULL},
    {"AZLON_BOX_PIDS", NUMBER, AT(box_pids), "64", 8, 32768, "processes of one local sandbox",
	NULL},
    {"AZLON_BOX_DISK_MB", NUMBER, AT(box_disk_mb), "1024", 16, 1048576,
	"disk of one local sandbox, MiB", NULL},
    {"AZLON_BOX_CPUS_PCT", NUMBER, AT(box_cpus_pct), "100", 5, 102400,
	"CPU time of one local sandbox, percent of one CPU", NULL},
    {"AZLON_BOX_MAX", NUMBER, AT(box_max), "32", 1, 4096, "local sandboxes at once", NULL},
    {"AZLON_BOX_SPARES", NUMBER, AT(box_spares), "1", 0, 64,
	"local sandboxes kept ready for the next who ask", NULL},
    {"AZLON_TEMPLATES_DIR", STRING, AT(templates_dir), NULL, 0, 0,
	"directory of root file systems, each a template of local sandboxes", NULL},
    {"AZLON_WHEELS", STRING, AT(wheels), NULL, 0, 0,
	"directory of Python wheels that local sandboxes may install from", NULL},
    {"AZLON_SANDBOX_DOMAIN", STRING, AT(sandbox_domain), NULL, 0, 0,
	"ports of programs in local sandboxes are <port>-<id>.$AZLON_SANDBOX_DOMAIN; "
	"derived: localhost:$AZLON_LOCAL_PORT",
	NULL},
    {"AZLON_PORTS_SOCKET", STRING, AT(ports_socket), NULL, 0, 0,
	"unix socket where nginx asks for these ports; derived: "
	"$AZLON_VAR/run/ports/http.sock",
	NULL},
    {"E2B_API_KEY", SECRET, AT(e2b_api_key), NULL, 0, 0, "key of E2B", NULL},
    {"E2B_API_URL", URL, AT(e2b_api_url), NULL, 0, 0,
	"E2B's control plane; derived: https://api.$E2B_DOMAIN, or the local stand-in", NULL},
    {"E2B_SANDBOX_URL", URL, AT(e2b_sandbox_url), NULL, 0, 0,
	"address of every sandbox; derived: from E2B_DOMAIN and the sandbox's id, or "
	"the local stand-in",
	NULL},
    {"E2B_DOMAIN", STRING, AT(e2b_domain), "e2b.app", 0, 0, "domain of E2B", NULL},
    {"E2B_DEBUG", BOOL, AT(e2b_debug), "false", 0, 0,
	"E2B of a developer: without addresses, port 3000 and 49983 of this host", NULL},
    {"E2B_TEMPLATE_ID", STRING, AT(e2b_template_id), NULL, 0, 0,
	"template of the sandboxes; none: base", NULL},
    {"OPENAI_API_KEY", SECRET, AT(openai_api_key), NULL, 0, 0,
	"key of the OpenAI-compatible model server", NULL},
    {"OPENAI_BASE_URL", URL, AT(openai_base_url), NULL, 0, 0,
	"its address including /v1; derived: https://api.openai.com/v1", NULL},
    {"ANTHROPIC_API_KEY", SECRET, AT(anthropic_api_key), NULL, 0, 0, "key of Anthropic", NULL},
    {"MINIO_ENDPOINT", ENDPOINT, AT(minio_endpoint), NULL, 0, 0, "MinIO or any S3", NULL},
    {"MINIO_ROOT_USER", STRING, AT(minio_user), NULL, 0, 0, "its access key", NULL},
    {"MINIO_ROOT_PASSWORD", SECRET, AT(minio_password), NULL, 0, 0, "its secret key", NULL},
    {"MINIO_USE_SSL", BOOL, AT(minio_ssl), "false", 0, 0,
	"speak TLS to an endpoint that names no scheme", NULL},
    {"USE_EXTERNAL_MINIO", BOOL, AT(use_external_minio), "false", 0, 0,
	"links for browsers point at MINIO_EXTERNAL_ENDPOINT", NULL},
    {"MINIO_EXTERNAL_ENDPOINT", ENDPOINT, AT(minio_external), NULL, 0, 0,
	"MinIO as browsers reach it", NULL},
    {"AZLON_S3_REGION", STRING, AT(s3_region), NULL, 0, 0,
	"its region; none: us-east-1, or what the server says", NULL},
    {"AZLON_S3_CA_FILE", STRING, AT(s3_ca_file), NULL, 0, 0,
	"CA certificates (PEM) that vouch for it; none: the system's", NULL},
    {"AZLON_S3_STS", ENUM, AT(s3_sts), "auto", 0, 0,
	"credentials that reach one user's bucket only, for every request where the server gives "
	"them; off: never asked for",
	"auto|off"},
    {"EXTERNAL_BACKEND_URL", URL, AT(external_backend_url), NULL, 0, 0,
	"this server as the outside world reaches it; not with the dev identity", NULL},
    {"RESTACK_ENGINE_ID", STRING, AT(restack_engine_id), NULL, 0, 0,
	"engine, the first part of workflow ids and task queues; needed with an API key; "
	"derived: local",
	NULL},
    {"RESTACK_ENGINE_ADDRESS", STRING, AT(restack_engine_address), NULL, 0, 0,
	"Restack engine or Temporal server, gRPC: host, host:port or http(s)://host[:port]", NULL},
    {"RESTACK_ENGINE_API_KEY", SECRET, AT(restack_api_key), NULL, 0, 0,
	"key of Restack Cloud, turns TLS on; None means unset", NULL},
    {"RESTACK_ENGINE_API_ADDRESS", STRING, AT(restack_api_address), NULL, 0, 0,
	"HTTP address of the Restack engine; derived: port 6233 of its gRPC host", NULL},
    {"RESTACK_TEMPORAL_ADDRESS", STRING, AT(restack_temporal_address), NULL, 0, 0,
	"gRPC address of the Restack engine; RESTACK_ENGINE_ADDRESS is then HTTP", NULL},
    {"AZLON_RESTACK_NAMESPACE", STRING, AT(restack_ns), "default", 0, 0,
	"namespace on the Restack engine or Temporal server", NULL},
    {"AZLON_RESTACK_QUEUE", STRING, AT(restack_queue), "restack", 0, 0,
	"task queue that our workers serve, without the engine's id before it", NULL},
    {"AZLON_RESTACK_TLS", BOOL, AT(restack_tls), "false", 0, 0,
	"speak TLS to the engine without an API key too", NULL},
    {"AZLON_RESTACK_CA_FILE", STRING, AT(restack_ca_file), NULL, 0, 0,
	"CA certificates (PEM) that vouch for the engine; none: the system's", NULL},
    {"AZLON_RESTACK_CODEC_ADDRESS", STRING, AT(restack_codec_address), NULL, 0, 0,
	"HTTP address of the engine's large payloads; derived: beside its HTTP address, port "
	"12233, or 443 when that is https",
	NULL},
    {"AZLON_RESTACK_ENDPOINTS", BOOL, AT(restack_endpoints), "true", 0, 0,
	"register our workflows with the engine's HTTP address", NULL},
    {"FIREBASE_PROJECT_ID", STRING, AT(firebase_project), NULL, 0, 0,
	"project whose ID tokens are accepted", NULL},
    {"AZLON_FIREBASE_KEYS_URL", URL, AT(firebase_keys_url),
	"https://www.googleapis.com/robot/v1/metadata/x509/"
	"securetoken@system.gserviceaccount.com",
	0, 0,
	"where the public keys of ID tokens are, as certificates or as a JWK set; http only on "
	"loopback",
	NULL},
    {"FIREBASE_AUTH_EMULATOR_HOST", STRING, AT(firebase_emulator), NULL, 0, 0,
	"Firebase's emulator: its unsigned tokens are taken instead, on loopback only and for a "
	"FIREBASE_PROJECT_ID that begins with demo-",
	NULL},
};
const size_t conf_rows = sizeof conf_table / sizeof *conf_table;

const char *
conf_get(const struct az_conf *c, const struct conf_row *r)
{
	const char *v;

	memcpy(&v, (const char *)c + r->at, sizeof v);
	return v;
}

void
conf_set(struct az_conf *c, const struct conf_row *r, const char *v)
{
	memcpy((char *)c + r->at, &v, sizeof v);
}

int64_t
conf_get_num(const struct az_conf *c, const struct conf_row *r)
{
	int64_t v;

	memcpy(&v, (const char *)c + r->at, sizeof v);
	return v;
}

void
conf_set_num(struct az_conf *c, const struct conf_row *r, int64_t v)
{
	memcpy((char *)c + r->at, &v, sizeof v);
}

bool
conf_get_bool(const struct az_conf *c, const struct conf_row *r)
{
	bool v;

	memcpy(&v, (const char *)c + r->at, sizeof v);
	return v;
}

void
conf_set_bool(struct az_conf *c, const struct conf_row *r, bool v)
{
	memcpy((char *)c + r->at, &v, sizeof v);
}

void
az_conf_print(const struct az_conf *c, struct az_buf *out)
{
	for (const struct conf_row *r = conf_table; r < conf_table + conf_rows; r++) {
		const char *v;

		az_buf_addf(out, "%s=", r->name);
		if (r->kind == CONF_NUMBER) {
			az_buf_addf(out, "%lld", (long long)conf_get_num(c, r));
		} else if (r->kind == CONF_BOOL) {
			az_buf_addc(out, conf_get_bool(c, r) ? "true" : "false");
		} else if ((v = conf_get(c, r))) {
			az_buf_addc(out, r->kind == CONF_SECRET ? "***" : v);
		}
		az_buf_addch(out, '\n');
	}
}

/* "number 1..65535", "local or restack" */
static void
accepted(const struct conf_row *r, struct az_buf *out)
{
	if (r->kind == CONF_NUMBER)
		az_buf_addf(out, "%lld to %lld", (long long)r->min, (long long)r->max);
	else if (r->kind == CONF_BOOL)
		az_buf_addc(out, "true or false");
	else if (r->kind == CONF_URL)
		az_buf_addc(out, "http:// or https://");
	else if (r->kind == CONF_ENDPOINT)
		az_buf_addc(out, "host, host:port or http(s)://host[:port]");
	else if (r->kind == CONF_ORIGINS)
		az_buf_addc(out, "http(s)://host[:port], comma-separated");
	else if (r->kind == CONF_SECRET)
		az_buf_addf(out, "secret; %s_FILE may name a file that holds it", r->name);
	for (const char *p = r->kind == CONF_ENUM ? r->one_of : ""; *p; p++) {
		if (*p == '|')
			az_buf_addc(out, ", ");
		else
			az_buf_addch(out, *p);
	}
}

void
az_conf_example(struct az_buf *out)
{
	az_buf_addc(out, "# Every variable that Azlon reads. Those in comments show their "
			 "default.\n# An empty value counts as unset.\n");
	for (const struct conf_row *r = conf_table; r < conf_table + conf_rows; r++) {
		az_buf_addf(out, "\n# %s", r->help);
		if (r->kind != CONF_STRING) {
			az_buf_addc(out, " (");
			accepted(r, out);
			az_buf_addch(out, ')');
		}
		az_buf_addf(out, "\n#%s=%s\n", r->name, r->dflt ? r->dflt : "");
	}
}

/* Text in man macros: a backslash, or a dot or quote at the start, would be markup. */
static void
roff(const char *s, struct az_buf *out)
{
	if (*s == '.' || *s == '\'')
		az_buf_addc(out, "\\&");
	for (; *s; s++) {
		if (*s == '\\')
			az_buf_addc(out, "\\e");
		else if (*s == '-')
			az_buf_addc(out, "\\-");
		else
			az_buf_addch(out, *s);
	}
}

void
az_conf_man(struct az_buf *out)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(4));
	for (const struct conf_row *r = conf_table; r < conf_table + conf_rows; r++) {
		az_buf_addf(out, ".TP\n.B %s\n", r->name);
		roff(r->help, out);
		if (r->kind != CONF_STRING) {
			az_buf_reset(&b);
			accepted(r, &b);
			az_buf_addc(out, " (");
			roff(b.p ? b.p : "", out);
			az_buf_addch(out, ')');
		}
		az_buf_addch(out, '.');
		if (r->dflt) {
			az_buf_addc(out, " Default: ");
			roff(r->dflt, out);
			az_buf_addch(out, '.');
		}
		az_buf_addch(out, '\n');
	}
	az_buf_release(&b);
}
