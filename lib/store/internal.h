/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside the store: what its threads share, and who may touch what.
 *
 * Nothing is sent between the control core and the workers that could pile up. The control core
 * publishes *states* under RCU (a device's standing, the company of nodes) and workers take
 * notice of the newest: of the company by its version, of a device by the name of that device in
 * their ring, in which each device stands once at most. So the rings have the size of the
 * registry and are never full, a worker that was away skips what is past, and no message is lost.
 *
 * What does pass as messages: tasks (gate to worker), answers (worker to gate), frames (worker to
 * worker), reports (worker to control core), requests (gate to control core and back).
 */
#ifndef WEIR_STORE_INTERNAL_H
#define WEIR_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <rte_ring.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store.h"
#include "table/rcu.h"

#define WEIR_CACHE_LINE 64

/** Tasks and answers that a ring is given at once, at most. */
#define WEIR_TASK_BURST 64

/** Tasks that a worker executes a turn, at most; as many more are on their way into its caches. */
#define WEIR_TURN_TASKS 32

/** Frames steered from one worker to another that wait there; more are dropped and counted. */
#define WEIR_STEER_RING_SIZE 4096

/** Reports of one worker on the way to the control core; more wait in the worker. */
#define WEIR_REPORT_RING_SIZE 1024

/** Operators' requests that the control core has under way; more are answered BUSY. */
#define WEIR_REQUESTS_MAX WEIR_TENURE_REQUESTS_MAX

/** Large tasks (rules above WEIR_GATE_TASK_ROOM) that one gate can have under way. */
#define WEIR_GATE_LARGE_MAX 64

/** How long workers go on serving after the store was told to stop, while gates are open. */
#define WEIR_STOP_GRACE_NS (200 * WEIR_NS_PER_MS)

/* ------------------------------------------------------------------------------- devices --- */

/** What is known of a device at one moment; replaced as a whole, under RCU. */
struct weir_standing {
	struct rcu_head rcu;
	struct weir_view view;
	struct weir_record_kept *record;
};

/** Lives as long as the registry. */
struct weir_device {
	uint64_t key;
	struct weir_table *table;
	struct weir_standing *standing; /**< RCU; NULL until the record is known */
	_Atomic uint32_t told;          /**< workers in whose ring of devices it stands */
	char *_Atomic name;             /**< set once; NULL: not known yet */
};

/** Twice as many as devices, so that a search ends soon. */
#define WEIR_DEVICE_SLOTS (2 * WEIR_DEVICES_MAX)

/** All named devices in the order of their names; replaced as a whole, under RCU. */
struct weir_device_list {
	struct rcu_head rcu;
	unsigned count;
	struct weir_device *devices[];
};

/**
 * The devices of this node. They come and never go. Finding is lock-free, from any thread; making
 * is rare and under a mutex, from workers (by key) and from the control core (by name).
 */
struct weir_registry {
	pthread_mutex_t making;
	unsigned count;
	struct weir_device_list *list; /**< RCU; written by the control core */
	struct weir_device *_Atomic slots[WEIR_DEVICE_SLOTS];
};

int weir_registry_init(struct weir_registry *registry);
void weir_registry_free(struct weir_registry *registry);

struct weir_device *weir_registry_find(const struct weir_registry *registry, uint64_t key);

/** Finds or makes; NULL where there are WEIR_DEVICES_MAX or memory is short (logged). */
struct weir_device *weir_registry_make(struct weir_registry *registry, uint64_t key);

/**
 * The device of this name, made and named where it is not yet; NULL as above, or where another
 * device has the same key. Control core only, online.
 */
struct weir_device *weir_registry_name(struct weir_registry *registry, const char *name);

/** Publishes what is known now. Control core only, online. @return 0 or WEIR_BUSY */
int weir_device_stand(
	struct weir_device *device, const struct weir_view *view, const struct weir_record *record);

/* --------------------------------------------------------------------------- the company --- */

/** This node in its present life, and the nodes around it; replaced as a whole, under RCU. */
struct weir_company {
	struct rcu_head rcu;
	uint64_t version;
	uint64_t incarnation; /**< of this node; 0: not registered yet */
	unsigned nodes_count;
	struct weir_node nodes[WEIR_NODES_MAX];    /**< by peer number; 0 is this node */
	bool met[WEIR_NODES_MAX];                  /**< whether the worker is to have sessions */
	struct weir_link_end ends[WEIR_NODES_MAX]; /**< with whom, where met */
};

/** Publishes a copy of control.company under a new version. Control core only, online. */
void weir_company_publish(struct weir_store *store);

/** The company as it is now; good until the thread's next quiescent state. */
const struct weir_company *weir_company_now(const struct weir_store *store);

/* -------------------------------------------------------------------------------- workers --- */

/** How long nothing has come, and what that means. */
struct weir_idler {
	unsigned empty_turns;
	uint64_t since_ns;
};

/** Rests as the policy says. The thread is a QSBR reader and online before and after. */
void weir_idle_rest(struct weir_idler *idler, enum weir_idle policy, uint32_t sleep_max_us,
	uint64_t now_ns, _Atomic uint64_t *sleeps);

/** What a worker has had to do with one peer; one writer. */
struct weir_peer_shown {
	_Atomic uint64_t sessions, sessions_now, tx_messages, tx_bytes, rx_messages, rx_bytes;
};

/** Figures of a worker as others may read them. */
struct weir_worker_shown {
	_Atomic uint64_t turns, busy_turns, sleeps, run_ns, busy_ns, steer_drops;
	_Atomic uint32_t lock; /**< sequence: odd while what follows is written */
	_Atomic uint64_t replica[sizeof(struct weir_replica_stats) / sizeof(uint64_t)];
	/** Of links that are no more. */
	_Atomic uint64_t links_gone[sizeof(struct weir_link_stats) / sizeof(uint64_t)];
};

struct weir_worker {
	struct weir_store *store;
	unsigned number;
	struct weir_replica *replica;
	struct weir_link *_Atomic link; /**< NULL: no port, or not registered yet */
	struct weir_mem *mem;
	struct rte_ring *tasks;   /**< gates to this worker */
	struct rte_ring *devices; /**< control core to this worker: devices whose standing is new */
	struct rte_ring *frames;  /**< other workers to this one; NULL without port */
	struct rte_ring *reports; /**< this worker to the control core */

	uint64_t began_ns;        /**< its first turn */
	uint64_t now_ns;          /**< when the turn began */
	bool busy;                /**< the turn before found work */
	uint64_t lease_ns;        /**< what the replica knows */
	uint64_t company_version; /**< what the link knows */
	uint64_t incarnation;     /**< what the link was made with */
	struct weir_idler idler;
	bool met[WEIR_NODES_MAX];
	struct weir_link_end ends[WEIR_NODES_MAX];
	uint32_t resets;             /**< peers whose sessions are to end */
	uint32_t up[WEIR_NODES_MAX]; /**< channels that are up, a bit a worker of the peer */

	struct weir_report *late_reports; /**< those that the ring had no room for */
	unsigned late_count, late_room;
	bool reported; /**< the control core is to be woken */

	unsigned ahead_count;
	struct weir_task *ahead[WEIR_TURN_TASKS]; /**< taken, to be executed in the next turn */

	unsigned answers_count[WEIR_GATES_MAX];
	struct weir_task *answers[WEIR_GATES_MAX][WEIR_TASK_BURST];

	uint64_t shown_at_ns;
	struct weir_worker_shown shown;
	struct weir_peer_shown peers[WEIR_NODES_MAX];
} __attribute__((aligned(WEIR_CACHE_LINE)));

int weir_worker_init(struct weir_worker *worker, struct weir_store *store, unsigned number);
void weir_worker_free(struct weir_worker *worker);

/** Passes a report on; where the ring is full it waits in the worker, in order. */
void weir_worker_report(struct weir_worker *worker, const struct weir_report *report);

/** Once a turn: passes on what waits, and wakes the control core if there is anything for it. */
void weir_worker_reports_flush(struct weir_worker *worker);

/** Control core. @return how many, at most `room` */
unsigned weir_worker_reports_take(
	struct weir_worker *worker, struct weir_report *reports, unsigned room);

/** Hands a frame to another worker, or drops it and counts that. */
void weir_worker_steer(struct weir_worker *worker, unsigned other, struct rte_mbuf *frame);

/** Frees the frames that other workers handed over and nobody took. */
void weir_worker_frames_drop(struct weir_worker *worker);

/** More by so many; for counters of one writer. */
static inline void weir_count_add(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
		memory_order_relaxed);
}

