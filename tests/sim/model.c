/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the answers about one rule have an order that explains them (linearizability, after
 * Wing and Gong 1993, and Lowe 2017): all worlds that are possible after the answers so far are
 * kept. A world is a value and which of the open operations have happened in it. An operation
 * whose answer is UNKNOWN (a ghost) may happen at any time, once, or never; so a world in which
 * it has not happened yet can do all that the same world can in which it has.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define HEADS 1024 /**< chains of a set: a power of two */

/** Worlds none of which can do all that another can, found by what must be equal for that. */
struct set {
	unsigned count;
	bool full;
	uint32_t round; /**< heads of another are of an older set */
	struct {
		uint32_t round;
		uint16_t first;
	} heads[HEADS];
	uint16_t next[SIM_WORLDS];
	struct sim_world worlds[SIM_WORLDS];
};

static struct set sets[2];

static struct set *set_begin(unsigned number)
{
	struct set *set = &sets[number];

	set->count = 0;
	set->full = false;
	if (++set->round == 0) {
		memset(set->heads, 0, sizeof(set->heads));
		set->round = 1;
	}
	return set;
}

static bool value_equal(const struct sim_value *a, const struct sim_value *b)
{
	return a->cookie == b->cookie && (a->cookie == 0 || a->state == b->state);
}

/* Whether `a` can do all that `b` can. */
static bool covers(
	const struct sim_register *reg, const struct sim_world *a, const struct sim_world *b)
{
	uint32_t real = reg->open & ~reg->ghosts;

	if ((reg->gets & ~a->left) != 0 && !value_equal(&a->seen, &b->seen))
		return false;
	return value_equal(&a->value, &b->value) && ((a->left ^ b->left) & real) == 0 &&
	       (((a->ok ^ b->ok) | (a->older ^ b->older)) & real & ~a->left) == 0 &&
	       (b->left & ~a->left) == 0;
}

/* The same for all worlds of which one might cover another. */
static unsigned head_of(const struct sim_register *reg, const struct sim_world *world)
{
	uint32_t real = reg->open & ~reg->ghosts;
	uint64_t z = (uint64_t)world->value.cookie << 32 | (world->left & real);

	z = (z ^ z >> 29) * 0xbf58476d1ce4e5b9ULL;
	z += world->ok & real & ~world->left;
	if ((reg->gets & ~world->left) != 0)
		z += (uint64_t)world->seen.cookie << 32;
	z = (z ^ z >> 29) * 0x94d049bb133111ebULL;
	return (unsigned)(z >> 32) % HEADS;
}

/* Adds it unless another can do all that it can. */
static void set_add(const struct sim_register *reg, struct set *set, const struct sim_world *world)
{
	unsigned head = head_of(reg, world);
	bool empty = set->heads[head].round != set->round;

	for (unsigned i = empty ? SIM_WORLDS : set->heads[head].first; i != SIM_WORLDS;
		i = set->next[i])
		if (covers(reg, &set->worlds[i], world))
			return;
	if (set->count == SIM_WORLDS) {
		set->full = true;
		return;
	}
	set->worlds[set->count] = *world;
	set->next[set->count] = empty ? SIM_WORLDS : set->heads[head].first;
	set->heads[head].round = set->round;
	set->heads[head].first = (uint16_t)set->count++;
}

/* Whether an operation finds what was created later than it allows; where that is not known, it
 * may be either. */
static bool may_be(const struct sim *sim, const struct sim_register *reg,
	const struct sim_world *world, unsigned slot, bool older)
{
	uint64_t limit = reg->slots[slot].limit, created;

	if (limit == 0 || world->value.cookie == 0)
		return !older;
	created = sim_sundry_created(sim, world->value.cookie);
	return created == 0 || (created > limit) == older;
}

