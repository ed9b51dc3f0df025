/*
 * Archives made by Python's zipfile and tarfile, most of them hostile: what is let
 * through, what is refused and what the refusal says.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/archive.h>
#include <azlon/limits.h>
#include <azlon/path.h>

/* What every script starts with; f is the file to write. */
static const char prelude[] =
    "import sys, io, struct, zipfile, tarfile, gzip\n"
    "def z(*names, comp=0, data=b'x'):\n"
    "    with zipfile.ZipFile(f, 'w', comp) as a:\n"
    "        for n in names:\n"
    "            a.writestr(n if isinstance(n, zipfile.ZipInfo) else zipfile.ZipInfo(n), b'' if "
    "getattr(n, 'filename', n).endswith('/') else data, comp)\n"
    "def info(n, mode):\n"
    "    i = zipfile.ZipInfo(n); i.create_system = 3; i.external_attr = mode << 16\n"
    "    return i\n"
    "def t(*items, mode='w:gz', **kw):\n"
    "    with tarfile.open(f, mode, **kw) as a:\n"
    "        for n, kind, data in items:\n"
    "            i = tarfile.TarInfo(n); i.type = kind; i.size = len(data); i.linkname = 'target'\n"
    "            a.addfile(i, io.BytesIO(data))\n"
    "def patch(old, new, count=-1):\n"
    "    b = open(f, 'rb').read()\n"
    "    assert old in b\n"
    "    open(f, 'wb').write(b.replace(old, new, count))\n";

static char dir[] = "/tmp/azlon-archive-XXXXXX";

/* Behind it: each script in turn, what it changed in zipfile put back. */
static const char driver[] = "for i, script in enumerate(sys.argv[2:]):\n"
			     "    f = '%s/%d' % (sys.argv[1], i)\n"
			     "    was = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT\n"
			     "    exec(script, globals())\n"
			     "    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = was\n";

