#include "worker/operate/dead_kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
failed(const struct dead_access *a, const struct err *err)
{
	struct buf place = { 0 };

	a->home->add_place(a, &place);
	fprintf(stderr, "sluice: %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

int
dead_kept_open(struct dead_access *a)
{
	struct err err = { 0 };

	a->home = a->config.dead_topic != NULL ? &dead_topic : &dead_stream;
	arena_init(&a->arena, 0);
	a->letters = calloc(LETTERS_PAGE, sizeof(*a->letters));
	CHECK(a->letters != NULL);
	return a->home->open(a, &err) == 0 ? EXIT_CODE_OK : failed(a, &err);
}

void
dead_kept_close(struct dead_access *a)
{
	if (a->home == NULL)
		return;
	a->home->close(a);
	arena_deinit(&a->arena);
	free(a->letters);
}

static int
next_page(struct dead_access *a, size_t *count, struct err *err)
{
	arena_reset(&a->arena);
	return a->home->page(a, count, err);
}

int
dead_kept_go_through(struct dead_access *a, dead_page *page, uint64_t *seen)
{
	struct err err = { 0 };
	size_t count;

	a->home->rewind(a);
	for (;;) {
		if (next_page(a, &count, &err) != 0)
			return failed(a, &err);
		if (a->limit > 0 && count > a->limit - *seen)
			count = (size_t)(a->limit - *seen);
		if (count == 0)
			return EXIT_CODE_OK;
		*seen += count;
		for (size_t i = 0; i < count; i++)
			a->rows[i] = a->letters[i].row;
		if (page(a, a->rows, count, &err) != 0)
			return err.class == ERR_NONE ? EXIT_CODE_RUNTIME : failed(a, &err);
	}
}

static void
add_to_groups(struct letter_group *groups, size_t *count, const struct letter_row *row)
{
	size_t i = 0;

	while (i < *count &&
	    (strcmp(groups[i].table, row->table) != 0 ||
		strcmp(groups[i].reason, row->reason) != 0 ||
		strcmp(groups[i].state, row->state) != 0))
		i++;
	if (i == *count && *count < LETTER_GROUPS_MAX) {
		groups[i] = (struct letter_group){ .count = 0 };
		memcpy(groups[i].table, row->table, sizeof(groups[i].table));
		memcpy(groups[i].reason, row->reason, sizeof(groups[i].reason));
		memcpy(groups[i].state, row->state, sizeof(groups[i].state));
		++*count;
	}
	if (i < *count)
		groups[i].count++;
}

int
dead_kept_groups(struct dead_access *a, struct letter_group *groups, size_t *count)
{
	struct err err = { 0 };
	size_t read;

	a->home->rewind(a);
	for (;;) {
		if (next_page(a, &read, &err) != 0)
			return failed(a, &err);
		if (read == 0)
			return EXIT_CODE_OK;
		for (size_t i = 0; i < read; i++)
			add_to_groups(groups, count, &a->letters[i].row);
	}
}

int
dead_kept_drop(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	(void)rows;
	return a->home->drop(a, a->letters, count, &a->dropped, err);
}
