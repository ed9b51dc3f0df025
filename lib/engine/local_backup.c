/* The journal as one file, and back: SQLite's own backup, then the checks of any start. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local.h"

static const char OP_BACKUP[] = "engine.backup", OP_RESTORE[] = "engine.restore";

static enum az_code
joined(char out[PATH_MAX], const char *dir, const char *rest, const char *op, struct az_err *err)
{
	int n = snprintf(out, PATH_MAX, "%s%s", dir, rest);

	return n > 0 && n < PATH_MAX ? AZ_OK : az_fail(err, AZ_EINVAL, op, "a path is too long");
}

/* Files that another user made in dir could not be used by the processes. */
static enum az_code
dir_open(const char *dir, const char *op, int *out, struct az_err *err)
{
	struct stat st;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		az_fail_errno(err, AZ_EIO, op, "%s", dir);
	} else if (st.st_uid != geteuid()) {
		az_fail(err, AZ_EINVAL, op, "%s belongs to user %u: only that user may do this",
		    dir, (unsigned)st.st_uid);
	} else {
		*out = fd;
		return AZ_OK;
	}
	if (fd >= 0)
		close(fd);
	return err->code;
}

static enum az_code
count(struct conn *c, struct az_engine_local_copy *out, const char *op, struct az_err *err)
{
	static const char sql[] = "SELECT count(*), count(*) FILTER (WHERE state = 1) FROM runs";
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	if (!rc)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		out->runs = sql_i64(st, 0);
		out->open = sql_i64(st, 1);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? AZ_OK : sql_fail(c, rc, op, err);
}

/* Is it a journal of ours, whole, and how much is in it? */
static enum az_code
inspect(struct conn *c, const char *path, struct az_engine_local_copy *out, const char *op,
    struct az_err *err)
{
	bool fresh = false;
	enum az_code rc = schema_ours(c, path, &fresh, err);

	if (!rc && fresh) {
		az_fail(err, AZ_EIO, op, "%s is empty", path);
		return az_err_reason(err, "journal_foreign");
	}
	if (!rc)
		rc = schema_check(c, path, err);
	return rc ? rc : count(c, out, op, err);
}

