/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <xxhash.h>

#include "base/err.h"
#include "coord/redis/text.h"
#include "coord/request.h"

/* ---------------------------------------------------------------------------- arguments --- */

static void arg_whole(struct weir_coord_args *args, const char *text)
{
	weir_assert(args->count < WEIR_COORD_ARGS_MAX);
	args->arg[args->count] = text;
	args->len[args->count++] = strlen(text);
}

__attribute__((format(printf, 2, 3))) static void arg(
	struct weir_coord_args *args, const char *format, ...)
{
	char *at = args->bytes + args->used;
	size_t room = sizeof(args->bytes) - args->used;
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(at, room, format, list);
	va_end(list);
	weir_assert(len >= 0 && (size_t)len < room);
	args->used += (size_t)len + 1;
	arg_whole(args, at);
}

static void number_arg(struct weir_coord_args *args, uint64_t number)
{
	arg(args, "%" PRIu64, number);
}

static void self_arg(struct weir_coord_args *args, const struct weir_node *self)
{
	const uint8_t *mac = self->mac;
	struct in_addr ip = {.s_addr = htonl(self->ipv4)};
	char ipv4[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &ip, ipv4, sizeof(ipv4));
	arg(args, "%02x:%02x:%02x:%02x:%02x:%02x %s %u %u %u %u %s", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5], ipv4, self->udp_port, self->workers_count, self->buckets_count,
		self->protocol, self->socket);
}

static void backups_arg(struct weir_coord_args *args, const struct weir_record *record)
{
	char list[WEIR_BACKUPS_MAX * WEIR_NODE_ID_MAX] = "";
	size_t used = 0;

	for (unsigned i = 0; i < record->backups_count; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? " " : "",
			record->backups[i]);
	arg(args, "%s", list);
}

static void insync_arg(struct weir_coord_args *args, const struct weir_record *record)
{
	char list[WEIR_COPIES_MAX * (WEIR_NODE_ID_MAX + 24)] = "";
	size_t used = 0;

	for (unsigned i = 0; i < record->insync_count; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s@%" PRIu64,
			i > 0 ? " " : "", record->insync[i].node, record->insync[i].incarnation);
	arg(args, "%s", list);
}

static void register_args(struct weir_coord_args *args, const struct weir_coord_request *request)
{
	number_arg(args, request->seen_incarnation);
	number_arg(args, request->lease_ms);
	number_arg(args, WEIR_NODES_MAX);
	self_arg(args, request->self);
}

static void renew_args(struct weir_coord_args *args, const struct weir_coord_request *request)
{
	number_arg(args, request->since);
	number_arg(args, request->lease_ms);
	number_arg(args, WEIR_COORD_RECORDS_MAX);
}

static void change_args(struct weir_coord_args *args, const struct weir_coord_request *request)
{
	const struct weir_record *record = request->record;

	arg(args, "%s", record->device);
	number_arg(args, request->expected_revision);
	number_arg(args, request->seen_term);
	number_arg(args, request->seen_revision);
	number_arg(args, request->new_term);
	number_arg(args, WEIR_DEVICES_MAX);
	number_arg(args, record->term);
	number_arg(args, record->active);
	arg(args, "%s", record->master.node);
	number_arg(args, record->master.incarnation);
	backups_arg(args, record);
	insync_arg(args, record);
}

static void leave_args(struct weir_coord_args *args, const struct weir_coord_request *request)
{
}

static void forget_args(struct weir_coord_args *args, const struct weir_coord_request *request)
{
	arg(args, "%s", request->forgotten);
	number_arg(args, request->since);
}

static const struct {
	const struct weir_coord_script *script;
	void (*args)(struct weir_coord_args *args, const struct weir_coord_request *request);
} kinds[] = {
	[WEIR_COORD_REGISTER] = {&weir_coord_script_register, register_args},
	[WEIR_COORD_RENEW] = {&weir_coord_script_renew, renew_args},
	[WEIR_COORD_CHANGE] = {&weir_coord_script_change, change_args},
	[WEIR_COORD_LEAVE] = {&weir_coord_script_leave, leave_args},
	[WEIR_COORD_FORGET] = {&weir_coord_script_forget, forget_args},
};

void weir_coord_args_write(struct weir_coord_args *args, const char *cluster, uint64_t dataset,
	const struct weir_coord_request *request)
{
	args->script = kinds[request->kind].script;
	args->count = 0;
	args->used = 0;
	arg_whole(args, "EVALSHA");
	arg_whole(args, args->script->sha1);
	arg_whole(args, "1");
	arg(args, "weir:{%s}:nodes", cluster);
	arg(args, "%016" PRIx64, dataset);
	arg(args, "%s", request->node);
	number_arg(args, request->incarnation);
	kinds[request->kind].args(args, request);
}

