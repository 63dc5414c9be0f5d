#include "worker/source/kafka_settings.h"

#include "worker/source/kafka_client.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct owned {
	const char *name, *reason;
};

/* What is not to be had by a setting, and why. */
static const struct owned owned[] = {
	{ "group.id", "the group is sluice-POOL; `pool` names it" },
	{ "bootstrap.servers", "kafka.brokers says it" },
	{ "metadata.broker.list", "kafka.brokers says it" },
	{ "enable.auto.commit",
	    "the ledger says where reading starts; the committed offset follows" },
	{ "auto.commit.enable",
	    "the ledger says where reading starts; the committed offset follows" },
	{ "auto.commit.interval.ms", "the committed offset follows within a second" },
	{ "enable.auto.offset.store", "the committed offset follows what is written" },
	{ "auto.offset.reset", "the source's `start` and `on_gap` say it" },
	{ "partition.assignment.strategy", "lanes move by cooperative-sticky" },
	{ "group.protocol", "lanes move by cooperative-sticky" },
	{ "group.remote.assignor", "lanes move by cooperative-sticky" },
	{ "isolation.level", "what was rolled back must not be written" },
	{ "enable.partition.eof", "it tells where a log ends in a transaction" },
	{ "log_level", "`log.level` says it" },
	{ "acks", "a dead letter counts when all replicas in sync have it" },
	{ "request.required.acks", "a dead letter counts when all replicas in sync have it" },
	{ "enable.idempotence", "a dead letter is written once" },
	{ "transactional.id", "a dead letter counts by itself" },
};

static const char *
reason_of(const char *name)
{
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		if (strcmp(owned[i].name, name) == 0)
			return owned[i].reason;
	return NULL;
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	CHECK(rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK);
}

static void
set_number(rd_kafka_conf_t *conf, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	set(conf, name, text);
}

static int64_t
within(int64_t n, int64_t least, int64_t most)
{
	return n < least ? least : n > most ? most : n;
}

/* What a worker's client may fetch ahead. */
static int64_t
share_of(const struct config *config)
{
	return config->memory_bytes / 8 / config_worker_count(config);
}

static int64_t
answer_bytes(const struct config *config)
{
	return within(share_of(config), 1048576, 52428800);
}

/*
 * What the client fetches ahead is a part of the worker's part of memory: its queue, one answer on its
 * way into it, and the records' own overhead.  What doesn't fit is asked for again at once and not a
 * second later.
 */
static void
set_memory(rd_kafka_conf_t *conf, const struct config *config)
{
	int64_t share = share_of(config), largest = config->entry_max_bytes + 1024 * 1024;

	set_number(conf, "queued.max.messages.kbytes", within(share / 1024, 512, 65536));
	set_number(conf, "queued.min.messages", 20000);
	set_number(conf, "fetch.queue.backoff.ms", 10);
	set_number(conf, "max.partition.fetch.bytes", within(share / 2, 65536, 1048576));
	set_number(conf, "fetch.max.bytes", answer_bytes(config));
	set_number(conf, "receive.message.max.bytes", within(largest, 100000000, 2147483647));
}

void
kafka_bound_heap(const struct config *config)
{
	mallopt(M_MMAP_THRESHOLD, (int)within(answer_bytes(config) + 65536, 0, 32 << 20));
}

static void
set_ours(rd_kafka_conf_t *conf, const struct config *config, const char *brokers)
{
	set(conf, "group.id", config->group);
	if (brokers != NULL)
		set(conf, "bootstrap.servers", brokers);
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.auto.offset.store", "false");
	set(conf, "auto.offset.reset", "error");
	set(conf, "partition.assignment.strategy", "cooperative-sticky");
	set(conf, "isolation.level", "read_committed");
	set(conf, "enable.partition.eof", "true");
	set(conf, "log_level", "4");
}

/* Those that librdkafka would take back later are set before. */
static void
set_defaults(rd_kafka_conf_t *conf, const struct config *config)
{
	set(conf, "client.id", "sluice");
	set(conf, "fetch.wait.max.ms", "500");
	set(conf, "reconnect.backoff.max.ms", "2000");
	set(conf, "topic.metadata.refresh.interval.ms", "60000");
	set(conf, "allow.auto.create.topics", "false");
	set_memory(conf, config);
}

/* -1: refused; `why` says so, without the value where it is secret. */
static int
set_setting(rd_kafka_conf_t *conf, const struct config_setting *setting, char *why, size_t size)
{
	const char *reason = reason_of(setting->name);
	char said[512];

	if (reason != NULL) {
		snprintf(why, size, "kafka.settings: %s is set by sluice: %s", setting->name,
		    reason);
		return -1;
	}
	switch (rd_kafka_conf_set(conf, setting->name, setting->value, said, sizeof(said))) {
	case RD_KAFKA_CONF_OK:
		return 0;
	case RD_KAFKA_CONF_UNKNOWN:
		snprintf(why, size, "kafka.settings: librdkafka %s has no property %s",
		    rd_kafka_version_str(), setting->name);
		return -1;
	case RD_KAFKA_CONF_INVALID:
		break;
	}
	snprintf(why, size, "kafka.settings: %s: %s", setting->name,
	    config_setting_is_secret(setting->name) ? "librdkafka refuses the value" : said);
	return -1;
}

