/* SPDX-License-Identifier: BSD-3-Clause */
/* The Redis driver against a Redis that dies, stops, forgets, refuses and comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "client.h"
#include "coord/redis/redis.h"
#include "coord/request.h"
#include "server.h"

#define CLIENTS 2

/* A Redis and two nodes' drivers, each with a loop of its own. */
struct room {
	struct server server;
	struct weir_coord_redis_conf conf;
	struct client clients[CLIENTS];
};

static unsigned logged; /* lines since the beginning of a test */
static char logged_last[512];

static void log_count(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	logged++;
	snprintf(logged_last, sizeof(logged_last), "%s", line);
}

static struct client *client_open(struct room *room, unsigned idx)
{
	struct client *client = &room->clients[idx];
	char wrong[128];

	client_init(client);
	client->coord = weir_coord_redis_create(
		&room->conf, client->base, &client_events, client, wrong, sizeof(wrong));
	assert_non_null(client->coord);
	return client;
}

static struct client *client_open_reached(struct room *room, unsigned idx)
{
	struct client *client = client_open(room, idx);

	client_wait_bool(client, &client->reachable, true);
	return client;
}

static int room_setup(void **state)
{
	struct room *room = test_calloc(1, sizeof(*room));

	logged = 0;
	server_prepare(&room->server);
	room->conf = (struct weir_coord_redis_conf){
		.address = room->server.socket, .cluster = "test", .timeout_ms = 5000};
	*state = room;
	return 0;
}

static int running_setup(void **state)
{
	room_setup(state);
	server_start(&((struct room *)*state)->server);
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;

	for (unsigned i = 0; i < CLIENTS; i++)
		if (room->clients[i].base != NULL)
			client_clean(&room->clients[i]);
	server_clean(&room->server);
	test_free(room);
	return 0;
}

/* The reply to a command of the admin's, as text. */
static void admin_read(struct room *room, char *text, size_t size, const char *command)
{
	redisReply *reply = server_command(&room->server, command);

	snprintf(text, size, "%s", reply->type == REDIS_REPLY_NIL ? "" : reply->str);
	freeReplyObject(reply);
}

/* ------------------------------------------------------------------------ comings, goings --- */

static void absent_at_start_is_said_and_waited_for(void **state)
{
	struct room *room = *state;
	struct client *client = client_open(room, 0);
	char expected[256];
	uint64_t begin_ns = weir_clock_ns();

	client_wait_count(client, &client->reaches_count, 1);
	snprintf(expected, sizeof(expected), "Redis at %s: no such file or directory; trying again",
		room->server.socket);
	assert_string_equal(client->sentence, expected);
	assert_false(client->reachable);
	client_expect(client, "register n1", "UNREACHABLE");
	assert_true(weir_clock_ns() - begin_ns < room->conf.timeout_ms * WEIR_NS_PER_MS / 2);
	client_run_ms(client, 300);
	assert_int_equal(client->reaches_count, 1); /* the same thing is not said again */
	server_start(&room->server);
	client_wait_bool(client, &client->reachable, true);
	assert_non_null(strstr(client->sentence, ": connected, version "));
	client_expect(client, "register n1", "OK incarnation=1");
}

static void what_is_asked_while_connecting_is_carried_out(void **state)
{
	struct client *client = client_open(*state, 0);

	event_base_loop(client->base, EVLOOP_ONCE | EVLOOP_NONBLOCK); /* the attempt begins */
	assert_int_equal(client->reaches_count, 0);
	client_expect(client, "register n1", "OK incarnation=1");
}

