/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "replica/state.h"

#define AWAITED_MASK (WEIR_TASK_PENDING_MAX - 1)

_Static_assert((WEIR_TASK_PENDING_MAX & AWAITED_MASK) == 0, "the ring needs a power of two");

struct channel *weir_channel_of(struct weir_replica *r, unsigned peer, unsigned shard)
{
	const struct peer *p = &r->peers[peer];

	return p->workers_count == 0 ? NULL : p->channels[shard & (p->workers_count - 1U)];
}

uint32_t weir_channel_shards(const struct weir_replica *r, unsigned peer, unsigned worker)
{
	unsigned workers = r->peers[peer].workers_count;
	uint32_t shards = 0;

	for (unsigned shard = worker; workers != 0 && shard < WEIR_SHARDS; shard += workers)
		shards |= 1U << shard;
	return shards & r->own;
}

bool weir_peer_up(const struct weir_replica *r, unsigned peer)
{
	const struct peer *p = &r->peers[peer];

	for (unsigned worker = 0; worker < p->workers_count; worker++)
		if (p->channels[worker] == NULL && weir_channel_shards(r, peer, worker) != 0)
			return false;
	return p->workers_count != 0;
}

size_t weir_channel_room(struct weir_replica *r, const struct channel *channel)
{
	size_t room = r->ops.room(r->ctx, channel->peer, channel->worker);

	return room > channel->batch_len ? room - channel->batch_len : 0;
}

bool weir_channel_takes(struct weir_replica *r, const struct channel *channel, size_t bytes)
{
	return weir_channel_room(r, channel) >= bytes + CHANNEL_RESERVE_BYTES;
}

static void send_now(struct weir_replica *r, struct channel *channel, const void *bytes, size_t len)
{
	if (channel->sent == channel->acked)
		channel->progress_ns = r->now_ns;
	channel->sent++;
	r->done++;
	r->ops.send(r->ctx, channel->peer, channel->worker, bytes, len);
}

void weir_channel_flush(struct weir_replica *r, struct channel *channel)
{
	size_t len = channel->batch_len;

	if (len == 0)
		return;
	channel->batch_len = 0;
	channel->batch_share = NULL;
	send_now(r, channel, channel->batch, len);
}

void weir_channel_send(
	struct weir_replica *r, struct channel *channel, const void *bytes, size_t len)
{
	weir_channel_flush(r, channel);
	send_now(r, channel, bytes, len);
}

void weir_channel_say(struct weir_replica *r, struct channel *channel, enum weir_wire_type type,
	uint64_t key, uint64_t term)
{
	uint8_t bytes[WEIR_WIRE_HEAD_BYTES];
	struct weir_out out = weir_out(bytes, sizeof(bytes));

	weir_wire_put_head(&out,
		&(struct weir_wire_head){.type = (uint8_t)type, .device_key = key, .term = term});
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
}

void weir_channel_say_shards(struct weir_replica *r, struct channel *channel,
	enum weir_wire_type type, uint64_t key, uint64_t term, uint32_t shards)
{
	uint8_t bytes[WEIR_WIRE_HEAD_BYTES + 4];
	struct weir_out out = weir_out(bytes, sizeof(bytes));

	weir_wire_put_head(&out,
		&(struct weir_wire_head){.type = (uint8_t)type, .device_key = key, .term = term});
	weir_out_u32(&out, shards);
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
}

/* The sender of what is refused must hear of it before the acknowledgement that covers it. */
void weir_channel_refuse(struct weir_replica *r, struct channel *channel, enum weir_wire_type type,
	uint64_t key, uint64_t term)
{
	r->stats.refusals++;
	if (weir_channel_room(r, channel) < 2 * WEIR_WIRE_HEAD_BYTES)
		channel->broken = true;
	else
		weir_channel_say(r, channel, type, key, term);
}

static bool batch_fits(const struct channel *channel, const struct share *share, size_t bytes)
{
	return channel->batch_share == share && channel->batch_term == share->view.term &&
	       channel->batch_len + bytes <= sizeof(channel->batch);
}

