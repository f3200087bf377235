/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "store/store.h"

#include "heard.h"
#include "settings.h"

static struct weir_settings settings;

static unsigned read_with(const char *content, const char *override)
{
	return weir_settings_read(&settings, file_of(content), &override, override != NULL);
}

/* The sentences are given without program and file: those stand before each. */
static void assert_faults(const char *content, const char *override, unsigned count, ...)
{
	const char *said;
	va_list sentences;
	unsigned faults;

	listen_begin();
	faults = read_with(content, override);
	said = listen_end();
	assert_int_equal(faults, count);
	va_start(sentences, count);
	for (unsigned i = 0; i < count; i++) {
		const char *sentence = va_arg(sentences, const char *);

		if (strstr(said, sentence) == NULL)
			fail_msg("'%s' was not said, but:\n%s", sentence, said);
	}
	va_end(sentences);
}

static void only_the_name_has_to_be_set(void **state)
{
	assert_int_equal(read_with("[node]\nid = n1\n", NULL), 0);
	assert_string_equal(settings.node_id, "n1");
	assert_string_equal(settings.cluster, "weir");
	assert_int_equal(settings.backup_count, 2);
	assert_int_equal(settings.lease_ms, 2000);
	assert_int_equal(settings.api_socket_mode, 0660);
	assert_int_equal(settings.idle_policy, WEIR_IDLE_SLEEP);
	assert_false(weir_settings_shared(&settings));
	assert_int_equal(settings.redis_min_replicas, 0);
	assert_faults("[cluster]\nname = c\n", NULL, 1, "[node] id: has to be set");
}

static void every_type_is_read(void **state)
{
	assert_int_equal(read_with("# a comment\n[node]\nid=n-1.a_b\nlease_ms = 500\n"
				   "[cluster]\nunclean_takeover = yes\n[redis]\nsocket = /r.sock\n"
				   "[port]\nipv4 = 192.0.2.7 # ours\ndevice = net_ring0\n"
				   "[api]\nsocket_mode = 0600\n[idle]\npolicy = pause\n",
				 NULL),
		0);
	assert_string_equal(settings.node_id, "n-1.a_b");
	assert_int_equal(settings.lease_ms, 500);
	assert_true(settings.unclean_takeover);
	assert_string_equal(settings.redis_socket, "/r.sock");
	assert_int_equal(settings.port_ipv4, 0xc0000207);
	assert_string_equal(settings.port_device, "net_ring0");
	assert_int_equal(settings.api_socket_mode, 0600);
	assert_int_equal(settings.idle_policy, WEIR_IDLE_PAUSE);
	assert_true(weir_settings_shared(&settings));
	assert_int_equal(read_with("[node]\nid = n1\n[port]\nipv4 = 192.0.2.7\n[redis]\n"
				   "sentinels = 192.0.2.1:26379,192.0.2.2:26379\n"
				   "sentinel_master = weir\nmin_replicas = 7\n",
				 NULL),
		0);
	assert_string_equal(settings.redis_sentinels, "192.0.2.1:26379,192.0.2.2:26379");
	assert_string_equal(settings.redis_sentinel_master, "weir");
	assert_int_equal(settings.redis_min_replicas, 7);
	assert_true(weir_settings_shared(&settings));
}

static void an_override_goes_before_the_file(void **state)
{
	assert_int_equal(read_with("[node]\nid = n1\nlease_ms = 500\n", "node.lease_ms=700"), 0);
	assert_int_equal(settings.lease_ms, 700);
	assert_int_equal(read_with("[cluster]\nname = c\n", "node.id=n2"), 0);
	assert_string_equal(settings.node_id, "n2");
}

static void bad_overrides_are_named(void **state)
{
	const char *good = "[node]\nid = n1\n";

	assert_faults(good, "node", 1, "-o node: this is not of the form section.key=value");
	assert_faults(good, "node=x.y", 1, "-o node=x.y: this is not of the form");
	assert_faults(good, "node.size=3", 1,
		"weir-node: -o: [node] size: there is no such key in this section\n");
	assert_faults(good, "node.lease_ms=soon", 1, "-o: [node] lease_ms: 'soon' is not a number");
}

