/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "peer.h"
#include "telemetry/telemetry.h"

/* -------------------------------------------------------------------------------- order --- */

static void answers_keep_the_order_of_requests(void **state)
{
	static const enum fake_order orders[] = {FAKE_IN_ORDER, FAKE_REVERSED, FAKE_SHUFFLED};

	for (unsigned i = 0; i < 3; i++) {
		struct peer peer =
			peer_start(&(struct fake_conf){.order = orders[i], .hold = true});
		int fd = peer_connect(&peer);

		peer_many_send(fd, 0, 5000);
		peer_wait(&peer, fake_submitted, 5000);
		fake_release(peer.store);
		peer_many_expect(fd, 0, 5000);
		close(fd);
		peer_stop(&peer);
	}
}

static void immediate_errors_wait_for_the_writes_before_them(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_REVERSED, .hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, ADD("a") "FLOW.ADD d1 ip,bad=1,actions=drop\r\n" ADD("b") "NONSENSE\r\n" ADD(
			      "c") "FLOW.ADD d2 x\r\n" ADD("d"));
	peer_wait(&peer, fake_submitted, 4);
	assert_true(peer_silent(fd, 30));
	fake_release(peer.store);
	peer_expect(fd, peer_id_of("a"));
	peer_expect(fd, "-BADFLOW column 4: no such field: bad\r\n");
	peer_expect(fd, peer_id_of("b"));
	peer_expect(fd, "-ERR unknown command 'NONSENSE', HELP lists them\r\n");
	peer_expect(fd, peer_id_of("c"));
	peer_expect(fd, "-NODEVICE no such device: d2\r\n");
	peer_expect(fd, peer_id_of("d"));
	close(fd);
	peer_stop(&peer);
}

static void client_reads_its_own_writes(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, ADD("a") "FLOW.COUNT d1\r\n" ADD("b") "FLOW.COUNT d1\r\nPING\r\n");
	peer_wait(&peer, fake_submitted, 1);
	assert_true(peer_silent(fd, 30));
	fake_release(peer.store);
	peer_expect(fd, peer_id_of("a"));
	peer_expect(fd, ":1\r\n");
	peer_expect(fd, peer_id_of("b"));
	peer_expect(fd, ":2\r\n+PONG\r\n");
	close(fd);
	peer_stop(&peer);
}

static void flow_may_follow_the_add_of_its_device(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, "DEVICE.ADD d2\r\nFLOW.ADD d2 a,actions=drop\r\nDEVICE.ADD d2\r\n");
	peer_wait(&peer, fake_submitted, 1);
	assert_true(peer_silent(fd, 30));
	fake_release(peer.store);
	peer_expect(fd, "+OK\r\n");
	peer_expect(fd, peer_id_of("a"));
	peer_expect(fd, "-EXISTS it is there already\r\n");
	close(fd);
	peer_stop(&peer);
}

static void each_connection_has_its_own_order(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_SHUFFLED, .hold = true});
	int fds[8];

	for (unsigned i = 0; i < 8; i++) {
		fds[i] = peer_connect(&peer);
		peer_many_send(fds[i], i * 1000, 200);
	}
	peer_wait(&peer, fake_submitted, 1600);
	fake_release(peer.store);
	for (unsigned i = 0; i < 8; i++) {
		peer_many_expect(fds[i], i * 1000, 200);
		close(fds[i]);
	}
	peer_stop(&peer);
}

/* ------------------------------------------------------------------------- broken clients --- */

static void malformed_request_ends_its_connection_only(void **state)
{
	static const struct {
		const char *bytes, *fault;
	} bad[] = {
		{"*-1\r\n", "invalid multibulk length"},
		{"*2000000000\r\n", "invalid multibulk length"},
		{"*1\r\n*1\r\n", "expected '$'"},
		{"*2\r\n$4\r\nPING\r\n$-4\r\n", "invalid bulk length"},
		{"*1\r\n$9999999\r\n", "invalid bulk length"},
		{"PING \"\r\n", "unbalanced quotes in request"},
		{"\x16\x03\x01\x02\n", "neither an array nor a line of text"},
	};
	struct peer peer = peer_start(&(struct fake_conf){0});
	int other = peer_connect(&peer);

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = peer_connect(&peer);

		peer_send(fd, "PING\r\n");
		peer_send(fd, bad[i].bytes);
		peer_send(fd, "PING\r\n");
		peer_expect(fd, "+PONG\r\n");
		peer_expect_format(fd, "-ERR Protocol error: %s\r\n", bad[i].fault);
		peer_expect_end(fd);
		peer_send(other, "PING\r\n");
		peer_expect(other, "+PONG\r\n");
	}
	close(other);
	peer_stop(&peer);
}

