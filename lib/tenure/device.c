/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "tenure/internal.h"

static struct device **slot_of(const struct weir_tenure *tenure, uint64_t key)
{
	return &tenure->slots[key % HASH_SLOTS];
}

struct device *weir_tenure_device_by_key(const struct weir_tenure *tenure, uint64_t key)
{
	struct device *device = *slot_of(tenure, key);

	while (device != NULL && device->key != key)
		device = device->chain;
	return device;
}

struct device *weir_tenure_device_find(const struct weir_tenure *tenure, const char *name)
{
	struct device *device = weir_tenure_device_by_key(tenure, weir_device_key(name));

	return device != NULL && strcmp(weir_record_device(device->record), name) == 0 ? device
										       : NULL;
}

static void device_free(struct device *device)
{
	free(device->record);
	free(device->mates);
	free(device);
}

/* A device of which nothing is known but its name. */
static struct device *device_make(const char *name)
{
	struct device *device = calloc(1, sizeof(*device));
	struct weir_record record = {0};

	if (device == NULL)
		return NULL;
	strcpy(record.device, name);
	device->record = weir_record_keep(&record);
	if (device->record == NULL) {
		free(device);
		return NULL;
	}
	device->master_peer = WEIR_NO_PEER;
	device->due_ns = NEVER;
	STAILQ_INIT(&device->requests);
	return device;
}

struct device *weir_tenure_device_get(struct weir_tenure *tenure, const char *name)
{
	uint64_t key = weir_device_key(name);
	struct device *device = weir_tenure_device_by_key(tenure, key);

	if (device != NULL)
		return strcmp(weir_record_device(device->record), name) == 0 ? device : NULL;
	if (tenure->devices_count == WEIR_DEVICES_MAX || strlen(name) >= WEIR_DEVICE_ID_MAX)
		return NULL;
	device = device_make(name);
	if (device == NULL)
		return NULL;
	device->key = key;
	device->chain = *slot_of(tenure, key);
	*slot_of(tenure, key) = device;
	tenure->devices_count++;
	return device;
}

void weir_tenure_device_drop(struct weir_tenure *tenure, struct device *device)
{
	struct device **at = slot_of(tenure, device->key);

	weir_assert(!device->changing && !device->unsure && STAILQ_EMPTY(&device->requests));
	while (*at != device)
		at = &(*at)->chain;
	*at = device->chain;
	weir_tenure_wake_not(tenure, device);
	if (device->queued)
		TAILQ_REMOVE(&tenure->work, device, work);
	tenure->devices_count--;
	device_free(device);
}

void weir_tenure_devices_each(
	struct weir_tenure *tenure, void (*each)(struct weir_tenure *, struct device *))
{
	for (unsigned i = 0; i < HASH_SLOTS; i++)
		for (struct device *device = tenure->slots[i]; device != NULL;
			device = device->chain)
			each(tenure, device);
}

void weir_tenure_devices_free(struct weir_tenure *tenure)
{
	for (unsigned i = 0; i < HASH_SLOTS; i++) {
		struct device *device = tenure->slots[i];

		while (device != NULL) {
			struct device *next = device->chain;

			device_free(device);
			device = next;
		}
	}
}

/* ----------------------------------------------------------------------------- work list --- */

void weir_tenure_work_add(struct weir_tenure *tenure, struct device *device)
{
	if (device->queued)
		return;
	device->queued = true;
	TAILQ_INSERT_TAIL(&tenure->work, device, work);
}

void weir_tenure_unsure(struct weir_tenure *tenure, struct device *device)
{
	device->unsure_renew = tenure->renewal.number;
	if (device->unsure)
		return;
	device->unsure = true;
	TAILQ_INSERT_TAIL(&tenure->waiting, device, waiting);
}

void weir_tenure_sure(struct weir_tenure *tenure, uint64_t number)
{
	struct device *device = TAILQ_FIRST(&tenure->waiting);

	while (device != NULL) {
		struct device *next = TAILQ_NEXT(device, waiting);

		if (device->unsure_renew < number) {
			device->unsure = false;
			device->term_fresh = false;
			TAILQ_REMOVE(&tenure->waiting, device, waiting);
			weir_tenure_work_add(tenure, device);
		}
		device = next;
	}
}

/* -------------------------------------------------------------------------------- timers --- */

static void heap_put(struct weir_tenure *tenure, uint32_t at, struct device *device)
{
	tenure->heap[at] = device;
	device->heap_idx = at;
}

static void heap_up(struct weir_tenure *tenure, uint32_t at, struct device *device)
{
	while (at > 1 && tenure->heap[at / 2]->due_ns > device->due_ns) {
		heap_put(tenure, at, tenure->heap[at / 2]);
		at /= 2;
	}
	heap_put(tenure, at, device);
}

static void heap_down(struct weir_tenure *tenure, uint32_t at, struct device *device)
{
	for (uint32_t child = 2 * at; child <= tenure->heap_count; child = 2 * at) {
		if (child < tenure->heap_count &&
			tenure->heap[child + 1]->due_ns < tenure->heap[child]->due_ns)
			child++;
		if (tenure->heap[child]->due_ns >= device->due_ns)
			break;
		heap_put(tenure, at, tenure->heap[child]);
		at = child;
	}
	heap_put(tenure, at, device);
}

void weir_tenure_wake_not(struct weir_tenure *tenure, struct device *device)
{
	uint32_t at = device->heap_idx;
	struct device *last;

	device->due_ns = NEVER;
	if (at == 0)
		return;
	device->heap_idx = 0;
	last = tenure->heap[tenure->heap_count--];
	if (last == device)
		return;
	heap_up(tenure, at, last);
	heap_down(tenure, last->heap_idx, last);
}

void weir_tenure_wake_at(struct weir_tenure *tenure, struct device *device, uint64_t due_ns)
{
	if (due_ns >= device->due_ns)
		return;
	weir_tenure_wake_not(tenure, device);
	device->due_ns = due_ns;
	heap_up(tenure, ++tenure->heap_count, device);
}

void weir_tenure_wake_due(struct weir_tenure *tenure)
{
	while (tenure->heap_count > 0 && tenure->heap[1]->due_ns <= tenure->now_ns) {
		struct device *device = tenure->heap[1];

		weir_tenure_wake_not(tenure, device);
		weir_tenure_work_add(tenure, device);
	}
}
