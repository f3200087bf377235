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

#define ADD(match) "FLOW.ADD d1 " match ",actions=drop\r\n"

static void *room_take(size_t bytes)
{
	void *room = malloc(bytes);

	if (room == NULL)
		abort();
	return room;
}

/* The id that the false store gives to a match. */
static const char *id_of(const char *match)
{
	static char text[32];
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *match != '\0'; match++)
		hash = (hash ^ (unsigned char)*match) * 0x100000001b3ULL;
	snprintf(text, sizeof(text), "$18\r\n0x%016llx\r\n",
		(unsigned long long)(hash & 0xffffffffffffULL));
	return text;
}

static void many_send(int fd, unsigned first, unsigned count)
{
	size_t room = count * 64UL, len = 0;
	char *text = room_take(room);

	for (unsigned i = first; i < first + count; i++)
		len += (size_t)snprintf(
			text + len, room - len, "FLOW.ADD d1 cookie=%u,actions=drop\r\n", i);
	assert_true(peer_send_bytes(fd, text, len));
	free(text);
}

static void many_expect(int fd, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		char match[32];

		snprintf(match, sizeof(match), "cookie=%u", i);
		peer_expect(fd, id_of(match));
	}
}

/* -------------------------------------------------------------------------------- order --- */

static void answers_keep_the_order_of_requests(void **state)
{
	static const enum fake_order orders[] = {FAKE_IN_ORDER, FAKE_REVERSED, FAKE_SHUFFLED};

	for (unsigned i = 0; i < 3; i++) {
		struct peer peer =
			peer_start(&(struct fake_conf){.order = orders[i], .hold = true});
		int fd = peer_connect(&peer);

		many_send(fd, 0, 5000);
		peer_wait(&peer, fake_submitted, 5000);
		fake_release(peer.store);
		many_expect(fd, 0, 5000);
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
	peer_expect(fd, id_of("a"));
	peer_expect(fd, "-BADFLOW column 4: no such field: bad\r\n");
	peer_expect(fd, id_of("b"));
	peer_expect(fd, "-ERR unknown command 'NONSENSE', HELP lists them\r\n");
	peer_expect(fd, id_of("c"));
	peer_expect(fd, "-NODEVICE no such device: d2\r\n");
	peer_expect(fd, id_of("d"));
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
	peer_expect(fd, id_of("a"));
	peer_expect(fd, ":1\r\n");
	peer_expect(fd, id_of("b"));
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
	peer_expect(fd, id_of("a"));
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
		many_send(fds[i], i * 1000, 200);
	}
	peer_wait(&peer, fake_submitted, 1600);
	fake_release(peer.store);
	for (unsigned i = 0; i < 8; i++) {
		many_expect(fds[i], i * 1000, 200);
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
	peer_expect(fd, id_of("a"));
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
	peer_expect(fd, id_of("a"));
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
	peer_expect(fd, id_of("a"));
	peer_expect(fd, "+PONG\r\n");
	peer_expect(fd, id_of("b"));
	peer_expect_end(fd);
	peer_stop(&peer);
}

static void tasks_of_a_closed_connection_come_back_safely(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_SHUFFLED, .hold = true});
	int fd = peer_connect(&peer), other = peer_connect(&peer);

	many_send(fd, 0, 1000);
	peer_send(other, ADD("z"));
	peer_wait(&peer, fake_submitted, 1001);
	close(fd);
	peer_send(other, "NONSENSE\r\n"); /* served behind the close */
	fake_release(peer.store);
	peer_expect(other, id_of("z"));
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

	many_send(fd, 0, WEIR_API_PIPELINE_MAX + 500);
	peer_wait(&peer, fake_submitted, WEIR_API_PIPELINE_MAX);
	assert_true(peer_silent(fd, 50));
	assert_int_equal(fake_submitted(peer.store), WEIR_API_PIPELINE_MAX);
	fake_release(peer.store);
	many_expect(fd, 0, WEIR_API_PIPELINE_MAX + 500);
	close(fd);
	peer_stop(&peer);
}

static void writes_wait_where_no_task_is_free(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.tasks_max = 10, .hold = true});
	int fd = peer_connect(&peer), other = peer_connect(&peer);

	many_send(fd, 0, 100);
	many_send(other, 1000, 100);
	peer_wait(&peer, fake_submitted, 10);
	fake_release(peer.store);
	many_expect(fd, 0, 100);
	many_expect(other, 1000, 100);
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
		peer_expect(fd, id_of(match));
	}
	close(fd);
	peer_stop(&peer);
}

