/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A whole cluster in one thread, under virtual time, decided by a seed.
 *
 * The production code of lib/replica, lib/tenure, lib/wire, lib/table and coord/solo/rules runs
 * unchanged; what lib/store, lib/link and the Redis driver do around it is played here, with all
 * that may go wrong. Checkers look on all through the run.
 *
 *     sim.c     time, events, trace, verdict; a run from begin to end
 *     plan.c    what a seed means: size of the cluster, speeds, which faults how often
 *     extra.c   what some seeds have beside that
 *     twins.c   two processes under one name
 *     corrupt.c is what was corrupted found, and counted?
 *     sundry.c  writes with a condition, apps, rules that share a flow id
 *     bulk.c    rules of many sizes, buckets that take several messages
 *     net.c     sessions between workers: order, delay, breaks, one-way stalls, bounded room
 *     node.c    a process: its workers' turns, its control core, birth and death
 *     coord.c   the coordinator: slow, absent, forgetful, failing over
 *     client.c  clients: operations, where they are sent, what their answers mean
 *     model.c   what a rule may be, given all answers so far (linearizability)
 *     check.c   who is open, are copies equal, has all come to rest
 *     watch.c   what may not happen even for an instant
 *     terms.c   the same, from one term to the next
 *     heard.c   the same, where a control core hears its workers' reports
 *     fault.c   who suffers what, when
 *     rcu.c     grace periods of a single thread
 *     guard.c   failed assertions, loops without end
 *     jobs.c    many seeds, in several processes
 *     same.c    is a seed the same run whatever ran before it?
 *     defects.c is each defect found that is put back?
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/request.h"
#include "coord/solo/rules.h"
#include "replica/replica.h"
#include "tenure/tenure.h"

#define SIM_NODES      7
#define SIM_PROCESSES  (SIM_NODES + 1) /**< one of them may run twice */
#define SIM_LIVES      64              /**< incarnations of a process that are known again */
#define SIM_WORKERS    4
#define SIM_DEVICES    4
#define SIM_RULES      16
#define SIM_RULES_FEW  8 /**< where they are small */
#define SIM_CLIENTS    24
#define SIM_TRACE      64         /**< events that a verdict shows at most */
#define SIM_ROOM_BYTES (4U << 20) /**< what a stream takes */
#define SIM_VERDICT    200
#define SIM_VERSIONS   8192
#define SIM_WRITES     16384 /**< latest, of which it is known when they were created */
#define SIM_NEVER      UINT64_MAX
#define SIM_MS(n)      ((uint64_t)(n)*WEIR_NS_PER_MS)
#define SIM_US(n)      ((uint64_t)(n)*WEIR_NS_PER_US)
#define SIM_ENDS_MAX   (SIM_PROCESSES * SIM_WORKERS)

struct sim;
struct sim_node;
struct sim_client;
struct share;

/* ------------------------------------------------------------------------------ events --- */

enum sim_event_kind {
	SIM_TURN,    /**< a worker's turn */
	SIM_CONTROL, /**< the control core wakes */
	SIM_ANSWER,  /**< the coordinator's answer reaches a control core */
	SIM_HINT,
	SIM_REQUEST,   /**< a request reaches the coordinator */
	SIM_CONFIRM,   /**< what it did reaches the coordinator's copy */
	SIM_OVERDUE,   /**< a request's time is up */
	SIM_LINK,      /**< two workers' ends are looked at */
	SIM_CLIENT,    /**< a client goes on */
	SIM_FAULT,     /**< something breaks */
	SIM_FLUTTER,   /**< a session breaks once more */
	SIM_OPERATE,   /**< an operator makes a node master */
	SIM_FALL,      /**< a process dies, whatever its life */
	SIM_TWIN,      /**< a process is started under the name of another that runs */
	SIM_HEAL,      /**< a direction between two nodes is open again */
	SIM_BIRTH,     /**< a process starts */
	SIM_DEATH,     /**< a process ends */
	SIM_CHECK,     /**< checkers look at everything */
	SIM_ROOM,      /**< streams have their room back */
	SIM_CALM,      /**< faults end */
	SIM_LAST_CALL, /**< clients end */
};

