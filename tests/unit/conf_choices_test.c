/* What follows from what is set: adapters, addresses, identities; half a choice is refused. */
#include <stdio.h>

#include "conf_fixture.h"

static void
restack_follows_from_its_address(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("RESTACK_ENGINE_ADDRESS=r:1"));
	assert_string_equal(c.engine, "restack");
	assert_string_equal(c.restack_engine_address, "r:1");
	assert_string_equal(c.restack_engine_id, "local");
	az_conf_release(&c);
	loads(&c, ENV("RESTACK_TEMPORAL_ADDRESS=r:1"));
	assert_string_equal(c.engine, "restack");
	assert_string_equal(c.restack_engine_id, "local");
	az_conf_release(&c);
	loads(&c,
	    ENV("RESTACK_ENGINE_ADDRESS=r:1", "RESTACK_ENGINE_API_KEY=k", "RESTACK_ENGINE_ID=e-1"));
	assert_string_equal(c.restack_engine_id, "e-1");
	az_conf_release(&c);
	/* what is set decides */
	loads(&c, ENV("AZLON_ENGINE=local", "RESTACK_ENGINE_ADDRESS=r:1"));
	assert_string_equal(c.engine, "local");
	az_conf_release(&c);
}

static void
e2b_cloud_follows_from_its_key(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("E2B_API_KEY=e2b_00"));
	assert_string_equal(c.sandbox, "e2b");
	assert_string_equal(c.e2b_api_url, "https://api.e2b.app");
	assert_null(c.e2b_sandbox_url);
	az_conf_release(&c);
	loads(&c, ENV("E2B_API_KEY=e2b_00", "E2B_DOMAIN=e2b.example.org"));
	assert_string_equal(c.e2b_api_url, "https://api.e2b.example.org");
	az_conf_release(&c);
	loads(&c, ENV("E2B_API_KEY=e2b_00", "E2B_DEBUG=true"));
	assert_string_equal(c.e2b_api_url, "http://localhost:3000");
	assert_string_equal(c.e2b_sandbox_url, "http://localhost:49983");
	az_conf_release(&c);
	loads(&c, ENV("E2B_API_KEY=e2b_00", "E2B_DEBUG=true", "E2B_API_URL=http://h:1",
		      "E2B_SANDBOX_URL=http://h:2"));
	assert_string_equal(c.e2b_api_url, "http://h:1");
	assert_string_equal(c.e2b_sandbox_url, "http://h:2");
	az_conf_release(&c);
	loads(&c, ENV("E2B_API_KEY=e2b_00", "E2B_API_URL=http://10.0.0.1:3000/"));
	assert_string_equal(c.e2b_api_url, "http://10.0.0.1:3000");
	az_conf_release(&c);
	refused(ENV("E2B_API_URL=http://10.0.0.1:3000"), "E2B_API_KEY", NULL);
	refused(ENV("AZLON_SANDBOX=e2b"), "E2B_API_KEY", NULL);
	/* what is set decides */
	loads(&c, ENV("E2B_API_KEY=e2b_00", "AZLON_SANDBOX=local"));
	assert_string_equal(c.sandbox, "local");
	assert_string_equal(c.e2b_api_url, "http://127.0.0.1:8090");
	az_conf_release(&c);
}

static void
models_follow_from_their_variables(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("OPENAI_API_KEY=sk-1"));
	assert_string_equal(c.llm, "openai");
	assert_string_equal(c.openai_base_url, "https://api.openai.com/v1");
	assert_string_equal(c.llm_profile, "openai");
	assert_string_equal(c.model, "gpt-4o");
	az_conf_release(&c);
	loads(&c, ENV("OPENAI_BASE_URL=http://127.0.0.1:11434/v1/"));
	assert_string_equal(c.llm, "openai");
	assert_string_equal(c.openai_base_url, "http://127.0.0.1:11434/v1");
	assert_string_equal(c.llm_profile, "generic");
	assert_null(c.model);
	assert_null(c.openai_api_key);
	az_conf_release(&c);
	loads(&c, ENV("OPENAI_API_KEY=sk-1", "AZLON_LLM=none"));
	assert_string_equal(c.llm, "none");
	assert_null(c.model);
	az_conf_release(&c);
	loads(&c, ENV("OPENAI_API_KEY=sk-1", "ANTHROPIC_API_KEY=k", "AZLON_LLM=openai"));
	assert_string_equal(c.llm, "openai");
	az_conf_release(&c);
	refused(ENV("OPENAI_API_KEY=sk-1", "ANTHROPIC_API_KEY=k"), "AZLON_LLM", "OPENAI_API_KEY");
	refused(ENV("AZLON_LLM=openai"), "OPENAI_API_KEY", NULL);
	refused(ENV("AZLON_LLM=anthropic"), "ANTHROPIC_API_KEY", NULL);
}

