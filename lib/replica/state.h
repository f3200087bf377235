/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the parts of the replica room share: not for others.
 *
 *     share.c    a device's share on this worker: promise, view, phase, which list it is on
 *     channel.c  messages to and from one worker of one peer, and who waits for which of them
 *     apply.c    what an operation does to a bucket
 *     master.c   tasks: execute, wait, answer
 *     join.c     bringing a backup to this share's state, and giving sealed buckets away
 *     settle.c   a new term: seal the copies, fetch what is newer
 *     counters.c the lane of its own in which counters go to the backups
 *     backup.c   what a copy does with its master's messages
 *     replica.c  the public face: dispatch, turn, timers
 */
#ifndef WEIR_REPLICA_STATE_H
#define WEIR_REPLICA_STATE_H

#include <sys/queue.h>

#include "base/clock.h"
#include "base/defect.h"
#include "base/err.h"
#include "base/log.h"
#include "replica/replica.h"
#include "wire/wire.h"

/** Bytes that data (changes, buckets) leave free in a channel, for what must be said. */
#define CHANNEL_RESERVE_BYTES (1280U << 10)
/** Bytes of answers that may be on their way from one peer because of questions asked here. */
#define PEER_ASK_BYTES_MAX (1024U << 10)
/** Entries of one bucket at most: a bucket is shipped at once and must fit a channel. */
#define BUCKET_ENTRIES_MAX 8192
/** Buckets asked for and not yet come, a share. */
#define FETCH_WINDOW 32
/** Bytes of buckets that a turn ships over a channel at most, so that live writes go on. */
#define SHIP_TURN_BYTES (256U << 10)
/** Entries that a purge takes out in one go at most, but for the last bucket's. */
#define PURGE_TURN_ENTRIES 1024
/** How often deadlines and silent channels are looked for. */
#define SCAN_PERIOD_NS (5 * WEIR_NS_PER_MS)
/** Places in the table of shares that a turn passes, at most, while copies are compared. */
#define CHECK_TURN_SLOTS 128
/** Shares whose counters a turn sends on their way, at most. */
#define COUNTERS_TURN_SHARES 64

#define SELF_PEER 0xfe

/** A set of a device's buckets. */
struct bucket_set {
	uint64_t words[WEIR_BUCKETS / 64];
	unsigned count;
};

static inline bool bucket_set_has(const struct bucket_set *set, unsigned bucket)
{
	return set->words[bucket / 64] >> bucket % 64 & 1;
}

static inline void bucket_set_add(struct bucket_set *set, unsigned bucket)
{
	set->count += !bucket_set_has(set, bucket);
	set->words[bucket / 64] |= 1ULL << bucket % 64;
}

static inline void bucket_set_drop(struct bucket_set *set, unsigned bucket)
{
	set->count -= bucket_set_has(set, bucket);
	set->words[bucket / 64] &= ~(1ULL << bucket % 64);
}

/** The first bucket of the set at or after `from`, or WEIR_BUCKETS. */
unsigned weir_bucket_set_next(const struct bucket_set *set, unsigned from);

/* --------------------------------------------------------------------------- channel --- */

/** A write that was applied, or a read that was done, and that some in-sync copy may lack yet. */
struct pending {
	TAILQ_ENTRY(pending) link; /**< a list of its share's, oldest first; or the pool's */
	struct share *share;
	struct weir_task *task;     /**< NULL: answered already */
	struct weir_bucket *bucket; /**< whose motion it counts; NULL: a read */
	uint64_t number;            /**< grows with each of its share's */
	uint32_t need;              /**< peers that must acknowledge yet; 0: it is on no list */
	uint32_t refs;              /**< channel entries that name it */
	int err;                    /**< the answer, once nobody is needed */
};

TAILQ_HEAD(pending_list, pending);

/** "This write is acknowledged when so many messages are." */
struct awaited {
	uint64_t position;
	struct pending *pending;
};