struct sim_event {
	uint64_t at_ns;
	uint64_t seq;
	uint8_t kind;
	uint8_t node;
	uint8_t worker;
	uint32_t life;
	void *what;
};

/* -------------------------------------------------------------------------------- plan --- */

enum sim_fault {
	SIM_FAULT_CRASH,
	SIM_FAULT_PAUSE,
	SIM_FAULT_STALL_WORKER,
	SIM_FAULT_STALL_CONTROL,
	SIM_FAULT_BREAK,
	SIM_FAULT_BLOCK,
	SIM_FAULT_PARTITION,
	SIM_FAULT_COORD_DOWN,
	SIM_FAULT_COORD_HANG,
	SIM_FAULT_COORD_FAILOVER,
	SIM_FAULT_COORD_CUT,
	SIM_FAULT_COORD_EMPTY,
	SIM_FAULT_WALL,
	SIM_FAULT_HAND_OVER,
	SIM_FAULT_ROLE,
	SIM_FAULT_LEAVE,
	SIM_FAULT_ROOM,
	SIM_FAULT_FLUTTER,
	SIM_FAULT_STRAND,
	SIM_FAULT_COORD_LATE,
	SIM_FAULT_BEREAVE,
	SIM_FAULTS_COUNT,
};

/** What is corrupted on its way, and not caught by the link. */
enum sim_corrupt {
	SIM_CORRUPT_NONE,
	SIM_CORRUPT_BUCKET, /**< the content of a bucket */
	SIM_CORRUPT_CHANGE, /**< the content of a change */
	SIM_CORRUPT_HEAD,   /**< a change cannot be read */
};

struct sim_plan {
	const char *mood;
	bool lossy; /**< acknowledged writes may be lost: outside of the assumption */
	unsigned nodes, devices, rules, clients;
	unsigned processes;                   /**< nodes, and one where a node may run twice */
	unsigned twin_of;                     /**< which, then */
	unsigned workers[SIM_PROCESSES];      /**< at first */
	unsigned workers_most[SIM_PROCESSES]; /**< in any life */
	unsigned workers_least;
	bool regrow;       /**< other numbers of workers in other lives */
	bool crowded;      /**< all rules share a few buckets */
	bool bulky;        /**< rules of many sizes share one or two */
	bool sundry;       /**< writes with a condition, apps, rules that share a flow id */
	uint32_t part_ppm; /**< parts of buckets after which something happens */
	uint8_t backup_count;
	bool unclean;
	bool mortal;    /**< the last in-sync copy may die too */
	bool born_soon; /**< a dead node is back at once */
	uint32_t lease_ms, join_grace_ms;
	uint64_t insync_timeout_ns, anti_entropy_ns, backup_period_ns, deadline_ns;
	uint64_t idle_ns;                 /**< a worker without work looks so often */
	uint64_t delay_ns, delay_tail_ns; /**< of messages; the tail now and then */
	uint32_t tail_ppm;                /**< messages that take the tail */
	uint64_t coord_ns, coord_tail_ns; /**< one way to the coordinator */
	uint32_t coord_tail_ppm;          /**< requests that take the tail */
	uint32_t coord_lose_ppm;          /**< requests or answers that are lost */
	uint32_t coord_late_ppm;          /**< changes that are carried out when given up */
	bool hasty;                       /**< the coordinator answers before its copy has it */
	uint64_t lag_ns;                  /**< so far its copy may be behind, then */
	uint32_t overtake_ppm;            /**< changes after which another is made master */
	uint64_t coord_timeout_ns;        /**< of a driver */
	uint32_t snap_ppm;                /**< sessions that break when a bucket is asked for */
	uint32_t again_ppm;               /**< deposed masters at which another is made master */
	uint32_t linger_ppm;              /**< promises that arrive a term later or two */
	uint32_t torn_ppm;                /**< turns in which views are newer than the company */
	uint32_t hint_lose_ppm;           /**< notifications that are missed */
	uint64_t report_tail_ns;          /**< workers' reports take so long now and then */
	uint64_t skew_ns;                 /**< wall clocks differ by so much */
	uint32_t chase_ppm;               /**< faults that hit a master */
	unsigned corrupt;                 /**< enum sim_corrupt */
	uint32_t corrupt_ppm;             /**< of the messages that it is about */
	uint64_t think_ns;                /**< of clients */
	uint32_t local_ppm;               /**< writes with ack=local */
	uint64_t fault_ns;                /**< mean time between faults; 0: none */
	uint32_t fault_weight[SIM_FAULTS_COUNT];
	uint64_t length_ns; /**< until faults end */
	uint64_t rest_ns;   /**< in which all must come to rest then */
};

