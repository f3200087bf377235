/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Where a Redis is: the path of a Unix socket, or a host and a port.
 */
#ifndef WEIR_COORD_REDIS_ADDRESS_H
#define WEIR_COORD_REDIS_ADDRESS_H

#include <stdint.h>

#include "base/limits.h"

#define WEIR_COORD_ADDRESS_MAX 256 /**< bytes of an address, its final NUL counted */

struct weir_coord_address {
	char text[WEIR_COORD_ADDRESS_MAX]; /**< as it was given */
	char host[WEIR_COORD_ADDRESS_MAX]; /**< empty: it is a path */
	uint16_t port;
};

/**
 * Reads "/path", "host", "host:port" or "[ipv6]:port".
 *
 * @param port where the text has none
 * @return NULL, or a sentence that says what is wrong
 */
const char *weir_coord_address_read(
	struct weir_coord_address *address, const char *text, uint16_t port);

/** The same of a host, which may be an IPv6 address, and a port apart. */
const char *weir_coord_address_join(
	struct weir_coord_address *address, const char *host, const char *port);

#endif