/* What an operation does to a world. */
static struct sim_world happen(
	const struct sim_register *reg, const struct sim_world *before, unsigned slot, bool older)
{
	struct sim_world after = *before;
	struct sim_value *value = &after.value;
	bool there = value->cookie != 0;

	after.left &= ~(1U << slot);
	after.ok &= ~(1U << slot);
	after.older &= ~(1U << slot);
	after.older |= (uint32_t)older << slot;
	if (older)
		return after;
	if (!there && reg->slots[slot].op != WEIR_OP_ADD && reg->slots[slot].op != WEIR_OP_PURGE &&
		reg->slots[slot].op != WEIR_OP_GET)
		return after;
	after.ok |= 1U << slot;
	switch (reg->slots[slot].op) {
	case WEIR_OP_GET:
		after.seen = *value;
		break;
	case WEIR_OP_ADD:
	case WEIR_OP_MODIFY:
		*value = (struct sim_value){
			.cookie = reg->slots[slot].cookie, .state = WEIR_FLOW_PENDING_ADD};
		break;
	case WEIR_OP_REMOVE:
		value->state = WEIR_FLOW_PENDING_REMOVE;
		break;
	case WEIR_OP_REPORT:
		if (value->state == WEIR_FLOW_PENDING_ADD)
			value->state = WEIR_FLOW_ADDED;
		break;
	case WEIR_OP_PENDING:
		value->state = WEIR_FLOW_PENDING_ADD;
		break;
	case WEIR_OP_REMOVED:
	case WEIR_OP_PURGE:
		*value = (struct sim_value){0};
		break;
	}
	return after;
}

/** What must be so now: of an operation, that it has happened; of a read, that the value is there.
 */
struct goal {
	uint32_t bit;                 /**< the operation; 0: a read */
	bool ok;                      /**< it has found what it needed */
	bool older;                   /**< it was older than what it has found */
	unsigned least;               /**< and that takes as many bytes at least; 0: any */
	const struct sim_value *seen; /**< by it, or there; NULL: any */
	uint32_t gone;                /**< operations that cannot happen any more from now on */
};

static bool reached(const struct sim_world *world, const struct goal *goal)
{
	if (goal->bit == 0)
		return value_equal(&world->value, goal->seen);
	if (goal->least > 0 &&
		(world->seen.cookie == 0 || sim_bulk_bytes(world->seen.cookie) < goal->least))
		return false;
	return (world->left & goal->bit) == 0 && ((world->ok & goal->bit) != 0) == goal->ok &&
	       ((world->older & goal->bit) != 0) == goal->older &&
	       (goal->seen == NULL || value_equal(&world->seen, goal->seen));
}

/*
 * All worlds that can come of these by open operations until the goal is reached, these included.
 * What may happen in a world that has reached it may as well happen later, as long as all that is
 * left in it may.
 */
static void closure(const struct sim *sim, const struct sim_register *reg, struct set *all,
	const struct goal *goal)
{
	for (unsigned i = 0; i < reg->count; i++)
		set_add(reg, all, &reg->worlds[i]);
	for (unsigned i = 0; i < all->count; i++) {
		uint32_t left = all->worlds[i].left;

		if ((left & goal->gone) == 0 && reached(&all->worlds[i], goal))
			continue;
		for (; left != 0; left &= left - 1) {
			unsigned slot = (unsigned)__builtin_ctz(left);

			for (unsigned older = 0; older < 2; older++) {
				struct sim_world world;

				if (!may_be(sim, reg, &all->worlds[i], slot, older))
					continue;
				world = happen(reg, &all->worlds[i], slot, older);
				set_add(reg, all, &world);
			}
		}
	}
}

static struct sim_register *register_of(struct sim *sim, unsigned device, unsigned rule)
{
	return &sim->devices[device].registers[rule];
}

void sim_model_begin(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.devices; i++)
		for (unsigned j = 0; j < sim->plan.rules; j++) {
			struct sim_register *reg = register_of(sim, i, j);

			reg->worlds = calloc(SIM_WORLDS, sizeof(*reg->worlds));
			weir_assert(reg->worlds != NULL);
			reg->count = 1;
		}
}

void sim_model_end(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.devices; i++)
		for (unsigned j = 0; j < sim->plan.rules; j++)
			free(register_of(sim, i, j)->worlds);
}

static void blind(struct sim *sim, struct sim_register *reg)
{
	sim->stats.blind++;
	reg->blind = true;
	reg->open = reg->ghosts = reg->gets = 0;
	reg->count = 0;
}

/* `reg->worlds` becomes those of `kept`. @return false: there is none */
static bool keep(struct sim *sim, struct sim_register *reg, const struct set *kept)
{
	if (kept->full) {
		blind(sim, reg);
		return true;
	}
	if (kept->count == 0)
		return false;
	memcpy(reg->worlds, kept->worlds, kept->count * sizeof(reg->worlds[0]));
	reg->count = kept->count;
	return true;
}