void sim_plan_make(struct sim *sim);
void sim_extra_make(struct sim *sim);

/* ------------------------------------------------------------------------------- parts --- */

struct sim_message {
	struct sim_message *next;
	uint64_t session;
	uint64_t at_ns;
	uint32_t len;
	uint8_t bytes[];
};

/** One worker's end of a stream to one worker of another node. */
struct sim_end {
	struct sim_worker *worker;
	struct sim_end *other;
	struct sim_pair *pair;
	uint64_t session;                 /**< as the link has it; 0: none */
	uint64_t told;                    /**< as the replica was told */
	struct sim_message *head, **tail; /**< on their way to this end */
	uint64_t last_ns;                 /**< arrival of the latest */
	size_t bytes;                     /**< on their way, or arrived and not acknowledged */
};

struct sim_pair {
	struct sim_end ends[2];
	uint64_t sessions; /**< given out so far */
	bool half;         /**< one end has the newest, the other will have it soon */
	uint64_t look_ns, look_seq;
};

/** On its way to the control core; those of one worker stay in order. */
struct sim_report {
	uint64_t due_ns;
	struct weir_report report;
};

struct sim_worker {
	struct sim_node *node;
	unsigned number;
	struct weir_replica *replica;
	struct weir_mem *mem;
	uint64_t turn_ns, turn_seq;
	uint64_t paused_ns; /**< stands still until then */
	uint64_t report_ns; /**< its last report arrives then */
	uint64_t lease_ns;
	uint64_t company_version, incarnation;
	bool torn;                   /**< it has not looked at the news in its last turn */
	uint64_t met[SIM_PROCESSES]; /**< incarnation of whom the link talks to; 0: nobody */
	struct weir_task *tasks, **tasks_tail;
	uint8_t ring[SIM_DEVICES]; /**< devices whose standing is new */
	unsigned ring_count;
	struct sim_client *at_hand; /**< whose task is being given */
	unsigned ends_count;
	struct sim_end *ends[SIM_ENDS_MAX];
	struct sim_end *end_of[SIM_PROCESSES][SIM_WORKERS];
};

/** What a control core has published of a device. */
struct sim_standing {
	bool known;
	uint32_t told;
	struct weir_view view;
	struct weir_record record;
};

/** Who of a node's workers has settled a term, and when the last did. */
struct sim_settled {
	uint64_t term, at_ns;
	uint32_t workers;
};

/** The version of a rule's bucket when it was last looked at. */
struct sim_seen {
	uint64_t term, seq;
	uint64_t fell_in; /**< promised term in which it last went back */
};