/** Adds a change to the open DELTA. @return the position that acknowledges it */
uint64_t weir_channel_delta(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_delta *delta)
{
	bool full = channel->batch_share == share &&
		    channel->batch_len + weir_wire_delta_bytes(delta) > sizeof(channel->batch);
	struct weir_out out;

	if (channel->batch_len != 0 && !batch_fits(channel, share, weir_wire_delta_bytes(delta)))
		weir_channel_flush(r, channel);
	out = weir_out(
		channel->batch + channel->batch_len, sizeof(channel->batch) - channel->batch_len);
	if (channel->batch_len == 0) {
		channel->batch_share = share;
		channel->batch_term = share->view.term;
		weir_wire_put_head(&out, &(struct weir_wire_head){.type = WEIR_WIRE_DELTA,
						 .device_key = share->key,
						 .term = share->view.term});
	}
	weir_wire_put_delta(&out, delta);
	weir_assert(!out.bad);
	channel->batch_len = (size_t)(out.at - channel->batch);
	r->stats.deltas_sent++;
	return channel->sent + (WEIR_DEFECT(BATCH_FULL) && full ? 0 : 1);
}

void weir_channel_await(struct channel *channel, uint64_t position, struct pending *pending)
{
	struct awaited *awaited = &channel->awaited[channel->awaited_tail++ & AWAITED_MASK];

	weir_assert(channel->awaited_tail - channel->awaited_head <= WEIR_TASK_PENDING_MAX);
	awaited->position = position;
	awaited->pending = pending;
	pending->refs++;
}

void weir_channel_acked(struct weir_replica *r, struct channel *channel, uint64_t count)
{
	if (count > channel->sent || count < channel->acked) {
		r->stats.bad_messages++;
		return;
	}
	if (count == channel->acked)
		return;
	channel->acked = count;
	channel->progress_ns = r->now_ns;
	while (channel->awaited_head != channel->awaited_tail) {
		struct awaited *awaited = &channel->awaited[channel->awaited_head & AWAITED_MASK];

		if (awaited->position > count)
			break;
		channel->awaited_head++;
		weir_master_pending_met(r, awaited->pending, channel->peer);
		weir_master_pending_unref(r, awaited->pending);
	}
}

/** Acknowledges what was processed, once a turn. */
void weir_channel_thank(struct weir_replica *r, struct channel *channel)
{
	uint8_t bytes[WEIR_WIRE_HEAD_BYTES];
	struct weir_out out = weir_out(bytes, sizeof(bytes));

	if (channel->thanked == channel->received || channel->broken ||
		r->ops.room(r->ctx, channel->peer, channel->worker) < sizeof(bytes))
		return;
	weir_wire_put_head(
		&out, &(struct weir_wire_head){.type = WEIR_WIRE_ACK, .term = channel->received});
	r->ops.send(r->ctx, channel->peer, channel->worker, bytes, (size_t)(out.at - bytes));
	channel->thanked = channel->received;
	r->done++;
}

struct channel *weir_channel_open(struct weir_replica *r, unsigned peer, unsigned worker)
{
	struct channel *channel = malloc(sizeof(*channel));
	struct awaited *awaited = malloc(WEIR_TASK_PENDING_MAX * sizeof(*awaited));

	if (channel == NULL || awaited == NULL) {
		free(channel);
		free(awaited);
		return NULL;
	}
	/* The ring and the batch stay as they are: sessions come and go while there is work. */
	memset(channel, 0, offsetof(struct channel, batch));
	channel->awaited = awaited;
	channel->peer = (uint8_t)peer;
	channel->worker = (uint8_t)worker;
	channel->progress_ns = r->now_ns;
	LIST_INSERT_HEAD(&r->channels, channel, link);
	r->peers[peer].channels[worker] = channel;
	return channel;
}

/** What was awaited here stays needed: only a later attempt, or the coordinator, releases it. */
void weir_channel_close(struct weir_replica *r, struct channel *channel)
{
	while (channel->awaited_head != channel->awaited_tail) {
		struct pending *pending =
			channel->awaited[channel->awaited_head++ & AWAITED_MASK].pending;

		if (WEIR_DEFECT(RELEASE_ON_BREAK))
			weir_master_pending_met(r, pending, channel->peer);
		weir_master_pending_unref(r, pending);
	}
	weir_bucket_destroy(channel->stage, r->conf.mem);
	LIST_REMOVE(channel, link);
	r->peers[channel->peer].channels[channel->worker] = NULL;
	free(channel->awaited);
	free(channel);
}
