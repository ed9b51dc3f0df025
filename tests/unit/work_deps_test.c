/* Which file reads or writes which, out of their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "work/deps.h"

struct tree {
	struct az_arena *a;
	struct az_manifest m;
	struct deps *d;
};

static int
setup(void **state)
{
	static const char *const paths[] = {"main.py", "data.csv", "util.py", "pkg/__init__.py",
	    "pkg/calc.py", "pkg/table.csv", "src/a.js", "src/b.js", "src/c.json", "run.sh", "x.h",
	    "x.c", "Tabelle für Ä.csv"};
	struct tree *t = calloc(1, sizeof *t);
	struct az_err err;

	t->a = az_arena_new(AZ_MIB(8));
	az_manifest_init(&t->m, t->a);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct az_file f = {.path = az_str_c(paths[i]), .size = 1, .mode = 0644};

		memset(f.sha256, 'a', 64);
		assert_int_equal(az_manifest_set(&t->m, &f, &err), AZ_OK);
	}
	t->d = az_arena_alloc(t->a, sizeof *t->d);
	deps_init(t->d, t->a, &t->m);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct tree *t = *state;

	az_arena_free(t->a);
	free(t);
	return 0;
}

static void
says(struct tree *t, const char *file, const char *text, const char *want)
{
	struct az_err err;
	struct az_buf b;
	struct az_jw w;

	deps_init(t->d, t->a, &t->m);
	assert_int_equal(deps_scan(t->d, az_str_c(file), az_str_c(text), &err), AZ_OK);
	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	deps_json(t->d, &w);
	assert_int_equal(az_buf_check(&b, "test", &err), AZ_OK);
	if (!az_str_eqc(az_buf_str(&b), want))
		fail_msg("%s: %s\n  says %.*s\n  not  %s", file, text, (int)b.n, b.p, want);
	az_buf_release(&b);
}

static const struct {
	const char *file, *text, *want;
} rows[] = {
    {"main.py", "print('hello')\n", "[]"},
    {"main.py", "df = pd.read_csv('data.csv')\n",
	"[{\"file\":\"main.py\",\"reads\":[\"data.csv\"]}]"},
    {"main.py", "open(\"./data.csv\").read()\nopen('data.csv')\n",
	"[{\"file\":\"main.py\",\"reads\":[\"data.csv\"]}]"},
    {"main.py", "with open('out.txt', 'w') as f:\n    pass\n",
	"[{\"file\":\"main.py\",\"writes\":[\"out.txt\"]}]"},
    {"main.py", "open('data.csv', mode='ab')\n",
	"[{\"file\":\"main.py\",\"writes\":[\"data.csv\"]}]"},
    {"main.py", "open('data.csv', 'rb')\n", "[{\"file\":\"main.py\",\"reads\":[\"data.csv\"]}]"},
    {"main.py", "df.to_csv('out/t.csv'); plt.savefig(\"plot.png\")\n",
	"[{\"file\":\"main.py\",\"writes\":[\"out/t.csv\",\"plot.png\"]}]"},
    {"main.py", "Path('note.md').write_text(x)\n",
	"[{\"file\":\"main.py\",\"writes\":[\"note.md\"]}]"},
    /* what it writes itself it does not miss */
    {"main.py", "open('a.txt','w')\nopen('a.txt')\n",
	"[{\"file\":\"main.py\",\"reads\":[\"a.txt\"],\"writes\":[\"a.txt\"]}]"},
    {"main.py", "pd.read_csv('gone.csv')\n", "[{\"file\":\"main.py\",\"missing\":[\"gone.csv\"]}]"},
    /* no file names: versions, modules, hosts, formats, other people's places */
    {"main.py",
	"v = '1.2'; m = 'os.path'; h = 'a.example.com'; f = open('/etc/passwd'); "
	"u = read('http://x/y.csv'); g = open('%s.csv'); k = open('../up.txt')\n",
	"[]"},
    {"main.py", "import util, pkg.calc as c\nfrom pkg import calc\nimport os\n",
	"[{\"file\":\"main.py\",\"reads\":[\"util.py\",\"pkg/calc.py\",\"pkg/__init__.py\"]}]"},
    {"pkg/calc.py", "from . import other\nopen('table.csv')\nopen('../data.csv')\n",
	"[{\"file\":\"pkg/calc.py\",\"reads\":[\"pkg/table.csv\",\"data.csv\"]}]"},
    {"main.py", "# open('data.csv')\n", "[]"},
    {"main.py", "open('Tabelle für Ä.csv')\n",
	"[{\"file\":\"main.py\",\"reads\":[\"Tabelle für Ä.csv\"]}]"},
    {"main.py", "s = 'it\\'s data.csv'\nopen('data.csv", "[]"},
    {"src/a.js", "const b = require('./b'); import c from \"./c\";\n",
	"[{\"file\":\"src/a.js\",\"reads\":[\"src/b.js\",\"src/c.json\"]}]"},
    {"src/a.js", "fs.writeFileSync(`out.json`, s)\n",
	"[{\"file\":\"src/a.js\",\"writes\":[\"out.json\"]}]"},
    {"x.c", "#include \"x.h\"\n#include <stdio.h>\nfopen(\"o.bin\", \"wb\");\n",
	"[{\"file\":\"x.c\",\"reads\":[\"x.h\"],\"writes\":[\"o.bin\"]}]"},
    {"run.sh", "python main.py < data.csv > out.txt 2>&1\nsort data.csv | tee sorted.csv\n",
	"[{\"file\":\"run.sh\",\"reads\":[\"main.py\",\"data.csv\"],"
	"\"writes\":[\"out.txt\",\"sorted.csv\"]}]"},
    /* itself is no dependency */
    {"main.py", "open('main.py')\n", "[]"},
};

