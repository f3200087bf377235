/* SPDX-License-Identifier: BSD-3-Clause */
/* The Redis driver where answers count only once replicas have them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "client.h"
#include "coord/redis/redis.h"
#include "server.h"

#define TIMEOUT_MS 800
#define WAIT_MS    600 /* three quarters of it */
#define REPLICAS   2

/* A Redis with replicas; a client that waits for one of them, and one that waits for none. */
struct room {
	struct server primary;
	struct server replicas[REPLICAS];
	struct weir_coord_redis_conf conf;
	struct client client;
	struct client careless;
};

static unsigned logged;

static void log_count(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	logged++;
}

static struct client *client_open(struct room *room, struct client *client, unsigned min_replicas)
{
	char wrong[128];

	room->conf.min_replicas = min_replicas;
	client_init(client);
	client->coord = weir_coord_redis_create(
		&room->conf, client->base, &client_events, client, wrong, sizeof(wrong));
	assert_non_null(client->coord);
	return client;
}

static struct client *client_open_reached(
	struct room *room, struct client *client, unsigned min_replicas)
{
	client_open(room, client, min_replicas);
	client_wait_bool(client, &client->reachable, true);
	return client;
}

static int alone_setup(void **state)
{
	struct room *room = test_calloc(1, sizeof(*room));

	logged = 0;
	server_prepare(&room->primary);
	for (unsigned i = 0; i < REPLICAS; i++)
		server_prepare(&room->replicas[i]);
	room->primary.port = server_free_port();
	server_start(&room->primary);
	room->conf = (struct weir_coord_redis_conf){
		.address = room->primary.socket, .cluster = "test", .timeout_ms = TIMEOUT_MS};
	*state = room;
	return 0;
}

static int replica_setup(void **state)
{
	struct room *room;

	alone_setup(state);
	room = *state;
	server_start_replica(&room->replicas[0], &room->primary);
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;

	if (room->client.base != NULL)
		client_clean(&room->client);
	if (room->careless.base != NULL)
		client_clean(&room->careless);
	for (unsigned i = 0; i < REPLICAS; i++)
		server_clean(&room->replicas[i]);
	server_clean(&room->primary);
	test_free(room);
	return 0;
}

static unsigned calls_of(struct server *server, const char *command)
{
	redisReply *reply = server_command(server, "INFO commandstats");
	char name[64];
	const char *at;
	unsigned calls = 0;

	snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
	at = strstr(reply->str, name);
	if (at != NULL)
		calls = (unsigned)strtoul(at + strlen(name), NULL, 10);
	freeReplyObject(reply);
	return calls;
}

static void assert_at_replica(struct room *room, const char *command, const char *value)
{
	redisReply *reply = server_command(&room->replicas[0], command);

	assert_int_equal(reply->type, REDIS_REPLY_STRING);
	assert_string_equal(reply->str, value);
	freeReplyObject(reply);
}

/* Asks while the replica stands still. */
static void expect_unreachable(struct client *client, const char *request)
{
	uint64_t begin_ns = weir_clock_ns(), took_ms;

	client_expect(client, request, "UNREACHABLE");
	took_ms = (weir_clock_ns() - begin_ns) / WEIR_NS_PER_MS;
	assert_in_range(took_ms, WAIT_MS - 10, TIMEOUT_MS + 1000);
	assert_false(client->reachable);
	assert_non_null(strstr(
		client->sentence, ": 0 of 1 replicas have confirmed within 600 ms; trying again"));
}

static void resume_and_reach(struct room *room)
{
	server_signal(&room->replicas[0], SIGCONT);
	client_wait_bool(&room->client, &room->client.reachable, true);
}

/* ------------------------------------------------------------------------- what is promised --- */

