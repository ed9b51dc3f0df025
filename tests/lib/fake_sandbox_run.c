/* Commands in the fake sandbox: the build's own are done here, all others are the test's. */
#include <stdio.h>
#include <string.h>

#include <azlon/crypto.h>

#include "fake_sandbox_int.h"

void
fake_print(const struct az_sb_cmd *c, int stream, const char *text)
{
	if (c->output && c->output(c->arg, stream, az_str_c(text), NULL) != AZ_OK)
		return;
}

bool
fake_argv_has(const struct az_sb_cmd *c, const char *text)
{
	for (const char *const *v = c->argv; *v; v++)
		if (strstr(*v, text))
			return true;
	return false;
}

/* What tar writes for these names below dir: plain files only. */
static int
pack(struct fake_sandbox *s, const struct az_sb_cmd *c, const char *dir, const char *const *names)
{
	static const char zeros[1024];
	char path[600], head[513];
	int bad = 0;

	for (; *names; names++) {
		struct fake_file *f;
		struct az_str body;
		unsigned sum = 0;

		snprintf(path, sizeof(path), "%s/%s", dir, *names);
		if (!(f = fake_find(s, path)) || strlen(*names) > 99) {
			bad = 2;
			continue;
		}
		body = az_buf_str(&f->data);
		memset(head, 0, sizeof(head));
		snprintf(head, 100, "%s", *names);
		snprintf(head + 100, 8, "%07o", f->mode & 0777);
		snprintf(head + 124, 12, "%011zo", body.n);
		snprintf(head + 136, 12, "%011o", 0);
		memset(head + 148, ' ', 8);
		head[156] = '0';
		memcpy(head + 257, "ustar\00000", 8);
		for (int i = 0; i < 512; i++)
			sum += (unsigned char)head[i];
		snprintf(head + 148, 8, "%06o", sum);
		if (c->output(c->arg, 1, az_str_n(head, 512), NULL) != AZ_OK ||
		    c->output(c->arg, 1, body, NULL) != AZ_OK ||
		    c->output(c->arg, 1, az_str_n(zeros, (512 - body.n % 512) % 512), NULL) !=
			AZ_OK)
			return 2;
	}
	return c->output(c->arg, 1, az_str_n(zeros, sizeof(zeros)), NULL) == AZ_OK ? bad : 2;
}

enum az_code
fake_run(struct az_sandbox *p, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	struct fake_sandbox *s = fake_self(p);
	enum az_code rc = fake_usable(s, b, err);
	const char *const *argv = c->argv;
	struct az_sb_cmd inner = *c;

	*r = (struct az_sb_result){.end = AZ_END_EXITED, .ms = 7};
	if (rc != AZ_OK)
		return rc;
	s->runs++;
	if (c->cancelled && c->cancelled(c->arg)) {
		r->end = AZ_END_CANCELLED;
		return AZ_OK;
	}
	if (strcmp(argv[0], "chmod") == 0) {
		for (size_t i = 3; argv[i]; i++) {
			struct fake_file *f = fake_find(s, argv[i]);

			if (f)
				f->mode = 0755;
		}
		return AZ_OK;
	}
	if (strcmp(argv[0], "sha256sum") == 0) {
		for (size_t i = 2; argv[i]; i++) {
			struct fake_file *f = fake_find(s, argv[i]);
			char hex[65];

			if (!f)
				continue;
			az_sha256_hex(az_buf_str(&f->data), hex);
			fake_print(c, 1, hex);
			fake_print(c, 1, "  ");
			fake_print(c, 1, argv[i]);
			fake_print(c, 1, "\n");
		}
		return AZ_OK;
	}
	if (strcmp(argv[0], "tar") == 0) {
		r->exit_code = s->no_tar ? 127 : pack(s, c, argv[5], argv + 7);
		return AZ_OK;
	}
	/* the build's probe of languages */
	if (argv[1] && argv[2] && strstr(argv[2], "command -v")) {
		fake_print(c, 1, "path /home/user/.local/bin:/usr/bin:/bin\nhave python3\n");
		r->exit_code = argv[3] && argv[4] && strcmp(argv[4], "cobol") == 0;
		return AZ_OK;
	}
	if (argv[1] && argv[2] && strcmp(argv[2], "exec \"$@\"") == 0)
		inner.argv = argv + 4;
	return s->exec ? s->exec(s, &inner, r, err) : AZ_OK;
}
