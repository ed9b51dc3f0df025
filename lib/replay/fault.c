/* Names of the faults that tests inject. */
#include "replay.h"

bool
replay_fault_parse(struct az_str name, enum replay_fault *f)
{
	static const struct {
		const char *name;
		enum replay_fault fault;
	} t[] = {{"429", F_429}, {"500", F_500}, {"stall", F_STALL}, {"cut", F_CUT},
	    {"split", F_SPLIT}, {"error200", F_ERROR}, {"long", F_LONG}};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		if (az_str_eqc(name, t[i].name)) {
			*f = t[i].fault;
			return true;
		}
	}
	return false;
}
