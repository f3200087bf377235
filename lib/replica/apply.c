/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "replica/state.h"

/* Relaxed stores: readers show counters, nothing depends on them. */
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static struct change failed(int err)
{
	return (struct change){.err = err};
}

static struct change replicate(enum weir_wire_delta_kind kind, struct weir_entry *entry)
{
	return (struct change){.delta = {.kind = (uint8_t)kind, .entry = entry}};
}

/* The task's entry is made what is stored, so that it is copied once. */
static struct change put_new(struct weir_replica *r, struct weir_bucket *bucket,
	struct weir_task *task, const struct weir_entry *old)
{
	struct weir_entry *entry = &task->entry;
	int err;

	if (WEIR_DEFECT(B16) && weir_defect_notes[0] == (uintptr_t)bucket &&
		weir_defect_notes[1] == r->now_ns)
		return failed(0);
	entry->created = weir_hlc_next(&r->hlc, r->wall_ns);
	if (WEIR_DEFECT(B21))
		entry->created = weir_hlc_next(&(struct weir_hlc){0}, r->wall_ns);
	entry->state = WEIR_FLOW_PENDING_ADD;
	entry->error = 0;
	entry->packets = old != NULL ? old->packets : 0;
	entry->bytes = old != NULL ? old->bytes : 0;
	entry->last_seen_ms = old != NULL ? old->last_seen_ms : 0;
	entry->life_s = old != NULL ? old->life_s : 0;
	err = weir_bucket_put(bucket, r->conf.mem, entry, &entry);
	return err < 0 ? failed(err) : replicate(WEIR_WIRE_PUT, entry);
}

static struct change set_state(
	struct weir_bucket *bucket, struct weir_entry *entry, enum weir_flow_state state)
{
	if (entry->state == state)
		return (struct change){0};
	weir_bucket_set_state(bucket, entry, state, 0);
	return replicate(WEIR_WIRE_PUT, entry);
}

/* Counters travel in a lane of their own: what a device counts dirties no bucket. */
static struct change report(struct weir_replica *r, struct weir_bucket *bucket,
	const struct weir_task *task, struct weir_entry *entry)
{
	const struct weir_entry *said = &task->entry;
	struct change change = {0};
	bool counted = entry->packets != said->packets || entry->bytes != said->bytes ||
		       entry->life_s != said->life_s || entry->live_type != said->live_type;

	STORE(entry->packets, said->packets);
	STORE(entry->bytes, said->bytes);
	STORE(entry->life_s, said->life_s);
	STORE(entry->live_type, said->live_type);
	STORE(entry->last_seen_ms, r->wall_ns / WEIR_NS_PER_MS);
	if (entry->state == WEIR_FLOW_PENDING_ADD)
		change = set_state(bucket, entry, WEIR_FLOW_ADDED);
	change.counted = counted;
	return change;
}

static bool stored_is_newer(const struct weir_entry *entry, const struct weir_task *task)
{
	return task->entry.created != 0 && entry->created > task->entry.created &&
	       !WEIR_DEFECT(MODIFY_BLIND);
}

static struct change removed(
	struct weir_replica *r, struct weir_bucket *bucket, struct weir_entry *entry)
{
	weir_bucket_remove(bucket, r->conf.mem, entry);
	if (WEIR_DEFECT(B16) && weir_bucket_digest(bucket).count == 0) {
		weir_defect_notes[0] = (uintptr_t)bucket;
		weir_defect_notes[1] = r->now_ns;
	}
	return replicate(WEIR_WIRE_REMOVE, entry);
}

struct change weir_apply(struct weir_replica *r, struct weir_bucket *bucket, struct weir_task *task)
{
	struct weir_entry *entry = NULL;

	if (task->op == WEIR_OP_ADD)
		return put_new(r, bucket, task, NULL);
	entry = weir_bucket_find(bucket, &task->entry.rule);
	if (entry == NULL)
		return failed(task->op == WEIR_OP_REPORT ? WEIR_EXTRANEOUS : WEIR_NOTFOUND);
	switch ((enum weir_op)task->op) {
	case WEIR_OP_MODIFY:
		if (stored_is_newer(entry, task))
			return failed(WEIR_OLDER);
		return put_new(r, bucket, task, entry);
	case WEIR_OP_REMOVE:
		return set_state(bucket, entry, WEIR_FLOW_PENDING_REMOVE);
	case WEIR_OP_REPORT:
		return report(r, bucket, task, entry);
	case WEIR_OP_PENDING:
		if (WEIR_DEFECT(B3) && entry->state != WEIR_FLOW_PENDING_ADD)
			return failed(0);
		return set_state(bucket, entry, WEIR_FLOW_PENDING_ADD);
	case WEIR_OP_REMOVED:
		if (stored_is_newer(entry, task))
			return failed(WEIR_OLDER);
		return removed(r, bucket, entry);
	default:
		return failed(WEIR_ERR);
	}
}
