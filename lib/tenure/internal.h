/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this room share. Who does what:
 *
 * tenure.c   the entry points: each sets the time, hands the event on, and lets work go on
 * member.c   being a member: register, renew, lease, peers, leave
 * forget.c   nodes that are struck off the list
 * device.c   devices, the work list, timers
 * record.c   pure helpers on records
 * view.c     what is learned of a record, and the view that follows from it
 * tell.c     what the owner is told, and what is counted of it
 * decide.c   what this node asks to be changed, and what comes of it
 */
#ifndef WEIR_TENURE_INTERNAL_H
#define WEIR_TENURE_INTERNAL_H

#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/defect.h"
#include "base/err.h"
#include "base/log.h"
#include "tenure/tenure.h"

/** Devices decided in one call, at most: the control core has other work too. */
#define WEIR_TENURE_DECIDES_MAX 1024
/** Times that an operator's request is asked again after somebody else was first. */
#define WEIR_TENURE_TRIES_MAX 8
/** Incarnations of this process that are remembered as its own. */
#define WEIR_TENURE_LIVES_MAX 8
/** How long the coordinator's answer to LEAVE is waited for. */
#define WEIR_TENURE_GOODBYE_MS 150
/** Renewals of another process's lease that must be seen before its life is believed. */
#define WEIR_TENURE_RENEWALS_SEEN 2
/** Leases for which an heir that lives may be idle; then another node asks for its term. */
#define WEIR_TENURE_HEIR_LEASES 3
/** Waits longer than the rest of another's lease, for clocks that tick in milliseconds. */
#define WEIR_TENURE_REST_EXTRA_MS 5

#define HASH_SLOTS (2 * WEIR_DEVICES_MAX)
#define NEVER      UINT64_MAX

_Static_assert(WEIR_NODES_MAX <= 32, "a set of peers is a 32-bit mask");
_Static_assert(WEIR_WORKERS_MAX <= 32, "a set of workers is a 32-bit mask");

/** A peer's copy of a device, as its master sees it: where its attempt to join stands. */
struct mate {
	uint8_t peer;
	bool lagging; /**< the attempt has failed, the next one has not begun */
	bool offered; /**< a CHANGE that puts it into insync may yet be carried out */
	uint32_t attempt;
	uint32_t caught; /**< workers that have reported CAUGHT_UP in this attempt */
	uint32_t backoff_ms;
	uint64_t begun_ns; /**< of the attempt */
	uint64_t retry_ns; /**< lagging: when the next may begin */
	uint64_t incarnation;
};

/** What an operator has asked for. */
struct request {
	STAILQ_ENTRY(request) link;
	uint64_t ticket;
	unsigned tries;
	bool add;       /**< device_add; else: role of node */
	uint8_t peer;   /**< node */
	uint8_t role;   /**< of node */
	bool in_flight; /**< its CHANGE is asked */
};

STAILQ_HEAD(request_list, request);

struct device {
	uint64_t key;
	struct device *chain; /**< in its hash slot */

	/* What is known of the record, all its nodes as peer numbers too. */
	struct weir_record_kept *record; /**< the newest ever seen; revision 0: none */
	uint8_t master_peer;             /**< WEIR_NO_PEER: nobody */
	uint8_t backup_peers[WEIR_BACKUPS_MAX];
	uint8_t insync_peers[WEIR_COPIES_MAX];
	uint64_t stored_revision; /**< what the coordinator has; differs where it has gone back */
	bool regressed;           /**< the coordinator has an older record, or none */
	bool regressed_mine;      /**< ... and this node is its master: the lease is not extended */
	uint64_t stored_active;   /**< regressed: of the coordinator's record */
	uint64_t regressed_ns;    /**< since when */
	bool regressed_held;      /**< this node held a lease then, from before */
	uint64_t seen_term;       /**< highest ever seen, promises of copies counted */
	uint64_t learned;         /**< number of the last RENEW sent before the record was known */
	uint64_t pulled;          /**< number of the last full pull that showed it */
	uint64_t term_seen_ns;
	bool term_fresh; /**< no RENEW since: who looks dead may have renewed before the term */
	uint64_t hopeless_ns; /**< since when no in-sync copy lives; 0: one does */
	uint64_t heir_ns; /**< since when another node is to take over and has not; 0: none is */
	uint64_t unclean_term;
	uint32_t shunned; /**< live peers that were taken out of the backups: not put back */

