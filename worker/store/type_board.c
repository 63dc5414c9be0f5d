#include "worker/store/type_board.h"

#include "common/arena.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A line of the board. */
struct posted {
	const char *table, *column, *type;
	int key_part;
	struct posted *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct arena arena;
static struct posted *first;
static uint64_t version;

static bool
is_line(const struct posted *p, const struct table *table, const struct column *column)
{
	return p != NULL && strcmp(p->table, table->name) == 0 &&
	    strcmp(p->column, column->name) == 0 && strcmp(p->type, column->type) == 0 &&
	    p->key_part == column->key_part;
}

/* Does the board say the same already? */
static bool
is_posted(const struct table *tables, size_t count)
{
	const struct posted *p = first;

	for (size_t i = 0; i < count; i++)
		for (unsigned j = 0; j < tables[i].column_count; j++) {
			if (!is_line(p, &tables[i], &tables[i].columns[j]))
				return false;
			p = p->next;
		}
	return p == NULL;
}

static void
post(const struct table *tables, size_t count)
{
	struct posted **last = &first;

	arena_deinit(&arena);
	arena_init(&arena, 0);
	for (size_t i = 0; i < count; i++)
		for (unsigned j = 0; j < tables[i].column_count; j++) {
			const struct column *column = &tables[i].columns[j];
			struct posted *p = arena_alloc(&arena, sizeof(*p));

			*p = (struct posted){ .table = arena_copy(&arena, tables[i].name,
						  strlen(tables[i].name)),
				.column = arena_copy(&arena, column->name, strlen(column->name)),
				.type = arena_copy(&arena, column->type, strlen(column->type)),
				.key_part = column->key_part };
			*last = p;
			last = &p->next;
		}
	*last = NULL;
	version++;
}

void
type_board_post(const struct table *tables, size_t count)
{
	pthread_mutex_lock(&mutex);
	if (version == 0 || !is_posted(tables, count))
		post(tables, count);
	pthread_mutex_unlock(&mutex);
}

uint64_t
type_board_version(void)
{
	uint64_t now;

	pthread_mutex_lock(&mutex);
	now = version;
	pthread_mutex_unlock(&mutex);
	return now;
}

bool
type_board_type(const char *table, const char *column, char out[TYPE_BOARD_TEXT])
{
	bool found = false;

	pthread_mutex_lock(&mutex);
	for (const struct posted *p = first; p != NULL && !found; p = p->next) {
		found = strcmp(p->table, table) == 0 && strcasecmp(p->column, column) == 0 &&
		    strlen(p->type) < TYPE_BOARD_TEXT;
		if (found)
			snprintf(out, TYPE_BOARD_TEXT, "%s", p->type);
	}
	pthread_mutex_unlock(&mutex);
	return found;
}

bool
type_board_key(const char *table, unsigned part, char out[TYPE_BOARD_NAME])
{
	bool found = false;

	pthread_mutex_lock(&mutex);
	for (const struct posted *p = first; p != NULL && !found; p = p->next) {
		found = strcmp(p->table, table) == 0 && p->key_part == (int)part;
		if (found)
			snprintf(out, TYPE_BOARD_NAME, "%s", p->column);
	}
	pthread_mutex_unlock(&mutex);
	return found;
}