struct channel {
	LIST_ENTRY(channel) link; /**< among those that are up */
	uint8_t peer;
	uint8_t worker;
	bool broken;          /**< something could not be said: nothing is acknowledged any more */
	bool given_up;        /**< its owner was told so */
	uint64_t sent;        /**< messages, ACKs not counted */
	uint64_t acked;       /**< of these, processed by the other end */
	uint64_t progress_ns; /**< when acked last grew, or had nothing to grow to */
	uint64_t received;    /**< messages processed here */
	uint64_t thanked;     /**< of these, acknowledged to the other end */
	struct awaited *awaited; /**< ring of WEIR_TASK_PENDING_MAX */
	uint32_t awaited_head, awaited_tail;
	struct share *batch_share; /**< whose changes the open DELTA has */
	uint64_t batch_term;
	size_t batch_len;          /**< 0: none is open */
	struct share *stage_share; /**< whose bucket is coming in */
	struct weir_bucket *stage;
	struct weir_wire_bucket stage_head;
	uint8_t batch[WEIR_MESSAGE_BYTES_MAX];
};

struct peer {
	uint8_t workers_count;
	uint64_t incarnation;
	uint32_t asked_bytes;
	struct channel *channels[WEIR_WORKERS_MAX]; /**< NULL: down */
};

/* ----------------------------------------------------------------------------- share --- */

enum join_state {
	JOIN_IDLE,     /**< to be begun when peer and channels are there */
	JOIN_ASKED,    /**< the digests of its shards are on their way */
	JOIN_COMPARED, /**< of shards that differ, the digests of their buckets are */
	JOIN_SHIPPING, /**< buckets that differ are being sent */
	JOIN_CONFIRM,  /**< all is sent: from here on it must acknowledge */
	JOIN_EQUAL,    /**< it has acknowledged all that came before CONFIRM: reported */
	JOIN_BROKEN,   /**< reported as LAGGING: waits for the next attempt */
};

/** One backup's way to equality. */
struct join {
	uint8_t peer;
	uint8_t state;
	bool wanted; /**< it is a live backup */
	bool must;   /**< the coordinator may have it in the in-sync set */
	uint32_t attempt;
	uint32_t asked_bytes;       /**< its part in the peer's */
	uint32_t shards_known;      /**< shards whose digests have come */
	uint32_t shards_differ;     /**< of these, where bucket digests are needed */
	uint32_t shards_compared;   /**< of these, where they have come */
	uint64_t confirm_number;    /**< of the last pending before SYNCED */
	uint64_t counters_ms;       /**< counters reported since then (wall clock) are due */
	struct bucket_set counted;  /**< buckets with reports since the last round of counters */
	struct bucket_set counters; /**< buckets whose counters are due */
	struct bucket_set follows;  /**< buckets whose changes are sent to it */
	struct bucket_set todo;     /**< buckets to be shipped whole */
	uint64_t confirm[WEIR_WORKERS_MAX]; /**< position of SYNCED on each channel */
};

/** A copy that a new term is settled from. */
struct source {
	uint8_t peer;
	bool live, insync;
	bool seal_sent;
	uint64_t incarnation; /**< that the view speaks of: the one that `insync` is said of */
	uint64_t sealed_by;   /**< incarnation of the process that has promised */
	uint32_t asked_bytes;
	uint32_t sealed;        /**< shards that have promised */
	uint64_t synced;        /**< least over its workers */
	uint32_t digests_asked; /**< shards */
	uint32_t digests_known; /**< shards */
	struct weir_shard_digest shards[WEIR_SHARDS];
	struct weir_digest *buckets; /**< of shards whose digests are known */
};

struct settle {
	uint8_t sources_count;
	bool planned; /**< wanted and from are computed */
	struct source sources[WEIR_COPIES_MAX];
	struct bucket_set wanted;    /**< to be fetched */
	struct bucket_set under_way; /**< of these, asked for */
	uint8_t from[WEIR_BUCKETS];  /**< index of a source */
};

enum phase {
	PHASE_IDLE,     /**< not master */
	PHASE_SEALING,  /**< waiting for promises */
	PHASE_SETTLING, /**< fetching what is newer elsewhere */
	PHASE_SETTLED,  /**< waiting for the term to be active */
	PHASE_ACTIVE,
};

/** Buckets that a sealed copy was asked for. */
struct gift {
	uint8_t peer;
	struct bucket_set todo;
};