	/* As master, in this term. */
	bool deposed;     /**< a copy has promised this term or a higher one to somebody else */
	uint32_t settled; /**< workers that have reported SETTLED */
	uint64_t settled_ns;
	uint32_t attempts; /**< attempt numbers given out, over all terms */
	uint8_t mates_count;
	struct mate *mates; /**< NULL: none */

	struct weir_view view; /**< as last sent */
	bool view_sent;

	/* Work. */
	TAILQ_ENTRY(device) work;
	TAILQ_ENTRY(device) waiting;
	bool queued;     /**< in the work list */
	bool changing;   /**< a CHANGE is asked */
	bool unsure;     /**< in the list of those that wait for a RENEW */
	bool handing;    /**< being handed over, this node leaves */
	bool told_stuck; /**< logged that nobody can take over */
	uint64_t unsure_renew;
	uint64_t due_ns;
	uint32_t heap_idx; /**< 1..; 0: not in the heap */
	struct request_list requests;
};

TAILQ_HEAD(device_list, device);

struct change {
	bool used;
	uint64_t ticket;
	uint64_t incarnation;
	uint64_t expected_revision;
	uint64_t term; /**< known when it was asked */
	struct device *device;
	struct request *request; /**< or NULL */
};

enum member_state {
	MEMBER_NOT, /**< not registered */
	MEMBER_YES,
	MEMBER_PARTING, /**< LEAVE is due or asked */
	MEMBER_OUT,     /**< left, or refused */
};

struct weir_tenure {
	struct weir_tenure_conf conf;
	struct weir_tenure_ops ops;
	void *ctx;
	uint64_t now_ns;
	uint64_t lease_ns;
	uint64_t last_ticket;
	uint32_t all_workers;

	/* Membership. */
	enum member_state state;
	struct {
		bool asked;
		uint64_t ticket;
		uint64_t sent_ns;
		uint64_t due_ns;
		uint32_t backoff_ms;
		uint64_t other_end_ns; /**< the other lease ends then at the latest; 0: unknown */
		unsigned renewals;     /**< of the other lease, seen */
		bool told_full;        /**< logged that there are too many nodes */
	} joining;
	struct {
		bool asked;
		bool again; /**< a hint came meanwhile */
		uint64_t ticket;
		uint64_t sent_ns;
		uint64_t due_ns;
		uint64_t number; /**< RENEWs sent so far; the one in flight has this number */
		uint64_t since;
		uint64_t top; /**< revision that must be there already */
	} renewal;
	bool joined;         /**< all records have been pulled once */
	bool full;           /**< pulling all records */
	uint64_t full_first; /**< number of the first RENEW of the full pull */
	uint64_t pulls;      /**< full pulls begun */
	uint64_t incarnation;
	uint64_t seen_incarnation;
	uint64_t lives[WEIR_TENURE_LIVES_MAX]; /**< latest incarnations of this process */
	unsigned lives_count;
	uint64_t run;
	uint64_t since;         /**< records up to this revision have been pulled */
	uint64_t top;           /**< largest revision in this data set */
	uint64_t seen_revision; /**< largest ever */
	uint64_t lease_until_ns;
	uint64_t held_until_ns;  /**< the end of the last lease, also of one that was given up */
	bool suspended;          /**< it has run out, and that was told */
	uint64_t quiet_until_ns; /**< nothing is taken over before */
	unsigned regressed_mine; /**< devices whose regress holds the lease back */
	bool leaving;
	uint64_t leave_by_ns;
	uint64_t goodbye_ticket; /**< 0: LEAVE is not asked yet */
	unsigned handing;        /**< devices that are being handed over */

