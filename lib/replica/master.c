/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

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
	if (WEIR_DEFECT(B2))
		task->entry.last_seen_ms = (uintptr_t)weir_table_bucket(
			share->table, weir_flow_bucket(task->entry.rule.flow_id));
	task->next = NULL;
	*share->queue_tail = task;
	share->queue_tail = &task->next;
	share->queue_count++;
	r->stats.queued_now++;
	weir_share_waits(r, share);
	weir_share_work(r, share);
}

/* What was begun and is not finished has an unknown fate. */
static int unfinished(const struct weir_task *task, int err)
{
	return task->removed > 0 ? WEIR_UNKNOWN : err;
}

void weir_master_queue_fail(struct weir_replica *r, struct share *share, int err)
{
	while (share->queue_head != NULL) {
		struct weir_task *task = queue_pop(r, share);

		weir_master_answer(r, task, unfinished(task, err));
	}
}

static struct pending *pending_take(
	struct weir_replica *r, struct share *share, struct weir_task *task)
{
	struct pending *pending = TAILQ_FIRST(&r->pool_free);

	TAILQ_REMOVE(&r->pool_free, pending, link);
	*pending =
		(struct pending){.share = share, .task = task, .number = ++share->pending_number};
	if (task == NULL) {
		TAILQ_INSERT_TAIL(&share->unmet, pending, link);
		return pending;
	}
	TAILQ_INSERT_TAIL(&share->pending, pending, link);
	r->stats.pending_now++;
	weir_share_waits(r, share);
	return pending;
}

/* Answers the task at its deadline; copies lack what was done all the same. */
static void pending_overdue(struct weir_replica *r, struct pending *pending)
{
	struct weir_task *task = pending->task;

	pending->task = NULL;
	TAILQ_REMOVE(&pending->share->pending, pending, link);
	TAILQ_INSERT_TAIL(&pending->share->unmet, pending, link);
	r->stats.pending_now--;
	weir_master_answer(r, task, WEIR_UNKNOWN);
	if (WEIR_DEFECT(ANSWER_TWICE))
		weir_master_answer(r, task, WEIR_UNKNOWN);
}

/* Every in-sync copy has it, or nobody asks any more; channels may still name it. */
static void pending_end(struct weir_replica *r, struct pending *pending, int err)
{
	struct weir_task *task = pending->task;

	TAILQ_REMOVE(
		task != NULL ? &pending->share->pending : &pending->share->unmet, pending, link);
	pending->need = 0;
	pending->task = NULL;
	if (pending->bucket != NULL)
		weir_bucket_moving(pending->bucket, -1);
	if (pending->refs == 0)
		TAILQ_INSERT_HEAD(&r->pool_free, pending, link);
	if (task == NULL)
		return;
	r->stats.pending_now--;
	if (WEIR_DEFECT(PENDING_DROPPED) && pending->share->phase == PHASE_IDLE)
		return;
	weir_master_answer(r, task, err);
}

void weir_master_pending_unref(struct weir_replica *r, struct pending *pending)
{
	weir_assert(pending->refs > 0);
	if (--pending->refs == 0 && pending->need == 0)
		TAILQ_INSERT_HEAD(&r->pool_free, pending, link);
}

/** One copy has it, or need not have it any more. The lease is looked at again (guarantee A). */
void weir_master_pending_met(struct weir_replica *r, struct pending *pending, uint8_t peer)
{
	if (pending->need == 0)
		return;
	pending->need &= WEIR_DEFECT(ACK_ANY) ? 0 : ~(1U << peer);
	if (pending->need == 0)
		pending_end(r, pending,
			r->now_ns < r->lease_until_ns || WEIR_DEFECT(LEASE_ONCE) ? pending->err
										 : WEIR_UNKNOWN);
}

