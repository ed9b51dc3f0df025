/* Commands that bring files here: get, zip. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "client.h"

struct sink {
	int fd;
	int64_t bytes;
};

static enum az_code
to_fd(void *arg, struct az_str chunk, struct az_err *err)
{
	struct sink *s = arg;

	if (az_write_all(s->fd, chunk.p, chunk.n) != 0)
		return az_fail_errno(err, AZ_EIO, "client.write", "cannot write");
	s->bytes += (int64_t)chunk.n;
	return AZ_OK;
}

static bool
stop(void *arg)
{
	(void)arg;
	return cl_interrupted(NULL);
}

/* GET path into fd; says what went wrong. */
static int
download(struct cl *cl, const char *path, int fd)
{
	struct sink s = {.fd = fd};
	struct cl_call c = {.method = "GET",
	    .path = path,
	    .more = {.data = to_fd, .arg = &s, .cancelled = stop, .idle_ms = 120000}};
	struct az_http_resp r = {0};
	struct az_err err = AZ_ERR_INIT;
	int rc = CL_OK;

	if (cl_http(cl, &c, &r, &err))
		rc = cl_explain(&r, &err);
	else if (r.status != 200)
		rc = cl_explain(&r, NULL);
	az_http_resp_release(&r);
	return rc;
}

/* Beneath root, under a temporary name until it is whole. */
static int
save(struct cl *cl, const char *url, int root, const char *name)
{
	struct az_str path = az_str_c(name);
	size_t dir = path.n - az_path_base(path).n;
	uint64_t salt;
	char *tmp;
	int fd, rc;

	az_random(&salt, sizeof salt);
	/* a name of its own: the file's may have no room for more */
	tmp = az_arena_printf(
	    cl->a, "%.*s.azlon-%08x.part", AZ_FMT(az_str_sub(path, 0, dir)), (unsigned)salt);
	if (!tmp || az_mkparents_beneath(root, name) != 0 ||
	    (fd = az_open_beneath(root, tmp, O_WRONLY | O_CREAT | O_EXCL, 0666)) < 0) {
		fprintf(stderr, "azlon: cannot write %s: %s\n", name, strerror(errno));
		return CL_FAILED;
	}
	rc = download(cl, url, fd);
	if (close(fd) != 0 || (!rc && renameat(root, tmp, root, name) != 0)) {
		fprintf(stderr, "azlon: cannot write %s: %s\n", name, strerror(errno));
		rc = rc ? rc : CL_FAILED;
	}
	if (rc)
		unlinkat(root, tmp, 0);
	return rc;
}

