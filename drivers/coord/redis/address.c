/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/redis/address.h"

static const char *port_read(struct weir_coord_address *address, const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || port == 0 || port > UINT16_MAX)
		return "a port is a number from 1 to 65535";
	address->port = (uint16_t)port;
	return NULL;
}

static const char *host_read(struct weir_coord_address *address, const char *host, size_t len)
{
	if (len == 0)
		return "the host is missing";
	memcpy(address->host, host, len);
	address->host[len] = '\0';
	return NULL;
}

static const char *bracketed_read(struct weir_coord_address *address, const char *text)
{
	const char *end = strchr(text, ']');
	const char *wrong;

	if (end == NULL || (end[1] != '\0' && end[1] != ':'))
		return "an IPv6 address is written [address]:port";
	wrong = host_read(address, text, (size_t)(end - text));
	if (wrong != NULL || end[1] == '\0')
		return wrong;
	return port_read(address, end + 2);
}

const char *weir_coord_address_read(
	struct weir_coord_address *address, const char *text, uint16_t port)
{
	const char *colon, *wrong;

	memset(address, 0, sizeof(*address));
	address->port = port;
	if (text == NULL || *text == '\0')
		return "the address is missing";
	if (strlen(text) >= sizeof(address->text))
		return "the address is too long";
	strcpy(address->text, text);
	if (*text == '/')
		return strlen(text) < WEIR_SOCKET_PATH_MAX ? NULL : "the socket's path is too long";
	if (*text == '[')
		return bracketed_read(address, text + 1);
	colon = strchr(text, ':');
	if (colon == NULL)
		return host_read(address, text, strlen(text));
	if (strchr(colon + 1, ':') != NULL)
		return "an IPv6 address is written [address]:port";
	wrong = host_read(address, text, (size_t)(colon - text));
	return wrong != NULL ? wrong : port_read(address, colon + 1);
}

const char *weir_coord_address_join(
	struct weir_coord_address *address, const char *host, const char *port)
{
	char text[WEIR_COORD_ADDRESS_MAX + 1];

	snprintf(text, sizeof(text), strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
	return weir_coord_address_read(address, text, 0);
}
