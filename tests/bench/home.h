/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Nodes of Weir to measure: a store with its threads, each pinned, and a client at its gate.
 *
 * Workers come first in the order of CPUs, the client's and the control core's threads take the
 * last CPU: on a machine with fewer CPUs than threads they share it, and give way when idle.
 */
#ifndef BENCH_HOME_H
#define BENCH_HOME_H

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "store/store.h"

#include "bench.h"
#include "flows.h"

/** How long something may take that has to happen. */
#define PATIENCE_NS (120 * WEIR_NS_PER_S)

struct office;

struct home {
	const struct bench *bench;
	struct weir_store *store;
	struct event_base *base;
	struct weir_coord *coord;
	pthread_t control, workers[WEIR_WORKERS_MAX];
	unsigned workers_count;
	int leave_fd; /**< readable: the node is to leave */
	struct event *leave;
};

/** Settings of a node that is alone. */
struct weir_store_conf home_conf(const char *id, unsigned workers_count);

/**
 * @param cpu    number of the first worker's CPU, see bench_cpu
 * @param office the coordinator of all nodes in this process, or NULL
 * @param redis  socket of the coordinator of several processes, where office is NULL
 */
void home_open(struct home *home, const struct bench *bench, const struct weir_store_conf *conf,
	unsigned cpu, struct office *office, const char *redis);

/** Stops all threads. All gates are closed; the caller is no RCU reader, or offline. */
void home_close(struct home *home);

/** The same, after the node has left its cluster. */
void home_leave(struct home *home);

/** Flows in this node's copy of a device; UINT64_MAX: it knows none of this name. Any thread. */
uint64_t home_flows(const struct home *home, const char *device);

/** Whether idle workers poll, yielding to others, or sleep: for the time that others are measured.
 */
void home_busy(struct home *home, bool busy);

/** CPU time of all workers so far, or of one. */
uint64_t home_workers_ns(const struct home *home);
uint64_t home_worker_ns(const struct home *home, unsigned worker);

/* ----------------------------------------------------------------------------------- client --- */

/** A thread that serves clients would have one. */
struct client {
	const struct bench *bench;
	struct home *home;
	struct weir_gate *gate;
};

void client_open(struct client *client, struct home *home);
void client_close(struct client *client);

/** Lets others go on; pointers got before are no longer good. */
void client_pause(struct client *client);

#define client_wait(client, done)                                                                  \
	do {                                                                                       \
		uint64_t until_ns_ = weir_clock_ns() + PATIENCE_NS;                                \
		while (!(done)) {                                                                  \
			if (weir_clock_ns() > until_ns_)                                           \
				bench_fail((client)->bench, "this did not come about: %s", #done); \
			client_pause(client);                                                      \
		}                                                                                  \
	} while (0)

/** An operator's request, which must succeed. */
void client_ask(
	struct client *client, enum weir_request_kind kind, const char *device, const char *node);

struct weir_device_status client_status(struct client *client, const char *device);

/** Waits until so many nodes are live. */
void client_company(struct client *client, unsigned nodes_count);

/** Makes a device and waits until `copies` of it are in sync and its term is active. */
void client_device(struct client *client, const char *device, unsigned copies);

/** The same for several, whose numbers are appended to the name. */
void client_devices(
	struct client *client, const char *name, unsigned devices_count, unsigned copies);

/** Tasks on flows, one after the other. */
struct job {
	const char *device;
	unsigned devices_count; /**< 0: this one; else device numbers are appended, in turn */
	enum weir_op op;
	enum weir_ack ack;
	const struct flow *flows;
	uint64_t count;
	unsigned window;  /**< tasks under way at once */
	uint64_t packets; /**< REPORT: counters that are said */
};

/** What a job took. */
struct spent {
	double wall_ns;    /**< an operation */
	double workers_ns; /**< CPU time of the workers, an operation; polling in vain counts too */
};

/** Every task must be answered 0. */
struct spent client_do(struct client *client, const struct job *job);

/**
 * The same in batches of a window, between which the workers sleep: CPU time of the workers an
 * operation, in ns, whatever the client's pace is.
 */
double client_cost(struct client *client, const struct job *job);

/** All flows of a device go. */
void client_purge(struct client *client, const char *device);

#endif
