/* SPDX-License-Identifier: BSD-3-Clause */
/* The Redis driver where Sentinels say where the primary is. */
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

struct room {
	struct server primary;
	struct server replica;
	struct server sentinel;
	struct server stale; /* another Sentinel */
	char addresses[512];
	struct weir_coord_redis_conf conf;
	struct client client;
};

static void log_ignore(enum weir_log_room room, enum weir_log_level level, const char *line)
{
}

static struct client *client_open(struct room *room)
{
	char wrong[128];

	client_init(&room->client);
	room->client.coord = weir_coord_redis_create(&room->conf, room->client.base, &client_events,
		&room->client, wrong, sizeof(wrong));
	assert_non_null(room->client.coord);
	return &room->client;
}

static struct client *client_open_reached(struct room *room)
{
	client_open(room);
	client_wait_bool(&room->client, &room->client.reachable, true);
	return &room->client;
}

/* A primary with a replica, and a Sentinel that knows both. */
static int setup(void **state)
{
	struct room *room = test_calloc(1, sizeof(*room));

	server_prepare(&room->primary);
	server_prepare(&room->replica);
	server_prepare(&room->sentinel);
	server_prepare(&room->stale);
	room->primary.port = server_free_port();
	server_start(&room->primary);
	server_start_replica(&room->replica, &room->primary);
	server_start_sentinel(&room->sentinel, &room->primary, "weir");
	server_await(&room->sentinel, "INFO sentinel", "status=ok");
	server_await(&room->sentinel, "INFO sentinel", "slaves=1");
	snprintf(room->addresses, sizeof(room->addresses), "127.0.0.1:%u", room->sentinel.port);
	room->conf = (struct weir_coord_redis_conf){.sentinels = room->addresses,
		.sentinel_master = "weir",
		.cluster = "test",
		.timeout_ms = TIMEOUT_MS,
		.min_replicas = 1};
	*state = room;
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;

	if (room->client.base != NULL)
		client_clean(&room->client);
	server_clean(&room->sentinel);
	server_clean(&room->stale);
	server_clean(&room->replica);
	server_clean(&room->primary);
	test_free(room);
	return 0;
}

static void connected_at(struct client *client, const struct server *server)
{
	char part[64];

	snprintf(part, sizeof(part), "Redis at 127.0.0.1:%u: connected", server->port);
	client_wait_sentence(client, part);
}

static void the_primary_is_found(void **state)
{
	struct room *room = *state;
	struct client *client = client_open(room);

	client_expect(client, "register n1", "UNREACHABLE"); /* not found yet */
	connected_at(client, &room->primary);
	client_expect(client, "register n1", "OK incarnation=1");
	client_wait_count(client, &client->hints_count, 1);
}

/* min_replicas is 0 from the failover on, for the only replica has become the primary. */
static void the_promoted_replica_is_found_and_knows_what_was_confirmed(void **state)
{
	struct room *room = *state;
	struct client *client = client_open_reached(room);
	uint64_t run;

	client_expect(client, "register n1", "OK incarnation=1");
	client_expect(client, "change n1@1 d1 new master=n1@1", "OK d1:1:0:1:n1@1::");
	client_clean(client);
	room->conf.min_replicas = 0;
	client_open_reached(room);
	client_expect(client, "renew n1@1", "OK revision=1 nodes=n1@1 records=d1:1:0:1:n1@1::");
	run = client->answer.run;
	server_kill(&room->primary);
	client_wait_bool(client, &client->reachable, false);
	client_expect(client, "renew n1@1", "UNREACHABLE");
	connected_at(client, &room->replica);
	client_expect(client, "renew n1@1", "OK revision=1 nodes=n1@1 records=d1:1:0:1:n1@1::");
	assert_int_not_equal(client->answer.run, run);

	/* The former primary comes back, empty, and is made a replica. */
	server_start(&room->primary);
	server_await(&room->primary, "INFO replication", "role:slave");
	server_do(&room->replica, "CLIENT KILL TYPE normal SKIPME yes");
	client_wait_bool(client, &client->reachable, false);
	connected_at(client, &room->replica);
	client_expect(client, "renew n1@1", "OK revision=1 nodes=n1@1 records=d1:1:0:1:n1@1::");
}

