/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands about devices, masters, roles and nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/command.h"
#include "base/err.h"
#include "store/store.h"

#define LIST_COUNT_DEFAULT 100
#define LIST_COUNT_MAX     10000

/* Stands before the last name seen in a cursor of DEVICE.LIST, since a device may be named "0". */
#define CURSOR_MARK '>'

static void pair_text(struct weir_reply *reply, const char *name, const char *value)
{
	weir_reply_text(reply, name);
	weir_reply_text(reply, value);
}

static void pair_number(struct weir_reply *reply, const char *name, uint64_t value)
{
	weir_reply_text(reply, name);
	weir_reply_number(reply, value);
}

static void pair_copies(struct weir_reply *reply, const struct weir_record *record)
{
	weir_reply_text(reply, "backups");
	weir_reply_array(reply, record->backups_count);
	for (unsigned i = 0; i < record->backups_count; i++)
		weir_reply_text(reply, record->backups[i]);
	weir_reply_text(reply, "insync");
	weir_reply_array(reply, record->insync_count);
	for (unsigned i = 0; i < record->insync_count; i++)
		weir_reply_text(reply, record->insync[i].node);
}

/* -------------------------------------------------------------------- DEVICE.LIST, INFO --- */

struct list {
	struct weir_reply *build;
	const struct weir_word *match; /**< NULL: all */
	char after[WEIR_DEVICE_ID_MAX + 1];
	char last[WEIR_DEVICE_ID_MAX];
	uint64_t most, count;
	bool more;
};

static bool list_options(const struct weir_words *words, struct list *list)
{
	for (unsigned at = 1; at < words->count; at += 2) {
		const struct weir_word *name = &words->word[at], *value = name + 1;

		if (at + 1 == words->count)
			return false;
		if (weir_word_is(name, "MATCH"))
			list->match = value;
		else if (weir_word_is(name, "CURSOR") && weir_word_is(value, "0"))
			list->after[0] = '\0';
		else if (weir_word_is(name, "CURSOR") &&
			 weir_word_copy(value, list->after, sizeof(list->after)) &&
			 list->after[0] == CURSOR_MARK)
			continue;
		else if (!weir_word_is(name, "COUNT") ||
			 !weir_word_number(value, LIST_COUNT_MAX, &list->most) || list->most == 0)
			return false;
	}
	return true;
}

static bool list_visit(void *ctx, const struct weir_device *device)
{
	const char *name = weir_device_name(device);
	struct list *list = ctx;

	if (list->after[0] == CURSOR_MARK && strcmp(name, list->after + 1) <= 0)
		return true;
	if (list->match != NULL &&
		!weir_glob_match(list->match->at, list->match->len, name, strlen(name)))
		return true;
	if (list->count == list->most) {
		list->more = true;
		return false;
	}
	weir_reply_text(list->build, name);
	snprintf(list->last, sizeof(list->last), "%s", name);
	list->count++;
	return true;
}

