/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "client.h"

/* ------------------------------------------------------------------------------- events --- */

static void on_answer(void *ctx, const struct weir_coord_answer *answer)
{
	struct client *client = ctx;

	assert_false(client->asking);
	client->answer = *answer;
	if (answer->nodes_count > 0)
		memcpy(client->nodes, answer->nodes, answer->nodes_count * sizeof(*answer->nodes));
	if (answer->records_count > 0)
		memcpy(client->records, answer->records,
			answer->records_count * sizeof(*answer->records));
	client->answer.nodes = client->nodes;
	client->answer.records = client->records;
	client->answers_count++;
}

static void on_hint(void *ctx)
{
	struct client *client = ctx;

	assert_false(client->asking);
	client->hints_count++;
}

static void on_reach(void *ctx, bool reachable, const char *sentence)
{
	struct client *client = ctx;

	assert_false(client->asking);
	client->reachable = reachable;
	client->reaches_count++;
	snprintf(client->sentence, sizeof(client->sentence), "%s", sentence);
}

const struct weir_coord_events client_events = {
	.answer = on_answer,
	.hint = on_hint,
	.reach = on_reach,
};

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
}

void client_init(struct client *client)
{
	const struct timeval tv = {.tv_usec = 20000};

	memset(client, 0, sizeof(*client));
	client->base = event_base_new();
	assert_non_null(client->base);
	client->tick = event_new(client->base, -1, EV_PERSIST, on_tick, NULL);
	event_add(client->tick, &tv);
}

void client_clean(struct client *client)
{
	if (client->coord != NULL)
		client->coord->driver->destroy(client->coord);
	event_free(client->tick);
	event_base_free(client->base);
}

/* ------------------------------------------------------------------------------ waiting --- */

static void turn(struct client *client)
{
	event_base_loop(client->base, EVLOOP_ONCE);
}

void client_send(struct client *client, struct weir_coord_request *request)
{
	request->ticket = ++client->ticket;
	client->asking = true;
	client->coord->driver->ask(client->coord, request);
	client->asking = false;
}

void client_wait_count(struct client *client, const unsigned *what, unsigned value)
{
	uint64_t deadline_ns = weir_clock_ns() + CLIENT_DEADLINE_NS;

	while (*what < value) {
		assert_true(weir_clock_ns() < deadline_ns);
		turn(client);
	}
}

void client_wait_bool(struct client *client, const bool *what, bool value)
{
	uint64_t deadline_ns = weir_clock_ns() + CLIENT_DEADLINE_NS;

	while (*what != value) {
		assert_true(weir_clock_ns() < deadline_ns);
		turn(client);
	}
}

void client_wait_sentence(struct client *client, const char *part)
{
	uint64_t deadline_ns = weir_clock_ns() + CLIENT_DEADLINE_NS;

	while (strstr(client->sentence, part) == NULL) {
		if (weir_clock_ns() > deadline_ns)
			assert_string_equal(client->sentence, part);
		turn(client);
	}
}

void client_run_ms(struct client *client, unsigned ms)
{
	uint64_t end_ns = weir_clock_ns() + ms * WEIR_NS_PER_MS;

	while (weir_clock_ns() < end_ns)
		turn(client);
}

void client_wait_answers(struct client *client, unsigned count)
{
	client_wait_count(client, &client->answers_count, count);
}

const struct weir_coord_answer *client_ask(
	struct client *client, struct weir_coord_request *request)
{
	client_send(client, request);
	client_wait_answers(client, client->answers_count + 1);
	assert_int_equal(client->answer.ticket, request->ticket);
	assert_int_equal(client->answer.kind, request->kind);
	return &client->answer;
}

/* ----------------------------------------------------------------------------- requests --- */

struct weir_node client_self(const char *id, uint16_t salt)
{
	struct weir_node self = {
		.mac = {0x02, 0xff, 0, 0x0a, (uint8_t)(salt >> 8), (uint8_t)salt},
		.ipv4 = 0xc0a80100u + salt,
		.udp_port = salt,
		.workers_count = (uint8_t)(1 + salt % WEIR_WORKERS_MAX),
		.buckets_count = WEIR_BUCKETS,
		.protocol = (uint16_t)(65535 - salt),
	};

