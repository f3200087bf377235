/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * One worker's share of the replication protocol, as a pure state machine.
 *
 * For each device, this worker owns the buckets of some shards: a *share*. In the role of master
 * it applies writes, sends each change to the backups and answers when every copy in the in-sync
 * set has it. In the role of backup it applies what the master sends and acknowledges. At a
 * change of term, the new master seals all copies, settles each bucket from the newest of them,
 * brings the backups to its own state, and opens when the term has become active.
 *
 * Purity
 * ------
 * Events go in through the functions below, effects come out through struct weir_replica_ops.
 * Nothing here reads a clock, draws a random number or touches a socket: time is set once a turn
 * (weir_replica_time). The same object code runs in weir-node and in a simulator.
 *
 * Channels
 * --------
 * The messages of this worker with one worker of one peer form a channel: while it is up (between
 * weir_replica_up and weir_replica_down) they arrive in order, once each. Both ends count them, so
 * "acknowledged up to n" needs no number in the messages. A refusal travels on the same channel
 * before the acknowledgement that covers what was refused.
 *
 * Joining
 * -------
 * A backup joins in one attempt: the digests of its shards are asked for, of shards that differ
 * those of their buckets, and buckets that differ are shipped whole; from then on it gets each
 * bucket's changes; when it has acknowledged everything, it is told so,
 * counted as one that must acknowledge, and reported CAUGHT_UP. Whatever breaks this (channel
 * down, no acknowledgement for insync_timeout) is reported LAGGING and ends the attempt; the peer
 * must still acknowledge until a view with a larger attempt number says that the coordinator
 * has taken it out of the in-sync set. So the set shrinks in the coordinator before writes that
 * the peer lacks are answered.
 *
 * Guarantees (letters are referred to in the code)
 * - A: a write is answered OK under WEIR_ACK_INSYNC only when every copy that the coordinator may
 *   at that moment have in the in-sync set has applied it, and the lease was valid then. The same
 *   holds for an answer that only tells what stands here (NOTFOUND, OLDER, nothing to change): the
 *   writes that it rests on are on those copies.
 * - B: a share that has promised term T applies and acknowledges nothing of a lower term.
 * - C: tasks that wait for a term are executed once, in order, before any newer task of the
 *   share, under the term that is active then; or they are answered NOTMASTER, TIMEOUT or BUSY.
 * - D: every task is answered exactly once.
 * - E: what the table calls firm (table/table.h) while this node may serve is on every copy of the
 *   in-sync set; a read that is answered by a task (GET) waits until that is so.
 * - F: before a promise of term T leaves this node, or anything of T is applied, the table's fence
 *   stands at T: readers know that an older term is over as soon as anybody may act upon it.
 *
 * Thread-safety: one owner thread (the worker), which is a registered QSBR reader.
 */
#ifndef WEIR_REPLICA_REPLICA_H
#define WEIR_REPLICA_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "flow/flow.h"
#include "table/table.h"

struct weir_replica;

/* ----------------------------------------------------------------------------- tasks --- */

/** What a task asks for; semantics.md of each stands with weir_replica_task. */
enum weir_op {
	WEIR_OP_ADD,     /**< store as PENDING_ADD with zero counters, there or not */
	WEIR_OP_MODIFY,  /**< where it is there and not newer: replace, PENDING_ADD; else NOTFOUND,
			    OLDER */
	WEIR_OP_REMOVE,  /**< where it is there: PENDING_REMOVE; else NOTFOUND */
	WEIR_OP_REPORT,  /**< the device holds it: counters; PENDING_ADD becomes ADDED; absent:
			    EXTRANEOUS */
	WEIR_OP_PENDING, /**< the device lost it: any state but PENDING_ADD becomes PENDING_ADD */
	WEIR_OP_REMOVED, /**< the device says it is gone: taken out; else NOTFOUND */
	WEIR_OP_PURGE, /**< all rules of an app, or all, of the shard that flow_id falls into go */
	WEIR_OP_GET, /**< the entry of this rule, once all in-sync copies have it; else NOTFOUND */
	WEIR_OP_GET_ID, /**< the same of any rule with this flow id */
	WEIR_OPS_COUNT,
};

enum weir_ack {
	WEIR_ACK_INSYNC, /**< answer when every in-sync copy has it */
	WEIR_ACK_LOCAL,  /**< answer when the master has applied it */
};

/**
 * A write on its way: made by a gateway, executed by the worker that owns the rule's shard,
 * given back through weir_replica_ops.answer with err set. Whoever made it owns its memory.
 */
