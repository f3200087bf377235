/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <time.h>

#include <rte_common.h>
#include <rte_pause.h>

#include "store/internal.h"

/*
 * Empty turns spent with a pause, then with a yield, before a worker sleeps. A turn takes some
 * hundred ns: where several workers share a CPU the next one waits for tens of us at most.
 */
#define PAUSES 64
#define YIELDS 4

/*
 * The shortest sleep, and which part of the time since there was work a sleep takes. Where nodes
 * share CPUs, each sleep and wake-up is taken from those that have work: shorter ones cost more
 * than they save, and what has gathered meanwhile is handled together.
 */
#define SLEEP_MIN_US 200
#define SLEEP_SHARE  16

static uint64_t sleep_ns(const struct weir_idler *idler, uint32_t sleep_max_us, uint64_t now_ns)
{
	uint64_t share_ns = (now_ns - idler->since_ns) / SLEEP_SHARE;

	share_ns = RTE_MAX(share_ns, SLEEP_MIN_US * WEIR_NS_PER_US);
	return RTE_MIN(share_ns, sleep_max_us * WEIR_NS_PER_US);
}

static void pause_or_yield(struct weir_idler *idler, unsigned pauses)
{
	if (idler->empty_turns < pauses) {
		rte_pause();
		return;
	}
	weir_rcu_offline();
	sched_yield();
	weir_rcu_online();
}

void weir_idle_rest(struct weir_idler *idler, enum weir_idle policy, uint32_t sleep_max_us,
	uint64_t now_ns, _Atomic uint64_t *sleeps)
{
	struct timespec time;

	if (idler->empty_turns == 0)
		idler->since_ns = now_ns;
	if (policy == WEIR_IDLE_POLL) {
		rte_pause();
	} else if (policy == WEIR_IDLE_PAUSE || idler->empty_turns < PAUSES + YIELDS) {
		pause_or_yield(idler, PAUSES);
	} else {
		time.tv_sec = 0;
		time.tv_nsec = (long)sleep_ns(idler, sleep_max_us, now_ns);
		weir_rcu_offline();
		clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
		weir_rcu_online();
		weir_count_up(sleeps);
	}
	if (idler->empty_turns < PAUSES + YIELDS)
		idler->empty_turns++;
}
