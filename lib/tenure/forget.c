/* SPDX-License-Identifier: BSD-3-Clause */
#include "tenure/internal.h"

/* Whether a record, a master's work or an operator names the node of this name and number. */
static bool is_named_by(const struct device *device, const char *node, unsigned peer)
{
	const struct request *request;
	struct weir_record record;

	for (unsigned i = 0; i < device->mates_count; i++)
		if (device->mates[i].peer == peer)
			return true;
	STAILQ_FOREACH (request, &device->requests, link)
		if (!request->add && request->peer == peer)
			return true;
	weir_record_of(device->record, &record);
	return strcmp(record.master.node, node) == 0 ||
	       weir_record_backup_idx(&record, node) >= 0 ||
	       weir_record_insync_idx(&record, node) >= 0;
}

static bool is_named(const struct weir_tenure *tenure, const char *node, unsigned peer)
{
	for (unsigned i = 0; i < HASH_SLOTS; i++)
		for (const struct device *device = tenure->slots[i]; device != NULL;
			device = device->chain)
			if (is_named_by(device, node, peer))
				return true;
	return false;
}

unsigned weir_tenure_peer_free(const struct weir_tenure *tenure)
{
	/* A change on its way may yet name any node. */
	for (unsigned peer = 1; tenure->changes_count == 0 && peer < tenure->nodes_count; peer++) {
		const struct weir_node *node = &tenure->nodes[peer];

		if (node->forgotten && !node->live && !is_named(tenure, node->id, peer))
			return peer;
	}
	return WEIR_NO_PEER;
}

void weir_tenure_forget_fail(struct weir_tenure *tenure, int err)
{
	if (!tenure->forgetting.used)
		return;
	tenure->forgetting.used = false;
	weir_tenure_reply(tenure, tenure->forgetting.ticket, err, NULL);
}

/* All that this node knows of is in the record: the coordinator checks that there is no more. */
static void ask(struct weir_tenure *tenure)
{
	struct weir_coord_request request = {.kind = WEIR_COORD_FORGET,
		.forgotten = tenure->forgetting.node,
		.since = tenure->since};

	tenure->forgetting.asked = true;
	weir_tenure_ask(tenure, &request);
	tenure->forgetting.request_ticket = request.ticket;
}

void weir_tenure_forget_go(struct weir_tenure *tenure)
{
	const char *node = tenure->forgetting.node;
	unsigned peer = weir_tenure_peer_find(tenure, node);

	if (!tenure->forgetting.used || tenure->forgetting.asked)
		return;
	if (peer != WEIR_NO_PEER && tenure->nodes[peer].live)
		weir_tenure_forget_fail(tenure, WEIR_EXISTS);
	else if (is_named(tenure, node, peer))
		weir_tenure_forget_fail(tenure, WEIR_CONFLICT);
	else
		ask(tenure);
}

void weir_tenure_forgot(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	if (!tenure->forgetting.used || tenure->forgetting.request_ticket != answer->ticket)
		return;
	tenure->forgetting.asked = false;
	if (answer->err == 0)
		weir_log(WEIR_ROOM_TENURE, WEIR_LOG_NOTICE, "node %s is forgotten",
			tenure->forgetting.node);
	if (answer->err != WEIR_CONFLICT)
		weir_tenure_forget_fail(tenure, answer->err);
	else if (++tenure->forgetting.tries == WEIR_TENURE_TRIES_MAX)
		weir_tenure_forget_fail(tenure, WEIR_BUSY);
	tenure->renewal.again = true;
	tenure->renewal.due_ns = tenure->now_ns;
}

void weir_tenure_node_forget(
	struct weir_tenure *tenure, uint64_t ticket, const char *node, uint64_t now_ns)
{
	int err = 0;

	tenure->now_ns = now_ns;
	if (tenure->state != MEMBER_YES || !tenure->joined)
		err = WEIR_UNREACHABLE;
	else if (node[0] == '\0' || strlen(node) >= sizeof(tenure->forgetting.node))
		err = WEIR_NOTFOUND;
	else if (tenure->forgetting.used)
		err = WEIR_BUSY;
	if (err != 0) {
		weir_tenure_reply(tenure, ticket, err, NULL);
		return;
	}
	memset(&tenure->forgetting, 0, sizeof(tenure->forgetting));
	tenure->forgetting.used = true;
	tenure->forgetting.ticket = ticket;
	strcpy(tenure->forgetting.node, node);
	weir_tenure_hint(tenure, now_ns); /* what is known is to be of now */
}
