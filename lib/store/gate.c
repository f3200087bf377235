/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/internal.h"

/* Slots are made in steps as they are needed, up to WEIR_GATE_TASKS_MAX with the large ones. */
#define STEP_SLOTS 1024
#define SLOTS_MAX  (WEIR_GATE_TASKS_MAX - WEIR_GATE_LARGE_MAX)
#define STEPS_MAX  ((SLOTS_MAX + STEP_SLOTS - 1) / STEP_SLOTS + WEIR_GATE_LARGE_MAX)

#define ORDINARY_ROOM (sizeof(struct weir_entry) + WEIR_GATE_TASK_ROOM)
#define SLOT_HEAD     (offsetof(struct weir_gate_slot, task) + offsetof(struct weir_task, entry))

/* ---------------------------------------------------------------------------------- life --- */

static struct weir_gate *gate_create(struct weir_store *store)
{
	struct weir_gate *gate = calloc(1, sizeof(*gate));

	if (gate == NULL)
		return NULL;
	gate->store = store;
	gate->refused_last = &gate->refused_first;
	gate->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	gate->steps = calloc(STEPS_MAX, sizeof(gate->steps[0]));
	gate->done = weir_ring_create(WEIR_GATE_TASKS_MAX, WEIR_RING_MP | RING_F_SC_DEQ);
	return gate;
}

static void gate_free(struct weir_gate *gate)
{
	for (unsigned i = 0; i < gate->steps_count; i++)
		free(gate->steps[i]);
	free(gate->steps);
	free(gate->done);
	if (gate->wake_fd >= 0)
		close(gate->wake_fd);
	free(gate);
}

static bool gate_enter(struct weir_store *store, struct weir_gate *gate)
{
	bool entered = false;

	pthread_mutex_lock(&store->gates_lock);
	for (unsigned number = 0; number < WEIR_GATES_MAX && !entered; number++) {
		if (store->gates[number] != NULL)
			continue;
		gate->number = number;
		store->gates[number] = gate;
		store->gates_open++;
		entered = true;
	}
	pthread_mutex_unlock(&store->gates_lock);
	return entered;
}

struct weir_gate *weir_gate_open(struct weir_store *store)
{
	struct weir_gate *gate = gate_create(store);

	if (gate == NULL)
		return NULL;
	if (gate->wake_fd < 0 || gate->steps == NULL || gate->done == NULL ||
		!gate_enter(store, gate)) {
		gate_free(gate);
		return NULL;
	}
	weir_rcu_register();
	return gate;
}

void weir_gate_close(struct weir_gate *gate)
{
	struct weir_store *store = gate->store;

	weir_assert(gate->under_way == 0);
	weir_rcu_unregister();
	pthread_mutex_lock(&store->gates_lock);
	store->gates[gate->number] = NULL;
	store->gates_open--;
	pthread_mutex_unlock(&store->gates_lock);
	gate_free(gate);
}

/* --------------------------------------------------------------------------------- tasks --- */

static size_t slot_bytes(size_t room)
{
	return (SLOT_HEAD + room + WEIR_CACHE_LINE - 1) / WEIR_CACHE_LINE * WEIR_CACHE_LINE;
}

/* Makes `count` slots at once and hands them to the list of free ones. */
static void slots_make(struct weir_gate *gate, unsigned count, size_t room, bool large)
{
	size_t bytes = slot_bytes(room);
	struct weir_gate_slot **list = large ? &gate->free_large : &gate->free_slots;
	char *step = aligned_alloc(WEIR_CACHE_LINE, count * bytes);

	if (step == NULL)
		return;
	gate->steps[gate->steps_count++] = step;
	for (unsigned i = 0; i < count; i++) {
		struct weir_gate_slot *slot = (struct weir_gate_slot *)(step + i * bytes);

		slot->gate = (uint8_t)gate->number;
		slot->large = large;
		slot->task.room = (uint32_t)room;
		slot->next = *list;
		*list = slot;
	}
}

static struct weir_gate_slot *ordinary_slot(struct weir_gate *gate)
{
	unsigned count = SLOTS_MAX - gate->slots_count;

	if (gate->free_slots == NULL && count > 0) {
		count = count < STEP_SLOTS ? count : STEP_SLOTS;
		slots_make(gate, count, ORDINARY_ROOM, false);
		if (gate->free_slots != NULL)
			gate->slots_count += count;
	}
	return gate->free_slots;
}

