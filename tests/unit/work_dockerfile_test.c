/* Dockerfiles as run plans: what is honoured, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "work/runplan.h"

/* A plan as text, so that a case is two strings. */
static void
put_list(struct az_buf *b, const char *const *v)
{
	for (; v && *v; v++)
		az_buf_addf(b, "%s[%s]", "", *v);
}

static void
dump(const struct az_plan *p, struct az_buf *b)
{
	size_t i;

	for (i = 0; i < p->n_steps; i++) {
		const struct az_plan_step *s = &p->steps[i];

		switch (s->kind) {
		case AZ_PLAN_RUN:
			az_buf_addc(b, "run ");
			put_list(b, s->argv);
			if (s->env[0]) {
				az_buf_addc(b, " env ");
				put_list(b, s->env);
			}
			if (strcmp(s->cwd, AZ_PLAN_APP) != 0)
				az_buf_addf(b, " in %s", s->cwd);
			break;
		case AZ_PLAN_COPY:
			az_buf_addc(b, "copy ");
			if (s->src)
				put_list(b, s->src);
			else
				az_buf_addf(b, "<%.*s>", AZ_FMT(s->body));
			az_buf_addf(b, " %s%s", s->dest, s->dest_dir ? " dir" : "");
			if (s->mode)
				az_buf_addf(b, " %o", s->mode);
			break;
		case AZ_PLAN_WORKDIR:
			az_buf_addf(b, "dir %s", s->cwd);
			break;
		}
		az_buf_addc(b, "\n");
	}
	if (p->argv) {
		az_buf_addc(b, "cmd ");
		put_list(b, p->argv);
		az_buf_addc(b, "\n");
	}
	if (p->env[0]) {
		az_buf_addc(b, "env ");
		put_list(b, p->env);
		az_buf_addc(b, "\n");
	}
	if (strcmp(p->cwd, AZ_PLAN_APP) != 0)
		az_buf_addf(b, "cwd %s\n", p->cwd);
	for (i = 0; i < p->n_ports; i++)
		az_buf_addf(b, "port %d\n", p->ports[i]);
}

struct good {
	const char *name, *file, *want;
};

#define APP "/home/user/app"
#define SH "[/bin/sh][-c]"

