/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

static void server_exec(const struct server *server, pid_t parent)
{
	const char *argv[32] = {"redis-server", "--port", "0", "--unixsocket", server->socket,
		"--save", "", "--appendonly", "no", "--dir", server->dir, "--logfile", "redis.log"};
	unsigned count = 13;

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
	char path[128];

	server_kill(server);
	unlink(server->socket);
	snprintf(path, sizeof(path), "%s/redis.log", server->dir);
	unlink(path);
	rmdir(server->dir);
}

redisReply *server_command(struct server *server, const char *format, ...)
{
	redisReply *reply;
	va_list list;

	va_start(list, format);
	reply = redisvCommand(server->admin, format, list);
	va_end(list);
	weir_assert(reply != NULL);
	return reply;
}

void server_do(struct server *server, const char *format, ...)
{
	redisReply *reply;
	va_list list;

	va_start(list, format);
	reply = redisvCommand(server->admin, format, list);
	va_end(list);
	weir_assert(reply != NULL);
	if (reply->type == REDIS_REPLY_ERROR)
		fprintf(stderr, "%s\n", reply->str);
	weir_assert(reply->type != REDIS_REPLY_ERROR);
	freeReplyObject(reply);
}