static void all_faults_are_said_with_file_section_and_key(void **state)
{
	char first[128];
	const char *content = "[node]\nid = n 1\nlease_ms = 10\nname = x\n[nodes]\nid = n1\n"
			      "[cluster]\nbackup_count = 8\nunclean_takeover = maybe\n"
			      "join_grace_ms = 5s\njoin_grace_ms = 5\n"
			      "[port]\nipv4 = 1.2.3\nmtu = -1\n[api]\nsocket = weir.sock\n"
			      "socket_mode = 0888\n[idle]\npolicy = doze\n";

	assert_faults(content, NULL, 13,
		"[node] id: 'n 1' is not a name of letters, digits, '.', '_' and '-'\n",
		"[node] lease_ms: '10' is not a number from 200 to 60000 ms\n",
		"[node] name: there is no such key in this section\n",
		"[nodes] id: there is no such section\n",
		"[cluster] backup_count: '8' is not a number from 0 to 7 nodes\n",
		"[cluster] unclean_takeover: 'maybe' is not yes or no\n",
		"[cluster] join_grace_ms: '5s' is not a number from 0 to 60000 ms\n",
		"[cluster] join_grace_ms: is given twice\n",
		"[port] ipv4: '1.2.3' is not an IPv4 address such as 192.0.2.1\n",
		"[port] mtu: '-1' is not a number from 576 to 9000 bytes\n",
		"[api] socket: 'weir.sock' is not an absolute path\n",
		"[api] socket_mode: '0888' is not an octal number from 0 to 0777\n",
		"[idle] policy: 'doze' is not poll, pause or sleep\n");
	snprintf(first, sizeof(first), "weir-node: %s: [node] id: ", file_of(content));
	listen_begin();
	weir_settings_read(&settings, file_of(content), NULL, 0);
	assert_memory_equal(listen_end(), first, strlen(first));
}

static void a_section_may_come_twice_but_not_its_keys(void **state)
{
	assert_int_equal(
		read_with("[node]\nid = n1\n[api]\ngateways = 2\n[node]\nlease_ms = 300\n", NULL),
		0);
	assert_int_equal(settings.lease_ms, 300);
	assert_faults("[node]\nid = n1\n[node]\nid = n2\n", NULL, 1, "[node] id: is given twice");
}

static void what_does_not_agree_is_said(void **state)
{
	assert_faults("[node]\nid = n1\n[redis]\nsocket = /r\nhost = h\n", NULL, 2,
		"[redis] host: either socket or host can be set, not both",
		"[port] ipv4: has to be set");
	assert_faults("[node]\nid = n1\n[api]\nsocket =\n", NULL, 1, "[api] socket: has to be set");
	assert_faults(
		"[node]\nid = n1\n[port]\nipv4 = 10.0.0.1\n[redis]\nhost = h\nsentinels = s\n",
		NULL, 2,
		"[redis] sentinels: either socket, host or sentinels can be set, not several\n",
		"[redis] sentinel_master: has to be set where sentinels are\n");
	assert_faults("[node]\nid = n1\n[redis]\nsentinels = s\nsentinel_master = m\n", NULL, 1,
		"[port] ipv4: has to be set");
	assert_faults("[node]\nid = n1\n[redis]\nsentinel_master = m\n", NULL, 1,
		"[redis] sentinel_master: is only for sentinels, which are not set\n");
	assert_faults("[node]\nid = n1\n[redis]\nmin_replicas = 8\n", NULL, 1,
		"[redis] min_replicas: '8' is not a number from 0 to 7 replicas\n");
	assert_faults("[node]\nid = n1\n[redis]\nmin_replicas = -1\n", NULL, 1,
		"[redis] min_replicas: '-1' is not a number from 0 to 7 replicas\n");
}

static void too_long_values_are_refused(void **state)
{
	char content[256];

	memset(content, 0, sizeof(content));
	strcpy(content, "[node]\nid = ");
	memset(content + strlen(content), 'n', WEIR_NODE_ID_MAX - 1);
	assert_int_equal(read_with(content, NULL), 0);
	strcat(content, "n");
	assert_faults(content, NULL, 1, "is not short enough: 31 bytes at most");
}

static void a_file_that_is_none_is_refused(void **state)
{
	listen_begin();
	assert_int_equal(weir_settings_read(&settings, "/nowhere/weir.conf", NULL, 0), 1);
	assert_string_equal(
		listen_end(), "weir-node: /nowhere/weir.conf: No such file or directory\n");
}

static void lines_of_no_known_form_are_named(void **state)
{
	char content[1024] = "[node]\nid = ";

	assert_faults("just some words\n", NULL, 1, "line 1: a [section] has to come first");
	assert_faults("id = n1\n", NULL, 1, "line 1: a [section] has to come first");
	assert_faults("# c\n\n[node\nid = n1\n", NULL, 1, "line 3: a [section] is expected");
	assert_faults("[node]\nid n1\n", NULL, 1, "line 2: `key = value` is expected");
	assert_faults("[node]\n= n1\n", NULL, 1, "line 2: `key = value` is expected");
	memset(content + strlen(content), 'n', 256);
	assert_faults(content, NULL, 1, "line 2: a value has 255 bytes at most");
	memset(content + strlen(content), 'n', 256);
	assert_faults(content, NULL, 1, "line 2: a line has 318 bytes at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_name_has_to_be_set),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(an_override_goes_before_the_file),
		cmocka_unit_test(bad_overrides_are_named),
		cmocka_unit_test(all_faults_are_said_with_file_section_and_key),
		cmocka_unit_test(a_section_may_come_twice_but_not_its_keys),
		cmocka_unit_test(what_does_not_agree_is_said),
		cmocka_unit_test(too_long_values_are_refused),
		cmocka_unit_test(a_file_that_is_none_is_refused),
		cmocka_unit_test(lines_of_no_known_form_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