static void killed_and_back_empty_it_fences_and_has_another_run(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	uint64_t run;

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new seen_term=4 master=n1@1", "OK d1:5:0:1:n1@1::");
	run = client->answer.run;
	assert_int_not_equal(run, 0);
	client_expect(client, "renew n1@1 since=1", "OK revision=1 nodes=n1@1 records=");
	assert_int_equal(client->answer.run, run);
	server_kill(&room->server);
	client_wait_bool(client, &client->reachable, false);
	client_expect(client, "renew n1@1 since=1", "UNREACHABLE");
	server_start(&room->server);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "renew n1@1 since=1", "FENCED");
	assert_int_not_equal(client->answer.run, run);
	run = client->answer.run;
	client_expect(client, "register n1 seen=1", "OK incarnation=2");
	assert_int_equal(client->answer.run, run);
	client_expect(client, "change n1@2 d1 new seen_term=5 seen_revision=1 master=n1@2",
		"OK d1:6:0:2:n1@2::");
}

static void killed_with_requests_under_way_it_answers_each_once(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	struct client_request renew;

	client_request_read(&renew, "renew n1@1");
	server_signal(&room->server, SIGSTOP);
	for (unsigned i = 0; i < 100; i++)
		client_send(client, &renew.request);
	client_run_ms(client, 50);
	server_kill(&room->server);
	client_wait_answers(client, 100);
	assert_int_equal(client->answer.err, WEIR_UNREACHABLE);
	server_start(&room->server);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
	assert_int_equal(client->answers_count, 101);
}

static void flushall_has_another_run(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	uint64_t run;

	client_expect(client, "register n1", "OK incarnation=1");
	run = client->answer.run;
	server_do(&room->server, "FLUSHALL");
	client_expect(client, "renew n1@1", "FENCED");
	assert_int_not_equal(client->answer.run, run);
}

static void a_restart_that_keeps_the_data_has_another_run_and_goes_on(void **state)
{
	struct room *room = *state;
	struct client *client;
	uint64_t run;
	char path[128];

	room->server.args[0] = "--appendonly";
	room->server.args[1] = "yes";
	room->server.args[2] = "--appendfsync";
	room->server.args[3] = "always";
	server_start(&room->server);
	client = client_open_reached(room, 0);
	client_expect(client, "register n1 salt=9", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	run = client->answer.run;
	server_kill(&room->server);
	server_start(&room->server);
	client_wait_bool(client, &client->reachable, false);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "EXISTS");
	client_expect(client, "renew n1@1", "OK revision=1 nodes=n1@1/9 records=d1:1:0:1:n1@1::");
	assert_int_not_equal(client->answer.run, run);
	snprintf(path, sizeof(path), "rm -rf %s/appendonlydir", room->server.dir);
	assert_int_equal(system(path), 0);
}

static void flushed_scripts_are_sent_again(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);

	for (unsigned i = 1; i < 4; i++) {
		char register_answer[64], renew[64], leave[64];

		snprintf(register_answer, sizeof(register_answer), "OK incarnation=%u", i);
		snprintf(renew, sizeof(renew), "renew n1@%u since=9", i);
		snprintf(leave, sizeof(leave), "leave n1@%u", i);
		server_do(&room->server, "SCRIPT FLUSH");
		client_expect(client, "register n1", register_answer);
		client_say(client, renew, renew, sizeof(renew));
		assert_int_equal(client->answer.err, 0);
		server_do(&room->server, "SCRIPT FLUSH");
		client_expect(client, leave, "OK");
	}
	assert_int_equal(logged, 0);
}

static void a_stopped_redis_is_unreachable_in_time_and_then_works_again(void **state)
{
	struct room *room = *state;
	struct client *client;
	uint64_t begin_ns, took_ns;

	room->conf.timeout_ms = 300;
	client = client_open_reached(room, 0);
	client_expect(client, "register n1", "OK incarnation=1");
	server_signal(&room->server, SIGSTOP);
	begin_ns = weir_clock_ns();
	client_expect(client, "renew n1@1", "UNREACHABLE");
	took_ns = weir_clock_ns() - begin_ns;
	assert_true(took_ns >= 290 * WEIR_NS_PER_MS && took_ns < 3 * WEIR_NS_PER_S);
	assert_false(client->reachable);
	assert_non_null(strstr(client->sentence, ": no answer within 300 ms; trying again"));
	client_expect(client, "change n1@1 d1 new master=n1@1", "UNREACHABLE");
	client_run_ms(client, 1500); /* attempts to connect are not answered either */
	assert_false(client->reachable);
	server_signal(&room->server, SIGCONT);
	client_wait_bool(client, &client->reachable, true);
	client_say(client, "renew n1@1", (char[CLIENT_TEXT_MAX]){0}, CLIENT_TEXT_MAX);
	assert_int_equal(client->answer.err, 0);
	client_run_ms(client, 100);
	assert_int_equal(client->answers_count, 4); /* no late one */
}

