/* SQLite: every statement of the local engine stands in this one table. */
#include <stdarg.h>
#include <stdlib.h>
#include "local.h"

#define TASK_OPTS                                                                                  \
	"start_to_close, heartbeat_ms, retry_initial, retry_max, "                                 \
	"retry_coefficient, retry_attempts"
#define LIST_HEAD                                                                                  \
	"SELECT r.id, r.uid, r.type, r.memo, r.state, r.start_ms, "                                \
	"r.close_ms, r.last_event, e.payload FROM runs r LEFT JOIN events e "                      \
	"ON r.state <> 1 AND e.run = r.n AND e.seq = r.last_event "                                \
	"WHERE r.uid = ?1 AND (r.start_ms, r.id) < (?2, ?3) AND (?5 = '' OR r.type = ?5) "
#define LIST_TAIL "ORDER BY r.start_ms DESC, r.id DESC LIMIT ?4"
#define CLAMP(x) "?1 + max(0, min(" x " - ?2, 31622400000))"

static const char *const text[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",

    [Q_RUN_ADD] = "INSERT INTO runs(id, uid, type, memo, state, start_ms, "
		  "close_ms, version, last_event, need_fold) "
		  "VALUES(?1, ?2, ?3, ?4, 1, ?5, 0, 1, 1, 1) ON CONFLICT DO NOTHING",
    [Q_RUN_GET] = "SELECT r.n, r.uid, r.type, r.memo, r.state, r.start_ms, "
		  "r.close_ms, r.version, r.last_event, e.payload FROM runs r "
		  "LEFT JOIN events e ON r.state <> 1 AND e.run = r.n AND "
		  "e.seq = r.last_event WHERE r.id = ?1",
    [Q_RUN_HEAD] = "SELECT n, state, last_event, start_ms, type "
		   "FROM runs WHERE id = ?1",
    [Q_RUN_PUT] = "UPDATE runs SET state = ?2, close_ms = ?3, "
		  "last_event = ?4, need_fold = ?5, version = version + 1 "
		  "WHERE n = ?1",
    [Q_RUN_RENEW] = "UPDATE runs SET state = 1, start_ms = ?2, close_ms = 0, "
		    "last_event = 1, need_fold = 1, version = version + 1 WHERE n = ?1",
    [Q_RUN_OWNER] = "UPDATE runs SET uid = ?2, type = ?3, memo = ?4 WHERE n = ?1",
    [Q_RUN_TOUCH] = "UPDATE runs SET version = version + 1 WHERE n = ?1",
    [Q_RUN_DEL] = "DELETE FROM runs WHERE n = ?1",

    [Q_EVENT_ADD] = "INSERT INTO events(run, seq, type, ref, attempt, t, "
		    "name, payload, reason, message, sum) "
		    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [Q_EVENTS] = "SELECT seq, type, ref, attempt, t, name, payload, "
		 "reason, message, sum FROM events WHERE run = ?1 AND seq > ?2 "
		 "ORDER BY seq LIMIT ?3",
    [Q_EVENTS_DEL] = "DELETE FROM events WHERE run = ?1",
    [Q_LAST_CANCEL] = "SELECT payload FROM events WHERE run = ?1 AND "
		      "type = 'cancel_requested' ORDER BY seq DESC LIMIT 1",

    [Q_LIST] = LIST_HEAD LIST_TAIL,
    [Q_LIST_STATE] = LIST_HEAD "AND r.state = ?6 " LIST_TAIL,
    [Q_LIST_OPEN] = LIST_HEAD "AND r.state = 1 " LIST_TAIL,
    [Q_LIST_SIZE] = "SELECT count(*) FROM runs WHERE uid = ?1 AND (?2 = 0 OR state = ?2) "
		    "AND (?3 = '' OR type = ?3)",
    [Q_LOAD_RUNS] = "SELECT state, count(*) FROM runs WHERE type = ?1 GROUP BY state",
    [Q_LOAD_TASKS] = "SELECT count(*) FILTER (WHERE owner = 0 AND due <= ?1), "
		     "count(*) FILTER (WHERE owner = 0 AND due > ?1), "
		     "count(*) FILTER (WHERE owner <> 0), "
		     "(SELECT count(*) FROM timers) FROM tasks",

    [Q_DIRTY] = "SELECT n, id, type FROM runs INDEXED BY runs_fold "
		"WHERE need_fold = 1 AND n > ?1 ORDER BY n LIMIT 32",

    [Q_TASK_ADD] = "INSERT INTO tasks(run, ref, name, attempt, lost, "
		   "deaths, due, due_wall, dead, dead_wall, cancel, owner, token, "
		   "slot, " TASK_OPTS ", last_reason, last_message, hb) "
		   "VALUES(?1, ?2, ?3, 1, 0, 0, ?4, ?5, ?6, ?7, 0, 0, 0, -1, ?8, ?9, "
		   "?10, ?11, ?12, ?13, '', '', '')",
    [Q_TASK_TAKE] = "DELETE FROM tasks WHERE run = ?1 AND ref = ?2 AND "
		    "attempt = ?3 AND owner <> 0 AND token = ?4",
    [Q_TASK_DROP_FREE] = "DELETE FROM tasks WHERE run = ?1 AND ref = ?2 "
			 "AND attempt = ?3 AND owner = 0 AND dead <= ?4",
    [Q_TASK_DROP_IDLE] = "DELETE FROM tasks WHERE run = ?1 AND ref = ?2 "
			 "AND owner = 0",
    [Q_TASK_CANCEL] = "UPDATE tasks SET cancel = 1 "
		      "WHERE run = ?1 AND ref = ?2",
    [Q_TASK_RETRY] = "UPDATE tasks SET attempt = attempt + 1, "
		     "lost = lost + ?4, deaths = deaths + ?5, due = ?6, due_wall = ?7, "
		     "owner = 0, token = 0, slot = -1, last_reason = ?8, "
		     "last_message = ?9, hb = ?10 "
		     "WHERE run = ?1 AND ref = ?2 AND owner <> 0 AND token = ?3",
    [Q_TASK_GET] = "SELECT r.n, t.token, t.cancel, t.attempt, t.lost "
		   "FROM runs r JOIN tasks t ON t.run = r.n AND t.ref = ?2 "
		   "WHERE r.id = ?1",
    [Q_TASKS_OF] = "SELECT name, attempt, owner, due_wall, "
		   "last_reason, last_message, slot, token, hb FROM tasks "
		   "WHERE run = ?1 ORDER BY ref LIMIT 4",
    [Q_TASKS_DEL] = "DELETE FROM tasks WHERE run = ?1",
    [Q_TASKS_DUE] = "SELECT t.name, t.run, t.ref, t.attempt, t.lost, "
		    "t.dead, t.hb, " TASK_OPTS ", r.id, r.uid, e.payload "
		    "FROM tasks t CROSS JOIN runs r CROSS JOIN events e "
		    "WHERE t.owner = 0 AND t.due <= ?1 AND r.n = t.run AND "
		    "e.run = t.run AND e.seq = t.ref ORDER BY t.due",
    [Q_TASK_CLAIM] = "UPDATE tasks SET owner = ?3, token = ?4, slot = ?5 "
		     "WHERE run = ?1 AND ref = ?2 AND owner = 0",
    [Q_TASK_FREE] = "SELECT name FROM tasks "
		    "WHERE owner = 0 AND due <= ?1 ORDER BY due",
    [Q_TASKS_OWNED] = "SELECT r.id, t.run, t.ref, t.token, t.slot, t.cancel, "
		      "t.deaths, t.attempt, t.lost, t.name FROM tasks t "
		      "JOIN runs r ON r.n = t.run WHERE t.owner = ?1 AND t.owner <> 0 "
		      "LIMIT 16",
    [Q_TASKS_LATE] = "SELECT r.id, t.ref, t.attempt, t.lost "
		     "FROM tasks t CROSS JOIN runs r WHERE t.owner = 0 AND "
		     "t.dead <= ?1 AND r.n = t.run ORDER BY t.dead LIMIT 32",
    [Q_TASK_NEXT] = "SELECT "
		    "(SELECT min(due) FROM tasks WHERE owner = 0 AND due > ?1), "
		    "(SELECT min(dead) FROM tasks WHERE owner = 0 AND dead > ?1), "
		    "(SELECT min(due) FROM timers WHERE due > ?1)",
    [Q_OWNERS] = "SELECT DISTINCT owner FROM tasks WHERE owner <> 0",
    [Q_SLOTS] = "SELECT slot FROM tasks WHERE owner <> 0",

    [Q_TIMER_ADD] = "INSERT INTO timers(run, ref, due, due_wall) "
		    "VALUES(?1, ?2, ?3, ?4)",
    [Q_TIMER_DEL] = "DELETE FROM timers WHERE run = ?1 AND ref = ?2 AND due <= ?3",
    [Q_TIMERS_DEL] = "DELETE FROM timers WHERE run = ?1",
    [Q_TIMERS_DUE] = "SELECT r.id, t.ref FROM timers t CROSS JOIN runs r "
		     "WHERE t.due <= ?1 AND r.n = t.run ORDER BY t.due LIMIT 32",

    [Q_META_GET] = "SELECT v FROM meta WHERE k = ?1",
    [Q_META_PUT] = "INSERT INTO meta(k, v) VALUES(?1, ?2) "
		   "ON CONFLICT(k) DO UPDATE SET v = excluded.v",
    /* ?1 boot clock, ?2 wall clock: who held a lease has died with the boot */
    [Q_TASKS_REBASE] = "UPDATE tasks SET lost = lost + (owner <> 0), "
		       "attempt = attempt + (owner <> 0), "
		       "due = CASE WHEN owner <> 0 THEN ?1 ELSE " CLAMP(
			   "due_wall") " END, "
				       "dead = CASE WHEN dead_wall = 0 THEN dead ELSE " CLAMP(
					   "dead_wall") " END, owner = 0, token = 0, slot = -1",
    [Q_TIMERS_REBASE] = "UPDATE timers SET due = " CLAMP("due_wall"),

    [Q_VERSION_OF] = "SELECT r.version, t.slot, t.token FROM runs r "
		     "LEFT JOIN tasks t ON t.run = r.n AND t.owner <> 0 "
		     "WHERE r.id = ?1",
    [Q_DATA_VERSION] = "PRAGMA data_version",
    [Q_PING] = "SELECT 1 FROM meta LIMIT 1",
};