static void rule_larger_than_any_task_is_refused(void **state)
{
	char *request = room_take(WEIR_RULE_BYTES_MAX + 200);
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
	char *bytes = room_take(bulk), *back = room_take(bulk), head[32];
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
	char *request = room_take(BULK + 64), *answer = room_take(BULK + 64);
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

/* ------------------------------------------------------------------------------- commands --- */

/* Sends one line and awaits one answer. */
static void ask(int fd, const char *request, const char *answer)
{
	peer_send(fd, request);
	peer_send(fd, "\r\n");
	peer_expect(fd, answer);
}

static void commands_of_redis_clients_are_answered(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	ask(fd, "ping", "+PONG\r\n");
	ask(fd, "PING hello", "$5\r\nhello\r\n");
	ask(fd, "ECHO \"a b\"", "$3\r\na b\r\n");
	ask(fd, "SELECT 0", "+OK\r\n");
	ask(fd, "SELECT 1", "-ERR DB index is out of range, there is only 0\r\n");
	ask(fd, "CLIENT GETNAME", "$-1\r\n");
	ask(fd, "CLIENT SETNAME me", "+OK\r\n");
	ask(fd, "CLIENT GETNAME", "$2\r\nme\r\n");
	ask(fd, "CLIENT SETINFO LIB-NAME x", "+OK\r\n");
	ask(fd, "CLIENT ID", ":1\r\n");
	ask(fd, "CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
	ask(fd, "CONFIG GET append* nothing", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
	ask(fd, "CONFIG SET a b", "-ERR syntax error, try CONFIG GET glob...\r\n");
	ask(fd, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
	ask(fd, "RESET", "+RESET\r\n");
	ask(fd, "CLIENT GETNAME", "$-1\r\n");
	ask(fd, "ECHO",
		"-ERR wrong number of arguments for 'ECHO' command, it is: ECHO message\r\n");
	ask(fd, "HELP ECHO", "*1\r\n$26\r\nECHO message: The message.\r\n");
	ask(fd, "QUIT", "+OK\r\n");
	peer_expect_end(fd);
	peer_stop(&peer);
}

static void hello_3_turns_pairs_into_maps(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	ask(fd, "HELLO 3 SETNAME x", "%7\r\n$6\r\nserver\r\n$4\r\nweir\r\n$7\r\nversion\r\n");
	peer_expect_format(fd, "$%zu\r\n%s\r\n", strlen(WEIR_VERSION), WEIR_VERSION);
	peer_expect(fd, "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
			"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
	ask(fd, "CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
	ask(fd, "RESET", "+RESET\r\n");
	ask(fd, "CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
	close(fd);
	peer_stop(&peer);
}

#define FLOW_A(state, packets, bytes, life)                                                        \
	"*16\r\n$4\r\nflow\r\n$14\r\na,actions=drop\r\n$2\r\nid\r\n%s$5\r\nstate\r\n" state        \
	"$5\r\nerror\r\n:0\r\n$7\r\npackets\r\n:" packets "\r\n$5\r\nbytes\r\n:" bytes             \
	"\r\n$6\r\nlife_s\r\n:" life "\r\n$12\r\nlast_seen_ms\r\n:"

static void flow_lives_through_its_states(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	char line[64];

	ask(fd, "FLOW.MOD d1 a,actions=drop", "-NOTFOUND no such rule\r\n");
	ask(fd, "FLOW.REPORT d1 a",
		"-EXTRANEOUS the rule is not stored here and the device may not add it\r\n");
	ask(fd, "FLOW.ADD d1 a,actions=drop ACK local", id_of("a"));
	peer_send(fd, "FLOW.GET d1 a\r\n");
	peer_expect_format(fd, FLOW_A("$11\r\nPENDING_ADD\r\n", "0", "0", "0") "0\r\n", id_of("a"));
	ask(fd, "FLOW.REPORT d1 a PACKETS 7 BYTES 700 LIFE 3", id_of("a"));
	peer_send(fd, "FLOW.GET d1 a,actions=whatever\r\n");
	peer_expect_format(fd, FLOW_A("$5\r\nADDED\r\n", "7", "700", "3"), id_of("a"));
	peer_line(fd, line, sizeof(line));
	assert_true(strtoull(line, NULL, 10) > 1000000000000ULL);
	ask(fd, "FLOW.DEL d1 a", id_of("a"));
	ask(fd, "FLOW.COUNT d1 STATE pending_remove", ":1\r\n");
	ask(fd, "FLOW.COUNT d1 STATE ADDED", ":0\r\n");
	ask(fd, "FLOW.COUNT", ":1\r\n");
	ask(fd, "FLOW.PENDING d1 a", id_of("a"));
	ask(fd, "FLOW.REMOVED d1 a", id_of("a"));
	ask(fd, "FLOW.GET d1 zz", "-NOTFOUND no such rule\r\n");
	ask(fd, "FLOW.GET d1 0x1", "-NOTFOUND no such rule\r\n");
	close(fd);
	peer_stop(&peer);
}

static void flow_that_is_not_on_every_copy_is_asked_of_its_worker(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.unfirm = true, .hold = true});
	int fd = peer_connect(&peer);
	char id[32];

	peer_send(fd, ADD("a") "FLOW.GET d1 a\r\nFLOW.GET d1 0x1\r\nPING\r\n");
	peer_wait(&peer, fake_submitted, 1);
	fake_release(peer.store);
	snprintf(id, sizeof(id), "%s", id_of("a"));
	peer_expect(fd, id);
	peer_expect_format(fd, FLOW_A("$11\r\nPENDING_ADD\r\n", "0", "0", "0") "0\r\n", id);
	peer_expect(fd, "-NOTFOUND no such rule\r\n+PONG\r\n");
	assert_int_equal(fake_submitted(peer.store), 3);
	ask(fd, "FLOW.GET d1 a LOCAL", "*18\r\n$4\r\nflow\r\n");
	assert_int_equal(fake_submitted(peer.store), 3);
	close(fd);
	fd = peer_connect(&peer);
	fake_err_set(peer.store, WEIR_UNKNOWN);
	peer_send(fd, "FLOW.GET d1 a\r\n");
	peer_expect(fd, "-UNKNOWN ");
	close(fd);
	peer_stop(&peer);
}

static void what_was_seen_in_a_term_that_has_ended_meanwhile_is_not_said(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.restless = true});
	int fd = peer_connect(&peer);

	ask(fd, "FLOW.ADD d1 a,actions=drop", id_of("a"));
	peer_send(fd, "FLOW.GET d1 a\r\n");
	peer_expect(fd, "-BUSY ");
	close(fd);
	fd = peer_connect(&peer);
	ask(fd, "FLOW.GET d1 a LOCAL", "*18\r\n");
	close(fd);
	peer_stop(&peer);
}

static void worker_is_asked_for_a_large_flow_with_a_large_task(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.unfirm = true});
	int fd = peer_connect(&peer);
	char match[900], request[1000], line[64];

	memset(match, 'x', sizeof(match) - 1);
	match[sizeof(match) - 1] = '\0';
	snprintf(request, sizeof(request), "FLOW.ADD d1 %s,actions=drop", match);
	ask(fd, request, id_of(match));
	snprintf(request, sizeof(request), "FLOW.GET d1 %s\r\n", match);
	peer_send(fd, request);
	peer_line(fd, line, sizeof(line));
	assert_string_equal(line, "*16");
	close(fd);
	peer_stop(&peer);
}

static void get_waits_for_a_free_task(void **state)
{
	struct peer peer =
		peer_start(&(struct fake_conf){.unfirm = true, .hold = true, .tasks_max = 1});
	int first = peer_connect(&peer), second = peer_connect(&peer);

	peer_send(first, ADD("a"));
	peer_wait(&peer, fake_submitted, 1);
	peer_send(second, "FLOW.GET d1 zz\r\n");
	assert_true(peer_silent(second, 30));
	fake_release(peer.store);
	peer_expect(first, id_of("a"));
	peer_expect(second, "-NOTFOUND no such rule\r\n");
	close(first);
	close(second);
	peer_stop(&peer);
}

static void purge_answers_how_many_flows_went(void **state)
{
	static const char syntax[] =
		"-ERR syntax error, try FLOW.PURGE device [APP a] [ACK local|insync]\r\n";
	struct peer peer = peer_start(&(struct fake_conf){.order = FAKE_SHUFFLED});
	int fd = peer_connect(&peer);
	char ids[2][32];

	snprintf(ids[0], sizeof(ids[0]), "%s", id_of("a"));
	snprintf(ids[1], sizeof(ids[1]), "%s", id_of("b"));
	ask(fd, "FLOW.PURGE d1", ":0\r\n");
	peer_send(fd, ADD("a") ADD("b"));
	peer_expect(fd, ids[0]);
	peer_expect(fd, ids[1]);
	peer_send(fd, "FLOW.PURGE d1 APP 7 ACK local\r\nPING\r\n");
	peer_expect(fd, ":2\r\n+PONG\r\n");
	ask(fd, "FLOW.PURGE",
		"-ERR wrong number of arguments for 'FLOW.PURGE' command, it is: "
		"FLOW.PURGE device [APP a] [ACK local|insync]\r\n");
	ask(fd, "FLOW.PURGE d1 APP 65536", syntax);
	ask(fd, "FLOW.PURGE d1 APP", syntax);
	ask(fd, "FLOW.PURGE d1 now", syntax);
	ask(fd, "FLOW.PURGE dx", "-NODEVICE no such device: dx\r\n");
	close(fd);
	peer_stop(&peer);
}

static void purge_that_failed_in_part_has_an_unknown_fate(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.purge_err = WEIR_NOTMASTER});
	int fd = peer_connect(&peer);

	peer_send(fd, "FLOW.PURGE d1\r\n");
	peer_expect(fd, "-NOTMASTER ");
	close(fd);
	fd = peer_connect(&peer);
	ask(fd, "FLOW.ADD d1 a,actions=drop", id_of("a"));
	peer_send(fd, "FLOW.PURGE d1\r\n");
	peer_expect(fd, "-UNKNOWN ");
	close(fd);
	peer_stop(&peer);
}