struct sim_node {
	struct sim *sim;
	unsigned number;
	unsigned name; /**< number of the first process that is called so */
	char id[WEIR_NODE_ID_MAX];
	bool alive;
	bool dying; /**< nothing that it does counts any more */
	bool leaving;
	uint32_t life; /**< grows with each birth */
	unsigned doom; /**< dies at that effect from now; 0: not */
	unsigned workers_count;
	uint64_t paused_ns, control_paused_ns;
	uint64_t unpaused_ns; /**< nothing of it stands still from then on */
	int64_t wall_shift_ns;
	struct weir_tenure *tenure;
	uint64_t control_ns, control_seq;
	unsigned conn; /**< the driver's connection */
	uint64_t conn_at_ns[2];
	struct sim_report *reports;
	unsigned reports_count, reports_room;
	uint64_t lease_ns;
	uint64_t company_version, incarnation;
	uint64_t met[SIM_PROCESSES];
	uint8_t peer_of[SIM_PROCESSES];
	uint8_t node_of[WEIR_NODES_MAX]; /**< by name */
	struct sim_standing standing[SIM_DEVICES];
	struct weir_table *tables[SIM_DEVICES];
	uint64_t mine[SIM_LIVES]; /**< latest incarnations of this process */
	unsigned mine_count;
	uint64_t run, other_run_ns;    /**< the coordinator that it knows, and since when */
	uint64_t deposed[SIM_DEVICES]; /**< highest promise to others that it has heard of */
	unsigned operators;            /**< requests of theirs that are not answered */
	struct sim_settled settled[SIM_DEVICES];
	struct sim_seen seen[SIM_DEVICES][SIM_RULES];
	struct sim_worker workers[SIM_WORKERS];
};

/** A request to the coordinator on its way. */
struct sim_request {
	struct weir_coord_request_copy copy;
	struct weir_coord_answer answer; /**< what was done */
	struct weir_coord_answer told;   /**< what the asker hears */
	struct weir_node *nodes;
	struct weir_record *records;
	struct sim_request *next, **prev; /**< among those that are not answered */
	unsigned refs;
	unsigned node;
	uint32_t life;
	unsigned conn;
	uint64_t applied_ns;
	uint64_t generation;
	bool answered;
	bool late;      /**< on a way that takes long */
	bool carried;   /**< it has reached the coordinator */
	bool activates; /**< this CHANGE has set a term active */
};

struct sim_coord {
	struct weir_coord_rules *first, *second; /**< the one that is asked, and its copy */
	uint64_t run;
	uint64_t generation;        /**< grows when the first is lost */
	uint64_t down_ns;           /**< refuses connections until then */
	uint64_t hang_ns;           /**< answers nothing until then */
	uint64_t confirm_ns;        /**< when the copy has all */
	uint64_t newest[SIM_NODES]; /**< incarnation that was given out under a name */
	uint64_t cut_ns[SIM_PROCESSES];
	uint64_t late_ns[SIM_PROCESSES]; /**< what it asks arrives then, or before another's term */
	uint64_t lease_end_ns[SIM_PROCESSES]; /**< as the copy has it */
	struct sim_request *open;
};

enum sim_client_op {
	/* below WEIR_OPS_COUNT: enum weir_op */
	SIM_OP_READ = WEIR_OPS_COUNT,
};

struct sim_client {
	unsigned number;
	bool waiting; /**< for an answer */
	bool done;
	uint8_t device, op, ack;
	uint8_t rules_count;      /**< PURGE is about several */
	uint8_t rules[SIM_RULES]; /**< numbers of the device's */
	uint8_t slots[SIM_RULES]; /**< of the model */
	int32_t app;              /**< PURGE */
	uint8_t node;
	uint8_t believed[SIM_DEVICES]; /**< who is master */
	uint32_t life;
	uint64_t seq;
	uint64_t began_ns;
	bool rests_known;         /**< the task was carried out at once */
	struct weir_digest rests; /**< version of the bucket that its answer rests on */
	uint64_t created_floor;   /**< acknowledged before it began */
	struct weir_task task;
	uint8_t rule_bytes[WEIR_RULE_BYTES_MAX]; /**< must follow the task */
};

/* ------------------------------------------------------------------------------- model --- */

#define SIM_OPEN_MAX 6    /**< operations on one rule under way at once */
#define SIM_SLOTS    32   /**< operations on one rule whose fate is open */
#define SIM_WORLDS   2048 /**< ways in which a rule may have come about */