/* Two workers of one static member would fence each other. */
static void
set_instance(rd_kafka_conf_t *conf, int worker)
{
	char name[256], own[280];
	size_t size = sizeof(name);

	if (rd_kafka_conf_get(conf, "group.instance.id", name, &size) != RD_KAFKA_CONF_OK ||
	    size <= 1)
		return;
	snprintf(own, sizeof(own), "%s-%d", name, worker);
	set(conf, "group.instance.id", own);
}

static rd_kafka_conf_t *
with_settings(const struct config *config, struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[600];

	set_defaults(conf, config);
	for (size_t i = 0; i < config->kafka.setting_count; i++) {
		if (set_setting(conf, &config->kafka.settings[i], why, sizeof(why)) == 0)
			continue;
		err_set(err, ERR_FATAL, 0, "%s", why);
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return conf;
}

rd_kafka_conf_t *
kafka_conf(const struct config *config, int worker, struct err *err)
{
	rd_kafka_conf_t *conf = with_settings(config, err);

	if (conf == NULL)
		return NULL;
	set_ours(conf, config, config->kafka.brokers);
	set_instance(conf, worker);
	return conf;
}

/* What isn't answered in time is given up, so that a wait for it ends. */
static void
set_writing(rd_kafka_conf_t *conf, const struct config *config, bool once)
{
	if (config->kafka.brokers != NULL)
		set(conf, "bootstrap.servers", config->kafka.brokers);
	set(conf, "acks", "all");
	set(conf, "enable.idempotence", once ? "true" : "false");
	set(conf, "linger.ms", "0");
	set_number(conf, "message.timeout.ms", within(config->kafka.timeout_ms, 1000, 300000));
	set_number(conf, "message.max.bytes", KAFKA_RECORD_MAX);
	set_number(conf, "queue.buffering.max.kbytes", 4 * KAFKA_RECORD_MAX / 1000);
	set(conf, "log_level", "4");
}

rd_kafka_conf_t *
kafka_writer_conf(const struct config *config, bool once, struct err *err)
{
	rd_kafka_conf_t *conf = with_settings(config, err);

	if (conf != NULL)
		set_writing(conf, config, once);
	return conf;
}

/* ---- sluice check ---- */

static const struct config_setting *
setting_of(const struct config *config, const char *name)
{
	for (size_t i = config->kafka.setting_count; i-- > 0;)
		if (strcmp(config->kafka.settings[i].name, name) == 0)
			return &config->kafka.settings[i];
	return NULL;
}

/* While a batch is written the consumer can't be told of a revoke: that must end in time. */
static unsigned
check_interval(const struct config *config, kafka_report *report, void *arg)
{
	const struct config_setting *interval = setting_of(config, "max.poll.interval.ms");
	long long batch_ms = (long long)config->mysql.timeout_ms + config->lock_wait_ms +
	    (config_has_templates(config) ? config->cache.timeout_ms : 0);
	char why[300];

	if (interval == NULL || strtoll(interval->value, NULL, 10) >= 2 * batch_ms)
		return 0;
	snprintf(why, sizeof(why),
	    "kafka.settings: max.poll.interval.ms is less than twice the longest that a batch may "
	    "take: mysql.timeout, lock_wait and the cache's timeout are %lld ms",
	    batch_ms);
	report(arg, interval->line, interval->column, why);
	return 1;
}

/* What fits alone need not fit together: files, mechanisms, sizes. */
static unsigned
check_together(const struct config *config, rd_kafka_type_t type, rd_kafka_conf_t *conf,
    kafka_report *report, void *arg)
{
	char said[512], why[600];
	rd_kafka_t *client = rd_kafka_new(type, conf, said, sizeof(said));
	bool any = config->kafka.setting_count > 0;

	if (client != NULL) {
		rd_kafka_destroy(client);
		return 0;
	}
	rd_kafka_conf_destroy(conf);
	snprintf(why, sizeof(why), "kafka.settings: %s", said);
	report(arg, any ? config->kafka.settings[0].line : 0,
	    any ? config->kafka.settings[0].column : 0, why);
	return 1;
}

static void
say_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client, (void)level, (void)facility, (void)text;
}

static unsigned
check_writing(const struct config *config, kafka_report *report, void *arg)
{
	rd_kafka_conf_t *conf;

	if (!config_keeps_in_topic(config))
		return 0;
	conf = with_settings(config, NULL);
	set_writing(conf, config, true);
	rd_kafka_conf_set_log_cb(conf, say_nothing);
	return check_together(config, RD_KAFKA_PRODUCER, conf, report, arg);
}

unsigned
kafka_check_settings(const struct config *config, kafka_report *report, void *arg)
{
	rd_kafka_conf_t *conf;
	unsigned mistakes = 0;
	char why[600];

	if (!config_reads_topics(config) && !config_keeps_in_topic(config))
		return 0;
	conf = rd_kafka_conf_new();
	set_defaults(conf, config);
	for (size_t i = 0; i < config->kafka.setting_count; i++) {
		const struct config_setting *setting = &config->kafka.settings[i];

		if (set_setting(conf, setting, why, sizeof(why)) == 0)
			continue;
		report(arg, setting->line, setting->column, why);
		mistakes++;
	}
	if (mistakes > 0) {
		rd_kafka_conf_destroy(conf);
		return mistakes;
	}
	set_ours(conf, config, NULL);
	rd_kafka_conf_set_log_cb(conf, say_nothing);
	mistakes = check_together(config, RD_KAFKA_CONSUMER, conf, report, arg);
	if (mistakes == 0)
		mistakes = check_writing(config, report, arg);
	return mistakes + check_interval(config, report, arg);
}