static void
half_a_choice_is_refused_by_name(void **state)
{
	(void)state;
	refused(ENV("MINIO_ENDPOINT=m:9000"), "MINIO_ROOT_USER", NULL);
	refused(ENV("MINIO_ENDPOINT=m:9000", "MINIO_ROOT_USER=u"), "MINIO_ROOT_PASSWORD", NULL);
	refused(ENV("MINIO_ROOT_PASSWORD=p"), "MINIO_ENDPOINT", NULL);
	refused(ENV("MINIO_ROOT_USER=p"), "MINIO_ENDPOINT", NULL);
	refused(ENV("AZLON_STORE=s3"), "MINIO_ENDPOINT", NULL);
	refused(ENV("USE_EXTERNAL_MINIO=true"), "MINIO_EXTERNAL_ENDPOINT", NULL);
	refused(ENV("USE_EXTERNAL_MINIO=1", "MINIO_EXTERNAL_ENDPOINT=m:1"), "USE_EXTERNAL_MINIO",
	    "AZLON_STORE");
	refused(ENV("AZLON_ENGINE=restack"), "RESTACK_ENGINE_ADDRESS", NULL);
	refused(ENV("RESTACK_ENGINE_API_KEY=k"), "RESTACK_ENGINE_ADDRESS", NULL);
	refused(ENV("RESTACK_ENGINE_API_KEY=k", "RESTACK_ENGINE_ADDRESS=a:1"), "RESTACK_ENGINE_ID",
	    NULL);
	refused(ENV("AZLON_IDENTITY=firebase"), "FIREBASE_PROJECT_ID", NULL);
}

#define KEYS "MINIO_ROOT_USER=u", "MINIO_ROOT_PASSWORD=p"

static void
s3_follows_from_its_endpoint(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("MINIO_ENDPOINT=minio:9000", KEYS));
	assert_string_equal(c.store, "s3");
	assert_string_equal(c.minio_endpoint, "minio:9000");
	assert_string_equal(c.minio_user, "u");
	assert_string_equal(c.minio_password, "p");
	az_conf_release(&c);
	loads(&c, ENV("MINIO_ENDPOINT=s3.eu-west-1.amazonaws.com", "MINIO_USE_SSL=1", KEYS,
		      "AZLON_S3_REGION=eu-west-1", "AZLON_S3_CA_FILE=/dev/null", "AZLON_S3_STS=off",
		      "USE_EXTERNAL_MINIO=true", "MINIO_EXTERNAL_ENDPOINT=https://s3.example.org/",
		      "AZLON_QUOTA_BYTES=1048576", "AZLON_QUOTA_FILES=100"));
	assert_true(c.minio_ssl);
	assert_true(c.use_external_minio);
	assert_string_equal(c.minio_external, "https://s3.example.org");
	assert_string_equal(c.s3_region, "eu-west-1");
	assert_string_equal(c.s3_ca_file, "/dev/null");
	assert_string_equal(c.s3_sts, "off");
	assert_int_equal(c.quota_bytes, 1048576);
	assert_int_equal(c.quota_files, 100);
	az_conf_release(&c);
	/* what is set decides */
	loads(&c, ENV("AZLON_STORE=dir", "MINIO_ENDPOINT=minio:9000"));
	assert_string_equal(c.store, "dir");
	az_conf_release(&c);
	refused(
	    ENV("MINIO_ENDPOINT=http://m:1", "MINIO_USE_SSL=1", KEYS), "MINIO_USE_SSL", "http://");
	refused(ENV("MINIO_ENDPOINT=m:1", KEYS, "AZLON_S3_CA_FILE=/nonexistent/ca.pem"),
	    "AZLON_S3_CA_FILE", "/nonexistent/ca.pem");
}

static void
an_endpoint_is_a_host_and_perhaps_a_port(void **state)
{
	static const char *const good[] = {"m", "m:1", "10.0.0.1:65535", "http://m",
	    "https://m:9000", "[::1]", "[::1]:9000", "https://[fe80::1]:9000",
	    "min_io-1.example.org", "m:9000/"};
	static const char *const bad[] = {"m:", ":9000", "m:0", "m:65536", "m:9000:1", "m:x",
	    "m:+1", "::1", "[::1", "[::1]9000", "[]", "[::1]:", "http://", "ftp://m", "m/path",
	    "m:1/path", "u:p@m", "u@m", "m;", "m b", "m\"b", "m$b", "{m}", "m?x", "m#x",
	    "http://http://m"};
	char at[64], out[64];
	struct az_conf c;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		snprintf(at, sizeof at, "MINIO_ENDPOINT=%s", good[i]);
		loads(&c, ENV(at, KEYS));
		az_conf_release(&c);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(at, sizeof at, "MINIO_ENDPOINT=%s", bad[i]);
		snprintf(out, sizeof out, "MINIO_EXTERNAL_ENDPOINT=%s", bad[i]);
		refused(ENV(at, KEYS), "MINIO_ENDPOINT", "host:port");
		refused(ENV(out), "MINIO_EXTERNAL_ENDPOINT", "host:port");
	}
}

