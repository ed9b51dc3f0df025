/* What the environment gives: values, read and checked one by one, and what is printed of them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/limits.h>

#include "conf_fixture.h"

static void
nothing_set_gives_the_embedded_defaults(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, (const char *const[]){"PATH=/bin", NULL});
	assert_string_equal(c.engine, "local");
	assert_string_equal(c.store, "dir");
	assert_string_equal(c.sandbox, "local");
	assert_string_equal(c.llm, "none");
	assert_string_equal(c.identity, "dev");
	assert_string_equal(c.var, "var");
	assert_int_equal(c.port, 8000);
	assert_int_equal(c.tls_port, 8444);
	assert_int_equal(c.local_port, 8090);
	assert_string_equal(c.url, "http://localhost:8000");
	assert_string_equal(c.secret_file, "var/secret/azlon.secret");
	assert_int_equal(c.threads, 64);
	assert_int_equal(c.worker_slots, 8);
	assert_int_equal(c.sync_wait_s, 3600);
	assert_int_equal(c.upload_bytes, AZ_LIM_UPLOAD_BYTES);
	assert_int_equal(AZ_MIB(c.box_memory_mb), AZ_LIM_BOX_MEMORY_BYTES);
	assert_int_equal(c.box_pids, AZ_LIM_BOX_PIDS);
	assert_int_equal(AZ_MIB(c.box_disk_mb), AZ_LIM_BOX_DISK_BYTES);
	assert_int_equal(c.box_cpus_pct, 100);
	assert_int_equal(c.box_max, 32);
	assert_string_equal(c.log, "stderr");
	assert_string_equal(c.log_level, "info");
	assert_string_equal(c.bwrap, "/usr/bin/bwrap");
	assert_string_equal(c.recordings, "tests/recordings");
	assert_non_null(strstr(c.agent, "/../libexec/sandbox-agent"));
	assert_string_equal(c.e2b_api_url, "http://127.0.0.1:8090");
	assert_string_equal(c.e2b_sandbox_url, "http://127.0.0.1:8090");
	assert_null(c.model);
	assert_null(c.e2b_template_id);
	assert_false(c.minio_ssl);
	assert_null(c.s3_region);
	assert_null(c.s3_ca_file);
	assert_string_equal(c.s3_sts, "auto");
	assert_int_equal(c.quota_bytes, 0);
	assert_int_equal(c.quota_files, 0);
	assert_non_null(strstr(c.cors_origins, "http://localhost:5173"));
	az_conf_release(&c);
}

static void
values_are_read_and_checked(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("AZLON_PORT= 9000 ", "AZLON_LOCAL_PORT=9090", "AZLON_THREADS=1",
		      "AZLON_MODEL=recording/weather", "AZLON_LOG=syslog", "MINIO_USE_SSL=TRUE"));
	assert_int_equal(c.port, 9000);
	assert_string_equal(c.url, "http://localhost:9000");
	assert_string_equal(c.e2b_api_url, "http://127.0.0.1:9090");
	assert_string_equal(c.model, "recording/weather");
	assert_string_equal(c.log, "syslog");
	assert_string_equal(c.secret_file, "/nonexistent/secret/azlon.secret");
	assert_true(c.minio_ssl);
	az_conf_release(&c);
	refused(ENV("AZLON_PORT=0"), "AZLON_PORT", "65535");
	refused(ENV("AZLON_PORT=65536"), "AZLON_PORT", NULL);
	refused(ENV("AZLON_PORT=80x"), "AZLON_PORT", NULL);
	refused(ENV("AZLON_PORT=99999999999999999999"), "AZLON_PORT", NULL);
	refused(ENV("AZLON_LOG_LEVEL=loud"), "AZLON_LOG_LEVEL", "debug|info");
	refused(ENV("AZLON_LOG_LEVEL=info|warn"), "AZLON_LOG_LEVEL", NULL);
	refused(ENV("MINIO_USE_SSL=maybe"), "MINIO_USE_SSL", "true or false");
	refused(ENV("AZLON_QUOTA_BYTES=-1"), "AZLON_QUOTA_BYTES", NULL);
	refused(ENV("AZLON_QUOTA_FILES=many"), "AZLON_QUOTA_FILES", NULL);
	refused(ENV("AZLON_USER_CREATES=-1"), "AZLON_USER_CREATES", NULL);
	refused(ENV("AZLON_RATE=0"), "AZLON_RATE", NULL);
	refused(ENV("AZLON_USER_RUNS=501"), "AZLON_USER_RUNS", NULL);
	refused(ENV("AZLON_USER_TOKENS=-1"), "AZLON_USER_TOKENS", NULL);
	refused(ENV("AZLON_S3_STS=on"), "AZLON_S3_STS", "auto|off");
	refused(ENV("AZLON_MODEL=a\nb"), "AZLON_MODEL", "control");
	refused(ENV("AZLON_MODEL=\xff"), "AZLON_MODEL", NULL);
	refused(ENV("OPENAI_BASE_URL=localhost:11434/v1"), "OPENAI_BASE_URL", "http://");
	refused(ENV("AZLON_ENGINE=temporal"), "AZLON_ENGINE", "local|restack");
}

static void
blank_counts_as_unset(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("AZLON_PORT=", "E2B_API_KEY= ", "AZLON_LLM=", "MINIO_ENDPOINT=",
		      "OPENAI_API_KEY="));
	assert_int_equal(c.port, 8000);
	assert_string_equal(c.sandbox, "local");
	assert_string_equal(c.llm, "none");
	assert_null(c.openai_api_key);
	az_conf_release(&c);
	/* the original's compose file says None; a value that only starts so is a key */
	loads(&c, ENV("RESTACK_ENGINE_API_KEY=None"));
	assert_null(c.restack_api_key);
	assert_string_equal(c.engine, "local");
	az_conf_release(&c);
	refused(ENV("RESTACK_ENGINE_API_KEY=None1"), "RESTACK_ENGINE_ADDRESS", NULL);
}