static void a_sentinel_that_is_away_or_stands_still_is_passed_over(void **state)
{
	struct room *room = *state;
	unsigned port = room->sentinel.port, nobody = server_free_port();
	struct client *client;
	uint64_t begin_ns;

	server_signal(&room->replica, SIGSTOP); /* in place of a Sentinel that does not answer */
	room->conf.min_replicas = 0;
	snprintf(room->addresses, sizeof(room->addresses), "127.0.0.1:%u, %s,127.0.0.1:%u", nobody,
		room->replica.socket, port);
	begin_ns = weir_clock_ns();
	client = client_open(room);
	connected_at(client, &room->primary);
	assert_true(weir_clock_ns() - begin_ns < (TIMEOUT_MS + 1000) * WEIR_NS_PER_MS);
	client_expect(client, "register n1", "OK incarnation=1");
	server_signal(&room->replica, SIGCONT);
}

static void a_sentinel_that_knows_an_old_primary_holds_nobody(void **state)
{
	struct room *room = *state;
	const struct server old = {.port = server_free_port()};
	struct client *client;

	server_start_sentinel(&room->stale, &old, "weir");
	snprintf(room->addresses, sizeof(room->addresses), "%s,%s", room->stale.socket,
		room->sentinel.socket);
	client = client_open(room);
	client_wait_count(client, &client->reaches_count, 1);
	assert_non_null(strstr(client->sentence, ": connection refused; trying again"));
	connected_at(client, &room->primary);
}

static void why_no_sentinel_helps_is_said(void **state)
{
	struct room *room = *state;
	struct client *client;
	char part[640];

	snprintf(room->addresses, sizeof(room->addresses), "127.0.0.1:%u", server_free_port());
	client = client_open(room);
	snprintf(part, sizeof(part),
		"the Sentinel at %s does not say where 'weir' is: connection refused; trying again",
		room->addresses);
	client_wait_sentence(client, part);
	assert_false(client->reachable);
	client_clean(client);

	snprintf(room->addresses, sizeof(room->addresses), "%s", "/nowhere/sentinel.sock");
	client_open(room);
	client_wait_sentence(client, "'weir' is: no such file or directory; trying again");
	client_clean(client);

	snprintf(room->addresses, sizeof(room->addresses), "127.0.0.1:%u", room->primary.port);
	client_open(room);
	client_wait_sentence(client, "does not say where 'weir' is: ERR unknown command");
	client_clean(client);

	snprintf(room->addresses, sizeof(room->addresses), "127.0.0.1:%u", room->sentinel.port);
	room->conf.sentinel_master = "other";
	client_open(room);
	client_wait_sentence(client, "does not say where 'other' is: it does not know it; trying");
	client_clean(client);

	server_signal(&room->sentinel, SIGSTOP);
	client_open(room);
	client_wait_sentence(client, "where 'other' is: no answer within 800 ms; trying again");
	client_run_ms(client, 1000);
	assert_int_equal(client->reaches_count, 1); /* said once */
	server_signal(&room->sentinel, SIGCONT);
}

static void a_replica_is_not_used_though_a_sentinel_names_it(void **state)
{
	struct room *room = *state;
	struct client *client;

	room->conf.min_replicas = 0;
	server_do(&room->primary, "REPLICAOF 127.0.0.1 1"); /* the Sentinel is late to see it */
	client = client_open(room);
	client_wait_sentence(client, ": it is a replica; trying again");
	client_expect(client, "register n1", "UNREACHABLE");
}

static void a_driver_may_be_destroyed_while_it_asks(void **state)
{
	struct room *room = *state;
	struct client *client;

	server_signal(&room->sentinel, SIGSTOP);
	client = client_open(room);
	client_run_ms(client, 50);
	client->coord->driver->destroy(client->coord);
	client->coord = NULL;
	server_signal(&room->sentinel, SIGCONT);
	client_run_ms(client, 50);
	assert_int_equal(client->reaches_count, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_primary_is_found),
		TEST(the_promoted_replica_is_found_and_knows_what_was_confirmed),
		TEST(a_sentinel_that_is_away_or_stands_still_is_passed_over),
		TEST(a_sentinel_that_knows_an_old_primary_holds_nobody),
		TEST(why_no_sentinel_helps_is_said),
		TEST(a_replica_is_not_used_though_a_sentinel_names_it),
		TEST(a_driver_may_be_destroyed_while_it_asks),
	};

	weir_log_sink_set(log_ignore);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