/* Script i makes the file i of dir; one interpreter for all. */
static void
make(const char *const *scripts, size_t n)
{
	const char *argv[128] = {"python3", "-c", NULL, dir};
	int status = -1;
	struct az_buf b;
	pid_t pid;

	assert_true(n + 5 < 128);
	az_buf_init(&b, 1 << 16);
	az_buf_addc(&b, prelude);
	az_buf_addc(&b, driver);
	argv[2] = b.p;
	for (size_t i = 0; i < n; i++)
		argv[4 + i] = scripts[i];
	pid = fork();
	if (pid == 0) {
		execvp("python3", (char **)(uintptr_t)argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	az_buf_release(&b);
	assert_int_equal(status, 0);
}

/* The file i, open and already without a name. */
static int
made(size_t i)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%s/%zu", dir, i);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

struct seen {
	struct az_buf text; /* "path:mode:bytes " */
	int64_t bytes;
	int open;
};

static enum az_code
on_entry(void *arg, struct az_str path, unsigned mode, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_int_equal(az_path_ok(path, NULL), AZ_OK);
	assert_int_equal(s->open++, 0);
	s->bytes = 0;
	az_buf_addf(&s->text, "%.*s:%o:", AZ_FMT(path), mode);
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_int_equal(s->open, 1);
	s->bytes += (int64_t)bytes.n;
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_int_equal(s->open--, 1);
	az_buf_addf(&s->text, "%lld ", (long long)s->bytes);
	return AZ_OK;
}

static enum az_code
run(size_t i, struct az_buf *text, struct az_err *err)
{
	static const struct az_archive_limits lim = {100, 4 << 20, 8 << 20, 100};
	struct seen s = {.open = 0};
	struct az_archive_in in = {on_entry, on_data, on_end, &s};
	enum az_code rc;
	int fd = made(i);

	az_buf_init(&s.text, 1 << 20);
	memset(err, 0, sizeof *err);
	rc = az_archive_read(fd, &lim, &in, err);
	close(fd);
	if (text)
		az_buf_adds(text, az_buf_str(&s.text));
	az_buf_release(&s.text);
	return rc;
}

static void
test_good_archives(void **state)
{
	static const struct {
		const char *script, *want;
	} t[] = {
	    {"z('a.txt', 'd/b.txt', 'd/e/')", "a.txt:644:1 d/b.txt:644:1 "},
	    {"z('a', comp=8, data=b'x' * 5000)", "a:644:5000 "},
	    {"z()", ""},
	    {"z(info('run.sh', 0o100755), info('d/', 0o40755))", "run.sh:755:1 "},
	    {"z('\\u00e9.txt')", "\xc3\xa9.txt:644:1 "},
	    /* no flag: valid UTF-8 is meant so, else code page 437 */
	    {"z('qqq'); patch(b'qqq', 'a\\u00e9'.encode())", "a\xc3\xa9:644:1 "},
	    {"z('qqq'); patch(b'qqq', b'a\\x82b')", "a\xc3\xa9"
						    "b:644:1 "},
	    /* decomposed, as some systems write it, arrives composed */
	    {"z('e\\u0301.txt')", "\xc3\xa9.txt:644:1 "},
	    /* streamed by its writer: sizes behind the data, 64-bit fields */
	    {"class O:\n"
	     "    def __init__(s): s.o = open(f, 'wb')\n"
	     "    def write(s, b): return s.o.write(b)\n"
	     "    def flush(s): s.o.flush()\n"
	     "with zipfile.ZipFile(O(), 'w') as a:\n"
	     "    with a.open('big', 'w', force_zip64=True) as e: e.write(b'y' * 70000)\n"
	     "    a.writestr('b', b'1')\n",
		"big:644:70000 b:644:1 "},
	    {"with zipfile.ZipFile(f, 'w') as a:\n"
	     "    with a.open('big', 'w', force_zip64=True) as e: e.write(b'y' * 7)\n",
		"big:644:7 "},
	    {"zipfile.ZIP64_LIMIT = 0; zipfile.ZIP_FILECOUNT_LIMIT = 0\nz('a', 'b')",
		"a:644:1 b:644:1 "},
	    {"with zipfile.ZipFile(f, 'w') as a:\n"
	     "    a.writestr('a', b'x'); a.comment = b'hello ' * 100\n",
		"a:644:1 "},
	    /* an archive inside an archive is data */
	    {"z('in.zip', data=b'PK\\5\\6' + bytes(18))", "in.zip:644:22 "},
	    {"t(('a', tarfile.REGTYPE, b'123'), ('d', tarfile.DIRTYPE, b''))", "a:644:3 "},
	    {"t(('./', tarfile.DIRTYPE, b''), ('./d/a', tarfile.REGTYPE, b'1'), mode='w')",
		"d/a:644:1 "},
	    {"t(('d/\\u00e9' + 'x' * 200, tarfile.REGTYPE, b'1'), format=tarfile.PAX_FORMAT)",
		"d/\xc3\xa9xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxx:644:1 "},
	    {"t(('A/x', tarfile.REGTYPE, b''), ('a/y', tarfile.REGTYPE, b''))",
		"A/x:644:0 a/y:644:0 "},
	    /* below the first MiB any ratio is fine */
	    {"z('zeros', comp=8, data=bytes(1 << 20))", "zeros:644:1048576 "},
	};

	const char *scripts[sizeof t / sizeof *t];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		scripts[i] = t[i].script;
	make(scripts, sizeof t / sizeof *t);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_buf text;
		struct az_err err;

		az_buf_init(&text, 1 << 20);
		if (run(i, &text, &err) != AZ_OK)
			fail_msg("%s: %s", t[i].script, err.text);
		assert_string_equal(text.p ? text.p : "", t[i].want);
		az_buf_release(&text);
	}
}

static void
test_refused_archives(void **state)
{
	static const struct {
		const char *script;
		enum az_code want;
		const char *says;
	} t[] = {
	    /* slips */
	    {"z('../x')", AZ_EINVAL, "\"../x\""},
	    {"z('a/../../x')", AZ_EINVAL, "\"..\" segment"},
	    {"z('/etc/passwd')", AZ_EINVAL, "absolute"},
	    {"z('./x')", AZ_EINVAL, "\".\""},
	    {"z('a//x')", AZ_EINVAL, "empty segment"},
	    {"z('C:/x')", AZ_EINVAL, "drive"},
	    {"z('q'); patch(b'q', b'\\\\')", AZ_EINVAL, "backslash"},
	    {"z('qqqq'); patch(b'qqqq', b'a\\0bc')", AZ_EINVAL, "control"},
	    {"z('qqqq'); patch(b'qqqq', b'a\\nbc')", AZ_EINVAL, "control"},
	    {"z('a\\u202eb')", AZ_EINVAL, "direction"},
	    {"z('.azlon/x')", AZ_EINVAL, "reserved"},
	    {"z('/'.join('a' * 17))", AZ_EINVAL, "deeper"},
	    {"z('a' * 256)", AZ_EINVAL, "255"},
	    {"z('a' * 2000)", AZ_EINVAL, "longer"},
	    {"z('\\u00e9'); patch('\\u00e9'.encode(), b'\\xff\\xfe')", AZ_EINVAL, "UTF-8"},
	    {"t(('../x', tarfile.REGTYPE, b'1'))", AZ_EINVAL, "\"..\""},
	    {"t(('/x', tarfile.REGTYPE, b'1'))", AZ_EINVAL, "absolute"},
	    {"t(('././x', tarfile.REGTYPE, b'1'))", AZ_EINVAL, "\".\""},
	    /* what is no file */
	    {"z(info('l', 0o120777))", AZ_EINVAL, "links"},
	    {"z(info('l', 0o20666))", AZ_EINVAL, "not a regular"},
	    {"z(info('l', 0o10666))", AZ_EINVAL, "not a regular"},
	    {"t(('l', tarfile.SYMTYPE, b''))", AZ_EINVAL, "links"},
	    {"t(('a', tarfile.REGTYPE, b'1'), ('l', tarfile.LNKTYPE, b''))", AZ_EINVAL, "links"},
	    {"t(('l', tarfile.CHRTYPE, b''))", AZ_EINVAL, "not a regular"},
	    {"t(('l', tarfile.FIFOTYPE, b''))", AZ_EINVAL, "not a regular"},
	    {"with zipfile.ZipFile(f, 'w') as a: a.writestr(zipfile.ZipInfo('d/'), b'x')",
		AZ_EINVAL, "contents"},
	    /* collisions */
	    {"import warnings; warnings.simplefilter('ignore'); z('a', 'a')", AZ_EINVAL,
		"collides"},
	    {"z('a/B', 'a/b')", AZ_EINVAL, "collides"},
	    {"z('\\u00e9', 'e\\u0301')", AZ_EINVAL, "collides"},
	    {"z('\\u00c9', 'e\\u0301')", AZ_EINVAL, "collides"},
	    {"z('\\u03c3', '\\u03c2')", AZ_EINVAL, "collides"},
	    {"z('a', 'a/b')", AZ_EINVAL, "collides"},
	    {"z('a/b', 'A')", AZ_EINVAL, "collides"},
	    {"z('a/', 'a')", AZ_EINVAL, "collides"},
	    {"t(('a', tarfile.REGTYPE, b'1'), ('./a', tarfile.REGTYPE, b'2'))", AZ_EINVAL,
		"collides"},
	    {"z('x\\u0323\\u0302\\u0301')", AZ_EINVAL, "marks"},
	    /* two truths */
	    {"z('aaaa'); patch(b'aaaa', b'bbbb', 1)", AZ_EINVAL, "disagree"},
	    {"z('a', data=b'12345678'); b = bytearray(open(f, 'rb').read())\n"
	     "b[18] = b[22] = 4; open(f, 'wb').write(b)",
		AZ_EINVAL, "disagree"},
	    {"z('a'); b = bytearray(open(f, 'rb').read())\n"
	     "b[14] ^= 1; open(f, 'wb').write(b)",
		AZ_EINVAL, "disagree"},
	    /* both agree on a checksum that is not the data's */
	    {"z('a'); patch(struct.pack('<I', 0x8cdc1683), b'abcd')", AZ_EINVAL, "damaged"},
	    {"z('a', 'b'); b = open(f, 'rb').read()\n"
	     "open(f, 'wb').write(b'#!/bin/sh\\n' + b)",
		AZ_EINVAL, "neither"},
	    {"z('a'); b = open(f, 'rb').read(); i = b.rindex(b'PK\\5\\6')\n"
	     "open(f, 'wb').write(b[:i] + b'#!' + b[i:])",
		AZ_EINVAL, "none belong"},
	    {"z('a'); b = open(f, 'rb').read()\nopen(f, 'wb').write(b[:-5])", AZ_EINVAL,
		"end is missing"},
	    /* the second entry's header lies inside the first one's data */
	    {"with zipfile.ZipFile(f + '2', 'w') as a: a.writestr('in', b'x')\n"
	     "b = open(f + '2', 'rb').read(); n = b.index(b'PK\\1\\2')\n"
	     "z('out', data=b[:n])\n"
	     "b = open(f, 'rb').read(); k = b.index(b'PK\\1\\2'); e = b.rindex(b'PK\\5\\6')\n"
	     "with zipfile.ZipFile(f + '2') as a: pass\n"
	     "c = bytearray(open(f + '2', 'rb').read()[n:]); c = c[:c.index(b'PK\\5\\6')]\n"
	     "struct.pack_into('<I', c, 42, 33)\n"
	     "d = b[k:e] + bytes(c)\n"
	     "end = bytearray(b[e:]); struct.pack_into('<HHI', end, 8, 2, 2, len(d))\n"
	     "open(f, 'wb').write(b[:k] + d + end); import os; os.unlink(f + '2')",
		AZ_EINVAL, "overlaps"},
	    {"z('a'); b = bytearray(open(f, 'rb').read())\n"
	     "b[6] |= 1; b[b.index(b'PK\\1\\2') + 8] |= 1; open(f, 'wb').write(b)",
		AZ_EINVAL, "encrypted"},
	    {"z('a', comp=14)", AZ_EINVAL, "method"},
	    /* bombs */
	    {"z('zeros', comp=8, data=bytes(3 << 20))", AZ_ETOOBIG, "ratio"},
	    {"z('a', data=bytes(5 << 20))", AZ_ETOOBIG, "one file"},
	    {"z('a', 'b', 'c', data=bytes(3 << 20))", AZ_ETOOBIG, "in total"},
	    {"z(*map(str, range(101)))", AZ_ETOOBIG, "100 entries"},
	    {"t(*[(str(i), tarfile.DIRTYPE, b'') for i in range(101)])", AZ_ETOOBIG, "100 entries"},
	    {"t(('zeros', tarfile.REGTYPE, bytes(3 << 20)))", AZ_ETOOBIG, "ratio"},
	    /* a small header that claims 2 MiB, holes and all */
	    {"z('a', comp=8, data=b'x' * 100)\n"
	     "b = bytearray(open(f, 'rb').read())\n"
	     "i = b.index(b'PK\\1\\2')\n"
	     "b[22] = b[i + 24] = 50; open(f, 'wb').write(b)",
		AZ_EINVAL, "damaged"},
	    /* no archive, half an archive */
	    {"open(f, 'wb').write(b'hello world')", AZ_EINVAL, "neither"},
	    {"open(f, 'wb')", AZ_EINVAL, "neither"},
	    {"open(f, 'wb').write(gzip.compress(b'hello' * 1000))", AZ_EINVAL, "neither"},
	    {"t(('a', tarfile.REGTYPE, bytes(range(256)) * 1000))\n"
	     "b = open(f, 'rb').read(); open(f, 'wb').write(b[:len(b) // 2])",
		AZ_EINVAL, "damaged"},
	};

	const char *scripts[sizeof t / sizeof *t];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		scripts[i] = t[i].script;
	make(scripts, sizeof t / sizeof *t);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_err err;
		enum az_code rc = run(i, NULL, &err);

		if (rc != t[i].want || !strstr(err.text, t[i].says))
			fail_msg("%s: %s (%s), want %s \"%s\"", t[i].script, az_code_name(rc),
			    err.text, az_code_name(t[i].want), t[i].says);
	}
}