WEIR_RUN(device_list)
{
	struct list list = {.build = &call->gateway->build, .most = LIST_COUNT_DEFAULT};

	if (!list_options(call->words, &list))
		return weir_call_syntax(call);
	weir_reply_clear(list.build);
	weir_store_devices(call->store, list_visit, &list);
	weir_reply_array(call->reply, 2);
	if (list.more)
		weir_reply_format(call->reply, "%c%s", CURSOR_MARK, list.last);
	else
		weir_reply_text(call->reply, "0");
	weir_reply_array(call->reply, (unsigned)list.count);
	weir_reply_raw(call->reply, list.build->bytes, weir_reply_left(list.build));
	call->reply->bad |= list.build->bad;
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(device_info)
{
	const struct weir_device *device = weir_call_device(call);
	struct weir_reply *reply = call->reply;
	struct weir_device_status status;

	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	weir_device_status(call->store, device, &status);
	weir_reply_map(reply, 11);
	pair_text(reply, "device", weir_device_name(device));
	pair_text(reply, "role", weir_role_name(status.role));
	pair_number(reply, "term", status.term);
	pair_number(reply, "active", status.active);
	pair_text(reply, "master", status.record.master.node);
	pair_copies(reply, &status.record);
	pair_number(reply, "flows", status.flows);
	weir_reply_text(reply, "content");
	weir_reply_format(reply, "0x%016llx", (unsigned long long)status.content);
	pair_number(reply, "revision", status.revision);
	pair_number(reply, "open", status.open);
	return WEIR_CALL_ANSWERED;
}

/* ----------------------------------------------------------------------------- MASTER.* --- */

static void master_put(
	struct weir_reply *reply, const struct weir_store *store, const struct weir_device *device)
{
	struct weir_device_status status;

	weir_device_status(store, device, &status);
	weir_reply_map(reply, 7);
	pair_text(reply, "device", weir_device_name(device));
	pair_text(reply, "master", status.record.master.node);
	pair_text(reply, "socket", status.master_socket);
	pair_number(reply, "term", status.term);
	pair_number(reply, "active", status.active);
	pair_copies(reply, &status.record);
}

WEIR_RUN(master_get)
{
	const struct weir_device *device = weir_call_device(call);

	if (device != NULL)
		master_put(call->reply, call->store, device);
	return WEIR_CALL_ANSWERED;
}

struct masters {
	const struct weir_call *call;
	unsigned count;
};

static bool masters_visit(void *ctx, const struct weir_device *device)
{
	struct masters *masters = ctx;

	master_put(&masters->call->gateway->build, masters->call->store, device);
	masters->count++;
	return true;
}

WEIR_RUN(master_list)
{
	struct weir_reply *build = &call->gateway->build;
	struct masters masters = {call, 0};

	weir_reply_clear(build);
	build->protocol = call->reply->protocol;
	weir_store_devices(call->store, masters_visit, &masters);
	weir_reply_array(call->reply, masters.count);
	weir_reply_raw(call->reply, build->bytes, weir_reply_left(build));
	call->reply->bad |= build->bad;
	return WEIR_CALL_ANSWERED;
}

/* -------------------------------------------------------------- requests to the control --- */

static enum weir_call_result request_run(
	const struct weir_call *call, enum weir_request_kind kind, enum weir_role role)
{
	const struct weir_words *words = call->words;
	struct weir_request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		return weir_call_error(call, WEIR_BUSY);
	request->kind = kind;
	request->role = role;
	if (words->word[1].len > 0 &&
		weir_word_copy(&words->word[1], request->device, sizeof(request->device)) &&
		(words->count < 3 ||
			weir_word_copy(&words->word[2], request->node, sizeof(request->node)))) {
		weir_conn_request(call->conn, request);
		return WEIR_CALL_TAKEN;
	}
	free(request);
	weir_reply_error(call->reply, WEIR_TOOBIG,
		"a device's name has 1 to %d bytes, a node's at most %d, and no NUL",
		WEIR_DEVICE_ID_MAX - 1, WEIR_NODE_ID_MAX - 1);
	return WEIR_CALL_ANSWERED;
}

/* Names are printed in lines, in JSON and in logs, and stand in keys. */
static bool name_plain(const struct weir_word *word)
{
	for (size_t i = 0; i < word->len; i++)
		if ((unsigned char)word->at[i] <= ' ' || (unsigned char)word->at[i] >= 0x7f)
			return false;
	return true;
}

WEIR_RUN(device_add)
{
	if (!name_plain(&call->words->word[1])) {
		weir_reply_error(call->reply, WEIR_ERR,
			"a device's name is made of printable ASCII characters other than blanks");
		return WEIR_CALL_ANSWERED;
	}
	return request_run(call, WEIR_REQUEST_DEVICE_ADD, WEIR_ROLE_NONE);
}

WEIR_RUN(master_set)
{
	return request_run(call, WEIR_REQUEST_MASTER_SET, WEIR_ROLE_MASTER);
}

WEIR_RUN(role_set)
{
	const struct weir_word *word = &call->words->word[3];

	if (weir_word_is(word, "master"))
		return request_run(call, WEIR_REQUEST_ROLE_SET, WEIR_ROLE_MASTER);
	if (weir_word_is(word, "standby"))
		return request_run(call, WEIR_REQUEST_ROLE_SET, WEIR_ROLE_BACKUP);
	if (weir_word_is(word, "none"))
		return request_run(call, WEIR_REQUEST_ROLE_SET, WEIR_ROLE_NONE);
	return weir_call_syntax(call);
}

/* ------------------------------------------------------------------------------- NODE.* --- */

WEIR_RUN(node_forget)
{
	const struct weir_word *node = &call->words->word[1];
	struct weir_request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		return weir_call_error(call, WEIR_BUSY);
	request->kind = WEIR_REQUEST_NODE_FORGET;
	if (node->len > 0 && weir_word_copy(node, request->node, sizeof(request->node))) {
		weir_conn_request(call->conn, request);
		return WEIR_CALL_TAKEN;
	}
	free(request);
	return weir_call_syntax(call);
}

WEIR_RUN(node_list)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(call->store, nodes, WEIR_NODES_MAX);
	struct weir_reply *reply = call->reply;

	weir_reply_array(reply, count);
	for (unsigned i = 0; i < count; i++) {
		const struct weir_node *node = &nodes[i];

		weir_reply_map(reply, 7);
		pair_text(reply, "node", node->id);
		pair_number(reply, "live", node->live);
		pair_number(reply, "incarnation", node->incarnation);
		pair_text(reply, "socket", node->socket);
		weir_reply_text(reply, "address");
		weir_reply_format(reply, "%u.%u.%u.%u:%u", node->ipv4 >> 24, node->ipv4 >> 16 & 255,
			node->ipv4 >> 8 & 255, node->ipv4 & 255, node->udp_port);
		pair_number(reply, "workers", node->workers_count);
		pair_number(reply, "protocol", node->protocol);
	}
	return WEIR_CALL_ANSWERED;
}
