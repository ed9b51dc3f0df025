/* Private to the room: the table, and access to the field that a row fills. */
#ifndef AZ_CONF_TABLE_H
#define AZ_CONF_TABLE_H

#include <azlon/arena.h>
#include <azlon/conf.h>

enum conf_kind {
	CONF_STRING,
	CONF_URL,
	CONF_ENDPOINT, /* host, host:port or http(s)://host[:port] */
	CONF_ORIGINS,  /* as browsers say them, comma-separated */
	CONF_SECRET,
	CONF_ENUM,
	CONF_NUMBER,
	CONF_BOOL
};

struct conf_row {
	const char *name;
	enum conf_kind kind;
	size_t at;        /* offset in struct az_conf */
	const char *dflt; /* NULL: none, or derived (the help says from what) */
	int64_t min, max; /* NUMBER */
	const char *help;
	const char *one_of; /* ENUM: "a|b" */
};

extern const struct conf_row conf_table[];
extern const size_t conf_rows;

struct conf_adapter {
	const char *variable, *name;
	bool built; /* does this build have it? */
};
extern const struct conf_adapter conf_adapters[];
extern const size_t conf_nadapters;

const char *conf_get(const struct az_conf *c, const struct conf_row *r);
void conf_set(struct az_conf *c, const struct conf_row *r, const char *v);
int64_t conf_get_num(const struct az_conf *c, const struct conf_row *r);
void conf_set_num(struct az_conf *c, const struct conf_row *r, int64_t v);
bool conf_get_bool(const struct az_conf *c, const struct conf_row *r);
void conf_set_bool(struct az_conf *c, const struct conf_row *r, bool v);

/* What follows from what was read: adapters, addresses, paths; or the contradiction. */
enum az_code conf_derive(struct az_conf *c, struct az_arena *a, struct az_err *err);

#endif
