#include "worker/lane.h"

#include "common/err.h"
#include "common/number.h"
#include "worker/operate/counters.h"

#include <stdio.h>
#include <string.h>

const char *
lane_state_name(enum lane_state state)
{
	switch (state) {
	case LANE_FREE:
		return "free";
	case LANE_OPEN:
		return "open";
	case LANE_HELD:
		return "held";
	case LANE_HALTED:
		return "halted";
	}
	return "unknown";
}

const char *const lane_whys[] = { LANE_WHY_ROW_LOCK, LANE_WHY_FOREIGN_KEY, LANE_WHY_TABLE,
	LANE_WHY_POISON_RATE, LANE_WHY_ON_POISON, LANE_WHY_MAX_PARKED, LANE_WHY_REPLAY,
	LANE_WHY_ENTRY_TOO_LARGE, LANE_WHY_LEDGER_LOST, LANE_WHY_GAP, LANE_WHY_IDENTITY,
	LANE_WHY_LANES_CHANGED, LANE_WHY_WRONG_TYPE, LANE_WHY_REFUSED, LANE_WHY_STORE_ROLLBACK,
	LANE_WHY_ROLLBACK, LANE_WHY_FORK, LANE_WHY_PARTITIONS, LANE_WHY_CACHE_LOST,
	LANE_WHY_UNKNOWN, NULL };

const char *
lane_why_of(const char *text)
{
	if (text[0] == '\0')
		return NULL;
	for (size_t i = 0; lane_whys[i] != NULL; i++)
		if (strcmp(lane_whys[i], text) == 0)
			return lane_whys[i];
	return LANE_WHY_UNKNOWN;
}

void
lane_init(struct lane *lane, const struct config *config, const struct config_source *source,
    size_t stream, int index)
{
	int len;

	memset(lane, 0, sizeof(*lane));
	CHECK(stream < source->stream_count);
	lane->stream = source->streams[stream];
	lane->source = source;
	lane->lanes_of_source = (unsigned)source->stream_count;
	lane->by_group = !source->write;
	lane->index = index;
	len = snprintf(lane->name, sizeof(lane->name), "%s/%s/%s", config->pool, config->redis.name,
	    lane->stream);
	/* the configuration refuses longer ones: a name cut short could be another lane's */
	CHECK(len > 0 && (size_t)len < sizeof(lane->name));
}

bool
lane_init_partition(struct lane *lane, const struct config *config,
    const struct config_source *source, const char *topic, int partition, int index)
{
	int len;

	memset(lane, 0, sizeof(*lane));
	snprintf(lane->topic, sizeof(lane->topic), "%s", topic);
	lane->stream = lane->topic;
	lane->is_partition = true;
	lane->partition = partition;
	lane->source = source;
	lane->index = index;
	len = snprintf(lane->name, sizeof(lane->name), "%s/%s/%s/%d", config->pool,
	    config->kafka.name, topic, partition);
	return len > 0 && (size_t)len < sizeof(lane->name) && strcmp(lane->topic, topic) == 0;
}

bool
lane_name_partition(const struct config *config, const char *name, char *topic, int *partition)
{
	char prefix[LANE_NAME_MAX + 1];
	int len = snprintf(prefix, sizeof(prefix), "%s/%s/", config->pool, config->kafka.name);
	const char *slash;
	int64_t number;

	if (strncmp(name, prefix, (size_t)len) == 0)
		name += len;
	slash = strrchr(name, '/');
	if (slash == NULL || slash == name || slash - name > TOPIC_NAME_MAX ||
	    !number_i64(str_of(slash + 1), &number) || number < 0 || number > INT32_MAX)
		return false;
	snprintf(topic, TOPIC_NAME_MAX + 1, "%.*s", (int)(slash - name), name);
	*partition = (int)number;
	return true;
}

size_t
lanes_max(const struct config *config)
{
	return config_lane_count(config) + (config_reads_topics(config) ? LANES_ADDED_MAX : 0);
}

static struct lane *
find_partition(struct lane_table *table, size_t count, const char *topic, int partition)
{
	for (size_t i = 0; i < count; i++)
		if (table->lanes[i].is_partition && table->lanes[i].partition == partition &&
		    strcmp(table->lanes[i].stream, topic) == 0)
			return &table->lanes[i];
	return NULL;
}