static void a_greeting_that_is_not_answered_is_given_up(void **state)
{
	struct room *room = *state;
	struct client *client;

	room->conf.timeout_ms = 200;
	server_signal(&room->server, SIGSTOP);
	client = client_open(room, 0);
	client_wait_sentence(client, ": no answer within 200 ms; trying again");
	server_signal(&room->server, SIGCONT);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
}

static void a_driver_may_be_destroyed_with_requests_under_way(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	struct client_request renew;

	client_request_read(&renew, "renew n1@1");
	client_send(client, &renew.request);
	renew.request.node = "";
	client_send(client, &renew.request); /* refused, but not told yet */
	client->coord->driver->destroy(client->coord);
	client->coord = NULL;
	client_run_ms(client, 50);
	assert_int_equal(client->answers_count, 0);
}

static void a_replica_is_unreachable_until_it_is_made_master(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);

	client_expect(client, "register n1", "OK incarnation=1");
	server_do(&room->server, "REPLICAOF 127.0.0.1 1");
	client_expect(client, "renew n1@1", "UNREACHABLE");
	client_wait_sentence(client, ": it is a replica; trying again");
	server_do(&room->server, "REPLICAOF NO ONE");
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
}

static void out_of_memory_is_unreachable_and_said_once(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);

	client_expect(client, "register n1", "OK incarnation=1");
	logged = 0;
	server_do(&room->server, "CONFIG SET maxmemory 1");
	for (unsigned i = 0; i < 5; i++)
		client_expect(client, "change n1@1 d1 new master=n1@1", "UNREACHABLE");
	assert_int_equal(logged, 1);
	assert_non_null(strstr(logged_last, "OOM"));
	server_do(&room->server, "CLIENT KILL TYPE normal");
	client_wait_bool(client, &client->reachable, false);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "change n1@1 d1 new master=n1@1", "UNREACHABLE");
	assert_int_equal(logged, 2); /* another connection, another complaint */
	server_do(&room->server, "CONFIG SET maxmemory 0");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
}

/* ------------------------------------------------------------------------------ entrance --- */

static void a_wrong_password_is_said_in_a_sentence_until_it_is_right(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_do(&room->server, "ACL SETUSER weir on >right ~* &* +@all");
	room->conf.user = "weir";
	room->conf.password = "wrong";
	client = client_open(room, 0);
	client_wait_count(client, &client->reaches_count, 1);
	assert_false(client->reachable);
	assert_non_null(strstr(client->sentence, ": refused: WRONGPASS "));
	client_expect(client, "register n1", "UNREACHABLE");
	server_do(&room->server, "ACL SETUSER weir >wrong");
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
}

static void a_missing_password_is_said_in_a_sentence(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_do(&room->server, "CONFIG SET requirepass secret");
	client = client_open(room, 0);
	client_wait_count(client, &client->reaches_count, 1);
	assert_non_null(strstr(client->sentence, ": refused: NOAUTH "));
	room->conf.password = "secret";
	client = client_open_reached(room, 1);
	client_expect(client, "register n1", "OK incarnation=1");
}

