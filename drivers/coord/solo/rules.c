/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/request.h"
#include "coord/solo/rules.h"

#define NONE           UINT32_MAX
#define DEVICES_BEGIN  64
#define SLOTS_A_DEVICE 2

struct device {
	struct weir_record record;
	uint32_t older; /* in the order of revisions */
	uint32_t newer;
};

struct node {
	struct weir_node node;
	uint64_t lease_end_ns;
};

struct weir_coord_rules {
	uint64_t run;
	uint64_t revision;                 /* largest that was given out */
	uint64_t struck_off;               /* largest incarnation of a node that was forgotten */
	struct node nodes[WEIR_NODES_MAX]; /* in the order of their names */
	unsigned nodes_count;
	struct device *devices;
	uint32_t devices_count;
	uint32_t devices_room; /* a power of two, or 0 */
	uint32_t *slots;       /* hash of names to devices, SLOTS_A_DEVICE times the room */
	uint32_t newest;
	struct weir_node answer_nodes[WEIR_NODES_MAX];
	struct weir_record answer_records[WEIR_COORD_RECORDS_MAX];
};

struct weir_coord_rules *weir_coord_rules_create(uint64_t run)
{
	struct weir_coord_rules *rules = calloc(1, sizeof(*rules));

	weir_assert(rules != NULL);
	rules->run = run;
	rules->newest = NONE;
	return rules;
}

void weir_coord_rules_destroy(struct weir_coord_rules *rules)
{
	if (rules == NULL)
		return;
	free(rules->devices);
	free(rules->slots);
	free(rules);
}

static void *memory_clone(const void *from, size_t size)
{
	void *to;

	if (size == 0)
		return NULL;
	to = malloc(size);
	weir_assert(to != NULL);
	return memcpy(to, from, size);
}

struct weir_coord_rules *weir_coord_rules_clone(const struct weir_coord_rules *rules)
{
	struct weir_coord_rules *clone = memory_clone(rules, sizeof(*rules));

	clone->devices =
		memory_clone(rules->devices, rules->devices_room * sizeof(*rules->devices));
	clone->slots = memory_clone(
		rules->slots, rules->devices_room * SLOTS_A_DEVICE * sizeof(*rules->slots));
	return clone;
}

void weir_coord_rules_forget(struct weir_coord_rules *rules, uint64_t run)
{
	free(rules->devices);
	free(rules->slots);
	memset(rules, 0, sizeof(*rules));
	rules->run = run;
	rules->newest = NONE;
}

void weir_coord_rules_run_set(struct weir_coord_rules *rules, uint64_t run)
{
	rules->run = run;
}

/* ------------------------------------------------------------------------------ devices --- */

/* The slot that names the device, or the free one where it would be named. */
static uint32_t *slot_find(const struct weir_coord_rules *rules, const char *device)
{
	uint32_t mask = rules->devices_room * SLOTS_A_DEVICE - 1;
	uint32_t at = (uint32_t)XXH3_64bits(device, strlen(device)) & mask;

	while (rules->slots[at] != NONE &&
		strcmp(rules->devices[rules->slots[at]].record.device, device) != 0)
		at = (at + 1) & mask;
	return &rules->slots[at];
}

static struct device *device_find(const struct weir_coord_rules *rules, const char *name)
{
	uint32_t *slot;

	if (rules->devices_room == 0)
		return NULL;
	slot = slot_find(rules, name);
	return *slot == NONE ? NULL : &rules->devices[*slot];
}

static void devices_grow(struct weir_coord_rules *rules)
{
	uint32_t room = rules->devices_room == 0 ? DEVICES_BEGIN : rules->devices_room * 2;

	rules->devices = realloc(rules->devices, room * sizeof(*rules->devices));
	free(rules->slots);
	rules->slots = malloc(room * SLOTS_A_DEVICE * sizeof(*rules->slots));
	weir_assert(rules->devices != NULL && rules->slots != NULL);
	rules->devices_room = room;
	memset(rules->slots, 0xff, room * SLOTS_A_DEVICE * sizeof(*rules->slots));
	for (uint32_t i = 0; i < rules->devices_count; i++)
		*slot_find(rules, rules->devices[i].record.device) = i;
}

/* A device without a revision yet, outside the order. NULL: the table is full. */
static struct device *device_add(struct weir_coord_rules *rules, const char *name)
{
	struct device *device;

	if (rules->devices_count == WEIR_DEVICES_MAX)
		return NULL;
	if (rules->devices_count == rules->devices_room)
		devices_grow(rules);
	*slot_find(rules, name) = rules->devices_count;
	device = &rules->devices[rules->devices_count++];
	memset(device, 0, sizeof(*device));
	device->older = device->newer = NONE;
	return device;
}

