/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Logging: a room says something, the program decides where it goes.
 *
 * Until a program installs a sink of its own, lines of level WEIR_LOG_NOTICE and graver go to
 * standard error. weir-node installs one that hands them to rte_log as type `weir.<room>`, so
 * that EAL's `--log-level=weir.*:debug` governs them. The client library never needs DPDK.
 *
 * Thread-safety: weir_log may be called from any thread; weir_log_sink_set before threads start.
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

/** The rooms that speak; the order is that of enum weir_log_room's names. */
enum weir_log_room {
	WEIR_ROOM_FLOW,
	WEIR_ROOM_TABLE,
	WEIR_ROOM_WIRE,
	WEIR_ROOM_REPLICA,
	WEIR_ROOM_TENURE,
	WEIR_ROOM_LINK,
	WEIR_ROOM_COORD,
	WEIR_ROOM_STORE,
	WEIR_ROOM_API,
	WEIR_ROOM_CLIENT,
	WEIR_ROOM_NODE,
	WEIR_ROOMS_COUNT,
};

/** Levels with the numbers of rte_log. */
enum weir_log_level {
	WEIR_LOG_ERR = 4,
	WEIR_LOG_WARNING = 5,
	WEIR_LOG_NOTICE = 6,
	WEIR_LOG_INFO = 7,
	WEIR_LOG_DEBUG = 8,
};

/** The room's name, as in `weir.<name>`. */
const char *weir_log_room_name(enum weir_log_room room);

/** Receives one line without its newline. */
typedef void weir_log_sink(enum weir_log_room room, enum weir_log_level level, const char *line);

/** Sends all lines to `sink` from now on; NULL brings back standard error. */
void weir_log_sink_set(weir_log_sink *sink);

/** Says one line. */
void weir_log(enum weir_log_room room, enum weir_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
