/* A configuration from an environment: one that loads, or one that is refused by name. */
#ifndef CONF_FIXTURE_H
#define CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <azlon/conf.h>

#define ENV(...)                                                                                   \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, "AZLON_VAR=/nonexistent", NULL                                        \
	}

static inline void
loads(struct az_conf *c, const char *const *env)
{
	struct az_err err = AZ_ERR_INIT;

	if (az_conf_load(c, env, &err))
		fail_msg("%s: %s", env[0], err.text);
}

/* Refused with a text that holds every given word. */
static inline void
refused(const char *const *env, const char *word, const char *word2)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_conf c;

	if (!az_conf_load(&c, env, &err)) {
		az_conf_release(&c);
		fail_msg("accepted: %s", env[0]);
	}
	assert_int_equal(err.code, AZ_EINVAL);
	if (!strstr(err.text, word) || (word2 && !strstr(err.text, word2)))
		fail_msg("%s: the text does not say %s, %s: %s", env[0], word, word2 ? word2 : "",
		    err.text);
	assert_null(c.owned);
}

#endif