static void
origins_are_what_a_browser_says(void **state)
{
	static const char *const good[] = {"AZLON_CORS_ORIGINS=https://app.example.org",
	    "AZLON_CORS_ORIGINS=http://localhost:3000, https://a-b.example:8443,http://[::1]:8080,",
	    "AZLON_CORS_ORIGINS=http://h:443,https://h:80"};
	static const char *const bad[] = {"AZLON_CORS_ORIGINS=https://app.example.org/",
	    "AZLON_CORS_ORIGINS=https://app.example.org/page", "AZLON_CORS_ORIGINS=*",
	    "AZLON_CORS_ORIGINS=https://*.example.org", "AZLON_CORS_ORIGINS=app.example.org",
	    "AZLON_CORS_ORIGINS=https://App.example.org", "AZLON_CORS_ORIGINS=HTTPS://a.example",
	    "AZLON_CORS_ORIGINS=https://a.example:443", "AZLON_CORS_ORIGINS=http://a.example:80",
	    "AZLON_CORS_ORIGINS=https://a.example https://b.example",
	    "AZLON_CORS_ORIGINS=https://a.example,null", "AZLON_CORS_ORIGINS=https://",
	    "AZLON_CORS_ORIGINS=https://a.example?x", "AZLON_CORS_ORIGINS=https://u@a.example",
	    "AZLON_CORS_ORIGINS=https://a.example:0", "AZLON_CORS_ORIGINS=ftp://a.example",
	    "AZLON_CORS_ORIGINS=https://a\\E.example\";"};
	struct az_conf c;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		loads(&c, ENV(good[i]));
		az_conf_release(&c);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(ENV(bad[i]), "AZLON_CORS_ORIGINS", "http(s)://host[:port]");
}

