/* SPDX-License-Identifier: BSD-3-Clause */
/** @file A redis-server of a test's own, in a folder of its own; it dies with the test. */
#ifndef WEIR_TEST_COORD_SERVER_H
#define WEIR_TEST_COORD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <hiredis/hiredis.h>

#define SERVER_ARGS_MAX 16

struct server {
	char dir[64];
	char socket[96];
	unsigned port; /* of TCP; 0: none */
	bool sentinel;
	const char *args[SERVER_ARGS_MAX]; /* beyond the usual ones, NULL at the end */
	pid_t pid;                         /* 0: not running */
	redisContext *admin;
};

/** A folder and a socket's name; nothing runs yet. */
void server_prepare(struct server *server);

/** Starts it and waits until it answers. */
void server_start(struct server *server);

/** A TCP port that nobody has at the moment. */
unsigned server_free_port(void);

/** Starts it as a replica of another one that has a port, and waits until it is up to date. */
void server_start_replica(struct server *server, struct server *primary);

/** Makes it a Sentinel that watches a primary with a port under this name, and starts it. */
void server_start_sentinel(struct server *server, const struct server *primary, const char *name);

/** Waits until the reply to a command, as text, has this in it. */
void server_await(struct server *server, const char *command, const char *part);

/** SIGKILL; what it knew is gone. */
void server_kill(struct server *server);

void server_signal(struct server *server, int sig);

/** Kills it if it runs and removes the folder. */
void server_clean(struct server *server);

/** Runs a command on a connection of the test's own. The caller frees the reply. */
redisReply *server_command(struct server *server, const char *format, ...);

/** Runs a command that must not fail; its reply is not looked at. */
void server_do(struct server *server, const char *format, ...);

#endif
