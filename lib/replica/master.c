/* SPDX-License-Identifier: BSD-3-Clause */
#include "replica/state.h"

void weir_master_answer(struct weir_replica *r, struct weir_task *task, int err)
{
	if (err == 0)
		r->stats.answers_ok++;
	else if (err == WEIR_UNKNOWN)
		r->stats.answers_unknown++;
	else
		r->stats.answers_err++;
	task->err = (int16_t)err;
	r->done++;
	r->ops.answer(r->ctx, task);
}

/* ------------------------------------------------------------------------- waiting --- */

static struct weir_task *queue_pop(struct weir_replica *r, struct share *share)
{
	struct weir_task *task = share->queue_head;

	share->queue_head = task->next;
	if (share->queue_head == NULL)
		share->queue_tail = &share->queue_head;
	share->queue_count--;
	r->stats.queued_now--;
	return task;
}

static void queue_push(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	if (share->queue_count >= WEIR_TASK_QUEUE_MAX) {
		weir_master_answer(r, task, WEIR_BUSY);
		return;
	}
	task->next = NULL;
	*share->queue_tail = task;
	share->queue_tail = &task->next;
	share->queue_count++;
	r->stats.queued_now++;
	weir_share_work(r, share);
}

void weir_master_queue_fail(struct weir_replica *r, struct share *share, int err)
{
	while (share->queue_head != NULL)
		weir_master_answer(r, queue_pop(r, share), err);
}

static struct pending *pending_take(struct weir_replica *r, struct share *share)
{
	struct pending *pending = TAILQ_FIRST(&r->pool_free);

	TAILQ_REMOVE(&r->pool_free, pending, link);
	TAILQ_INSERT_TAIL(&share->pending, pending, link);
	pending->share = share;
	pending->refs = 0;
	pending->need = 0;
	pending->err = 0;
	share->pending_count++;
	r->stats.pending_now++;
	return pending;
}

/* Answers and leaves the share's list; channels may still name it. */
static void pending_answer(struct weir_replica *r, struct pending *pending, int err)
{
	struct weir_task *task = pending->task;
	struct share *share = pending->share;

	TAILQ_REMOVE(&share->pending, pending, link);
	share->pending_count--;
	r->stats.pending_now--;
	pending->task = NULL;
	if (pending->refs == 0)
		TAILQ_INSERT_HEAD(&r->pool_free, pending, link);
	weir_master_answer(r, task, err);
}

void weir_master_pending_unref(struct weir_replica *r, struct pending *pending)
{
	weir_assert(pending->refs > 0);
	if (--pending->refs == 0 && pending->task == NULL)
		TAILQ_INSERT_HEAD(&r->pool_free, pending, link);
}

/** One copy has it, or need not have it any more. The lease is looked at again (guarantee A). */
void weir_master_pending_met(struct weir_replica *r, struct pending *pending, uint8_t peer)
{
	if (pending->task == NULL)
		return;
	pending->need &= ~(1U << peer);
	if (pending->need == 0)
		pending_answer(
			r, pending, r->now_ns < r->lease_until_ns ? pending->err : WEIR_UNKNOWN);
}

void weir_master_pending_fail(struct weir_replica *r, struct share *share)
{
	while (!TAILQ_EMPTY(&share->pending))
		pending_answer(r, TAILQ_FIRST(&share->pending), WEIR_UNKNOWN);
}

/** The coordinator does not have this peer in the in-sync set: nothing waits for it. */
void weir_master_release(struct weir_replica *r, struct share *share, uint8_t peer)
{
	struct pending *pending = TAILQ_FIRST(&share->pending);

	while (pending != NULL) {
		struct pending *next = TAILQ_NEXT(pending, link);

		weir_master_pending_met(r, pending, peer);
		pending = next;
	}
}

/** Deadlines: makers give the same time to all, so the oldest of a list runs out first. */
void weir_master_expire(struct weir_replica *r, struct share *share)
{
	while (share->queue_head != NULL && share->queue_head->deadline_ns <= r->now_ns)
		weir_master_answer(r, queue_pop(r, share), WEIR_TIMEOUT);
	while (!TAILQ_EMPTY(&share->pending) &&
		TAILQ_FIRST(&share->pending)->task->deadline_ns <= r->now_ns)
		pending_answer(r, TAILQ_FIRST(&share->pending), WEIR_UNKNOWN);
}

/* ------------------------------------------------------------------------- writing --- */

static bool sends_to(const struct join *join)
{
	return join->state >= JOIN_ASKED && join->state <= JOIN_EQUAL;
}

/* A copy that must acknowledge makes the write wait; one that is only on its way starts anew. */
static bool joins_have_room(struct weir_replica *r, struct share *share, unsigned shard)
{
	for (unsigned i = 0; i < share->joins_count; i++) {
		struct join *join = share->joins[i];

		if (!sends_to(join) || weir_channel_takes(r, weir_channel_of(r, join->peer, shard),
					       WEIR_WIRE_DELTA_BYTES_MAX + WEIR_WIRE_HEAD_BYTES))
			continue;
		if (join->must)
			return false;
		weir_join_break(r, share, join);
	}
	return true;
}