struct share {
	/* What each write looks at: two cache lines, with the head of the view. */
	uint64_t key;
	struct weir_table *table;
	uint8_t phase;
	uint8_t promised_peer; /**< to whom; SELF_PEER, or WEIR_NO_PEER where not known */
	uint8_t joins_count;
	bool firm; /**< as the table was told */
	bool viewed;
	bool working;
	bool waiting;
	bool counted;
	struct weir_task *queue_head, **queue_tail; /**< guarantee C */
	struct join **joins;                        /**< master only; room for WEIR_COPIES_MAX */
	struct pending_list pending;                /**< whose tasks wait for their answers */
	uint64_t pending_number;
	struct weir_view view;

	TAILQ_ENTRY(share) link;         /**< on the work list, where `working` */
	TAILQ_ENTRY(share) wait_link;    /**< on that of shares with deadlines, where `waiting` */
	TAILQ_ENTRY(share) counted_link; /**< on one of shares with reports, where `counted` */
	unsigned queue_count;
	uint32_t unfit;     /**< shards that lack something their master has sent since JOIN */
	uint64_t promised;  /**< guarantee B */
	uint64_t overtaken; /**< some copy takes nothing of terms up to this one from here */
	uint64_t synced;    /**< newest term in which this copy was equal to its master */
	/**
	 * The same a shard, where they differ, else NULL: a master with more workers than this node
	 * confirms its shards one after another.
	 */
	uint64_t *synced_shards;
	uint64_t joined; /**< revision of the record by which a master has last asked it to join */
	struct pending_list unmet; /**< whose tasks are answered */
	struct settle *settle;     /**< SEALING and SETTLING only */
	struct gift *gift;         /**< a sealed copy only */
};

_Static_assert(
	offsetof(struct share, view.active) <= 2 * 64, "what writes look at stands in front");
_Static_assert(sizeof(struct share) <= 400, "a device without flows is small");

TAILQ_HEAD(share_list, share);

struct weir_replica {
	struct weir_replica_conf conf;
	struct weir_replica_ops ops;
	void *ctx;
	uint64_t now_ns;
	uint64_t wall_ns;
	uint64_t wall_back_ns; /**< when the wall clock last went back */
	uint64_t lease_until_ns;
	uint64_t scan_ns;
	uint32_t own;  /**< mask of this worker's shards */
	unsigned done; /**< work of this turn */
	struct weir_hlc hlc;
	struct weir_replica_stats stats;
	struct peer peers[WEIR_NODES_MAX];
	LIST_HEAD(, channel) channels;
	struct share **slots; /**< open addressing by device key */
	unsigned slots_count, shares_count;
	struct share *last; /**< the one found last */
	struct share_list work;
	struct share_list waits; /**< tasks of theirs have not been answered */
	/*
	 * What is due once a period is done for all shares in one go, turn after turn: an idle
	 * worker wakes once for it, and what it sends fills frames.
	 */
	uint64_t check_ns;          /**< when the last comparison with the backups began */
	unsigned checked;           /**< places in slots that it has passed */
	uint64_t counters_ns;       /**< when the last round of counters began */
	uint64_t counters_ms;       /**< the same by the wall clock */
	uint64_t since_ms;          /**< by the wall clock: reports since then are of this round */
	struct share_list reported; /**< shares with reports that wait for the next round */
	struct share_list due;      /**< those that the present round has not come to */
	struct pending *pool;
	struct pending_list pool_free;
	union weir_entry_room room; /**< for the entry at hand */
};

/* share.c */
struct share *weir_share_find(struct weir_replica *r, uint64_t key);
struct share *weir_share_make(struct weir_replica *r, uint64_t key);
void weir_share_prefetch(const struct weir_replica *r, uint64_t key);
void weir_share_free(struct weir_replica *r, struct share *share);
void weir_share_work(struct weir_replica *r, struct share *share);
void weir_share_waits(struct weir_replica *r, struct share *share);
bool weir_share_leads(const struct share *share);
void weir_share_promise(struct weir_replica *r, struct share *share, uint64_t term, uint8_t peer);
void weir_share_step_down(struct weir_replica *r, struct share *share);
void weir_share_deposed(struct weir_replica *r, struct share *share, uint64_t term);
void weir_share_report(struct weir_replica *r, const struct share *share,
	enum weir_report_kind kind, uint64_t term, uint8_t peer, uint32_t attempt);
struct weir_shard_digest weir_share_sum(const struct share *share, uint32_t shards);
uint64_t weir_share_synced(const struct share *share, uint32_t shards);
bool weir_share_synced_set(
	struct weir_replica *r, struct share *share, uint32_t shards, uint64_t term);
