/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * weirctl: the operator's tool. One verb a function; what they share.
 */
#ifndef APP_WEIRCTL_H
#define APP_WEIRCTL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/weir_client.h"

/** Exit status. */
enum ctl_exit {
	CTL_FINE = 0,
	CTL_REFUSED = 1, /**< refused, or not found */
	CTL_USAGE = 2,
	CTL_NO_ANSWER = 3,
};

/** A run of weirctl: options, and the words behind the verb. */
struct ctl {
	struct weir_session *session;
	const struct weir_client_conf *conf; /**< what the session was opened with */
	const struct ctl_verb *verb;
	int argc;
	char **argv; /**< arguments of the verb; argv[0] is the first */
	bool json, progress, local;
	bool brief, counts, bare;    /**< flows -s, -c, -n */
	const char *period, *rounds; /**< top -d, -n; NULL: not said */
	const char *acked_log;       /**< add-flows --acked-log */
	const char *acked;           /**< verify --acked */
};

struct ctl_verb {
	const char *name;
	int args_min, args_max;
	const char *syntax;
	const char *summary;
	int (*run)(struct ctl *ctl);
};

int ctl_nodes(struct ctl *ctl);
int ctl_devices(struct ctl *ctl);
int ctl_masters(struct ctl *ctl);
int ctl_roles(struct ctl *ctl);
int ctl_device_add(struct ctl *ctl);
int ctl_forget(struct ctl *ctl);
int ctl_device_role(struct ctl *ctl);
int ctl_flows(struct ctl *ctl);
int ctl_dump_flows(struct ctl *ctl);
int ctl_add_flow(struct ctl *ctl);
int ctl_del_flow(struct ctl *ctl);
int ctl_purge(struct ctl *ctl);
int ctl_add_flows(struct ctl *ctl);
int ctl_del_flows(struct ctl *ctl);
int ctl_verify(struct ctl *ctl);
int ctl_top(struct ctl *ctl);

/* ------------------------------------------------------------------------- asking (ask.c) --- */

/** What an answer amounts to: prints an error (to stderr) and gives the exit status. */
int ctl_check(struct ctl *ctl, const redisReply *reply);

/** The value of a name in an answer of names and values; NULL: not there. */
const redisReply *ctl_field(const redisReply *reply, const char *name);
const char *ctl_text(const redisReply *reply, const char *name);
long long ctl_number(const redisReply *reply, const char *name);

/** Calls `visit` with each device's name, until it returns other than CTL_FINE. */
int ctl_each_device(
	struct ctl *ctl, int (*visit)(struct ctl *ctl, const char *device, void *ctx), void *ctx);

/** One flow of a scan. */
struct ctl_flow {
	const char *text, *id, *state;
	long long packets, bytes, life_s;
};

/**
 * Scans a device at its master (or, with --local, at the node that answers). All is gathered
 * before the first visit: where the master changes on the way, the scan begins again.
 * @param state NULL: any
 */
int ctl_scan(struct ctl *ctl, const char *device, const char *state,
	void (*visit)(void *ctx, const struct ctl_flow *flow), void *ctx);

/** Prints a JSON string. */
void ctl_json_text(FILE *to, const char *text);

/* ------------------------------------------------------------------------ files (lines.c) --- */

struct ctl_lines;

/** One line of a flow file, without comment, blanks around it and line end. */
struct ctl_line {
	uint64_t number; /**< 1 for the first */
	unsigned column; /**< where `text` begins, 1 for the first byte */
	const char *text;
	size_t len;
	bool too_long;
};

/** Opens a file, plain or gzip; "-" is standard input. @return NULL: cannot (said to stderr) */
struct ctl_lines *ctl_lines_open(const char *path);
void ctl_lines_close(struct ctl_lines *lines);

/** The next line that is not blank and not a comment. @return whether there is one */
bool ctl_lines_next(struct ctl_lines *lines, struct ctl_line *line);

/** Whether reading ended with an error (said to stderr). */
bool ctl_lines_broken(const struct ctl_lines *lines);

/** How much of the file has been read, 0..1; < 0: not known. */
double ctl_lines_share(const struct ctl_lines *lines);

#endif
