/* Which adapters, and where: what was set decides, the rest follows from the variables
   that name outside services. Half a choice stops the start. */
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "table.h"

static const char OP[] = "conf.load";

static enum az_code
needs(struct az_err *err, const char *what, const char *missing)
{
	return az_fail(err, AZ_EINVAL, OP, "%s needs %s, which is not set", what, missing);
}

static enum az_code
no_memory(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "no memory");
}

static enum az_code
derive_engine(struct az_conf *c, struct az_err *err)
{
	bool address = c->restack_engine_address || c->restack_temporal_address;

	if (!c->engine) {
		if (c->restack_api_key && !address)
			return needs(err, "RESTACK_ENGINE_API_KEY", "RESTACK_ENGINE_ADDRESS");
		c->engine = address ? "restack" : "local";
	}
	if (strcmp(c->engine, "restack") != 0)
		return AZ_OK;
	if (!address)
		return needs(err, "AZLON_ENGINE=restack", "RESTACK_ENGINE_ADDRESS");
	if (c->restack_api_key && !c->restack_engine_id)
		return needs(err, "RESTACK_ENGINE_API_KEY", "RESTACK_ENGINE_ID");
	if (!c->restack_engine_id)
		c->restack_engine_id = "local";
	return AZ_OK;
}

static enum az_code
derive_store(struct az_conf *c, struct az_err *err)
{
	if (!c->store) {
		if (!c->minio_endpoint && c->minio_password)
			return needs(err, "MINIO_ROOT_PASSWORD", "MINIO_ENDPOINT");
		if (!c->minio_endpoint && c->minio_user)
			return needs(err, "MINIO_ROOT_USER", "MINIO_ENDPOINT");
		c->store = c->minio_endpoint ? "s3" : "dir";
	}
	if (c->use_external_minio && !c->minio_external)
		return needs(err, "USE_EXTERNAL_MINIO", "MINIO_EXTERNAL_ENDPOINT");
	if (strcmp(c->store, "s3") != 0)
		return c->use_external_minio
			   ? az_fail(err, AZ_EINVAL, OP,
				 "USE_EXTERNAL_MINIO is set, but AZLON_STORE is %s", c->store)
			   : AZ_OK;
	if (!c->minio_endpoint)
		return needs(err, "AZLON_STORE=s3", "MINIO_ENDPOINT");
	if (!c->minio_user)
		return needs(err, "MINIO_ENDPOINT", "MINIO_ROOT_USER");
	if (!c->minio_password)
		return needs(err, "MINIO_ENDPOINT", "MINIO_ROOT_PASSWORD");
	if (c->minio_ssl && az_str_starts(az_str_c(c->minio_endpoint), AZ_S("http://")))
		return az_fail(err, AZ_EINVAL, OP,
		    "MINIO_USE_SSL is set, but MINIO_ENDPOINT begins with http://");
	if (c->s3_ca_file && access(c->s3_ca_file, R_OK) != 0)
		return az_fail(
		    err, AZ_EINVAL, OP, "AZLON_S3_CA_FILE: %s cannot be read", c->s3_ca_file);
	return AZ_OK;
}

/* A key that `make start` left in the state directory; absent is fine. */
static enum az_code
key_file(const struct az_conf *c, struct az_arena *a, const char *name, const char **out,
    struct az_err *err)
{
	char *path = az_arena_printf(a, "%s/secret/%s", c->var, name);
	struct az_err why = AZ_ERR_INIT;
	struct az_buf b;
	enum az_code rc;
	char *key;

	if (!path)
		return no_memory(err);
	az_buf_init(&b, AZ_KIB(4));
	rc = az_read_file(path, AZ_KIB(4), &b, &why);
	if (rc == AZ_ENOTFOUND || (rc == AZ_EIO && access(path, R_OK) != 0)) {
		rc = AZ_OK; /* not every process may read every key */
	} else if (rc) {
		rc = az_fail(err, AZ_EINVAL, OP, "AZLON_VAR: %s", why.text);
	} else if (az_str_trim(az_buf_str(&b)).n) {
		if (!(key = az_arena_cstr(a, az_str_trim(az_buf_str(&b)))))
			rc = no_memory(err);
		else
			*out = key;
	}
	az_buf_release(&b);
	return rc;
}