/** One more. */
static inline void weir_count_up(_Atomic uint64_t *counter)
{
	weir_count_add(counter, 1);
}

/** Answers NOTMASTER what stands in the ring of a worker that has gone. Any thread. */
void weir_worker_sweep(struct weir_worker *worker);

/* ---------------------------------------------------------------------------------- gates --- */

/** Requests on their way, newest first: many push, one takes all. */
struct weir_pile {
	struct weir_request *_Atomic top;
};

void weir_pile_push(struct weir_pile *pile, struct weir_request *request);

/** All of them, oldest first. */
struct weir_request *weir_pile_take(struct weir_pile *pile);

/** A task and where it goes back to. */
struct weir_gate_slot {
	struct weir_gate_slot *next; /**< in the gate's list of free ones */
	uint8_t gate;                /**< number of the gate */
	bool large;
	struct weir_task task; /**< must stay last */
};

static inline struct weir_gate_slot *weir_gate_slot(struct weir_task *task)
{
	return (struct weir_gate_slot *)((char *)task - offsetof(struct weir_gate_slot, task));
}

struct weir_gate {
	struct weir_store *store;
	unsigned number;
	int wake_fd;
	struct rte_ring *done; /**< answers; room for all tasks that the gate can have */
	unsigned under_way;
	struct weir_task *refused_first, **refused_last; /**< answered here, not polled yet */
	struct weir_gate_slot *free_slots, *free_large;
	unsigned slots_count, large_count; /**< made so far */
	void **steps;                      /**< blocks of slots */
	unsigned steps_count;
	struct weir_request *replies_taken; /**< taken from the pile, not polled yet */
	struct weir_pile replies;
	unsigned gathered_count[WEIR_WORKERS_MAX];
	struct weir_task *gathered[WEIR_WORKERS_MAX][WEIR_TASK_BURST];
};