static void malformed_request_is_answered_after_the_writes_before_it(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, ADD("a") "*x\r\n" ADD("b"));
	peer_wait(&peer, fake_submitted, 1);
	fake_release(peer.store);
	peer_expect(fd, peer_id_of("a"));
	peer_expect(fd, "-ERR Protocol error: invalid multibulk length\r\n");
	peer_expect_end(fd);
	assert_int_equal(fake_submitted(peer.store), 1);
	peer_stop(&peer);
}

static void request_may_come_byte_by_byte(void **state)
{
	const char *request = "*3\r\n$8\r\nFLOW.ADD\r\n$2\r\nd1\r\n$14\r\na,actions=drop\r\n";
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer), other = peer_connect(&peer);

	for (const char *byte = request; *byte != '\0'; byte++) {
		peer_send_bytes(fd, byte, 1);
		/* The slow one keeps nobody waiting. */
		peer_send(other, "PING\r\n");
		peer_expect(other, "+PONG\r\n");
	}
	peer_expect(fd, peer_id_of("a"));
	close(fd);
	close(other);
	peer_stop(&peer);
}

static void truncated_requests_leave_nothing_behind(void **state)
{
	const char *request = "*3\r\n$8\r\nFLOW.ADD\r\n$2\r\nd1\r\n$14\r\na,actions=drop\r\n";
	struct peer peer = peer_start(&(struct fake_conf){0});

	for (size_t len = 0; len < strlen(request); len++) {
		int fd = peer_connect(&peer);

		peer_send_bytes(fd, request, len);
		shutdown(fd, SHUT_WR);
		peer_expect_end(fd);
	}
	assert_int_equal(fake_submitted(peer.store), 0);
	peer_stop(&peer);
}

static void half_closed_client_gets_its_answers(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, ADD("a") "PING\r\n" ADD("b"));
	shutdown(fd, SHUT_WR);
	peer_wait(&peer, fake_submitted, 1);
	fake_release(peer.store);
	peer_expect(fd, peer_id_of("a"));
	peer_expect(fd, "+PONG\r\n");
	peer_expect(fd, peer_id_of("b"));
	peer_expect_end(fd);
	peer_stop(&peer);
}

static void tasks_of_a_closed_connection_come_back_safely(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_SHUFFLED, .hold = true});
	int fd = peer_connect(&peer), other = peer_connect(&peer);

	peer_many_send(fd, 0, 1000);
	peer_send(other, ADD("z"));
	peer_wait(&peer, fake_submitted, 1001);
	close(fd);
	peer_send(other, "NONSENSE\r\n"); /* served behind the close */
	fake_release(peer.store);
	peer_expect(other, peer_id_of("z"));
	peer_expect(other, "-ERR unknown command 'NONSENSE', HELP lists them\r\n");
	peer_wait(&peer, fake_tasks_now, 0);
	close(other);
	peer_stop(&peer);
}

static void request_of_a_closed_connection_comes_back_safely(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.hold = true});
	int fd = peer_connect(&peer);

	peer_send(fd, "DEVICE.ADD d2\r\n");
	peer_wait(&peer, fake_submitted, 1);
	close(fd);
	fake_release(peer.store);
	peer_stop(&peer);
}

/* --------------------------------------------------------------------------------- limits --- */

static void connection_is_not_read_past_the_pipeline_limit(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_REVERSED, .hold = true});
	int fd = peer_connect(&peer);

	peer_many_send(fd, 0, WEIR_API_PIPELINE_MAX + 500);
	peer_wait(&peer, fake_submitted, WEIR_API_PIPELINE_MAX);
	assert_true(peer_silent(fd, 50));
	assert_int_equal(fake_submitted(peer.store), WEIR_API_PIPELINE_MAX);
	fake_release(peer.store);
	peer_many_expect(fd, 0, WEIR_API_PIPELINE_MAX + 500);
	close(fd);
	peer_stop(&peer);
}

static void writes_wait_where_no_task_is_free(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.tasks_max = 10, .hold = true});
	int fd = peer_connect(&peer), other = peer_connect(&peer);

	peer_many_send(fd, 0, 100);
	peer_many_send(other, 1000, 100);
	peer_wait(&peer, fake_submitted, 10);
	fake_release(peer.store);
	peer_many_expect(fd, 0, 100);
	peer_many_expect(other, 1000, 100);
	close(fd);
	close(other);
	peer_stop(&peer);
}