struct weir_task {
	struct weir_task *next; /**< for whichever queue it stands in */
	uint64_t device_key;    /**< weir_device_key of the device's name */
	uint64_t deadline_ns;   /**< monotonic; past it: TIMEOUT (not begun) or UNKNOWN (begun) */
	void *owner;            /**< the maker's own */
	uint64_t cookie;        /**< the maker's own */
	uint8_t op;             /**< enum weir_op */
	uint8_t ack;            /**< enum weir_ack */
	int16_t err;            /**< answer: 0 or a negative enum weir_err */
	uint32_t room;          /**< bytes at entry; GET: one that is larger is answered TOOBIG */
	int32_t app;            /**< PURGE: 0..65535 or WEIR_ANY_APP */
	uint32_t removed;       /**< 0; PURGE: rules that have gone */
	uint32_t at;            /**< 0; PURGE: the replica's own, next bucket */
	/**
	 * In: the rule (identity only where op needs no more); for REPORT packets, bytes, life_s,
	 * live_type and last_seen_ms too. created: 0, or for MODIFY and REMOVED the time that may
	 * not be older than the stored one (0: whatever is stored).
	 */
	struct weir_entry entry; /**< must stay last: the rule goes on behind it */
};

/* ------------------------------------------------------------------------------ views --- */

/** The key of a device's name on the wire: XXH3-64 of its bytes. */
uint64_t weir_device_key(const char *device);

enum weir_role {
	WEIR_ROLE_NONE,
	WEIR_ROLE_BACKUP,
	WEIR_ROLE_MASTER,
};

/** "none", "standby", "master". */
const char *weir_role_name(enum weir_role role);

/** A node that may hold a copy of the device, as seen from here. Never this node itself. */
struct weir_member {
	uint8_t peer;         /**< this node's number for it, as in weir_replica_up */
	bool live;            /**< its lease is valid, as far as the coordinator knows */
	bool backup;          /**< named as backup: it is to be kept equal */
	bool insync;          /**< in the coordinator's in-sync set, under the incarnation below */
	uint32_t attempt;     /**< grows each time it has been taken out of (or kept from) insync */
	uint64_t incarnation; /**< of the live process, or where dead the one in the record */
};

/**
 * What a worker needs to know of a device's record. Sent whole at each change, to every worker of
 * the node, in one order. In a new term, members and insync are those of the record before it has
 * become active: the copies to be sealed.
 */
struct weir_view {
	uint64_t device_key;
	uint64_t term;
	uint64_t active; /**< newest term that is active; equal to term: open */
	uint64_t revision;
	uint64_t
		seal_deadline_ns; /**< from then on live members that have not sealed are not waited
				     for: no lease of theirs from before this term can be valid */
	uint8_t role;             /**< of this node: enum weir_role */
	uint8_t master_peer; /**< who is master, where role is not MASTER; WEIR_NO_PEER: nobody */
	bool self_insync;    /**< this node, in this incarnation, is in the in-sync set */
	bool unclean;        /**< settle even if no in-sync copy could be sealed */
	bool let_go; /**< neither master nor backup, and the in-sync set is whole without this node
		      */
	uint8_t members_count;
	struct weir_member members[WEIR_COPIES_MAX];
};

#define WEIR_NO_PEER 0xff

/** What a share tells tenure. */
enum weir_report_kind {
	WEIR_REPORT_SETTLED,   /**< master: every bucket of the share is settled for `term` */
	WEIR_REPORT_CAUGHT_UP, /**< master: `peer` equals this share, and must acknowledge from now
				  on */
	WEIR_REPORT_LAGGING,   /**< master: the attempt of `peer` has failed */
	WEIR_REPORT_DEPOSED, /**< stepped down: a copy takes nothing of terms up to `term` from here
			      */
};

struct weir_report {
	uint8_t kind;     /**< enum weir_report_kind */
	uint8_t peer;     /**< CAUGHT_UP, LAGGING */
	uint8_t worker;   /**< who reports */
	uint32_t attempt; /**< CAUGHT_UP, LAGGING: as in the view */
	uint64_t device_key;
	uint64_t term;
};

/* ---------------------------------------------------------------------------- effects --- */