/** Gives a request back to its gate and wakes that. Any thread. */
void weir_gate_reply(struct weir_request *request, int err);

/* --------------------------------------------------------------------------- control core --- */

struct weir_request_slot {
	struct weir_request *request; /**< NULL: free */
	uint32_t generation;
};

/** How often memory that waits for readers is looked at, and who holds it up is told at most. */
#define WEIR_RECLAIM_WATCH_NS WEIR_NS_PER_S
#define WEIR_RECLAIM_TELL_NS  (10 * WEIR_NS_PER_S)

/** What is known of memory that waits for readers. */
struct weir_reclaim {
	uint64_t looked_ns; /**< when it was last looked at */
	uint64_t told_ns;   /**< when somebody was last named; 0: never */
	struct weir_mem_stats seen[WEIR_WORKERS_MAX];
};

struct weir_control {
	struct event_base *base;
	struct weir_coord *coord;
	struct weir_tenure *tenure;
	struct event *tick;
	struct event *wake;
	struct weir_company company; /**< to be published */
	struct weir_pile requests;
	atomic_bool closed; /**< no request is looked at any more */
	struct weir_request_slot slots[WEIR_REQUESTS_MAX];
	unsigned slots_used;
	uint64_t leave_by_ns; /**< leaving has to be done by then; 0: not leaving */
	uint64_t due_ns;      /**< the loop comes by then; 0: it has not begun */
	uint64_t cpu_ns;      /**< CPU time that it had used when it last went to wait */
	int result;
	struct weir_reclaim reclaim;
	bool reach_told, reachable;
	char reach_sentence[160];
};

/**
 * Warns, with its name, of a reader for which a worker's freed memory has waited a whole period.
 * Control core, now and then.
 */
void weir_reclaim_watch(struct weir_store *store, uint64_t now_ns);

/** Shows tenure's figures to others. Control core. */
void weir_tenure_show(struct weir_store *store);

/** Takes the requests that gates have made. Control core. */
void weir_requests_take(struct weir_store *store, uint64_t now_ns);

/** The reply to a ticket. Control core. */
void weir_requests_reply(struct weir_control *control, uint64_t ticket, int err);

/** Answers UNKNOWN what is past its deadline. @return the next deadline; UINT64_MAX: none */
uint64_t weir_requests_expire(struct weir_control *control, uint64_t now_ns);

/** Answers all that is under way and all that will come. */
void weir_requests_close(struct weir_store *store);

/* ---------------------------------------------------------------------------------- store --- */

struct weir_store {
	struct weir_store_conf conf;
	struct weir_registry registry;
	int wake_fd; /**< of the control core */

	/* Written by the control core, read by all: one cache line. */
	_Atomic uint64_t lease_ns __attribute__((aligned(WEIR_CACHE_LINE)));
	_Atomic uint64_t company_version;
	_Atomic uint64_t stop_by_ns; /**< workers end by then; 0: running */
	_Atomic uint32_t idle;       /**< enum weir_idle */
	_Atomic uint32_t idle_sleep_max_us;
	struct weir_company *company; /**< RCU */
	_Atomic uint64_t tenure_shown[sizeof(struct weir_tenure_stats) / sizeof(uint64_t)];

	struct weir_control control __attribute__((aligned(WEIR_CACHE_LINE)));

	pthread_mutex_t gates_lock; /**< opening, closing and waking of gates */
	_Atomic unsigned gates_open;
	struct weir_gate *gates[WEIR_GATES_MAX];

	pthread_mutex_t sweep_lock;
	atomic_bool workers_gone[WEIR_WORKERS_MAX];
	struct weir_worker workers[];
};

static inline unsigned weir_store_worker_of(const struct weir_store *store, uint64_t flow_id)
{
	return weir_flow_shard(flow_id) & (store->conf.workers_count - 1);
}

/** Wakes whoever waits on an eventfd. */
void weir_wake(int fd);

/*
 * Many producers: one that is preempted does not hold up the others. It reads and writes in two
 * widths, which ThreadSanitizer does not follow: there the plain kind.
 */
#ifdef WEIR_TSAN
#define WEIR_RING_MP 0
#else
#define WEIR_RING_MP RING_F_MP_RTS_ENQ
#endif

/** A ring in the heap, which needs no name. NULL where memory is short. */
struct rte_ring *weir_ring_create(unsigned count, unsigned flags);
struct rte_ring *weir_ring_create_elem(unsigned esize, unsigned count, unsigned flags);

/** How many there are in a ring at this moment. Any thread. */
unsigned weir_ring_count(const struct rte_ring *ring);

/** Chunks from EAL's hugepages where it has any, from the heap else. */
extern const struct weir_mem_source weir_store_memory;

#endif