struct sim_value {
	uint32_t cookie; /**< 0: absent */
	uint8_t state;
};

/** One way to order the operations so far. */
struct sim_world {
	struct sim_value value;
	struct sim_value seen; /**< by the open GET, where it has happened */
	uint32_t left;         /**< open operations that have not happened in it */
	uint32_t ok;           /**< of the others, those that found what they needed */
	uint32_t older;        /**< of these others, those that were older than what they found */
};

struct sim_register {
	bool blind;      /**< too much is open: nothing is known until all is at rest */
	uint32_t open;   /**< slots in use */
	uint32_t ghosts; /**< of these: answered UNKNOWN, may or may not happen */
	uint32_t gets;   /**< of these: the one GET that may be under way */
	struct {
		uint8_t op;
		uint32_t cookie;
		uint64_t limit;   /**< only where what is there was not created later; 0: any */
		uint32_t owner;   /**< ghosts: the process that did it, as far as it got; 0: none */
		uint64_t invoked; /**< event; of a ghost when it was answered */
	} slots[SIM_SLOTS];
	unsigned count;
	struct sim_world *worlds;
};

struct sim_stats {
	uint64_t events, operations, ok, unknown, refused, reads, blind, lost;
	uint64_t faults, crashes, terms, stuck, corrupted, parts, silent, found, forgotten;
};

/** A term as it was made, and who could believe in a lease then. */
struct sim_made {
	struct weir_record record;
	uint64_t lease_end_ns[SIM_PROCESSES]; /**< 0: had none */
	uint32_t life[SIM_PROCESSES];
	bool first; /**< none has been settled since the active one */
};

struct sim_device {
	char name[16];
	uint64_t key;
	struct weir_rule *rules[SIM_RULES];
	struct sim_register registers[SIM_RULES];
	unsigned under_way[SIM_RULES];
	uint64_t created[SIM_RULES]; /**< newest that is acknowledged; 0: not known */
	uint64_t read[SIM_RULES];    /**< when what was read last was created */
	bool bereaved;               /**< no in-sync copy was left by a death, or could be asked */
	bool known;                  /**< the coordinator has had it */
	uint64_t term_active;        /**< newest that was seen to become active */
	uint64_t settled_term;       /**< highest that some worker has settled */
	uint64_t truth_term;         /**< the newest active one; 0: its begin is not known */
	struct weir_digest truth[SIM_RULES]; /**< versions at its begin */
	struct sim_made made;                /**< the newest term */
	unsigned differs;                    /**< where copies were found to differ last */
};

/** A copy of a bucket that is other than its master's under the same version. */
struct sim_stain {
	bool stands;
	uint32_t life;    /**< of its node */
	uint64_t of_term; /**< of the master that it is held against */
	uint64_t term, seq, since_ns;
	uint64_t found; /**< corruptions that were found before */
};

/** A write, and the time stamp that it was given. */
struct sim_write {
	uint32_t cookie;
	uint64_t created;
};

/** A version of a bucket, and what was found under it. */
struct sim_version {
	uint64_t key, content;
};

/** Of a message that is older than a promise: what must not change. */
struct sim_watched {
	int device; /**< -1: nothing to be looked at */
	uint64_t term, promised, sum;
};

/** Of a report: what must not change where it is old news. */
struct sim_heard {
	uint32_t settled, caught;
	bool other_term, other_attempt;
};

struct sim_trace_line {
	uint64_t event, at_ns;
	const char *format;
	const char *word;
	uint64_t args[6];
};

struct sim_options {
	bool trace;
	bool log;
	bool hash;     /**< print the hash of each seed */
	bool strict;   /**< one master at a time also where the coordinator has forgotten all */
	char *verdict; /**< receives what was violated, SIM_VERDICT bytes; NULL: nobody asks */
};

