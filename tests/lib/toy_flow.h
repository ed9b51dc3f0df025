/*
 * A workflow that plays a script, for tests of engines. The start input is a JSON
 * string of steps separated by blanks:
 *   fn:name[,stc=ms][,sch=ms][,hb=ms][,tries=n][,init=ms]   run a function
 *   timer:ms     signal (wait for one)     bad (an impossible history)
 *   again        begin anew with the steps that follow
 * It completes with the last function's result; a failed function fails it with the same
 * reason. Asked to cancel, it cancels the function under way and ends canceled.
 * "Tally" calls echo once for each signal and is over when it did; after two it begins anew.
 */
#ifndef TOY_FLOW_H
#define TOY_FLOW_H

#include <azlon/history.h>

extern const struct az_workflow toy_flows[]; /* "Toy", "Tally" */

#endif