static void tcp_and_a_database_number_work(void **state)
{
	struct room *room = *state;
	struct client *client;
	char port[16], address[32], text[64];

	snprintf(port, sizeof(port), "%u", server_free_port());
	snprintf(address, sizeof(address), "127.0.0.1:%s", port);
	room->server.args[0] = "--port";
	room->server.args[1] = port;
	room->conf.address = address;
	room->conf.db = 3;
	client = client_open(room, 0);
	client_wait_sentence(client, ": connection refused; trying again");
	server_start(&room->server);
	client_wait_bool(client, &client->reachable, true);
	client_expect(client, "register n1", "OK incarnation=1");
	server_do(&room->server, "SELECT 3");
	admin_read(room, text, sizeof(text), "HGET weir:{test}:node:n1 incarnation");
	assert_string_equal(text, "1");
}

static void settings_that_make_no_sense_are_refused_with_a_sentence(void **state)
{
	char long_text[WEIR_COORD_REDIS_CREDENTIAL_MAX + 1], long_path[WEIR_SOCKET_PATH_MAX + 1];
	char wrong[128];
	struct client client;

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	memset(long_path, '/', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	const struct {
		struct weir_coord_redis_conf conf;
		const char *sentence;
	} cases[] = {
		{{.cluster = "c"}, "the address is missing"},
		{{.address = "", .cluster = "c"}, "the address is missing"},
		{{.address = long_text, .cluster = "c"}, "the address is too long"},
		{{.address = long_path, .cluster = "c"}, "the socket's path is too long"},
		{{.address = ":6379", .cluster = "c"}, "the host is missing"},
		{{.address = "h:", .cluster = "c"}, "a port is a number from 1 to 65535"},
		{{.address = "h:0", .cluster = "c"}, "a port is a number from 1 to 65535"},
		{{.address = "h:65536", .cluster = "c"}, "a port is a number from 1 to 65535"},
		{{.address = "h:6x", .cluster = "c"}, "a port is a number from 1 to 65535"},
		{{.address = "h: 6", .cluster = "c"}, "a port is a number from 1 to 65535"},
		{{.address = "::1", .cluster = "c"}, "an IPv6 address is written [address]:port"},
		{{.address = "[::1", .cluster = "c"}, "an IPv6 address is written [address]:port"},
		{{.address = "[::1]6379", .cluster = "c"},
			"an IPv6 address is written [address]:port"},
		{{.address = "h"}, "a name is missing"},
		{{.address = "h", .cluster = ""}, "a name is empty"},
		{{.address = "h", .cluster = long_text}, "a name is too long"},
		{{.address = "h", .cluster = "a b"},
			"a name has a space or a control character in it"},
		{{.address = "h", .cluster = "a}b"},
			"a cluster's name may not have any of {}*?[]\\ in it"},
		{{.address = "h", .cluster = "c", .user = "u"}, "a user without a password"},
		{{.address = "h", .cluster = "c", .password = long_text},
			"the user or password is too long"},
		{{.address = "h", .cluster = "c", .min_replicas = 8},
			"there are too many replicas to wait for"},
		{{.address = "h", .sentinels = "s", .sentinel_master = "m", .cluster = "c"},
			"either an address or Sentinels can be given, not both"},
		{{.sentinels = "s", .cluster = "c"},
			"what the Sentinels call the primary has to be said"},
		{{.sentinels = "s", .sentinel_master = "a b", .cluster = "c"},
			"what the Sentinels call the primary is no name"},
		{{.sentinels = "s,", .sentinel_master = "m", .cluster = "c"},
			"the address is missing"},
		{{.sentinels = "s:1, t:0", .sentinel_master = "m", .cluster = "c"},
			"a port is a number from 1 to 65535"},
		{{.sentinels = "1,2,3,4,5,6,7,8,9", .sentinel_master = "m", .cluster = "c"},
			"there are too many Sentinels"},
	};

	client_init(&client);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(weir_coord_redis_create(&cases[i].conf, client.base, &client_events,
			&client, wrong, sizeof(wrong)));
		assert_string_equal(wrong, cases[i].sentence);
	}
	client_clean(&client);
}