/* What an address means is the engine's to say; here it is text. */
static void
restack_settings_are_read(void **state)
{
	struct az_conf c;

	(void)state;
	loads(&c, ENV("PATH=/bin"));
	assert_string_equal(c.restack_ns, "default");
	assert_string_equal(c.restack_queue, "restack");
	assert_false(c.restack_tls);
	assert_true(c.restack_endpoints);
	assert_null(c.restack_ca_file);
	assert_null(c.restack_codec_address);
	az_conf_release(&c);
	loads(&c,
	    ENV("AZLON_ENGINE=local", "AZLON_RESTACK_NAMESPACE=prod", "AZLON_RESTACK_QUEUE=jobs",
		"AZLON_RESTACK_TLS=on", "AZLON_RESTACK_CA_FILE=/etc/ca.pem",
		"AZLON_RESTACK_CODEC_ADDRESS=blobs:1", "AZLON_RESTACK_ENDPOINTS=no",
		"RESTACK_ENGINE_API_ADDRESS=restack:6233", "RESTACK_TEMPORAL_ADDRESS=restack"));
	assert_string_equal(c.engine, "local");
	assert_string_equal(c.restack_ns, "prod");
	assert_string_equal(c.restack_queue, "jobs");
	assert_string_equal(c.restack_ca_file, "/etc/ca.pem");
	assert_string_equal(c.restack_codec_address, "blobs:1");
	assert_string_equal(c.restack_api_address, "restack:6233");
	assert_string_equal(c.restack_temporal_address, "restack");
	assert_true(c.restack_tls);
	assert_false(c.restack_endpoints);
	az_conf_release(&c);
	refused(ENV("AZLON_RESTACK_TLS=https"), "AZLON_RESTACK_TLS", "true or false");
}

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
secrets_come_from_files(void **state)
{
	char dir[] = "/tmp/azlon-test-XXXXXX", path[64], key[64], var[64], s[64];
	struct az_conf c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/key", dir);
	snprintf(key, sizeof key, "OPENAI_API_KEY_FILE=%s/key", dir);
	put(path, "sk-from-file\n");
	loads(&c, ENV(key));
	assert_string_equal(c.openai_api_key, "sk-from-file");
	assert_string_equal(c.llm, "openai");
	az_conf_release(&c);
	refused(ENV(key, "OPENAI_API_KEY=sk-2"), "OPENAI_API_KEY_FILE", "both");
	put(path, "\n");
	refused(ENV(key), "OPENAI_API_KEY_FILE", "empty");
	unlink(path);
	refused(ENV(key), "OPENAI_API_KEY_FILE", NULL);
	snprintf(key, sizeof key, "MINIO_ROOT_PASSWORD_FILE=%s/key", dir);
	put(path, "minio-from-file\n");
	loads(&c, ENV(key, "MINIO_ENDPOINT=m:1", "MINIO_ROOT_USER=u"));
	assert_string_equal(c.minio_password, "minio-from-file");
	az_conf_release(&c);
	unlink(path);
	/* only secrets: this is not the file of a port */
	loads(&c, ENV("AZLON_PORT_FILE=/nonexistent"));
	az_conf_release(&c);

	/* the stand-ins' keys, where make start leaves them */
	snprintf(var, sizeof var, "AZLON_VAR=%s", dir);
	snprintf(s, sizeof s, "%s/secret", dir);
	assert_int_equal(mkdir(s, 0700), 0);
	loads(&c, (const char *const[]){var, NULL});
	assert_null(c.e2b_api_key);
	assert_null(c.replay_key);
	az_conf_release(&c);
	snprintf(path, sizeof path, "%s/secret/e2b.key", dir);
	put(path, "e2b_abc\n");
	snprintf(s, sizeof s, "%s/secret/replay.key", dir);
	put(s, "r1");
	loads(&c, (const char *const[]){var, NULL});
	assert_string_equal(c.e2b_api_key, "e2b_abc");
	assert_string_equal(c.replay_key, "r1");
	az_conf_release(&c);
	/* the cloud's key is not replaced by the stand-in's */
	loads(&c, (const char *const[]){var, "E2B_API_KEY=e2b_cloud", NULL});
	assert_string_equal(c.e2b_api_key, "e2b_cloud");
	az_conf_release(&c);
	unlink(path);
	unlink(s);
	*strrchr(s, '/') = 0;
	rmdir(s);
	assert_int_equal(rmdir(dir), 0);
}

static void
print_masks_secrets(void **state)
{
	struct az_conf c;
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(64));
	loads(&c, ENV("OPENAI_API_KEY=sk-very-secret", "AZLON_PORT=81"));
	az_conf_print(&c, &b);
	assert_null(strstr(b.p, "sk-very-secret"));
	assert_non_null(strstr(b.p, "OPENAI_API_KEY=***\n"));
	assert_non_null(strstr(b.p, "AZLON_PORT=81\n"));
	assert_non_null(strstr(b.p, "AZLON_LLM=openai\n"));
	assert_non_null(strstr(b.p, "ANTHROPIC_API_KEY=\n"));
	az_conf_release(&c);
	az_buf_release(&b);
}

