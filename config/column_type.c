#include "config/column_type.h"

#include "common/number.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* How many numbers it may have; MEMBERS: a list of quoted texts instead. */
enum { MEMBERS = -1 };
struct known_type {
	const char *written, *name;
	int least, most;
};

static const struct known_type known[] = {
	{ "tinyint", "tinyint", 0, 1 },
	{ "smallint", "smallint", 0, 1 },
	{ "mediumint", "mediumint", 0, 1 },
	{ "int", "int", 0, 1 },
	{ "integer", "int", 0, 1 },
	{ "bigint", "bigint", 0, 1 },
	{ "bool", "tinyint", 0, 0 },
	{ "boolean", "tinyint", 0, 0 },
	{ "year", "year", 0, 1 },
	{ "decimal", "decimal", 0, 2 },
	{ "numeric", "decimal", 0, 2 },
	{ "dec", "decimal", 0, 2 },
	{ "float", "float", 0, 2 },
	{ "double", "double", 0, 2 },
	{ "real", "double", 0, 2 },
	{ "char", "char", 0, 1 },
	{ "varchar", "varchar", 1, 1 },
	{ "tinytext", "tinytext", 0, 0 },
	{ "text", "text", 0, 1 },
	{ "mediumtext", "mediumtext", 0, 0 },
	{ "longtext", "longtext", 0, 0 },
	{ "binary", "binary", 0, 1 },
	{ "varbinary", "varbinary", 1, 1 },
	{ "tinyblob", "tinyblob", 0, 0 },
	{ "blob", "blob", 0, 1 },
	{ "mediumblob", "mediumblob", 0, 0 },
	{ "longblob", "longblob", 0, 0 },
	{ "date", "date", 0, 0 },
	{ "datetime", "datetime", 0, 1 },
	{ "timestamp", "timestamp", 0, 1 },
	{ "time", "time", 0, 1 },
	{ "enum", "enum", MEMBERS, MEMBERS },
	{ "set", "set", MEMBERS, MEMBERS },
	{ "bit", "bit", 0, 1 },
	{ "json", "json", 0, 0 },
	{ "uuid", "uuid", 0, 0 },
	{ "inet4", "inet4", 0, 0 },
	{ "inet6", "inet6", 0, 0 },
};

static void
skip_blanks(struct str *text)
{
	while (text->len > 0 && isspace((unsigned char)text->data[0])) {
		text->data++;
		text->len--;
	}
}

static struct str
take_word(struct str *text)
{
	struct str word;

	skip_blanks(text);
	word = (struct str){ text->data, 0 };
	while (text->len > 0 && (isalnum((unsigned char)text->data[0]) || text->data[0] == '_')) {
		text->data++;
		text->len--;
		word.len++;
	}
	return word;
}

static bool
is_word(struct str word, const char *name)
{
	return word.len == strlen(name) && strncasecmp(word.data, name, word.len) == 0;
}

/* What stands in parentheses; false: they aren't closed. */
static bool
take_parentheses(struct str *text, struct str *inside)
{
	const char *end;

	*inside = (struct str){ NULL, 0 };
	skip_blanks(text);
	if (text->len == 0 || text->data[0] != '(')
		return true;
	end = memrchr(text->data, ')', text->len);
	if (end == NULL)
		return false;
	*inside = (struct str){ text->data + 1, (size_t)(end - text->data - 1) };
	text->len -= (size_t)(end + 1 - text->data);
	text->data = end + 1;
	return true;
}

static bool
take_numbers(struct str inside, struct column_type *type)
{
	while (type->number_count < 2) {
		struct str word = take_word(&inside);
		uint64_t n;

		if (!number_u64(word, &n) || n > UINT32_MAX)
			return false;
		type->numbers[type->number_count++] = (unsigned long)n;
		skip_blanks(&inside);
		if (inside.len == 0)
			return true;
		if (inside.data[0] != ',')
			return false;
		inside.data++;
		inside.len--;
	}
	return false;
}

static bool
take_attributes(struct str text, struct column_type *type)
{
	for (;;) {
		struct str word = take_word(&text);

		if (word.len == 0)
			return text.len == 0;
		if (is_word(word, "unsigned") || is_word(word, "zerofill"))
			type->is_unsigned = true;
		else if (!is_word(word, "signed"))
			return false;
	}
}

/* DECIMAL(p,s) and BIT(n) within what they can be. */
static bool
is_in_range(const struct column_type *type)
{
	if (strcmp(type->name, "decimal") == 0 && type->number_count > 0)
		return type->numbers[0] >= 1 && type->numbers[0] <= 65 && type->numbers[1] <= 38 &&
		    type->numbers[1] <= type->numbers[0];
	if (strcmp(type->name, "bit") == 0 && type->number_count > 0)
		return type->numbers[0] >= 1 && type->numbers[0] <= 64;
	return true;
}

bool
column_type_parse(struct str text, struct column_type *type)
{
	struct str word = take_word(&text), inside;
	const struct known_type *found = NULL;

	*type = (struct column_type){ .name = NULL };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && found == NULL; i++)
		if (is_word(word, known[i].written))
			found = &known[i];
	if (found == NULL || !take_parentheses(&text, &inside))
		return false;
	type->name = found->name;
	if (found->least == MEMBERS) {
		if (inside.len == 0 || inside.data[0] != '\'')
			return false;
	} else if (inside.data != NULL && !take_numbers(inside, type)) {
		return false;
	} else if (type->number_count < found->least || type->number_count > found->most) {
		return false;
	}
	return take_attributes(text, type) && is_in_range(type);
}