static enum az_code
sync_path(const char *path, int flags, const char *op, struct az_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	enum az_code rc = AZ_OK;

	if (fd < 0 || fsync(fd) < 0)
		rc = az_fail_errno(err, AZ_EIO, op, "%s", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* All pages, as they are at one moment: writers go on meanwhile. */
static enum az_code
fill(struct conn *from, struct conn *to, const char *path, const char *op, struct az_err *err)
{
	sqlite3_backup *b;
	int rc = sqlite3_open_v2(path, &to->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);

	if (rc)
		return sql_fail(to, rc, op, err);
	sqlite3_extended_result_codes(to->db, 1);
	if (!(b = sqlite3_backup_init(to->db, "main", from->db, "main")))
		return sql_fail(to, sqlite3_errcode(to->db), op, err);
	(void)sqlite3_backup_step(b, -1);
	rc = sqlite3_backup_finish(b);
	if (!rc) /* as it is said of the journal itself when it is made */
		rc = sqlite3_exec(to->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	return rc ? sql_fail(to, rc, op, err) : AZ_OK;
}

/* from, under a name of its own until it is whole, then as to, which must not be there. */
static enum az_code
copy(struct conn *from, const char *to, mode_t mode, struct az_engine_local_copy *out,
    const char *op, struct az_err *err)
{
	static const char *const rest[] = {"", "-journal", "-wal", "-shm"};
	char part[PATH_MAX], name[PATH_MAX], dir[PATH_MAX];
	struct conn c = {.db = NULL};
	enum az_code rc;
	ptrdiff_t slash = az_str_rchr(az_str_c(to), '/');
	int fd;

	/* room for what SQLite puts behind it */
	if ((rc = joined(part, to, ".XXXXXX-journal", op, err)) ||
	    (rc = joined(part, to, ".XXXXXX", op, err)))
		return rc;
	snprintf(dir, sizeof dir, "%.*s", slash > 0 ? (int)slash : 1, slash < 0 ? "." : to);
	if ((fd = mkostemp(part, O_CLOEXEC)) < 0)
		return az_fail_errno(err, AZ_EIO, op, "%s", part);
	if (fchmod(fd, mode) < 0)
		rc = az_fail_errno(err, AZ_EIO, op, "%s", part);
	close(fd);
	if (!rc && !(rc = fill(from, &c, part, op, err)))
		rc = inspect(&c, part, out, op, err);
	conn_close(&c); /* puts its log away */
	if (!rc && !(rc = sync_path(part, 0, op, err)) && link(part, to) < 0)
		rc = errno == EEXIST ? az_fail(err, AZ_ECONFLICT, op, "%s is there already", to)
				     : az_fail_errno(err, AZ_EIO, op, "%s", to);
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		if (joined(name, part, rest[i], op, NULL) == AZ_OK)
			(void)unlink(name);
	return rc ? rc : sync_path(dir, O_DIRECTORY, op, err);
}

enum az_code
az_engine_local_backup(
    const char *dir, const char *to, struct az_engine_local_copy *out, struct az_err *err)
{
	char path[PATH_MAX];
	struct conn c = {.db = NULL};
	enum az_code rc;
	bool fresh = false;
	int fd = -1;

	if ((rc = dir_open(dir, OP_BACKUP, &fd, err)))
		return rc;
	close(fd);
	if ((rc = joined(path, dir, "/journal.db", OP_BACKUP, err)))
		return rc;
	if (access(path, R_OK) < 0)
		return az_fail_errno(err, AZ_EIO, OP_BACKUP, "%s", path);
	if (!(rc = schema_reader(path, true, &c, err)) &&
	    !(rc = schema_ours(&c, path, &fresh, err)))
		rc = copy(&c, to, 0600, out, OP_BACKUP, err);
	conn_close(&c);
	return rc;
}

/* A file that nobody writes: without locks, and where nothing may be made beside it. */
static enum az_code
source_open(const char *from, struct conn *c, struct az_err *err)
{
	char real[PATH_MAX], wal[PATH_MAX];
	struct az_buf uri;
	enum az_code rc;
	int s;

	if (!realpath(from, real))
		return az_fail_errno(err, AZ_EIO, OP_RESTORE, "%s", from);
	if ((rc = joined(wal, real, "-wal", OP_RESTORE, err)))
		return rc;
	if (access(wal, F_OK) == 0)
		return az_fail(err, AZ_EINVAL, OP_RESTORE,
		    "%s is a journal in use, not a backup: a part of it is in %s", from, wal);
	az_buf_init(&uri, 3 * PATH_MAX + 32);
	az_buf_addc(&uri, "file:");
	for (const char *p = real; *p; p++)
		if (strchr("?#%", *p))
			az_buf_addf(&uri, "%%%02X", (unsigned)*p);
		else
			az_buf_addch(&uri, *p);
	az_buf_addc(&uri, "?immutable=1");
	if (!(rc = az_buf_check(&uri, OP_RESTORE, err))) {
		s = sqlite3_open_v2(uri.p, &c->db,
		    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
		rc = s ? sql_fail(c, s, OP_RESTORE, err) : AZ_OK;
	}
	az_buf_release(&uri);
	return rc;
}

/* Nothing of a journal may be there: a log would be taken for the new one's. */
static enum az_code
nothing_there(const char *dir, struct az_err *err)
{
	static const char *const name[] = {"/journal.db", "/journal.db-wal", "/journal.db-shm"};
	char path[PATH_MAX];
	enum az_code rc;

	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		if ((rc = joined(path, dir, name[i], OP_RESTORE, err)))
			return rc;
		if (access(path, F_OK) == 0)
			return az_fail(err, AZ_ECONFLICT, OP_RESTORE,
			    "%s is there: move it, with its -wal and -shm, aside first", path);
	}
	return AZ_OK;
}

enum az_code
az_engine_local_restore(
    const char *dir, const char *from, struct az_engine_local_copy *out, struct az_err *err)
{
	char path[PATH_MAX];
	struct conn c = {.db = NULL};
	enum az_code rc;
	int fd = -1;

	if (mkdir(dir, 0770) == 0)
		(void)!chmod(dir, 0770);
	if ((rc = dir_open(dir, OP_RESTORE, &fd, err)))
		return rc;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		rc = az_fail(
		    err, AZ_EUNAVAIL, OP_RESTORE, "%s is in use: stop all processes first", dir);
	if (!rc && !(rc = nothing_there(dir, err)) && !(rc = source_open(from, &c, err)) &&
	    !(rc = inspect(&c, from, out, OP_RESTORE, err)) &&
	    !(rc = joined(path, dir, "/journal.db", OP_RESTORE, err)))
		rc = copy(&c, path, 0660, out, OP_RESTORE, err);
	conn_close(&c);
	close(fd);
	return rc;
}
