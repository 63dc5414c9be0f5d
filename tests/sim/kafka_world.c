#include "tests/sim/kafka.h"

#include "common/err.h"
#include "worker/store/no_store.h"

#include <stdio.h>
#include <stdlib.h>

/* What a seed decides about Kafka, the processes that read it, and lanes that only invalidate. */
struct sim_kafka sim_kafka;

/* ---- what a seed decides ---- */

static const struct config *
config_of(bool invalidates, bool halts, bool keys)
{
	static struct config configs[2][2][2];
	struct config *config = &configs[invalidates][halts][keys];
	const char *key = invalidates && keys ? ", key: id" : "";
	char text[1024];

	if (config->source_count > 0)
		return config;
	snprintf(text, sizeof(text),
	    "kafka: { brokers: \"127.0.0.1:9092\" }\n"
	    "http: { listen: \"off\" }\n"
	    "redis: { url: \"redis://127.0.0.1:6379\" }\n"
	    "%s"
	    "sources:\n"
	    "  - { topics: [\"" KAFKA_TOPIC "\"], format: json, on_gap: %s, %s }\n"
	    "tables:\n"
	    "  stock: { invalidate: [\"stock:{id}\"%s]%s }\n"
	    "%s"
	    "  checked: { invalidate: [\"checked:{id}\"]%s }\n"
	    "%s",
	    invalidates ? "" : "mysql: { url: \"mysql://app@127.0.0.1:3306/shop\" }\n",
	    halts ? "halt" : "continue",
	    invalidates ? "write: false, tables: [stock, checked]" :
			  "write: true, tables: [stock, profile, checked, logged]",
	    invalidates ? "" : ", \"stockn:{n}\"", key,
	    invalidates ? "" : "  profile: { version: ver }\n", key,
	    invalidates ? "" : "  logged: {}\n");
	sim_parse(config, "kafka.yaml", text);
	return config;
}

static unsigned
odds(unsigned most)
{
	return below(2) == 0 ? 0 : below(most);
}

bool
kafka_choose(void)
{
	unsigned span_us = (unsigned)(world.calm_us - world.now_us);

	coordinator_reset();
	world.config = *config_of(world.invalidates, below(4) == 0, below(2) == 0);
	world.lanes = 1 + below(LANES_MAX);
	sim_kafka.topic_life = 1;
	sim_kafka.session_us = 6000000 + below(8000000);
	sim_kafka.odds.move = odds(8000);
	sim_kafka.odds.kick = odds(800);
	sim_kafka.odds.retain = below(3) == 0 ? below(1500) : 0;
	sim_kafka.odds.forget = odds(1000);
	sim_kafka.odds.commit_lost = odds(20000);
	sim_kafka.odds.read = odds(2000);
	sim_kafka.odds.fatal = below(4) == 0 ? below(200) : 0;
	for (unsigned l = 0; l < world.lanes; l++)
		if (below(8) == 0)
			sim_kafka.logs[l].cut_us = world.now_us + below(span_us);
	if (below(8) == 0)
		sim_kafka.anew_us = world.now_us + below(span_us);
	sim_kafka.partitions = world.lanes;
	if (world.lanes > 1 && below(6) == 0) {
		sim_kafka.partitions = 1 + below(world.lanes - 1);
		sim_kafka.grows_us = world.now_us + below(span_us);
	}
	return !world.invalidates && below(3) == 0;
}

void
kafka_choose_tables(void)
{
	for (unsigned t = 0; t < TABLES; t++) {
		world.tables_used[t] = t == STOCK || t == CHECKED;
		world.tables[t].on_poison = ON_POISON_SKIP;
	}
	world.images = false;
}

/* ---- dead letters and orders of lanes that don't write ---- */

static int
home_write(struct letter_home *home, const struct entry *first, unsigned *written, struct err *err)
{
	(void)home, (void)err;
	for (const struct entry *e = first; e != NULL; e = e->next_kept) {
		if (e->refusal.reason == NULL || e->done_before)
			continue;
		world.streams[e->lane->index].entries[entry_index(e)].dead = e->refusal.reason;
		++*written;
	}
	return 0;
}

static int
home_orders(struct letter_home *home, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	(void)home, (void)err;
	for (size_t i = 0; i < count; i++) {
		struct lane_order *order = &world.ledger[lanes[i]->index].order;

		orders[i] = *order;
		*order = (struct lane_order){ .kind = ORDER_NONE };
	}
	return 0;
}

static void
home_free(struct letter_home **home)
{
	*home = NULL;
}

