/* gzip, in and out; the only file that includes zlib. */
#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <azlon/gzip.h>

#define OUT_BYTES ((size_t)64 * 1024)
#define LEVEL 1          /* what is sent stays on this host or is on its way at once */
#define WINDOW (15 + 16) /* with gzip's header and trailer */

static const char op[] = "gzip";

struct az_gzip {
	z_stream z;
	bool pack;
	bool between; /* of unpacking: no member is open */
	az_gzip_sink *sink;
	void *arg;
	unsigned char out[OUT_BYTES];
};

enum az_code
az_gzip_open(bool pack, az_gzip_sink *sink, void *arg, struct az_gzip **out, struct az_err *err)
{
	struct az_gzip *g = calloc(1, sizeof *g);
	int rc = Z_MEM_ERROR;

	*out = NULL;
	if (g && pack)
		rc = deflateInit2(&g->z, LEVEL, Z_DEFLATED, WINDOW, 8, Z_DEFAULT_STRATEGY);
	else if (g)
		rc = inflateInit2(&g->z, WINDOW);
	if (rc != Z_OK) {
		free(g);
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	g->pack = pack;
	g->sink = sink;
	g->arg = arg;
	*out = g;
	return AZ_OK;
}

void
az_gzip_close(struct az_gzip *g)
{
	if (!g)
		return;
	if (g->pack)
		deflateEnd(&g->z);
	else
		inflateEnd(&g->z);
	free(g);
}

/* Run the filter over what z has until it wants more. */
static enum az_code
turn(struct az_gzip *g, int flush, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	int z;

	do {
		g->z.next_out = g->out;
		g->z.avail_out = OUT_BYTES;
		if (g->pack) {
			z = deflate(&g->z, flush);
		} else {
			g->between = false;
			z = inflate(&g->z, Z_NO_FLUSH);
		}
		if (z == Z_MEM_ERROR)
			return az_fail(err, AZ_ENOMEM, op, "out of memory");
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return az_fail(err, AZ_EINVAL, op, "the body is not gzip");
		if (g->z.avail_out < OUT_BYTES)
			rc = g->sink(g->arg, az_str_n(g->out, OUT_BYTES - g->z.avail_out), err);
		/* several members one behind the other are their contents in a row */
		if (!g->pack && z == Z_STREAM_END) {
			g->between = true;
			inflateReset(&g->z);
			if (!g->z.avail_in)
				break;
		}
	} while (!rc && z != Z_BUF_ERROR && (g->z.avail_in || !g->z.avail_out));
	return rc;
}

enum az_code
az_gzip_feed(struct az_gzip *g, struct az_str bytes, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	while (!rc && bytes.n) {
		size_t n = bytes.n < INT_MAX ? bytes.n : INT_MAX;

		g->z.next_in = (const Bytef *)bytes.p;
		g->z.avail_in = (uInt)n;
		bytes = az_str_sub(bytes, n, bytes.n);
		rc = turn(g, Z_NO_FLUSH, err);
	}
	return rc;
}

enum az_code
az_gzip_finish(struct az_gzip *g, struct az_err *err)
{
	if (g->pack)
		return turn(g, Z_FINISH, err);
	return g->between ? AZ_OK : az_fail(err, AZ_EINVAL, op, "the gzip body was cut short");
}