void weir_coord_args_whole(struct weir_coord_args *args)
{
	args->arg[0] = "EVAL";
	args->len[0] = strlen("EVAL");
	args->arg[1] = args->script->text;
	args->len[1] = strlen(args->script->text);
}

/* ------------------------------------------------------------------------------ replies --- */

/* The string at `idx`; "" where there is none. */
static const char *string_at(const struct redisReply *reply, size_t idx)
{
	if (idx >= reply->elements || reply->element[idx]->type != REDIS_REPLY_STRING)
		return "";
	return reply->element[idx]->str;
}

static bool number_read(const char *text, uint64_t limit, uint64_t *number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*number = strtoull(text, &end, 10);
	return *end == '\0' && *number <= limit;
}

static bool name_read(const char *text, size_t len, char *name, size_t size)
{
	if (len == 0 || len >= size)
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	return weir_coord_name_check(name, size) == NULL;
}

/* "n1@3": the name may have an @ in it, the incarnation has none. */
static bool copy_read(const char *text, size_t len, struct weir_copy *copy)
{
	const char *at = memrchr(text, '@', len);
	char digits[24] = "";
	size_t digits_len;

	if (at == NULL)
		return false;
	digits_len = (size_t)(text + len - at - 1);
	if (digits_len >= sizeof(digits))
		return false;
	memcpy(digits, at + 1, digits_len);
	return name_read(text, (size_t)(at - text), copy->node, sizeof(copy->node)) &&
	       number_read(digits, WEIR_COORD_NUMBER_MAX, &copy->incarnation);
}

static bool backups_read(const char *text, struct weir_record *record)
{
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (record->backups_count == WEIR_BACKUPS_MAX ||
			!name_read(text, len, record->backups[record->backups_count++],
				WEIR_NODE_ID_MAX))
			return false;
		text += text[len] == ' ' ? len + 1 : len;
	}
	return true;
}

static bool insync_read(const char *text, struct weir_record *record)
{
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (record->insync_count == WEIR_COPIES_MAX ||
			!copy_read(text, len, &record->insync[record->insync_count++]))
			return false;
		text += text[len] == ' ' ? len + 1 : len;
	}
	return true;
}

#define RECORD_FIELDS 8

/* Eight strings from `idx` on. */
static bool record_read(const struct redisReply *reply, size_t idx, struct weir_record *record)
{
	const char *device = string_at(reply, idx);
	const char *master = string_at(reply, idx + 4);

	memset(record, 0, sizeof(*record));
	return name_read(device, strlen(device), record->device, sizeof(record->device)) &&
	       number_read(string_at(reply, idx + 1), WEIR_COORD_NUMBER_MAX, &record->term) &&
	       number_read(string_at(reply, idx + 2), WEIR_COORD_NUMBER_MAX, &record->active) &&
	       number_read(string_at(reply, idx + 3), WEIR_COORD_NUMBER_MAX, &record->revision) &&
	       (*master == '\0' || name_read(master, strlen(master), record->master.node,
					   sizeof(record->master.node))) &&
	       number_read(string_at(reply, idx + 5), WEIR_COORD_NUMBER_MAX,
		       &record->master.incarnation) &&
	       backups_read(string_at(reply, idx + 6), record) &&
	       insync_read(string_at(reply, idx + 7), record);
}

static void records_read(const struct redisReply *reply, struct weir_coord_room *room,
	struct weir_coord_answer *answer)
{
	answer->records = room->records;
	for (size_t i = 0; i + RECORD_FIELDS <= reply->elements &&
			   answer->records_count < WEIR_COORD_RECORDS_MAX;
		i += RECORD_FIELDS) {
		if (record_read(reply, i, &room->records[answer->records_count]))
			answer->records_count++;
		else
			snprintf(room->damage, sizeof(room->damage), "record of device '%s'",
				string_at(reply, i));
	}
}

/* "3 02:00:00:00:00:01 10.0.0.1 6640 2 1024 1 /run/weir/weir.sock" */
static bool entry_read(const char *text, struct weir_node *node)
{
	uint8_t *mac = node->mac;
	char ipv4[INET_ADDRSTRLEN];
	struct in_addr ip;
	int end = 0;

	if (sscanf(text, "%" SCNu64 " %hhx:%hhx:%hhx:%hhx:%hhx:%hhx %15s %hu %hhu %hu %hu%n",
		    &node->incarnation, &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], ipv4,
		    &node->udp_port, &node->workers_count, &node->buckets_count, &node->protocol,
		    &end) != 12 ||
		text[end] != ' ' || strlen(text + end + 1) >= sizeof(node->socket) ||
		inet_pton(AF_INET, ipv4, &ip) != 1)
		return false;
	node->ipv4 = ntohl(ip.s_addr);
	strcpy(node->socket, text + end + 1);
	return true;
}