static void purge_without_tasks_is_busy_and_of_a_client_that_has_gone_is_forgotten(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.tasks_max = 31});
	int fd = peer_connect(&peer);

	peer_send(fd, "FLOW.PURGE d1\r\n");
	peer_expect(fd, "-BUSY ");
	assert_int_equal(fake_tasks_now(peer.store), 0);
	close(fd);
	peer_stop(&peer);
	peer = peer_start(&(struct fake_conf){.hold = true});
	fd = peer_connect(&peer);
	peer_send(fd, "FLOW.PURGE d1\r\n");
	peer_wait(&peer, fake_submitted, WEIR_SHARDS);
	close(fd);
	fake_release(peer.store);
	fd = peer_connect(&peer);
	ask(fd, "PING", "+PONG\r\n");
	close(fd);
	peer_stop(&peer);
}

static void bad_words_are_refused_with_the_syntax(void **state)
{
	static const char add[] =
		"-ERR syntax error, try FLOW.ADD device flow [ACK local|insync]\r\n";
	static const char scan[] =
		"-ERR syntax error, try FLOW.SCAN device cursor [COUNT n] [STATE s]"
		" [TABLE t] [APP a] [LOCAL]\r\n";
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	ask(fd, "FLOW.ADD d1 a,actions=drop ACK", add);
	ask(fd, "FLOW.ADD d1 a,actions=drop ACK never", add);
	ask(fd, "FLOW.ADD d1 a,actions=drop PACKETS 1", add);
	ask(fd, "FLOW.ADD d1 a,actions=drop ACK local x", add);
	ask(fd, "FLOW.ADD d1 a", "-BADFLOW column 2: actions= is missing\r\n");
	ask(fd, "FLOW.SCAN d1 x", scan);
	ask(fd, "FLOW.SCAN d1 -1", scan);
	ask(fd, "FLOW.SCAN d1 0 COUNT 0", scan);
	ask(fd, "FLOW.SCAN d1 0 COUNT 10001", scan);
	ask(fd, "FLOW.SCAN d1 0 STATE gone", scan);
	ask(fd, "FLOW.SCAN d1 0 TABLE 255", scan);
	ask(fd, "FLOW.SCAN d1 0 APP 65536", scan);
	ask(fd, "FLOW.SCAN d1 0 STATE", scan);
	ask(fd, "FLOW.SCAN dx 0", "-NODEVICE no such device: dx\r\n");
	ask(fd, "FLOW.GET d1 bad=1", "-BADFLOW column 1: no such field: bad\r\n");
	ask(fd, "FLOW.GET d1 a LOCALLY",
		"-ERR syntax error, try FLOW.GET device flowid|flow [LOCAL]\r\n");
	ask(fd, "DEVICE.ADD \"a b\"",
		"-ERR a device's name is made of printable ASCII characters other than blanks\r\n");
	ask(fd, "DEVICE.ADD a\xff",
		"-ERR a device's name is made of printable ASCII characters other than blanks\r\n");
	ask(fd, "DEVICE.ADD \"\"",
		"-TOOBIG a device's name has 1 to 127 bytes, a node's at most 31, and no NUL\r\n");
	ask(fd, "ROLE.SET d1 n1 boss",
		"-ERR syntax error, try ROLE.SET device node master|standby|none\r\n");
	ask(fd, "ROLE.SET d1 n9 standby",
		"-NOTFOUND no such live node: n9, or none to take its place\r\n");
	ask(fd, "ROLE.SET d1 n9 master", "-NOTFOUND no such live node: n9\r\n");
	ask(fd, "MASTER.SET d1 n9", "-NOTFOUND no such live node: n9\r\n");
	ask(fd, "ROLE.SET d1 n1 none", "+OK\r\n");
	ask(fd, "MASTER.SET d1 n1", "+OK\r\n");
	close(fd);
	peer_stop(&peer);
}