static enum az_code
derive_sandbox(struct az_conf *c, struct az_arena *a, struct az_err *err)
{
	char *url;

	if (!c->sandbox) {
		if (c->e2b_api_url && !c->e2b_api_key)
			return needs(err, "E2B_API_URL", "E2B_API_KEY");
		c->sandbox = c->e2b_api_key ? "e2b" : "local";
	}
	if (strcmp(c->sandbox, "local") == 0) {
		if (!(url = az_arena_printf(a, "http://127.0.0.1:%lld", (long long)c->local_port)))
			return no_memory(err);
		if (!c->e2b_api_url)
			c->e2b_api_url = url;
		if (!c->e2b_sandbox_url)
			c->e2b_sandbox_url = url;
		return key_file(c, a, "e2b.key", &c->e2b_api_key, err);
	}
	if (!c->e2b_api_key)
		return needs(err, "AZLON_SANDBOX=e2b", "E2B_API_KEY");
	if (c->e2b_debug) {
		if (!c->e2b_api_url)
			c->e2b_api_url = "http://localhost:3000";
		if (!c->e2b_sandbox_url)
			c->e2b_sandbox_url = "http://localhost:49983";
	}
	if (!c->e2b_api_url &&
	    !(c->e2b_api_url = az_arena_printf(a, "https://api.%s", c->e2b_domain)))
		return no_memory(err);
	return AZ_OK;
}

static enum az_code
derive_llm(struct az_conf *c, struct az_err *err)
{
	static const char hosted[] = "https://api.openai.com/v1";
	bool openai = c->openai_api_key || c->openai_base_url;

	if (!c->llm) {
		if (openai && c->anthropic_api_key)
			return az_fail(err, AZ_EINVAL, OP,
			    "%s and ANTHROPIC_API_KEY are both "
			    "set: AZLON_LLM must say which to use",
			    c->openai_api_key ? "OPENAI_API_KEY" : "OPENAI_BASE_URL");
		c->llm = openai ? "openai" : c->anthropic_api_key ? "anthropic" : "none";
	}
	if (strcmp(c->llm, "anthropic") == 0 && !c->anthropic_api_key)
		return needs(err, "AZLON_LLM=anthropic", "ANTHROPIC_API_KEY");
	if (strcmp(c->llm, "openai") == 0) {
		if (!openai)
			return needs(err, "AZLON_LLM=openai", "OPENAI_API_KEY or OPENAI_BASE_URL");
		/* a server of one's own has models of its own: no default there */
		if (!c->openai_base_url && !c->model)
			c->model = "gpt-4o";
		if (!c->openai_base_url)
			c->openai_base_url = hosted;
	}
	if (!c->llm_profile)
		c->llm_profile = c->openai_base_url && strcmp(c->openai_base_url, hosted) == 0
				     ? "openai"
				     : "generic";
	return AZ_OK;
}

/* https anywhere, http only to this machine: who can change the answer can sign tokens. */
static bool
keys_url_ok(struct az_str url)
{
	struct az_str host;
	ptrdiff_t end;

	if (az_str_starts(url, AZ_S("https://")))
		return true;
	host = az_str_sub(url, sizeof "http://" - 1, url.n);
	if ((end = az_str_chr(host, '/')) >= 0)
		host = az_str_sub(host, 0, (size_t)end);
	if (az_str_chr(host, '@') >= 0)
		return false;
	if (az_str_eqc(host, "[::1]") || az_str_starts(host, AZ_S("[::1]:")))
		return true;
	if ((end = az_str_chr(host, ':')) >= 0)
		host = az_str_sub(host, 0, (size_t)end);
	if (az_str_eqc(host, "localhost"))
		return true;
	for (size_t i = 0; i < host.n; i++)
		if ((host.p[i] < '0' || host.p[i] > '9') && host.p[i] != '.')
			return false;
	return az_str_starts(host, AZ_S("127."));
}

/* The id becomes part of what tokens are compared with: nothing that an editor left in it. */
static bool
project_ok(struct az_str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!((id.p[i] >= 'a' && id.p[i] <= 'z') || (id.p[i] >= '0' && id.p[i] <= '9') ||
			strchr("-.:", id.p[i])))
			return false;
	return id.n <= 100;
}

