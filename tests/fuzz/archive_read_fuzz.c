/*
 * Any bytes as an archive: every path that comes out passes the path rules, is its own
 * canonical form, and no file is yielded twice or also as a directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <azlon/archive.h>
#include <azlon/path.h>
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	struct az_buf names; /* "\n" + path + "\n" each */
	int64_t bytes;
	bool open;
};

static enum az_code
on_entry(void *arg, struct az_str path, unsigned mode, struct az_err *err)
{
	struct seen *s = arg;
	struct az_buf b;

	(void)err;
	CHECK(!s->open);
	s->open = true;
	CHECK(mode == 0644 || mode == 0755);
	CHECK(az_path_ok(path, NULL) == AZ_OK);
	az_buf_init(&b, 4096);
	CHECK(az_name_nfc(path, &b, NULL) == AZ_OK);
	CHECK(az_str_eq(az_buf_str(&b), path));
	/* neither the same file nor one below it */
	for (int i = 0; i < 2; i++) {
		az_buf_reset(&b);
		az_buf_addf(&b, "\n%.*s%c", AZ_FMT(path), i ? '/' : '\n');
		CHECK(az_str_find(az_buf_str(&s->names), az_buf_str(&b), 0) < 0);
	}
	az_buf_addf(&s->names, "\n%.*s\n", AZ_FMT(path));
	az_buf_release(&b);
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	CHECK(s->open);
	s->bytes += (int64_t)bytes.n;
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	CHECK(s->open);
	s->open = false;
	return AZ_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct az_archive_limits lim = {50, 2 << 20, 4 << 20, 100};
	struct seen s = {.bytes = 0};
	struct az_archive_in in = {on_entry, on_data, on_end, &s};
	struct az_err err = AZ_ERR_INIT;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	enum az_code rc;

	CHECK(fd >= 0 && az_write_all(fd, data, n) == 0);
	az_buf_init(&s.names, 1 << 20);
	rc = az_archive_read(fd, &lim, &in, &err);
	CHECK(rc == AZ_OK || rc == AZ_EINVAL || rc == AZ_ETOOBIG);
	CHECK(rc == AZ_OK || err.text[0]);
	CHECK(s.bytes <= lim.total_bytes + (64 << 10));
	az_buf_release(&s.names);
	close(fd);
	return 0;
}