static const struct good good[] = {
    {"the usual",
	"FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\n"
	"RUN pip install -r requirements.txt\nCMD [\"python\", \"main.py\"]\n",
	"dir " APP "\ncopy [.] " APP " dir\nrun " SH "[pip install -r requirements.txt]\n"
	"cmd [python][main.py]\n"},
    {"no build steps", "FROM python\nCMD python main.py", "cmd " SH "[python main.py]\n"},
    {"neither CMD nor ENTRYPOINT", "FROM python\n", ""},
    {"case of instructions", "from python\nworkDir /app\ncmd [\"x\"]", "dir " APP "\ncmd [x]\n"},
    {"no newline at the end, CRLF", "FROM python\r\nRUN a\r\nCMD b\r\n",
	"run " SH "[a]\ncmd " SH "[b]\n"},
    {"BOM",
	"\xef\xbb\xbf"
	"FROM python\nCMD b",
	"cmd " SH "[b]\n"},
    {"comments and blank lines", "# hello\n\n  # more\nFROM python\n\n#RUN x\nRUN y # z\n",
	"run " SH "[y # z]\n"},
    {"continuation", "FROM python\nRUN a && \\\n    b \\\n    && c\n",
	"run " SH "[a &&     b     && c]\n"},
    {"continuation with blanks behind", "FROM python\nRUN a \\  \n b\n", "run " SH "[a  b]\n"},
    {"comment and blank line inside a continuation", "FROM python\nRUN a \\\n# why\n\n   b\n",
	"run " SH "[a    b]\n"},
    {"an escaped escape does not continue", "FROM python\nRUN echo a\\\\\nRUN b\n",
	"run " SH "[echo a\\\\]\nrun " SH "[b]\n"},
    {"escape directive", "# escape=`\nFROM python\nRUN a `\n b\nRUN c:\\\n",
	"run " SH "[a  b]\nrun " SH "[c:\\]\n"},
    {"syntax directive", "# syntax=docker/dockerfile:1\n#escape=\\\nFROM python\nRUN a\n",
	"run " SH "[a]\n"},
    {"a directive below a comment is a comment", "# x\n# escape=`\nFROM python\nRUN a \\\n b\n",
	"run " SH "[a  b]\n"},
    {"exec form", "FROM python\nRUN [\"a\", \"b c\", \"d\\\"e\"]\n", "run [a][b c][d\"e]\n"},
    {"exec form over lines", "FROM python\nCMD [\"a\", \\\n  \"b\"]\n", "cmd [a][b]\n"},
    {"a shell test is no list", "FROM python\nRUN [ -f x ] && echo [\"]\n",
	"run " SH "[[ -f x ] && echo [\"]]\n"},
    {"the last CMD counts", "FROM python\nCMD a\nCMD b\n", "cmd " SH "[b]\n"},
    {"exec ENTRYPOINT and exec CMD", "FROM python\nENTRYPOINT [\"python\"]\nCMD [\"a.py\"]\n",
	"cmd [python][a.py]\n"},
    {"CMD before ENTRYPOINT", "FROM python\nCMD [\"a.py\"]\nENTRYPOINT [\"python\"]\n",
	"cmd [python][a.py]\n"},
    {"exec ENTRYPOINT and shell CMD", "FROM python\nENTRYPOINT [\"e\"]\nCMD a b\n",
	"cmd [e]" SH "[a b]\n"},
    {"shell ENTRYPOINT drops CMD", "FROM python\nENTRYPOINT e f\nCMD [\"a\"]\n",
	"cmd " SH "[e f]\n"},
    {"an empty CMD clears", "FROM python\nCMD a\nCMD []\n", ""},
    {"SHELL", "FROM python\nSHELL [\"/bin/bash\", \"-euc\"]\nRUN a\nCMD b\n",
	"run [/bin/bash][-euc][a]\ncmd [/bin/bash][-euc][b]\n"},
    {"ENV forms", "FROM python\nENV A=1 B=\"two words\" C='$A' D=a\\ b\nENV E the rest  of it\n",
	"env [A=1][B=two words][C=$A][D=a b][E=the rest  of it]\n"},
    {"ENV of a line sees the line before", "FROM python\nENV A=1\nENV A=2 B=$A\n",
	"env [A=2][B=1]\n"},
    {"ENV over lines", "FROM python\nENV A=1 \\\n    B=2\n", "env [A=1][B=2]\n"},
    {"ENV reaches RUN from there on", "FROM python\nRUN a\nENV A=1\nRUN b\n",
	"run " SH "[a]\nrun " SH "[b] env [A=1]\nenv [A=1]\n"},
    {"substitution",
	"FROM python\nENV A=x\nENV B=$A/${A}/${A:-d}/${N:-d}/${N:+d}/${A:+d}/\\$A/$N.\n",
	"env [A=x][B=x/x/x/d//d/$A/.]\n"},
    {"set but empty", "FROM python\nENV A=\nENV B=${A:-d}${A-e}${A:+f}${A+g}\n",
	"env [A=][B=dg]\n"},
    {"nested defaults", "FROM python\nENV B=${X:-${Y:-z}}\n", "env [B=z]\n"},
    {"quotes and substitution", "FROM python\nENV A=1\nENV B=\"$A\\\"\" C='${A}' D=$\n",
	"env [A=1][B=1\"][C=${A}][D=$]\n"},
    {"the shell substitutes in RUN", "FROM python\nENV A=1\nRUN echo $A ${B}\n",
	"run " SH "[echo $A ${B}] env [A=1]\nenv [A=1]\n"},
    {"ARG is seen by RUN, not by the program", "FROM python\nARG V=3\nRUN x\nCMD y\n",
	"run " SH "[x] env [V=3]\ncmd " SH "[y]\n"},
    {"ARG without a value", "FROM python\nARG V\nENV A=${V:-none}\nRUN x\n",
	"run " SH "[x] env [A=none]\nenv [A=none]\n"},
    {"ENV beats ARG", "FROM python\nENV V=e\nARG V=a\nWORKDIR /$V\nRUN x\n",
	"dir " APP "\nrun " SH "[x] env [V=e]\nenv [V=e]\n"},
    {"ARG before FROM", "ARG V=3.12\nFROM python:${V}-slim\nRUN x\n", "run " SH "[x]\n"},
    {"ARG before FROM, taken up again", "ARG V=3\nFROM python:$V\nARG V\nRUN x\n",
	"run " SH "[x] env [V=3]\n"},
    {"WORKDIR builds on the last",
	"FROM python\nWORKDIR /app\nWORKDIR src\nWORKDIR ../lib/./x//y\n",
	"dir " APP "\ndir " APP "/src\ndir " APP "/lib/x/y\ncwd " APP "/lib/x/y\n"},
    {"a relative WORKDIR first", "FROM python\nWORKDIR app\nRUN x\n",
	"dir " APP "\nrun " SH "[x]\n"},
    {"any root", "FROM node\nWORKDIR /usr/src/app\nCOPY package*.json ./\nRUN npm ci\n",
	"dir " APP "\ncopy [package*.json] " APP " dir\nrun " SH "[npm ci]\n"},
    {"WORKDIR with quotes and variables", "FROM python\nENV H=/code\nWORKDIR \"${H}/a b\"\nRUN x\n",
	"dir " APP "\nrun " SH "[x] env [H=/code]\nenv [H=/code]\n"},
    {"WORKDIR cannot climb out", "FROM python\nWORKDIR /app\nWORKDIR ../../../..\nRUN x\n",
	"dir " APP "\ndir " APP "\nrun " SH "[x]\n"},
    {"a second tree lies beneath the home", "FROM python\nWORKDIR /app\nWORKDIR /data\nRUN x\n",
	"dir " APP "\ndir /home/user/data\nrun " SH
	"[x] in /home/user/data\ncwd /home/user/data\n"},
    {"root's home is the home", "FROM python\nWORKDIR /app\nCOPY a /root/.config/\n",
	"dir " APP "\ncopy [a] /home/user/.config dir\n"},
    {"/tmp is /tmp", "FROM python\nWORKDIR /app\nCOPY a /tmp/\nRUN pip install -r /tmp/a\n",
	"dir " APP "\ncopy [a] /tmp dir\nrun " SH "[pip install -r /tmp/a]\n"},
    {"the home as root", "FROM python\nWORKDIR /home/user\nCMD [\"python\",\"/home/user/a.py\"]\n",
	"dir " APP "\ncmd [python][" APP "/a.py]\n"},
    {"COPY forms",
	"FROM python\nWORKDIR /app\nCOPY a b\nCOPY a b/\nCOPY a b c/\n"
	"COPY [\"a b\", \"c\"]\nCOPY ./src/ ./lib\nCOPY /x /app/y\n",
	"dir " APP "\ncopy [a] " APP "/b\ncopy [a] " APP "/b dir\ncopy [a][b] " APP "/c dir\n"
	"copy [a b] " APP "/c\ncopy [src] " APP "/lib\ncopy [x] " APP "/y\n"},
    {"COPY flags", "FROM python\nWORKDIR /app\nCOPY --chown=u:g --chmod=755 --link a b\n",
	"dir " APP "\ncopy [a] " APP "/b 755\n"},
    {"COPY with variables", "FROM python\nARG S=src\nWORKDIR /app\nCOPY ${S}/*.py $S/\n",
	"dir " APP "\ncopy [src/*.py] " APP "/src dir\n"},
    {"ADD of a file", "FROM python\nWORKDIR /app\nADD data.csv .\n",
	"dir " APP "\ncopy [data.csv] " APP " dir\n"},
    {"COPY of all without WORKDIR",
	"FROM python\nCOPY . /srv/site\nCMD [\"python\",\"/srv/site/a.py\"]\n",
	"copy [.] " APP "\ncmd [python][" APP "/a.py]\n"},
    {"neither WORKDIR nor COPY of all",
	"FROM python\nCOPY main.py /opt/tool/main.py\n"
	"CMD python /opt/tool/main.py\n",
	"copy [main.py] " APP "/opt/tool/main.py\ncmd " SH "[python " APP "/opt/tool/main.py]\n"},
    {"a system directory",
	"FROM python\nWORKDIR /app\nCOPY run.sh /usr/local/bin/\n"
	"RUN chmod +x /usr/local/bin/run.sh && ls /usr/local/bin /usr/local/bin/other\n"
	"ENTRYPOINT [\"/usr/local/bin/run.sh\"]\n",
	"dir " APP "\ncopy [run.sh] /home/user/usr/local/bin dir\n"
	"run " SH
	"[chmod +x /home/user/usr/local/bin/run.sh && ls /usr/local/bin /usr/local/bin/other]\n"
	"cmd [/home/user/usr/local/bin/run.sh]\n"},
    {"texts follow the map at word boundaries only",
	"FROM python\nWORKDIR /app\n"
	"ENV PYTHONPATH=/app:/app/lib X=/application Y=/x/app URL=http://h/app\n"
	"RUN cd /app&&gcc -I/app/inc '/app/a.c' -o=/app/a; s/app/x/\n",
	"dir " APP "\nrun " SH "[cd " APP "&&gcc -I" APP "/inc '" APP "/a.c' -o=" APP
	"/a; s/app/x/]"
	" env [PYTHONPATH=" APP ":" APP "/lib][X=/application][Y=/x/app][URL=http://h/app]\n"
	"env [PYTHONPATH=" APP ":" APP "/lib][X=/application][Y=/x/app][URL=http://h/app]\n"},
    {"EXPOSE", "FROM python\nARG P=9000\nEXPOSE 8080 8443/tcp $P 53/udp\nEXPOSE 3000-3002 8080\n",
	"port 8080\nport 8443\nport 9000\nport 3000\nport 3001\nport 3002\n"},
    {"things without effect",
	"FROM python\nLABEL a=\"b c\" d='e\nMAINTAINER me\nVOLUME /data\n"
	"HEALTHCHECK CMD curl x\nSTOPSIGNAL 9\nONBUILD RUN x\nUSER root\nUSER 1000:1000\nCMD a\n",
	"cmd " SH "[a]\n"},
    {"RUN flags", "FROM python\nRUN --mount=type=cache,target=/root/.cache --network=none x\n",
	"run " SH "[x]\n"},
    {"RUN with a here-document", "FROM python\nRUN <<EOF\na\n  b $X\n# no comment\nEOF\nCMD c\n",
	"run " SH "[a\n  b $X\n# no comment\n]\ncmd " SH "[c]\n"},
    {"a here-document for another program", "FROM python\nRUN python3 <<'E' > out\nprint(1)\nE\n",
	"run " SH "[python3 <<'E' > out\nprint(1)\nE\n]\n"},
    {"COPY of here-documents",
	"FROM python\nENV A=1\nWORKDIR /app\nCOPY <<EOF /app/a.txt\nx=$A\n\tb\nEOF\n"
	"COPY --chmod=700 <<-\"EOF\" b.sh\n\techo $A\n\tEOF\n",
	"dir " APP "\ncopy <x=1\n\tb\n> " APP "/a.txt\ncopy <echo $A\n> " APP
	"/b.sh 700\nenv [A=1]\n"},
    {"shifts are no here-documents", "FROM python\nRUN echo $((1<<2)) && cat <<<x\n",
	"run " SH "[echo $((1<<2)) && cat <<<x]\n"},
    {"a stage name", "FROM --platform=linux/amd64 python:3 AS base\nCMD a\n", "cmd " SH "[a]\n"},
    {"registries and digests", "FROM docker.io/library/python:3.11@sha256:00ff\nCMD a\n",
	"cmd " SH "[a]\n"},
};