struct lane *
lane_table_partition(struct lane_table *table, const struct config_source *source,
    const char *topic, int partition)
{
	struct lane *lane;
	size_t count;

	pthread_mutex_lock(&table->adding);
	count = atomic_load(table->count);
	lane = find_partition(table, count, topic, partition);
	if (lane == NULL && count < table->max) {
		lane = &table->lanes[count];
		if (lane_init_partition(lane, table->config, source, topic, partition, (int)count))
			atomic_store(table->count, count + 1);
		else
			lane = NULL;
	}
	pthread_mutex_unlock(&table->adding);
	return lane;
}

unsigned
lane_recent_add(struct lane_recent *recent, bool dead)
{
	enum { LAST = 8 * sizeof(recent->bits) };
	unsigned char *byte = &recent->bits[recent->at / 8];
	unsigned char bit = (unsigned char)(1U << recent->at % 8);

	if (recent->count < LAST)
		recent->count++;
	else if (*byte & bit)
		recent->dead--;
	*byte = (unsigned char)(dead ? *byte | bit : *byte & ~bit);
	recent->dead += dead;
	recent->at = (recent->at + 1) % LAST;
	return recent->dead;
}

static void
set_state(struct lane *lane, enum lane_state state, const char *why)
{
	lane->state = state;
	/* one pointer for one word, so that words can be compared as pointers */
	SHOW(lane->why, why != NULL ? lane_why_of(why) : NULL);
	SHOW(lane->shown_state, state);
	lane_show(lane);
}

void
lane_open(struct lane *lane)
{
	lane->hold_until_ms = 0;
	set_state(lane, LANE_OPEN, NULL);
}

/* What we knew about it is its next owner's to say. */
void
lane_free(struct lane *lane)
{
	lane->hold_until_ms = 0;
	lane->hold_tries = 0;
	parked_clear(&lane->parked);
	parked_clear(&lane->replay_blocked);
	lane->replay_due = lane->replaying = false;
	lane_end_again(lane);
	lane->cache_lost = false;
	lane->look_again = lane->recall = lane->doubtful = lane->interrupted = false;
	lane->lost_to = (struct position){ 0, 0 };
	SHOW(lane->alarm, NULL);
	SHOW(lane->lag, 0);
	SHOW(lane->stream_length, 0);
	SHOW(lane->stream_bytes, 0);
	SHOW(lane->oldest_pending_ms, 0);
	set_state(lane, LANE_FREE, NULL);
}

void
lane_hold(struct lane *lane, const char *why, int64_t until_ms)
{
	/* a halted lane waits for an order, not for time */
	CHECK(lane->state != LANE_HALTED && why != NULL);
	lane->hold_until_ms = until_ms;
	set_state(lane, LANE_HELD, why);
}

void
lane_halt(struct lane *lane, const char *why)
{
	CHECK(why != NULL);
	lane->hold_until_ms = 0;
	set_state(lane, LANE_HALTED, why);
}

const char *
lane_alarm_text(const struct lane *lane, const char *alarm, char text[LANE_ALARM_MAX + 1])
{
	bool is_that = alarm != NULL && strcmp(alarm, LANE_WHY_CACHE_LOST) == 0;
	bool lost = lane->cache_lost || SEE(lane->alarm) == lane_why_of(LANE_WHY_CACHE_LOST);

	snprintf(text, LANE_ALARM_MAX + 1, "%s%s", alarm != NULL ? alarm : "",
	    alarm != NULL && lost && !is_that ? "," LANE_WHY_CACHE_LOST : "");
	return text;
}

void
lane_take_alarm(struct lane *lane, const char *text)
{
	char word[LANE_ALARM_MAX + 1];
	size_t len = strcspn(text, ",");

	snprintf(word, sizeof(word), "%.*s", (int)len, text);
	lane->cache_lost = strcmp(text + len, "," LANE_WHY_CACHE_LOST) == 0;
	SHOW(lane->alarm, lane_why_of(word));
}

static void
move(struct lane *lane, const struct lane_wait *to)
{
	lane->answered = to->at;
	lane->answered_hash = to->hash;
	lane->passed_from = to->passed_from;
	lane->passed = to->passed;
}

