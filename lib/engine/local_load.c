/* What the journal has in hand, for who watches it. */
#include <azlon/clock.h>
#include "local.h"

static enum az_code
runs(struct reader *r, const char *type, struct az_engine_load *out, struct az_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sql_step(&r->c, Q_LOAD_RUNS, &st, "s", az_str_c(type));

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		int64_t state = sql_i64(st, 0);

		if (state >= AZ_RUN_OPEN && state <= AZ_RUN_TERMINATED)
			out->runs[state] = sql_i64(st, 1);
	}
	if (st)
		sql_end(st);
	return rc == SQLITE_DONE ? AZ_OK : sql_fail(&r->c, rc, "engine.load", err);
}

static enum az_code
functions(struct reader *r, struct az_engine_load *out, struct az_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sql_step(&r->c, Q_LOAD_TASKS, &st, "i", az_boot_ms());

	if (rc == SQLITE_ROW) {
		out->fn_waiting = sql_i64(st, 0);
		out->fn_later = sql_i64(st, 1);
		out->fn_running = sql_i64(st, 2);
		out->timers = sql_i64(st, 3);
	}
	if (st)
		sql_end(st);
	return rc == SQLITE_ROW ? AZ_OK : sql_fail(&r->c, rc, "engine.load", err);
}

enum az_code
local_load(struct az_engine *eng, const char *type, struct az_engine_load *out, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct reader *r = NULL;
	enum az_code code = reader_take(e, &r, err);

	if (code)
		return code;
	code = runs(r, type, out, err);
	if (!code)
		code = functions(r, out, err);
	reader_give(e, r, code == AZ_EIO);
	return code;
}
