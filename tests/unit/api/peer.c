/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

struct peer peer_start(const struct fake_conf *conf)
{
	struct peer peer = {.store = fake_create(conf)};
	struct weir_api_conf api = {
		.socket = peer.socket, .socket_mode = 0600, .request_timeout_ms = 5000};

	api.gateways_count = 1;
	snprintf(peer.socket, sizeof(peer.socket), "/tmp/weir-api-test-%d.sock", (int)getpid());
	fake_device_add(peer.store, "d1");
	peer.api = weir_api_start(&api, peer.store);
	assert_non_null(peer.api);
	return peer;
}

void peer_stop(struct peer *peer)
{
	weir_api_stop(peer->api);
	assert_int_equal(fake_tasks_now(peer->store), 0);
	assert_int_equal(fake_gates(peer->store), 0);
	assert_int_not_equal(access(peer->socket, F_OK), 0);
	fake_destroy(peer->store);
}

int peer_connect(const struct peer *peer)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, peer->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

bool peer_send_bytes(int fd, const void *bytes, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t part = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);

		if (part <= 0)
			return false;
		sent += (size_t)part;
	}
	return true;
}

bool peer_send(int fd, const char *text)
{
	return peer_send_bytes(fd, text, strlen(text));
}

static bool readable(int fd, int ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	return poll(&wait, 1, ms) == 1;
}

void peer_expect(int fd, const char *text)
{
	size_t want = strlen(text), have = 0;
	char got[4096];

	assert_true(want < sizeof(got));
	while (have < want) {
		ssize_t part;

		if (!readable(fd, PEER_WAIT_MS))
			fail_msg("came: \"%.*s\", awaited: \"%s\"", (int)have, got, text);
		part = recv(fd, got + have, want - have, 0);
		if (part <= 0)
			fail_msg("closed after \"%.*s\", awaited: \"%s\"", (int)have, got, text);
		have += (size_t)part;
		if (memcmp(got, text, have) != 0)
			fail_msg("came: \"%.*s\", awaited: \"%s\"", (int)have, got, text);
	}
}

void peer_expect_format(int fd, const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	peer_expect(fd, text);
}

void peer_expect_end(int fd)
{
	char byte;

	assert_true(readable(fd, PEER_WAIT_MS));
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

void peer_line(int fd, char *line, size_t room)
{
	size_t len = 0;

	do {
		assert_true(len + 1 < room && readable(fd, PEER_WAIT_MS));
		assert_int_equal(recv(fd, line + len, 1, 0), 1);
	} while (line[len++] != '\n');
	line[len - 2] = '\0';
}

bool peer_silent(int fd, int ms)
{
	return !readable(fd, ms);
}

void peer_wait(const struct peer *peer, unsigned long (*probe)(struct weir_store *store),
	unsigned long value)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (unsigned i = 0; probe(peer->store) != value; i++) {
		assert_true(i < PEER_WAIT_MS);
		nanosleep(&pause, NULL);
	}
}

void peer_ask(int fd, const char *request, const char *answer)
{
	peer_send(fd, request);
	peer_send(fd, "\r\n");
	peer_expect(fd, answer);
}

const char *peer_id_of(const char *match)
{
	static char text[32];
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *match != '\0'; match++)
		hash = (hash ^ (unsigned char)*match) * 0x100000001b3ULL;
	snprintf(text, sizeof(text), "$18\r\n0x%016llx\r\n",
		(unsigned long long)(hash & 0xffffffffffffULL));
	return text;
}

void *peer_room_take(size_t bytes)
{
	void *room = malloc(bytes);

	if (room == NULL)
		abort();
	return room;
}

void peer_many_send(int fd, unsigned first, unsigned count)
{
	size_t room = count * 64UL, len = 0;
	char *text = peer_room_take(room);

	for (unsigned i = first; i < first + count; i++)
		len += (size_t)snprintf(
			text + len, room - len, "FLOW.ADD d1 cookie=%u,actions=drop\r\n", i);
	assert_true(peer_send_bytes(fd, text, len));
	free(text);
}

void peer_many_expect(int fd, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		char match[32];

		snprintf(match, sizeof(match), "cookie=%u", i);
		peer_expect(fd, peer_id_of(match));
	}
}