struct sim {
	const struct sim_options *options;
	uint64_t seed;
	uint64_t random;
	uint64_t now_ns;
	uint64_t event_number;
	uint64_t hash; /**< over all events so far */
	uint64_t checks;
	uint64_t seq;
	struct sim_event *heap;
	unsigned heap_count, heap_room;
	struct sim_plan plan;
	struct sim_node nodes[SIM_PROCESSES];
	struct sim_pair *pairs;
	unsigned pairs_count;
	uint64_t blocked_ns[SIM_PROCESSES]
			   [SIM_PROCESSES]; /**< from, to: nothing passes until then */
	struct sim_coord coord;
	struct sim_device devices[SIM_DEVICES];
	struct sim_client clients[SIM_CLIENTS];
	uint32_t cookies;
	uint64_t tickets;
	bool calm;      /**< no fault any more */
	bool corrupted; /**< at rest for the first time, copies were corrupted in silence */
	bool last_call; /**< no operation any more */
	bool at_rest;
	uint64_t calm_ns;
	uint32_t room_bytes; /**< of a stream, now */
	struct sim_stats stats;
	struct sim_version versions[SIM_VERSIONS]; /**< by their keys; newer ones take the place */
	struct sim_stain stains[SIM_DEVICES][SIM_PROCESSES][SIM_RULES];
	uint64_t injected, found_before; /**< at rest */
	/** The term in which one of its buckets was corrupted there; 0: or it has let go since. */
	uint64_t marred[SIM_DEVICES][SIM_PROCESSES];
	struct sim_write writes[SIM_WRITES]; /**< by their cookies */
	struct sim_trace_line trace[SIM_TRACE];
	uint64_t trace_count;
};

/* sim.c */
uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t limit);
uint64_t sim_between(struct sim *sim, uint64_t from, uint64_t to);
bool sim_chance(struct sim *sim, uint32_t ppm);
uint64_t sim_push(struct sim *sim, enum sim_event_kind kind, uint64_t at_ns, unsigned node,
	unsigned worker, void *what);
void sim_note(struct sim *sim, const char *format, const char *word, uint64_t a, uint64_t b,
	uint64_t c, uint64_t d, uint64_t e, uint64_t f);
_Noreturn void sim_fail(struct sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void sim_trace_print(const struct sim *sim);
void sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options);
int sim_device_number(const struct sim *sim, const char *name);
int sim_device_by_key(const struct sim *sim, uint64_t key);
int sim_node_number(const char *id);

/* net.c */
void sim_net_begin(struct sim *sim);
void sim_net_end(struct sim *sim);
void sim_net_send(
	struct sim_worker *worker, unsigned node, unsigned channel, const void *bytes, size_t len);
size_t sim_net_room(struct sim_worker *worker, unsigned node, unsigned channel);
void sim_net_tell(struct sim_worker *worker);
unsigned sim_net_deliver(struct sim_worker *worker);
uint64_t sim_net_next(const struct sim_worker *worker);
void sim_net_close(struct sim_end *end);
void sim_net_look_soon(struct sim_pair *pair);
void sim_net_look(struct sim *sim, struct sim_pair *pair);
void sim_net_block(struct sim *sim, unsigned from, unsigned to, uint64_t until_ns);
void sim_net_heal(struct sim *sim, unsigned from, unsigned to);

/* corrupt.c */
uint64_t sim_corrupt_found(const struct sim *sim);
void sim_corrupt_watch(struct sim *sim);
void sim_corrupt_final(struct sim *sim);

/* sundry.c */
void sim_sundry_rules(struct sim *sim, struct sim_device *device);
void sim_sundry_task(struct sim *sim, struct sim_client *client);
void sim_sundry_seen(struct sim *sim, const struct sim_node *node, const struct sim_client *client);
void sim_sundry_read(
	struct sim *sim, unsigned device, unsigned rule, const struct weir_entry *entry);
uint64_t sim_sundry_created(const struct sim *sim, uint32_t cookie);

