/* The route tables of files. The first pattern that fits decides, so the fixed names
   stand before {id}. */
#include <azlon/log.h>
#include "files.h"

enum az_code
files_live(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	return az_rs_json(rq, 200, AZ_S("{\"status\":\"ok\"}"), err);
}

enum az_code
files_ready(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_err store = AZ_ERR_INIT, engine = AZ_ERR_INIT;
	bool s = az_store_ping(api->store, &store) == AZ_OK;
	bool e = az_engine_ping(api->engine, &engine) == AZ_OK;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	if (!s)
		az_log(AZ_WARN, "api.dependency", AZ_KC("part", "store"), AZ_KE(&store));
	if (!e)
		az_log(AZ_WARN, "api.dependency", AZ_KC("part", "engine"), AZ_KE(&engine));
	az_buf_init(&b, 1024);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "status", s && e ? "ok" : "unavailable");
	az_jw_key(&w, "parts");
	az_jw_obj(&w);
	az_jw_kc(&w, "store", s ? "ok" : "down");
	az_jw_kc(&w, "engine", e ? "ok" : "down");
	az_jw_end(&w, '}');
	az_jw_end(&w, '}');
	if (!s || !e)
		az_rs_header(rq, "Retry-After", AZ_S("2"));
	rc = az_buf_check(&b, "api.health", err);
	if (!rc)
		rc = az_rs_json(rq, s && e ? 200 : 503, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

#define HEALTH                                                                                     \
	{"GET", "/files/health/live", files_live},                                                 \
	{                                                                                          \
		"GET", "/files/health/ready", files_ready                                          \
	}

const struct az_route az_api_file_routes[] = {
    HEALTH,
    {"POST", "/files/inputs", files_post_inputs},
    {"GET", "/files/inputs/{set}", files_get_set},
    {"DELETE", "/files/inputs/{set}", files_remove_set},
    {"PUT", "/files/inputs/{set}/{path*}", files_put_input},
    {"GET", "/files/inputs/{set}/{path*}", files_get_input},
    {"DELETE", "/files/inputs/{set}/{path*}", files_remove_input},
    {"POST", "/files/inputs/{set}/{path*}", files_post_input_link},
    {"DELETE", "/files", files_remove_all},
    {"GET", "/files/{id}", files_list},
    {"DELETE", "/files/{id}", files_remove},
    {"GET", "/files/{id}/{path*}", files_get},
    {"DELETE", "/files/{id}/{path*}", files_remove_one},
    {"POST", "/files/{id}/{path*}", files_post_link},
    {NULL, NULL, NULL},
};

const struct az_route az_api_archive_routes[] = {
    HEALTH,
    {"GET", "/files/{id}", files_archive},
    {"GET", "/files/{id}/{path*}", files_archive},
    {NULL, NULL, NULL},
};