	struct weir_tenure_stats stats; /**< those that are counted; the rest is asked */

	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned nodes_count;
	bool told_full; /**< logged that a node is passed over */
	struct {
		bool used;
		bool asked;              /**< else it waits for the next RENEW */
		uint64_t ticket;         /**< the operator's */
		uint64_t request_ticket; /**< the coordinator's */
		unsigned tries;
		char node[WEIR_NODE_ID_MAX];
	} forgetting;
	uint32_t fresh_peers; /**< those that are dead or another process, as just learned */

	/* Devices. */
	struct device **slots;
	struct device **heap; /**< by due_ns, from index 1 */
	uint32_t heap_count;
	unsigned devices_count;
	struct device_list work;
	struct device_list waiting;
	struct change changes[WEIR_TENURE_CHANGES_MAX];
	unsigned changes_count;
	struct request requests[WEIR_TENURE_REQUESTS_MAX];
	struct request_list requests_free;
};

/* ------------------------------------------------------------------------------ record.c --- */

/** Whether a is newer than b: by term, then by revision. */
bool weir_record_newer(const struct weir_record *a, const struct weir_record *b);

/** Where the node stands among the backups; -1: nowhere. */
int weir_record_backup_idx(const struct weir_record *record, const char *node);

void weir_record_backup_drop(struct weir_record *record, const char *node);

/** Adds a backup at a place; the place may be the end. Full: nothing. */
void weir_record_backup_insert(struct weir_record *record, unsigned at, const char *node);

/** Where the node stands among the in-sync copies, under whatever incarnation; -1: nowhere. */
int weir_record_insync_idx(const struct weir_record *record, const char *node);

void weir_record_insync_drop(struct weir_record *record, const char *node);

/** Adds an in-sync copy. Full: nothing. */
void weir_record_insync_add(struct weir_record *record, const char *node, uint64_t incarnation);

/** Whether backups (in order) and in-sync copies (as a set) are the same. */
bool weir_record_members_equal(const struct weir_record *a, const struct weir_record *b);

/** How much a device likes a node (rendezvous hashing): the largest come first. */
uint64_t weir_record_liking(uint64_t device_key, const char *node);

/* ------------------------------------------------------------------------------ device.c --- */

struct device *weir_tenure_device_find(const struct weir_tenure *tenure, const char *name);

struct device *weir_tenure_device_by_key(const struct weir_tenure *tenure, uint64_t key);

/** Finds or makes; NULL where there are WEIR_DEVICES_MAX or memory is short. */
struct device *weir_tenure_device_get(struct weir_tenure *tenure, const char *name);

/** Forgets a device of which nothing is known and asked. */
void weir_tenure_device_drop(struct weir_tenure *tenure, struct device *device);

/** Calls `each` for every device; it may not drop any. */
void weir_tenure_devices_each(
	struct weir_tenure *tenure, void (*each)(struct weir_tenure *, struct device *));

void weir_tenure_devices_free(struct weir_tenure *tenure);

/** Puts the device into the work list: something about it is to be decided. */
void weir_tenure_work_add(struct weir_tenure *tenure, struct device *device);

/** Puts it into the work list again at that time at the latest. */
void weir_tenure_wake_at(struct weir_tenure *tenure, struct device *device, uint64_t due_ns);

void weir_tenure_wake_not(struct weir_tenure *tenure, struct device *device);

/** Moves those that are due to the work list. */
void weir_tenure_wake_due(struct weir_tenure *tenure);

/** What the coordinator did is not known, or not understood: wait for a RENEW that begins later. */
void weir_tenure_unsure(struct weir_tenure *tenure, struct device *device);

/** A pull whose last RENEW had this number is complete. */
void weir_tenure_sure(struct weir_tenure *tenure, uint64_t number);

/* ------------------------------------------------------------------------------ member.c --- */

/* -------------------------------------------------------------------------------- tell.c --- */

/** Tells the owner, and counts. */
void weir_tenure_event_tell(struct weir_tenure *tenure, const struct weir_tenure_event *event);

/** Answers an operator. */
void weir_tenure_reply(
	struct weir_tenure *tenure, uint64_t ticket, int err, const struct weir_record *record);