static void what_is_answered_is_at_the_replica_already(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);

	client_expect(client, "register n1", "OK incarnation=1");
	assert_at_replica(room, "HGET weir:{test}:node:n1 incarnation", "1");
	for (unsigned i = 1; i <= 200; i++) {
		char request[96], answer[64], revision[16];

		snprintf(request, sizeof(request), "change n1@1 d1 expect=%u new master=n1@1",
			i - 1);
		snprintf(answer, sizeof(answer), "OK d1:%u:0:%u:n1@1::", i, i);
		snprintf(revision, sizeof(revision), "%u", i);
		client_expect(client, request, answer);
		assert_at_replica(room, "HGET weir:{test}:device:d1 revision", revision);
	}
	client_expect(
		client, "renew n1@1", "OK revision=200 nodes=n1@1 records=d1:200:0:200:n1@1::");
	client_expect(client, "register n1", "EXISTS");
	client_expect(client, "renew n1@0", "FENCED");
	client_expect(
		client, "change n1@1 d1 expect=7 new master=n1@1", "CONFLICT d1:200:0:200:n1@1::");
	client_expect(client, "leave n1@1", "OK");
	assert_int_equal(logged, 0);
}

static void what_changes_nothing_waits_for_what_it_has_read(void **state)
{
	static const char *const requests[] = {"renew n1@1", "register n2", "renew n2@0",
		"change n1@1 d1 expect=7 new master=n1@1"};
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	struct client *careless = client_open_reached(room, &room->careless, 0);
	char request[96];

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "register n2", "OK incarnation=1");
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		server_signal(&room->replicas[0], SIGSTOP);
		snprintf(request, sizeof(request), "change n1@1 d%u new master=n1@1", i);
		client_say(careless, request, (char[CLIENT_TEXT_MAX]){0}, CLIENT_TEXT_MAX);
		assert_int_equal(careless->answer.err, 0);
		expect_unreachable(client, requests[i]);
		resume_and_reach(room);
	}
	client_expect(client, requests[3], "CONFLICT d1:1:0:2:n1@1::");
}

static void without_replicas_to_wait_for_a_stopped_one_changes_nothing(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 0);
	unsigned waits = calls_of(&room->primary, "wait");
	uint64_t begin_ns = weir_clock_ns();

	server_signal(&room->replicas[0], SIGSTOP);
	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	client_expect(client, "renew n1@1", "OK revision=1 nodes=n1@1 records=d1:1:0:1:n1@1::");
	assert_true(weir_clock_ns() - begin_ns < WAIT_MS * WEIR_NS_PER_MS);
	server_signal(&room->replicas[0], SIGCONT);
	assert_int_equal(calls_of(&room->primary, "wait"), waits);
}

/* ---------------------------------------------------------------------- replicas that fail --- */

static void with_the_replica_stopped_all_is_unreachable_in_time_and_then_works_again(void **state)
{
	static const char *const requests[] = {
		"renew n1@1", "change n1@1 d1 new master=n1@1", "register n2", "leave n3@1"};
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "register n3", "OK incarnation=1");
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		server_signal(&room->replicas[0], SIGSTOP);
		expect_unreachable(client, requests[i]);
		client_expect(client, requests[i], "UNREACHABLE"); /* at once */
		resume_and_reach(room);
	}
	client_expect(client, "register n2", "EXISTS"); /* it had been carried out */
	client_expect(client, "renew n1@1",
		"OK revision=1 nodes=n1@1,n2@1,n3@1- records=d1:1:0:1:n1@1::");
	client_run_ms(client, 50);
	assert_int_equal(client->answers_count, 4 + 2 * 4); /* no late one */
}

static void requests_behind_one_that_waits_are_answered_in_time_too(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	uint64_t begin_ns = weir_clock_ns();
	struct client_request renew;

	client_expect(client, "register n1", "OK incarnation=1");
	client_request_read(&renew, "renew n1@1");
	server_signal(&room->replicas[0], SIGSTOP);
	for (unsigned i = 0; i < 20; i++) {
		client_send(client, &renew.request);
		client_send(client, &renew.request);
		client_run_ms(client, 10);
	}
	client_wait_answers(client, 41);
	assert_true(weir_clock_ns() - begin_ns < (TIMEOUT_MS + 1000) * WEIR_NS_PER_MS);
	assert_int_equal(client->answer.err, WEIR_UNREACHABLE);
	resume_and_reach(room);
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
	client_run_ms(client, 50);
	assert_int_equal(client->answers_count, 42);
}

