/* Plain driver: replays the corpus of a fuzz target, so that any compiler runs it.
   With libFuzzer (make fuzz) this file is left out. Prints TAP. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int
one(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(1 << 20);
	size_t n;

	if (!f || !p) {
		free(p);
		if (f)
			fclose(f);
		return 0;
	}
	n = fread(p, 1, 1 << 20, f);
	fclose(f);
	/* an exact copy, so that a sanitizer sees reads past the end */
	uint8_t *q = malloc(n ? n : 1);
	if (q) {
		memcpy(q, p, n);
		LLVMFuzzerTestOneInput(q, n);
	}
	free(q);
	free(p);
	return 1;
}

int
main(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	char dir[4096], path[8192];
	DIR *d;
	struct dirent *e;
	int n = 0;

	(void)argc;
	base = base ? base + 1 : argv[0];
	snprintf(dir, sizeof dir, AZ_SRC "/tests/fuzz/corpus/%.*s",
	    (int)(strlen(base) - strlen("_fuzz")), base);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	if ((d = opendir(dir))) {
		while ((e = readdir(d))) {
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
			n += one(path);
		}
		closedir(d);
	}
	printf("ok 1 - %d inputs replayed\n1..1\n", n);
	return 0;
}
