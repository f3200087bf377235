/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(bool cond, const char *what)
{
	if (cond)
		return;
	perror(what);
	abort();
}

bool server_is_flow(const struct weir_words *words)
{
	return words->word[0].len > 5 && strncasecmp(words->word[0].at, "FLOW.", 5) == 0;
}

static void socket_pair(struct weir_reply *out, const struct server *server)
{
	weir_reply_text(out, "socket");
	weir_reply_text(out, server != NULL ? server->socket : "");
}

bool server_usual(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	if (server_is_flow(words)) {
		weir_reply_flow_id(out, 0x1234);
	} else if (weir_word_is(&words->word[0], "MASTER.GET")) {
		weir_reply_map(out, 2);
		socket_pair(out, server->master);
		weir_reply_text(out, "term");
		weir_reply_number(out, server->term);
	} else if (weir_word_is(&words->word[0], "NODE.LIST")) {
		weir_reply_array(out, server->peer != NULL ? 1 : 0);
		if (server->peer != NULL) {
			weir_reply_map(out, 1);
			socket_pair(out, server->peer);
		}
	} else {
		weir_reply_raw(out, "-ERR what\r\n", 11);
	}
	return true;
}

void server_die(struct server *server)
{
	server->dead = true;
	unlink(server->socket);
	close(server->listen_fd);
	for (unsigned i = 0; i < SERVER_CONNS_MAX; i++) {
		if (server->conns[i].fd >= 0)
			close(server->conns[i].fd);
		server->conns[i].fd = -1;
	}
}

static void conn_take(struct server *server)
{
	int fd = accept(server->listen_fd, NULL, NULL);

	for (unsigned i = 0; fd >= 0 && i < SERVER_CONNS_MAX; i++) {
		if (server->conns[i].fd >= 0)
			continue;
		server->conns[i].fd = fd;
		server->conns[i].len = 0;
		server->connects++;
		return;
	}
	must(fd < 0, "too many connections");
}

/* The client may have gone: then the rest is nobody's. */
static void answers_send(const struct server *server, int fd, const struct weir_reply *out)
{
	size_t step = server->slow ? 1 : weir_reply_left(out);

	for (size_t at = 0; at < weir_reply_left(out); at += step)
		if (send(fd, out->bytes + at, step, MSG_NOSIGNAL) <= 0)
			return;
}

static void conn_serve(struct server *server, unsigned i)
{
	struct weir_reply out = {.protocol = 2};
	char *in = server->conns[i].in;
	ssize_t got = recv(server->conns[i].fd, in + server->conns[i].len,
		sizeof(server->conns[i].in) - server->conns[i].len, 0);
	size_t at = 0;
	bool stay = got > 0;

	server->conns[i].len += got > 0 ? (size_t)got : 0;
	while (stay && !server->dead) {
		struct weir_resp resp = {0};
		long taken =
			weir_resp_parse(&resp, in + at, server->conns[i].len - at, &server->words);

		must(taken >= 0, "the client's request is malformed");
		if (taken == 0)
			break;
		at += (size_t)taken;
		server->flows += server_is_flow(&server->words);
		stay = server->script(server, &server->words, &out);
		if (server->delay_ms > 0 && !server->dead) {
			usleep(server->delay_ms * 1000);
			answers_send(server, server->conns[i].fd, &out);
			weir_reply_clear(&out);
		}
	}
	if (!server->dead) {
		answers_send(server, server->conns[i].fd, &out);
		memmove(in, in + at, server->conns[i].len - at);
		server->conns[i].len -= at;
		if (!stay) {
			close(server->conns[i].fd);
			server->conns[i].fd = -1;
		}
	}
	weir_reply_free(&out);
}

static void *server_main(void *ctx)
{
	struct server *server = ctx;

	while (!server->stop && !server->dead) {
		struct pollfd fds[1 + SERVER_CONNS_MAX];

		fds[0] = (struct pollfd){.fd = server->listen_fd, .events = POLLIN};
		for (unsigned i = 0; i < SERVER_CONNS_MAX; i++)
			fds[1 + i] = (struct pollfd){.fd = server->conns[i].fd, .events = POLLIN};
		if (poll(fds, 1 + SERVER_CONNS_MAX, 5) <= 0)
			continue;
		if (fds[0].revents != 0)
			conn_take(server);
		for (unsigned i = 0; i < SERVER_CONNS_MAX && !server->dead; i++)
			if (fds[1 + i].revents != 0 && server->conns[i].fd == fds[1 + i].fd)
				conn_serve(server, i);
	}
	return NULL;
}

struct server *server_start(const char *name, server_script *script, void *ctx)
{
	struct server *server = calloc(1, sizeof(*server));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	must(server != NULL, "calloc");
	server->script = script;
	server->ctx = ctx;
	server->term = 1;
	for (unsigned i = 0; i < SERVER_CONNS_MAX; i++)
		server->conns[i].fd = -1;
	snprintf(server->socket, sizeof(server->socket), "/tmp/weir-client-test-%d-%s.sock",
		(int)getpid(), name);
	strcpy(addr.sun_path, server->socket);
	unlink(server->socket);
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(bind(server->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	must(listen(server->listen_fd, 64) == 0, "listen");
	must(pthread_create(&server->thread, NULL, server_main, server) == 0, "pthread_create");
	return server;
}

void server_stop(struct server *server)
{
	server->stop = true;
	pthread_join(server->thread, NULL);
	if (!server->dead)
		server_die(server);
	free(server);
}
