/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

int weir_registry_init(struct weir_registry *registry)
{
	registry->list = calloc(1, sizeof(*registry->list));
	if (registry->list == NULL)
		return WEIR_BUSY;
	pthread_mutex_init(&registry->making, NULL);
	return 0;
}

static void standing_destroy(struct weir_standing *standing)
{
	if (standing == NULL)
		return;
	free(standing->record);
	free(standing);
}

void weir_registry_free(struct weir_registry *registry)
{
	for (unsigned i = 0; i < WEIR_DEVICE_SLOTS; i++) {
		struct weir_device *device = registry->slots[i];

		if (device == NULL)
			continue;
		weir_table_destroy(device->table);
		standing_destroy(device->standing);
		free(device->name);
		free(device);
	}
	free(registry->list);
	pthread_mutex_destroy(&registry->making);
}

/* The slot where the device of this key stands, or the free one where it would. */
static unsigned slot_of(const struct weir_registry *registry, uint64_t key)
{
	unsigned slot = (unsigned)(key % WEIR_DEVICE_SLOTS);
	const struct weir_device *device;

	for (;;) {
		device = atomic_load_explicit(&registry->slots[slot], memory_order_acquire);
		if (device == NULL || device->key == key)
			return slot;
		slot = (slot + 1) % WEIR_DEVICE_SLOTS;
	}
}

struct weir_device *weir_registry_find(const struct weir_registry *registry, uint64_t key)
{
	return atomic_load_explicit(&registry->slots[slot_of(registry, key)], memory_order_acquire);
}

static struct weir_device *device_create(uint64_t key)
{
	struct weir_device *device = calloc(1, sizeof(*device));

	if (device == NULL)
		return NULL;
	device->key = key;
	device->table = weir_table_create();
	if (device->table == NULL) {
		free(device);
		return NULL;
	}
	return device;
}

static struct weir_device *make_locked(struct weir_registry *registry, uint64_t key)
{
	unsigned slot = slot_of(registry, key);
	struct weir_device *device = registry->slots[slot];

	if (device != NULL)
		return device;
	if (registry->count == WEIR_DEVICES_MAX) {
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR,
			"there are %u devices already: no room for another", WEIR_DEVICES_MAX);
		return NULL;
	}
	device = device_create(key);
	if (device == NULL) {
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR, "no memory for another device");
		return NULL;
	}
	registry->count++;
	atomic_store_explicit(&registry->slots[slot], device, memory_order_release);
	return device;
}

struct weir_device *weir_registry_make(struct weir_registry *registry, uint64_t key)
{
	struct weir_device *device;

	pthread_mutex_lock(&registry->making);
	device = make_locked(registry, key);
	pthread_mutex_unlock(&registry->making);
	return device;
}

static void list_free(struct rcu_head *rcu)
{
	weir_rcu_callback_begins();
	free(caa_container_of(rcu, struct weir_device_list, rcu));
}

