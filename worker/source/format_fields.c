#include "worker/source/format.h"
#include "worker/source/source.h"

/* The flat entry an app writes with XADD: one change, its columns as fields. */

static size_t
count_controls(const struct entry *entry)
{
	size_t count = 0;

	for (size_t i = 0; i < entry->raw_count; i++)
		count += format_is_control(entry->raw[i].name);
	return count;
}

/* The fields that aren't ours go, in order, to a list of their own: raw stays whole, for a dead
 * letter. */
static int
decode_with_controls(struct entry *entry, struct arena *arena, struct change *change, size_t ours)
{
	struct controls controls;
	size_t nulls;
	size_t columns = 0;

	controls_init(&controls);
	for (size_t i = 0; i < entry->raw_count; i++) {
		if (format_is_control(entry->raw[i].name) &&
		    controls_take(&controls, entry, arena, change, &entry->raw[i]) < 0)
			return -1;
	}
	nulls = format_null_count(controls.null_names.text);
	change->fields =
	    arena_alloc(arena, (entry->raw_count - ours + nulls) * sizeof(*change->fields));
	for (size_t i = 0; i < entry->raw_count; i++) {
		if (!format_is_control(entry->raw[i].name))
			change->fields[columns++] = entry->raw[i];
	}
	change->field_count = columns;
	return format_null_add(entry, arena, change, controls.null_names.text);
}

int
format_fields_decode(struct entry *entry, struct arena *arena)
{
	size_t ours = count_controls(entry);
	struct change *change = arena_zalloc(arena, sizeof(*change));

	change->entry = entry;
	if (ours == 0) {
		change->fields = entry->raw;
		change->field_count = entry->raw_count;
	} else if (decode_with_controls(entry, arena, change, ours) < 0)
		return -1;
	if (format_check_names(entry, arena, change) < 0)
		return -1;
	entry->changes = change;
	entry->change_count = 1;
	return 0;
}