static void order_remove(struct weir_coord_rules *rules, struct device *device)
{
	if (device->older != NONE)
		rules->devices[device->older].newer = device->newer;
	if (device->newer != NONE)
		rules->devices[device->newer].older = device->older;
	else
		rules->newest = device->older;
}

static void order_append(struct weir_coord_rules *rules, struct device *device)
{
	uint32_t idx = (uint32_t)(device - rules->devices);

	device->older = rules->newest;
	device->newer = NONE;
	if (rules->newest != NONE)
		rules->devices[rules->newest].newer = idx;
	rules->newest = idx;
}

/* -------------------------------------------------------------------------------- nodes --- */

static struct node *node_find(struct weir_coord_rules *rules, const char *name)
{
	for (unsigned i = 0; i < rules->nodes_count; i++)
		if (strcmp(rules->nodes[i].node.id, name) == 0)
			return &rules->nodes[i];
	return NULL;
}

static struct node *node_add(struct weir_coord_rules *rules, const char *name)
{
	unsigned at = 0;

	if (rules->nodes_count == WEIR_NODES_MAX)
		return NULL;
	while (at < rules->nodes_count && strcmp(rules->nodes[at].node.id, name) < 0)
		at++;
	memmove(&rules->nodes[at + 1], &rules->nodes[at],
		(rules->nodes_count - at) * sizeof(rules->nodes[0]));
	rules->nodes_count++;
	memset(&rules->nodes[at], 0, sizeof(rules->nodes[at]));
	strcpy(rules->nodes[at].node.id, name);
	return &rules->nodes[at];
}

/* The asking node, or NULL where its incarnation is not the newest. */
static struct node *node_entitled(
	struct weir_coord_rules *rules, const struct weir_coord_request *request)
{
	struct node *node = node_find(rules, request->node);

	if (node == NULL || node->node.incarnation > request->incarnation)
		return NULL;
	node->node.incarnation = request->incarnation;
	return node;
}

static uint64_t lease_end(const struct weir_coord_request *request, uint64_t now_ns)
{
	return now_ns + request->lease_ms * WEIR_NS_PER_MS;
}

