#include "worker/source/group_log.h"

#include "common/err.h"
#include "common/map.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 256 };

void
group_log_deinit(struct group_log *log)
{
	free(log->items);
	*log = (struct group_log){ .items = NULL };
}

static void
make_room(struct group_log *log, size_t more)
{
	if (log->first + log->count + more <= log->room)
		return;
	if (log->first > 0)
		memmove(log->items, log->items + log->first, log->count * sizeof(*log->items));
	log->first = 0;
	if (log->count + more <= log->room / 2)
		return;
	while (log->room < 2 * (log->count + more))
		log->room = log->room == 0 ? ROOM_MIN : 2 * log->room;
	log->items = reallocarray(log->items, log->room, sizeof(*log->items));
	CHECK(log->items != NULL);
}

struct position
group_log_add(struct group_log *log, struct position id)
{
	make_room(log, 1);
	log->items[log->first + log->count++] = (struct group_item){ .id = id };
	return (struct position){ log->taken + log->count, 0 };
}

size_t
group_log_add_unknown(struct group_log *log, const struct position *ids, size_t count)
{
	struct map known;
	size_t added = 0;

	if (count == 0)
		return 0;
	make_room(log, count); /* the map borrows the ids where they stand */
	map_init(&known);
	for (size_t i = 0; i < log->count; i++) {
		struct group_item *item = &log->items[log->first + i];

		*map_at(&known, &item->id, sizeof(item->id)) = item;
	}
	for (size_t i = 0; i < count; i++) {
		if (map_get(&known, &ids[i], sizeof(ids[i])) != NULL)
			continue;
		group_log_add(log, ids[i]);
		added++;
	}
	map_deinit(&known);
	return added;
}

struct group_item *
group_log_at(struct group_log *log, struct position place)
{
	if (place.major <= log->taken || place.major - log->taken > log->count)
		return NULL;
	return &log->items[log->first + (place.major - log->taken - 1)];
}

struct group_item *
group_log_next(struct group_log *log, struct position after, struct position *place)
{
	struct group_item *item;

	*place = after;
	if (place->major < log->taken)
		place->major = log->taken;
	do {
		place->major++;
		item = group_log_at(log, *place);
	} while (item != NULL && item->left_out);
	return item;
}

const struct group_item *
group_log_take(struct group_log *log, struct position answered)
{
	if (log->count == 0 || (log->taken + 1 > answered.major && !log->items[log->first].gone))
		return NULL;
	log->taken++;
	log->count--;
	return &log->items[log->first++];
}