static enum az_code
derive_firebase(const struct az_conf *c, struct az_err *err)
{
	if (!c->firebase_project)
		return needs(err, "AZLON_IDENTITY=firebase", "FIREBASE_PROJECT_ID");
	if (!project_ok(az_str_c(c->firebase_project)))
		return az_fail(err, AZ_EINVAL, OP,
		    "FIREBASE_PROJECT_ID is not the id of a project (lower-case letters, digits, "
		    "- . :)");
	if (!keys_url_ok(az_str_c(c->firebase_keys_url)))
		return az_fail(err, AZ_EINVAL, OP,
		    "AZLON_FIREBASE_KEYS_URL must be https:// (http:// only on loopback)");
	if (!c->firebase_emulator)
		return AZ_OK;
	if (!az_str_starts(az_str_c(c->firebase_project), AZ_S("demo-")))
		return az_fail(err, AZ_EINVAL, OP,
		    "FIREBASE_AUTH_EMULATOR_HOST is set: its tokens are unsigned, so "
		    "FIREBASE_PROJECT_ID must begin with demo-");
	if (c->external_backend_url)
		return az_fail(err, AZ_EINVAL, OP,
		    "EXTERNAL_BACKEND_URL is set, but FIREBASE_AUTH_EMULATOR_HOST is too, whose "
		    "unsigned tokens are for loopback only");
	return AZ_OK;
}

static enum az_code
derive_identity(struct az_conf *c, struct az_err *err)
{
	if (!c->identity && c->firebase_emulator && !c->firebase_project)
		return needs(err, "FIREBASE_AUTH_EMULATOR_HOST", "FIREBASE_PROJECT_ID");
	if (!c->identity)
		c->identity = c->firebase_project ? "firebase" : "dev";
	if (strcmp(c->identity, "firebase") == 0)
		return derive_firebase(c, err);
	if (strcmp(c->identity, "dev") == 0 && c->external_backend_url)
		return az_fail(err, AZ_EINVAL, OP,
		    "EXTERNAL_BACKEND_URL is set, but "
		    "AZLON_IDENTITY is dev, which believes what a caller says it is and is "
		    "for loopback only");
	return AZ_OK;
}

static enum az_code
check_built(const struct az_conf *c, struct az_err *err)
{
	const struct {
		const char *variable, *value;
	} chosen[] = {{"AZLON_ENGINE", c->engine}, {"AZLON_STORE", c->store},
	    {"AZLON_SANDBOX", c->sandbox}, {"AZLON_LLM", c->llm}, {"AZLON_IDENTITY", c->identity}};

	for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
		for (size_t k = 0; k < conf_nadapters; k++)
			if (!strcmp(conf_adapters[k].variable, chosen[i].variable) &&
			    !strcmp(conf_adapters[k].name, chosen[i].value) &&
			    !conf_adapters[k].built)
				return az_fail(err, AZ_EINVAL, OP,
				    "%s is %s (set, or derived from the variables of that "
				    "service), but this build has no such adapter",
				    chosen[i].variable, chosen[i].value);
	return AZ_OK;
}

static enum az_code
derive_paths(struct az_conf *c, struct az_arena *a, struct az_err *err)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
	ptrdiff_t slash = n > 0 ? az_str_rchr(az_str_n(exe, (size_t)n), '/') : -1;
	int dir = slash > 0 ? (int)slash : 0;
	struct stat st;

	if (!c->url && !(c->url = az_arena_printf(a, "http://localhost:%lld", (long long)c->port)))
		return no_memory(err);
	if (!c->sandbox_domain &&
	    !(c->sandbox_domain = az_arena_printf(a, "localhost:%d", (int)c->local_port)))
		return no_memory(err);
	if (!c->ports_socket &&
	    !(c->ports_socket = az_arena_printf(a, "%s/run/ports/http.sock", c->var)))
		return no_memory(err);
	if (!c->secret_file &&
	    !(c->secret_file = az_arena_printf(a, "%s/secret/azlon.secret", c->var)))
		return no_memory(err);
	if (!c->agent &&
	    !(c->agent = az_arena_printf(a, "%.*s/../libexec/sandbox-agent", dir, exe)))
		return no_memory(err);
	if (!c->recordings) {
		if (!(c->recordings = az_arena_printf(a, "%.*s/../share/recordings", dir, exe)))
			return no_memory(err);
		if (stat(c->recordings, &st) != 0 || !S_ISDIR(st.st_mode))
			c->recordings = "tests/recordings";
	}
	return AZ_OK;
}

enum az_code
conf_derive(struct az_conf *c, struct az_arena *a, struct az_err *err)
{
	enum az_code rc;

	if ((rc = derive_engine(c, err)) || (rc = derive_store(c, err)) ||
	    (rc = derive_sandbox(c, a, err)) || (rc = derive_llm(c, err)) ||
	    (rc = derive_identity(c, err)) || (rc = check_built(c, err)) ||
	    (rc = derive_paths(c, a, err)))
		return rc;
	return key_file(c, a, "replay.key", &c->replay_key, err);
}