/* ------------------------------------------------------------------------------ requests --- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t rest_ms(uint64_t end_ns, uint64_t now_ns)
{
	return (uint32_t)((end_ns - now_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS);
}

static int node_register(struct weir_coord_rules *rules, const struct weir_coord_request *request,
	uint64_t now_ns, struct weir_coord_answer *answer)
{
	struct node *node = node_find(rules, request->node);
	uint64_t incarnation = larger(node == NULL ? rules->struck_off : node->node.incarnation,
				       request->seen_incarnation) +
			       1;

	if (node != NULL && node->lease_end_ns > now_ns) {
		answer->rest_ms = rest_ms(node->lease_end_ns, now_ns);
		return WEIR_EXISTS;
	}
	if (incarnation > WEIR_COORD_NUMBER_MAX)
		return WEIR_ERR;
	if (node == NULL)
		node = node_add(rules, request->node);
	if (node == NULL)
		return WEIR_BUSY;
	node->node = *request->self;
	memset(node->node.id, 0, sizeof(node->node.id));
	strcpy(node->node.id, request->node);
	node->node.incarnation = incarnation;
	node->lease_end_ns = lease_end(request, now_ns);
	answer->incarnation = incarnation;
	return 0;
}

static void answer_nodes(
	struct weir_coord_rules *rules, uint64_t now_ns, struct weir_coord_answer *answer)
{
	for (unsigned i = 0; i < rules->nodes_count; i++) {
		rules->answer_nodes[i] = rules->nodes[i].node;
		rules->answer_nodes[i].live = rules->nodes[i].lease_end_ns > now_ns;
	}
	answer->expiry_ms = rest_ms(weir_coord_rules_expiry(rules, now_ns), now_ns);
	answer->nodes = rules->answer_nodes;
	answer->nodes_count = rules->nodes_count;
}

static void answer_records(
	struct weir_coord_rules *rules, uint64_t since, struct weir_coord_answer *answer)
{
	uint32_t at = NONE;

	for (uint32_t i = rules->newest; i != NONE && rules->devices[i].record.revision > since;
		i = rules->devices[i].older)
		at = i;
	for (; at != NONE && answer->records_count < WEIR_COORD_RECORDS_MAX;
		at = rules->devices[at].newer)
		rules->answer_records[answer->records_count++] = rules->devices[at].record;
	answer->records = rules->answer_records;
	answer->more = at != NONE;
}

static int node_renew(struct weir_coord_rules *rules, const struct weir_coord_request *request,
	uint64_t now_ns, struct weir_coord_answer *answer)
{
	struct node *node = node_entitled(rules, request);

	if (node == NULL)
		return WEIR_FENCED;
	node->lease_end_ns = lease_end(request, now_ns);
	answer->revision = rules->revision;
	answer_nodes(rules, now_ns, answer);
	answer_records(rules, request->since, answer);
	return 0;
}

static void answer_record(struct weir_coord_rules *rules, const struct device *device,
	struct weir_coord_answer *answer)
{
	rules->answer_records[0] = device->record;
	answer->records = rules->answer_records;
	answer->records_count = 1;
}

static int record_store(struct weir_coord_rules *rules, const struct weir_record *record,
	struct device *device, uint64_t term, uint64_t revision, struct weir_coord_answer *answer)
{
	if (device == NULL)
		device = device_add(rules, record->device);
	else
		order_remove(rules, device);
	if (device == NULL)
		return WEIR_ERR;
	device->record = *record;
	device->record.term = term;
	device->record.revision = revision;
	order_append(rules, device);
	rules->revision = revision;
	answer_record(rules, device, answer);
	return 0;
}

static int record_change(struct weir_coord_rules *rules, const struct weir_coord_request *request,
	struct weir_coord_answer *answer)
{
	const struct weir_record *wanted = request->record;
	struct device *device = device_find(rules, wanted->device);
	const struct weir_record none = {0};
	const struct weir_record *stored = device == NULL ? &none : &device->record;
	uint64_t term =
		request->new_term ? larger(stored->term, request->seen_term) + 1 : stored->term;
	uint64_t revision = larger(rules->revision, request->seen_revision) + 1;

	if (node_entitled(rules, request) == NULL)
		return WEIR_FENCED;
	if (stored->revision != request->expected_revision ||
		(!request->new_term && (device == NULL || wanted->term != stored->term))) {
		if (device != NULL)
			answer_record(rules, device, answer);
		return WEIR_CONFLICT;
	}
	if (wanted->active > term || wanted->active < stored->active ||
		term > WEIR_COORD_NUMBER_MAX || revision > WEIR_COORD_NUMBER_MAX)
		return WEIR_ERR;
	return record_store(rules, wanted, device, term, revision, answer);
}

static int node_leave(struct weir_coord_rules *rules, const struct weir_coord_request *request)
{
	struct node *node = node_entitled(rules, request);

	if (node == NULL)
		return WEIR_FENCED;
	node->lease_end_ns = 0;
	return 0;
}

static int node_forget(struct weir_coord_rules *rules, const struct weir_coord_request *request,
	uint64_t now_ns, struct weir_coord_answer *answer)
{
	struct node *node = node_find(rules, request->forgotten);

	if (node_entitled(rules, request) == NULL)
		return WEIR_FENCED;
	if (node == NULL)
		return WEIR_NOTFOUND;
	if (node->lease_end_ns > now_ns) {
		answer->rest_ms = rest_ms(node->lease_end_ns, now_ns);
		return WEIR_EXISTS;
	}
	if (rules->revision != request->since)
		return WEIR_CONFLICT;
	rules->struck_off = larger(rules->struck_off, node->node.incarnation);
	rules->nodes_count--;
	memmove(node, node + 1, (size_t)(&rules->nodes[rules->nodes_count] - node) * sizeof(*node));
	return 0;
}

void weir_coord_rules_apply(struct weir_coord_rules *rules,
	const struct weir_coord_request *request, uint64_t now_ns, struct weir_coord_answer *answer)
{
	*answer = (struct weir_coord_answer){
		.kind = request->kind,
		.ticket = request->ticket,
		.err = WEIR_ERR,
		.run = rules->run,
	};
	if (weir_coord_request_check(request) != NULL)
		return;
	switch (request->kind) {
	case WEIR_COORD_REGISTER:
		answer->err = node_register(rules, request, now_ns, answer);
		break;
	case WEIR_COORD_RENEW:
		answer->err = node_renew(rules, request, now_ns, answer);
		break;
	case WEIR_COORD_CHANGE:
		answer->err = record_change(rules, request, answer);
		break;
	case WEIR_COORD_LEAVE:
		answer->err = node_leave(rules, request);
		break;
	case WEIR_COORD_FORGET:
		answer->err = node_forget(rules, request, now_ns, answer);
		break;
	}
}

uint64_t weir_coord_rules_expiry(const struct weir_coord_rules *rules, uint64_t now_ns)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < rules->nodes_count; i++)
		if (rules->nodes[i].lease_end_ns > now_ns && rules->nodes[i].lease_end_ns < first)
			first = rules->nodes[i].lease_end_ns;
	return first;
}

const struct weir_record *weir_coord_rules_record(
	const struct weir_coord_rules *rules, const char *device)
{
	const struct device *found = device_find(rules, device);

	return found == NULL ? NULL : &found->record;
}
