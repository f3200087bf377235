/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Read-copy-update, thinly over liburcu's QSBR flavour: the same calls in one vocabulary, and with
 * the ordering that grace periods give told to ThreadSanitizer where WEIR_TSAN is defined.
 *
 * A thread that reads is registered. From weir_rcu_register or weir_rcu_online on, whatever it
 * finds stays readable until it says weir_rcu_quiescent or weir_rcu_offline. A thread that sleeps
 * goes offline first, else nothing that was freed comes back. Who does not, and so holds up
 * reclaim, is told by name: weir_rcu_watch.
 */
#ifndef WEIR_TABLE_RCU_H
#define WEIR_TABLE_RCU_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <urcu-qsbr.h>

#ifdef WEIR_TSAN
#include <sanitizer/tsan_interface.h>
/* One point for all threads: what comes before a quiescent state comes before a later callback. */
#define WEIR_RCU_TSAN_BEFORE() __tsan_release((void *)&urcu_qsbr_flavor)
#define WEIR_RCU_TSAN_AFTER()  __tsan_acquire((void *)&urcu_qsbr_flavor)
#else
#define WEIR_RCU_TSAN_BEFORE() ((void)0)
#define WEIR_RCU_TSAN_AFTER()  ((void)0)
#endif

/** Reads a pointer or number that its one writer publishes while others read. */
#define weir_rcu_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)

/** Publishes a value: who loads it sees what was written before. */
#define weir_rcu_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

/** Reads a number that stands for itself (a counter): whole, in no order with anything else. */
#define weir_rcu_peek(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

/** Writes a number that stands for itself; one writer. */
#define weir_rcu_poke(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

/** What others may see of a reader. */
struct weir_reader {
	uint64_t state; /**< grows with each quiescent state; odd while offline */
	uint64_t seen;  /**< state as weir_rcu_watch has last seen it */
	pid_t tid;
	char name[16]; /**< of the thread, as the system knows it */
	TAILQ_ENTRY(weir_reader) link;
};

extern __thread struct weir_reader weir_rcu_self;

/** Makes the calling thread a reader, online. */
void weir_rcu_register(void);

void weir_rcu_unregister(void);

/**
 * Names the readers that have been online since the last call without a quiescent state: "name
 * (tid)", with commas between them, as many as there is room for. Any thread, one at a time.
 * @return how many there are
 */
unsigned weir_rcu_watch(char *names, size_t room);

/** The calling reader holds no pointer any more. */
static inline void weir_rcu_quiescent(void)
{
	weir_rcu_poke(weir_rcu_self.state, weir_rcu_self.state + 2);
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_quiescent_state();
}

/** The calling reader holds no pointer and takes none until weir_rcu_online. */
static inline void weir_rcu_offline(void)
{
	weir_rcu_poke(weir_rcu_self.state, (weir_rcu_self.state + 2) | 1);
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_thread_offline();
}

static inline void weir_rcu_online(void)
{
	urcu_qsbr_thread_online();
	weir_rcu_poke(weir_rcu_self.state, (weir_rcu_self.state + 2) & ~1ULL);
}

/** Waits until every reader was quiescent once; counts as a quiescent state of the caller. */
static inline void weir_rcu_wait(void)
{
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_synchronize_rcu();
	WEIR_RCU_TSAN_AFTER();
}

/**
 * Has `callback` called by the reclaim thread after a grace period. The callback begins with
 * weir_rcu_callback_begins. The caller is a registered reader.
 */
static inline void weir_rcu_call(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_call_rcu(head, callback);
}

static inline void weir_rcu_callback_begins(void)
{
	WEIR_RCU_TSAN_AFTER();
}

/** Waits for all callbacks asked for so far; counts as a quiescent state of the caller. */
static inline void weir_rcu_barrier(void)
{
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_barrier();
	WEIR_RCU_TSAN_AFTER();
}

#endif