/* Gives the line of config/redis-keys.md to Redis, for this cluster and password. */
static void acl_apply(struct room *room)
{
	FILE *file = fopen(WEIR_REDIS_KEYS_MD, "r");
	const char *argv[64] = {"ACL", "SETUSER"};
	char line[1024], words[2048] = "", *save = NULL, *at;
	redisReply *reply;
	int argc = 2;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "    user weir ", 14) == 0)
			strcpy(words, line + 9);
	fclose(file);
	assert_string_not_equal(words, "");
	while ((at = strstr(words, "<cluster>")) != NULL) {
		memmove(at + 4, at + 9, strlen(at + 9) + 1);
		memcpy(at, "test", 4);
	}
	for (char *word = strtok_r(words, " \n", &save); word != NULL && argc < 64;
		word = strtok_r(NULL, " \n", &save))
		argv[argc++] = word;
	reply = redisCommandArgv(room->server.admin, argc, argv, NULL);
	assert_string_equal(reply->str, "OK");
	freeReplyObject(reply);
}

static void the_user_of_the_documentation_suffices_and_is_limited(void **state)
{
	struct room *room = *state;
	struct client *one, *other;
	redisContext *as_weir;
	redisReply *reply;
	const char *const denied[] = {"GET x", "SET weir:{test}:x 1", "FLUSHALL", "KEYS *",
		"HGET weir:{other}:nodes n1", "SUBSCRIBE weir:{other}:events", "CONFIG GET *",
		"SCRIPT FLUSH"};

	acl_apply(room);
	room->conf.user = "weir";
	room->conf.password = "PASSWORD";
	room->conf.db = 1;
	one = client_open_reached(room, 0);
	other = client_open_reached(room, 1);
	client_wait_count(other, &other->hints_count, 1);
	client_expect(one, "register n1", "OK incarnation=1");
	client_expect(one, "register n2", "OK incarnation=1");
	client_expect(one, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	client_expect(one, "leave n1@1", "OK");
	client_expect(one, "renew n1@1", "OK revision=1 nodes=n1@1,n2@1 records=d1:1:0:1:n1@1::");
	client_expect(one, "renew n1@4", "OK revision=1 nodes=n1@4,n2@1 records=d1:1:0:1:n1@1::");
	client_wait_count(other, &other->hints_count, 2);
	server_do(&room->server, "SELECT 1");
	server_do(&room->server, "DEL weir:{test}:device:d1");
	client_expect(one, "renew n1@4", "OK revision=1 nodes=n1@4,n2@1 records=");
	reply = server_command(&room->server, "ZCARD weir:{test}:revisions");
	assert_int_equal(reply->integer, 0);
	freeReplyObject(reply);
	client_expect(one, "leave n2@1", "OK");
	client_expect(one, "forget n1@4 n2 since=1", "OK");
	assert_int_equal(logged, 0);

	as_weir = redisConnectUnix(room->server.socket);
	freeReplyObject(redisCommand(as_weir, "AUTH weir PASSWORD"));
	reply = redisCommand(as_weir, "WAIT 0 1"); /* as [redis] min_replicas has it */
	assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
	freeReplyObject(reply);
	for (unsigned i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		reply = redisCommand(as_weir, denied[i]);
		assert_memory_equal(reply->str, "NOPERM", 6);
		freeReplyObject(reply);
	}
	redisFree(as_weir);
}

static void without_the_right_to_subscribe_all_but_hints_works(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_do(&room->server, "ACL SETUSER weir on >p ~* &* +@all -subscribe");
	room->conf.user = "weir";
	room->conf.password = "p";
	client = client_open_reached(room, 0);
	client_run_ms(client, 300);
	client_expect(client, "register n1", "OK incarnation=1");
	assert_true(client->reachable);
	assert_int_equal(client->hints_count, 0);
	assert_int_equal(logged, 1); /* said once, however often it is tried */
	assert_non_null(strstr(logged_last, "no hints of changes: "));
	server_do(&room->server, "ACL SETUSER weir +subscribe");
	client_wait_count(client, &client->hints_count, 1);
}

/* --------------------------------------------------------------------------------- hints --- */

static void changes_are_hinted_to_other_nodes(void **state)
{
	struct room *room = *state;
	struct client *one = client_open_reached(room, 0), *other = client_open_reached(room, 1);
	const char *const requests[] = {
		"register n1", "change n1@1 d1 new master=n1@1", "leave n1@1", "renew n1@1"};
	char text[CLIENT_TEXT_MAX];

	client_wait_count(other, &other->hints_count, 1); /* of the subscription */
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		unsigned hints_count = other->hints_count;

		client_say(one, requests[i], text, sizeof(text));
		assert_int_equal(one->answer.err, 0);
		client_wait_count(other, &other->hints_count, hints_count + 1);
	}
	for (unsigned i = 0; i < 3; i++)
		client_expect(one, "renew n1@1 since=1", "OK revision=1 nodes=n1@1 records=");
	client_run_ms(other, 50);
	assert_int_equal(other->hints_count, 5); /* a plain renewal is no change */
}

