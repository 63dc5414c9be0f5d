#include "worker/store/schema_load.h"

#include <string.h>

struct type_kind {
	const char *name;
	enum column_kind kind;
	unsigned bits; /* of an integer */
};

static const struct type_kind types[] = {
	{ "tinyint", COLUMN_INT, 8 },
	{ "smallint", COLUMN_INT, 16 },
	{ "mediumint", COLUMN_INT, 24 },
	{ "int", COLUMN_INT, 32 },
	{ "bigint", COLUMN_INT, 64 },
	{ "year", COLUMN_INT, 0 },
	{ "decimal", COLUMN_DECIMAL, 0 },
	{ "float", COLUMN_FLOAT, 0 },
	{ "double", COLUMN_FLOAT, 0 },
	{ "char", COLUMN_TEXT, 0 },
	{ "varchar", COLUMN_TEXT, 0 },
	{ "tinytext", COLUMN_TEXT, 0 },
	{ "text", COLUMN_TEXT, 0 },
	{ "mediumtext", COLUMN_TEXT, 0 },
	{ "longtext", COLUMN_TEXT, 0 },
	{ "binary", COLUMN_BINARY, 0 },
	{ "varbinary", COLUMN_BINARY, 0 },
	{ "tinyblob", COLUMN_BINARY, 0 },
	{ "blob", COLUMN_BINARY, 0 },
	{ "mediumblob", COLUMN_BINARY, 0 },
	{ "longblob", COLUMN_BINARY, 0 },
	{ "date", COLUMN_DATE, 0 },
	{ "datetime", COLUMN_DATETIME, 0 },
	{ "timestamp", COLUMN_DATETIME, 0 },
	{ "time", COLUMN_TIME, 0 },
	{ "enum", COLUMN_ENUM, 0 },
	{ "set", COLUMN_ENUM, 0 },
	{ "bit", COLUMN_BIT, 0 },
	{ "json", COLUMN_JSON, 0 },
};

/*
 * Collations that compare by root rules, without contractions and without ignoring punctuation:
 * each was asked for all pairs of printable ASCII characters.  Languages (Spanish ll, Danish aa)
 * are left out on purpose.
 */
static const char *const plain_collations[] = {
	"general_ci",
	"general_nopad_ci",
	"general_mysql500_ci",
	"unicode_ci",
	"unicode_nopad_ci",
	"unicode_520_ci",
	"unicode_520_nopad_ci",
	"0900_ai_ci",
	"0900_as_ci",
	"0900_as_cs",
	"uca1400_ai_ci",
	"uca1400_ai_cs",
	"uca1400_as_ci",
	"uca1400_as_cs",
	"uca1400_nopad_ai_ci",
	"uca1400_nopad_ai_cs",
	"uca1400_nopad_as_ci",
	"uca1400_nopad_as_cs",
};
static const char *const plain_collations_whole[] = {
	"latin1_swedish_ci",
	"latin1_swedish_nopad_ci",
	"latin1_general_ci",
	"latin1_general_cs",
	"ascii_general_ci",
	"ascii_general_nopad_ci",
};

static bool
is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

bool
collation_is_plain(const char *collation)
{
	static const char *const charsets[] = { "utf8mb4_", "utf8mb3_", "utf8_" };

	for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++) {
		size_t len = strlen(charsets[i]);

		if (strncmp(collation, charsets[i], len) == 0)
			return is_among(collation + len, plain_collations,
			    sizeof(plain_collations) / sizeof(plain_collations[0]));
	}
	return is_among(collation, plain_collations_whole,
	    sizeof(plain_collations_whole) / sizeof(plain_collations_whole[0]));
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void
describe_int(struct column *column, const struct type_kind *type)
{
	if (type->bits == 0) { /* YEAR: 0 … 99 mean other years, in text and number differently */
		column->low = 1901;
		column->high = 2155;
	} else if (column->is_unsigned) {
		column->high = ((int128)1 << type->bits) - 1;
	} else {
		column->high = ((int128)1 << (type->bits - 1)) - 1;
		column->low = -column->high - 1;
	}
}

static void
describe_text(struct column *column, const struct column_facts *facts)
{
	column->length = facts->length;
	column->length_in_bytes = ends_with(facts->data_type, "text");
	column->charset = facts->charset;
	column->collation = facts->collation;
	if (facts->collation == NULL)
		return;
	column->exact_collation = ends_with(facts->collation, "_bin");
	column->plain_collation = collation_is_plain(facts->collation);
}

/* MariaDB writes a NULL default as the word, and texts in quotes. */
static bool
is_default_zero(const struct column *column, const struct column_facts *facts)
{
	struct str text = str_of(facts->default_text);
	int128 n;

	if (text.data == NULL || (facts->mariadb && str_equal(text, STR("NULL"))))
		return column->nullable;
	if (text.len >= 2 && text.data[0] == '\'' && text.data[text.len - 1] == '\'')
		text = (struct str){ text.data + 1, text.len - 2 };
	return number_scaled(text, 0, &n) && n == 0;
}

/* MySQL gives an ENUM without default its first member, even in strict mode. */
static bool
is_required(const struct column *column, const struct column_facts *facts)
{
	return !column->nullable && facts->default_text == NULL && !column->generated &&
	    !column->auto_increment && strcmp(facts->data_type, "enum") != 0;
}

void
column_describe(struct column *column, const struct column_facts *facts)
{
	const struct type_kind *type = NULL;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && type == NULL; i++) {
		if (strcmp(types[i].name, facts->data_type) == 0)
			type = &types[i];
	}
	column->kind = type != NULL ? type->kind : COLUMN_OTHER;
	column->type = facts->column_type;
	/* the configuration has it in capitals, too, and ZEROFILL alone */
	column->is_unsigned = strcasestr(facts->column_type, "unsigned") != NULL ||
	    strcasestr(facts->column_type, "zerofill") != NULL;
	column->nullable = facts->nullable;
	column->generated = facts->generated;
	column->auto_increment = strstr(facts->extra, "auto_increment") != NULL;
	column->on_update =
	    strstr(facts->extra, "on update") != NULL || strstr(facts->extra, "ON UPDATE") != NULL;
	column->key_part = -1;
	if (column->kind == COLUMN_INT)
		describe_int(column, type);
	if (column->kind == COLUMN_TEXT || column->kind == COLUMN_ENUM)
		describe_text(column, facts);
	if (column->kind == COLUMN_BINARY)
		column->length = facts->length;
	if (column->kind == COLUMN_JSON)
		column->length = UINT32_MAX;
	if (column->kind == COLUMN_DECIMAL || column->kind == COLUMN_BIT)
		column->precision = (unsigned)facts->precision;
	column->scale =
	    (unsigned)(column->kind == COLUMN_DECIMAL ? facts->scale : facts->time_precision);
	column->required = is_required(column, facts);
	column->default_zero = is_default_zero(column, facts);
}