/* To a path of the caller's own choosing. */
static int
save_as(struct cl *cl, const char *url, const char *path)
{
	struct az_str p = az_str_c(path);
	ptrdiff_t slash = az_str_rchr(p, '/');
	const char *dir = slash < 0    ? "."
			  : slash == 0 ? "/"
				       : az_arena_cstr(cl->a, az_str_sub(p, 0, (size_t)slash));
	const char *name = az_arena_cstr(cl->a, az_path_base(p));
	int root, rc;

	if (!dir || !name || !*name)
		return cl_usage("%s is no file name", path);
	if ((root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		fprintf(stderr, "azlon: %s: %s\n", dir, strerror(errno));
		return CL_FAILED;
	}
	rc = save(cl, url, root, name);
	close(root);
	return rc;
}

int
cl_files(struct cl *cl, const char *id, const struct az_json **out)
{
	struct cl_call c = {.method = "GET"};

	c.path = az_arena_printf(cl->a, "/files/%s?limit=1000", cl_enc(cl, id, NULL));
	return c.path ? cl_json(cl, &c, out) : CL_FAILED;
}

/* fn on every file of a run, page by page. */
static int
each_file(struct cl *cl, const char *id,
    int (*fn)(struct cl *cl, const char *id, const struct az_json *file, void *arg), void *arg)
{
	const char *cursor = "";
	int rc;

	do {
		struct cl_call c = {.method = "GET"};
		const struct az_json *page = NULL, *files;

		c.path = az_arena_printf(cl->a, "/files/%s?limit=1000%s%s", cl_enc(cl, id, NULL),
		    *cursor ? "&cursor=" : "", cursor);
		if (!c.path)
			return CL_FAILED;
		if ((rc = cl_json(cl, &c, &page)))
			return rc;
		files = az_json_get(page, "files");
		for (size_t i = 0; i < az_json_len(files); i++)
			if ((rc = fn(cl, id, az_json_at(files, i), arg)))
				return rc;
		cursor = az_arena_cstr(cl->a, az_json_gets(page, "next_cursor"));
		cursor = cursor && az_json_len(files) ? cl_enc(cl, cursor, NULL) : "";
	} while (*cursor);
	return CL_OK;
}

static int
show_file(struct cl *cl, const char *id, const struct az_json *file, void *arg)
{
	(void)id;
	(void)arg;
	if (cl->json) {
		cl_print_json(file);
		return CL_OK;
	}
	cl_put_size(stdout, az_json_geti(file, "size", 0));
	cl_put(stdout, az_json_gets(file, "path"), 900);
	printf("\n");
	return CL_OK;
}

static const char *
file_url(struct cl *cl, const char *id, const char *path)
{
	return az_arena_printf(cl->a, "/files/%s/%s", cl_enc(cl, id, NULL), cl_enc(cl, path, "/"));
}

/* The server's names are checked as if a stranger had sent them: one did. */
static int
fetch_file(struct cl *cl, const char *id, const struct az_json *file, void *arg)
{
	struct az_str path = az_json_gets(file, "path");
	struct az_err err = AZ_ERR_INIT;
	const char *name = az_arena_cstr(cl->a, path), *url;
	int rc;

	if (!name || az_path_ok(path, &err)) {
		fprintf(stderr, "azlon: refused a file name: %s\n", err.text);
		return CL_FAILED;
	}
	if (!(url = file_url(cl, id, name)))
		return CL_FAILED;
	if ((rc = save(cl, url, *(int *)arg, name)))
		return rc;
	return show_file(cl, id, file, NULL);
}

int
cl_get(struct cl *cl, const struct cl_opt *o)
{
	const char *url;
	int root, rc;

	if (o->narg < 1 || o->narg > 2)
		return cl_usage("get takes a run id and perhaps a path");
	if (o->narg == 2) {
		if (!(url = file_url(cl, o->arg[0], o->arg[1])))
			return CL_FAILED;
		if (!o->out || !strcmp(o->out, "-"))
			return download(cl, url, STDOUT_FILENO);
		return save_as(cl, url, o->out);
	}
	if (!o->out)
		return each_file(cl, o->arg[0], show_file, NULL);
	if (mkdir(o->out, 0777) != 0 && errno != EEXIST) {
		fprintf(stderr, "azlon: %s: %s\n", o->out, strerror(errno));
		return CL_FAILED;
	}
	if ((root = open(o->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		fprintf(stderr, "azlon: %s: %s\n", o->out, strerror(errno));
		return CL_FAILED;
	}
	rc = each_file(cl, o->arg[0], fetch_file, &root);
	close(root);
	return rc;
}

int
cl_zip(struct cl *cl, const struct cl_opt *o)
{
	const char *url, *out = o->out;

	if (o->narg != 1)
		return cl_usage("zip takes one run id");
	url = az_arena_printf(cl->a, "/files/%s?format=zip", cl_enc(cl, o->arg[0], NULL));
	if (!out)
		out = az_arena_printf(cl->a, "%s.zip", cl_enc(cl, o->arg[0], NULL));
	if (!url || !out)
		return CL_FAILED;
	if (!strcmp(out, "-"))
		return download(cl, url, STDOUT_FILENO);
	if (isatty(STDERR_FILENO) && !cl->json)
		fprintf(stderr, "%s\n", out);
	return save_as(cl, url, out);
}
