/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The messages between the replicas of two workers: how each is written and read.
 *
 * One message is one call's worth of bytes on a channel (lib/link keeps their bounds and order).
 * Numbers are little endian; those that are small more often than not are varints (wire/varint.h),
 * and entries are packed (wire/entry.h). Every message begins with a head: version and type in one
 * byte, device, and term as a varint; but for ACK, whose head names no device and whose term is the
 * count.
 *
 *     DELTA     master -> backup   changes, each with its bucket's new seq
 *     COUNTERS  master -> backup   counters of entries, newest values; no bucket moves on by them
 *     CHECK     master -> backup   sum of the digests of some shards, to be compared
 *     JOIN      master -> backup   seal for this term, answer with SHARDS; has the revision of the
 *                                  record that names it
 *     SHARDS    the answer         digests of these shards
 *     BUCKET    either way         a part of a whole bucket, in a row from FIRST to LAST
 *     SYNCED    master -> backup   this copy is equal to its master's in this term
 *     SEAL      new master -> all  promise to refuse all below this term, answer with SEALED
 *     SEALED    all -> new master  newest term in which the copy was equal, digests of its shards
 *     DIGESTS_GET                  master -> a copy that has joined or is sealed
 *     BUCKET_GET                   new master -> a sealed copy
 *     DIGESTS   the answer         the digests of one shard's buckets
 *     REFUSED   any -> sender      your term is too low: the least that is taken is the head's
 *     UNFIT     backup -> master   what came does not fit what is here: join anew
 *     ACK       any -> sender      so many messages of this channel are processed
 *
 * Reading never trusts a length: a function that reads gives WEIR_ERR where bytes are missing, are
 * too many, or make no sense. Thread-safety: all pure.
 */
#ifndef WEIR_WIRE_WIRE_H
#define WEIR_WIRE_WIRE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "flow/flow.h"
#include "table/table.h"

/** Version of these messages; nodes of other versions are kept out by tenure. */
#define WEIR_WIRE_VERSION 3

enum weir_wire_type {
	WEIR_WIRE_ACK = 1,
	WEIR_WIRE_DELTA,
	WEIR_WIRE_COUNTERS,
	WEIR_WIRE_CHECK,
	WEIR_WIRE_JOIN,
	WEIR_WIRE_SHARDS,
	WEIR_WIRE_BUCKET,
	WEIR_WIRE_SYNCED,
	WEIR_WIRE_SEAL,
	WEIR_WIRE_SEALED,
	WEIR_WIRE_DIGESTS_GET,
	WEIR_WIRE_DIGESTS,
	WEIR_WIRE_BUCKET_GET,
	WEIR_WIRE_REFUSED,
	WEIR_WIRE_UNFIT,
	WEIR_WIRE_TYPES_COUNT,
};

/** "ACK", ... */
const char *weir_wire_type_name(enum weir_wire_type type);

struct weir_wire_head {
	uint8_t type;
	uint64_t device_key;
	uint64_t term; /**< ACK: messages processed */
};

/** Bytes of a head, at most. */
#define WEIR_WIRE_HEAD_BYTES 19

/** Bytes of this head. */
size_t weir_wire_head_bytes(const struct weir_wire_head *head);

void weir_wire_put_head(struct weir_out *out, const struct weir_wire_head *head);
int weir_wire_get_head(struct weir_in *in, struct weir_wire_head *head);

/** Room for one entry, aligned. */
union weir_entry_room {
	struct weir_entry entry;
	uint8_t bytes[WEIR_ENTRY_BYTES_MAX];
};

enum weir_wire_delta_kind {
	WEIR_WIRE_PUT = 1, /**< the entry stands as it is here */
	WEIR_WIRE_REMOVE,  /**< the rule is gone; the entry's rule has no instructions */
	WEIR_WIRE_PURGE,   /**< all rules of an app in one bucket are gone */
};

/** One change of a bucket. */
struct weir_wire_delta {
	uint8_t kind;                   /**< enum weir_wire_delta_kind */
	uint16_t bucket;                /**< PURGE; of the others it follows from the entry */
	int32_t app;                    /**< PURGE: 0..65535 or WEIR_ANY_APP */
	uint64_t seq;                   /**< of the bucket, after it */
	const struct weir_entry *entry; /**< PUT, REMOVE */
};

/** Bytes that an entry takes at most, packed, beside its match and instructions. */
#define WEIR_WIRE_ENTRY_HEAD_BYTES_MAX 85

#define WEIR_WIRE_ENTRY_BYTES_MAX                                                                  \
	(WEIR_WIRE_ENTRY_HEAD_BYTES_MAX + WEIR_MATCH_BYTES_MAX + WEIR_INSTR_BYTES_MAX)

/** Bytes that one change takes at most in a DELTA. */
#define WEIR_WIRE_DELTA_BYTES_MAX (10 + WEIR_WIRE_ENTRY_BYTES_MAX)