static struct letter_home *
home_of(void)
{
	static const struct letter_home_ops ops = {
		.write = home_write, .orders = home_orders, .free = home_free
	};
	static struct letter_home home = { .ops = &ops };

	return &home;
}

/* ---- processes ---- */

/* The source takes what it is given in hand before it polls: whoever crashes does so here. */
static int
receive(struct source *source, struct delivery **delivery, struct err *err)
{
	call_begins(process_running(), "kafka.receive");
	return sim_kafka.source_ops->receive(source, delivery, err);
}

static void
wrap_source(struct source *source)
{
	static struct source_ops wrapped;

	sim_kafka.source_ops = source->ops;
	wrapped = *source->ops;
	wrapped.receive = receive;
	source->ops = &wrapped;
}

/* Nothing is written where an alarm is raised, and another may take its place at once. */
static int
mark(struct store *store, struct lane *lane, struct err *err)
{
	(void)store, (void)lane, (void)err;
	hear_alarms(process_running());
	return 0;
}

static void
wrap_store(struct store *store)
{
	static struct store_ops wrapped;

	wrapped = *store->ops;
	wrapped.mark = mark;
	store->ops = &wrapped;
}

void
kafka_process_start(struct process *p)
{
	struct letter_home *home = home_of();

	sim_kafka.may_write[p->index] = 0;
	atomic_store(&p->lane_count, 0);
	p->table = (struct lane_table){ .config = &world.config,
		.lanes = p->lanes,
		.max = LANES_MAX,
		.count = &p->lane_count };
	pthread_mutex_init(&p->table.adding, NULL);
	/* its number is its partition's */
	for (unsigned l = 0; l < world.lanes; l++)
		CHECK(lane_table_partition(&p->table, &world.config.sources[0], KAFKA_TOPIC,
			  (int)l) == &p->lanes[l]);
	worker_init(&p->worker, &world.config, 0, p->lane_list, 0, &p->stop);
	p->worker.table = &p->table;
	p->worker.source_breaker = &p->worker.counters.kafka;
	p->worker.invalidates = world.invalidates;
	fake_store_init(p);
	if (world.invalidates) {
		p->worker.store = no_store_new(&world.config, &home);
		wrap_store(p->worker.store);
	}
	p->worker.source = kafka_new(&world.config, 0, !world.invalidates);
	wrap_source(p->worker.source);
	fake_cache_init(p);
}

void
kafka_process_end(struct process *p)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		p->worker.source->ops->close_lane(p->worker.source, &p->lanes[l]);
		parked_deinit(&p->lanes[l].parked);
		parked_deinit(&p->lanes[l].replay_blocked);
	}
	worker_deinit(&p->worker);
	pthread_mutex_destroy(&p->table.adding);
	kafka_objects_free(p);
}

/* ---- lanes that only invalidate ---- */

bool
kafka_is_answered(const struct stream_entry *e)
{
	if (e->dead != NULL)
		return true;
	for (unsigned i = 0; i < e->key_count; i++)
		if (world.gone_tick[e->key_table[i]][e->key_row[i]] < e->added_tick)
			return false;
	return !e->bad;
}

void
kafka_check_committed(unsigned partition, int64_t offset)
{
	const struct stream *s = &world.streams[partition];

	for (unsigned i = 0; i < s->added; i++) {
		const struct stream_entry *e = &s->entries[i];

		if (e->lost || (int64_t)e->id.major >= offset || kafka_is_answered(e))
			continue;
		sim_fail("partition %u: offset %lld is committed, and %s %llu", partition,
		    (long long)offset, e->bad ? "no dead letter is of" : "no key went since",
		    (unsigned long long)e->id.major);
	}
}

static bool
is_committed(unsigned l)
{
	const struct stream *s = &world.streams[l];
	const struct kafka_log *log = &sim_kafka.logs[l];
	struct position last = last_entry(s);

	return s->added == s->count &&
	    (position_next_offset(last) == 0 || log->forgotten ||
		(log->committed && log->offset >= position_next_offset(last)));
}

static bool
is_answered(unsigned l)
{
	const struct stream *s = &world.streams[l];

	for (unsigned i = 0; i < s->added; i++)
		if (!s->entries[i].lost && !kafka_is_answered(&s->entries[i]))
			return false;
	return true;
}

bool
kafka_is_quiet(void)
{
	for (unsigned l = 0; l < world.lanes; l++)
		if (!is_committed(l) || !is_answered(l))
			return false;
	return true;
}

void
kafka_compare(void)
{
	for (unsigned l = 0; l < world.lanes; l++)
		kafka_check_committed(l, sim_kafka.logs[l].end);
	logs_check_told();
}
