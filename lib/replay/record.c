/*
 * Recording: a request that no line matches takes the next reply of its script,
 * <scripts>/NAME/<n>.md, and becomes a line of NAME.jsonl. Who wrote the replies stands
 * in <scripts>/NAME/provenance.json. Nothing here makes up a text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include <azlon/path.h>
#include "replay.h"

static const char OP[] = "replay.record";

static enum az_code
read_script(const struct az_replay *r, const char *name, const char *file, size_t max,
    struct az_buf *b, struct az_err *err)
{
	char path[4200];
	int n = snprintf(path, sizeof path, "%s/%s/%s", r->record, name, file);

	if (n < 0 || (size_t)n >= sizeof path)
		return az_fail(err, AZ_EINVAL, OP, "the path of the scripts is too long");
	if (access(path, F_OK))
		return az_fail(err, AZ_ENOTFOUND, OP, "the scripts have no %s/%s", name, file);
	return az_read_file(path, max, b, err);
}

/* The script's own fields, with the time of this recording. */
static enum az_code
provenance(struct az_jw *w, struct az_str text, struct az_err *err)
{
	const struct az_json *v;
	struct az_json *j = NULL;
	struct az_str key;
	struct az_buf now;
	void *it = NULL;
	enum az_code rc;

	if ((rc = az_json_parse(text, &replay_limits, &j, err)))
		return rc;
	if (!replay_kind_ok(az_json_gets(j, "kind"))) {
		az_json_free(j);
		return az_fail(
		    err, AZ_EINVAL, OP, "provenance.json has no \"kind\" of those in use");
	}
	az_buf_init(&now, 64);
	az_rfc3339(&now, az_wall_ms());
	az_jw_key(w, "provenance");
	az_jw_obj(w);
	while (az_json_each(j, &it, &key, &v)) {
		if (az_str_eqc(key, "recorded_at"))
			continue;
		az_jw_keys(w, key);
		az_jw_value(w, v);
	}
	az_jw_ks(w, "recorded_at", az_buf_str(&now));
	az_jw_end(w, '}');
	az_buf_release(&now);
	az_json_free(j);
	return AZ_OK;
}

static enum az_code
append(const struct az_replay *r, const char *name, struct az_str line, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	char path[4200];
	int fd = -1;

	if (!replay_path(r, name, path, sizeof path))
		return az_fail(err, AZ_EINVAL, OP, "the path of the recordings is too long");
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || az_write_all(fd, line.p, line.n) || fsync(fd))
		rc = az_fail_errno(err, AZ_EIO, OP, "%s.jsonl", name);
	if (fd >= 0)
		close(fd);
	return rc;
}

enum az_code
replay_record(struct az_replay *r, const char *name, int64_t seq, struct az_str canon,
    const char *key, struct az_err *err)
{
	struct az_buf text, prov, line;
	char file[32];
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&text, AZ_LIM_REPLY_BYTES);
	az_buf_init(&prov, AZ_KIB(64));
	az_buf_init(&line, REPLAY_LINE_BYTES);
	snprintf(file, sizeof file, "%lld.md", (long long)seq);
	if ((rc = read_script(r, name, file, AZ_LIM_REPLY_BYTES, &text, err)) ||
	    (rc = read_script(r, name, "provenance.json", AZ_KIB(64), &prov, err)))
		goto out;
	az_jw_init(&w, &line);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_kc(&w, "key", key);
	az_jw_ki(&w, "seq", seq);
	az_jw_kraw(&w, "request", canon);
	az_jw_key(&w, "response");
	az_jw_obj(&w);
	az_jw_ks(&w, "text", az_buf_str(&text));
	az_jw_kc(&w, "finish", "stop");
	az_jw_end(&w, '}');
	if ((rc = provenance(&w, az_buf_str(&prov), err)))
		goto out;
	az_jw_end(&w, '}');
	az_buf_addch(&line, '\n');
	if ((rc = az_buf_check(&line, OP, err)))
		goto out;
	rc = append(r, name, az_buf_str(&line), err);
	if (!rc)
		az_log(AZ_INFO, "replay.recorded", AZ_KC("recording", name), AZ_KN("seq", seq));
out:
	az_buf_release(&text);
	az_buf_release(&prov);
	az_buf_release(&line);
	return rc;
}
