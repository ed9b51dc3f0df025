/* The journal file: its tables, and whether a file found there is one of ours. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local.h"

static const char tables[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) "
    "STRICT, WITHOUT ROWID;"
    "CREATE TABLE runs(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    "uid TEXT NOT NULL, type TEXT NOT NULL, memo TEXT NOT NULL, "
    "state INTEGER NOT NULL, start_ms INTEGER NOT NULL, "
    "close_ms INTEGER NOT NULL, version INTEGER NOT NULL, "
    "last_event INTEGER NOT NULL, need_fold INTEGER NOT NULL) STRICT;"
    "CREATE INDEX runs_uid ON runs(uid, start_ms, id);"
    "CREATE INDEX runs_open ON runs(uid, start_ms, id) WHERE state = 1;"
    "CREATE INDEX runs_fold ON runs(need_fold) WHERE need_fold = 1;"
    "CREATE TABLE events(run INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "type TEXT NOT NULL, ref INTEGER NOT NULL, attempt INTEGER NOT NULL, "
    "t INTEGER NOT NULL, name TEXT NOT NULL, payload TEXT NOT NULL, "
    "reason TEXT NOT NULL, message TEXT NOT NULL, sum INTEGER NOT NULL, "
    "PRIMARY KEY(run, seq)) STRICT, WITHOUT ROWID;"
    /* due and dead on the boot clock named in meta, _wall for after a reboot */
    "CREATE TABLE tasks(run INTEGER NOT NULL, ref INTEGER NOT NULL, "
    "name TEXT NOT NULL, attempt INTEGER NOT NULL, lost INTEGER NOT NULL, "
    "deaths INTEGER NOT NULL, due INTEGER NOT NULL, "
    "due_wall INTEGER NOT NULL, dead INTEGER NOT NULL, "
    "dead_wall INTEGER NOT NULL, cancel INTEGER NOT NULL, "
    "owner INTEGER NOT NULL, token INTEGER NOT NULL, slot INTEGER NOT NULL, "
    "start_to_close INTEGER NOT NULL, heartbeat_ms INTEGER NOT NULL, "
    "retry_initial INTEGER NOT NULL, retry_max INTEGER NOT NULL, "
    "retry_coefficient REAL NOT NULL, retry_attempts INTEGER NOT NULL, "
    "last_reason TEXT NOT NULL, last_message TEXT NOT NULL, "
    "hb TEXT NOT NULL, PRIMARY KEY(run, ref)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX tasks_due ON tasks(due) WHERE owner = 0;"
    "CREATE INDEX tasks_late ON tasks(dead) WHERE owner = 0;"
    "CREATE INDEX tasks_owner ON tasks(owner) WHERE owner <> 0;"
    "CREATE TABLE timers(run INTEGER NOT NULL, ref INTEGER NOT NULL, "
    "due INTEGER NOT NULL, due_wall INTEGER NOT NULL, "
    "PRIMARY KEY(run, ref)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX timers_due ON timers(due);"
    "INSERT INTO meta VALUES('boot', '');";

static int
one_int(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (!rc)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_ERROR;
	}
	sqlite3_finalize(st);
	return rc;
}

/* A file we will not touch: say what to do about it. */
static enum az_code
refuse(const char *path, const char *reason, const char *what, struct az_err *err)
{
	az_fail(err, AZ_EIO, "engine.open",
	    "%s %s; move it and its -wal and -shm aside to start afresh", path, what);
	az_err_reason(err, reason);
	return AZ_EIO;
}