	snprintf(self.id, sizeof(self.id), "%s", id);
	if (salt % 4 != 3)
		snprintf(self.socket, sizeof(self.socket), "/run/a weir/%s.sock", id);
	return self;
}

static bool same_self(const struct weir_node *a, const struct weir_node *b)
{
	return strcmp(a->id, b->id) == 0 && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
	       a->ipv4 == b->ipv4 && a->udp_port == b->udp_port &&
	       a->workers_count == b->workers_count && a->buckets_count == b->buckets_count &&
	       a->protocol == b->protocol && strcmp(a->socket, b->socket) == 0;
}

/* "n1@3" or "n1" */
static uint64_t copy_read(char *name, const char *text)
{
	const char *at = strchr(text, '@');
	size_t len = at == NULL ? strlen(text) : (size_t)(at - text);

	assert_true(len < WEIR_NODE_ID_MAX);
	memcpy(name, text, len);
	name[len] = '\0';
	return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

static void list_read(struct weir_record *record, bool insync, char *list)
{
	char *save = NULL;

	for (char *item = strtok_r(list, ",", &save); item != NULL;
		item = strtok_r(NULL, ",", &save)) {
		if (insync) {
			struct weir_copy *copy = &record->insync[record->insync_count++];

			copy->incarnation = copy_read(copy->node, item);
		} else {
			copy_read(record->backups[record->backups_count++], item);
		}
	}
}

static void option_read(struct client_request *to, char *option)
{
	struct weir_coord_request *request = &to->request;
	char *value = strchr(option, '=');
	uint64_t number;

	if (strcmp(option, "new") == 0) {
		request->new_term = true;
		return;
	}
	assert_non_null(value);
	*value++ = '\0';
	number = strtoull(value, NULL, 10);
	if (strcmp(option, "lease") == 0)
		request->lease_ms = (uint32_t)number;
	else if (strcmp(option, "seen") == 0)
		request->seen_incarnation = number;
	else if (strcmp(option, "salt") == 0)
		to->self = client_self(to->node, (uint16_t)number);
	else if (strcmp(option, "since") == 0)
		request->since = number;
	else if (strcmp(option, "expect") == 0)
		request->expected_revision = number;
	else if (strcmp(option, "seen_term") == 0)
		request->seen_term = number;
	else if (strcmp(option, "seen_revision") == 0)
		request->seen_revision = number;
	else if (strcmp(option, "term") == 0)
		to->record.term = number;
	else if (strcmp(option, "active") == 0)
		to->record.active = number;
	else if (strcmp(option, "master") == 0)
		to->record.master.incarnation = copy_read(to->record.master.node, value);
	else if (strcmp(option, "backups") == 0)
		list_read(&to->record, false, value);
	else if (strcmp(option, "insync") == 0)
		list_read(&to->record, true, value);
	else
		fail_msg("no such option: %s", option);
}

static enum weir_coord_kind verb_read(const char *verb)
{
	static const char *const verbs[] = {
		[WEIR_COORD_REGISTER] = "register",
		[WEIR_COORD_RENEW] = "renew",
		[WEIR_COORD_CHANGE] = "change",
		[WEIR_COORD_LEAVE] = "leave",
		[WEIR_COORD_FORGET] = "forget",
	};

	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i], verb) == 0)
			return (enum weir_coord_kind)i;
	fail_msg("no such verb: %s", verb);
	return WEIR_COORD_LEAVE;
}

