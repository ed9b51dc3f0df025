/*
 * A journal of any bytes: it is opened or refused, never overwritten when refused, and
 * whatever is read from it is bounded and has no event that fails its checksum.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/engine.h>
#include <azlon/limits.h>
#include <azlon/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(struct az_engine *e)
{
	struct az_list_query q = {.uid = AZ_S("alice"), .limit = 50};
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_list_page p;
	struct az_run_info r;
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;

	if (!az_engine_list(e, &q, a, &p, &err))
		assert(p.n <= 50);
	for (size_t i = 0; i < p.n; i++) {
		if (!az_engine_describe(e, p.runs[i].workflow_id, a, &r, &err))
			assert(r.n_pending <= 4);
		if (az_engine_history(e, p.runs[i].workflow_id, 0, 100, a, &h, &err))
			continue;
		for (size_t k = 1; k < h.n; k++)
			assert(h.ev[k].id > h.ev[k - 1].id);
	}
	az_arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/tmp/az-jfuzz-XXXXXX", path[64];
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_buf b;
	struct az_err err = AZ_ERR_INIT;
	int fd, tmp;

	if (size > AZ_KIB(256) || !mkdtemp(dir))
		return 0;
	snprintf(path, sizeof path, "%s/journal.db", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert(fd >= 0 && az_write_all(fd, data, size) == 0);
	close(fd);
	if (az_engine_local_open(&o, &e, &err) == AZ_OK) {
		use(e);
		az_engine_close(e);
	} else {
		az_buf_init(&b, AZ_KIB(512));
		assert(az_read_file(path, AZ_KIB(512), &b, &err) == AZ_OK);
		assert(b.n == size);
		assert(size == 0 || memcmp(b.p, data, size) == 0);
		az_buf_release(&b);
	}
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	az_remove_tree(tmp, dir + 5);
	close(tmp);
	return 0;
}
