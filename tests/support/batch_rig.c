#include "tests/support/batch_rig.h"

#include "common/err.h"
#include "tests/support/table_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[RIG_TABLES] = { "things", "strict", "versioned", "words", "logged",
	"gone" };

static const struct made_column columns[RIG_TABLES][9] = {
	{ { "id", "int(11)", NULL, false, true, NULL }, { "a", "int(11)", NULL, true, false, NULL },
	    { "b", "int(11)", NULL, true, false, NULL },
	    { "n", "int(11)", "0", false, false, NULL },
	    { "d", "int(11)", "5", false, false, NULL },
	    { "u", "tinyint(3) unsigned", NULL, true, false, NULL },
	    { "g", "int(11)", NULL, true, false, NULL }, { "f", "double", NULL, true, false, NULL },
	    { 0 } },
	{ { "id", "int(11)", NULL, false, true, NULL },
	    { "name", "varchar(8)", NULL, false, false, NULL },
	    { "a", "int(11)", NULL, true, false, NULL }, { 0 } },
	{ { "id", "int(11)", NULL, false, true, NULL }, { "a", "int(11)", NULL, true, false, NULL },
	    { "b", "int(11)", NULL, true, false, NULL },
	    { "ver", "bigint(20)", NULL, true, false, NULL }, { 0 } },
	{ { "id", "varchar(8)", NULL, false, true, "utf8mb4_general_ci" },
	    { "a", "int(11)", NULL, true, false, NULL }, { 0 } },
	{ { "id", "int(11)", NULL, false, true, NULL }, { "a", "int(11)", NULL, true, false, NULL },
	    { 0 } },
	{ { "id", "int(11)", NULL, false, true, NULL }, { 0 } },
};

static void
make_tables(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_TABLES; i++) {
		rig->config[i] = (struct config_table){ .name = names[i], .fold = true };
		if (i == 2) {
			rig->config[i].version = VERSION_GIVEN;
			rig->config[i].version_column = "ver";
		}
		table_make(&rig->tables[i], &rig->config[i], columns[i]);
	}
	/* its keys are touched; nothing here renders them */
	rig->tables[0].template_count = 1;
	rig->tables[0].columns[6].guarded = true;
	rig->tables[4].ordered = true;
	rig->tables[5].problem = "gone for a while";
}

void
rig_start(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	make_tables(rig);
	rig->source = (struct config_source){ .write = true,
		.format = FORMAT_FIELDS,
		.table = names[0],
		.tables = calloc(RIG_TABLES, sizeof(char *)),
		.table_count = RIG_TABLES,
		.operations = OPERATION_ALL };
	CHECK(rig->source.tables != NULL);
	memcpy(rig->source.tables, names, sizeof(names));
	for (unsigned i = 0; i < RIG_LANES; i++) {
		snprintf(rig->lanes[i].name, sizeof(rig->lanes[i].name), "lane %u", i);
		rig->lanes[i].source = &rig->source;
		lane_open(&rig->lanes[i]);
	}
	rig->schema = schema_of_tables(NULL, rig->tables, RIG_TABLES);
	batch_init(&rig->batch);
	batch_reset(&rig->batch, rig->schema);
}

static void
recycle(struct delivery **list)
{
	while (*list != NULL) {
		struct delivery *d = *list;

		*list = d->next;
		arena_deinit(&d->arena);
		free(d);
	}
}

void
rig_end(struct rig *rig)
{
	recycle(&rig->batch.deliveries);
	recycle(&rig->joined);
	batch_deinit(&rig->batch);
	schema_free(&rig->schema);
	free(rig->source.tables);
}

struct delivery *
rig_delivery(struct rig *rig, unsigned lane, const char *fields)
{
	struct delivery *d = calloc(1, sizeof(*d));
	struct entry *e;

	CHECK(d != NULL);
	arena_init(&d->arena, 0);
	d->first = e = arena_zalloc(&d->arena, sizeof(*e));
	d->count = 1;
	e->lane = &rig->lanes[lane];
	e->id = (struct position){ ++rig->newest, 0 };
	e->bytes = 100;
	e->raw = arena_zalloc(&d->arena, 16 * sizeof(*e->raw));
	while (*fields != '\0') {
		size_t name = strcspn(fields, "="), value = strcspn(fields + name + 1, " ");

		CHECK(e->raw_count < 16 && fields[name] == '=');
		e->raw[e->raw_count++] = (struct field){
			{ arena_copy(&d->arena, fields, name), name },
			{ { arena_copy(&d->arena, fields + name + 1, value), value }, VALUE_TEXT }
		};
		fields += name + 1 + value;
		fields += strspn(fields, " ");
	}
	return d;
}

struct entry *
rig_add(struct rig *rig, unsigned lane, const char *fields)
{
	struct delivery *d = rig_delivery(rig, lane, fields);
	struct entry *e = d->first;

	batch_take(&rig->batch, &d, 1000, SIZE_MAX);
	return e;
}

/* The entries stay in their own arenas, which the rig keeps. */
void
rig_join(struct rig *rig, struct delivery *d, struct delivery **more)
{
	struct entry **tail = &d->first;

	while (*tail != NULL)
		tail = &(*tail)->next;
	*tail = (*more)->first;
	(*more)->first = NULL;
	(*more)->next = rig->joined;
	rig->joined = *more;
	*more = NULL;
}

struct step *
rig_step(const struct rig *rig, unsigned i)
{
	for (struct bucket *k = rig->batch.buckets; k != NULL; k = k->next) {
		for (struct step *s = k->first; s != NULL; s = s->next) {
			if (i-- == 0)
				return s;
		}
	}
	return NULL;
}

const char *
rig_value(const struct step *step, const char *column)
{
	static char text[64];
	const struct shape *shape = step->shape;

	for (unsigned i = 0; i < shape->count; i++) {
		if (strcmp(shape->table->columns[shape->columns[i].column].name, column) != 0)
			continue;
		if (step->values[i].kind == VALUE_NULL)
			return "NULL";
		snprintf(text, sizeof(text), "%s%.*s", shape->columns[i].add ? "+" : "",
		    STR_ARGS(step->values[i].text));
		return text;
	}
	return "-";
}