static void describe(struct sim *sim, const struct sim_register *reg, const char *when)
{
	for (unsigned i = 0; i < reg->count && i < 8; i++)
		sim_note(sim, "%s: possible was rule %lu in state %lu, open %lx", when,
			reg->worlds[i].value.cookie, reg->worlds[i].value.state,
			reg->worlds[i].left, 0, 0, 0);
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		if (reg->open & 1U << i)
			sim_note(sim,
				"%s: open is operation %lu with cookie %lu in slot %lu, ghost %lu",
				when, reg->slots[i].op, reg->slots[i].cookie, i,
				(reg->ghosts & 1U << i) != 0, 0, 0);
}

static void broken(struct sim *sim, unsigned device, unsigned rule, const char *what)
{
	struct sim_register *reg = register_of(sim, device, rule);

	if (sim_watch_judged(sim, device)) {
		describe(sim, reg, "before");
		sim_fail(
			sim, "d%u rule %u: no order of operations explains %s", device, rule, what);
	}
	sim->stats.lost++;
	blind(sim, reg);
}

unsigned sim_model_invoke(struct sim *sim, unsigned device, unsigned rule, unsigned op,
	uint32_t cookie, uint64_t limit)
{
	struct sim_register *reg = register_of(sim, device, rule);
	unsigned slot;

	if (reg->blind)
		return SIM_SLOTS;
	if (reg->open == UINT32_MAX) {
		blind(sim, reg);
		return SIM_SLOTS;
	}
	slot = (unsigned)__builtin_ctz(~reg->open);
	reg->open |= 1U << slot;
	if (op == WEIR_OP_GET)
		reg->gets = 1U << slot;
	reg->slots[slot].op = (uint8_t)op;
	reg->slots[slot].cookie = cookie;
	reg->slots[slot].limit = limit;
	reg->slots[slot].owner = 0;
	reg->slots[slot].invoked = sim->event_number;
	for (unsigned i = 0; i < reg->count; i++)
		reg->worlds[i].left |= 1U << slot;
	return slot;
}

static bool is_known(const struct sim_register *reg, unsigned slot)
{
	return !reg->blind && slot < SIM_SLOTS && (reg->open & 1U << slot) != 0;
}

/*
 * Ghosts that this process has done, and answered before this operation began: copies take its
 * writes in order, so where they have this one they have those, and nothing is to come of them.
 */
static uint32_t covered(const struct sim_register *reg, unsigned slot, uint32_t owner)
{
	uint32_t ghosts = 0;

	for (uint32_t left = reg->ghosts; left != 0; left &= left - 1) {
		unsigned ghost = (unsigned)__builtin_ctz(left);

		if (reg->slots[ghost].owner == owner &&
			reg->slots[ghost].invoked < reg->slots[slot].invoked)
			ghosts |= 1U << ghost;
	}
	return ghosts;
}

/* It has happened before now: only worlds in which it found what its answer says remain. */
static bool happened(
	struct sim *sim, struct sim_register *reg, unsigned slot, uint32_t owner, struct goal goal)
{
	struct set *all = set_begin(0), *kept = set_begin(1);
	uint32_t gone = 1U << slot | covered(reg, slot, owner);

	goal.bit = 1U << slot;
	goal.gone = gone;
	closure(sim, reg, all, &goal);
	reg->open &= ~gone;
	reg->ghosts &= ~gone;
	reg->gets &= ~gone;
	for (unsigned i = 0; i < all->count; i++) {
		struct sim_world *world = &all->worlds[i];

		if (reached(world, &goal)) {
			world->left &= ~gone;
			world->ok &= ~gone;
			set_add(reg, kept, world);
		}
	}
	kept->full |= all->full;
	if (keep(sim, reg, kept))
		return true;
	reg->open |= gone;
	return false;
}

/** It has happened before now, and found (or did not find) what it needed. */
void sim_model_return(
	struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner, bool ok)
{
	struct sim_register *reg = register_of(sim, device, rule);

	if (is_known(reg, slot) && !happened(sim, reg, slot, owner, (struct goal){.ok = ok}))
		broken(sim, device, rule,
			ok ? "an operation that was answered OK"
			   : "an operation that did not find the rule");
}

void sim_model_older(struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner)
{
	struct sim_register *reg = register_of(sim, device, rule);

	if (is_known(reg, slot) && !happened(sim, reg, slot, owner, (struct goal){.older = true}))
		broken(sim, device, rule, "an operation that was answered OLDER");
}

void sim_model_toobig(struct sim *sim, unsigned device, unsigned rule, unsigned slot,
	uint32_t owner, unsigned bytes)
{
	struct sim_register *reg = register_of(sim, device, rule);
	const struct goal goal = {.ok = true, .least = bytes + 1};

	if (is_known(reg, slot) && !happened(sim, reg, slot, owner, goal))
		broken(sim, device, rule, "a GET that was answered TOOBIG");
}

