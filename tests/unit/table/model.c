/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations on a table and on the plainest model of it, side by side. */
#include "help.h"

#define NUMBERS 3000
#define BUCKETS 5
#define STEPS   120000

struct model_entry {
	bool there;
	uint8_t state;
	uint64_t created;
};

struct model {
	struct help_table help;
	uint64_t random;
	struct model_entry entries[NUMBERS];
	struct weir_digest digests[WEIR_BUCKETS];
};

static unsigned number_bucket(uint64_t number)
{
	return (unsigned)(number % BUCKETS *
			  32); /* all in shard 0 but for what is made elsewhere */
}

/** Rule `number`; each fourth shares its flow id with the one BUCKETS before it. */
static struct weir_entry *make(const struct model *model, struct help_entry *room, uint64_t number)
{
	struct help_entry other;
	struct weir_entry *entry = help_entry_in(room, number, number_bucket(number));

	if (number % 4 == 0 && number >= BUCKETS)
		entry->rule.flow_id = help_entry_in(&other, number - BUCKETS, number_bucket(number))
					      ->rule.flow_id;
	entry->created = model->entries[number].created;
	entry->state = model->entries[number].state;
	return entry;
}

static void step_put(struct model *model, uint64_t number)
{
	struct model_entry *entry = &model->entries[number];
	struct weir_entry *stored;
	struct help_entry room;

	entry->created = help_random(&model->random);
	entry->state = WEIR_FLOW_PENDING_ADD;
	assert_int_equal(
		help_put(&model->help, make(model, &room, number), &stored), entry->there ? 1 : 0);
	entry->there = true;
	assert_int_equal(stored->created, entry->created);
}

static struct weir_entry *found(const struct model *model, uint64_t number)
{
	struct help_entry room;
	struct weir_entry *entry =
		weir_table_find(model->help.table, &make(model, &room, number)->rule);

	assert_int_equal(entry != NULL, model->entries[number].there);
	if (entry != NULL) {
		assert_int_equal(help_number(&entry->rule), number);
		assert_int_equal(entry->created, model->entries[number].created);
		assert_int_equal(entry->state, model->entries[number].state);
	}
	return entry;
}

static void step_remove(struct model *model, uint64_t number)
{
	struct weir_entry *entry = found(model, number);

	if (entry != NULL)
		help_remove(&model->help, entry);
	model->entries[number].there = false;
}

static void step_state(struct model *model, uint64_t number)
{
	struct weir_entry *entry = found(model, number);
	uint8_t state = (uint8_t)(help_random(&model->random) % WEIR_FLOW_STATES_COUNT);

	if (entry == NULL)
		return;
	model->entries[number].state = state;
	weir_bucket_set_state(
		weir_table_bucket(model->help.table, number_bucket(number)), entry, state, 1);
}

static void step_stamp(struct model *model, uint64_t number)
{
	unsigned number_of = number_bucket(number);
	struct weir_bucket *bucket = weir_table_bucket(model->help.table, number_of);
	struct weir_digest *digest = &model->digests[number_of];

	if (bucket == NULL)
		return;
	digest->seq++;
	digest->term += help_random(&model->random) % 16 == 0;
	weir_bucket_stamp(bucket, digest->term, digest->seq);
}

/** Swaps in a bucket that holds what the model says, of an older version. */
static void step_swap(struct model *model, uint64_t number)
{
	unsigned number_of = number_bucket(number);
	struct weir_bucket *bucket = weir_bucket_create(model->help.mem, number_of);
	struct help_entry room;

	for (uint64_t i = number % BUCKETS; i < NUMBERS; i += BUCKETS)
		if (model->entries[i].there)
			assert_int_equal(weir_bucket_put(bucket, model->help.mem,
						 make(model, &room, i), NULL),
				0);
	model->digests[number_of].term /= 2;
	model->digests[number_of].seq /= 2;
	weir_bucket_stamp(bucket, model->digests[number_of].term, model->digests[number_of].seq);
	assert_int_equal(weir_table_swap(model->help.table, model->help.mem, bucket), 0);
}

/** Recomputes every sum from the model and compares. */
static void check(struct model *model)
{
	struct weir_shard_digest shard = {0};
	struct help_entry room;

	for (unsigned i = 0; i < WEIR_BUCKETS; i++) {
		model->digests[i].count = 0;
		model->digests[i].hash = 0;
	}
	for (uint64_t i = 0; i < NUMBERS; i++) {
		struct weir_digest *digest = &model->digests[number_bucket(i)];

		found(model, i);
		if (!model->entries[i].there)
			continue;
		digest->count++;
		digest->hash += weir_entry_hash(make(model, &room, i));
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		unsigned bucket = number_bucket(i);
		struct weir_digest digest = weir_table_digest(model->help.table, bucket);

		assert_true(weir_digest_equal(&digest, &model->digests[bucket]));
		shard.count += digest.count;
		shard.sum += weir_digest_mix(bucket, &digest);
	}
	assert_int_equal(weir_table_shard_digest(model->help.table, 0).sum, shard.sum);
	assert_int_equal(weir_table_shard_digest(model->help.table, 0).count, shard.count);
	assert_int_equal(weir_table_count(model->help.table), shard.count);
}

static void table_does_what_the_model_does(void **state)
{
	static struct model model;

	model = (struct model){.help = help_table(), .random = help_seed()};
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t number = help_random(&model.random) % NUMBERS;
		uint64_t dice = help_random(&model.random) % 1000;
		bool growing = step / 10000 % 2 == 0;

		if (dice < 300)
			step_state(&model, number);
		else if (dice < 400)
			step_stamp(&model, number);
		else if (dice < 402)
			step_swap(&model, number);
		else if (dice < (growing ? 850 : 500))
			step_put(&model, number);
		else
			step_remove(&model, number);
		if (step % 32 == 0)
			help_turn(model.help.mem);
		if (step % 2000 == 0)
			check(&model);
	}
	check(&model);
	help_table_end(&model.help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_does_what_the_model_does),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("model", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