/* Prepare on first use, bind, step once. */
static int
run(struct conn *c, enum query q, const char *fmt, va_list ap)
{
	sqlite3_stmt *s;
	struct az_str v;
	int rc = SQLITE_OK;

	if (!c->st[q])
		rc = sqlite3_prepare_v3(
		    c->db, text[q], -1, SQLITE_PREPARE_PERSISTENT, &c->st[q], NULL);
	s = c->st[q];
	for (int i = 1; *fmt && !rc; fmt++, i++) {
		switch (*fmt) {
		case 'i':
			rc = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_double(s, i, va_arg(ap, double));
			break;
		default:
			v = va_arg(ap, struct az_str);
			rc = sqlite3_bind_text64(
			    s, i, v.p ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8);
			break;
		}
	}
	if (!rc)
		rc = sqlite3_step(s);
	return rc;
}

int
sql_step(struct conn *c, enum query q, sqlite3_stmt **st, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = run(c, q, fmt, ap);
	va_end(ap);
	*st = c->st[q];
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		sqlite3_reset(c->st[q]);
	return rc;
}

int
sql_do(struct conn *c, enum query q, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = run(c, q, fmt, ap);
	va_end(ap);
	sqlite3_reset(c->st[q]);
	return rc;
}

void
sql_end(sqlite3_stmt *st)
{
	sqlite3_reset(st); /* its result repeats an error we have seen */
}

