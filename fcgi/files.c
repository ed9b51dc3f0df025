/*
 * files: list, read, upload and remove the files of runs and input sets. --role archive
 * makes zip and tar.gz while they are sent, on a socket of its own.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <azlon/api.h>
#include <azlon/conf.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include <azlon/log.h>

/* twice the archives made at once: who comes too late is told so, not queued */
enum { EX_CONFIG_ = 78, PATH_BYTES = 4096, ARCHIVE_THREADS = 32 };

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

/* -1: a role we do not know. */
static int
archives(int argc, char **argv)
{
	int archive = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--role") != 0)
			continue;
		if (++i == argc || strcmp(argv[i], "archive") != 0)
			return -1;
		archive = 1;
	}
	return archive;
}

static enum az_code
open_all(const struct az_conf *c, struct az_api *api, struct az_err *err)
{
	char dir[PATH_BYTES];
	enum az_code rc;

	if ((rc = az_secret_load(c->secret_file, api->secret, err)) != AZ_OK ||
	    (rc = az_auth_open(&(struct az_auth_opts){.identity = c->identity,
				   .external_url = c->external_backend_url},
		 &api->auth, err)) != AZ_OK)
		return rc;
	snprintf(dir, sizeof dir, "%s/journal", c->var);
	if ((rc = az_engine_local_open(
		 &(struct az_engine_local_opts){.dir = dir}, &api->engine, err)) != AZ_OK)
		return rc;
	snprintf(dir, sizeof dir, "%s/store", c->var);
	api->upload_bytes = c->upload_bytes;
	return az_store_dir_open(dir, &api->store, err);
}

int
main(int argc, char **argv)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_api api;
	struct az_conf c;
	int status = az_conf_main(argc, argv, "files of runs, in and out", &c);
	int archive = archives(argc, argv), threads;
	enum az_code rc;

	if (status >= 0)
		return status;
	memset(&api, 0, sizeof api);
	status = EX_CONFIG_;
	az_log_open(archive > 0 ? "files-archive" : "files", c.log, level_of(c.log_level));
	if (archive < 0) {
		fprintf(stderr, "files: --role knows only archive\n");
		goto out;
	}
	if (open_all(&c, &api, &err) != AZ_OK) {
		az_log(AZ_ERROR, "files.start", AZ_KE(&err));
		fprintf(stderr, "files: %s\n", err.text);
		goto out;
	}
	az_log(AZ_INFO, "files.start", AZ_KC("role", archive ? "archive" : "default"),
	    AZ_KC("engine", c.engine), AZ_KC("store", c.store), AZ_KC("identity", c.identity),
	    AZ_KC("var", c.var));
	threads = archive && c.threads > ARCHIVE_THREADS ? ARCHIVE_THREADS : (int)c.threads;
	rc = az_web_run(
	    &(struct az_web){.routes = archive ? az_api_archive_routes : az_api_file_routes,
		.app = &api,
		.threads = threads,
		.arena_bytes = AZ_MIB(64)},
	    &err);
	if (rc == AZ_ETIMEOUT) { /* a thread still uses what would be closed */
		az_log(AZ_WARN, "files.end", AZ_KE(&err));
		_exit(1);
	}
	status = rc == AZ_OK ? 0 : 1;
	if (rc != AZ_OK)
		az_log(AZ_ERROR, "files.end", AZ_KE(&err));
out:
	az_store_close(api.store);
	az_engine_close(api.engine);
	az_auth_close(api.auth);
	az_wipe(api.secret, sizeof api.secret);
	az_conf_release(&c);
	return status;
}