struct bad {
	const char *file;
	int line;
	const char *word; /* occurs in the text */
};

static const struct bad bad[] = {
    {"", 1, "no FROM"},
    {"# nothing\n", 1, "no FROM"},
    {"RUN x\n", 1, "RUN: stands before FROM"},
    {"FROM python\nFROM node\n", 2, "multi-stage"},
    {"FROM python AS a\nRUN x\nFROM a\n", 3, "multi-stage"},
    {"FROM\n", 1, "FROM"},
    {"FROM python node\n", 1, "one image"},
    {"FROM tensorflow/tensorflow\n", 1, "python, node, gcc, debian"},
    {"FROM scratch\n", 1, "scratch"},
    {"FROM ${NOPE}\n", 1, "no such environment"},
    {"FROM python\nCOPY --from=build /a /b\n", 2, "--from"},
    {"FROM python\nCOPY --wat a b\n", 2, "--wat"},
    {"FROM python\nCOPY a\n", 2, "destination"},
    {"FROM python\nCOPY ../a b\n", 2, "outside"},
    {"FROM python\nCOPY a/../../b c\n", 2, "outside"},
    {"FROM python\nCOPY a b c\n", 2, "'/'"},
    {"FROM python\nCOPY --chmod=u+x a b\n", 2, "octal"},
    {"FROM python\nADD https://example.com/x.tar.gz /x\n", 2, "not fetched"},
    {"FROM python\nADD git@github.com:a/b.git /x\n", 2, "not fetched"},
    {"FROM python\nADD data.tar.gz /x\n", 2, "archives"},
    {"FROM python\n\n\nWAT x\n", 4, "unknown instruction WAT"},
    {"FROM python\nimport os\n", 2, "unknown instruction import"},
    {"```dockerfile\nFROM python\n```\n", 1, "unknown instruction"},
    {"FROM python\nRUN\n", 2, "nothing"},
    {"FROM python\nRUN --wat=1 x\n", 2, "--wat"},
    {"FROM python\nRUN --mount=type=cache\n", 2, "nothing to run"},
    {"FROM python\nCMD ['python', 'main.py']\n", 2, "JSON"},
    {"FROM python\nCMD [\"python\", \"main.py\",]\n", 2, "JSON"},
    {"FROM python\nCMD [\"a\", 1]\n", 2, "strings"},
    {"FROM python\nCMD [\"\"]\n", 2, "empty command"},
    {"FROM python\nSHELL bash\n", 2, "JSON array"},
    {"FROM python\nENV A\n", 2, "K=V"},
    {"FROM python\nENV A=1 B\n", 2, "K=V"},
    {"FROM python\nENV =1\n", 2, "K=V"},
    {"FROM python\nENV A=\"x\n", 2, "partner"},
    {"FROM python\nENV A=${B\n", 2, "${"},
    {"FROM python\nENV A=${B:-x\n", 2, "}"},
    {"FROM python\nENV A=${B##x}\n", 2, "operator"},
    {"FROM python\nENV A=${B:?needed}\n", 2, "B is not set: needed"},
    {"FROM python\nWORKDIR ${B:?is needed}\n", 2, "is needed"},
    {"FROM python\nENV A=${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-x}}}}}}}}}}\n", 2,
	"nested"},
    {"FROM python\nWORKDIR $NOPE\n", 2, "path"},
    {"FROM python\nEXPOSE x\n", 2, "port"},
    {"FROM python\nEXPOSE 70000\n", 2, "port"},
    {"FROM python\nEXPOSE 90-80\n", 2, "port"},
    {"FROM python\nEXPOSE 1-1000\n", 2, "ports"},
    {"FROM python\nRUN <<EOF\nx\n", 2, "here-document"},
    {"FROM python\nCOPY <<EOF d/\nx\nEOF\n", 2, "here-document"},
    {"FROM python\nRUN a\x07\n", 2, "control byte"},
    {"FROM python\nRUN \xff\n", 3, "UTF-8"},
};

