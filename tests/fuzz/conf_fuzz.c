/* Any environment either loads whole or is refused with one line that names what is
   wrong; what is printed of it has one line a variable and no secret. */
#include <stdlib.h>
#include <azlon/conf.h>
#include <azlon/limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_loaded(const struct az_conf *c)
{
	struct az_buf b, ex;
	size_t lines = 0, rows = 0;

	if (!c->engine || !c->store || !c->sandbox || !c->llm || !c->identity || !c->url ||
	    c->port < 1 || c->port > 65535 || c->threads < 1)
		abort();
	az_buf_init(&b, AZ_MIB(1));
	az_buf_init(&ex, AZ_MIB(1));
	az_conf_print(c, &b);
	az_conf_example(&ex);
	for (size_t i = 0; i < b.n; i++)
		lines += b.p[i] == '\n';
	for (size_t i = 0; i + 1 < ex.n; i++)
		rows += ex.p[i] == '\n' && ex.p[i + 1] == '#' && ex.p[i + 2] != ' ';
	if (b.fail || ex.fail || lines != rows)
		abort();
	if (c->openai_api_key && strlen(c->openai_api_key) >= 40 && strstr(b.p, c->openai_api_key))
		abort();
	az_buf_release(&b);
	az_buf_release(&ex);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *env[64];
	struct az_err err = AZ_ERR_INIT;
	struct az_str rest, line;
	struct az_conf c;
	size_t k = 0;
	char *text = az_str_dup(az_str_n(data, n > AZ_KIB(16) ? AZ_KIB(16) : n));

	if (!text)
		return 0;
	rest = az_str_c(text);
	while (k < 63 && az_str_line(&rest, &line)) {
		/* a named file could be one that never ends */
		if (az_str_find(line, AZ_S("_FILE"), 0) >= 0)
			continue;
		text[line.p - text + (ptrdiff_t)line.n] = 0;
		env[k++] = line.p;
	}
	env[k] = NULL;
	if (az_conf_load(&c, env, &err) == AZ_OK) {
		check_loaded(&c);
		az_conf_release(&c);
	} else if (!err.text[0] || strchr(err.text, '\n') || c.owned) {
		abort();
	}
	free(text);
	return 0;
}