struct weir_replica_ops {
	/** Sends on a channel that is up. The caller asked room before: the message is taken. */
	void (*send)(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len);
	/** Bytes that send takes for sure. */
	size_t (*room)(void *ctx, unsigned peer, unsigned worker);
	/** A task is done; err says how. It is the maker's again. */
	void (*answer)(void *ctx, struct weir_task *task);
	/** For tenure. Bounded by devices x peers; must not be lost. */
	void (*report)(void *ctx, const struct weir_report *report);
	/**
	 * This node's table of a device, made where it is missing; NULL where there are
	 * WEIR_DEVICES_MAX. Called on the first sight of a device only.
	 */
	struct weir_table *(*table)(void *ctx, uint64_t device_key);
	/**
	 * The channel cannot go on: its session is to end on both ends, and may come up anew. To be
	 * followed by weir_replica_down, not before this function has returned.
	 */
	void (*reset)(void *ctx, unsigned peer, unsigned worker);
};

struct weir_replica_conf {
	unsigned worker;            /**< this worker's number */
	unsigned workers_count;     /**< of this node, a power of two */
	uint64_t insync_timeout_ns; /**< without acknowledgement for so long: LAGGING */
	uint64_t anti_entropy_ns;   /**< each backup's digests are compared so often; 0: never */
	uint64_t backup_period_ns;  /**< counters go to the backups so often; 0: never */
	uint32_t
		pending_max; /**< writes that wait for acknowledgements; 0: WEIR_TASK_PENDING_MAX */
	struct weir_mem *mem; /**< the worker's memory; outlives the replica */
};

/** Counters; they only grow, but for those named `now`. */
struct weir_replica_stats {
	uint64_t tasks; /**< tasks taken */
	uint64_t answers_ok, answers_err, answers_unknown;
	uint64_t deltas_sent, deltas_applied, deltas_refused;
	uint64_t buckets_shipped, buckets_fetched, buckets_received;
	uint64_t counters_sent; /**< entries whose counters were sent to a backup */
	uint64_t resets;        /**< sessions that were ended from here */
	uint64_t corruptions;   /**< same version, other content: repaired from the master */
	uint64_t bad_messages;  /**< could not be decoded or came from the wrong peer */
	uint64_t seals, refusals;
	uint64_t queued_now;  /**< tasks that wait for a term or for room */
	uint64_t pending_now; /**< writes that wait for acknowledgements */
};

/* ---------------------------------------------------------------------------- machine --- */

/** @return NULL where memory is short */
struct weir_replica *weir_replica_create(
	const struct weir_replica_conf *conf, const struct weir_replica_ops *ops, void *ctx);

/** Frees the machine and gives the buckets of its shares back. Tasks inside are answered UNKNOWN.
 */
void weir_replica_destroy(struct weir_replica *replica);

/** The time from here on; neither may go back. Once a turn, before anything else. */
void weir_replica_time(struct weir_replica *replica, uint64_t now_ns, uint64_t wall_ns);

/**
 * This node's lease: from `until_ns` on it answers no write OK. Views are told before the lease
 * that came with them; where some of those wait yet (`views_wait`), a longer one does not count:
 * under it, a write or a read would be done by an old view while another is master already.
 *
 * @return the lease that counts now; where it is another, call again when the views are taken
 */
uint64_t weir_replica_lease(struct weir_replica *replica, uint64_t until_ns, bool views_wait);

/** Whether that lease would count now. */
bool weir_replica_lease_counts(
	const struct weir_replica *replica, uint64_t until_ns, bool views_wait);

/** A write arrives; it is answered now or later, once. */
void weir_replica_task(struct weir_replica *replica, struct weir_task *task);

/** Several, in this order, at most WEIR_REPLICA_BURST: what they will touch is fetched ahead. */
void weir_replica_tasks(
	struct weir_replica *replica, struct weir_task *const tasks[], unsigned count);

#define WEIR_REPLICA_BURST 64

/** The device's record has changed. What is older than the last seen is passed over: a lower term,
 * or in the same term a lower revision. */
void weir_replica_view(struct weir_replica *replica, const struct weir_view *view);

/** A channel is up: a new session with that worker of that peer, which has so many workers. */
void weir_replica_up(struct weir_replica *replica, unsigned peer, unsigned worker,
	unsigned workers_count, uint64_t incarnation);

void weir_replica_down(struct weir_replica *replica, unsigned peer, unsigned worker);

/** A message has come on a channel that is up. Bad ones are counted and dropped. */
void weir_replica_message(struct weir_replica *replica, unsigned peer, unsigned worker,
	const void *bytes, size_t len);

/**
 * The end of a turn: gives out deltas and acknowledgements that have gathered, ships buckets as
 * far as there is room, runs timers. @return how much work was done; 0: nothing
 */
unsigned weir_replica_turn(struct weir_replica *replica);

void weir_replica_stats(const struct weir_replica *replica, struct weir_replica_stats *stats);

#endif
