/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grace periods of a single thread, in place of liburcu's: its reclaim thread would make a run
 * depend on real time. What was handed over is called between two events, when no reader is
 * inside. The names are the library's, so there is no context to pass.
 */
#include <stdlib.h>

#include <urcu-qsbr.h>

#include "sim.h"

static struct {
	struct rcu_head *head;
	void (*call)(struct rcu_head *head);
} * waiting;
static unsigned waiting_count, waiting_room;

void urcu_qsbr_call_rcu(struct rcu_head *head, void (*call)(struct rcu_head *head))
{
	if (waiting_count == waiting_room) {
		waiting_room = waiting_room == 0 ? 64 : 2 * waiting_room;
		waiting = realloc(waiting, waiting_room * sizeof(*waiting));
		weir_assert(waiting != NULL);
	}
	waiting[waiting_count].head = head;
	waiting[waiting_count++].call = call;
}

void sim_rcu_pass(void)
{
	for (unsigned i = 0; i < waiting_count; i++)
		waiting[i].call(waiting[i].head);
	waiting_count = 0;
}

void urcu_qsbr_barrier(void)
{
	sim_rcu_pass();
}

void urcu_qsbr_synchronize_rcu(void)
{
}