void weir_master_pending_fail(struct weir_replica *r, struct share *share)
{
	while (!TAILQ_EMPTY(&share->pending))
		pending_end(r, TAILQ_FIRST(&share->pending), WEIR_UNKNOWN);
	while (!TAILQ_EMPTY(&share->unmet))
		pending_end(r, TAILQ_FIRST(&share->unmet), 0);
}

static void release(struct weir_replica *r, struct pending *pending, uint8_t peer, uint64_t number)
{
	while (pending != NULL) {
		struct pending *next = TAILQ_NEXT(pending, link);

		if (pending->number <= number)
			weir_master_pending_met(r, pending, peer);
		pending = next;
	}
}

/** Of what came up to `number`, nothing waits for this peer any more. */
void weir_master_release(struct weir_replica *r, struct share *share, uint8_t peer, uint64_t number)
{
	release(r, TAILQ_FIRST(&share->unmet), peer, number);
	release(r, TAILQ_FIRST(&share->pending), peer, number);
}

/** Deadlines: makers give the same time to all, so the oldest of a list runs out first. */
void weir_master_expire(struct weir_replica *r, struct share *share)
{
	while (share->queue_head != NULL && share->queue_head->deadline_ns <= r->now_ns) {
		struct weir_task *task = queue_pop(r, share);

		weir_master_answer(r, task, unfinished(task, WEIR_TIMEOUT));
	}
	while (!TAILQ_EMPTY(&share->pending) && !WEIR_DEFECT(DEADLINE_IGNORED) &&
		TAILQ_FIRST(&share->pending)->task->deadline_ns <= r->now_ns)
		pending_overdue(r, TAILQ_FIRST(&share->pending));
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

static bool any_must(const struct share *share)
{
	for (unsigned i = 0; i < share->joins_count; i++)
		if (share->joins[i]->must)
			return true;
	return false;
}

/* Whether a bucket can be written to now: each copy must be able to take the change. */
static bool may_write(struct weir_replica *r, struct share *share, unsigned number)
{
	const struct weir_bucket *bucket = weir_table_bucket(share->table, number);

	return !TAILQ_EMPTY(&r->pool_free) &&
	       joins_have_room(r, share, weir_bucket_shard(number)) &&
	       (bucket == NULL || weir_bucket_in_motion(bucket) < WEIR_BUCKET_MOVING_MAX);
}

static void send_change(struct weir_replica *r, struct share *share,
	const struct weir_wire_delta *delta, struct pending *pending)
{
	for (unsigned i = 0; i < share->joins_count; i++) {
		struct join *join = share->joins[i];
		struct channel *channel;
		uint64_t position;

		if (pending != NULL && join->must)
			pending->need |= 1U << join->peer;
		if (!sends_to(join) || !bucket_set_has(&join->follows, delta->bucket) ||
			(WEIR_DEFECT(REMOVE_NOT_SENT) && delta->kind == WEIR_WIRE_REMOVE))
			continue;
		channel = weir_channel_of(r, join->peer, weir_bucket_shard(delta->bucket));
		position = weir_channel_delta(r, channel, share, delta);
		if (pending != NULL && join->must)
			weir_channel_await(
				channel, position - (WEIR_DEFECT(ACK_PREVIOUS) ? 1 : 0), pending);
	}
}

/*
 * Stamps and sends what was applied to a bucket; it is in motion where copies must have it first.
 * @param task waits for that, where it is not NULL
 */
static void replicate(struct weir_replica *r, struct share *share, struct weir_bucket *bucket,
	struct weir_wire_delta *delta, struct weir_task *task, bool moving)
{
	struct pending *pending = NULL;

	if (moving) {
		pending = pending_take(r, share, task);
		pending->bucket = bucket;
	}
	delta->seq = weir_bucket_digest(bucket).seq + 1;
	weir_bucket_stamp(bucket, share->view.term, delta->seq);
	send_change(r, share, delta, pending);
}

/* The buckets that an answer rests on: from `first` on, `count` of a shard. */
struct scope {
	unsigned first, count;
};

static bool follows(const struct join *join, struct scope scope)
{
	for (unsigned i = 0; i < scope.count; i++)
		if (!bucket_set_has(&join->follows, scope.first + i * WEIR_SHARDS))
			return false;
	return sends_to(join);
}

/*
 * Nothing was changed, but the answer rests on what stands here, and that may be an earlier write
 * which an in-sync copy lacks yet: it would be gone after a change of term (guarantees A and E).
 */
static void observed(struct weir_replica *r, struct share *share, struct scope scope,
	struct weir_task *task, int err)
{
	struct pending *pending = NULL;

	for (unsigned i = 0; i < share->joins_count && task->ack == WEIR_ACK_INSYNC; i++) {
		const struct join *join = share->joins[i];
		struct channel *channel = NULL;

		if (!join->must || WEIR_DEFECT(ACK_UNSEEN) ||
			(WEIR_DEFECT(OLDER_UNSEEN) && err == WEIR_OLDER))
			continue;
		if (follows(join, scope)) {
			channel = weir_channel_of(r, join->peer, weir_bucket_shard(scope.first));
			if (channel->acked == channel->sent && channel->batch_len == 0)
				continue;
		}
		if (pending == NULL) {
			pending = pending_take(r, share, task);
			pending->err = err;
		}
		pending->need |= 1U << join->peer;
		if (channel != NULL)
			weir_channel_await(
				channel, channel->sent + (channel->batch_len != 0), pending);
	}
	if (pending == NULL)
		weir_master_answer(r, task, err);
}

/* ----------------------------------------------------------------------- operations --- */

/* @return false: it must wait and nothing was done */
static bool write(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	unsigned number = weir_flow_bucket(task->entry.rule.flow_id);
	bool moving = any_must(share);
	bool waits = moving && task->ack == WEIR_ACK_INSYNC && !WEIR_DEFECT(B12);
	struct weir_bucket *bucket;
	struct change change;

	if (WEIR_DEFECT(B2) && task->entry.last_seen_ms != 0 &&
		task->entry.last_seen_ms != (uintptr_t)weir_table_bucket(share->table, number)) {
		weir_master_answer(r, task, 0);
		return true;
	}
	if (!may_write(r, share, number))
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
	/* In motion before a reader can see the change. */
	if (moving)
		weir_bucket_moving(bucket, 1);
	change = weir_apply(r, bucket, task);
	if (change.counted)
		weir_counters_note(r, share, number);
	if (change.delta.kind != 0) {
		change.delta.bucket = (uint16_t)number;
		replicate(r, share, bucket, &change.delta, waits ? task : NULL, moving);
		if (!waits)
			weir_master_answer(r, task, 0);
		return true;
	}
	if (moving)
		weir_bucket_moving(bucket, -1);
	observed(r, share, (struct scope){number, 1}, task, change.err);
	return true;
}

static bool get(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	const struct weir_rule *rule = &task->entry.rule;
	unsigned number = weir_flow_bucket(rule->flow_id);
	const struct weir_entry *entry = task->op == WEIR_OP_GET
						 ? weir_table_find(share->table, rule)
						 : weir_table_find_id(share->table, rule->flow_id);
	int err = entry == NULL ? WEIR_NOTFOUND : 0;

	if (TAILQ_EMPTY(&r->pool_free))
		return false;
	if (entry != NULL && weir_entry_bytes(entry) > task->room)
		err = WEIR_TOOBIG;
	else if (entry != NULL)
		memcpy(&task->entry, entry, weir_entry_bytes(entry));
	observed(r, share, (struct scope){number, 1}, task, err);
	return true;
}

static void purge_bucket(struct weir_replica *r, struct share *share, struct weir_bucket *bucket,
	unsigned number, struct weir_task *task)
{
	struct weir_wire_delta delta = {
		.kind = WEIR_WIRE_PURGE, .bucket = (uint16_t)number, .app = task->app};
	bool moving = any_must(share);
	unsigned removed;

	if (moving)
		weir_bucket_moving(bucket, 1);
	removed = weir_bucket_purge(bucket, r->conf.mem, task->app);
	task->removed += removed;
	if (removed > 0 && !WEIR_DEFECT(B20))
		replicate(r, share, bucket, &delta, NULL, moving);
	else if (moving)
		weir_bucket_moving(bucket, -1);
}

/* A write like any other, one bucket after the other; what comes behind it waits meanwhile. */
static bool purge(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	unsigned shard = weir_flow_shard(task->entry.rule.flow_id);
	uint32_t until = task->removed + PURGE_TURN_ENTRIES;

	for (; task->at < WEIR_SHARD_BUCKETS; task->at++) {
		unsigned number = shard + task->at * WEIR_SHARDS;
		struct weir_bucket *bucket = weir_table_bucket(share->table, number);

		if (bucket == NULL || weir_bucket_digest(bucket).count == 0)
			continue;
		if (task->removed >= until || !may_write(r, share, number))
			return false;
		purge_bucket(r, share, bucket, number, task);
	}
	if (TAILQ_EMPTY(&r->pool_free))
		return false;
	observed(r, share, (struct scope){shard, WEIR_SHARD_BUCKETS}, task, 0);
	return true;
}

/* @return false: it must wait, and be tried again */
static bool execute(struct weir_replica *r, struct share *share, struct weir_task *task)
{
	if (r->now_ns >= task->deadline_ns) {
		weir_master_answer(r, task, unfinished(task, WEIR_TIMEOUT));
		return true;
	}
	if (r->now_ns >= r->lease_until_ns && !WEIR_DEFECT(LEASE_IGNORED)) {
		weir_master_answer(r, task, unfinished(task, WEIR_FENCED));
		return true;
	}
	switch (task->op) {
	case WEIR_OP_PURGE:
		return purge(r, share, task);
	case WEIR_OP_GET:
	case WEIR_OP_GET_ID:
		return get(r, share, task);
	default:
		return write(r, share, task);
	}
}

/** Waiting tasks run before any newer one, in order, once (guarantee C). */
void weir_master_drain(struct weir_replica *r, struct share *share)
{
	while (share->queue_head != NULL &&
		share->phase == (WEIR_DEFECT(B4) ? PHASE_SETTLED : PHASE_ACTIVE)) {
		struct weir_task *task = queue_pop(r, share);

		if (WEIR_DEFECT(DRAIN_TWICE))
			execute(r, share, task);
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
		weir_master_answer(r, task, WEIR_DEFECT(B13) ? 0 : WEIR_NOTMASTER);
	else if (r->now_ns >= r->lease_until_ns && !WEIR_DEFECT(LEASE_IGNORED))
		weir_master_answer(r, task, WEIR_FENCED);
	else if (share->phase != PHASE_ACTIVE || share->queue_head != NULL ||
		 !execute(r, share, task))
		queue_push(r, share, task);
}

void weir_replica_tasks(struct weir_replica *r, struct weir_task *const tasks[], unsigned count)
{
	const struct weir_table *tables[WEIR_REPLICA_BURST];
	uint64_t flow_ids[WEIR_REPLICA_BURST];
	unsigned known = 0;

	weir_assert(count <= WEIR_REPLICA_BURST);
	for (unsigned i = 0; i < count; i++)
		weir_share_prefetch(r, tasks[i]->device_key);
	for (unsigned i = 0; i < count; i++) {
		const struct share *share = weir_share_find(r, tasks[i]->device_key);

		if (share == NULL)
			continue;
		tables[known] = share->table;
		flow_ids[known++] = tasks[i]->entry.rule.flow_id;
	}
	if (known > 1)
		weir_tables_prefetch(tables, flow_ids, known);
	for (unsigned i = 0; i < count; i++)
		weir_replica_task(r, tasks[i]);
}
