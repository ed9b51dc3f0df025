/* Ending processes: one command of ours, or all that the sandbox knows of. */
#include <stdio.h>
#include "e2b_process.h"

#define KILL_MS 4000 /* a cancel must be through within 5 s */

void
e2b_selector(struct az_jw *w, int64_t pid, const char *tag)
{
	az_jw_key(w, "process");
	az_jw_obj(w);
	if (pid > 0)
		az_jw_ki(w, "pid", pid);
	else
		az_jw_kc(w, "tag", tag);
	az_jw_end(w, '}');
}

static enum az_code
sigkill(struct e2b *e, const struct az_box_ref *ref, const char *user, int64_t pid, const char *tag,
    bool regardless, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	e2b_selector(&w, pid, tag);
	az_jw_kc(&w, "signal", "SIGNAL_SIGKILL");
	az_jw_end(&w, '}');
	rc = e2b_unary(e, ref,
	    &(struct e2b_call){.method = "process.Process/SendSignal",
		.body = az_buf_str(&b),
		.user = user,
		.total_ms = KILL_MS,
		.no_probe = regardless,
		.always = regardless},
	    NULL, err);
	az_buf_release(&b);
	return rc;
}

/* The whole service's view: this goes on though the caller is told to stop. */
static void
end_session(const struct run *run)
{
	char pid[24];
	const char *const argv[] = {"/bin/sh", "-c", e2b_session_end, "sh", pid, NULL};
	const struct az_sb_cmd c = {
	    .argv = argv, .user = run->cmd->user, .timeout_s = KILL_MS / 1000};
	struct az_sb_result r = {0};
	enum az_code rc;

	snprintf(pid, sizeof pid, "%lld", (long long)run->pid);
	rc = e2b_run_as(run->e->root, run->ref, &c, true, &r, NULL);
	(void)rc; /* the sandbox may be gone */
}

void
e2b_put_down(struct run *run)
{
	enum az_code rc = sigkill(run->e, run->ref, run->cmd->user, run->pid, run->tag, true, NULL);

	(void)rc; /* it may have ended meanwhile */
	if (!run->bare && run->pid > 0)
		end_session(run);
}

static enum az_code
kill_listed(struct az_sandbox *s, const struct az_box_ref *ref, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	int round;

	/* again until the list is empty: a dying parent may have been starting another */
	for (round = 0; round < 4; round++) {
		struct az_json *j = NULL;
		const struct az_json *list;
		size_t i, n, killed = 0;

		rc = e2b_unary(e2b_of(s), ref,
		    &(struct e2b_call){.method = "process.Process/List",
			.body = AZ_S("{}"),
			.max_bytes = E2B_REPLY_BYTES},
		    &j, err);
		if (rc != AZ_OK)
			return rc;
		list = az_json_get(j, "processes");
		n = az_json_len(list);
		for (i = 0; i < n && rc == AZ_OK; i++) {
			int64_t pid = 0;

			if (!e2b_json_i64(az_json_get(az_json_at(list, i), "pid"), &pid) ||
			    pid <= 0)
				continue;
			killed++;
			rc = sigkill(e2b_of(s), ref, NULL, pid, NULL, false, err);
			if (rc == AZ_ENOTFOUND && !az_sandbox_is_gone(err))
				rc = AZ_OK; /* it ended by itself */
		}
		az_json_free(j);
		if (rc != AZ_OK || killed == 0)
			return rc;
	}
	/* signals were taken; what still stands in the list is dying */
	return AZ_OK;
}

/* What a command left behind is in no list once its leader has ended. */
static enum az_code
sweep(struct az_sandbox *s, const struct az_box_ref *ref, struct az_err *err)
{
	const char *const argv[] = {"/bin/sh", "-c", "kill -9 -1", NULL};
	const struct az_sb_cmd c = {.argv = argv, .timeout_s = 10};
	struct az_sb_result r = {0};
	enum az_code rc = e2b_run_as(e2b_of(s), ref, &c, true, &r, err);

	if (rc == AZ_OK && r.end == AZ_END_CANCELLED)
		rc = az_fail(err, AZ_ECANCELLED, "sandbox.kill_all", "cancelled");
	return rc;
}

enum az_code
e2b_kill_all(struct az_sandbox *s, const struct az_box_ref *ref, struct az_err *err)
{
	struct az_err own = AZ_ERR_INIT;
	enum az_code rc;

	if (!err)
		err = &own;
	rc = kill_listed(s, ref, err);
	return rc == AZ_OK ? sweep(s, ref, err) : rc;
}
