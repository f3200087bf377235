/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The service: a node of Weir, put together from its rooms.
 *
 * The store owns the device registry, runs one replica and one link on each worker core and
 * tenure on the control core, and carries events between them. It decides nothing about the
 * protocol. Whoever serves clients stands at a *gate*: a doorway for one thread, through which
 * tasks go to the workers and answers come back, and operator's requests go to the control core.
 *
 * Threads
 * -------
 * - Control core: the thread that calls weir_store_control_run. Event loop (libevent), tenure, the
 *   coordinator's driver.
 * - Workers: the threads that call weir_store_worker_run (EAL worker lcores).
 * - Gates: one thread each; a registered QSBR reader, which calls weir_gate_poll often, or is
 *   offline (weir_gate_rest) while it blocks.
 *
 * Reads touch no worker: a gate's thread looks up the device's table itself (table/table.h).
 */
#ifndef WEIR_STORE_STORE_H
#define WEIR_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "link/link.h"
#include "replica/replica.h"
#include "tenure/coord.h"
#include "tenure/tenure.h"

struct event_base;
struct rte_mempool;
struct weir_store;

/* ------------------------------------------------------------------- settings, life --- */

/** What a worker does when a turn found no work. */
enum weir_idle {
	WEIR_IDLE_POLL,  /**< next turn at once */
	WEIR_IDLE_PAUSE, /**< a pause instruction, then a yield: for cores shared with little else
			  */
	WEIR_IDLE_SLEEP, /**< pause, yield, then sleep, longer the longer nothing comes */
};

struct weir_store_conf {
	char cluster[WEIR_CLUSTER_ID_MAX];
	struct weir_tenure_conf tenure; /**< self.id, socket and periods; the rest is filled in */
	unsigned workers_count;         /**< a power of two, 1..WEIR_WORKERS_MAX */
	/** Replication port, started, with workers_count queue pairs; WEIR_NO_PORT: none (one
	 * node). */
	uint16_t port_id;
	uint16_t mtu;
	uint32_t ipv4;     /**< of the port, host byte order */
	uint16_t udp_port; /**< of worker 0 */
	struct rte_mempool *pool;
	enum weir_idle idle;
	uint32_t idle_sleep_max_us; /**< longest sleep of an idle worker */
	uint32_t insync_timeout_ms;
	uint32_t anti_entropy_period_ms;
	uint32_t backup_period_ms; /**< counters go to the backups so often */
	uint32_t request_timeout_ms;
	uint64_t memory_bytes; /**< most that a worker's tables may take */
};

#define WEIR_NO_PORT 0xffff

/**
 * Builds a node; the EAL runs already.
 * @return NULL where memory is short or a setting makes no sense (logged)
 */
struct weir_store *weir_store_create(const struct weir_store_conf *conf);

/**
 * Frees the node; all its threads have come back and all gates are closed. NULL is fine. The
 * calling thread is not a QSBR reader: it becomes one meanwhile, and waits for all others.
 */
void weir_store_destroy(struct weir_store *store);

/** What a coordinator's driver must be given as events, with the store as their ctx. */
extern const struct weir_coord_events weir_store_coord_events;

/**
 * Runs the control core until weir_store_leave has completed or weir_store_stop was called.
 * Owned by the caller: the event base (signals and the driver's sockets live on it too) and the
 * driver.
 * @return 0, or WEIR_EXISTS where the cluster refused this node (logged as an error)
 */
int weir_store_control_run(
	struct weir_store *store, struct event_base *base, struct weir_coord *coord);

/** Runs one worker until the store stops. The caller's thread is its for that time. */
int weir_store_worker_run(struct weir_store *store, unsigned worker);

/** Hands mastership over, leaves the cluster, stops. Control core only. */
void weir_store_leave(struct weir_store *store);

/** Stops all threads without a word to anybody. Any thread. */
void weir_store_stop(struct weir_store *store);

/** Whether the store is stopping: gates close. Any thread. */
bool weir_store_stopping(const struct weir_store *store);

/* ------------------------------------------------------------------------- devices --- */

/** A device as this node knows it. Good until the thread's next quiescent state. */
struct weir_device;

/** Who serves a device, as seen from this node. */
struct weir_device_status {
	enum weir_role role; /**< of this node */
	uint64_t term;
	uint64_t active;
	uint64_t revision;
	uint64_t flows;   /**< entries in this node's copy */
	uint64_t content; /**< sum of the shard digests: equal copies have equal content */
	bool open;        /**< this node is master of an active term and its lease is valid */
	struct weir_record record;
	char master_socket[WEIR_SOCKET_PATH_MAX]; /**< empty where not known */
};

/** The device of this name, or NULL. */
const struct weir_device *weir_store_device(
	const struct weir_store *store, const char *name, size_t len);

const char *weir_device_name(const struct weir_device *device);
uint64_t weir_device_number(const struct weir_device *device); /**< its key, weir_device_key */
const struct weir_table *weir_device_table(const struct weir_device *device);

/**
 * Whether this node may answer a master read of the device now.
 * @return 0, WEIR_NOTMASTER, WEIR_FENCED, or WEIR_BUSY where its term is not active yet
 */
int weir_device_may_read(const struct weir_store *store, const struct weir_device *device);

void weir_device_status(const struct weir_store *store, const struct weir_device *device,
	struct weir_device_status *status);

/** Visits all devices by name order; return false to end. @return devices visited */
unsigned weir_store_devices(const struct weir_store *store,
	bool (*visit)(void *ctx, const struct weir_device *device), void *ctx);