int64_t
sql_i64(sqlite3_stmt *st, int col)
{
	return sqlite3_column_int64(st, col);
}

struct az_str
sql_str(sqlite3_stmt *st, int col)
{
	const unsigned char *p = sqlite3_column_text(st, col);
	int n = sqlite3_column_bytes(st, col);

	return az_str_n(p, p ? (size_t)n : 0);
}

enum az_code
sql_fail(struct conn *c, int rc, const char *op, struct az_err *err)
{
	const char *why = "engine"; /* the API: part "engine" is missing */
	enum az_code code = AZ_EIO;
	int sys = c->db ? sqlite3_system_errno(c->db) : 0;

	switch (rc & 0xff) {
	case SQLITE_FULL:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_CANTOPEN:
		code = AZ_EUNAVAIL;
		break;
	case SQLITE_READONLY:
		if (rc == SQLITE_READONLY_DBMOVED)
			code = AZ_EUNAVAIL;
		break;
	case SQLITE_ERROR:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
	case SQLITE_TOOBIG:
		code = AZ_EINTERNAL; /* our statement, not the disk */
		break;
	case SQLITE_NOMEM:
		code = AZ_ENOMEM;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		why = "journal_damaged";
		break;
	default:
		break;
	}
	az_fail(err, code, op, "journal: %s", c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc));
	if (err)
		err->sys = sys;
	az_err_reason(err, why);
	return code;
}

void
conn_close(struct conn *c)
{
	for (int q = 0; q < Q_COUNT; q++)
		sqlite3_finalize(c->st[q]);
	sqlite3_close(c->db);
	memset(c, 0, sizeof *c);
}
