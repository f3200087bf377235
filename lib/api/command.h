/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The one table of commands: from it come dispatch, arity, COMMAND, HELP and their errors.
 */
#ifndef WEIR_API_COMMAND_H
#define WEIR_API_COMMAND_H

#include "api/gateway.h"

enum weir_command_flags {
	WEIR_COMMAND_READ = 1,
	WEIR_COMMAND_WRITE = 2,   /**< may run while others of its connection do */
	WEIR_COMMAND_CONTROL = 4, /**< asks the control core; what follows waits */
	WEIR_COMMAND_SERVER = 8,  /**< about the connection or the node */
};

struct weir_command {
	const char *name;    /**< in capitals */
	int arity;           /**< words, the name counted; negative: at least so many */
	unsigned flags;      /**< enum weir_command_flags */
	const char *syntax;  /**< what follows the name */
	const char *summary; /**< a sentence without its stop */
	enum weir_call_result (*run)(const struct weir_call *call);
};

extern const struct weir_command weir_commands[];
extern const unsigned weir_commands_count;

/** The command of that name, or NULL. */
const struct weir_command *weir_command_find(const struct weir_word *name);

/** Whether the number of words is right. */
bool weir_command_arity_right(const struct weir_command *command, unsigned words);

/** Answers that the words after the name are wrong, with the syntax. */
enum weir_call_result weir_call_syntax(const struct weir_call *call);

/** Answers an error with its own sentence. */
enum weir_call_result weir_call_error(const struct weir_call *call, int err);

/**
 * Writes the NOTMASTER answer for a device: node, socket (`-` where not known) and a sentence.
 * @param device NULL: not known here
 */
struct weir_device;
void weir_reply_notmaster(
	struct weir_reply *reply, const struct weir_store *store, const struct weir_device *device);

/** No task is free: the request waits until others have come back, or is answered BUSY. */
enum weir_call_result weir_call_task_missing(const struct weir_call *call);

/** Writes a flow with its state and counters: a map (RESP3), or names and values in turn. */
struct weir_entry;
void weir_reply_flow(struct weir_reply *reply, const struct weir_entry *entry, bool local);

/** The device that word 1 names; NULL: there is none, and that is answered. */
const struct weir_device *weir_call_device(const struct weir_call *call);

/* The functions, by subject. */
#define WEIR_RUN(name) enum weir_call_result weir_run_##name(const struct weir_call *call)

/* server.c */
WEIR_RUN(ping);
WEIR_RUN(echo);
WEIR_RUN(hello);
WEIR_RUN(quit);
WEIR_RUN(reset);
WEIR_RUN(select);
WEIR_RUN(client);
WEIR_RUN(config);
/* info.c */
WEIR_RUN(info);
/* command.c */
WEIR_RUN(command);
WEIR_RUN(help);
/* device.c */
WEIR_RUN(device_add);
WEIR_RUN(device_list);
WEIR_RUN(device_info);
WEIR_RUN(master_get);
WEIR_RUN(master_set);
WEIR_RUN(node_forget);
WEIR_RUN(master_list);
WEIR_RUN(role_set);
WEIR_RUN(node_list);
/* write.c */
WEIR_RUN(flow_add);
WEIR_RUN(flow_mod);
WEIR_RUN(flow_del);
WEIR_RUN(flow_report);
WEIR_RUN(flow_pending);
WEIR_RUN(flow_removed);
WEIR_RUN(flow_purge);
/* read.c */
WEIR_RUN(flow_get);
WEIR_RUN(flow_scan);
WEIR_RUN(flow_count);

#endif