void client_request_read(struct client_request *to, const char *text)
{
	struct weir_coord_request *request = &to->request;
	char words[2048], *save = NULL;

	memset(to, 0, sizeof(*to));
	assert_true(strlen(text) < sizeof(words));
	strcpy(words, text);
	request->kind = verb_read(strtok_r(words, " ", &save));
	request->incarnation = copy_read(to->node, strtok_r(NULL, " ", &save));
	request->node = to->node;
	request->lease_ms = CLIENT_LEASE_MS;
	if (request->kind == WEIR_COORD_REGISTER) {
		to->self = client_self(to->node, 0);
		request->self = &to->self;
	}
	if (request->kind == WEIR_COORD_CHANGE) {
		strcpy(to->record.device, strtok_r(NULL, " ", &save));
		request->record = &to->record;
	}
	if (request->kind == WEIR_COORD_FORGET) {
		strcpy(to->forgotten, strtok_r(NULL, " ", &save));
		request->forgotten = to->forgotten;
	}
	for (char *word = strtok_r(NULL, " ", &save); word != NULL;
		word = strtok_r(NULL, " ", &save))
		option_read(to, word);
}

/* ------------------------------------------------------------------------------ answers --- */

struct text {
	char *at;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(text->at, text->room, format, list);
	va_end(list);
	assert_true(len >= 0 && (size_t)len < text->room);
	text->at += len;
	text->room -= (size_t)len;
}

static void put_copy(struct text *text, const struct weir_copy *copy)
{
	if (copy->node[0] != '\0')
		put(text, "%s@%" PRIu64, copy->node, copy->incarnation);
}

static void put_record(struct text *text, const struct weir_record *record)
{
	put(text, "%s:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":", record->device, record->term,
		record->active, record->revision);
	put_copy(text, &record->master);
	put(text, ":");
	for (unsigned i = 0; i < record->backups_count; i++)
		put(text, "%s%s", i > 0 ? "," : "", record->backups[i]);
	put(text, ":");
	for (unsigned i = 0; i < record->insync_count; i++) {
		put(text, "%s", i > 0 ? "," : "");
		put_copy(text, &record->insync[i]);
	}
}

static void put_node(struct text *text, const struct weir_node *node)
{
	struct weir_node self = client_self(node->id, node->udp_port);

	put(text, "%s@%" PRIu64, node->id, node->incarnation);
	if (node->udp_port != 0)
		put(text, "/%u", node->udp_port);
	put(text, "%s%s", same_self(node, &self) ? "" : "!", node->live ? "" : "-");
}

static void put_renewed(struct text *text, const struct weir_coord_answer *answer)
{
	put(text, " revision=%" PRIu64 " nodes=", answer->revision);
	for (unsigned i = 0; i < answer->nodes_count; i++) {
		put(text, "%s", i > 0 ? "," : "");
		put_node(text, &answer->nodes[i]);
	}
	put(text, " records=");
}

void client_answer_print(const struct client *client, char *buffer, size_t size)
{
	const struct weir_coord_answer *answer = &client->answer;
	struct text text = {buffer, size};

	put(&text, "%s", weir_err_code(answer->err));
	if (answer->kind == WEIR_COORD_REGISTER && answer->err == 0)
		put(&text, " incarnation=%" PRIu64, answer->incarnation);
	if (answer->kind == WEIR_COORD_RENEW && answer->err == 0)
		put_renewed(&text, answer);
	else if (answer->records_count > 0)
		put(&text, " ");
	for (unsigned i = 0; i < answer->records_count; i++) {
		put(&text, "%s", i > 0 ? ";" : "");
		put_record(&text, &answer->records[i]);
	}
	if (answer->more)
		put(&text, " more");
	assert_int_equal(answer->err == WEIR_EXISTS, answer->rest_ms != 0);
	assert_true(answer->rest_ms <= CLIENT_LEASE_MS);
}

void client_say(struct client *client, const char *request, char *answer, size_t size)
{
	struct client_request read;

	client_request_read(&read, request);
	client_ask(client, &read.request);
	client_answer_print(client, answer, size);
}

void client_expect(struct client *client, const char *request, const char *expected)
{
	static char answer[CLIENT_TEXT_MAX];

	client_say(client, request, answer, sizeof(answer));
	if (strcmp(answer, expected) != 0)
		print_error("asked: %s (%s)\n", request, client->sentence);
	assert_string_equal(answer, expected);
}
