/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * One node's share of mastership: membership, leases, terms, roles and in-sync sets, as a pure
 * state machine on the control core.
 *
 * Tenure keeps this node registered, renews its lease, pulls changed records, and from them tells
 * the workers of each device's view (replica.h). It decides, each change guarded by the record's
 * revision so that two nodes that decide at once cannot both succeed:
 *
 * - a device whose master is dead (no lease, or another incarnation than in the record): the first
 *   live in-sync copy in the order of backups makes a new term with itself as master. Where no
 *   in-sync copy lives, nobody does, unless unclean_takeover is set: then the first live backup,
 *   else the first live node by name, after one lease time.
 * - as master of a term that all workers report SETTLED: sets it active, with itself and the
 *   backups that have caught up as the in-sync set; before, it waits up to join_grace for the first
 *   live backup to catch up.
 * - as master of an active term: puts backups that all workers report CAUGHT_UP into insync;
 *   takes out those that any worker reports LAGGING or whose process is gone (then the attempt
 *   number in the view grows); fills the list of backups up to backup_count with live nodes, dead
 *   ones being replaced when a live one can take their place.
 * - told that a worker has stepped down since a copy takes nothing up to some term (DEPOSED): where
 *   the record, read again, still has this node as master in no higher one, asks for a term above.
 *
 * Purity, as in replica.h: time is an argument; effects leave through struct weir_tenure_ops.
 * Thread-safety: one owner thread, the control core.
 */
#ifndef WEIR_TENURE_TENURE_H
#define WEIR_TENURE_TENURE_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/replica.h"
#include "tenure/coord.h"

struct weir_tenure;

/** Changes of records in flight, at most: a dead master's devices are taken over in so wide a
 * stream. */
#define WEIR_TENURE_CHANGES_MAX 64
/** Operators' requests that wait, at most; more are answered BUSY. */
#define WEIR_TENURE_REQUESTS_MAX 256

enum weir_tenure_event_kind {
	WEIR_EVENT_TERM_START,  /**< a new term, not active yet */
	WEIR_EVENT_TERM_ACTIVE, /**< its master serves */
	WEIR_EVENT_TERM_END,    /**< another term has taken its place */
	WEIR_EVENT_TERM_UPDATE, /**< backups or in-sync set have changed within the term */
	WEIR_EVENT_UNCLEAN,     /**< a term was begun without an in-sync copy */
	WEIR_EVENT_NODE_UP,
	WEIR_EVENT_NODE_DOWN,
	WEIR_EVENT_LEASE_SUSPENDED, /**< this node's lease has run out: it serves nothing */
	WEIR_EVENT_LEASE_RESUMED,   /**< it is valid again, under the same incarnation */
};

/** "term-start", ... */
const char *weir_tenure_event_name(enum weir_tenure_event_kind kind);

struct weir_tenure_event {
	enum weir_tenure_event_kind kind;
	const struct weir_record *record; /**< term events */
	const struct weir_node *node;     /**< node events; of a lease this node */
};

struct weir_tenure_ops {
	/** Asks the coordinator; the answer comes through weir_tenure_answer, never from inside. */
	void (*ask)(void *ctx, const struct weir_coord_request *request);
	/** A device's view has changed; `record` is what it was made from. To all workers. */
	void (*view)(void *ctx, const struct weir_view *view, const struct weir_record *record);
	/** Node number `peer` is this process now; NULL: it is dead, end its sessions. */
	void (*peer)(void *ctx, unsigned peer, const struct weir_node *node);
	/** The lease is valid until then (ns, monotonic); 0: not at all. */
	void (*lease)(void *ctx, uint64_t until_ns);
	/** An operator's request (weir_tenure_device_add, ...) is done. */
	void (*reply)(void *ctx, uint64_t ticket, int err, const struct weir_record *record);
	void (*event)(void *ctx, const struct weir_tenure_event *event);
	/** This node cannot be a member: its name is in use, or its settings are not the cluster's.
	 */
	void (*refused)(void *ctx, const char *sentence);
	/** The node has left (after weir_tenure_leave): the process may end. */
	void (*left)(void *ctx);
};

struct weir_tenure_conf {
	struct weir_node self;     /**< id, mac, ipv4, udp_port, workers_count, socket are set */
	unsigned workers_count;    /**< reports are expected from so many */
	uint8_t backup_count;      /**< 0..WEIR_BACKUPS_MAX; default 2 */
	uint32_t lease_ms;         /**< default 2000; renewed every eighth of it */
	uint32_t join_grace_ms;    /**< default 2000 */
	uint32_t leave_timeout_ms; /**< handing over at leave takes at most so long; default 800 */
	bool unclean_takeover;     /**< default false: wait */
};