static void
dev_identity_is_not_for_the_outside(void **state)
{
	(void)state;
	refused(
	    ENV("EXTERNAL_BACKEND_URL=https://azlon.example.org"), "EXTERNAL_BACKEND_URL", "dev");
	refused(ENV("EXTERNAL_BACKEND_URL=https://a.example.org", "AZLON_IDENTITY=dev",
		    "FIREBASE_PROJECT_ID=p"),
	    "EXTERNAL_BACKEND_URL", "dev");
}

static void
firebase_is_chosen_by_its_project(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("FIREBASE_PROJECT_ID=my-project", "EXTERNAL_BACKEND_URL=https://a.example"));
	assert_string_equal(c.identity, "firebase");
	assert_string_equal(c.firebase_project, "my-project");
	assert_string_equal(c.firebase_keys_url,
	    "https://www.googleapis.com/robot/v1/metadata/x509/"
	    "securetoken@system.gserviceaccount.com");
	assert_null(c.firebase_emulator);
	az_conf_release(&c);
	/* what was set decides */
	loads(&c, ENV("FIREBASE_PROJECT_ID=p", "AZLON_IDENTITY=dev"));
	assert_string_equal(c.identity, "dev");
	az_conf_release(&c);
	loads(&c, ENV("AZLON_IDENTITY=keys", "EXTERNAL_BACKEND_URL=https://a.example"));
	assert_string_equal(c.identity, "keys");
	az_conf_release(&c);
	refused(ENV("AZLON_IDENTITY=firebase"), "AZLON_IDENTITY=firebase", "FIREBASE_PROJECT_ID");
	refused(ENV("AZLON_IDENTITY=google"), "AZLON_IDENTITY", "dev|firebase|keys");
	refused(ENV("FIREBASE_PROJECT_ID=\"p\""), "FIREBASE_PROJECT_ID", "not the id");
	refused(ENV("FIREBASE_PROJECT_ID=a/b"), "FIREBASE_PROJECT_ID", "not the id");
}

static void
keys_of_firebase_come_over_https(void **state)
{
	static const char *const good[] = {"https://keys.example/x", "http://127.0.0.1:81/k",
	    "http://localhost/k", "http://localhost:1/k", "http://[::1]:9/k", "http://[::1]"};
	static const char *const bad[] = {"http://keys.example/x", "http://127.evil.example/",
	    "http://localhost:x@evil.example/", "http://localhost.evil.example/", "http://[::2]/",
	    "http://1.2.3.4/", "ftp://localhost/", "http:///k"};
	char at[200];
	struct az_conf c;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		snprintf(at, sizeof at, "AZLON_FIREBASE_KEYS_URL=%s", good[i]);
		loads(&c, ENV("FIREBASE_PROJECT_ID=p", at));
		assert_string_equal(c.firebase_keys_url, good[i]);
		az_conf_release(&c);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(at, sizeof at, "AZLON_FIREBASE_KEYS_URL=%s", bad[i]);
		refused(ENV("FIREBASE_PROJECT_ID=p", at), "AZLON_FIREBASE_KEYS_URL", "http");
	}
}

static void
unsigned_tokens_are_for_demo_projects_on_loopback(void **state)
{
	static const char at[] = "FIREBASE_AUTH_EMULATOR_HOST=127.0.0.1:9099";
	struct az_conf c;

	(void)state;
	loads(&c, ENV(at, "FIREBASE_PROJECT_ID=demo-azlon"));
	assert_string_equal(c.firebase_emulator, "127.0.0.1:9099");
	az_conf_release(&c);
	refused(ENV(at, "FIREBASE_PROJECT_ID=azlon"), "FIREBASE_AUTH_EMULATOR_HOST", "demo-");
	refused(ENV(at), "FIREBASE_AUTH_EMULATOR_HOST", "FIREBASE_PROJECT_ID");
	refused(ENV(at, "FIREBASE_PROJECT_ID=demo-a", "EXTERNAL_BACKEND_URL=https://a.example.org"),
	    "EXTERNAL_BACKEND_URL", "loopback");
}

static void
adapters_not_in_this_build_are_refused(void **state)
{
	static const char *const no = "no such adapter";

	(void)state;
	refused(ENV("ANTHROPIC_API_KEY=k"), "AZLON_LLM", no);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(restack_follows_from_its_address),
	    cmocka_unit_test(e2b_cloud_follows_from_its_key),
	    cmocka_unit_test(models_follow_from_their_variables),
	    cmocka_unit_test(half_a_choice_is_refused_by_name),
	    cmocka_unit_test(s3_follows_from_its_endpoint),
	    cmocka_unit_test(an_endpoint_is_a_host_and_perhaps_a_port),
	    cmocka_unit_test(dev_identity_is_not_for_the_outside),
	    cmocka_unit_test(firebase_is_chosen_by_its_project),
	    cmocka_unit_test(keys_of_firebase_come_over_https),
	    cmocka_unit_test(unsigned_tokens_are_for_demo_projects_on_loopback),
	    cmocka_unit_test(adapters_not_in_this_build_are_refused),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
