/* Events as rows. Each carries a checksum, since SQLite's pages have none. */
#include "local.h"

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

static uint64_t
mix_str(uint64_t h, struct az_str s)
{
	uint64_t v;

	h = mix(h, s.n);
	for (; s.n >= 8; s.p += 8, s.n -= 8) {
		memcpy(&v, s.p, 8);
		h = mix(h, v);
	}
	v = 0;
	if (s.n)
		memcpy(&v, s.p, s.n);
	return mix(h, v);
}

static int64_t
sum_of(int64_t run, const struct az_event *ev)
{
	uint64_t h = mix(0x415a4c4au, (uint64_t)run);

	h = mix(h, (uint64_t)ev->id);
	h = mix(h, (uint64_t)ev->type);
	h = mix(h, (uint64_t)ev->ref);
	h = mix(h, (uint64_t)ev->attempt);
	h = mix(h, (uint64_t)ev->t_ms);
	h = mix_str(h, ev->name);
	h = mix_str(h, ev->payload);
	h = mix_str(h, ev->reason);
	h = mix_str(h, ev->message);
	return (int64_t)(h >> 1);
}

enum az_code
event_add(struct conn *c, int64_t run, const struct az_event *ev, struct az_err *err)
{
	int rc = sql_do(c, Q_EVENT_ADD, "iisiiissssi", run, ev->id, az_str_c(az_ev_name(ev->type)),
	    ev->ref, (int64_t)ev->attempt, ev->t_ms, ev->name, ev->payload, ev->reason, ev->message,
	    sum_of(run, ev));

	return rc == SQLITE_DONE ? AZ_OK : sql_fail(c, rc, "engine.append", err);
}

static bool
keep(sqlite3_stmt *st, int col, struct az_arena *a, struct az_str *out)
{
	struct az_str s = sql_str(st, col);

	*out = AZ_S("");
	if (s.n)
		*out = az_arena_str(a, s);
	return out->p != NULL;
}

enum az_code
event_read(
    sqlite3_stmt *st, int64_t run, struct az_arena *a, struct az_event *ev, struct az_err *err)
{
	ev->id = sql_i64(st, 0);
	ev->type = az_ev_by_name(sql_str(st, 1));
	ev->ref = sql_i64(st, 2);
	ev->attempt = (int)sql_i64(st, 3);
	ev->t_ms = sql_i64(st, 4);
	if (!keep(st, 5, a, &ev->name) || !keep(st, 6, a, &ev->payload) ||
	    !keep(st, 7, a, &ev->reason) || !keep(st, 8, a, &ev->message))
		return az_fail(err, AZ_ENOMEM, "engine.history", "out of memory");
	if (!ev->type || sql_i64(st, 9) != sum_of(run, ev)) {
		az_fail(err, AZ_EIO, "engine.history", "event %lld fails its checksum",
		    (long long)ev->id);
		az_err_reason(err, "journal_damaged");
		return AZ_EIO;
	}
	return AZ_OK;
}
