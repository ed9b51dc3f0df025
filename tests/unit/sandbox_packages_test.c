/* Packages named as data; directories drawn. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/multipart.h>
#include <azlon/path.h>
#include "e2b_fixture.h"

#define START "POST /process.Process/Start"
#define FORM "POST /files "
#define ONE "POST /files?path="
#define GET "GET /files?path="

/* ---- drawings ---- */

static void
a_directory_is_drawn(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/ListDir", {{0}}, 1, 0}};
	struct az_buf out;

	(void)state;
	r[0].step[0] = answer(&f, 200, "",
	    "{\"entries\":["
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/app\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app/main.py\",\"size\":\"12\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/app/lib\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app/lib/x.py\",\"size\":\"3\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app-notes\",\"size\":\"1\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/empty\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/way\",\"symlinkTarget\":\"/"
	    "\"},"
	    "{\"type\":\"FILE_TYPE_UNSPECIFIED\",\"path\":\"/home/user/pipe\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/z\\u001b[31m\\u202e\"}]}");
	fix_start(&f, r, 1);
	az_buf_init(&out, AZ_KIB(4));
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/home/user", 3, &out, &f.err), AZ_OK);
	assert_string_equal(out.p, "/home/user\n"
				   "├── app-notes (1 bytes)\n"
				   "├── app/\n"
				   "│   ├── lib/\n"
				   "│   │   └── x.py (3 bytes)\n"
				   "│   └── main.py (12 bytes)\n"
				   "├── empty/\n"
				   "├── pipe (special)\n"
				   "├── way (link)\n"
				   "└── z?[31m? (0 bytes)\n");
	assert_true(sent(&f, 0, "{\"path\":\"/home/user\",\"depth\":3}"));
	az_buf_release(&out);
	fix_stop(&f);
}

static void
a_drawing_has_an_end(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/ListDir", {{0}}, 2, 0}};
	struct az_buf out, list;
	size_t lines = 0;

	(void)state;
	az_buf_init(&list, AZ_MIB(1));
	az_buf_init(&out, AZ_MIB(1));
	for (int i = 0; i < 3000; i++)
		az_buf_addf(&list, "%s{\"type\":1,\"path\":\"/d/%d/%d\"}",
		    i ? "," : "{\"entries\":[", i / 2, i);
	az_buf_addc(&list, "]}");
	r[0].step[0] = answer(&f, 200, "", list.p);
	r[0].step[1] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"none\"}");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/d", 9, &out, &f.err), AZ_OK);
	for (size_t i = 0; i < out.n; i++)
		lines += out.p[i] == '\n';
	assert_int_equal(lines, 2002); /* the title, and that there is more */
	assert_true(az_str_ends(az_buf_str(&out), AZ_S("… and more\n")));
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/d", 9, &out, &f.err), AZ_ENOTFOUND);
	az_buf_release(&out);
	az_buf_release(&list);
	fix_stop(&f);
}

/* ---- packages ---- */

