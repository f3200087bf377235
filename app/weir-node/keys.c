/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/api.h"
#include "coord/redis/redis.h"

#include "settings.h"

#define AT(member)                                                                                 \
	offsetof(struct weir_settings, member), sizeof(((struct weir_settings *)0)->member)

#define TEXT(section, key, fallback, member, meaning)                                              \
	{                                                                                          \
		section, key, WEIR_KEY_TEXT, fallback, AT(member), 0, 0, "", false, meaning        \
	}
#define NAME(section, key, fallback, member, meaning)                                              \
	{                                                                                          \
		section, key, WEIR_KEY_NAME, fallback, AT(member), 0, 0, "", false, meaning        \
	}
#define PATH(section, key, fallback, member, meaning)                                              \
	{                                                                                          \
		section, key, WEIR_KEY_PATH, fallback, AT(member), 0, 0, "", false, meaning        \
	}
#define NUMBER(section, key, fallback, member, min, max, unit, meaning)                            \
	{                                                                                          \
		section, key, WEIR_KEY_NUMBER, fallback, AT(member), min, max, unit, false,        \
			meaning                                                                    \
	}

/* In the order of config/weir.conf. */
const struct weir_key weir_keys[] = {
	NAME("node", "id", NULL, node_id, "name of this node, unique in its cluster"),
	NUMBER("node", "lease_ms", "2000", lease_ms, 200, 60000, "ms",
		"a node that is not heard of for so long is dead, and has stopped serving by then"),
	NUMBER("node", "leave_timeout_ms", "800", leave_timeout_ms, 0, 60000, "ms",
		"a node that is told to stop hands its devices over for so long at most"),

	NAME("cluster", "name", "weir", cluster, "name of the cluster, the same on all its nodes"),
	NUMBER("cluster", "backup_count", "2", backup_count, 0, WEIR_BACKUPS_MAX, "nodes",
		"copies of a device beside its master's"),
	{"cluster", "unclean_takeover", WEIR_KEY_YESNO, "no", AT(unclean_takeover), 0, 1, "", true,
		"yes: where no copy that is in sync lives, an older one takes over, and writes are "
		"lost"},
	NUMBER("cluster", "join_grace_ms", "2000", join_grace_ms, 0, 60000, "ms",
		"a new master waits so long for its first backup before it serves without one"),

	PATH("redis", "socket", "", redis_socket,
		"Unix socket of the Redis that keeps the mastership; without socket, host and "
		"sentinels the node is alone"),
	TEXT("redis", "host", "", redis_host, "its address, where it is reached by TCP"),
	NUMBER("redis", "port", "6379", redis_port, 1, 65535, "", "its TCP port"),
	TEXT("redis", "sentinels", "", redis_sentinels,
		"in place of socket and host: the Sentinels that know where the primary is, as "
		"host:port,host:port,...; they are asked without a password"),
	TEXT("redis", "sentinel_master", "", redis_sentinel_master,
		"what the Sentinels call the primary"),
	TEXT("redis", "user", "", redis_user, "user to log in as; not set: the default user"),
	TEXT("redis", "password", "", redis_password, "password to log in with; not set: none"),
	NUMBER("redis", "db", "0", redis_db, 0, 65535, "", "number of the data base"),
	NUMBER("redis", "timeout_ms", "1000", redis_timeout_ms, 10, 60000, "ms",
		"a request without answer for so long has failed"),
	NUMBER("redis", "min_replicas", "0", redis_min_replicas, 0, WEIR_COORD_REDIS_REPLICAS_MAX,
		"replicas",
		"mastership and leases count only once so many replicas of Redis have them, and "
		"without them Redis is as good as down. That its failover loses nothing rests on "
		"this: the replica that is promoted had confirmed. It always has where this is "
		"the number of all replicas; where it is less, Sentinel prefers the replica that "
		"is furthest, among those that it reaches. 0: a failover may lose the newest "
		"changes"),

	NUMBER("replication", "insync_timeout_ms", "1000", insync_timeout_ms, 10, 600000, "ms",
		"a backup that does not acknowledge for so long is taken out of the in-sync set"),
	NUMBER("replication", "anti_entropy_period_ms", "5000", anti_entropy_period_ms, 0, 3600000,
		"ms", "digests of all copies are compared so often; 0: never"),
	NUMBER("replication", "backup_period_ms", "2000", backup_period_ms, 10, 3600000, "ms",
		"counters that devices have reported go to the backups so often"),
	NUMBER("replication", "request_timeout_ms", "5000", request_timeout_ms, 10, 600000, "ms",
		"a client's request is answered within this time"),

	TEXT("port", "device", "", port_device,
		"name of the replication port as EAL has it, such as net_af_packet0; not set: the "
		"first"),
	{"port", "ipv4", WEIR_KEY_IPV4, "", AT(port_ipv4), 0, 0, "", false,
		"address of the port; has to be set where a Redis is"},
	NUMBER("port", "udp_port", "7100", port_udp_port, 1, 65535 - WEIR_WORKERS_MAX, "",
		"UDP port of the first worker; worker w has this number and w"),
	NUMBER("port", "mtu", "1500", port_mtu, 576, 9000, "bytes",
		"largest IP packet of the replication network"),

	PATH("api", "socket", "/run/weir/weir.sock", api_socket,
		"Unix socket where clients connect"),
	{"api", "socket_mode", WEIR_KEY_MODE, "0660", AT(api_socket_mode), 0, 0777, "", false,
		"file permissions of the socket: who may connect"},
	NUMBER("api", "gateways", "1", api_gateways, 1, WEIR_API_GATEWAYS_MAX, "threads",
		"threads that serve clients"),

	{"idle", "policy", WEIR_KEY_IDLE, "sleep", AT(idle_policy), 0, 0, "", true,
		"what a worker without work does: poll, pause (poll, but leave the CPU to others), "
		"or sleep"},
	{"idle", "sleep_max_us", WEIR_KEY_NUMBER, "1000", AT(idle_sleep_max_us), 50, 100000, "us",
		true, "longest sleep of a worker that has had nothing to do for long"},

	NUMBER("memory", "per_worker_mb", "1024", per_worker_mb, 16, 1048576, "MiB",
		"most that the flow tables of one worker may take; then writes are answered BUSY"),
};

const unsigned weir_keys_count = sizeof(weir_keys) / sizeof(weir_keys[0]);
