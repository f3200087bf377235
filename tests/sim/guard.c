/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ends a run from outside of its events is a violation like any other: a failed assertion,
 * a bad pointer, a loop that does not end.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "base/log.h"
#include "sim.h"

/** Of processor time; a seed takes well below a second. */
#define SEED_SECONDS 60

static struct sim *current; /* for handlers only */

static void on_log(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	if (current != NULL && current->options->log)
		printf("           %s: %s\n", weir_log_room_name(room), line);
}

static void on_signal(int number)
{
	signal(number, SIG_DFL);
	if (current == NULL)
		return;
	if (number == SIGPROF)
		sim_fail(current, "it does not end");
	sim_fail(current, "signal %d: an assertion has failed, or worse", number);
}

/** From now on this run is looked after, and told of in the log; NULL: none. */
void sim_guard(struct sim *sim)
{
	current = sim;
	weir_log_sink_set(on_log);
	signal(SIGABRT, on_signal);
	signal(SIGSEGV, on_signal);
	signal(SIGFPE, on_signal);
	signal(SIGPROF, on_signal);
}

/** A seed begins: its time counts from here. */
void sim_guard_seed(void)
{
	const struct itimerval timer = {.it_value = {.tv_sec = SEED_SECONDS}};

	setitimer(ITIMER_PROF, &timer, NULL);
}
