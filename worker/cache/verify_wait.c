#include "worker/cache/verify_wait.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

/* How late a look may be: this and a tenth of its time. */
enum { LATE_MS = 500, CONFIRM_LATE_MS = 30000, SECOND_LOOKS = VERIFY_LOOKS };

static const struct {
	int64_t ms;
	const char *name;
} looks[VERIFY_LOOKS] = { { 1000, "1s" }, { 60000, "1m" }, { 300000, "5m" } };

int64_t
verify_look_ms(unsigned look)
{
	return looks[look].ms;
}

const char *
verify_look_name(unsigned look)
{
	return look < VERIFY_LOOKS ? looks[look].name : NULL;
}

void
verify_wait_init(struct verify_wait *w, size_t room)
{
	*w = (struct verify_wait){ .room = room };
	w->items = calloc(room, sizeof(*w->items));
	CHECK(w->items != NULL);
}

void
verify_wait_deinit(struct verify_wait *w)
{
	free(w->items);
	w->items = NULL;
}

/* Nearly always the last one; what was looked at a second time comes between those before it. */
static void
insert(struct verify_queue *queue, struct verify_item *item)
{
	struct verify_item **at = &queue->first;

	if (queue->last != NULL && queue->last->due_ms <= item->due_ms)
		at = &queue->last->next;
	while (*at != NULL && (*at)->due_ms <= item->due_ms)
		at = &(*at)->next;
	item->next = *at;
	*at = item;
	if (item->next == NULL)
		queue->last = item;
}

static struct verify_item *
take_first(struct verify_queue *queue)
{
	struct verify_item *item = queue->first;

	queue->first = item->next;
	if (queue->first == NULL)
		queue->last = NULL;
	return item;
}

bool
verify_wait_add(struct verify_wait *w, const struct verify_told *told)
{
	struct verify_item *item = w->spare;

	if (item != NULL)
		w->spare = item->next;
	else if (w->made < w->room)
		item = &w->items[w->made++];
	else
		return false;
	CHECK(told->key.len <= VERIFY_KEY_MAX);
	*item = (struct verify_item){ .told = *told, .serial = ++w->serial };
	memcpy(item->key, told->key.data, told->key.len);
	item->told.key.data = item->key;
	item->due_ms = told->at_ms + looks[0].ms;
	w->used++;
	insert(&w->queues[0], item);
	return true;
}

void
verify_wait_looked(struct verify_wait *w, struct verify_item *item)
{
	item->confirms = false;
	if (++item->look < VERIFY_LOOKS) {
		item->due_ms = item->told.at_ms + looks[item->look].ms;
		insert(&w->queues[item->look], item);
		return;
	}
	item->serial = 0;
	item->next = w->spare;
	w->spare = item;
	w->used--;
}

const struct verify_item *
verify_wait_newest(const struct verify_wait *w, const struct verify_item *item)
{
	const struct verify_item *newest = item;

	for (size_t i = 0; i < w->made; i++)
		if (w->items[i].serial > newest->serial &&
		    str_equal(w->items[i].told.key, item->told.key))
			newest = &w->items[i];
	return newest;
}

void
verify_wait_again(struct verify_wait *w, struct verify_item *item, int64_t now_ms)
{
	item->confirms = true;
	item->due_ms = now_ms + VERIFY_CONFIRM_MS;
	insert(&w->queues[SECOND_LOOKS], item);
}

static bool
is_late(const struct verify_item *item, int64_t now_ms)
{
	int64_t late_ms = now_ms - item->due_ms;

	return late_ms > (item->confirms ? CONFIRM_LATE_MS : LATE_MS + looks[item->look].ms / 10);
}

/* What each queue holds comes due in its order. */
static struct verify_queue *
most_due(struct verify_wait *w, int64_t now_ms)
{
	struct verify_queue *found = NULL;

	for (size_t i = 0; i <= SECOND_LOOKS; i++) {
		struct verify_queue *queue = &w->queues[i];

		if (queue->first != NULL && queue->first->due_ms <= now_ms &&
		    (found == NULL || queue->first->due_ms < found->first->due_ms))
			found = queue;
	}
	return found;
}

size_t
verify_wait_due(struct verify_wait *w, int64_t now_ms, struct verify_item **items, size_t max,
    uint64_t *late)
{
	struct verify_queue *queue;
	size_t count = 0;

	while (count < max && (queue = most_due(w, now_ms)) != NULL) {
		struct verify_item *item = take_first(queue);

		if (is_late(item, now_ms)) {
			++*late;
			verify_wait_looked(w, item);
			continue;
		}
		items[count++] = item;
	}
	return count;
}
