/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mistake on purpose: a reader reads an entry after it said that it holds none. The build for
 * ThreadSanitizer runs this and expects a report: what lib/table/rcu.h tells the sanitizer must not
 * hide the one mistake that RCU is prone to.
 */
#include <pthread.h>

#include "help.h"

/** Steps of the two threads. Relaxed on purpose: the steps give no order to anything else. */
static int step;

static void step_wait(int until)
{
	while (weir_rcu_peek(step) < until)
		sched_yield();
}

static void *late_reader(void *ctx)
{
	struct help_table *help = ctx;
	struct help_entry room;
	struct weir_entry *entry;

	weir_rcu_register();
	entry = weir_table_find(help->table, &help_entry(&room, 1)->rule);
	weir_rcu_offline();
	weir_rcu_poke(step, 1);
	step_wait(2);
	printf("cookie %llu\n", (unsigned long long)entry->rule.cookie);
	weir_rcu_online();
	weir_rcu_unregister();
	return NULL;
}

int main(void)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *stored;
	struct weir_entry *again = NULL;
	pthread_t thread;

	weir_rcu_register();
	help_put(&help, help_entry(&room, 1), &stored);
	pthread_create(&thread, NULL, late_reader, &help);
	step_wait(1);
	help_remove(&help, stored);
	help_settle(help.mem);
	help_put(&help, help_entry(&room, 2), &again);
	printf("the block is %s\n", again == stored ? "used again" : "another");
	weir_rcu_poke(step, 2);
	weir_rcu_offline();
	pthread_join(thread, NULL);
	weir_rcu_online();
	help_table_end(&help);
	weir_rcu_unregister();
	return 0;
}
