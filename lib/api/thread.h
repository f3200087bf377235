/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A gateway's thread: from its start to its end. For api.c.
 */
#ifndef WEIR_API_THREAD_H
#define WEIR_API_THREAD_H

#include "api/gateway.h"

/** How long a gateway that stops waits for what is under way. */
#define WEIR_API_STOP_MS 1000

/** Starts gateway `number` of `api`. @return false where it cannot (logged) */
bool weir_gateway_start(struct weir_gateway *gateway, struct weir_api *api, unsigned number);

/** Waits for the end of a thread that was told to stop, and frees what it had. */
void weir_gateway_join(struct weir_gateway *gateway);

#endif