static void
plans(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
		struct az_err err = AZ_ERR_INIT;
		struct az_plan p;
		struct az_buf b;

		az_buf_init(&b, AZ_KIB(64));
		az_buf_addc(&b, "");
		if (az_plan_parse(az_str_c(good[i].file), a, &p, &err) != AZ_OK)
			fail_msg("%s: %s", good[i].name, err.text);
		dump(&p, &b);
		az_buf_addch(&b, '\0');
		if (strcmp(b.p, good[i].want) != 0)
			fail_msg("%s:\n%s---- wanted\n%s", good[i].name, b.p, good[i].want);
		az_buf_release(&b);
		az_arena_free(a);
	}
}

static void
refusals(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
		struct az_err err = AZ_ERR_INIT;
		struct az_plan p;
		char line[40];

		snprintf(line, sizeof line, "Dockerfile line %d", bad[i].line);
		if (az_plan_parse(az_str_c(bad[i].file), a, &p, &err) != AZ_EUNPROC)
			fail_msg("accepted: %s", bad[i].file);
		assert_int_equal(err.code, AZ_EUNPROC);
		assert_string_equal(err.reason, "dockerfile");
		if (!strstr(err.text, line) || !strstr(err.text, bad[i].word))
			fail_msg("%s\n-> %s\nwanted %s and \"%s\"", bad[i].file, err.text, line,
			    bad[i].word);
		az_arena_free(a);
	}
}

