/* A tree of names as a drawing, for people. */
#ifndef AZLON_DRAW_H
#define AZLON_DRAW_H

#include <azlon/buf.h>

struct az_draw_item {
	struct az_str path; /* '/'-separated; a directory of its own ends in '/' */
	int64_t size;
	struct az_str note; /* instead of the size, or empty */
};
struct az_draw {
	size_t n;
	/* Item i; they come sorted bytewise by path, so that what lies below one directory
	   stands together. Borrowed until the drawing is done. */
	struct az_draw_item (*item)(const void *arg, size_t i);
	const void *arg;
	size_t skip;  /* bytes at the start of each path that are not drawn */
	size_t lines; /* at most so many, then one that says so; 0 = any number */
};
AZ_API void az_draw_tree(struct az_buf *out, const struct az_draw *d);

#endif
