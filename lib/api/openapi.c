/* GET /run_workflow/openapi.json: the contract, as it was when this was built. */
#include "run.h"
#include "send.h"
#include "openapi.json.h" /* made of openapi.json: its bytes, and a tag of them */

enum az_code
run_openapi(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str none_match = az_rq_header(rq, "If-None-Match");

	(void)app;
	az_rs_header(rq, "ETag", AZ_S(OPENAPI_ETAG));
	/* it changes with the program only, but then at once */
	az_rs_header(rq, "Cache-Control", AZ_S("public, max-age=300"));
	if (none_match.p && send_tag_listed(none_match, AZ_S(OPENAPI_ETAG), false)) {
		az_rs_status(rq, 304);
		return AZ_OK;
	}
	return az_rs_json(rq, 200, az_str_n((const char *)openapi, sizeof openapi), err);
}
