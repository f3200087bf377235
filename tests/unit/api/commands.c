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

static void commands_of_redis_clients_are_answered(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	peer_ask(fd, "ping", "+PONG\r\n");
	peer_ask(fd, "PING hello", "$5\r\nhello\r\n");
	peer_ask(fd, "ECHO \"a b\"", "$3\r\na b\r\n");
	peer_ask(fd, "SELECT 0", "+OK\r\n");
	peer_ask(fd, "SELECT 1", "-ERR DB index is out of range, there is only 0\r\n");
	peer_ask(fd, "CLIENT GETNAME", "$-1\r\n");
	peer_ask(fd, "CLIENT SETNAME me", "+OK\r\n");
	peer_ask(fd, "CLIENT GETNAME", "$2\r\nme\r\n");
	peer_ask(fd, "CLIENT SETINFO LIB-NAME x", "+OK\r\n");
	peer_ask(fd, "CLIENT ID", ":1\r\n");
	peer_ask(fd, "CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
	peer_ask(fd, "CONFIG GET append* nothing", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
	peer_ask(fd, "CONFIG SET a b", "-ERR syntax error, try CONFIG GET glob...\r\n");
	peer_ask(fd, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
	peer_ask(fd, "RESET", "+RESET\r\n");
	peer_ask(fd, "CLIENT GETNAME", "$-1\r\n");
	peer_ask(fd, "ECHO",
		"-ERR wrong number of arguments for 'ECHO' command, it is: ECHO message\r\n");
	peer_ask(fd, "HELP ECHO", "*1\r\n$26\r\nECHO message: The message.\r\n");
	peer_ask(fd, "QUIT", "+OK\r\n");
	peer_expect_end(fd);
	peer_stop(&peer);
}

static void hello_3_turns_pairs_into_maps(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	peer_ask(fd, "HELLO 3 SETNAME x", "%7\r\n$6\r\nserver\r\n$4\r\nweir\r\n$7\r\nversion\r\n");
	peer_expect_format(fd, "$%zu\r\n%s\r\n", strlen(WEIR_VERSION), WEIR_VERSION);
	peer_expect(fd, "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
			"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
	peer_ask(fd, "CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
	peer_ask(fd, "RESET", "+RESET\r\n");
	peer_ask(fd, "CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
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

	peer_ask(fd, "FLOW.MOD d1 a,actions=drop", "-NOTFOUND no such rule\r\n");
	peer_ask(fd, "FLOW.REPORT d1 a",
		"-EXTRANEOUS the rule is not stored here and the device may not add it\r\n");
	peer_ask(fd, "FLOW.ADD d1 a,actions=drop ACK local", peer_id_of("a"));
	peer_send(fd, "FLOW.GET d1 a\r\n");
	peer_expect_format(
		fd, FLOW_A("$11\r\nPENDING_ADD\r\n", "0", "0", "0") "0\r\n", peer_id_of("a"));
	peer_ask(fd, "FLOW.REPORT d1 a PACKETS 7 BYTES 700 LIFE 3", peer_id_of("a"));
	peer_send(fd, "FLOW.GET d1 a,actions=whatever\r\n");
	peer_expect_format(fd, FLOW_A("$5\r\nADDED\r\n", "7", "700", "3"), peer_id_of("a"));
	peer_line(fd, line, sizeof(line));
	assert_true(strtoull(line, NULL, 10) > 1000000000000ULL);
	peer_ask(fd, "FLOW.DEL d1 a", peer_id_of("a"));
	peer_ask(fd, "FLOW.COUNT d1 STATE pending_remove", ":1\r\n");
	peer_ask(fd, "FLOW.COUNT d1 STATE ADDED", ":0\r\n");
	peer_ask(fd, "FLOW.COUNT", ":1\r\n");
	peer_ask(fd, "FLOW.PENDING d1 a", peer_id_of("a"));
	peer_ask(fd, "FLOW.REMOVED d1 a", peer_id_of("a"));
	peer_ask(fd, "FLOW.GET d1 zz", "-NOTFOUND no such rule\r\n");
	peer_ask(fd, "FLOW.GET d1 0x1", "-NOTFOUND no such rule\r\n");
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
	snprintf(id, sizeof(id), "%s", peer_id_of("a"));
	peer_expect(fd, id);
	peer_expect_format(fd, FLOW_A("$11\r\nPENDING_ADD\r\n", "0", "0", "0") "0\r\n", id);
	peer_expect(fd, "-NOTFOUND no such rule\r\n+PONG\r\n");
	assert_int_equal(fake_submitted(peer.store), 3);
	peer_ask(fd, "FLOW.GET d1 a LOCAL", "*18\r\n$4\r\nflow\r\n");
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

	peer_ask(fd, "FLOW.ADD d1 a,actions=drop", peer_id_of("a"));
	peer_send(fd, "FLOW.GET d1 a\r\n");
	peer_expect(fd, "-BUSY ");
	close(fd);
	fd = peer_connect(&peer);
	peer_ask(fd, "FLOW.GET d1 a LOCAL", "*18\r\n");
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
	peer_ask(fd, request, peer_id_of(match));
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
	peer_expect(first, peer_id_of("a"));
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

	snprintf(ids[0], sizeof(ids[0]), "%s", peer_id_of("a"));
	snprintf(ids[1], sizeof(ids[1]), "%s", peer_id_of("b"));
	peer_ask(fd, "FLOW.PURGE d1", ":0\r\n");
	peer_send(fd, ADD("a") ADD("b"));
	peer_expect(fd, ids[0]);
	peer_expect(fd, ids[1]);
	peer_send(fd, "FLOW.PURGE d1 APP 7 ACK local\r\nPING\r\n");
	peer_expect(fd, ":2\r\n+PONG\r\n");
	peer_ask(fd, "FLOW.PURGE",
		"-ERR wrong number of arguments for 'FLOW.PURGE' command, it is: "
		"FLOW.PURGE device [APP a] [ACK local|insync]\r\n");
	peer_ask(fd, "FLOW.PURGE d1 APP 65536", syntax);
	peer_ask(fd, "FLOW.PURGE d1 APP", syntax);
	peer_ask(fd, "FLOW.PURGE d1 now", syntax);
	peer_ask(fd, "FLOW.PURGE dx", "-NODEVICE no such device: dx\r\n");
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
	peer_ask(fd, "FLOW.ADD d1 a,actions=drop", peer_id_of("a"));
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
	peer_ask(fd, "PING", "+PONG\r\n");
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

	peer_ask(fd, "FLOW.ADD d1 a,actions=drop ACK", add);
	peer_ask(fd, "FLOW.ADD d1 a,actions=drop ACK never", add);
	peer_ask(fd, "FLOW.ADD d1 a,actions=drop PACKETS 1", add);
	peer_ask(fd, "FLOW.ADD d1 a,actions=drop ACK local x", add);
	peer_ask(fd, "FLOW.ADD d1 a", "-BADFLOW column 2: actions= is missing\r\n");
	peer_ask(fd, "FLOW.SCAN d1 x", scan);
	peer_ask(fd, "FLOW.SCAN d1 -1", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 COUNT 0", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 COUNT 10001", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 STATE gone", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 TABLE 255", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 APP 65536", scan);
	peer_ask(fd, "FLOW.SCAN d1 0 STATE", scan);
	peer_ask(fd, "FLOW.SCAN dx 0", "-NODEVICE no such device: dx\r\n");
	peer_ask(fd, "FLOW.GET d1 bad=1", "-BADFLOW column 1: no such field: bad\r\n");
	peer_ask(fd, "FLOW.GET d1 a LOCALLY",
		"-ERR syntax error, try FLOW.GET device flowid|flow [LOCAL]\r\n");
	peer_ask(fd, "DEVICE.ADD \"a b\"",
		"-ERR a device's name is made of printable ASCII characters other than blanks\r\n");
	peer_ask(fd, "DEVICE.ADD a\xff",
		"-ERR a device's name is made of printable ASCII characters other than blanks\r\n");
	peer_ask(fd, "DEVICE.ADD \"\"",
		"-TOOBIG a device's name has 1 to 127 bytes, a node's at most 31, and no NUL\r\n");
	peer_ask(fd, "ROLE.SET d1 n1 boss",
		"-ERR syntax error, try ROLE.SET device node master|standby|none\r\n");
	peer_ask(fd, "ROLE.SET d1 n9 standby",
		"-NOTFOUND no such live node: n9, or none to take its place\r\n");
	peer_ask(fd, "ROLE.SET d1 n9 master", "-NOTFOUND no such live node: n9\r\n");
	peer_ask(fd, "MASTER.SET d1 n9", "-NOTFOUND no such live node: n9\r\n");
	peer_ask(fd, "ROLE.SET d1 n1 none", "+OK\r\n");
	peer_ask(fd, "MASTER.SET d1 n1", "+OK\r\n");
	peer_ask(fd, "NODE.FORGET n2", "+OK\r\n");
	peer_ask(fd, "NODE.FORGET n9", "-NOTFOUND the cluster knows no node n9\r\n");
	close(fd);
	peer_stop(&peer);
}

/* A node that starts has not heard of any device yet: that is not the same as "no such device". */
static void node_outside_its_cluster_denies_no_device(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){.leaseless = true});
	int fd = peer_connect(&peer);

	peer_ask(fd, "DEVICE.INFO dx",
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
	peer_ask(fd, request, "+OK\r\n");
	snprintf(request, sizeof(request), "DEVICE.ADD %0*d", WEIR_DEVICE_ID_MAX, 1);
	peer_ask(fd, request,
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

	peer_many_send(fd, 0, 1000);
	peer_many_expect(fd, 0, 1000);
	do {
		unsigned number;

		snprintf(request, sizeof(request), "FLOW.SCAN d1 %s COUNT 300 LOCAL", cursor);
		peer_ask(fd, request, "*2\r\n");
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

	peer_many_send(fd, 0, 10);
	peer_many_expect(fd, 0, 10);
	peer_ask(fd, "FLOW.SCAN d1 0 STATE ADDED", "*2\r\n$1\r\n0\r\n*0\r\n");
	peer_ask(fd, "FLOW.SCAN d1 0 TABLE 3", "*2\r\n$1\r\n0\r\n*0\r\n");
	peer_ask(fd, "FLOW.SCAN d1 0 APP 9", "*2\r\n$1\r\n0\r\n*0\r\n");
	peer_ask(fd, "FLOW.SCAN d1 0 APP 0 TABLE 0 STATE PENDING_ADD COUNT 4",
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
	peer_ask(fd, "DEVICE.LIST",
		"*2\r\n$1\r\n0\r\n*4\r\n$1\r\n0\r\n$2\r\nd1\r\n$2\r\nd2\r\n$2\r\ne1\r\n");
	peer_ask(fd, "DEVICE.LIST COUNT 2", "*2\r\n$3\r\n>d1\r\n*2\r\n$1\r\n0\r\n$2\r\nd1\r\n");
	peer_ask(fd, "DEVICE.LIST CURSOR >d1", "*2\r\n$1\r\n0\r\n*2\r\n$2\r\nd2\r\n$2\r\ne1\r\n");
	peer_ask(fd, "DEVICE.LIST CURSOR 0 MATCH d*",
		"*2\r\n$1\r\n0\r\n*2\r\n$2\r\nd1\r\n$2\r\nd2\r\n");
	peer_ask(fd, "DEVICE.LIST CURSOR x",
		"-ERR syntax error, try DEVICE.LIST [MATCH glob] [CURSOR c] [COUNT n]\r\n");
	peer_ask(fd, "DEVICE.LIST MATCH",
		"-ERR syntax error, try DEVICE.LIST [MATCH glob] [CURSOR c] [COUNT n]\r\n");
	close(fd);
	peer_stop(&peer);
}

static void masters_and_nodes_are_told(void **state)
{
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);

	peer_ask(fd, "MASTER.GET d1",
		"*14\r\n$6\r\ndevice\r\n$2\r\nd1\r\n$6\r\nmaster\r\n$2\r\nn2\r\n$6\r\nsocket\r\n"
		"$12\r\n/run/n2.sock\r\n$4\r\nterm\r\n:7\r\n$6\r\nactive\r\n:7\r\n$7\r\nbackups\r\n"
		"*1\r\n$2\r\nn3\r\n$6\r\ninsync\r\n*1\r\n$2\r\nn2\r\n");
	peer_ask(fd, "MASTER.LIST", "*1\r\n*14\r\n$6\r\ndevice\r\n$2\r\nd1\r\n");
	close(fd);
	fd = peer_connect(&peer);
	peer_ask(fd, "NODE.LIST", "*2\r\n*14\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\nlive\r\n:1\r\n");
	close(fd);
	fd = peer_connect(&peer);
	peer_ask(fd, "DEVICE.INFO d1",
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

	peer_ask(fd, "FLOW.ADD d1 a,actions=drop", answer);
	peer_ask(fd, "FLOW.GET d1 a", answer);
	peer_ask(fd, "FLOW.SCAN d1 0", answer);
	peer_ask(fd, "FLOW.COUNT d1", answer);
	peer_ask(fd, "FLOW.COUNT", ":0\r\n");
	peer_ask(fd, "FLOW.GET d1 a LOCAL", "-NOTFOUND no such rule\r\n");
	peer_ask(fd, "FLOW.SCAN d1 0 LOCAL", "*2\r\n$1\r\n0\r\n*0\r\n");
	peer_ask(fd, "FLOW.COUNT d1 LOCAL", ":0\r\n");
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
	peer_ask(fd, "INFO nonsense", "$0\r\n\r\n");
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
	static const bool in_lines[WEIR_METRIC_GROUPS] = {
		[WEIR_METRICS_NODE] = true, [WEIR_METRICS_TENURE] = true};
	struct peer peer = peer_start(&(struct fake_conf){0});
	int fd = peer_connect(&peer);
	char text[16384], label[64];

	peer_send(fd, "INFO\r\n");
	bulk_read(fd, text, sizeof(text));
	assert_non_null(strstr(text, "\nworker0:turns="));
	assert_non_null(strstr(text, "\nworker0_link:tx_frames="));
	assert_non_null(strstr(text, "\npeer_n2:peer_sessions=1,"));
	assert_non_null(strstr(text, "\nrenewals:7\r"));
	for (unsigned group = 0; group < WEIR_METRIC_GROUPS; group++) {
		unsigned count;
		const struct weir_metric *metrics = weir_metrics(group, &count);

		/* The first metric of a line stands behind the line's own name. */
		for (unsigned i = in_lines[group] ? 0 : 1; i < count; i++) {
			snprintf(label, sizeof(label),
				in_lines[group] ? "\n%s:" : ",%s=", metrics[i].name);
			if (strstr(text, label) == NULL)
				fail_msg("no %s", metrics[i].name);
		}
	}
	close(fd);
	peer_stop(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
