/* upload: files as one multipart body, streamed, in constant memory. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "client.h"

enum { FILES_MAX = 1000 };

struct part {
	const char *path;
	struct az_str head; /* boundary line and headers */
	int64_t size;
};

struct upload {
	struct part *part;
	size_t n, i;        /* parts, and the one we are in */
	struct az_str tail; /* the closing boundary */
	size_t off;         /* into head or tail */
	int fd;             /* open while a file is being read, else -1 */
	int64_t left;
};

/* Some bytes of a text in memory. */
static size_t
some(struct az_str s, size_t *off, char *p, size_t n)
{
	size_t m = s.n - *off < n ? s.n - *off : n;

	memcpy(p, s.p + *off, m);
	*off += m;
	return m;
}

static enum az_code
read_file(struct upload *u, char *p, size_t n, size_t *got, struct az_err *err)
{
	const struct part *t = &u->part[u->i];
	ssize_t r;

	if ((int64_t)n > u->left)
		n = (size_t)u->left;
	do
		r = read(u->fd, p, n);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return az_fail(
		    err, AZ_EIO, "client.upload", "%s became shorter meanwhile", t->path);
	u->left -= r;
	*got = (size_t)r;
	return AZ_OK;
}

static enum az_code
next_bytes(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct upload *u = arg;

	*got = 0;
	while (!*got && u->i < u->n) {
		const struct part *t = &u->part[u->i];

		if (u->off < t->head.n) {
			*got = some(t->head, &u->off, p, n);
			return AZ_OK;
		}
		if (u->fd < 0) {
			u->fd = open(t->path, O_RDONLY | O_CLOEXEC);
			u->left = t->size;
			if (u->fd < 0)
				return az_fail_errno(err, AZ_EIO, "client.upload", "%s", t->path);
		}
		if (u->left)
			return read_file(u, p, n, got, err);
		close(u->fd);
		u->fd = -1;
		u->off = 0;
		u->i++;
	}
	if (u->i == u->n)
		*got = some(u->tail, &u->off, p, n);
	return AZ_OK;
}

/* The part's headers; a name may hold anything but what would end the header. */
static bool
head_of(struct cl *cl, const char *boundary, bool first, const char *path, struct az_str *out)
{
	struct az_str base = az_path_base(az_str_c(path));
	struct az_buf b;

	az_buf_init(&b, 4096);
	az_buf_addf(&b,
	    "%s--%s\r\nContent-Disposition: form-data; name=\"files\"; "
	    "filename=\"",
	    first ? "" : "\r\n", boundary);
	for (size_t i = 0; i < base.n; i++) {
		if (base.p[i] == '"')
			az_buf_addc(&b, "%22");
		else if (base.p[i] == '\r' || base.p[i] == '\n')
			az_buf_addf(&b, "%%%02X", (unsigned)(unsigned char)base.p[i]);
		else
			az_buf_addch(&b, base.p[i]);
	}
	az_buf_addf(&b, "\"\r\nContent-Type: %s\r\n\r\n", az_path_mime(base));
	*out = az_arena_str(cl->a, az_buf_str(&b));
	az_buf_release(&b);
	return out->p != NULL;
}

static int
prepare(
    struct cl *cl, const struct cl_opt *o, const char *boundary, struct upload *u, int64_t *total)
{
	struct stat st;
	char *tail = az_arena_printf(cl->a, "\r\n--%s--\r\n", boundary);

	u->part = az_arena_alloc(cl->a, (size_t)o->narg * sizeof *u->part);
	if (!u->part || !tail)
		return CL_FAILED;
	u->tail = az_str_c(tail);
	*total = (int64_t)u->tail.n;
	for (int i = 0; i < o->narg; i++) {
		struct part *t = &u->part[u->n];

		if (stat(o->arg[i], &st) != 0)
			return cl_usage("%s: %s", o->arg[i], strerror(errno));
		if (!S_ISREG(st.st_mode))
			return cl_usage("%s is not a file", o->arg[i]);
		t->path = o->arg[i];
		t->size = st.st_size;
		if (!head_of(cl, boundary, i == 0, t->path, &t->head))
			return CL_FAILED;
		*total += (int64_t)t->head.n + t->size;
		u->n++;
	}
	return CL_OK;
}

int
cl_upload(struct cl *cl, const struct cl_opt *o)
{
	struct upload u = {.fd = -1};
	struct cl_call c = {.method = "POST", .path = "/files/inputs"};
	const struct az_json *set = NULL, *files;
	char boundary[48];
	unsigned char salt[16];
	int rc;

	if (o->narg < 1 || o->narg > FILES_MAX)
		return cl_usage("upload takes 1 to %d files", FILES_MAX);
	az_random(salt, sizeof salt);
	memcpy(boundary, "azlon-", 6);
	for (size_t i = 0; i < sizeof salt; i++)
		snprintf(boundary + 6 + 2 * i, 3, "%02x", salt[i]);
	if ((rc = prepare(cl, o, boundary, &u, &c.more.body_bytes)))
		return rc;
	c.type = az_arena_printf(cl->a, "multipart/form-data; boundary=%s", boundary);
	c.more.read = next_bytes;
	c.more.arg = &u;
	rc = cl_json(cl, &c, &set);
	if (u.fd >= 0)
		close(u.fd);
	if (rc)
		return rc;
	if (cl->json) {
		cl_print_json(set);
		return CL_OK;
	}
	files = az_json_get(set, "files");
	for (size_t i = 0; i < az_json_len(files); i++) {
		cl_put_size(stderr, az_json_geti(az_json_at(files, i), "size", 0));
		cl_put(stderr, az_json_gets(az_json_at(files, i), "path"), 900);
		fprintf(stderr, "\n");
	}
	/* the id alone on stdout, for --input "$(azlon upload …)" */
	cl_put(stdout, az_json_gets(set, "input_id"), 200);
	printf("\n");
	return CL_OK;
}
