#include "worker/store/refusal.h"

#include "common/buf.h"

#include <stdio.h>
#include <string.h>

const char *
refusal_reason(const struct table *table, int code)
{
	switch (code) {
	case REFUSAL_TOO_LARGE:
		return REASON_TOO_LARGE;
	case REFUSAL_OUT_OF_RANGE:
	case 1690: /* DATA_OUT_OF_RANGE */
	case 1916: /* DATA_OVERFLOW */
		return REASON_OUT_OF_RANGE;
	case REFUSAL_NO_DEFAULT:
		return REASON_NO_DEFAULT;
	case 1022: /* DUP_KEY */
	case 1062: /* DUP_ENTRY */
	case 1586: /* DUP_ENTRY_WITH_KEY_NAME */
	case 1761: /* FOREIGN_DUPLICATE_KEY_… */
	case 1762:
	case 1859: /* DUP_UNKNOWN_IN_INDEX */
		return REASON_DUPLICATE;
	case 1216: /* NO_REFERENCED_ROW */
	case 1217: /* ROW_IS_REFERENCED */
	case 1451:
	case 1452:
		return REASON_FOREIGN_KEY;
	case 4025: /* on MariaDB also a JSON column's own json_valid() */
		return table->has_check ? REASON_CHECK : REASON_BAD_VALUE;
	case 3819:
		return REASON_CHECK;
	case 1644:
		return REASON_TRIGGER;
	case 1048: /* BAD_NULL */
	case 1138: /* INVALID_USE_OF_NULL */
	case 1263: /* WARN_NULL_TO_NOTNULL */
	case 1265: /* WARN_DATA_TRUNCATED */
	case 1292: /* TRUNCATED_WRONG_VALUE */
	case 1300: /* INVALID_CHARACTER_STRING */
	case 1366: /* TRUNCATED_WRONG_VALUE_FOR_FIELD */
	case 1367: /* ILLEGAL_VALUE_FOR_TYPE */
	case 1406: /* DATA_TOO_LONG */
	case 1411: /* WRONG_VALUE_FOR_TYPE */
	case 1525: /* WRONG_VALUE */
	case 1917: /* DATA_TRUNCATED */
	case 1918: /* BAD_DATA */
	case 1977: /* CANNOT_CONVERT_CHARACTER */
		return REASON_BAD_VALUE;
	case 1267: /* CANT_AGGREGATE_2COLLATIONS: the key can't be written in its character set */
	case 3854: /* CANNOT_CONVERT_STRING, the same on MySQL */
		return REASON_BAD_KEY;
	default:
		return (code >= 3140 && code <= 3157) || (code >= 4035 && code <= 4040) ?
		    REASON_BAD_VALUE :
		    REASON_REFUSED; /* JSON */
	}
}

bool
refusal_is_local(const struct table *table, int code)
{
	const char *reason = refusal_reason(table, code);

	if (table->ordered || table->has_unique || table->has_foreign_key)
		return false;
	return strcmp(reason, REASON_DUPLICATE) != 0 && strcmp(reason, REASON_FOREIGN_KEY) != 0 &&
	    strcmp(reason, REASON_TRIGGER) != 0 && strcmp(reason, REASON_REFUSED) != 0;
}

/* What stands between the last two quotes: … for key 'users.email'. */
void
refusal_index(const struct err *err, char *out, size_t out_bytes)
{
	const char *at = strstr(err->text, " for key '"), *next, *end, *dot;

	*out = '\0';
	if (at == NULL)
		return;
	while ((next = strstr(at + 1, " for key '")) != NULL)
		at = next;
	at += strlen(" for key '");
	end = strrchr(at, '\'');
	dot = strchr(at, '.'); /* MySQL puts the table before it */
	if (dot != NULL && end != NULL && dot < end)
		at = dot + 1;
	if (end != NULL)
		snprintf(out, out_bytes, "%.*s", (int)(end - at), at);
}

bool
refusal_is_primary(const struct err *err)
{
	char index[80];

	if (err->code != 1062 && err->code != 1586)
		return false;
	refusal_index(err, index, sizeof(index));
	return strcmp(index, "PRIMARY") == 0;
}

bool
refusal_is_of_key(int code)
{
	return code == 1267 || code == 3854;
}

bool
refusal_is_orphan(int code)
{
	return code == 1452 || code == 1216;
}

bool
refusal_may_heal(int code)
{
	switch (code) {
	case 1022:
	case 1062:
	case 1586:
	case 1216:
	case 1217:
	case 1451:
	case 1452:
		return true;
	default:
		return false;
	}
}

static bool
is_value_error(int code)
{
	return code == 1048 || code == 1264 || code == 1265 || code == 1292 || code == 1366 ||
	    code == 1406;
}

/* The column that the message names: column 'id', or on MariaDB also column `shop`.`users`.`id`. */
static struct str
column_named(const struct err *err)
{
	const char *at = strstr(err->text, "olumn "), *next, *end;

	if (at == NULL)
		return (struct str){ NULL, 0 };
	at += strlen("olumn ");
	end = strstr(at, " at row ");
	while (*at == '`' && (next = strstr(at, "`.`")) != NULL && (end == NULL || next < end))
		at = next + 2;
	end = *at != '\0' ? strchr(at + 1, *at) : NULL;
	return end != NULL ? (struct str){ at + 1, (size_t)(end - at - 1) } :
			     (struct str){ NULL, 0 };
}

static bool
names_key(const struct table *table, const struct err *err)
{
	const struct column *column = table_column(table, column_named(err));

	return column != NULL && column->key_part >= 0;
}

bool
refusal_doubts_schema(const struct step *step, const struct err *err)
{
	const struct shape *shape = step->shape;
	const struct table *table = shape->table;
	const char *reason = refusal_reason(table, err->code);

	switch (err->code) {
	case 1054: /* BAD_FIELD_ERROR */
	case 1136: /* WRONG_VALUE_COUNT_ON_ROW */
	case 1412: /* TABLE_DEF_CHANGED */
	case 1906: /* a generated column, MariaDB */
	case 3105: /* the same, MySQL */
		return true;
	case REFUSAL_NO_DEFAULT:
		return shape->covers_required;
	default:
		break;
	}
	/* a key's value we check ourselves; so an upsert meets a unique index that we don't know of */
	if (is_value_error(err->code) && !step->alone && names_key(table, err))
		return true;
	if (strcmp(reason, REASON_DUPLICATE) == 0)
		return !table->has_unique && !refusal_is_primary(err);
	if (strcmp(reason, REASON_FOREIGN_KEY) == 0)
		return !table->has_foreign_key;
	if (strcmp(reason, REASON_TRIGGER) == 0)
		return !table->ordered;
	if (err->code == 3819 ||
	    err->code == 4025) /* of JSON columns we don't check what is alone */
		return !table->has_check && !step->alone;
	/* our own check had accepted the values */
	return is_value_error(err->code) && !step->alone && !shape->adds && !table->ordered;
}

void
refusal_sentence(struct buf *out, const struct table *table, const struct err *err,
    const char *columns)
{
	const char *text = strncmp(err->text, "mysql: ", 7) == 0 ? err->text + 7 : err->text;
	const char *row = strstr(text, " at row ");
	size_t len = row != NULL ? (size_t)(row - text) : strlen(text);

	while (len > 0 && text[len - 1] == '.')
		len--;
	buf_printf(out, "table %s: %.*s", table->name, (int)len, text);
	if (columns != NULL && columns[0] != '\0')
		buf_printf(out, " (column%s %s)", strchr(columns, ',') != NULL ? "s" : "", columns);
	buf_printf(out, " [%d]", err->code);
}