/* Every variable of the documented list, and what an example file sets is accepted. */
static void
generated_texts_name_every_variable(void **state)
{
	static const char *const names[] = {"E2B_API_KEY", "MINIO_ENDPOINT", "MINIO_ROOT_USER",
	    "MINIO_ROOT_PASSWORD", "MINIO_USE_SSL", "USE_EXTERNAL_MINIO", "MINIO_EXTERNAL_ENDPOINT",
	    "EXTERNAL_BACKEND_URL", "RESTACK_ENGINE_ID", "RESTACK_ENGINE_ADDRESS",
	    "RESTACK_ENGINE_API_KEY", "RESTACK_ENGINE_API_ADDRESS", "RESTACK_TEMPORAL_ADDRESS",
	    "OPENAI_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL", "E2B_DOMAIN", "E2B_DEBUG",
	    "E2B_TEMPLATE_ID", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "FIREBASE_PROJECT_ID",
	    "AZLON_ENGINE", "AZLON_STORE", "AZLON_SANDBOX", "AZLON_LLM", "AZLON_IDENTITY",
	    "AZLON_VAR", "AZLON_PORT", "AZLON_TLS_PORT", "AZLON_LOCAL_PORT", "AZLON_SECRET_FILE",
	    "AZLON_SYNC_WAIT_S", "AZLON_CORS_ORIGINS", "AZLON_MODEL", "AZLON_THREADS", "AZLON_URL",
	    "AZLON_RESTACK_NAMESPACE", "AZLON_RESTACK_QUEUE", "AZLON_RESTACK_TLS",
	    "AZLON_RESTACK_CA_FILE", "AZLON_RESTACK_CODEC_ADDRESS", "AZLON_RESTACK_ENDPOINTS",
	    "AZLON_S3_REGION", "AZLON_S3_CA_FILE", "AZLON_S3_STS", "AZLON_QUOTA_BYTES",
	    "AZLON_QUOTA_FILES", "AZLON_RATE", "AZLON_BURST", "AZLON_CONNS", "AZLON_STREAMS",
	    "AZLON_UPLOADS", "AZLON_USER_READS", "AZLON_USER_WRITES", "AZLON_USER_CREATES",
	    "AZLON_USER_RUNS", "AZLON_USER_ITERATIONS", "AZLON_USER_TOKENS", "AZLON_USER_WALL_S",
	    "AZLON_USER_SANDBOX_S", "AZLON_WEBHOOK_LOCAL", "AZLON_FIREBASE_KEYS_URL",
	    "FIREBASE_AUTH_EMULATOR_HOST"};
	const char *env[128] = {0};
	struct az_buf ex, man;
	struct az_conf c;
	char want[64];
	size_t n = 0;

	(void)state;
	az_buf_init(&ex, AZ_KIB(64));
	az_buf_init(&man, AZ_KIB(64));
	az_conf_example(&ex);
	az_conf_man(&man);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(want, sizeof want, "\n#%s=", names[i]);
		if (!strstr(ex.p, want))
			fail_msg("the example lacks %s", names[i]);
		snprintf(want, sizeof want, ".TP\n.B %s\n", names[i]);
		if (!strstr(man.p, want))
			fail_msg("the man page lacks %s", names[i]);
	}
	for (char *line = strtok(ex.p, "\n"); line; line = strtok(NULL, "\n"))
		if (line[0] == '#' && line[1] != ' ' && strchr(line, '=') && n < 127)
			env[n++] = line + 1;
	assert_true(n > 40);
	loads(&c, env);
	assert_string_equal(c.var, "var");
	az_conf_release(&c);
	az_buf_release(&ex);
	az_buf_release(&man);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(nothing_set_gives_the_embedded_defaults),
	    cmocka_unit_test(values_are_read_and_checked),
	    cmocka_unit_test(blank_counts_as_unset),
	    cmocka_unit_test(origins_are_what_a_browser_says),
	    cmocka_unit_test(restack_settings_are_read),
	    cmocka_unit_test(secrets_come_from_files),
	    cmocka_unit_test(print_masks_secrets),
	    cmocka_unit_test(generated_texts_name_every_variable),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
