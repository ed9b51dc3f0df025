/* Any text: never a crash, never an unsafe path, always valid UTF-8, within limits. */
#include <stdint.h>
#include <stdlib.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "work/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_reply(const struct az_reply *r)
{
	size_t total = r->dockerfile.n;

	must(az_str_utf8_ok(r->note) && r->note.n <= 2048);
	must(az_str_utf8_ok(r->dockerfile));
	must(r->n <= AZ_LIM_REPLY_FILES);
	for (size_t i = 0; i < r->n; i++) {
		const struct az_reply_file *f = &r->files[i];

		must(az_path_ok(f->path, NULL) == AZ_OK);
		must(az_str_utf8_ok(f->body));
		must(az_str_chr(f->body, '\0') < 0);
		must(f->body.n <= AZ_LIM_REPLY_FILE_BYTES);
		must(!f->remove || f->body.n == 0);
		total += f->body.n;
		for (size_t k = 0; k < i; k++)
			must(!az_str_eq(f->path, r->files[k].path));
	}
	must(total <= AZ_LIM_REPLY_TOTAL_BYTES + AZ_LIM_REPLY_FILE_BYTES);
}

/* What was read, written as blocks, reads the same. */
static void
round_trip(const struct az_reply *r)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	struct az_err err = AZ_ERR_INIT;
	struct az_reply again;
	struct az_buf b;

	must(a != NULL);
	az_buf_init(&b, AZ_LIM_REPLY_BYTES);
	for (size_t i = 0; i < r->n; i++) {
		const struct az_reply_file *f = &r->files[i];

		/* a body without a final newline has no block form; one with marks of
		   its own needs a longer fence */
		if (f->remove || (f->body.n && f->body.p[f->body.n - 1] != '\n') ||
		    az_str_find(f->body, AZ_S("~~~"), 0) >= 0 ||
		    az_str_find(f->body, AZ_S("##"), 0) >= 0 ||
		    az_str_find(f->body, AZ_S("\r"), 0) >= 0)
			goto out;
		az_buf_addf(&b, "### FILE: %.*s\n~~~~~\n", AZ_FMT(f->path));
		az_buf_adds(&b, f->body);
		az_buf_addc(&b, "~~~~~\n");
	}
	az_buf_addc(&b, "### END\n");
	if (b.fail || r->n == 0)
		goto out;
	/* blanks or marks around a name are not kept by design */
	if (az_reply_parse(az_buf_str(&b), false, a, &again, &err))
		goto out;
	must(again.n <= r->n && !again.truncated);
	for (size_t i = 0; i < again.n; i++)
		must(az_str_eq(again.files[i].body, r->files[i].body) || again.n < r->n);
out:
	az_buf_release(&b);
	az_arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	struct az_str text = az_str_n(data, n);
	struct az_err err = AZ_ERR_INIT;
	struct az_reply_verdict v;
	struct az_reply r;

	must(a != NULL);
	for (int cut = 0; cut < 2; cut++) {
		if (az_reply_parse(text, cut, a, &r, &err) == AZ_OK) {
			check_reply(&r);
			must(r.truncated || !cut);
			must(r.n || r.has_dockerfile || r.truncated);
			round_trip(&r);
		} else {
			must(strcmp(err.reason, "bad_model_output") == 0);
			must(az_str_chr(az_str_c(err.text), '\n') < 0);
		}
	}
	if (az_reply_verdict_parse(text, a, &v, &err) == AZ_OK) {
		must(az_str_utf8_ok(v.reason) && az_str_utf8_ok(v.plan) &&
		     az_str_utf8_ok(v.evidence));
		for (size_t i = 0; i < v.n_suspected; i++)
			must(az_path_ok(v.suspected[i], NULL) == AZ_OK);
	}
	az_arena_free(a);
	return 0;
}