/* By one turn of the loop, in which no time passes: neither a period nor a pause is waited for. */
static void a_change_is_hinted_in_the_turn_that_reads_of_it(void **state)
{
	struct room *room = *state;
	struct client *one = client_open_reached(room, 0), *other = client_open_reached(room, 1);

	client_wait_count(other, &other->hints_count, 1);
	client_expect(one, "register n1", "OK incarnation=1");
	client_wait_count(other, &other->hints_count, 2);
	client_run_ms(other, 10 * WEIR_COORD_REDIS_HINT_MS);
	client_expect(one, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	/* When this is answered, all of the answer before has been written, to subscribers too. */
	client_expect(one, "renew n1@1 since=1", "OK revision=1 nodes=n1@1 records=");
	event_base_loop(other->base, EVLOOP_NONBLOCK);
	assert_int_equal(other->hints_count, 3);
}

static void a_renewal_tells_when_the_first_lease_ends(void **state)
{
	struct client *client = client_open_reached(*state, 0);
	char text[CLIENT_TEXT_MAX];

	client_expect(client, "register n1", "OK incarnation=1");
	client_say(client, "renew n1@1", text, sizeof(text));
	assert_in_range(client->answer.expiry_ms, CLIENT_LEASE_MS / 2, CLIENT_LEASE_MS);
	client_expect(client, "register n2 lease=60000", "OK incarnation=1");
	client_say(client, "renew n1@1", text, sizeof(text));
	assert_in_range(client->answer.expiry_ms, 1, 60000);
	client_expect(client, "leave n2@1", "OK");
	client_say(client, "renew n1@1", text, sizeof(text));
	assert_in_range(client->answer.expiry_ms, CLIENT_LEASE_MS / 2, CLIENT_LEASE_MS);
}

static void many_changes_at_once_make_few_hints(void **state)
{
	struct room *room = *state;
	struct client *one = client_open_reached(room, 0), *other = client_open_reached(room, 1);
	struct client_request change;
	char text[64];

	client_wait_count(other, &other->hints_count, 1);
	client_expect(one, "register n1", "OK incarnation=1");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "change n1@1 d%u new master=n1@1", i);
		client_request_read(&change, text);
		client_send(one, &change.request);
	}
	client_wait_answers(one, 1001);
	client_wait_count(other, &other->hints_count, 2);
	client_run_ms(other, 50);
	assert_in_range(other->hints_count, 2, 30);
}

static void a_lost_subscription_is_made_anew_and_hints_once(void **state)
{
	struct room *room = *state;
	struct client *one = client_open_reached(room, 0), *other = client_open_reached(room, 1);
	unsigned hints_count;

	client_wait_count(one, &one->hints_count, 1);
	client_wait_count(other, &other->hints_count, 1);
	server_do(&room->server, "CLIENT KILL TYPE pubsub");
	client_wait_count(other, &other->hints_count, 2);
	assert_true(other->reachable);
	assert_int_equal(other->reaches_count, 1);
	hints_count = other->hints_count;
	client_expect(one, "register n1", "OK incarnation=1");
	client_wait_count(other, &other->hints_count, hints_count + 1);
}

