#include "worker/store/row_keys.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/number.h"

enum { NAMES_MAX = 4096 };

/* One row's way from before to after. */
struct row_keys {
	struct owed_list *owed;
	const struct touched *row;
	const struct str *before, *after;
	bool asked; /* by _op invalidate */
	struct str *values;
	struct buf key;
};

static bool
is_written(const struct change *c)
{
	return !c->entry->done_before && c->entry->refusal.reason == NULL;
}

static bool
any_written(const struct touched *row, bool *asked)
{
	bool any = false;

	*asked = false;
	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		any |= is_written(c);
		*asked |= is_written(c) && c->op == CHANGE_INVALIDATE;
	}
	return any;
}

static bool
is_same(struct str a, struct str b)
{
	return a.data == NULL || b.data == NULL ? a.data == b.data : str_equal(a, b);
}

static bool
is_column_same(const struct row_keys *k, unsigned column)
{
	const struct table *table = k->row->table;

	for (unsigned i = 0; i < table->read_count; i++) {
		if (table->reads[i] == column)
			return is_same(k->before[i], k->after[i]);
	}
	return true; /* of the primary key */
}

/* Is there a `when`, and nothing of it nor of the key changed? */
static bool
left(const struct row_keys *k, const struct key_template *t)
{
	const struct table *table = k->row->table;
	const struct config_template *config = t->config;

	if (config->when_count == 0 || k->asked || k->before == NULL || k->after == NULL)
		return false;
	for (size_t i = 0; i < config->when_count; i++) {
		const struct column *column = table_column(table, str_of(config->when[i]));

		if (column == NULL || !is_column_same(k, (unsigned)(column - table->columns)))
			return false;
	}
	for (size_t i = 0; i < t->part_count; i++) {
		int name = t->parts[i].column - (int)table->key_count;

		if (name >= 0 && !is_same(k->before[name], k->after[name]))
			return false;
	}
	return true;
}

static bool
names_row(const struct table *table, const struct key_template *t)
{
	for (size_t i = 0; i < t->part_count; i++) {
		if (t->parts[i].column >= (int)table->key_count)
			return true;
	}
	return false;
}

static struct told
stamped(const struct row_keys *k)
{
	const struct table *table = k->row->table;
	const struct str *row = k->after != NULL ? k->after : k->before;
	struct told told = { .anything = true, .deleted = k->after == NULL };
	unsigned at = 0;

	while (at < table->read_count && (int)table->reads[at] != table->version_column)
		at++;
	CHECK(at < table->read_count);
	if (k->asked || row == NULL || row[at].data == NULL || !number_u64(row[at], &told.version))
		told = (struct told){ .anything = true, .unversioned = true };
	return told;
}

/* The template's key of one image; NULL: it names none. */
static void
owe(struct row_keys *k, const struct key_template *t, const struct str *image, struct told told)
{
	const struct table *table = k->row->table;
	const struct owed *last = k->owed->last;
	struct owed owed = {
		.table = table->config, .template = t->config, .told = told, .row = k->row
	};

	for (unsigned i = 0; image != NULL && i < table->image_count; i++)
		k->values[table->key_count + i] = image[i];
	buf_reset(&k->key);
	if (!key_template_render(t, k->values, &k->key))
		return;
	owed.key = (struct str){ k->key.data != NULL ? k->key.data : "", k->key.len };
	if (last == NULL || last->row != k->row || last->template != t->config ||
	    !str_equal(last->key, owed.key))
		owed_add(k->owed, &owed);
}

static void
owe_template(struct row_keys *k, size_t place)
{
	const struct table *table = k->row->table;
	const struct key_template *t = &table->templates[place];
	bool versioned = mode_is_versioned(t->config->mode);
	struct told told = { 0 };

	if (!t->from_row || left(k, t))
		return;
	if (versioned) {
		told = table->version == VERSION_GIVEN ? told_of(k->row, place) : stamped(k);
		if (!told.anything)
			return;
	}
	if (!names_row(table, t)) {
		owe(k, t, NULL, told);
		return;
	}
	if (k->before != NULL)
		owe(k, t, k->before, told);
	if (k->after != NULL)
		owe(k, t, k->after, told);
}

void
row_keys_owe(struct owed_list *owed, const struct touched *row, const struct str *before,
    const struct str *after)
{
	const struct table *table = row->table;
	struct row_keys k = { .owed = owed, .row = row, .before = before, .after = after };

	if (!any_written(row, &k.asked))
		return;
	CHECK(table->key_count + table->image_count <= NAMES_MAX);
	k.values =
	    arena_alloc(&owed->arena, (table->key_count + table->image_count) * sizeof(*k.values));
	for (unsigned i = 0; i < table->key_count; i++)
		k.values[i] =
		    row->key[i].kind == VALUE_NULL ? (struct str){ NULL, 0 } : row->key[i].text;
	buf_init(&k.key);
	for (size_t i = 0; i < table->template_count; i++)
		owe_template(&k, i);
	buf_deinit(&k.key);
}