static void
languages(void **state)
{
	static const struct {
		const char *image, *language, *probe;
	} t[] = {
	    {"python:3.12-slim", "python", "python3"},
	    {"mcr.microsoft.com/devcontainers/python", "python", "python3"},
	    {"e2bdev/code-interpreter:latest", "python", "python3"},
	    {"node:20-alpine", "node", "node"},
	    {"localhost:5000/node", "node", "node"},
	    {"gcc:13", "c", "gcc"},
	    {"debian:bookworm-slim", "shell", "sh"},
	    {"Ubuntu", "shell", "sh"},
	    {"alpine", "shell", "sh"},
	    {"golang:1.22", "go", "go"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
		struct az_plan p;
		char file[100];

		snprintf(file, sizeof file, "FROM %s\n", t[i].image);
		assert_int_equal(az_plan_parse(az_str_c(file), a, &p, NULL), AZ_OK);
		assert_true(az_str_eqc(p.image, t[i].image));
		assert_true(az_str_eqc(p.language, t[i].language));
		assert_string_equal(p.probe, t[i].probe);
		az_arena_free(a);
	}
}

static void
warnings_and_lines(void **state)
{
	struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
	struct az_plan p;

	(void)state;
	assert_int_equal(
	    az_plan_parse(AZ_S("# c\nFROM python\nUSER root\nUSER user\n"
			       "RUN a \\\n b\nHEALTHCHECK NONE\n\nRUN c\nCOPY x /usr/bin/\n"),
		a, &p, NULL),
	    AZ_OK);
	assert_int_equal(p.n_warnings, 3);
	assert_true(az_str_starts(p.warnings[0], AZ_S("line 3: USER root")));
	assert_true(az_str_starts(p.warnings[1], AZ_S("line 7: HEALTHCHECK")));
	assert_true(az_str_starts(p.warnings[2], AZ_S("line 10: COPY")));
	assert_int_equal(p.steps[0].line, 5);
	assert_int_equal(p.steps[1].line, 9);
	assert_true(az_str_eqc(p.steps[0].text, "RUN a  b"));
	az_arena_free(a);
}

static enum az_code
parse_buf(struct az_buf *b, struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
	struct az_plan p;
	enum az_code rc = az_plan_parse(az_buf_str(b), a, &p, err);

	az_arena_free(a);
	az_buf_release(b);
	return rc;
}

static void
bounds(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;
	int i;

	(void)state;
	az_buf_init(&b, AZ_MIB(1)); /* too long */
	az_buf_addc(&b, "FROM python\n");
	for (i = 0; i < 7000; i++)
		az_buf_addc(&b, "# comment\n");
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
	az_buf_init(&b, AZ_MIB(1)); /* too many instructions */
	az_buf_addc(&b, "FROM python\n");
	for (i = 0; i < 500; i++)
		az_buf_addc(&b, "RUN a\n");
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
	assert_non_null(strstr(err.text, "line 501"));
	az_buf_init(&b, AZ_MIB(1)); /* as many as are allowed */
	az_buf_addc(&b, "FROM python\n");
	for (i = 0; i < 499; i++)
		az_buf_addc(&b, "RUN a\n");
	assert_int_equal(parse_buf(&b, &err), AZ_OK);
	az_buf_init(&b, AZ_MIB(1)); /* a value that doubles */
	az_buf_addc(&b, "FROM python\nENV A=aaaaaaaaaaaaaaaa\n");
	for (i = 0; i < 40; i++)
		az_buf_addc(&b, "ENV A=$A$A\n");
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
	assert_string_equal(err.reason, "dockerfile");
	az_buf_init(&b, AZ_MIB(1)); /* big environments, copied often */
	az_buf_addc(&b, "FROM python\nENV A=aaaaaaaaaaaaaaaa\n");
	for (i = 0; i < 9; i++)
		az_buf_addc(&b, "ENV A=$A$A\n");
	for (i = 0; i < 150; i++)
		az_buf_addf(&b, "ENV V%d=$A\nRUN x\n", i);
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
	assert_string_equal(err.reason, "dockerfile");
	az_buf_init(&b, AZ_MIB(1)); /* too many variables */
	az_buf_addc(&b, "FROM python\n");
	for (i = 0; i < 201; i++)
		az_buf_addf(&b, "ENV V%d=1\n", i);
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
	az_buf_init(&b, AZ_MIB(1)); /* too many words */
	az_buf_addc(&b, "FROM python\nCOPY");
	for (i = 0; i < 300; i++)
		az_buf_addc(&b, " a");
	az_buf_addc(&b, " b/\n");
	assert_int_equal(parse_buf(&b, &err), AZ_EUNPROC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plans),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(languages),
	    cmocka_unit_test(warnings_and_lines),
	    cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests_name("work_dockerfile", tests, NULL, NULL);
}