static void large_rules_take_large_tasks(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.large_max = 1});
	char match[2000];
	int fd = peer_connect(&peer);

	memset(match, 'm', sizeof(match));
	match[sizeof(match) - 1] = '\0';
	for (unsigned i = 0; i < 20; i++) {
		char request[2100];

		match[0] = (char)('a' + i);
		snprintf(request, sizeof(request), "FLOW.ADD d1 %s,actions=drop\r\n", match);
		peer_send(fd, request);
	}
	for (unsigned i = 0; i < 20; i++) {
		match[0] = (char)('a' + i);
		peer_expect(fd, peer_id_of(match));
	}
	close(fd);
	peer_stop(&peer);
}

static void rule_larger_than_any_task_is_refused(void **state)
{
	char *request = peer_room_take(WEIR_RULE_BYTES_MAX + 200);
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer), len = sprintf(request, "FLOW.ADD d1 ");

	memset(request + len, 'x', WEIR_RULE_BYTES_MAX);
	strcpy(request + len + WEIR_RULE_BYTES_MAX, ",actions=drop\r\n");
	peer_send(fd, request);
	peer_expect(fd, "-TOOBIG column 1: too long\r\n");
	free(request);
	close(fd);
	peer_stop(&peer);
}

static void request_up_to_the_limit_is_served(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	size_t bulk = WEIR_API_REQUEST_MAX - 40;
	char *bytes = peer_room_take(bulk), *back = peer_room_take(bulk), head[32];
	int fd = peer_connect(&peer);
	size_t have = 0;

	memset(bytes, 'e', bulk);
	snprintf(head, sizeof(head), "*2\r\n$4\r\nECHO\r\n$%zu\r\n", bulk);
	peer_send(fd, head);
	peer_send_bytes(fd, bytes, bulk);
	peer_send(fd, "\r\n");
	peer_expect_format(fd, "$%zu\r\n", bulk);
	while (have < bulk) {
		ssize_t part = recv(fd, back + have, bulk - have, 0);

		assert_true(part > 0);
		have += (size_t)part;
	}
	assert_memory_equal(bytes, back, bulk);
	peer_expect(fd, "\r\n");
	snprintf(head, sizeof(head), "*2\r\n$4\r\nECHO\r\n$%u\r\n", WEIR_API_REQUEST_MAX);
	peer_send(fd, head);
	peer_expect(fd, "-ERR Protocol error: too big request\r\n");
	peer_expect_end(fd);
	free(bytes);
	free(back);
	peer_stop(&peer);
}

static void clients_past_the_limit_are_refused(void **state)
{
	struct rlimit limit = {4096, 4096};
	struct peer peer;
	int fds[WEIR_API_CLIENTS_MAX], fd;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_cur > 2 * WEIR_API_CLIENTS_MAX + 32);
	peer = peer_start(&(struct fake_conf){0});
	for (unsigned i = 0; i < WEIR_API_CLIENTS_MAX; i++) {
		fds[i] = peer_connect(&peer);
		peer_send(fds[i], "PING\r\n");
		peer_expect(fds[i], "+PONG\r\n");
	}
	fd = peer_connect(&peer);
	peer_expect(fd, "-ERR max number of clients reached\r\n");
	peer_expect_end(fd);
	peer_send(fds[7], "QUIT\r\n");
	peer_expect(fds[7], "+OK\r\n");
	peer_expect_end(fds[7]);
	fds[7] = peer_connect(&peer);
	peer_send(fds[7], "PING\r\n");
	peer_expect(fds[7], "+PONG\r\n");
	for (unsigned i = 0; i < WEIR_API_CLIENTS_MAX; i++)
		close(fds[i]);
	peer_stop(&peer);
}

/* A client that never reads: its answers stay within bounds, and all come once it reads. */
/* The most that waits for one of the two clients that are connected. */
static unsigned long unread_most(int fd)
{
	char line[8192], *output;
	unsigned long most = 0;

	peer_send(fd, "CLIENT LIST\r\n");
	for (unsigned i = 0; i < 3; i++) {
		peer_line(fd, line, sizeof(line));
		output = strstr(line, " output=");
		if (output != NULL && strtoul(output + 8, NULL, 10) > most)
			most = strtoul(output + 8, NULL, 10);
	}
	return most;
}

