/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gateway in front of a false store as a program: fake-node SOCKET. Says "ready" on standard
 * output, ends when standard input does. Its device "d1" says that its master listens on
 * SOCKET as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "fake.h"

int main(int argc, char **argv)
{
	struct fake_conf fake = {.order = FAKE_SHUFFLED, .master_socket = argc > 1 ? argv[1] : ""};
	struct weir_api_conf conf = {.socket_mode = 0600,
		.request_timeout_ms = 5000,
		.gateways_count = 2,
		.socket = argc > 1 ? argv[1] : ""};
	struct weir_store *store = fake_create(&fake);
	struct weir_api *api = weir_api_start(&conf, store);
	char byte;

	if (api == NULL)
		return EXIT_FAILURE;
	fake_device_add(store, "d1");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	weir_api_stop(api);
	fake_destroy(store);
	return EXIT_SUCCESS;
}
