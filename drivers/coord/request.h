/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What every coordinator driver does to a request before it is carried out: check and copy.
 *
 * Thread-safety: functions of their arguments alone.
 */
#ifndef WEIR_COORD_REQUEST_H
#define WEIR_COORD_REQUEST_H

#include <stddef.h>

#include "tenure/coord.h"

/** Largest incarnation, term or revision: what a double (Lua, a ZSET's score) holds exactly. */
#define WEIR_COORD_NUMBER_MAX ((1ULL << 53) - 1)

/** Longest lease. */
#define WEIR_COORD_LEASE_MS_MAX 3600000U

/** Requests of one driver that are not answered yet; its owner keeps below it. */
#define WEIR_COORD_ASKED_MAX (4 * WEIR_DEVICES_MAX)

/**
 * Names are made of printable bytes, UTF-8 included, without spaces and control characters.
 *
 * @param size of the room for a name, its final NUL counted
 * @return NULL, or a sentence that says what is wrong
 */
const char *weir_coord_name_check(const char *name, size_t size);

/** @return NULL, or a sentence that says why the request makes no sense (WEIR_ERR) */
const char *weir_coord_request_check(const struct weir_coord_request *request);

/** A request with all that it points to. */
struct weir_coord_request_copy {
	struct weir_coord_request request;
	char node[WEIR_NODE_ID_MAX];
	struct weir_node self;
	struct weir_record record;
	char forgotten[WEIR_NODE_ID_MAX];
};

/** Copies a request that has been found sound. The copy must not be moved. */
void weir_coord_request_copy(
	struct weir_coord_request_copy *to, const struct weir_coord_request *from);

#endif
