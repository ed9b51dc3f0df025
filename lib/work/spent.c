/* The result of a function that has none: see spent.h. */
#include "spent.h"

void
spent_write(enum az_code rc, const struct model_use *use, int64_t sandbox_ms, struct az_buf *result)
{
	struct az_jw w;

	if (rc == AZ_OK)
		return;
	az_buf_reset(result);
	az_jw_init(&w, result);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ki(&w, "calls", use ? use->calls : 0);
	az_jw_ki(&w, "tokens_in", use ? use->tokens_in : 0);
	az_jw_ki(&w, "tokens_out", use ? use->tokens_out : 0);
	/* where it failed that is no doing of the user's */
	az_jw_ki(&w, "sandbox_ms", rc == AZ_ECANCELLED ? sandbox_ms : 0);
	az_jw_end(&w, '}');
}