/* bulk.c */
uint16_t sim_bulk_bytes(uint32_t cookie);
void sim_bulk_rules(struct sim *sim, struct sim_device *device);
void sim_bulk_fill(const struct sim *sim, struct weir_rule *rule, uint32_t cookie);
bool sim_bulk_whole(const struct sim *sim, const struct weir_rule *rule);
void sim_bulk_sent(struct sim *sim, struct sim_end *to, const struct sim_message *message);

/* node.c */
void sim_node_begin(struct sim *sim);
void sim_node_birth(struct sim_node *node);
void sim_node_death(struct sim_node *node);
void sim_node_turn(struct sim_worker *worker);
void sim_node_control(struct sim_node *node);
void sim_node_answer(struct sim_node *node, struct sim_request *request);
void sim_node_hint(struct sim_node *node);
void sim_node_wake(struct sim_worker *worker, uint64_t at_ns);
void sim_node_control_wake(struct sim_node *node, uint64_t at_ns);
void sim_node_pause(struct sim_node *node, uint64_t until_ns);
bool sim_effect(struct sim_node *node);
unsigned sim_node_by_peer(const struct sim_node *node, unsigned peer);
/** When it goes on; 0: it is not paused. */
uint64_t sim_node_paused(const struct sim_node *node);

/* coord.c */
void sim_coord_begin(struct sim *sim);
void sim_coord_end(struct sim *sim);
void sim_coord_ask(struct sim_node *node, const struct weir_coord_request *request);
void sim_coord_request(struct sim *sim, struct sim_request *request);
void sim_coord_confirm(struct sim *sim, struct sim_request *request);
void sim_coord_overdue(struct sim *sim, struct sim_request *request);
void sim_coord_failover(struct sim *sim);
void sim_coord_empty(struct sim *sim);
void sim_coord_unref(struct sim_request *request);
const struct weir_record *sim_coord_record(const struct sim *sim, unsigned device);

/* client.c */
void sim_client_begin(struct sim *sim);
void sim_client_next(struct sim *sim, struct sim_client *client);
void sim_client_answer(struct sim_worker *worker, struct weir_task *task);
void sim_client_orphan(struct sim_node *node);
bool sim_clients_idle(const struct sim *sim);
void sim_clients_check(struct sim *sim);

/* model.c */
void sim_model_begin(struct sim *sim);
void sim_model_end(struct sim *sim);
/** @return the operation's slot, or SIM_SLOTS where nothing is known of the rule anyway */
unsigned sim_model_invoke(struct sim *sim, unsigned device, unsigned rule, unsigned op,
	uint32_t cookie, uint64_t limit);
/** @param owner the process that answered: what it did before is on the copies too */
void sim_model_return(
	struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner, bool ok);
/** It was answered that what is there was created later than it allows. */
void sim_model_older(
	struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner);
/** A GET was answered that what is there takes more than so many bytes of instructions. */
void sim_model_toobig(struct sim *sim, unsigned device, unsigned rule, unsigned slot,
	uint32_t owner, unsigned bytes);
void sim_model_got(struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner,
	struct sim_value value);
void sim_model_forget(struct sim *sim, unsigned device, unsigned rule, unsigned slot);
void sim_model_never(struct sim *sim, unsigned device, unsigned rule, unsigned slot);
void sim_model_ghost(
	struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner);
void sim_model_read(struct sim *sim, unsigned device, unsigned rule, struct sim_value value);
/** A term's truth: what was answered UNKNOWN before has happened by now, or never will. */
void sim_model_truth(struct sim *sim, unsigned device, unsigned rule, struct sim_value value);

/* check.c */
struct sim_value sim_check_value(const struct sim_node *node, unsigned device, unsigned rule);
bool sim_check_gate(const struct sim_node *node, unsigned device);
bool sim_check_firm(const struct sim_node *node, unsigned device, unsigned rule);
bool sim_check_open(const struct sim_worker *worker, unsigned device, uint64_t *term);
void sim_check_masters(struct sim *sim, unsigned device);
void sim_check_active(struct sim *sim, const struct weir_record *record);
void sim_check_copies(struct sim *sim);
bool sim_check_hopeless(const struct sim *sim, unsigned device);
/** @return NULL where all is at rest, else what is not */
const char *sim_check_rest(struct sim *sim);
void sim_check_final(struct sim *sim);

