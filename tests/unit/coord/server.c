/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "server.h"

#define START_DEADLINE_NS (20 * WEIR_NS_PER_S)

void server_prepare(struct server *server)
{
	memset(server, 0, sizeof(*server));
	snprintf(server->dir, sizeof(server->dir), "/tmp/weir-test-coord.XXXXXX");
	weir_assert(mkdtemp(server->dir) != NULL);
	snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->dir);
}

unsigned server_free_port(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	weir_assert(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	weir_assert(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	close(fd);
	return ntohs(addr.sin_port);
}

/* The settings of a Sentinel are a file, for it writes into them. */
static unsigned argv_begin(const struct server *server, const char **argv, char *port, char *conf)
{
	unsigned count = 0;

	sprintf(port, "%u", server->port);
	sprintf(conf, "%s/redis.conf", server->dir);
	argv[count++] = "redis-server";
	if (server->sentinel) {
		argv[count++] = conf;
		argv[count++] = "--sentinel";
	} else {
		argv[count++] = "--save";
		argv[count++] = "";
		argv[count++] = "--appendonly";
		argv[count++] = "no";
		argv[count++] = "--repl-diskless-sync-delay";
		argv[count++] = "0";
	}
	argv[count++] = "--port";
	argv[count++] = port;
	return count;
}

static void server_exec(const struct server *server, pid_t parent)
{
	char port[16], conf[128];
	const char *argv[48];
	unsigned count = argv_begin(server, argv, port, conf);
	const char *const usual[] = {
		"--unixsocket", server->socket, "--dir", server->dir, "--logfile", "redis.log"};

	for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		argv[count++] = usual[i];
	for (unsigned i = 0; server->args[i] != NULL; i++)
		argv[count++] = server->args[i];
	argv[count] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static bool server_answers(struct server *server)
{
	redisContext *admin = redisConnectUnix(server->socket);
	redisReply *reply = NULL;

	if (admin != NULL && admin->err == 0)
		reply = redisCommand(admin, "PING");
	if (reply == NULL) {
		redisFree(admin);
		return false;
	}
	freeReplyObject(reply);
	server->admin = admin;
	return true;
}

void server_start(struct server *server)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	uint64_t deadline_ns = weir_clock_ns() + START_DEADLINE_NS;
	pid_t parent = getpid();

	unlink(server->socket);
	server->pid = fork();
	weir_assert(server->pid >= 0);
	if (server->pid == 0)
		server_exec(server, parent);
	while (!server_answers(server)) {
		weir_assert(weir_clock_ns() < deadline_ns);
		nanosleep(&pause, NULL);
	}
}

void server_kill(struct server *server)
{
	if (server->pid == 0)
		return;
	redisFree(server->admin);
	server->admin = NULL;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void server_signal(struct server *server, int sig)
{
	weir_assert(server->pid > 0 && kill(server->pid, sig) == 0);
}

void server_clean(struct server *server)
{
	static const char *const files[] = {"redis.log", "redis.conf", "dump.rdb"};
	char path[128];

	server_kill(server);
	unlink(server->socket);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", server->dir, files[i]);
		unlink(path);
	}
	rmdir(server->dir);
}

/* Once more on a new connection, for Sentinels end those to whom they give another role. */
static redisReply *command_run(struct server *server, const char *format, va_list list)
{
	redisReply *reply;
	va_list again;

	va_copy(again, list);
	reply = redisvCommand(server->admin, format, list);
	if (reply == NULL) {
		redisFree(server->admin);
		weir_assert(server_answers(server));
		reply = redisvCommand(server->admin, format, again);
	}
	va_end(again);
	weir_assert(reply != NULL);
	return reply;
}

redisReply *server_command(struct server *server, const char *format, ...)
{
	redisReply *reply;
	va_list list;

	va_start(list, format);
	reply = command_run(server, format, list);
	va_end(list);
	return reply;
}

void server_do(struct server *server, const char *format, ...)
{
	redisReply *reply;
	va_list list;

	va_start(list, format);
	reply = command_run(server, format, list);
	va_end(list);
	if (reply->type == REDIS_REPLY_ERROR)
		fprintf(stderr, "%s\n", reply->str);
	weir_assert(reply->type != REDIS_REPLY_ERROR);
	freeReplyObject(reply);
}

/* How many replicas have everything; waits until there are so many. */
static unsigned server_replicas(struct server *server, unsigned count)
{
	redisReply *reply = server_command(server, "WAIT %u %u", count,
		count > 0 ? (unsigned)(START_DEADLINE_NS / WEIR_NS_PER_MS) : 1);
	unsigned found = (unsigned)reply->integer;

	weir_assert(reply->type == REDIS_REPLY_INTEGER);
	freeReplyObject(reply);
	return found;
}

void server_await(struct server *server, const char *command, const char *part)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	uint64_t deadline_ns = weir_clock_ns() + START_DEADLINE_NS;

	for (bool found = false; !found; nanosleep(&pause, NULL)) {
		redisReply *reply = server_command(server, command);

		weir_assert(weir_clock_ns() < deadline_ns);
		found = reply->str != NULL && strstr(reply->str, part) != NULL;
		freeReplyObject(reply);
	}
}

void server_start_replica(struct server *server, struct server *primary)
{
	unsigned before = server_replicas(primary, 0);

	server->port = server_free_port();
	server_start(server);
	server_do(server, "REPLICAOF 127.0.0.1 %u", primary->port);
	server_await(server, "INFO replication", "master_link_status:up");
	/* Only what it confirms shows that its stream has begun: it is called online before. */
	server_do(primary, "PUBLISH weir-test begun");
	weir_assert(server_replicas(primary, before + 1) > before);
}

void server_start_sentinel(struct server *server, const struct server *primary, const char *name)
{
	char path[128];
	FILE *file;

	server->sentinel = true;
	server->port = server_free_port();
	snprintf(path, sizeof(path), "%s/redis.conf", server->dir);
	file = fopen(path, "w");
	weir_assert(file != NULL);
	fprintf(file,
		"sentinel monitor %s 127.0.0.1 %u 1\nsentinel down-after-milliseconds %s 300\n"
		"sentinel failover-timeout %s 2000\n",
		name, primary->port, name, name);
	fclose(file);
	server_start(server);
}