/** Counters, over all devices; they only grow. And how things are now. */
struct weir_tenure_stats {
	uint64_t renewals;          /**< of the lease, that counted */
	uint64_t renewals_failed;   /**< without an answer, or refused */
	uint64_t renewal_ns;        /**< now: what the last one took */
	uint64_t hints;             /**< that records or nodes may have changed */
	uint64_t changes;           /**< of records, carried out for this node */
	uint64_t changes_refused;   /**< somebody else was first */
	uint64_t changes_unknown;   /**< the coordinator did not answer */
	uint64_t changes_now;       /**< now: under way */
	uint64_t terms;             /**< begun anywhere, as this node heard of them */
	uint64_t terms_active;      /**< that became active */
	uint64_t terms_unclean;     /**< begun here without an in-sync copy */
	uint64_t takeovers;         /**< asked for here since the master was dead */
	uint64_t deposed;           /**< masterships lost to a promise, as workers reported */
	uint64_t regressions;       /**< records that the coordinator had lost */
	uint64_t nodes_up;          /**< lives of other nodes seen to begin */
	uint64_t nodes_down;        /**< ... and to end */
	uint64_t lease_suspensions; /**< times that the lease ran out */
	uint64_t fenced;            /**< times that another incarnation was known */
	uint64_t requests;          /**< of operators */
	uint64_t requests_refused;  /**< ... and not answered OK */
};

struct weir_tenure *weir_tenure_create(const struct weir_tenure_conf *conf,
	const struct weir_tenure_ops *ops, void *ctx, uint64_t now_ns);

void weir_tenure_destroy(struct weir_tenure *tenure);

/** Runs what is due. @return when to call again at the latest (ns, monotonic) */
uint64_t weir_tenure_tick(struct weir_tenure *tenure, uint64_t now_ns);

/** The coordinator has answered. */
void weir_tenure_answer(
	struct weir_tenure *tenure, const struct weir_coord_answer *answer, uint64_t now_ns);

/** A hint that records or nodes have changed: renews at once. */
void weir_tenure_hint(struct weir_tenure *tenure, uint64_t now_ns);

/** A worker reports. */
void weir_tenure_report(
	struct weir_tenure *tenure, const struct weir_report *report, uint64_t now_ns);

/** Makes a device known to the cluster, with this node as its first master. Reply: 0, EXISTS, ...
 */
void weir_tenure_device_add(
	struct weir_tenure *tenure, uint64_t ticket, const char *device, uint64_t now_ns);

/**
 * Gives mastership of a device to a node, by a new term. Replied when the record is changed:
 * 0, NODEVICE, NOTFOUND (no such live node), BUSY (too many requests at once), ...
 */
void weir_tenure_master_set(struct weir_tenure *tenure, uint64_t ticket, const char *device,
	const char *node, uint64_t now_ns);

/**
 * Another choice of conf.unclean_takeover from now on, also for devices that wait already. Nodes
 * must agree: whoever is to take over goes by its own.
 */
void weir_tenure_unclean_set(struct weir_tenure *tenure, bool unclean_takeover, uint64_t now_ns);

/** Role of `node` for the device: master (as above), standby (added to backups), none (dropped). */
void weir_tenure_role_set(struct weir_tenure *tenure, uint64_t ticket, const char *device,
	const char *node, enum weir_role role, uint64_t now_ns);

/**
 * Strikes a dead node off the cluster's list, of which it takes a place as long as it stands there.
 * Replied 0, NOTFOUND (not on the list), EXISTS (it lives, or looked alive a moment ago), CONFLICT
 * (a device's record names it: another copy is to take its place first), BUSY (one is being
 * forgotten, or records change all the time), UNREACHABLE, FENCED.
 */
void weir_tenure_node_forget(
	struct weir_tenure *tenure, uint64_t ticket, const char *node, uint64_t now_ns);

/**
 * Hands all masterships over to live in-sync copies, waits until those terms are active (at most
 * leave_timeout_ms), gives the lease up, then calls left.
 */
void weir_tenure_leave(struct weir_tenure *tenure, uint64_t now_ns);

/** The record of a device. @return false: there is none */
bool weir_tenure_record(
	const struct weir_tenure *tenure, const char *device, struct weir_record *record);

/**
 * All nodes, this one included, in the order of their peer numbers; number 0 is this node. One that
 * was forgotten keeps its place until another node needs it.
 */
const struct weir_node *weir_tenure_nodes(const struct weir_tenure *tenure, unsigned *count);

void weir_tenure_stats(const struct weir_tenure *tenure, struct weir_tenure_stats *stats);

/** This node's incarnation; 0: not registered. */
uint64_t weir_tenure_incarnation(const struct weir_tenure *tenure);

#endif