enum az_code
schema_ours(struct conn *c, const char *path, bool *fresh, struct az_err *err)
{
	int64_t app = 0, version = 0, objects = 0;
	int rc = one_int(c->db, "PRAGMA application_id", &app);

	if (!rc)
		rc = one_int(c->db, "PRAGMA user_version", &version);
	if (!rc)
		rc = one_int(c->db, "SELECT count(*) FROM sqlite_schema", &objects);
	if ((rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT)
		return refuse(path, "journal_damaged", "is damaged or no database", err);
	if (rc)
		return sql_fail(c, rc, "engine.open", err);
	*fresh = app == 0 && version == 0 && objects == 0;
	if (*fresh)
		return AZ_OK;
	if (app != LOCAL_APP_ID)
		return refuse(path, "journal_foreign", "is another program's database", err);
	if (version != LOCAL_SCHEMA)
		return refuse(path, "journal_version", "was written by another version", err);
	return AZ_OK;
}

static enum az_code
create(struct conn *c, struct az_err *err)
{
	char sql[160];
	int rc = sqlite3_exec(c->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);

	if (!rc)
		rc = sqlite3_exec(c->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
	if (!rc)
		rc = sqlite3_exec(c->db, tables, NULL, NULL, NULL);
	snprintf(sql, sizeof sql,
	    "PRAGMA application_id = %d;"
	    "PRAGMA user_version = %d;COMMIT",
	    LOCAL_APP_ID, LOCAL_SCHEMA);
	if (!rc)
		rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	return rc ? sql_fail(c, rc, "engine.open", err) : AZ_OK;
}

enum az_code
schema_open(const char *path, struct conn *c, struct az_err *err)
{
	static const char op[] = "engine.open";
	enum az_code code;
	bool fresh = false;
	int rc, fd;

	/* SQLite would make it 0644; -wal and -shm take their mode from it */
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (fd >= 0) {
		rc = fchmod(fd, 0660);
		close(fd);
		if (rc < 0)
			return az_fail_errno(err, AZ_EIO, op, "%s", path);
	} else if (errno != EEXIST) {
		az_fail_errno(err, AZ_EIO, op, "%s", path);
		az_err_reason(err, "engine");
		return AZ_EIO;
	}
	rc = sqlite3_open_v2(path, &c->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (rc)
		return sql_fail(c, rc, op, err);
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, 10000);
	/* never run what a damaged or planted schema may hold */
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if ((code = schema_ours(c, path, &fresh, err)) || (fresh && (code = create(c, err))))
		return code;
	rc = sqlite3_exec(c->db,
	    "PRAGMA synchronous = FULL;"
	    "PRAGMA wal_autocheckpoint = 0;PRAGMA journal_size_limit = 16777216;"
	    "PRAGMA cache_size = -2048;PRAGMA temp_store = MEMORY",
	    NULL, NULL, NULL);
	return rc ? sql_fail(c, rc, op, err) : AZ_OK;
}

enum az_code
schema_reader(const char *path, bool readonly, struct conn *c, struct az_err *err)
{
	int rc = sqlite3_open_v2(path, &c->db,
	    (readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE,
	    NULL);
	enum az_code code;

	if (!rc) {
		sqlite3_extended_result_codes(c->db, 1);
		sqlite3_busy_timeout(c->db, 10000);
		rc = sqlite3_exec(c->db,
		    "PRAGMA cache_size = -512;"
		    "PRAGMA wal_autocheckpoint = 0;PRAGMA synchronous = FULL",
		    NULL, NULL, NULL);
	}
	if (!rc)
		return AZ_OK;
	code = sql_fail(c, rc, "engine.read", err);
	conn_close(c);
	return code;
}

enum az_code
schema_check(struct conn *c, const char *path, struct az_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &st, NULL);
	bool ok = false;

	if (!rc)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		ok = az_str_eqc(sql_str(st, 0), "ok");
	sqlite3_finalize(st);
	if (ok)
		return AZ_OK;
	if (rc != SQLITE_ROW && (rc & 0xff) != SQLITE_CORRUPT && (rc & 0xff) != SQLITE_NOTADB)
		return sql_fail(c, rc, "engine.check", err);
	return refuse(path, "journal_damaged", "fails its integrity check", err);
}