struct lane_wait
lane_reached(const struct lane *lane)
{
	if (lane->wait_count > 0)
		return lane->waits[lane->wait_count - 1];
	return (struct lane_wait){ .at = lane->answered,
		.hash = lane->answered_hash,
		.passed_from = lane->passed_from,
		.passed = lane->passed };
}

void
lane_answer(struct lane *lane, const struct lane_wait *place, uint64_t pass)
{
	struct lane_wait *last = lane->wait_count > 0 ? &lane->waits[lane->wait_count - 1] : NULL;

	if (last == NULL && pass == 0) {
		move(lane, place);
		return;
	}
	if (last == NULL || pass > last->pass) {
		CHECK(lane->wait_count < sizeof(lane->waits) / sizeof(lane->waits[0]));
		last = &lane->waits[lane->wait_count++];
	} else {
		pass = last->pass;
	}
	*last = *place;
	last->pass = pass;
}

static void
drop_first_wait(struct lane *lane)
{
	lane->waits[0] = lane->waits[1];
	lane->wait_count--;
}

void
lane_passed(struct lane *lane, uint64_t pass)
{
	while (lane->wait_count > 0 && lane->waits[0].pass <= pass) {
		move(lane, &lane->waits[0]);
		drop_first_wait(lane);
	}
}

void
lane_forget_waits(struct lane *lane)
{
	lane->wait_count = 0;
}

void
lane_answered_at(struct lane *lane, struct position answered)
{
	while (lane->wait_count > 0 && position_compare(lane->waits[0].at, answered) <= 0)
		drop_first_wait(lane);
	lane->answered = lane->passed_from = answered;
	lane->passed = 0;
	lane->answered_hash = 0;
}

struct position
lane_recordable(const struct lane *lane)
{
	struct position at = lane->answered;

	/* what is invalidated again begins at its note, which is behind on purpose */
	if (!lane->noting || lane->again.on || lane->by_group)
		return at;
	if (position_compare(lane->noted, at) < 0)
		at = lane->noted;
	return position_compare(at, lane->done) > 0 ? at : lane->done;
}

void
lane_took(struct lane *lane, struct position id)
{
	if (position_compare(id, lane->taken) > 0)
		lane->taken = id;
}

struct position
lane_touched(const struct lane *lane)
{
	if (!lane->by_group)
		return lane_reached(lane).at;
	return position_compare(lane->settled, lane->taken) > 0 ? lane->settled : lane->taken;
}

/* What was acknowledged since the note isn't given to anybody again. */
static void
rewind_group(struct lane *lane)
{
	if (lane->again.on || !lane->noting || position_is_none(lane->noted) ||
	    position_compare(lane->noted, lane_touched(lane)) >= 0)
		return;
	lane->again = (struct lane_again){ .on = true, .checked = true };
	SHOW(lane->shown_again, 1);
}

void
lane_rewind(struct lane *lane)
{
	/* an order may have passed over what follows the note; what the note was is still told by it */
	bool tells = !position_is_none(lane->noted) && !lane->note_anew;
	struct position noted = tells ? lane->noted : lane->done;

	if (lane->by_group)
		rewind_group(lane);
	if (lane->again.on) {
		lane->again.at = lane->noted;
		lane->again.to = lane_touched(lane);
		lane->again.pass = 0;
	}
	lane_forget_waits(lane);
	if (lane->noting && !lane->again.on && !lane->by_group &&
	    position_compare(noted, lane->answered) < 0)
		lane_answered_at(lane, noted);
	lane->cursor = lane->answered;
	lane->unreleased_bytes = 0;
}

void
lane_flushed(struct lane *lane)
{
	lane_end_again(lane);
	if (position_compare(lane->answered, lane->position) < 0)
		lane_answered_at(lane, lane->position);
	lane_forget_waits(lane);
	lane->noted = (struct position){ 0, 0 };
}

void
lane_end_again(struct lane *lane)
{
	lane->again = (struct lane_again){ .on = false };
	SHOW(lane->shown_again, 0);
}

void
lane_show(struct lane *lane)
{
	SHOW(lane->shown_position_ms, lane->position.major);
	SHOW(lane->shown_position_minor, lane->position.minor);
	SHOW(lane->shown_done_ms, lane->done.major);
	SHOW(lane->shown_done_minor, lane->done.minor);
}