static void
the_table(void **state)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		says(*state, rows[i].file, rows[i].text, rows[i].want);
}

static void
one_file_s_output_is_another_s_input(void **state)
{
	struct tree *t = *state;
	struct az_err err;
	struct az_buf b;
	struct az_jw w;

	assert_int_equal(
	    deps_scan(t->d, AZ_S("main.py"), AZ_S("open('mid.csv', 'w')\n"), &err), AZ_OK);
	assert_int_equal(deps_scan(t->d, AZ_S("util.py"), AZ_S("open('mid.csv')\n"), &err), AZ_OK);
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	deps_json(t->d, &w);
	assert_true(az_str_eqc(az_buf_str(&b), "[{\"file\":\"main.py\",\"writes\":[\"mid.csv\"]},"
					       "{\"file\":\"util.py\",\"reads\":[\"mid.csv\"]}]"));
	az_buf_release(&b);
}

static void
only_programs_are_looked_at(void **state)
{
	struct az_file f = {.path = AZ_S("main.py"), .size = 10};

	(void)state;
	assert_true(deps_wanted(&f));
	f.size = (int64_t)DEPS_FILE_BYTES + 1;
	assert_false(deps_wanted(&f));
	f = (struct az_file){.path = AZ_S("data.csv"), .size = 10};
	assert_false(deps_wanted(&f));
	f.path = AZ_S("a/Dockerfile");
	assert_true(deps_wanted(&f));
}

static void
no_more_than_the_limit_is_kept(void **state)
{
	struct tree *t = *state;
	struct az_err err;
	struct az_buf b;

	az_buf_init(&b, AZ_MIB(1));
	for (int i = 0; i < DEPS_MAX + 100; i++)
		az_buf_addf(&b, "open('f%d.csv')\n", i);
	assert_int_equal(deps_scan(t->d, AZ_S("main.py"), az_buf_str(&b), &err), AZ_OK);
	assert_int_equal(t->d->n, DEPS_MAX);
	az_buf_release(&b);
	/* bytes that are no text say nothing */
	deps_init(t->d, t->a, &t->m);
	assert_int_equal(
	    deps_scan(t->d, AZ_S("main.py"), AZ_S("open('data.csv')\xff\n"), &err), AZ_OK);
	assert_int_equal(t->d->n, 0);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T_(the_table),
	    T_(one_file_s_output_is_another_s_input),
	    T_(only_programs_are_looked_at),
	    T_(no_more_than_the_limit_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