static void send_change(struct weir_replica *r, struct share *share, unsigned bucket, uint64_t seq,
	const struct change *change, struct pending *pending)
{
	for (unsigned i = 0; i < share->joins_count; i++) {
		struct join *join = share->joins[i];
		struct channel *channel;
		uint64_t position;

		if (pending != NULL && join->must)
			pending->need |= 1U << join->peer;
		if (!sends_to(join) || !bucket_set_has(&join->follows, bucket))
			continue;
		channel = weir_channel_of(r, join->peer, weir_bucket_shard(bucket));
		position = weir_channel_delta(r, channel, share,
			(enum weir_wire_delta_kind)change->kind, seq, change->entry);
		if (pending != NULL && join->must)
			weir_channel_await(channel, position, pending);
	}
}

static bool any_must(const struct share *share)
{
	for (unsigned i = 0; i < share->joins_count; i++)
		if (share->joins[i]->must)
			return true;
	return false;
}

/* Stamps and sends what was applied; answers at once or when the in-sync copies have it. */
static void committed(struct weir_replica *r, struct share *share, struct weir_bucket *bucket,
	unsigned number, struct weir_task *task, const struct change *change)
{
	bool wait = task->ack == WEIR_ACK_INSYNC && any_must(share);
	struct pending *pending = wait ? pending_take(r, share) : NULL;
	uint64_t seq = weir_bucket_digest(bucket).seq + 1;

	weir_bucket_stamp(bucket, share->view.term, seq);
	if (pending != NULL)
		pending->task = task;
	send_change(r, share, number, seq, change, pending);
	if (pending == NULL)
		weir_master_answer(r, task, 0);
}

/* Whether a copy that must have it may lack something that stands in this bucket. */
static bool is_behind(struct weir_replica *r, const struct join *join, unsigned bucket)
{
	const struct channel *channel;

	if (!sends_to(join) || !bucket_set_has(&join->follows, bucket))
		return true;
	channel = weir_channel_of(r, join->peer, weir_bucket_shard(bucket));
	return channel->acked < channel->sent || channel->batch_len != 0;
}

/*
 * Nothing was changed, but the answer rests on what stands here, and that may be an earlier write
 * which an in-sync copy lacks yet: it would be gone after a change of term (guarantee A).
 */
static void observed(struct weir_replica *r, struct share *share, unsigned bucket,
	struct weir_task *task, int err)
{
	struct pending *pending = NULL;

	for (unsigned i = 0; i < share->joins_count && task->ack == WEIR_ACK_INSYNC; i++) {
		const struct join *join = share->joins[i];
		struct channel *channel;

		if (!join->must || !is_behind(r, join, bucket))
			continue;
		if (pending == NULL) {
			pending = pending_take(r, share);
			pending->task = task;
			pending->err = err;
		}
		pending->need |= 1U << join->peer;
		if (!sends_to(join) || !bucket_set_has(&join->follows, bucket))
			continue;
		channel = weir_channel_of(r, join->peer, weir_bucket_shard(bucket));
		weir_channel_await(channel, channel->sent + (channel->batch_len != 0), pending);
	}
	if (pending == NULL)
		weir_master_answer(r, task, err);
}

/* @return false: it must wait and nothing was done */
static bool execute(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	unsigned number = weir_flow_bucket(task->entry.rule.flow_id);
	struct weir_bucket *bucket;
	struct change change;

	if (r->now_ns >= task->deadline_ns) {
		weir_master_answer(r, task, WEIR_TIMEOUT);
		return true;
	}
	if (r->now_ns >= r->lease_until_ns) {
		weir_master_answer(r, task, WEIR_FENCED);
		return true;
	}
	if (TAILQ_EMPTY(&r->pool_free) || !joins_have_room(r, share, weir_bucket_shard(number)))
		return false;
	bucket = weir_table_bucket_make(share->table, r->conf.mem, number);
	if (bucket == NULL) {
		weir_master_answer(r, task, WEIR_BUSY);
		return true;
	}
	if (task->op == WEIR_OP_ADD && weir_bucket_digest(bucket).count >= BUCKET_ENTRIES_MAX) {
		weir_master_answer(r, task, WEIR_TOOBIG);
		return true;
	}
	change = weir_apply(r, bucket, task);
	if (change.kind != 0)
		committed(r, share, bucket, number, task, &change);
	else
		observed(r, share, number, task, change.err);
	return true;
}

/** Waiting tasks run before any newer one, in order, once (guarantee C). */
void weir_master_drain(struct weir_replica *r, struct share *share)
{
	while (share->queue_head != NULL && share->phase == PHASE_ACTIVE) {
		struct weir_task *task = queue_pop(r, share);

		if (execute(r, share, task))
			continue;
		task->next = share->queue_head;
		share->queue_head = task;
		if (task->next == NULL)
			share->queue_tail = &task->next;
		share->queue_count++;
		r->stats.queued_now++;
		return;
	}
}

void weir_replica_task(struct weir_replica *r, struct weir_task *task)
{
	struct share *share = weir_share_find(r, task->device_key);

	r->stats.tasks++;
	if (share == NULL || !weir_share_leads(share))
		weir_master_answer(r, task, WEIR_NOTMASTER);
	else if (r->now_ns >= r->lease_until_ns)
		weir_master_answer(r, task, WEIR_FENCED);
	else if (share->phase != PHASE_ACTIVE || share->queue_head != NULL ||
		 !execute(r, share, task))
		queue_push(r, share, task);
}