/* Where a name stands in the list, or would. */
static unsigned list_place(const struct weir_device_list *list, const char *name)
{
	unsigned from = 0, to = list->count;

	while (from < to) {
		unsigned middle = from + (to - from) / 2;

		if (strcmp(list->devices[middle]->name, name) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* The device gets its name, and its place in the list. */
static int list_add(struct weir_registry *registry, struct weir_device *device, char *name)
{
	struct weir_device_list *old = registry->list, *list;
	unsigned place = list_place(old, name);

	list = malloc(sizeof(*list) + (old->count + 1) * sizeof(list->devices[0]));
	if (list == NULL)
		return WEIR_BUSY;
	atomic_store_explicit(&device->name, name, memory_order_release);
	list->count = old->count + 1;
	memcpy(list->devices, old->devices, place * sizeof(list->devices[0]));
	list->devices[place] = device;
	memcpy(list->devices + place + 1, old->devices + place,
		(old->count - place) * sizeof(list->devices[0]));
	weir_rcu_publish(registry->list, list);
	weir_rcu_call(&old->rcu, list_free);
	return 0;
}

struct weir_device *weir_registry_name(struct weir_registry *registry, const char *name)
{
	struct weir_device *device = weir_registry_make(registry, weir_device_key(name));
	char *own;

	if (device == NULL)
		return NULL;
	if (device->name != NULL) {
		if (strcmp(device->name, name) == 0)
			return device;
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR,
			"device %s has the same key as device %s: it cannot be served", name,
			device->name);
		return NULL;
	}
	own = strdup(name);
	if (own == NULL || list_add(registry, device, own) != 0) {
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR, "no memory for device %s", name);
		free(own);
		return NULL;
	}
	return device;
}

static void standing_free(struct rcu_head *rcu)
{
	weir_rcu_callback_begins();
	standing_destroy(caa_container_of(rcu, struct weir_standing, rcu));
}

int weir_device_stand(
	struct weir_device *device, const struct weir_view *view, const struct weir_record *record)
{
	struct weir_standing *old = device->standing, *standing = malloc(sizeof(*standing));

	if (standing == NULL)
		return WEIR_BUSY;
	standing->view = *view;
	standing->record = weir_record_keep(record);
	if (standing->record == NULL) {
		free(standing);
		return WEIR_BUSY;
	}
	weir_rcu_publish(device->standing, standing);
	if (old != NULL)
		weir_rcu_call(&old->rcu, standing_free);
	return 0;
}

/* --------------------------------------------------------------------------- for readers --- */

const struct weir_device *weir_store_device(
	const struct weir_store *store, const char *name, size_t len)
{
	char text[WEIR_DEVICE_ID_MAX];
	const struct weir_device *device;
	const char *own;

	if (len == 0 || len >= sizeof(text) || memchr(name, '\0', len) != NULL)
		return NULL;
	memcpy(text, name, len);
	text[len] = '\0';
	device = weir_registry_find(&store->registry, weir_device_key(text));
	own = device != NULL ? atomic_load_explicit(&device->name, memory_order_acquire) : NULL;
	return own != NULL && strcmp(own, text) == 0 ? device : NULL;
}

const char *weir_device_name(const struct weir_device *device)
{
	return device->name;
}

uint64_t weir_device_number(const struct weir_device *device)
{
	return device->key;
}

const struct weir_table *weir_device_table(const struct weir_device *device)
{
	return device->table;
}

int weir_device_may_read(const struct weir_store *store, const struct weir_device *device)
{
	const struct weir_standing *standing = weir_rcu_load(device->standing);

	if (standing == NULL || standing->view.role != WEIR_ROLE_MASTER)
		return WEIR_NOTMASTER;
	if (weir_store_lease_ns(store) == 0)
		return WEIR_FENCED;
	/* A worker may have learnt of a later term before the record has come. */
	if (standing->view.active != standing->view.term ||
		weir_table_fence(device->table) > standing->view.term)
		return WEIR_BUSY;
	return 0;
}

static void master_socket(
	const struct weir_store *store, const struct weir_record *record, char *socket)
{
	const struct weir_company *company = weir_company_now(store);

	for (unsigned i = 0; i < company->nodes_count; i++)
		if (strcmp(company->nodes[i].id, record->master.node) == 0)
			memcpy(socket, company->nodes[i].socket, WEIR_SOCKET_PATH_MAX);
}

void weir_device_status(const struct weir_store *store, const struct weir_device *device,
	struct weir_device_status *status)
{
	const struct weir_standing *standing = weir_rcu_load(device->standing);

	memset(status, 0, sizeof(*status));
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_shard_digest digest = weir_table_shard_digest(device->table, shard);

		status->flows += digest.count;
		status->content += digest.sum;
	}
	if (standing == NULL)
		return;
	status->role = standing->view.role;
	status->term = standing->view.term;
	status->active = standing->view.active;
	status->revision = standing->view.revision;
	weir_record_of(standing->record, &status->record);
	status->open = weir_device_may_read(store, device) == 0;
	if (status->record.master.node[0] != '\0')
		master_socket(store, &status->record, status->master_socket);
}

unsigned weir_store_devices(const struct weir_store *store,
	bool (*visit)(void *ctx, const struct weir_device *device), void *ctx)
{
	const struct weir_device_list *list = weir_rcu_load(store->registry.list);
	unsigned visited = 0;

	while (visited < list->count)
		if (!visit(ctx, list->devices[visited++]))
			break;
	return visited;
}
