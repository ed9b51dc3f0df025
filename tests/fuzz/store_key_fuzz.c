/*
 * Keys, one a line: whatever is accepted stays beneath the root, comes back from get,
 * and a listing returns exactly what was put, in order.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include <azlon/store.h>
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A directory of /tmp and what is in it. */
static int
remove_tmp(const char *path)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = az_remove_tree(tmp, strrchr(path, '/') + 1);

	close(tmp);
	return rc;
}

static void
put_all(struct az_store *s, const struct az_bucket *b, struct az_str text, enum az_code *codes)
{
	struct az_str key;
	size_t i = 0;

	while (i < 64 && az_str_cut(&text, '\n', &key))
		codes[i++] = az_store_put(s, b, key, key, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char parent[] = "/tmp/azlon-fuzz-XXXXXX", root[64];
	struct az_bucket b = az_bucket_of(AZ_S("u"));
	struct az_str text = az_str_n(data, n), rest, key;
	struct az_store *s[2];
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	enum az_code codes[2][64] = {{AZ_OK}};
	struct az_store_list q = {.limit = 1 + (int)(n % 5), .one_level = n % 2};
	struct stat st;
	size_t i = 0;

	CHECK(a && mkdtemp(parent));
	snprintf(root, sizeof root, "%s/root", parent);
	CHECK(az_store_dir_open(root, &s[0], NULL) == AZ_OK);
	CHECK(az_store_mem_open(&s[1], NULL) == AZ_OK);
	for (int k = 0; k < 2; k++)
		put_all(s[k], &b, text, codes[k]);
	CHECK(memcmp(codes[0], codes[1], sizeof codes[0]) == 0);
	/* beside the root nothing came into being */
	CHECK(stat(parent, &st) == 0 && st.st_nlink == 3);
	rest = text;
	while (i < 64 && az_str_cut(&rest, '\n', &key)) {
		struct az_buf body;

		if (codes[0][i++] != AZ_OK)
			continue;
		az_buf_init(&body, n + 1);
		CHECK(az_store_get(s[0], &b, key, &body, NULL) == AZ_OK);
		CHECK(az_str_eq(az_buf_str(&body), key));
		az_buf_release(&body);
	}
	for (int pages = 0; pages < 100; pages++) {
		struct az_store_page p[2];

		for (int k = 0; k < 2; k++)
			CHECK(az_store_list(s[k], &b, &q, a, &p[k], NULL) == AZ_OK);
		CHECK(p[0].n == p[1].n && az_str_eq(p[0].next, p[1].next));
		for (size_t j = 0; j < p[0].n; j++) {
			CHECK(az_str_eq(p[0].objs[j].key, p[1].objs[j].key));
			CHECK(p[0].objs[j].dir == p[1].objs[j].dir);
			CHECK(j == 0 || az_str_cmp(p[0].objs[j - 1].key, p[0].objs[j].key) < 0);
		}
		q.after = p[0].next;
		if (!q.after.n)
			break;
	}
	for (int k = 0; k < 2; k++)
		az_store_close(s[k]);
	CHECK(remove_tmp(parent) == 0);
	az_arena_free(a);
	return 0;
}
