#include "worker/operate/explain_lanes.h"

#include "worker/store/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
	const struct ledger_listed *listed; /* NULL: the ledger has no row of it */
	struct position done;
	uint64_t pending;
	bool known;
};

static void
say_pending(void *arg, const struct row_trace *trace)
{
	struct explain_lanes *l = arg;

	if (l->found++ >= LANES_PENDING_SHOWN)
		return;
	buf_printf(l->out, "  pending  entry %s of %s: %s", trace->entry, trace->lane,
	    trace->operation);
	if (trace->has_version)
		buf_printf(l->out, " of version %llu", (unsigned long long)trace->version);
	if (!l->writes)
		buf_add_str(l->out, ", not told yet\n");
	else if (position_compare(trace->id, l->position) > 0)
		buf_add_str(l->out, ", not written yet\n");
	else
		buf_add_str(l->out, ", written and not known to be told\n");
}

/* ---- places ---- */

static const struct ledger_listed *
find_listed(const struct ledger_listed *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static void
place_of_group(struct explain_lanes *l, const struct lane *lane, struct place *place)
{
	struct arena arena;
	const struct redis_reply *groups, *ours, *at, *pending;

	if (!redis_is_open(l->redis))
		return;
	arena_init(&arena, 0);
	groups = redis_call(l->redis, &arena, NULL, "XINFO GROUPS %s", lane->stream);
	ours = redis_group(groups, l->config->group);
	if (ours != NULL && (at = redis_pair(ours, "last-delivered-id")) != NULL &&
	    (pending = redis_pair(ours, "pending")) != NULL) {
		place->known = position_parse(at->text, &place->done);
		place->pending = (uint64_t)pending->integer;
	}
	arena_deinit(&arena);
}

static bool
stands_still(const struct ledger_listed *listed)
{
	return listed != NULL && (listed->halted[0] != '\0' || listed->alarm[0] != '\0');
}

static void
say_place(struct explain_lanes *l, const struct lane *lane, const struct place *place)
{
	const struct ledger_listed *listed = place->listed;
	char done[POSITION_TEXT];

	buf_printf(l->out, "  lane     %s: ", lane->name);
	if (!lane->source->write && place->known)
		buf_printf(l->out, "read up to %s, %llu entries not acknowledged",
		    position_text(place->done, done), (unsigned long long)place->pending);
	else if (listed != NULL)
		buf_printf(l->out, "written up to %s, told up to %s", listed->position,
		    listed->done);
	else
		buf_add_str(l->out, "never read yet");
	if (listed != NULL && listed->halted[0] != '\0')
		buf_printf(l->out, ", halted: %s", listed->halted);
	if (listed != NULL && listed->alarm[0] != '\0')
		buf_printf(l->out, ", alarm: %s", listed->alarm);
}

/* ---- a lane ---- */

static void
look_at_stream(struct explain_lanes *l, struct lane *lane, const struct place *place)
{
	size_t line = l->out->len;
	uint64_t looked = 0, found = l->found;
	bool bounded = false;
	struct err err = { 0 };

	say_place(l, lane, place);
	if (!redis_is_open(l->redis)) {
		buf_add_str(l->out, "; its stream can't be read\n");
		return;
	}
	if (l->entries >= LANES_ENTRIES_MAX) {
		l->left_out++;
		l->out->len = line;
		return;
	}
	size_t pending = l->out->len;
	buf_add_char(l->out, '\n');
	if (row_traces_stream(l->row, l->redis, lane, place->done, say_pending, l, &looked,
		&bounded, &err) != 0) {
		l->out->len = pending;
		buf_printf(l->out, "; its stream can't be read: %s\n", err.text);
		return;
	}
	l->entries += looked;
	if (looked == 0 && !stands_still(place->listed) && place->pending == 0) {
		l->quiet++;
		l->out->len = line;
	} else if (bounded) {
		buf_printf(l->out,
		    "           only the first %llu entries behind that were looked at\n",
		    (unsigned long long)looked);
	} else {
		buf_printf(l->out, "           %llu entries behind that, %llu name the row\n",
		    (unsigned long long)looked, (unsigned long long)(l->found - found));
	}
}

/* Partitions that the ledger knows; their records aren't looked into. */
static void
say_topics(struct explain_lanes *l, const struct config_source *source,
    const struct ledger_listed *list, size_t count)
{
	char head[LANE_NAME_MAX + 1], topic[TOPIC_NAME_MAX + 1];
	int len = snprintf(head, sizeof(head), "%s/%s/", l->config->pool, l->config->kafka.name);

	buf_printf(l->out, "  lane     topics %s: their records are not looked into\n",
	    source->written);
	for (size_t i = 0; i < count; i++) {
		struct place place = { .listed = &list[i] };
		const char *slash = strrchr(list[i].name, '/');
		struct lane lane = { .source = source };

		if (strncmp(list[i].name, head, (size_t)len) != 0 || slash < list[i].name + len)
			continue;
		snprintf(topic, sizeof(topic), "%.*s", (int)(slash - list[i].name - len),
		    list[i].name + len);
		if (config_source_of_topic(l->config, topic) != source)
			continue;
		memcpy(lane.name, list[i].name, sizeof(lane.name));
		say_place(l, &lane, &place);
		buf_add_char(l->out, '\n');
	}
}

static void
look_at_source(struct explain_lanes *l, const struct config_source *source,
    const struct ledger_listed *list, size_t count)
{
	for (size_t i = 0; i < source->stream_count; i++) {
		struct place place = { .listed = NULL };
		struct lane lane;

		lane_init(&lane, l->config, source, i, 0);
		l->writes = source->write;
		l->position = (struct position){ 0, 0 };
		if (source->write)
			place.listed = find_listed(list, count, lane.name);
		else
			place_of_group(l, &lane, &place);
		if (place.listed != NULL) {
			position_parse(str_of(place.listed->position), &l->position);
			position_parse(str_of(place.listed->done), &place.done);
		}
		look_at_stream(l, &lane, &place);
	}
	if (source->topic_count > 0)
		say_topics(l, source, list, count);
}

int
explain_lanes(struct explain_lanes *l, const char *table, struct err *err)
{
	struct ledger_listed *list = NULL;
	size_t count = 0;

	if (ledger_list(l->row->sql, &list, &count, err) != 0)
		return -1;
	for (size_t i = 0; i < l->config->source_count; i++)
		if (row_traces_lists(&l->config->sources[i], table))
			look_at_source(l, &l->config->sources[i], list, count);
	if (l->quiet > 0)
		buf_printf(l->out, "  lane     %zu with nothing behind what is told\n", l->quiet);
	if (l->left_out > 0)
		buf_printf(l->out,
		    "  lane     %llu not looked into: more than %d entries stand in the others\n",
		    (unsigned long long)l->left_out, (int)LANES_ENTRIES_MAX);
	if (l->found > LANES_PENDING_SHOWN)
		buf_printf(l->out, "  pending  %llu in all\n", (unsigned long long)l->found);
	free(list);
	return 0;
}