static bool node_read(
	const struct redisReply *reply, size_t idx, struct weir_node *node, uint64_t *rest_ms)
{
	const char *name = string_at(reply, idx);

	memset(node, 0, sizeof(*node));
	if (!number_read(string_at(reply, idx + 1), UINT32_MAX, rest_ms))
		return false;
	node->live = *rest_ms != 0;
	return name_read(name, strlen(name), node->id, sizeof(node->id)) &&
	       entry_read(string_at(reply, idx + 2), node);
}

static void expiry_heed(struct weir_coord_answer *answer, uint64_t rest_ms)
{
	if (rest_ms != 0 && (answer->expiry_ms == 0 || rest_ms < answer->expiry_ms))
		answer->expiry_ms = (uint32_t)rest_ms;
}

static int node_compare(const void *a, const void *b)
{
	return strcmp(((const struct weir_node *)a)->id, ((const struct weir_node *)b)->id);
}

static void nodes_read(const struct redisReply *reply, struct weir_coord_room *room,
	struct weir_coord_answer *answer)
{
	uint64_t rest_ms;

	answer->nodes = room->nodes;
	for (size_t i = 0; i + 3 <= reply->elements && answer->nodes_count < WEIR_NODES_MAX;
		i += 3) {
		if (!node_read(reply, i, &room->nodes[answer->nodes_count], &rest_ms)) {
			snprintf(room->damage, sizeof(room->damage), "node '%s'",
				string_at(reply, i));
			continue;
		}
		answer->nodes_count++;
		expiry_heed(answer, rest_ms);
	}
	qsort(room->nodes, answer->nodes_count, sizeof(room->nodes[0]), node_compare);
}

/* The array at `idx`, or an empty one. */
static const struct redisReply *array_at(const struct redisReply *reply, size_t idx)
{
	static const struct redisReply empty = {.type = REDIS_REPLY_ARRAY};

	if (idx >= reply->elements || reply->element[idx]->type != REDIS_REPLY_ARRAY)
		return &empty;
	return reply->element[idx];
}

static bool rest_read(const struct redisReply *reply, struct weir_coord_answer *answer)
{
	uint64_t rest_ms;

	if (answer->err == 0)
		return number_read(
			string_at(reply, 2), WEIR_COORD_NUMBER_MAX, &answer->incarnation);
	if (!number_read(string_at(reply, 2), UINT32_MAX, &rest_ms))
		return false;
	answer->rest_ms = (uint32_t)rest_ms;
	return true;
}

static bool renew_read(const struct redisReply *reply, struct weir_coord_room *room,
	struct weir_coord_answer *answer)
{
	nodes_read(array_at(reply, 4), room, answer);
	records_read(array_at(reply, 5), room, answer);
	answer->more = strcmp(string_at(reply, 3), "1") == 0 && answer->records_count > 0;
	return number_read(string_at(reply, 2), WEIR_COORD_NUMBER_MAX, &answer->revision);
}

static bool details_read(const struct redisReply *reply, struct weir_coord_room *room,
	struct weir_coord_answer *answer)
{
	switch (answer->kind) {
	case WEIR_COORD_REGISTER:
		return (answer->err != 0 && answer->err != WEIR_EXISTS) || rest_read(reply, answer);
	case WEIR_COORD_RENEW:
		return answer->err != 0 || renew_read(reply, room, answer);
	case WEIR_COORD_CHANGE:
		records_read(array_at(reply, 2), room, answer);
		return answer->err != 0 || answer->records_count == 1;
	case WEIR_COORD_LEAVE:
		return true;
	case WEIR_COORD_FORGET:
		return answer->err != WEIR_EXISTS || rest_read(reply, answer);
	}
	return false;
}

void weir_coord_reply_read(const struct redisReply *reply, const char *run_id,
	struct weir_coord_room *room, struct weir_coord_answer *answer)
{
	const char *code = string_at(reply, 0);
	const char *dataset = string_at(reply, 1);

	room->damage[0] = '\0';
	answer->run =
		XXH3_64bits_withSeed(dataset, strlen(dataset), XXH3_64bits(run_id, strlen(run_id)));
	answer->err = weir_err_from_code(code, (unsigned)strlen(code));
	if (!details_read(reply, room, answer))
		answer->err = WEIR_ERR;
}