static void without_a_replica_it_does_not_count_as_connected(void **state)
{
	struct room *room = *state;
	struct client *careless = client_open_reached(room, &room->careless, 0);
	struct client *client;
	redisReply *reply;

	client_expect(careless, "register n2", "OK incarnation=1");
	client = client_open(room, &room->client, 1);
	client_wait_sentence(
		client, ": 0 of 1 replicas have confirmed within 600 ms; trying again");
	for (unsigned i = 0; i < 20; i++) {
		client_expect(client, "register n1", "UNREACHABLE");
		client_run_ms(client, 40);
	}
	assert_false(client->reachable);
	assert_int_equal(client->reaches_count, 1); /* said once */
	reply = server_command(&room->primary, "EXISTS weir:{test}:node:n1");
	assert_int_equal(reply->integer, 0); /* nor is anything carried out */
	freeReplyObject(reply);
	server_start_replica(&room->replicas[0], &room->primary);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
}

static void one_of_two_is_not_enough_where_two_are_asked_for(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_start_replica(&room->replicas[1], &room->primary);
	client = client_open_reached(room, &room->client, 2);
	client_expect(client, "register n1", "OK incarnation=1");
	server_kill(&room->replicas[1]);
	client_expect(client, "renew n1@1", "UNREACHABLE");
	client_wait_sentence(
		client, ": 1 of 2 replicas have confirmed within 600 ms; trying again");
}

static void a_primary_that_becomes_a_replica_while_it_waits_is_given_up(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	struct client_request renew;

	client_expect(client, "register n1", "OK incarnation=1");
	client_request_read(&renew, "renew n1@1");
	server_signal(&room->replicas[0], SIGSTOP);
	client_send(client, &renew.request);
	client_run_ms(client, 50);
	assert_int_equal(client->answers_count, 1);
	server_do(&room->primary, "REPLICAOF 127.0.0.1 1");
	client_wait_answers(client, 2);
	assert_int_equal(client->answer.err, WEIR_UNREACHABLE);
	client_wait_sentence(client, ": it is a replica; trying again");
}

static void what_is_held_back_is_unreachable_where_the_connection_ends(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	struct client_request renew;

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
	client_request_read(&renew, "renew n1@1");
	server_signal(&room->replicas[0], SIGSTOP);
	client_send(client, &renew.request);
	client_run_ms(client, 50);
	assert_int_equal(client->answers_count, 2);
	server_kill(&room->primary);
	client_wait_answers(client, 3);
	assert_int_equal(client->answer.err, WEIR_UNREACHABLE);
	server_signal(&room->replicas[0], SIGCONT);
}

static void without_the_right_to_wait_it_says_so(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_do(&room->primary, "ACL SETUSER weir on >p ~* &* +@all -wait");
	room->conf.user = "weir";
	room->conf.password = "p";
	client = client_open(room, &room->client, 1);
	client_wait_sentence(client, ": refused: NOPERM ");
	server_do(&room->primary, "ACL SETUSER weir +wait");
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
}

/* ------------------------------------------------------------------- the order of the pipe --- */

static void a_script_that_is_sent_again_waits_again(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);

	for (unsigned i = 1; i < 4; i++) {
		char request[96], answer[64];

		server_do(&room->primary, "SCRIPT FLUSH");
		snprintf(request, sizeof(request), "register n%u", i);
		client_expect(client, request, "OK incarnation=1");
		snprintf(request, sizeof(request), "change n1@1 d%u new master=n1@1", i);
		snprintf(answer, sizeof(answer), "OK d%u:1:0:%u:n1@1::", i, i);
		server_do(&room->primary, "SCRIPT FLUSH");
		client_expect(client, request, answer);
	}
	server_do(&room->primary, "SCRIPT FLUSH");
	server_signal(&room->replicas[0], SIGSTOP);
	expect_unreachable(client, "change n1@1 d4 new master=n1@1");
	resume_and_reach(room);
	assert_int_equal(logged, 0);
}