/* -------------------------------------------------------------------- what stands there --- */

static void keys_are_readable_text_with_the_lease_as_time_to_live(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	redisReply *reply;
	char text[256];

	client_expect(client, "register n1 lease=5000 salt=2", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1 backups=n2,n3 insync=n1@1,n2@4",
		"OK d1:1:0:1:n1@1:n2,n3:n1@1,n2@4");
	admin_read(room, text, sizeof(text), "HGET weir:{test}:device:d1 insync");
	assert_string_equal(text, "n1@1 n2@4");
	admin_read(room, text, sizeof(text), "HGET weir:{test}:device:d1 backups");
	assert_string_equal(text, "n2 n3");
	admin_read(room, text, sizeof(text), "HGET weir:{test}:node:n1 mac");
	assert_string_equal(text, "02:ff:00:0a:00:02");
	admin_read(room, text, sizeof(text), "HGET weir:{test}:nodes n1");
	assert_string_equal(
		text, "1 02:ff:00:0a:00:02 192.168.1.2 2 3 1024 65533 /run/a weir/n1.sock");
	reply = server_command(&room->server, "PTTL weir:{test}:node:n1");
	assert_in_range(reply->integer, 1, 5000);
	freeReplyObject(reply);
	reply = server_command(&room->server, "DBSIZE");
	assert_int_equal(reply->integer, 5); /* node, nodes, device, revisions, counters */
	freeReplyObject(reply);
}

static void a_damaged_record_is_left_out_and_costs_nobody_a_lease(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	const char *const damages[] = {"term x", "term 9007199254740992", "active -1",
		"revision 1e3", "master a\tb", "master_incarnation ''", "backups a@@@\x01",
		"backups xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "insync n1", "insync @1",
		"insync n1@", "insync n1@18446744073709551617",
		"insync n1@1111111111111111111111111"};

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	client_expect(client, "change n1@1 d2 new master=n1@1", "OK d2:1:0:2:n1@1::");
	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		char command[128];

		server_do(&room->server,
			"HSET weir:{test}:device:d1 term 1 active 0 revision 1 master n1 "
			"master_incarnation 1 backups n2 insync n1@1");
		snprintf(command, sizeof(command), "HSET weir:{test}:device:d1 %s", damages[i]);
		server_do(&room->server, command);
		client_expect(
			client, "renew n1@1", "OK revision=2 nodes=n1@1 records=d2:1:0:2:n1@1::");
	}
	assert_int_equal(logged, 1); /* not once a renewal */
	assert_non_null(strstr(logged_last, ": damaged and left out: record of device 'd1'"));
	server_do(&room->server, "HSET weir:{test}:device:d1 term x");
	client_expect(client, "change n1@1 d1 expect=1 new master=n1@1", "ERR");
	server_do(&room->server, "DEL weir:{test}:device:d1");
	client_expect(client, "renew n1@1", "OK revision=2 nodes=n1@1 records=d2:1:0:2:n1@1::");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:3:n1@1::");
}

static void a_damaged_node_is_left_out(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);

	client_expect(client, "register n1", "OK incarnation=1");
	server_do(&room->server, "HSET weir:{test}:nodes n2 %s", "1 02:ff:00 rubbish");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
	assert_int_equal(logged, 1);
	assert_non_null(strstr(logged_last, ": damaged and left out: node 'n2'"));
	client_expect(client, "register n2", "OK incarnation=2");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1,n2@2 records=");
	server_do(&room->server, "HSET weir:{test}:nodes n2 rubbish");
	client_expect(client, "renew n2@2", "ERR");
	server_do(&room->server, "SET weir:{test}:counters rubbish");
	client_expect(client, "renew n1@1", "ERR");
}

/* --------------------------------------------------------------------------- cost, limit --- */