static struct weir_gate_slot *large_slot(struct weir_gate *gate)
{
	if (gate->free_large == NULL && gate->large_count < WEIR_GATE_LARGE_MAX) {
		slots_make(gate, 1, WEIR_ENTRY_BYTES_MAX, true);
		if (gate->free_large != NULL)
			gate->large_count++;
	}
	return gate->free_large;
}

struct weir_task *weir_gate_task(struct weir_gate *gate, size_t entry_bytes)
{
	bool large = entry_bytes > ORDINARY_ROOM;
	struct weir_gate_slot *slot;
	uint32_t room;

	if (entry_bytes > WEIR_ENTRY_BYTES_MAX)
		return NULL;
	slot = large ? large_slot(gate) : ordinary_slot(gate);
	if (slot == NULL)
		return NULL;
	if (large)
		gate->free_large = slot->next;
	else
		gate->free_slots = slot->next;
	room = slot->task.room;
	memset(&slot->task, 0, sizeof(slot->task));
	slot->task.room = room;
	return &slot->task;
}

void weir_gate_task_free(struct weir_gate *gate, struct weir_task *task)
{
	struct weir_gate_slot *slot = weir_gate_slot(task);
	struct weir_gate_slot **list = slot->large ? &gate->free_large : &gate->free_slots;

	weir_assert(slot->gate == gate->number);
	slot->next = *list;
	*list = slot;
}

static void refuse(struct weir_gate *gate, struct weir_task *task, int err)
{
	task->err = (int16_t)err;
	task->next = NULL;
	*gate->refused_last = task;
	gate->refused_last = &task->next;
}

static void pass_on(struct weir_gate *gate, unsigned number)
{
	struct weir_worker *worker = &gate->store->workers[number];
	unsigned count = gate->gathered_count[number];
	unsigned passed = rte_ring_enqueue_burst(
		worker->tasks, (void *const *)gate->gathered[number], count, NULL);

	for (unsigned i = passed; i < count; i++)
		refuse(gate, gate->gathered[number][i], WEIR_BUSY);
	gate->gathered_count[number] = 0;
	/*
	 * The fence stands between our entry and our look: either we see that the worker has
	 * gone, or its own last sweep, which comes after it said so, sees the entry.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&gate->store->workers_gone[number]))
		weir_worker_sweep(worker);
}

void weir_gate_submit(struct weir_gate *gate, struct weir_task *task)
{
	unsigned number = weir_store_worker_of(gate->store, task->entry.rule.flow_id);

	gate->under_way++;
	gate->gathered[number][gate->gathered_count[number]++] = task;
	if (gate->gathered_count[number] == WEIR_TASK_BURST)
		pass_on(gate, number);
}

void weir_gate_flush(struct weir_gate *gate)
{
	for (unsigned number = 0; number < gate->store->conf.workers_count; number++)
		if (gate->gathered_count[number] > 0)
			pass_on(gate, number);
}

static unsigned refused_take(struct weir_gate *gate, struct weir_task **tasks, unsigned room)
{
	unsigned count = 0;

	while (count < room && gate->refused_first != NULL) {
		tasks[count++] = gate->refused_first;
		gate->refused_first = gate->refused_first->next;
	}
	if (gate->refused_first == NULL)
		gate->refused_last = &gate->refused_first;
	return count;
}

unsigned weir_gate_poll(struct weir_gate *gate, struct weir_task **tasks, unsigned room)
{
	unsigned count = refused_take(gate, tasks, room);

	count +=
		rte_ring_sc_dequeue_burst(gate->done, (void **)(tasks + count), room - count, NULL);
	gate->under_way -= count;
	return count;
}

unsigned weir_gate_under_way(const struct weir_gate *gate)
{
	return gate->under_way;
}

/* ------------------------------------------------------------------------ waiting, reading --- */

int weir_gate_fd(const struct weir_gate *gate)
{
	return gate->wake_fd;
}

void weir_gate_rest(struct weir_gate *gate)
{
	weir_rcu_offline();
}

void weir_gate_wake(struct weir_gate *gate)
{
	weir_rcu_online();
}

void weir_gate_quiescent(struct weir_gate *gate)
{
	weir_rcu_quiescent();
}
