/*
 * Digests of files in the sandbox. A listing tells size and time of a change, and both can
 * be kept by who writes a file; the protocol has no better stat. One command that reads
 * what looks unchanged is cheaper than fetching it.
 */
#include "box.h"

#include <azlon/crypto.h>

#define OP "work.tree"
#define SUMS_BYTES AZ_MIB(256) /* read in the sandbox; of what is beyond, the listing decides */

enum { SUMS_BATCH = 200, SUMS_FILES = 2000, SUMS_S = 60, HEX = 64 };

static enum az_code
collect(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct az_buf *b = arg;

	(void)err;
	if (stream == 1 && bytes.n <= b->max - b->n)
		az_buf_adds(b, bytes);
	return AZ_OK;
}

/* Lines "digest  path", in the order of the arguments; some may be missing. */
static void
read_sums(struct az_str out, const char *const *argv, char (*sums)[AZ_SUM_BYTES])
{
	struct az_str line;
	size_t i = 0;

	while (az_str_line(&out, &line)) {
		size_t k = i;

		if (line.n < HEX + 2 || line.p[HEX] != ' ')
			continue;
		while (argv[k] && !az_str_eqc(az_str_sub(line, HEX + 2, line.n), argv[k]))
			k++;
		if (!argv[k])
			continue;
		memcpy(sums[k], line.p, HEX);
		sums[k][HEX] = '\0';
		i = k + 1;
	}
}

/* Failing here is not knowing; only what ends the whole step is an error. */
static bool
unknown(enum az_code rc)
{
	return rc == AZ_EINVAL || rc == AZ_EPERM || rc == AZ_ETOOBIG;
}

enum az_code
work_tree_sums(struct work_job *j, const struct work_box *b, const struct tree_entry *const *v,
    size_t n, char (*sums)[AZ_SUM_BYTES], struct az_err *err)
{
	const char *argv[SUMS_BATCH + 3] = {"sha256sum", "--"};
	struct az_buf out;
	struct az_sb_cmd c = {.argv = argv, .timeout_s = SUMS_S, .output = collect, .arg = &out};
	enum az_code rc = AZ_OK;
	int64_t bytes = 0;
	size_t i = 0;

	memset(sums, 0, n * sizeof(*sums));
	if (n > SUMS_FILES)
		n = SUMS_FILES;
	az_buf_init(&out, AZ_MIB(1));
	while (i < n && rc == AZ_OK && bytes <= (int64_t)SUMS_BYTES) {
		struct az_sb_result r;
		size_t first = i, k = 0;

		for (; i < n && k < SUMS_BATCH; i++, k++) {
			bytes += v[i]->size;
			if (bytes > (int64_t)SUMS_BYTES)
				break;
			argv[2 + k] = work_tree_path(j, v[i]->path);
			if (!argv[2 + k])
				rc = job_nomem(err);
		}
		argv[2 + k] = NULL;
		if (k == 0 || rc != AZ_OK)
			break;
		az_buf_reset(&out);
		rc = work_box_run(j, b, &c, &r, err);
		if (rc == AZ_OK && r.end == AZ_END_CANCELLED)
			rc = az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		if (unknown(rc)) {
			rc = AZ_OK;
			break;
		}
		read_sums(az_buf_str(&out), argv + 2, sums + first);
	}
	az_buf_release(&out);
	return job_sandbox_rc(rc, err);
}
