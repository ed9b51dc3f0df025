/* Queries that a worker answers from a run's history, for clients of the engine. */
#include "state.h"

#define OP "flow.query"

static void
text(struct az_jw *w, const char *key, const char *s)
{
	if (s)
		az_jw_kc(w, key, s);
	else
		az_jw_kn(w, key);
}

enum az_code
flow_query(const struct az_history *h, struct az_str name, struct az_arena *a, struct az_buf *out,
    struct az_err *err)
{
	struct az_flow_view v;
	struct az_jw w;
	enum az_code rc;

	if (!az_str_eqc(name, FLOW_QUERIES))
		return az_fail(err, AZ_ENOTFOUND, OP, "no such query");
	if ((rc = az_flow_view(h, a, &v, err)) != AZ_OK)
		return rc;
	az_jw_init(&w, out);
	az_jw_obj(&w);
	text(&w, "status", v.status);
	text(&w, "phase", v.phase);
	text(&w, "reason", v.reason);
	if (v.result < 0)
		az_jw_kn(&w, "result");
	else
		az_jw_kb(&w, "result", v.result > 0);
	az_jw_ki(&w, "iteration", v.iteration);
	az_jw_ki(&w, "max_iterations", v.max_iterations);
	az_jw_ki(&w, "percent", v.percent);
	az_jw_ki(&w, "best_iteration", v.best_iteration);
	az_jw_ki(&w, "last_event", v.last_event);
	az_jw_end(&w, '}');
	return az_buf_check(out, OP, err);
}
