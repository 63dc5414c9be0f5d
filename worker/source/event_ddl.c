#include "worker/source/event_ddl.h"

#include <string.h>
#include <strings.h>

/* Take a word and the space behind it. */
static bool
take_word(struct str *text, const char *word)
{
	size_t len = strlen(word), behind = len;

	if (text->len <= len || strncasecmp(text->data, word, len) != 0)
		return false;
	while (behind < text->len && strchr(" \t\r\n", text->data[behind]) != NULL)
		behind++;
	text->data += behind;
	text->len -= behind;
	return behind > len;
}

bool
ddl_drops_database(struct str statement)
{
	while (statement.len > 0 && strchr(" \t\r\n", statement.data[0]) != NULL) {
		statement.data++;
		statement.len--;
	}
	return take_word(&statement, "DROP") &&
	    (take_word(&statement, "DATABASE") || take_word(&statement, "SCHEMA"));
}

/* "a""b" is a"b. */
static bool
take_quoted(struct str *text, struct arena *arena, struct str *name)
{
	char *plain = arena_alloc(arena, text->len + 1);
	size_t at = 1, len = 0;

	if (text->len == 0 || text->data[0] != '"')
		return false;
	for (; at < text->len; at++) {
		if (text->data[at] == '"' && (++at == text->len || text->data[at] != '"'))
			break;
		plain[len++] = text->data[at];
	}
	if (text->data[at - 1] != '"')
		return false;
	*name = (struct str){ plain, len };
	text->data += at;
	text->len -= at;
	return true;
}

bool
ddl_table_id(struct str id, struct arena *arena, struct str *db, struct str *table)
{
	if (!take_quoted(&id, arena, db) || id.len == 0 || id.data[0] != '.')
		return false;
	id.data++;
	id.len--;
	return take_quoted(&id, arena, table) && id.len == 0;
}
