/* The route tables of files. The first pattern that fits decides, so the fixed names
   stand before {id}. */
#include "files.h"

enum az_code
files_live(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	return az_rs_json(rq, 200, AZ_S("{\"status\":\"ok\"}"), err);
}

#define HEALTH                                                                                     \
	{"GET", "/files/health/live", files_live},                                                 \
	{                                                                                          \
		"GET", "/files/health/ready", files_ready                                          \
	}

const struct az_route az_api_file_routes[] = {
    HEALTH,
    {"POST", "/_may_upload", files_may_upload},
    {"PUT", "/_may_upload", files_may_upload},
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