static enum az_code
on_entry_full(void *arg, struct az_str path, unsigned mode, struct az_err *err)
{
	(void)arg;
	(void)path;
	(void)mode;
	return az_fail(err, AZ_EUNAVAIL, "test", "full");
}

static void
test_receivers_failure_passes_through(void **state)
{
	static const struct az_archive_limits lim = {100, 100, 100, 100};
	struct az_archive_in in = {on_entry_full, on_data, on_end, NULL};
	struct az_err err;
	int fd;

	(void)state;
	make((const char *const[]){"z('a')"}, 1);
	fd = made(0);
	assert_int_equal(az_archive_read(fd, &lim, &in, &err), AZ_EUNAVAIL);
	assert_string_equal(err.text, "full");
	close(fd);
}

static void
test_names(void **state)
{
	static const char *const same[] = {"a", "\xc3\xa9", "x\xcc\x82", "\xea\xb0\x81",
	    "\xe3\x81\x8c", "a/b c", "\xf0\x9f\x98\x80"};
	static const char *const changed[][2] = {
	    {"e\xcc\x81", "\xc3\xa9"},
	    {"a\xcc\xa3\xcc\x82", "\xe1\xba\xad"}, /* two marks */
	    {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},
	    {"\xe3\x81\x8b\xe3\x82\x99", "\xe3\x81\x8c"},
	    {"e\xcc\x81/e\xcc\x81", "\xc3\xa9/\xc3\xa9"},
	};
	static const char *const bad[] = {"\xe2\x84\xab", /* the angstrom sign */
	    "a\xcc\x82\xcc\xa3", "\xc3\xa2\xcc\xa3", "\xff"};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 100);
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		az_buf_reset(&b);
		assert_int_equal(az_name_nfc(az_str_c(same[i]), &b, NULL), AZ_OK);
		assert_string_equal(b.p, same[i]);
	}
	for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
		az_buf_reset(&b);
		assert_int_equal(az_name_nfc(az_str_c(changed[i][0]), &b, NULL), AZ_OK);
		assert_string_equal(b.p, changed[i][1]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(az_name_nfc(az_str_c(bad[i]), &b, NULL), AZ_EINVAL);
	az_buf_reset(&b);
	az_name_fold(AZ_S("ABC\xc3\x89"), &b);
	assert_string_equal(b.p, "abc\xc3\xa9");
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good_archives),
	    cmocka_unit_test(test_refused_archives),
	    cmocka_unit_test(test_receivers_failure_passes_through),
	    cmocka_unit_test(test_names),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}