/* A node that starts has not heard of any device yet: that is not the same as "no such device". */
static void node_outside_its_cluster_denies_no_device(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.leaseless = true});
	int fd = peer_connect(&peer);

	ask(fd, "DEVICE.INFO dx",
		"-UNREACHABLE this node is not in its cluster now and does not know of the "
		"device\r\n");
	close(fd);
	peer_stop(&peer);
}

static void device_name_has_a_limit(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	char request[256];

	snprintf(request, sizeof(request), "DEVICE.ADD %0*d", WEIR_DEVICE_ID_MAX - 1, 1);
	ask(fd, request, "+OK\r\n");
	snprintf(request, sizeof(request), "DEVICE.ADD %0*d", WEIR_DEVICE_ID_MAX, 1);
	ask(fd, request,
		"-TOOBIG a device's name has 1 to 127 bytes, a node's at most 31, and no NUL\r\n");
	close(fd);
	peer_stop(&peer);
}

static void scan_sees_every_flow_once_and_ends_with_0(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	bool seen[1000] = {false};
	char cursor[64] = "0", line[256], request[128];
	unsigned total = 0;

	many_send(fd, 0, 1000);
	many_expect(fd, 0, 1000);
	do {
		unsigned number;

		snprintf(request, sizeof(request), "FLOW.SCAN d1 %s COUNT 300 LOCAL", cursor);
		ask(fd, request, "*2\r\n");
		peer_line(fd, line, sizeof(line));
		peer_line(fd, cursor, sizeof(cursor));
		peer_line(fd, line, sizeof(line));
		for (int left = atoi(line + 1); left > 0; left--, total++) {
			for (unsigned i = 0; i < 3 + 2; i++) {
				peer_line(fd, line, sizeof(line));
				if (sscanf(line, "cookie=%u", &number) == 1)
					seen[number] = true;
			}
			do
				peer_line(fd, line, sizeof(line));
			while (strcmp(line, "local") != 0);
			peer_expect(fd, ":1\r\n");
		}
	} while (strcmp(cursor, "0") != 0);
	assert_int_equal(total, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(seen[i]);
	close(fd);
	peer_stop(&peer);
}

static void scan_filters(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	many_send(fd, 0, 10);
	many_expect(fd, 0, 10);
	ask(fd, "FLOW.SCAN d1 0 STATE ADDED", "*2\r\n$1\r\n0\r\n*0\r\n");
	ask(fd, "FLOW.SCAN d1 0 TABLE 3", "*2\r\n$1\r\n0\r\n*0\r\n");
	ask(fd, "FLOW.SCAN d1 0 APP 9", "*2\r\n$1\r\n0\r\n*0\r\n");
	ask(fd, "FLOW.SCAN d1 0 APP 0 TABLE 0 STATE PENDING_ADD COUNT 4",
		"*2\r\n$1\r\n4\r\n*4\r\n");
	close(fd);
	peer_stop(&peer);
}

static void devices_are_listed_by_page_and_glob(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	fake_device_add(peer.store, "0");
	fake_device_add(peer.store, "d2");
	fake_device_add(peer.store, "e1");
	ask(fd, "DEVICE.LIST",
		"*2\r\n$1\r\n0\r\n*4\r\n$1\r\n0\r\n$2\r\nd1\r\n$2\r\nd2\r\n$2\r\ne1\r\n");
	ask(fd, "DEVICE.LIST COUNT 2", "*2\r\n$3\r\n>d1\r\n*2\r\n$1\r\n0\r\n$2\r\nd1\r\n");
	ask(fd, "DEVICE.LIST CURSOR >d1", "*2\r\n$1\r\n0\r\n*2\r\n$2\r\nd2\r\n$2\r\ne1\r\n");
	ask(fd, "DEVICE.LIST CURSOR 0 MATCH d*", "*2\r\n$1\r\n0\r\n*2\r\n$2\r\nd1\r\n$2\r\nd2\r\n");
	ask(fd, "DEVICE.LIST CURSOR x",
		"-ERR syntax error, try DEVICE.LIST [MATCH glob] [CURSOR c] [COUNT n]\r\n");
	ask(fd, "DEVICE.LIST MATCH",
		"-ERR syntax error, try DEVICE.LIST [MATCH glob] [CURSOR c] [COUNT n]\r\n");
	close(fd);
	peer_stop(&peer);
}

static void masters_and_nodes_are_told(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	ask(fd, "MASTER.GET d1",
		"*14\r\n$6\r\ndevice\r\n$2\r\nd1\r\n$6\r\nmaster\r\n$2\r\nn2\r\n$6\r\nsocket\r\n"
		"$12\r\n/run/n2.sock\r\n$4\r\nterm\r\n:7\r\n$6\r\nactive\r\n:7\r\n$7\r\nbackups\r\n"
		"*1\r\n$2\r\nn3\r\n$6\r\ninsync\r\n*1\r\n$2\r\nn2\r\n");
	ask(fd, "MASTER.LIST", "*1\r\n*14\r\n$6\r\ndevice\r\n$2\r\nd1\r\n");
	close(fd);
	fd = peer_connect(&peer);
	ask(fd, "NODE.LIST", "*2\r\n*14\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\nlive\r\n:1\r\n");
	close(fd);
	fd = peer_connect(&peer);
	ask(fd, "DEVICE.INFO d1",
		"*22\r\n$6\r\ndevice\r\n$2\r\nd1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n");
	close(fd);
	peer_stop(&peer);
}

static void not_master_names_the_master_and_its_socket(void **state)
{
	static const char answer[] =
		"-NOTMASTER n2 /run/n2.sock another node is master of this device\r\n";
	struct peer peer =
		peer_start(&(struct fake_conf){.err = WEIR_NOTMASTER, .read_err = WEIR_NOTMASTER});
	int fd = peer_connect(&peer);

	ask(fd, "FLOW.ADD d1 a,actions=drop", answer);
	ask(fd, "FLOW.GET d1 a", answer);
	ask(fd, "FLOW.SCAN d1 0", answer);
	ask(fd, "FLOW.COUNT d1", answer);
	ask(fd, "FLOW.COUNT", ":0\r\n");
	ask(fd, "FLOW.GET d1 a LOCAL", "-NOTFOUND no such rule\r\n");
	ask(fd, "FLOW.SCAN d1 0 LOCAL", "*2\r\n$1\r\n0\r\n*0\r\n");
	ask(fd, "FLOW.COUNT d1 LOCAL", ":0\r\n");
	close(fd);
	peer_stop(&peer);
}

static void every_error_of_a_task_reaches_its_client(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	for (int err = WEIR_ERR; err >= WEIR_UNREACHABLE; err--) {
		if (err == WEIR_NOTMASTER)
			continue;
		fake_err_set(peer.store, err);
		peer_send(fd, ADD("a"));
		peer_expect_format(fd, "-%s %s\r\n", weir_err_code(err), weir_err_sentence(err));
	}
	close(fd);
	peer_stop(&peer);
}

static void info_has_sections(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	char line[256];

	peer_send(fd, "INFO stats\r\n");
	peer_line(fd, line, sizeof(line));
	peer_expect(fd, "# Stats\r\ntotal_connections_received:1\r\n");
	close(fd);
	fd = peer_connect(&peer);
	peer_send(fd, "INFO workers\r\n");
	peer_line(fd, line, sizeof(line));
	peer_expect(fd, "# Workers\r\nworker0:turns=10,");
	close(fd);
	fd = peer_connect(&peer);
	ask(fd, "INFO nonsense", "$0\r\n\r\n");
	close(fd);
	peer_stop(&peer);
}

/* Reads a bulk reply, which is a text. */
static void bulk_read(int fd, char *text, size_t room)
{
	size_t at = 0, len;

	peer_line(fd, text, room);
	assert_int_equal(text[0], '$');
	len = strtoul(text + 1, NULL, 10) + 2;
	assert_true(len < room);
	while (at < len) {
		ssize_t more = read(fd, text + at, len - at);

		assert_true(more > 0);
		at += (size_t)more;
	}
	text[len] = '\0';
}

static void info_tells_every_metric_under_its_name(void **state)
{
	static const char *const begin[] = {
		[WEIR_METRICS_NODE] = "\n", [WEIR_METRICS_WORKER] = ",", [WEIR_METRICS_LINK] = ","};
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	char text[16384], label[64];

	peer_send(fd, "INFO\r\n");
	bulk_read(fd, text, sizeof(text));
	assert_non_null(strstr(text, "\nworker0:turns="));
	assert_non_null(strstr(text, "\nworker0_link:tx_frames="));
	for (unsigned group = 0; group < WEIR_METRIC_GROUPS; group++) {
		unsigned count;
		const struct weir_metric *metrics = weir_metrics(group, &count);

		/* The first metric of a line stands behind the line's own name. */
		for (unsigned i = group == WEIR_METRICS_NODE ? 0 : 1; i < count; i++) {
			snprintf(label, sizeof(label), "%s%s%c", begin[group], metrics[i].name,
				group == WEIR_METRICS_NODE ? ':' : '=');
			if (strstr(text, label) == NULL)
				fail_msg("no %s", metrics[i].name);
		}
	}
	close(fd);
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
	ask(fd, "PING", "+PONG\r\n");
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

	many_send(fd, 0, 300);
	many_expect(fd, 0, 1);
	peer_stop(&peer);
	many_expect(fd, 1, 299);
	peer_expect_end(fd);
}

static void gateway_ends_with_its_store(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	ask(fd, "PING", "+PONG\r\n");
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
		cmocka_unit_test(commands_of_redis_clients_are_answered),
		cmocka_unit_test(hello_3_turns_pairs_into_maps),
		cmocka_unit_test(flow_lives_through_its_states),
		cmocka_unit_test(flow_that_is_not_on_every_copy_is_asked_of_its_worker),
		cmocka_unit_test(what_was_seen_in_a_term_that_has_ended_meanwhile_is_not_said),
		cmocka_unit_test(worker_is_asked_for_a_large_flow_with_a_large_task),
		cmocka_unit_test(get_waits_for_a_free_task),
		cmocka_unit_test(purge_answers_how_many_flows_went),
		cmocka_unit_test(purge_that_failed_in_part_has_an_unknown_fate),
		cmocka_unit_test(
			purge_without_tasks_is_busy_and_of_a_client_that_has_gone_is_forgotten),
		cmocka_unit_test(bad_words_are_refused_with_the_syntax),
		cmocka_unit_test(node_outside_its_cluster_denies_no_device),
		cmocka_unit_test(device_name_has_a_limit),
		cmocka_unit_test(scan_sees_every_flow_once_and_ends_with_0),
		cmocka_unit_test(scan_filters),
		cmocka_unit_test(devices_are_listed_by_page_and_glob),
		cmocka_unit_test(masters_and_nodes_are_told),
		cmocka_unit_test(not_master_names_the_master_and_its_socket),
		cmocka_unit_test(every_error_of_a_task_reaches_its_client),
		cmocka_unit_test(info_has_sections),
		cmocka_unit_test(info_tells_every_metric_under_its_name),
		cmocka_unit_test(live_socket_is_refused_and_a_stale_one_replaced),
		cmocka_unit_test(stop_answers_what_is_under_way),
		cmocka_unit_test(gateway_ends_with_its_store),
		cmocka_unit_test(stop_of_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
