/* FROM only names the language; the sandbox's template must have it. */
#include "runplan_int.h"

static const struct plan_image images[] = {
    {"python", "python", "python3"},
    {"pypy", "python", "python3"},
    {"code-interpreter", "python", "python3"},
    {"node", "node", "node"},
    {"gcc", "c", "gcc"},
    {"golang", "go", "go"},
    {"rust", "rust", "cargo"},
    {"ruby", "ruby", "ruby"},
    {"perl", "perl", "perl"},
    {"php", "php", "php"},
    {"openjdk", "java", "java"},
    {"eclipse-temurin", "java", "java"},
    {"debian", "shell", "sh"},
    {"ubuntu", "shell", "sh"},
    {"alpine", "shell", "sh"},
    {"bash", "shell", "sh"},
    {"busybox", "shell", "sh"},
    {"buildpack-deps", "shell", "sh"},
    {"fedora", "shell", "sh"},
    {"base", "shell", "sh"},
};

const struct plan_image *
plan_image(struct az_str image)
{
	struct az_str s = image;
	ptrdiff_t at;
	size_t i;

	if ((at = az_str_chr(s, '@')) >= 0) /* a digest */
		s = az_str_sub(s, 0, (size_t)at);
	if ((at = az_str_rchr(s, '/')) >= 0) /* registry and owner */
		s = az_str_sub(s, (size_t)at + 1, s.n);
	if ((at = az_str_chr(s, ':')) >= 0) /* a tag */
		s = az_str_sub(s, 0, (size_t)at);
	for (i = 0; i < sizeof images / sizeof images[0]; i++)
		if (az_str_ieq(s, az_str_c(images[i].name)))
			return &images[i];
	return NULL;
}