static void idle_renewal_is_one_small_script_call(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room, 0);
	struct client_request renew;
	const unsigned count = 2000;
	uint64_t begin_ns;
	char stats[4096], *at;

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "register n2", "OK incarnation=1");
	client_expect(client, "register n3", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	client_expect(client, "renew n1@1 since=1", "OK revision=1 nodes=n1@1,n2@1,n3@1 records=");
	server_do(&room->server, "CONFIG RESETSTAT");
	client_request_read(&renew, "renew n1@1 since=1");
	begin_ns = weir_clock_ns();
	for (unsigned i = 0; i < count; i++)
		client_ask(client, &renew.request);
	print_message("           %.1f us a renewal, round trip\n",
		(double)(weir_clock_ns() - begin_ns) / count / 1000);
	admin_read(room, stats, sizeof(stats), "INFO commandstats");
	at = strstr(stats, "cmdstat_evalsha:calls=2000,");
	assert_non_null(at);
	print_message("           %.*s\n", (int)strcspn(at, "\r\n"), at);
	admin_read(room, stats, sizeof(stats), "INFO stats");
	at = strstr(stats, "total_net_output_bytes:");
	assert_true(strtoul(at + strlen("total_net_output_bytes:"), NULL, 10) < count * 500);
	print_message("           %.*s\n", (int)strcspn(at, "\r\n"), at);
}

static void asking_beyond_the_limit_is_a_bug(void **state)
{
	struct client *client = client_open_reached(*state, 0);
	struct weir_coord_request senseless = {.kind = WEIR_COORD_LEAVE, .node = ""};
	pid_t child = fork();
	int status;

	if (child == 0) {
		freopen("/dev/null", "w", stderr);
		signal(SIGABRT, SIG_DFL);
		for (unsigned i = 0; i < WEIR_COORD_ASKED_MAX; i++)
			client_send(client, &senseless);
		alarm(0);
		client_send(client, &senseless);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

#define ABSENT(test)  cmocka_unit_test_setup_teardown(test, room_setup, teardown)
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, running_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ABSENT(absent_at_start_is_said_and_waited_for),
		RUNNING(what_is_asked_while_connecting_is_carried_out),
		RUNNING(killed_and_back_empty_it_fences_and_has_another_run),
		RUNNING(killed_with_requests_under_way_it_answers_each_once),
		RUNNING(flushall_has_another_run),
		ABSENT(a_restart_that_keeps_the_data_has_another_run_and_goes_on),
		RUNNING(flushed_scripts_are_sent_again),
		RUNNING(a_stopped_redis_is_unreachable_in_time_and_then_works_again),
		RUNNING(a_greeting_that_is_not_answered_is_given_up),
		RUNNING(a_driver_may_be_destroyed_with_requests_under_way),
		RUNNING(a_replica_is_unreachable_until_it_is_made_master),
		RUNNING(out_of_memory_is_unreachable_and_said_once),
		RUNNING(a_wrong_password_is_said_in_a_sentence_until_it_is_right),
		RUNNING(a_missing_password_is_said_in_a_sentence),
		ABSENT(tcp_and_a_database_number_work),
		cmocka_unit_test(settings_that_make_no_sense_are_refused_with_a_sentence),
		RUNNING(the_user_of_the_documentation_suffices_and_is_limited),
		RUNNING(without_the_right_to_subscribe_all_but_hints_works),
		RUNNING(changes_are_hinted_to_other_nodes),
		RUNNING(a_change_is_hinted_in_the_turn_that_reads_of_it),
		RUNNING(a_renewal_tells_when_the_first_lease_ends),
		RUNNING(many_changes_at_once_make_few_hints),
		RUNNING(a_lost_subscription_is_made_anew_and_hints_once),
		RUNNING(keys_are_readable_text_with_the_lease_as_time_to_live),
		RUNNING(a_damaged_record_is_left_out_and_costs_nobody_a_lease),
		RUNNING(a_damaged_node_is_left_out),
		RUNNING(idle_renewal_is_one_small_script_call),
		RUNNING(asking_beyond_the_limit_is_a_bug),
	};

	weir_log_sink_set(log_count);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