static void client_that_does_not_read_is_not_served_past_the_limit(void **state)
{
	enum {
		BULK = 100000,
		COUNT = 400
	};
	struct peer peer = peer_start(&(struct fake_conf){0});
	char *request = peer_room_take(BULK + 64), *answer = peer_room_take(BULK + 64);
	int fd = peer_connect(&peer), other = peer_connect(&peer);
	int len = sprintf(request, "*2\r\n$4\r\nECHO\r\n$%d\r\n", BULK);
	size_t sent = 0, total;
	unsigned long unread = 0;

	memset(request + len, 'o', BULK);
	memcpy(request + len + BULK, "\r\n", 2);
	total = (size_t)len + BULK + 2;
	/* Until nothing more is taken because so much waits, not because the node is slow. */
	for (unsigned quiet = 0; unread < WEIR_API_OUTPUT_MAX;) {
		ssize_t part = send(fd, request + sent % total, total - sent % total,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(sent < (size_t)COUNT * total); /* somewhere it must stop */
		if (part > 0) {
			sent += (size_t)part;
			quiet = 0;
		} else {
			usleep(10000);
			assert_true(quiet++ < 1000);
			unread = unread_most(other);
		}
	}
	assert_true(sent >= WEIR_API_OUTPUT_MAX);
	assert_true(unread >= WEIR_API_OUTPUT_MAX && unread < WEIR_API_OUTPUT_MAX + 2 * BULK);
	for (size_t i = 0; i < sent / total; i++) {
		size_t want = (size_t)sprintf(answer, "$%d\r\n", BULK) + BULK + 2;

		for (size_t have = 0; have < want;) {
			ssize_t part = recv(fd, answer, want - have, 0);

			assert_true(part > 0);
			have += (size_t)part;
		}
	}
	free(request);
	free(answer);
	close(fd);
	close(other);
	peer_stop(&peer);
}

/* ------------------------------------------------------------------------------ start, end --- */

static void live_socket_is_refused_and_a_stale_one_replaced(void **state)
{
	struct weir_api_conf conf = {.socket_mode = 0640, .gateways_count = 2};
	struct peer peer = peer_start(&(struct fake_conf){0});
	struct weir_api *api;
	char path[80];
	struct stat st;
	int fd;

	conf.socket = peer.socket;
	assert_null(weir_api_start(&conf, peer.store));
	fd = peer_connect(&peer);
	peer_ask(fd, "PING", "+PONG\r\n");
	close(fd);
	snprintf(path, sizeof(path), "%s.2", peer.socket);
	conf.socket = path;
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_null(weir_api_start(&conf, peer.store)); /* a file that is no socket stays */
	unlink(path);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_null(weir_api_start(&conf, peer.store));
	unlink(path);
	rename(peer.socket, path); /* stale: its name is not that of the listener any more */
	conf.socket = peer.socket;
	api = weir_api_start(&conf, peer.store);
	assert_non_null(api);
	assert_int_equal(stat(peer.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	weir_api_stop(api);
	unlink(path);
	peer_stop(&peer);
}

static void stop_answers_what_is_under_way(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_SHUFFLED});
	int fd = peer_connect(&peer);

	peer_many_send(fd, 0, 300);
	peer_many_expect(fd, 0, 1);
	peer_stop(&peer);
	peer_many_expect(fd, 1, 299);
	peer_expect_end(fd);
}

static void gateway_ends_with_its_store(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	peer_ask(fd, "PING", "+PONG\r\n");
	fake_stop(peer.store);
	peer_expect_end(fd);
	peer_stop(&peer);
}

static void stop_of_nothing_is_fine(void **state)
{
	weir_api_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_keep_the_order_of_requests),
		cmocka_unit_test(immediate_errors_wait_for_the_writes_before_them),
		cmocka_unit_test(client_reads_its_own_writes),
		cmocka_unit_test(flow_may_follow_the_add_of_its_device),
		cmocka_unit_test(each_connection_has_its_own_order),
		cmocka_unit_test(malformed_request_ends_its_connection_only),
		cmocka_unit_test(malformed_request_is_answered_after_the_writes_before_it),
		cmocka_unit_test(request_may_come_byte_by_byte),
		cmocka_unit_test(truncated_requests_leave_nothing_behind),
		cmocka_unit_test(half_closed_client_gets_its_answers),
		cmocka_unit_test(tasks_of_a_closed_connection_come_back_safely),
		cmocka_unit_test(request_of_a_closed_connection_comes_back_safely),
		cmocka_unit_test(connection_is_not_read_past_the_pipeline_limit),
		cmocka_unit_test(writes_wait_where_no_task_is_free),
		cmocka_unit_test(large_rules_take_large_tasks),
		cmocka_unit_test(rule_larger_than_any_task_is_refused),
		cmocka_unit_test(request_up_to_the_limit_is_served),
		cmocka_unit_test(clients_past_the_limit_are_refused),
		cmocka_unit_test(client_that_does_not_read_is_not_served_past_the_limit),
		cmocka_unit_test(live_socket_is_refused_and_a_stale_one_replaced),
		cmocka_unit_test(stop_answers_what_is_under_way),
		cmocka_unit_test(gateway_ends_with_its_store),
		cmocka_unit_test(stop_of_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