static void
names_of_packages(void **state)
{
	static const struct {
		enum az_sb_manager m;
		bool ok;
		const char *name;
	} t[] = {
	    {AZ_PIP, true, "numpy"},
	    {AZ_PIP, true, "requests[socks]==2.31.0"},
	    {AZ_PIP, true, "zope.interface>=5,<7"},
	    {AZ_PIP, true, "a[b,c-d]~=1.0"},
	    {AZ_PIP, true, "torch==2.1.0+cpu"},
	    {AZ_PIP, true, "x===1.*"},
	    {AZ_PIP, false, ""},
	    {AZ_PIP, false, "-r"},
	    {AZ_PIP, false, "--index-url=http://evil"},
	    {AZ_PIP, false, "./pkg"},
	    {AZ_PIP, false, "/srv/x.whl"},
	    {AZ_PIP, false, "git+https://h/x"},
	    {AZ_PIP, false, "x @ https://h/x.whl"},
	    {AZ_PIP, false, "x;touch y"},
	    {AZ_PIP, false, "x; python_version<'3'"},
	    {AZ_PIP, false, "$(id)"},
	    {AZ_PIP, false, "x y"},
	    {AZ_PIP, false, "x\ny"},
	    {AZ_PIP, false, "x-"},
	    {AZ_PIP, false, "x[y"},
	    {AZ_PIP, false, "x[]"},
	    {AZ_PIP, false, "x=="},
	    {AZ_PIP, false, "x=1"},
	    {AZ_PIP, false, "x==1,"},
	    {AZ_PIP, false, "пакет"},
	    {AZ_NPM, true, "left-pad"},
	    {AZ_NPM, true, "@types/node@20.1.0"},
	    {AZ_NPM, true, "react@^18"},
	    {AZ_NPM, true, "react@latest"},
	    {AZ_NPM, true, "react@>=18.0.0"},
	    {AZ_NPM, false, "-g"},
	    {AZ_NPM, false, "../x"},
	    {AZ_NPM, false, ".x"},
	    {AZ_NPM, false, "user/repo"},
	    {AZ_NPM, false, "file:x"},
	    {AZ_NPM, false, "x@file:../y"},
	    {AZ_NPM, false, "x@npm:y"},
	    {AZ_NPM, false, "x@git+ssh://h/y"},
	    {AZ_NPM, false, "https://h/x.tgz"},
	    {AZ_NPM, false, "@scope"},
	    {AZ_NPM, false, "@/x"},
	    {AZ_NPM, false, "React"},
	    {AZ_NPM, false, "x@"},
	    {AZ_NPM, false, "x@1 2"},
	    {AZ_NPM, false, "x`id`"},
	    {AZ_APT, true, "gcc"},
	    {AZ_APT, true, "g++"},
	    {AZ_APT, true, "libstdc++6"},
	    {AZ_APT, true, "libc6:amd64"},
	    {AZ_APT, true, "curl=7.88.1-10+deb12u5"},
	    {AZ_APT, true, "x11-apps=7.7+9:1~rc1"},
	    {AZ_APT, false, "gcc-"}, /* would remove it */
	    {AZ_APT, false, "gcc+"},
	    {AZ_APT, false, "-y"},
	    {AZ_APT, false, "./x.deb"},
	    {AZ_APT, false, "/srv/x.deb"},
	    {AZ_APT, false, "gcc/unstable"},
	    {AZ_APT, false, "^lib.*"},
	    {AZ_APT, false, "GCC"},
	    {AZ_APT, false, "x"},
	    {AZ_APT, false, "gcc="},
	    {AZ_APT, false, "gcc:"},
	    {AZ_APT, false, "gcc && id"},
	    {(enum az_sb_manager)9, false, "gcc"},
	};
	struct az_err err;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		enum az_code rc = az_sandbox_package_ok(t[i].m, t[i].name, &err);

		if ((rc == AZ_OK) != t[i].ok)
			fail_msg("%s: %d", t[i].name, (int)rc);
	}
}

static void
packages_are_arguments(void **state)
{
	static const char *const pip[] = {"numpy", "requests[socks]==2.31", NULL};
	static const char *const bad[] = {"numpy", "x;id", NULL};
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct az_sb_result res;
	struct az_sb_cmd o = {.timeout_s = 60};

	(void)state;
	r[0].step[0] = printed(&f, AZ_S(""), 0);
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, AZ_PIP, bad, 2, &o, &res, &f.err), AZ_EINVAL);
	assert_non_null(strstr(f.err.text, "x;id"));
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, AZ_PIP, pip, 0, &o, &res, &f.err), AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, (enum az_sb_manager)9, pip, 1, &o, &res, &f.err),
	    AZ_EINVAL);
	assert_int_equal(http_peer_requests(f.peer), 0);
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_PIP, pip, 2, &o, &res, &f.err), AZ_OK);
	assert_int_equal(res.end, AZ_END_EXITED);
	assert_true(sent(&f, 0, "\"--\",\"numpy\",\"requests[socks]==2.31\"]"));
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_NPM, pip, 1, &o, &res, &f.err), AZ_OK);
	assert_true(sent(&f, 1, "\"cmd\":\"npm\",\"args\":[\"install\""));
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_APT, pip, 1, &o, &res, &f.err), AZ_OK);
	assert_true(sent(&f, 2, "\"cmd\":\"apt-get\",\"args\":[\"install\",\"-y\""));
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_directory_is_drawn),
	    cmocka_unit_test(a_drawing_has_an_end),
	    cmocka_unit_test(names_of_packages),
	    cmocka_unit_test(packages_are_arguments),
	};

	return cmocka_run_group_tests_name("sandbox_tree", tests, NULL, NULL);
}
