#include "worker/store/outbox.h"

#include "common/number.h"

#include <string.h>

/* "5:users" */
static void
add_word(struct buf *out, struct str word)
{
	buf_add_u64(out, word.len);
	buf_add_char(out, ':');
	buf_add(out, word.data, word.len);
}

static bool
take_word(struct str *rest, struct str *word)
{
	const char *colon = rest->len > 0 ? memchr(rest->data, ':', rest->len) : NULL;
	uint64_t len;
	size_t head;

	if (colon == NULL)
		return false;
	head = (size_t)(colon - rest->data);
	if (!number_u64((struct str){ rest->data, head }, &len) || len > rest->len - head - 1)
		return false;
	*word = (struct str){ colon + 1, (size_t)len };
	rest->data = colon + 1 + len;
	rest->len -= head + 1 + (size_t)len;
	return true;
}

static bool
take_line(struct str *rest, struct str *line)
{
	const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;

	if (end == NULL)
		return false;
	*line = (struct str){ rest->data, (size_t)(end - rest->data) };
	rest->data = end + 1;
	rest->len -= line->len + 1;
	return true;
}

/* "57 row", "57 deleted", "unversioned", or nothing where the template's mode knows no version. */
void
outbox_add(struct buf *keys, struct buf *versions, const struct owed *owed)
{
	const struct told *told = &owed->told;

	add_word(keys, str_of(owed->table->name));
	add_word(keys, str_of(owed->template->written));
	add_word(keys, owed->key);
	if (told->anything && told->unversioned)
		buf_add_str(versions, "unversioned");
	else if (told->anything)
		buf_printf(versions, "%llu %s", (unsigned long long)told->version,
		    told->deleted ? "deleted" : "row");
	buf_add_char(versions, '\n');
}

static bool
take_told(struct str line, struct told *told)
{
	const char *blank = line.len > 0 ? memchr(line.data, ' ', line.len) : NULL;
	struct str number, kind;

	*told = (struct told){ .anything = true, .unversioned = blank == NULL };
	if (blank == NULL)
		return line.len == 0 || str_equal(line, STR("unversioned"));
	number = (struct str){ line.data, (size_t)(blank - line.data) };
	kind = (struct str){ blank + 1, line.len - number.len - 1 };
	told->deleted = str_equal(kind, STR("deleted"));
	return number_u64(number, &told->version);
}

static const struct config_template *
find_template(const struct config_table *table, struct str written)
{
	for (size_t i = 0; table != NULL && i < table->template_count; i++) {
		if (str_equal(str_of(table->templates[i].written), written))
			return &table->templates[i];
	}
	return NULL;
}

bool
outbox_parse(const struct config *config, struct str keys, struct str versions,
    struct owed_list *list)
{
	while (keys.len > 0) {
		struct str table, written, line;
		struct owed owed = { .row = NULL };

		if (!take_word(&keys, &table) || !take_word(&keys, &written) ||
		    !take_word(&keys, &owed.key) || !take_line(&versions, &line) ||
		    !take_told(line, &owed.told))
			return false;
		owed.told.repeat = true; /* whoever wrote it may have told it */
		owed.table = config_table(config, table);
		owed.template = find_template(owed.table, written);
		if (owed.template != NULL)
			owed_add(list, &owed);
	}
	return true;
}