const struct share *sim_check_share(const struct sim_worker *worker, unsigned device);

/* watch.c */
bool sim_watch_lives(const struct sim *sim, const struct weir_copy *copy);
bool sim_watch_judged(const struct sim *sim, unsigned device);
void sim_watch_given(struct sim_worker *worker, struct sim_client *client);
void sim_watch_answered(struct sim_worker *worker, struct sim_client *client, bool ok);
void sim_watch_said(struct sim_worker *worker, unsigned peer, const void *bytes, size_t len);
struct sim_watched sim_watch_delivering(
	const struct sim_worker *worker, const void *bytes, size_t len);
void sim_watch_delivered(const struct sim_worker *worker, const struct sim_watched *watched);
void sim_watch_let_go(struct sim_node *node, unsigned device, const struct weir_record *record);
void sim_watch_view(struct sim_worker *worker, unsigned device);
void sim_watch_death(struct sim *sim);
void sim_watch_lease(const struct sim_node *node, uint64_t until_ns);
void sim_watch_settled(struct sim_node *node, unsigned device, unsigned worker, uint64_t term);
void sim_watch_activating(struct sim_node *node, const struct weir_record *want);
void sim_watch_invoked(struct sim *sim, struct sim_client *client);
void sim_watch_term(struct sim_node *node, const struct weir_coord_request *asked);
void sim_watch_renewed(struct sim_node *node, uint64_t run);
void sim_watch_versions(struct sim *sim);

/* terms.c */
void sim_watch_made(struct sim *sim, const struct weir_record *record, uint64_t at_ns);
void sim_watch_left(struct sim *sim, unsigned node);
void sim_watch_truth(struct sim *sim, unsigned device, uint64_t term, const struct sim_node *node);
void sim_watch_settle(struct sim_worker *worker, unsigned device, uint64_t term);
void sim_watch_attempts(struct sim_node *node, unsigned device, const struct weir_view *view);

/* heard.c */
struct sim_heard sim_watch_hearing(const struct sim_node *node, const struct weir_report *report);
void sim_watch_heard(
	struct sim_node *node, const struct weir_report *report, const struct sim_heard *before);

/* twins.c */
void sim_twins_plan(struct sim *sim, struct sim_plan *plan);
void sim_twins_begin(struct sim *sim);
bool sim_twins_runs(const struct sim_node *node);
struct sim_node *sim_twins_holder(const struct sim *sim, const struct weir_copy *copy);
struct sim_node *sim_twins_now(const struct sim *sim, const struct weir_copy *copy);
unsigned sim_twins_any(struct sim *sim, unsigned name);
unsigned sim_twins_reached(const struct sim_worker *worker, unsigned name, unsigned channel);
void sim_twins_check(struct sim *sim);
void sim_twins_answered(const struct sim_worker *worker);
void sim_twins_trip(struct sim *sim);

/* fault.c */
bool sim_fault_may_die(struct sim *sim, unsigned node);
void sim_fault_flutter(struct sim *sim, const struct sim_event *event);
void sim_fault_fall(struct sim_node *node);
void sim_fault_operate(struct sim *sim, const struct sim_event *event);
void sim_fault(struct sim *sim);
void sim_fault_end(struct sim *sim);
void sim_fault_corrupt(struct sim *sim);

/* defects.c */
int sim_defects_run(const struct sim_options *options, uint64_t from, uint64_t to, unsigned jobs);

/* jobs.c */
int sim_jobs_run(const struct sim_options *options, uint64_t from, uint64_t to, unsigned jobs,
	uint64_t most);

/* same.c */
int sim_same_run(const struct sim_options *options, uint64_t from, uint64_t to);

/* guard.c */
void sim_guard(struct sim *sim);
void sim_guard_seed(void);

/* rcu.c */
void sim_rcu_pass(void);

#endif
