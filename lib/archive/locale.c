#include <pthread.h>
#include "archive_room.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t utf8; /* lives as long as the process */

static void
make(void)
{
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

locale_t
archive_locale_enter(void)
{
	pthread_once(&once, make);
	return utf8 ? uselocale(utf8) : (locale_t)0;
}

void
archive_locale_leave(locale_t was)
{
	if (was)
		uselocale(was);
}