/** Writes one change; for REMOVE only the identity of the rule goes out. */
void weir_wire_put_delta(struct weir_out *out, const struct weir_wire_delta *delta);

/** Bytes that weir_wire_put_delta takes. */
size_t weir_wire_delta_bytes(const struct weir_wire_delta *delta);

/**
 * Reads one change.
 * @param room for its entry, which delta->entry points to then
 * @return 1, 0 at the end of the message, or WEIR_ERR
 */
int weir_wire_get_delta(
	struct weir_in *in, struct weir_wire_delta *delta, union weir_entry_room *room);

/**
 * Flow ids of the changes that come next, without reading them: up to `room`, or to the first that
 * is none of one rule, or makes no sense. @return how many
 */
unsigned weir_wire_peek_flow_ids(const struct weir_in *in, uint64_t *flow_ids, unsigned room);

/** What a device has last reported of one entry. */
struct weir_wire_counters {
	uint64_t flow_id;
	uint64_t created; /**< tells entries of one flow id apart, and old ones from new */
	uint64_t packets;
	uint64_t bytes;
	uint64_t last_seen_ms;
	uint32_t life_s;
	uint8_t live_type;
};

#define WEIR_WIRE_COUNTERS_BYTES 45

void weir_wire_put_counters(struct weir_out *out, const struct weir_wire_counters *counters);

/** Reads one entry's. @return 1, 0 at the end of the message, or WEIR_ERR */
int weir_wire_get_counters(struct weir_in *in, struct weir_wire_counters *counters);

#define WEIR_WIRE_DIGEST_BYTES 28

void weir_wire_put_digest(struct weir_out *out, const struct weir_digest *digest);
struct weir_digest weir_wire_get_digest(struct weir_in *in);

/** Part of a bucket. */
enum weir_wire_bucket_flags {
	WEIR_WIRE_FIRST = 1, /**< begins a bucket */
	WEIR_WIRE_LAST = 2,  /**< ends it: what has come must have the digest */
	WEIR_WIRE_REPLY = 4, /**< answers a BUCKET_GET (else the master sends it of its own) */
};

struct weir_wire_bucket {
	uint16_t number;
	uint8_t flags;
	struct weir_digest digest; /**< of the whole bucket */
};

#define WEIR_WIRE_BUCKET_HEAD_BYTES (WEIR_WIRE_HEAD_BYTES + 3 + WEIR_WIRE_DIGEST_BYTES)

void weir_wire_put_bucket(struct weir_out *out, const struct weir_wire_bucket *bucket);
int weir_wire_get_bucket(struct weir_in *in, struct weir_wire_bucket *bucket);

/** Bytes that an entry takes in a BUCKET. */
size_t weir_wire_entry_bytes(const struct weir_entry *entry);

void weir_wire_put_entry(struct weir_out *out, const struct weir_entry *entry);

/** Reads one entry. @return 1, 0 at the end of the message, or WEIR_ERR */
int weir_wire_get_entry(struct weir_in *in, union weir_entry_room *room);

/** Digests of one shard's buckets, those never written left out. */
struct weir_wire_digests {
	uint8_t shard;
	struct weir_digest digests[WEIR_SHARD_BUCKETS]; /**< bucket = shard + i * WEIR_SHARDS */
};

#define WEIR_WIRE_DIGESTS_BYTES_MAX                                                                \
	(WEIR_WIRE_HEAD_BYTES + 5 + WEIR_SHARD_BUCKETS * WEIR_WIRE_DIGEST_BYTES)

void weir_wire_put_digests(struct weir_out *out, const struct weir_wire_digests *digests);
int weir_wire_get_digests(struct weir_in *in, struct weir_wire_digests *digests);

/** Some shards of a copy in short. */
struct weir_wire_shards {
	uint32_t mask; /**< of those that follow */
	struct weir_shard_digest digests[WEIR_SHARDS];
};

#define WEIR_WIRE_SHARDS_BYTES_MAX (WEIR_WIRE_HEAD_BYTES + 4 + WEIR_SHARDS * 16)

void weir_wire_put_shards(struct weir_out *out, const struct weir_wire_shards *shards);
int weir_wire_get_shards(struct weir_in *in, struct weir_wire_shards *shards);

/** A sealed copy in short. */
struct weir_wire_sealed {
	uint64_t synced; /**< newest term in which this copy was equal to its master */
	struct weir_wire_shards shards;
};

#define WEIR_WIRE_SEALED_BYTES_MAX (WEIR_WIRE_SHARDS_BYTES_MAX + 8)

void weir_wire_put_sealed(struct weir_out *out, const struct weir_wire_sealed *sealed);
int weir_wire_get_sealed(struct weir_in *in, struct weir_wire_sealed *sealed);

#endif