/** The number of a node; it gets one where it has none. WEIR_NO_PEER: there are too many. */
unsigned weir_tenure_peer_get(struct weir_tenure *tenure, const char *node);

/** The number of a node that is known; WEIR_NO_PEER: it is not. */
unsigned weir_tenure_peer_find(const struct weir_tenure *tenure, const char *node);

/** Whether that process lives; for this node, whether it is or was this very process. */
bool weir_tenure_copy_lives(const struct weir_tenure *tenure, unsigned peer, uint64_t incarnation);

/** Register, renew, leave: whatever is due. @return when the next is */
uint64_t weir_tenure_member_tick(struct weir_tenure *tenure);

void weir_tenure_registered(struct weir_tenure *tenure, const struct weir_coord_answer *answer);

void weir_tenure_renewed(struct weir_tenure *tenure, const struct weir_coord_answer *answer);

void weir_tenure_parted(struct weir_tenure *tenure, const struct weir_coord_answer *answer);

/** This incarnation is out: all masterships end, the node registers anew. */
void weir_tenure_fenced(struct weir_tenure *tenure);

/** Pulls all records again: the coordinator may have forgotten some. */
void weir_tenure_pull_all(struct weir_tenure *tenure);

/** Asks the coordinator, in this node's name, under a new ticket. */
void weir_tenure_ask(struct weir_tenure *tenure, struct weir_coord_request *request);

/* ------------------------------------------------------------------------------ forget.c --- */

/** The place of a node that was forgotten and that nothing names; WEIR_NO_PEER: there is none. */
unsigned weir_tenure_peer_free(const struct weir_tenure *tenure);

/** All records are known: what waits for that is asked. */
void weir_tenure_forget_go(struct weir_tenure *tenure);

void weir_tenure_forgot(struct weir_tenure *tenure, const struct weir_coord_answer *answer);

/** This node is no member any more: the operator is answered. */
void weir_tenure_forget_fail(struct weir_tenure *tenure, int err);

/* -------------------------------------------------------------------------------- view.c --- */

/** Whether this node, in this incarnation, is the device's master. */
bool weir_tenure_is_master(const struct weir_tenure *tenure, const struct device *device);

/** Where the peer stands among the in-sync copies of the record; -1: nowhere. */
int weir_tenure_insync_idx(const struct device *device, unsigned peer);

/** Whether the record names the peer as a backup. */
bool weir_tenure_is_backup(const struct device *device, unsigned peer);

/** The process that the record names as master is there. */
bool weir_tenure_master_lives(const struct weir_tenure *tenure, const struct device *device);

/**
 * A record as the coordinator has (or had) it. `renew`: number of the RENEW that showed it; 0: it
 * comes from a CHANGE and shows no regress by itself.
 */
void weir_tenure_learn(
	struct weir_tenure *tenure, const struct weir_record *record, uint64_t renew);

/** The coordinator has an older record, or none (NULL). */
void weir_tenure_regress(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *stored);

/** Nodes have changed: hopes, mates and view are seen to. */
void weir_tenure_refresh(struct weir_tenure *tenure, struct device *device);

/** A new attempt of a mate begins with the next view. */
void weir_tenure_attempt_begin(
	struct weir_tenure *tenure, struct device *device, struct mate *mate);

struct mate *weir_tenure_mate_find(struct device *device, unsigned peer);

/* ------------------------------------------------------------------------------ decide.c --- */

/** Decides about devices in the work list, as far as changes may be in flight. */
void weir_tenure_work_run(struct weir_tenure *tenure);

void weir_tenure_changed(struct weir_tenure *tenure, const struct weir_coord_answer *answer);

/** The other node that a leaving master hands the device to; WEIR_NO_PEER: none. */
unsigned weir_tenure_heir(const struct weir_tenure *tenure, const struct device *device);

/** Answers the operators' requests that have not asked the coordinator yet. */
void weir_tenure_requests_fail(struct weir_tenure *tenure, struct device *device, int err);

#endif
