#include "tests/support/table_make.h"
#include "worker/store/outbox.h"
#include "worker/store/row_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Keys from the row before and after, and how the outbox keeps them. */
static const struct made_column columns[] = { { "id", "int(11)", NULL, false, true, NULL },
	{ "team", "varchar(8)", "NULL", true, false, NULL },
	{ "name", "varchar(8)", "NULL", true, false, NULL },
	{ "ver", "bigint(20)", "NULL", true, false, NULL }, { 0 } };
static const char *when_name[] = { "name" };
static struct config_template templates[] = { { .written = "user:{id}" },
	{ .written = "team:{team}" },
	{ .written = "named:{id}", .when = when_name, .when_count = 1 },
	{ .written = "v:{id}", .mode = MODE_VERSIONED } };
static struct config_table config_table_ = { .name = "users",
	.templates = templates,
	.template_count = 4,
	.version = VERSION_COUNTER,
	.version_column = "ver" };
static struct config config = { .tables = &config_table_, .table_count = 1 };
static struct table table;
static struct owed_list owed;
static struct entry entry;
static struct change change;
static struct touched row;
static struct value key = { { "7", 1 }, VALUE_NUMBER };

static int
open_all(void **state)
{
	static const char *names[] = { "id", "team" };
	static const unsigned reads[] = { 1, 2, 3 };
	struct err err;

	(void)state;
	table_make(&table, &config_table_, columns);
	table.reads = reads;
	table.image_count = 1;
	table.read_count = 3;
	table.reads_row = true;
	table.template_count = 4;
	table.templates = calloc(4, sizeof(*table.templates));
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(key_template_compile(&table.templates[i], &templates[i], names, 2,
				     &err),
		    0);
		table.templates[i].from_row = i > 0;
	}
	owed_init(&owed);
	return 0;
}

static int
close_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		key_template_deinit(&table.templates[i]);
	free(table.templates);
	owed_deinit(&owed);
	return 0;
}

/* What is owed for a change from before to after ("team name version", "-" is NULL; NULL: no row). */
static void
expect(const char *before, const char *after, const char *expected)
{
	const char *given[2] = { before, after };
	struct str texts[2][3];
	char copies[2][64];
	struct buf seen;

	for (int i = 0; i < 2 && (given[i] != NULL || i == 0); i++) {
		char *rest = NULL, *word;

		if (given[i] == NULL)
			continue;
		snprintf(copies[i], sizeof(copies[i]), "%s", given[i]);
		word = strtok_r(copies[i], " ", &rest);
		for (int j = 0; j < 3; j++, word = strtok_r(NULL, " ", &rest))
			texts[i][j] =
			    strcmp(word, "-") == 0 ? (struct str){ NULL, 0 } : str_of(word);
	}
	change.entry = &entry;
	row = (struct touched){ .table = &table, .key = &key, .changes = &change };
	owed_reset(&owed);
	row_keys_owe(&owed, &row, before != NULL ? texts[0] : NULL,
	    after != NULL ? texts[1] : NULL);
	buf_init(&seen);
	for (const struct owed *o = owed.first; o != NULL; o = o->next) {
		buf_printf(&seen, "%.*s", STR_ARGS(o->key));
		if (o->told.anything)
			buf_printf(&seen, "=%s%llu%s", o->told.unversioned ? "?" : "",
			    (unsigned long long)o->told.version, o->told.deleted ? "d" : "");
		buf_add_char(&seen, ' ');
	}
	assert_string_equal(seen.len > 0 ? seen.data : "", expected);
	buf_deinit(&seen);
}

static void
both_teams_are_owed_and_the_version_of_after(void **state)
{
	(void)state;
	change.op = CHANGE_UPSERT;
	expect("a x 5", "b x 6", "team:a team:b v:7=6 ");
	expect("a x 5", "a x 6", "team:a v:7=6 ");
	expect("- x 5", "b y 6", "team:b named:7 v:7=6 ");
	expect(NULL, "b x 6", "team:b named:7 v:7=6 ");
}

static void
a_deletion_has_the_version_that_the_row_had(void **state)
{
	(void)state;
	change.op = CHANGE_DELETE;
	expect("a x 5", NULL, "team:a named:7 v:7=5d ");
	expect("a x -", NULL, "team:a named:7 v:7=?0 ");
	expect(NULL, NULL, "named:7 v:7=?0 ");
}

static void
asked_for_counts_as_changed_and_has_no_version(void **state)
{
	(void)state;
	change.op = CHANGE_INVALIDATE;
	expect("a x 5", "a x 5", "team:a named:7 v:7=?0 ");
}

static void
what_was_refused_or_written_before_owes_nothing(void **state)
{
	(void)state;
	change.op = CHANGE_UPSERT;
	entry.refusal.reason = REASON_BAD_VALUE;
	expect("a x 5", "b x 6", "");
	entry.refusal.reason = NULL;
	entry.done_before = true;
	expect("a x 5", "b x 6", "");
	entry.done_before = false;
}

static void
parse(const struct buf *keys, const struct buf *versions, bool whole, unsigned count)
{
	struct owed_list back;

	owed_init(&back);
	assert_int_equal(outbox_parse(&config, (struct str){ keys->data, keys->len },
			     (struct str){ versions->data, versions->len }, &back),
	    whole);
	assert_int_equal(back.count, count);
	for (const struct owed *o = back.first, *was = owed.first; o != NULL;
	    o = o->next, was = was->next) {
		assert_true(str_equal(o->key, was->key));
		assert_ptr_equal(o->template, was->template);
		if (was->template->mode == MODE_VERSIONED) {
			assert_int_equal(o->told.unversioned, was->told.unversioned);
			assert_int_equal(o->told.deleted, was->told.deleted);
			assert_true(o->told.version == was->told.version);
		}
	}
	owed_deinit(&back);
}

static void
what_the_outbox_keeps_is_read_back(void **state)
{
	struct buf keys, versions;
	struct owed more = { .table = &config_table_, .template = &templates[3] };

	(void)state;
	change.op = CHANGE_UPSERT;
	expect("a:,\n5 x 5", "b x 18446744073709551615",
	    "team:a:,\n5 team:b v:7=18446744073709551615 ");
	more.key = (struct str){ "\0\n9:", 4 };
	more.told = (struct told){ .anything = true, .unversioned = true };
	owed_add(&owed, &more);
	more.told = (struct told){ .anything = true, .deleted = true, .version = 3 };
	owed_add(&owed, &more);
	buf_init(&keys);
	buf_init(&versions);
	for (const struct owed *o = owed.first; o != NULL; o = o->next)
		outbox_add(&keys, &versions, o);
	parse(&keys, &versions, true, 5);
	keys.len--;
	parse(&keys, &versions, false, 4);
	keys.len++;
	config.table_count = 0;
	parse(&keys, &versions, true, 0);
	config.table_count = 1;
	buf_deinit(&keys);
	buf_deinit(&versions);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_teams_are_owed_and_the_version_of_after),
		cmocka_unit_test(a_deletion_has_the_version_that_the_row_had),
		cmocka_unit_test(asked_for_counts_as_changed_and_has_no_version),
		cmocka_unit_test(what_was_refused_or_written_before_owes_nothing),
		cmocka_unit_test(what_the_outbox_keeps_is_read_back),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
