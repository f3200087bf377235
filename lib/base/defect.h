/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Defects that can be put back into the code one at a time, so that the simulator shows that it
 * finds them.
 *
 * At the place of each defence stands one condition, `WEIR_DEFECT(NAME)`: where it holds, the
 * defence is left out. Without the build option `defects` it is the constant false and leaves
 * nothing behind in the object code; with it, at most one defect is chosen for the process.
 *
 * Thread-safety: chosen before anything else runs, only read from then on.
 */
#ifndef WEIR_BASE_DEFECT_H
#define WEIR_BASE_DEFECT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * X(name, what goes wrong). Those that begin with B and a number are defects of the seed, as
 * numbered in the contract of what a flow rule does; where its design has no counterpart here,
 * the nearest with the same effect.
 */
#define WEIR_DEFECTS_EACH(X)                                                                       \
	X(B1, "a copy's bucket counts as newer for its larger seq, whatever its term")             \
	X(B2, "a queued write goes to the bucket it saw, which a sync has replaced meanwhile")     \
	X(B3, "PENDING acts only on what is PENDING_ADD already")                                  \
	X(B4, "queues are drained before the term is active, and not any more afterwards")         \
	X(B5, "demotion leaves the queue; re-elected, old writes run")                             \
	X(B6, "a late SETTLED of an older term activates the present one")                         \
	X(B7, "a master goes on though a copy refuses its changes")                                \
	X(B8, "buckets not written in this term never reach a new backup")                         \
	X(B9, "a node that has no role any more clears its copy at once")                          \
	X(B10, "a new term starts from whoever answers first")                                     \
	X(B11, "a copy that never held anything starts empty without asking anyone")               \
	X(B12, "acknowledged before any copy exists")                                              \
	X(B13, "not being master is answered OK")                                                  \
	X(B16, "an ADD that meets the removal of its bucket's last entry is lost")                 \
	X(B19, "a change of backups within a term is not noticed")                                 \
	X(B20, "a purge is local and leaves no version behind")                                    \
	X(B21, "created is the wall clock of whichever node")                                      \
	X(B22, "after two quick terms only the master of the first is asked")                      \
	X(B23, "a source that is lost in the middle of a sync ends it; the rest is not fetched")   \
	X(B25, "a bucket is shipped without its newest entry, and digests do not tell")            \
	X(ACK_PREVIOUS, "a write is answered by the acknowledgement of the message before it")     \
	X(ACK_FIRST, "a message is acknowledged before it is processed")                           \
	X(ACK_ANY, "a write is answered when the first of the copies has it")                      \
	X(ACK_UNSEEN, "an answer that changed nothing does not wait for what it rests on")         \
	X(RELEASE_ON_BREAK, "a session's end answers the writes that waited for it")               \
	X(RELEASE_ON_LAG, "a copy that lags is not waited for, before the coordinator knows")      \
	X(RELEASE_ON_STEP_DOWN, "stepping down drops the copies before the writes they must have") \
	X(MUST_LATE, "a copy must acknowledge only from when it is known to be equal")             \
	X(SEAL_NO_PROMISE, "a copy answers a seal without promising anything")                     \
	X(SEAL_NO_WAIT, "a new master does not wait for the living to be sealed")                  \
	X(SEAL_ANYBODY, "the promise of any process under a name counts as that of its copy")      \
	X(PROMISE_BY_VIEW, "a message of a higher term raises no promise")                         \
	X(TERM_LOWER, "a message of a lower term is accepted")                                     \
	X(TERM_NO_MAXIMUM, "a term is asked for without the highest that was seen")                \
	X(REFUSED_VAGUE, "a refusal names the promised term, whoever it was promised to")          \
	X(DEPOSED_IGNORED, "tenure does not act on a worker that was deposed")                     \
	X(LEASE_ONCE, "the lease is checked before the work only, not before the answer")          \
	X(LEASE_IGNORED, "an expired lease does not keep a worker from beginning")                 \
	X(LEASE_LONG, "a lease counts from the coordinator's answer on")                           \
	X(LEASE_BEFORE_VIEWS, "a longer lease counts before the views that were told before it")   \
	X(QUIET_SKIPPED, "another coordinator is believed at once that everybody is dead")         \
	X(DIGEST_NO_STATE, "the content hash ignores the state")                                   \
	X(DIGEST_NO_CREATED, "the content hash ignores created")                                   \
	X(DIGEST_VERSION_ONLY, "a joining copy is equal where its versions are")                   \
	X(CHECK_NEVER, "a master never compares its backups with itself")                          \
	X(CHECK_DEAF, "a backup finds itself equal, whatever the sum")                             \
	X(UNFIT_IGNORED, "a master ignores that a backup is unfit")                                \
	X(STAGE_UNCHECKED, "a bucket that has come is not held against its digest")                \
	X(PART_EARLY, "a bucket is put in place when the first of its parts has come")             \
	X(BATCH_FULL, "the change that a full message has no room for is acknowledged with it")    \
	X(DIGEST_HEAD, "the content hash covers the first bytes of a rule only")                   \
	X(MODIFY_BLIND, "a write with a condition ignores how old it is")                          \
	X(OLDER_UNSEEN, "the answer OLDER does not wait for what it rests on")                     \
	X(FLOW_ID_ONLY, "rules that share a flow id count as one")                                 \
	X(COUNTERS_BY_ID, "of rules that share a flow id, the first is taken for the counted one") \
	X(CORRUPTION_UNTOLD, "corruption is repaired, and not counted")                            \
	X(REGRESS_SERVES, "who sees its record go back goes on serving")                           \
	X(PURGE_ANY, "a backup purges the rules of all apps")                                      \
	X(DELTA_GAP, "a change is applied though its seq does not follow")                         \
	X(REMOVE_NOT_SENT, "removals are not sent to the backups")                                 \
	X(LATE_SEALED, "a SEALED of an older term is accepted")                                    \
	X(LATE_BUCKET, "a bucket that nobody waits for any more is accepted")                      \
	X(SYNCED_IGNORED, "settling goes by versions alone")                                       \
	X(SYNCED_A_WORKER, "a copy notes what it is in sync with for all its shards at once")      \
	X(SETTLED_ANY, "a term is activated when the first worker has settled")                    \
	X(CAUGHT_UP_ANY, "a backup counts as caught up when the first worker says so")             \
	X(CAUGHT_UP_STALE, "a report of an earlier attempt counts for the present one")            \
	X(LAGGING_IGNORED, "tenure ignores that a backup lags")                                    \
	X(OPEN_EARLY, "a master opens when it has settled, before the term is active")             \
	X(OFFER_FORGOTTEN, "a change whose answer is lost counts as not done")                     \
	X(INCARNATION_IN_VIEW, "a member that came back empty is shown as in sync")                \
	X(INCARNATION_OF_COPY, "a process counts as the copy that an earlier one was")             \
	X(REVIVED_IGNORED, "who looked dead before a term was made is not looked at again")        \
	X(LET_GO_EARLY, "copies are let go before the backups are in sync")                        \
	X(LET_GO_STALE, "an old view lets a copy go that was asked to join since")                 \
	X(JOIN_GRACE_NONE, "a term is activated without waiting for a backup")                     \
	X(UNCLEAN_SETTLE, "a term is settled without an in-sync copy, and nobody is told")         \
	X(UNCLEAN_TAKER, "an older copy takes over without leave")                                 \
	X(CREATED_NOT_SEEN, "backups take no note of the time stamps they are sent")               \
	X(DRAIN_TWICE, "a queued task is executed twice")                                          \
	X(ANSWER_TWICE, "a write whose time is up is answered twice")                              \
	X(TASK_DROPPED, "queued tasks are dropped at a step-down")                                 \
	X(PENDING_DROPPED, "unanswered writes are dropped at a step-down")                         \
	X(DEADLINE_IGNORED, "a write that waits for copies has no deadline")

enum weir_defect {
	WEIR_DEFECT_NONE,
#define WEIR_DEFECT_ENUM(name, what) WEIR_DEFECT_##name,
	WEIR_DEFECTS_EACH(WEIR_DEFECT_ENUM)
#undef WEIR_DEFECT_ENUM
	WEIR_DEFECTS_COUNT,
};

#ifdef WEIR_DEFECTS
extern enum weir_defect weir_defect_chosen;
#else
#define weir_defect_chosen WEIR_DEFECT_NONE
#endif

/** Whether this defect is put back. */
#define WEIR_DEFECT(name) (weir_defect_chosen == WEIR_DEFECT_##name)

/** For a defect that has to remember something; there in builds with the option only. */
extern uint64_t weir_defect_notes[2];

/** Puts one defect back, by its name; NULL: none. @return whether there is such a defect here */
bool weir_defect_choose(const char *name);

/** Name and description of defect 1, 2, ...; NULL where there are no more. */
const char *weir_defect_name(unsigned defect);
const char *weir_defect_text(unsigned defect);

#endif