/** A GET has seen this. */
void sim_model_got(struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner,
	struct sim_value value)
{
	struct sim_register *reg = register_of(sim, device, rule);

	const struct goal goal = {.ok = true, .seen = &value};

	if (!is_known(reg, slot) || happened(sim, reg, slot, owner, goal))
		return;
	sim_note(sim, "%sd%lu rule %lu: a GET has seen rule %lu in state %lu", "", device, rule,
		value.cookie, value.state, 0, 0);
	broken(sim, device, rule, "what a GET has seen");
}

/** A GET has failed: as if it had never been. */
void sim_model_forget(struct sim *sim, unsigned device, unsigned rule, unsigned slot)
{
	struct sim_register *reg = register_of(sim, device, rule);
	struct set *kept = set_begin(1);
	uint32_t bit = 1U << slot;

	if (!is_known(reg, slot))
		return;
	reg->open &= ~bit;
	reg->gets &= ~bit;
	for (unsigned i = 0; i < reg->count; i++) {
		struct sim_world world = reg->worlds[i];

		world.left &= ~bit;
		world.ok &= ~bit;
		set_add(reg, kept, &world);
	}
	keep(sim, reg, kept);
}

/** It was answered that nothing was done. */
void sim_model_never(struct sim *sim, unsigned device, unsigned rule, unsigned slot)
{
	struct sim_register *reg = register_of(sim, device, rule);
	struct set *kept = set_begin(1);
	uint32_t bit = 1U << slot;

	if (!is_known(reg, slot))
		return;
	reg->open &= ~bit;
	for (unsigned i = 0; i < reg->count; i++) {
		struct sim_world world = reg->worlds[i];

		if ((world.left & bit) == 0)
			continue;
		world.left &= ~bit;
		set_add(reg, kept, &world);
	}
	if (!keep(sim, reg, kept))
		broken(sim, device, rule, "that an operation did nothing");
}

/** Its fate is open: it may have happened, or happen yet, or never. */
void sim_model_ghost(struct sim *sim, unsigned device, unsigned rule, unsigned slot, uint32_t owner)
{
	struct sim_register *reg = register_of(sim, device, rule);
	struct set *kept = set_begin(1);

	if (!is_known(reg, slot))
		return;
	reg->ghosts |= 1U << slot;
	reg->slots[slot].owner = owner;
	reg->slots[slot].invoked = sim->event_number;
	for (unsigned i = 0; i < reg->count; i++)
		set_add(reg, kept, &reg->worlds[i]);
	keep(sim, reg, kept);
}

/* It stands there: worlds in which it cannot are gone. */
static void there(
	struct sim *sim, unsigned device, unsigned rule, struct sim_value value, uint32_t gone)
{
	struct sim_register *reg = register_of(sim, device, rule);
	struct set *all = set_begin(0), *kept = set_begin(1);
	const struct goal goal = {.seen = &value, .gone = gone};

	if (reg->blind)
		return;
	closure(sim, reg, all, &goal);
	for (unsigned i = 0; i < all->count; i++)
		if (reached(&all->worlds[i], &goal))
			set_add(reg, kept, &all->worlds[i]);
	kept->full |= all->full;
	if (keep(sim, reg, kept))
		return;
	sim_note(sim, "%sd%lu rule %lu: there is rule %lu in state %lu", "", device, rule,
		value.cookie, value.state, 0, 0);
	broken(sim, device, rule, "what is there");
}

/** It stands there for good now. */
void sim_model_read(struct sim *sim, unsigned device, unsigned rule, struct sim_value value)
{
	there(sim, device, rule, value, 0);
}

void sim_model_truth(struct sim *sim, unsigned device, unsigned rule, struct sim_value value)
{
	struct sim_register *reg = register_of(sim, device, rule);
	struct set *kept = set_begin(1);
	uint32_t ghosts;

	ghosts = reg->ghosts;
	there(sim, device, rule, value, ghosts);
	if (reg->blind)
		return;
	reg->ghosts = 0;
	reg->open &= ~ghosts;
	for (unsigned i = 0; i < reg->count; i++) {
		struct sim_world world = reg->worlds[i];

		world.left &= ~ghosts;
		world.ok &= ~ghosts;
		set_add(reg, kept, &world);
	}
	keep(sim, reg, kept);
}