static void requests_of_one_turn_share_a_wait_and_are_answered_in_order(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	struct client_request change;
	unsigned waits;
	char text[64];

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "change n1@1 d0 new master=n1@1", "OK d0:1:0:1:n1@1::");
	waits = calls_of(&room->primary, "wait");
	for (unsigned i = 1; i <= 500; i++) {
		snprintf(text, sizeof(text), "change n1@1 d%u new master=n1@1", i);
		client_request_read(&change, text);
		client_send(client, &change.request);
	}
	client_wait_answers(client, 502);
	assert_int_equal(client->answer.ticket, 502);
	assert_int_equal(client->answer.records_count, 1);
	assert_string_equal(client->answer.records[0].device, "d500");
	assert_int_equal(client->answer.records[0].revision, 501);
	assert_int_equal(calls_of(&room->primary, "wait") - waits, 1);
}

static void a_driver_may_be_destroyed_while_answers_are_held_back(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	struct client_request request;

	client_expect(client, "register n1", "OK incarnation=1");
	client_request_read(&request, "change n1@1 d1 new master=n1@1");
	client_send(client, &request.request);
	client_wait_answers(client, 2);
	server_signal(&room->replicas[0], SIGSTOP);
	client_request_read(&request, "renew n1@1");
	client_send(client, &request.request);
	client_run_ms(client, 50);
	client->coord->driver->destroy(client->coord);
	client->coord = NULL;
	assert_int_equal(client->answers_count, 2);
}

static void a_renewal_costs_a_replica_no_more_than_its_round_trip(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, &room->client, 1);
	const unsigned count = 1000;
	struct client_request renew;
	uint64_t begin_ns;

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
	server_do(&room->primary, "CONFIG RESETSTAT");
	client_request_read(&renew, "renew n1@1 since=1");
	begin_ns = weir_clock_ns();
	for (unsigned i = 0; i < count; i++)
		client_ask(client, &renew.request);
	print_message("           %.1f us a renewal, round trip to Redis and its replica\n",
		(double)(weir_clock_ns() - begin_ns) / count / 1000);
	assert_int_equal(calls_of(&room->primary, "evalsha"), count);
	assert_int_equal(calls_of(&room->primary, "wait"), count);
}

#define ALONE(test)   cmocka_unit_test_setup_teardown(test, alone_setup, teardown)
#define REPLICA(test) cmocka_unit_test_setup_teardown(test, replica_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REPLICA(what_is_answered_is_at_the_replica_already),
		REPLICA(what_changes_nothing_waits_for_what_it_has_read),
		REPLICA(without_replicas_to_wait_for_a_stopped_one_changes_nothing),
		REPLICA(with_the_replica_stopped_all_is_unreachable_in_time_and_then_works_again),
		REPLICA(requests_behind_one_that_waits_are_answered_in_time_too),
		ALONE(without_a_replica_it_does_not_count_as_connected),
		REPLICA(one_of_two_is_not_enough_where_two_are_asked_for),
		REPLICA(a_primary_that_becomes_a_replica_while_it_waits_is_given_up),
		REPLICA(what_is_held_back_is_unreachable_where_the_connection_ends),
		REPLICA(without_the_right_to_wait_it_says_so),
		REPLICA(a_script_that_is_sent_again_waits_again),
		REPLICA(requests_of_one_turn_share_a_wait_and_are_answered_in_order),
		REPLICA(a_driver_may_be_destroyed_while_answers_are_held_back),
		REPLICA(a_renewal_costs_a_replica_no_more_than_its_round_trip),
	};

	weir_log_sink_set(log_count);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
