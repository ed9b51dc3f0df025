/*
 * Any bytes as a tar: only paths by our rules come out, bytes only of files that were asked
 * for, and no more of them than the limits allow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/archive.h>
#include <azlon/path.h>
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	int64_t bytes, file;
	size_t entries;
	bool open;
};

static enum az_code
on_entry(void *arg, struct az_str path, enum az_tar_kind kind, bool *take, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	CHECK(!s->open && !*take);
	CHECK(az_path_ok(path, NULL) == AZ_OK);
	CHECK(kind >= AZ_TAR_FILE && kind <= AZ_TAR_OTHER);
	/* every third is not wanted */
	*take = ++s->entries % 3 != 0;
	s->open = *take && kind == AZ_TAR_FILE;
	s->file = 0;
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	CHECK(s->open);
	s->bytes += (int64_t)bytes.n;
	s->file += (int64_t)bytes.n;
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
	static const struct az_archive_limits lim = {
	    .entries = 50, .file_bytes = 2 << 20, .total_bytes = 4 << 20};
	struct seen s = {.bytes = 0};
	const struct az_tar_in in = {on_entry, on_data, on_end, &s};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = az_archive_tar(az_str_n(data, n), &lim, &in, &err);

	CHECK(rc == AZ_OK || rc == AZ_EINVAL || rc == AZ_ETOOBIG);
	CHECK(rc == AZ_OK ? !s.open : err.text[0] != '\0');
	CHECK(s.entries <= lim.entries && s.bytes <= lim.total_bytes && s.file <= lim.file_bytes);
	return 0;
}
