/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several tenure machines over one coordinator (the rules of coord/solo), in virtual time.
 *
 * Requests and answers travel for `delay_ns`; a node may be cut off from the coordinator, or lose
 * its answers after they took effect. Workers are played: they seal the copies that are within
 * reach, settle, catch backups up and report, unless a test takes that over (`manual`). The
 * world checks at every step that no node's terms go back and that no two nodes serve a device.
 */
#ifndef WEIR_TESTS_TENURE_WORLD_H
#define WEIR_TESTS_TENURE_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/solo/rules.h"
#include "tenure/tenure.h"

#define NODES    9
#define LEASE_MS 2000
#define WORKERS  2
#define MS(n)    ((n)*WEIR_NS_PER_MS)
#define EVENTS   (WEIR_EVENT_LEASE_RESUMED + 1)

/** A device as one process sees it, and what its played workers have done for it. */
struct seen {
	struct weir_view view;
	struct weir_record record;
	unsigned views;
	uint64_t promised;             /**< highest term sealed */
	uint64_t settled;              /**< term */
	uint32_t joined[NODES];        /**< attempt in which that node has caught up; 0: none */
	uint32_t tried[NODES];         /**< last attempt played */
	uint32_t failed[NODES];        /**< last attempt reported LAGGING */
	uint32_t attempts_seen[NODES]; /**< number of different attempts in views */
	uint32_t attempt_of_view[NODES];
};

struct proc {
	char id[WEIR_NODE_ID_MAX];
	struct weir_tenure *tenure; /**< NULL: not running */
	struct weir_tenure_conf conf;
	uint64_t next_ns; /**< when to tick */
	uint64_t life;    /**< grows with each start */
	bool cut;         /**< no way to the coordinator: UNREACHABLE, nothing done */
	bool deaf;        /**< requests take effect, answers are lost: UNREACHABLE */
	bool frozen;      /**< stopped: neither ticks nor takes answers */
	bool off_net;     /**< not within reach of other nodes' workers */
	bool no_hints;
	uint64_t lease_until_ns;
	struct seen *seen; /**< by device number */
	bool peer_up[NODES];
	unsigned peer_calls;
	unsigned events[EVENTS];
	unsigned asked[WEIR_COORD_FORGET + 1];
	unsigned flying_changes, flying_changes_top;
	bool refused, left;
	char sentence[256];
};

struct world {
	struct weir_coord_rules *rules;
	uint64_t now_ns;
	uint64_t delay_ns;            /**< one way */
	uint64_t renew_delay_ns;      /**< more for the answers of RENEW: they are overtaken */
	uint64_t timeout_ns;          /**< of a driver */
	uint64_t work_ns;             /**< played workers take so long */
	bool manual_settle;           /**< the test reports SETTLED itself */
	bool no_expiry;               /**< the coordinator tells no end of leases */
	bool no_ticks;                /**< nobody ticks: things go on by events alone */
	bool manual_join;             /**< the test reports CAUGHT_UP and LAGGING itself */
	struct weir_tenure_conf conf; /**< for nodes that are started */
	struct proc procs[NODES];
	unsigned devices_count;
	unsigned devices_room;
	struct event *events;
	unsigned events_count, events_room;
	uint64_t seq;
	uint64_t ticket;
	int reply_err; /**< of the last reply */
	uint64_t reply_ticket;
	struct weir_record reply_record;
	uint64_t steps;
	bool has_forgotten; /**< the coordinator lost confirmed changes: leases promise nothing */
	/** Called before a request takes effect; true: it is lost (UNREACHABLE). */
	bool (*filter)(struct world *world, unsigned node, const struct weir_coord_request *);
	unsigned filter_arg;
};

void world_begin(struct world *world, unsigned devices_room);
void world_end(struct world *world);

/** Name of node i (n1 is 0) and of device i. */
const char *node_name(unsigned i);
const char *device_name(unsigned i);

void world_start(struct world *world, unsigned node);
/** kill -9 */
void world_kill(struct world *world, unsigned node);
/** Takes a node off the replication network or back. */
void world_net(struct world *world, unsigned node, bool up);
void world_freeze(struct world *world, unsigned node, bool frozen);

void world_run(struct world *world, uint64_t ns);
/** Runs until cond holds; fails after `ns`. */
#define world_until(world, ns, cond)                                                               \
	do {                                                                                       \
		uint64_t end_ = (world)->now_ns + (ns);                                            \
		while (!(cond) && (world)->now_ns < end_)                                          \
			world_step(world, end_);                                                   \
		assert_true(cond);                                                                 \
	} while (0)
/** One step of time, not beyond `end_ns`. */
void world_step(struct world *world, uint64_t end_ns);

/** Operators' requests at a node; return the reply's error. */
int world_add(struct world *world, unsigned node, unsigned device);
int world_master(struct world *world, unsigned node, unsigned device, unsigned to);
int world_role(
	struct world *world, unsigned node, unsigned device, unsigned of, enum weir_role role);

/** Starts nodes 0..count-1, adds a device at node 0 and waits until all copies are in sync. */
void world_settled(struct world *world, unsigned count);

const struct weir_record *stored(struct world *world, unsigned device);
struct seen *seen(struct world *world, unsigned node, unsigned device);
/** What node's view says of another node; NULL: nothing. */
const struct weir_member *member(
	struct world *world, unsigned node, unsigned device, unsigned other);
bool is_insync(struct world *world, unsigned device, unsigned node);
/** The stored record has this node as master, in its present life, and is active. */
bool is_active_at(struct world *world, unsigned device, unsigned node);
/** It is active, the view there says so, and its lease is valid. */
bool serves(struct world *world, unsigned device, unsigned node);

/** Says on standard error how things stand: for tests that fail. */
void world_print(struct world *world);

void report(struct world *world, unsigned node, enum weir_report_kind kind, unsigned device,
	uint64_t term, unsigned worker, unsigned peer_node, uint32_t attempt);

#endif
