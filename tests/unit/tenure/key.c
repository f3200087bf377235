/* SPDX-License-Identifier: BSD-3-Clause */
/* The key of a device's name, where replica is not built. */
#include <string.h>
#include <xxhash.h>

#include "replica/replica.h"

uint64_t weir_device_key(const char *device)
{
	return XXH3_64bits(device, strlen(device));
}
