/* The terminal this program runs in, and the signals that go with it. */
#ifndef AZ_CLIENT_TERM_H
#define AZ_CLIENT_TERM_H

#include <stdbool.h>

struct term_size {
	int cols, rows;
};

/* Catch what would end this program, and changes of the terminal's size. False: no pipe. */
bool term_open(void);
/* Keys go through as they are; undone by term_restore() and however this program ends,
   unless by SIGKILL. False: standard input is no terminal that can do so. */
bool term_raw(void);
void term_restore(void);
/* Of standard input or output, else 80 x 24. */
struct term_size term_size(void);
/* The signal that asked this program to end, or 0. A second one ends it at once. */
int term_stopped(void);
enum term_news { TERM_NOTHING, TERM_INPUT = 1, TERM_RESIZED = 2 };
/* What happens within ms; TERM_INPUT only if asked for. Also back early when told to stop. */
unsigned term_wait(bool input, int ms);

#endif