/** Copies the nodes on the cluster's list, this one first. @return how many, at most `room` */
unsigned weir_store_nodes(const struct weir_store *store, struct weir_node *nodes, unsigned room);

/* --------------------------------------------------------------------------- gates --- */

struct weir_gate;

enum weir_request_kind {
	WEIR_REQUEST_DEVICE_ADD,  /**< device */
	WEIR_REQUEST_MASTER_SET,  /**< device, node */
	WEIR_REQUEST_ROLE_SET,    /**< device, node, role */
	WEIR_REQUEST_NODE_FORGET, /**< node */
};

/** An operator's request to the control core; belongs to its maker again when it comes back. */
struct weir_request {
	enum weir_request_kind kind;
	int err; /**< answer */
	void *owner;
	uint64_t cookie;
	uint64_t deadline_ns;      /**< past it: UNKNOWN */
	struct weir_gate *gate;    /**< the store's own */
	struct weir_request *next; /**< the store's own */
	char device[WEIR_DEVICE_ID_MAX];
	char node[WEIR_NODE_ID_MAX];
	enum weir_role role;
};

/** Tasks that one gate can have under way, at most. */
#define WEIR_GATE_TASKS_MAX 32768

/** Rule bytes that an ordinary task has room for; larger rules take one of a few large tasks. */
#define WEIR_GATE_TASK_ROOM 512

/**
 * Opens a gate for the calling thread, which becomes a QSBR reader. At most WEIR_GATES_MAX.
 * @return NULL where there are too many or memory is short
 */
struct weir_gate *weir_gate_open(struct weir_store *store);
#define WEIR_GATES_MAX 16

/** Closes the gate; nothing may be under way. Same thread. */
void weir_gate_close(struct weir_gate *gate);

/** A task with room for `entry_bytes` of entry, or NULL: all are under way (BUSY). */
struct weir_task *weir_gate_task(struct weir_gate *gate, size_t entry_bytes);

/** Gives a task back that was never submitted or has been answered. */
void weir_gate_task_free(struct weir_gate *gate, struct weir_task *task);

/**
 * Hands a task to its worker. Gathered; weir_gate_flush passes them on in bulk. Where the worker's
 * ring is full the task is answered BUSY (through weir_gate_poll like any other).
 */
void weir_gate_submit(struct weir_gate *gate, struct weir_task *task);
void weir_gate_flush(struct weir_gate *gate);

/** Tasks that are done. @return how many, at most `room` */
unsigned weir_gate_poll(struct weir_gate *gate, struct weir_task **tasks, unsigned room);

/** Tasks submitted and not yet polled: while there are any, poll rather than block. */
unsigned weir_gate_under_way(const struct weir_gate *gate);

/** Asks the control core; comes back through weir_gate_request_poll. */
void weir_gate_request(struct weir_gate *gate, struct weir_request *request);
struct weir_request *weir_gate_request_poll(struct weir_gate *gate);

/** Readable when a request has come back or the store stops: for the gate's event loop. */
int weir_gate_fd(const struct weir_gate *gate);

/** Around anything that blocks: in between the thread may hold no pointer from the store. */
void weir_gate_rest(struct weir_gate *gate);
void weir_gate_wake(struct weir_gate *gate);

/** A quiescent state: pointers got from the store before it are no longer good. */
void weir_gate_quiescent(struct weir_gate *gate);

/* ---------------------------------------------------------------------- statistics --- */

/** One worker's figures; those of the replica may be some 20 ms old. A QSBR reader, online. */
struct weir_worker_stats {
	uint64_t turns, busy_turns; /**< turns of the loop, and those that found work */
	uint64_t sleeps;
	uint64_t run_ns;      /**< from its first turn to its last */
	uint64_t busy_ns;     /**< in turns that found work, by the clock */
	uint64_t steer_drops; /**< frames for other workers that found no room there */
	uint64_t waiting_now; /**< tasks in its ring that it has not taken yet */
	struct weir_replica_stats replica;
	struct weir_link_stats link;
	struct weir_mem_stats mem;
};

void weir_store_worker_stats(
	const struct weir_store *store, unsigned worker, struct weir_worker_stats *stats);

/** What passes between this node and another one. */
struct weir_peer_stats {
	uint64_t sessions;     /**< between two workers, that came up */
	uint64_t sessions_now; /**< now: those that are up */
	uint64_t tx_messages, tx_bytes;
	uint64_t rx_messages, rx_bytes;
};

/** Of another node. @return 0 or WEIR_NOTFOUND. A QSBR reader, online. */
int weir_store_peer_stats(
	const struct weir_store *store, const char *node, struct weir_peer_stats *stats);

/** As the control core last had them. Any thread. */
void weir_store_tenure_stats(const struct weir_store *store, struct weir_tenure_stats *stats);

/** Another idle policy from now on; the longest sleep is 1..999,999 us. Any thread. */
void weir_store_idle_set(struct weir_store *store, enum weir_idle idle, uint32_t sleep_max_us);

/** Whether devices without an in-sync copy wait, from now on. Control core. */
void weir_store_unclean_set(struct weir_store *store, bool unclean_takeover);

/** The settings as the store was made with them, completed. */
const struct weir_store_conf *weir_store_conf(const struct weir_store *store);

/** ns of lease left; 0: fenced. */
uint64_t weir_store_lease_ns(const struct weir_store *store);

#endif