void weir_share_firm(struct weir_replica *r, struct share *share);

/* channel.c */
struct channel *weir_channel_of(struct weir_replica *r, unsigned peer, unsigned shard);
uint32_t weir_channel_shards(const struct weir_replica *r, unsigned peer, unsigned worker);
bool weir_peer_up(const struct weir_replica *r, unsigned peer);
size_t weir_channel_room(struct weir_replica *r, const struct channel *channel);
bool weir_channel_takes(struct weir_replica *r, const struct channel *channel, size_t bytes);
void weir_channel_send(
	struct weir_replica *r, struct channel *channel, const void *bytes, size_t len);
void weir_channel_say(struct weir_replica *r, struct channel *channel, enum weir_wire_type type,
	uint64_t key, uint64_t term);
void weir_channel_say_shards(struct weir_replica *r, struct channel *channel,
	enum weir_wire_type type, uint64_t key, uint64_t term, uint32_t shards);
uint64_t weir_channel_delta(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_delta *delta);
void weir_channel_flush(struct weir_replica *r, struct channel *channel);
void weir_channel_await(struct channel *channel, uint64_t position, struct pending *pending);
void weir_channel_acked(struct weir_replica *r, struct channel *channel, uint64_t count);
void weir_channel_thank(struct weir_replica *r, struct channel *channel);
void weir_channel_refuse(struct weir_replica *r, struct channel *channel, enum weir_wire_type type,
	uint64_t key, uint64_t term);
struct channel *weir_channel_open(struct weir_replica *r, unsigned peer, unsigned worker);
void weir_channel_close(struct weir_replica *r, struct channel *channel);

/* apply.c */
/** What an operation has done to its bucket. */
struct change {
	int err;
	bool counted;                 /**< counters have changed */
	struct weir_wire_delta delta; /**< kind 0: nothing to be replicated */
};

struct change weir_apply(
	struct weir_replica *r, struct weir_bucket *bucket, struct weir_task *task);

/* master.c */
void weir_master_answer(struct weir_replica *r, struct weir_task *task, int err);
void weir_master_queue_fail(struct weir_replica *r, struct share *share, int err);
void weir_master_pending_fail(struct weir_replica *r, struct share *share);
void weir_master_pending_met(struct weir_replica *r, struct pending *pending, uint8_t peer);
void weir_master_pending_unref(struct weir_replica *r, struct pending *pending);
void weir_master_release(
	struct weir_replica *r, struct share *share, uint8_t peer, uint64_t number);
void weir_master_expire(struct weir_replica *r, struct share *share);
void weir_master_drain(struct weir_replica *r, struct share *share);

/* join.c */
struct join *weir_join_find(const struct share *share, unsigned peer);
void weir_joins_update(struct weir_replica *r, struct share *share);
void weir_joins_drop(struct weir_replica *r, struct share *share);
void weir_join_break(struct weir_replica *r, struct share *share, struct join *join);
bool weir_joins_step(struct weir_replica *r, struct share *share);
void weir_join_shards(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_shards *shards);
void weir_join_digests(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_digests *digests);
void weir_joins_check(struct weir_replica *r, struct share *share);
bool weir_gift_step(struct weir_replica *r, struct share *share);

/* counters.c */
void weir_counters_all(struct join *join);
void weir_counters_note(struct weir_replica *r, struct share *share, unsigned bucket);
void weir_counters_round(struct weir_replica *r);
bool weir_counters_step(struct weir_replica *r, struct share *share);
void weir_counters_take(struct weir_replica *r, struct share *share, struct weir_in *in);

/* settle.c */
void weir_settle_begin(struct weir_replica *r, struct share *share);
void weir_settle_end(struct weir_replica *r, struct share *share);
void weir_settle_members(struct weir_replica *r, struct share *share);
void weir_settle_lost(struct weir_replica *r, struct share *share, unsigned peer);
bool weir_settle_step(struct weir_replica *r, struct share *share);
void weir_settle_sealed(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_sealed *sealed);
void weir_settle_digests(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_digests *digests);
void weir_settle_fetched(
	struct weir_replica *r, struct share *share, unsigned peer, unsigned bucket, bool whole);

/* backup.c */
void weir_backup_message(struct weir_replica *r, struct channel *channel,
	const struct weir_wire_head *head, struct weir_in *in);

#endif
