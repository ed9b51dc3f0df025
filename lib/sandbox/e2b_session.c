/*
 * E2B's daemon ends the one process it started; what that had started lives on. So a command
 * gets a session of its own, with the id of the process that was started, and after a kill
 * whatever still belongs to that session is killed from inside. Our own server ends whole
 * trees and needs none of this.
 */
#include "e2b_process.h"

/* $@ is the command. exec keeps the process id; who leads a group already is left as it is,
   and setsid would fork there. Without setsid the command runs all the same. */
const char e2b_session_begin[] =
    "read -r l </proc/$$/stat; l=${l##*) }; l=${l#* * }\n"
    "[ \"${l%% *}\" = $$ ] || ! command -v setsid >/dev/null || exec setsid \"$@\"\n"
    "exec \"$@\"";

/* Once more after each find: what is dying may have been starting others. */
const char e2b_session_end[] = "p=$1; n=0\n"
			       "while [ $n -lt 5 ]; do\n"
			       "  n=$((n+1)); k=\n"
			       "  for d in /proc/[0-9]*; do\n"
			       "    { read -r l <$d/stat; } 2>/dev/null || continue\n"
			       "    set -- ${l##*) }\n"
			       "    case $1 in Z|X) continue;; esac\n"
			       "    [ \"$3\" = $p ] || [ \"$4\" = $p ] || continue\n"
			       "    kill -9 ${d#/proc/} 2>/dev/null && k=1\n"
			       "  done\n"
			       "  [ $k ] || exit 0\n"
			       "done";

void
e2b_session_args(struct az_jw *w, const char *const *argv)
{
	az_jw_cstr(w, "-c");
	az_jw_cstr(w, e2b_session_begin);
	az_jw_cstr(w, "sh");
	for (; *argv; argv++)
		az_jw_cstr(w, *argv);
}
