/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The messages between the replicas of two workers: how each is written and read.
 *
 * One message is one call's worth of bytes on a channel (lib/link keeps their bounds and order).
 * Numbers are little endian. Every message begins with a head: protocol version, type, device
 * and term; but for ACK, whose head names no device and whose term is the count.
 *
 *     DELTA     master -> backup   changes, each with its bucket's new seq
 *     CHECK     master -> backup   sum of the digests of some shards, to be compared
 *     JOIN      master -> backup   seal for this term, answer with DIGESTS of these shards; has
 *                                  the revision of the record that names it
 *     BUCKET    either way         a part of a whole bucket, in a row from FIRST to LAST
 *     SYNCED    master -> backup   this copy is equal to its master's in this term
 *     SEAL      new master -> all  promise to refuse all below this term, answer with SEALED
 *     SEALED    all -> new master  newest term in which the copy was equal, digests of its shards
 *     DIGESTS_GET, BUCKET_GET      new master -> a sealed copy
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
#define WEIR_WIRE_VERSION 1

enum weir_wire_type {
	WEIR_WIRE_ACK = 1,
	WEIR_WIRE_DELTA,
	WEIR_WIRE_CHECK,
	WEIR_WIRE_JOIN,
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

#define WEIR_WIRE_HEAD_BYTES 18

void weir_wire_put_head(struct weir_out *out, const struct weir_wire_head *head);
int weir_wire_get_head(struct weir_in *in, struct weir_wire_head *head);

/** What a DELTA does to its rule. */
enum weir_wire_delta_kind {
	WEIR_WIRE_PUT = 1, /**< the entry stands as it is here */
	WEIR_WIRE_REMOVE,  /**< the rule is gone; the entry's rule has no instructions */
};

/** Room for one entry, aligned. */
union weir_entry_room {
	struct weir_entry entry;
	uint8_t bytes[WEIR_ENTRY_BYTES_MAX];
};

/** Bytes that one change takes at most in a DELTA. */
#define WEIR_WIRE_DELTA_BYTES_MAX (11 + WEIR_ENTRY_BYTES_MAX)

/** Writes one change; for REMOVE only the identity of the rule goes out. */
void weir_wire_put_delta(struct weir_out *out, enum weir_wire_delta_kind kind, uint64_t seq,
	const struct weir_entry *entry);

/** Bytes that weir_wire_put_delta takes. */
size_t weir_wire_delta_bytes(enum weir_wire_delta_kind kind, const struct weir_entry *entry);

/** Reads one change. @return its kind, 0 at the end of the message, or WEIR_ERR */
int weir_wire_get_delta(struct weir_in *in, uint64_t *seq, union weir_entry_room *room);

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
static inline size_t weir_wire_entry_bytes(const struct weir_entry *entry)
{
	return 2 + weir_entry_bytes(entry);
}

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

/** A sealed copy in short. */
struct weir_wire_sealed {
	uint64_t synced; /**< newest term in which this copy was equal to its master */
	uint32_t shards; /**< mask of those that follow */
	struct weir_shard_digest digests[WEIR_SHARDS];
};

#define WEIR_WIRE_SEALED_BYTES_MAX (WEIR_WIRE_HEAD_BYTES + 12 + WEIR_SHARDS * 16)

void weir_wire_put_sealed(struct weir_out *out, const struct weir_wire_sealed *sealed);
int weir_wire_get_sealed(struct weir_in *in, struct weir_wire_sealed *sealed);

#endif
