#include "common/mysql_error.h"

#include "common/buf.h"
#include "common/mysql.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	CLIENT_CODE_MIN = 2000, /* both client libraries */
	CLIENT_CODE_MAX = 2999,
	MARIADB_CLIENT_CODE_MIN = 5000,
	MARIADB_CLIENT_CODE_MAX = 5099,
	CODE_SIGNAL = 1644,
	MESSAGE_BYTES_CUT = 480, /* servers cut messages at 512 bytes, some of their parts sooner */
};

/* Names as in the servers' errmsg lists; M: MariaDB only, O: Oracle's MySQL only. */
static const short poison_codes[] = {
	1022, /* DUP_KEY */
	1048, /* BAD_NULL_ERROR */
	1054, /* BAD_FIELD_ERROR: after the schema was looked at again */
	1062, /* DUP_ENTRY */
	1118, /* TOO_BIG_ROWSIZE: of a row that doesn't fit a page */
	1138, /* INVALID_USE_OF_NULL */
	1210, /* WRONG_ARGUMENTS */
	1216, /* NO_REFERENCED_ROW */
	1217, /* ROW_IS_REFERENCED */
	1263, /* WARN_NULL_TO_NOTNULL */
	1264, /* WARN_DATA_OUT_OF_RANGE */
	1265, /* WARN_DATA_TRUNCATED */
	1292, /* TRUNCATED_WRONG_VALUE */
	1300, /* INVALID_CHARACTER_STRING */
	1364, /* NO_DEFAULT_FOR_FIELD */
	1365, /* DIVISION_BY_ZERO */
	1366, /* TRUNCATED_WRONG_VALUE_FOR_FIELD */
	1367, /* ILLEGAL_VALUE_FOR_TYPE */
	1369, /* VIEW_CHECK_FAILED */
	1406, /* DATA_TOO_LONG */
	1411, /* WRONG_VALUE_FOR_TYPE */
	1416, /* CANT_CREATE_GEOMETRY_OBJECT */
	1425, /* TOO_BIG_SCALE */
	1426, /* TOO_BIG_PRECISION */
	1441, /* DATETIME_FUNCTION_OVERFLOW */
	1451, /* ROW_IS_REFERENCED_2 */
	1452, /* NO_REFERENCED_ROW_2 */
	1525, /* WRONG_VALUE */
	1526, /* NO_PARTITION_FOR_GIVEN_VALUE */
	1586, /* DUP_ENTRY_WITH_KEY_NAME */
	1644, /* SIGNAL_EXCEPTION: a trigger's refusal */
	1690, /* DATA_OUT_OF_RANGE */
	1748, /* ROW_DOES_NOT_MATCH_GIVEN_PARTITION_SET */
	1761, /* FOREIGN_DUPLICATE_KEY_WITH_CHILD_INFO */
	1762, /* FOREIGN_DUPLICATE_KEY_WITHOUT_CHILD_INFO */
	1859, /* DUP_UNKNOWN_IN_INDEX */
	1906, /* M WARNING_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN */
	1916, /* M DATA_OVERFLOW */
	1917, /* M DATA_TRUNCATED */
	1918, /* M BAD_DATA */
	1977, /* M CANNOT_CONVERT_CHARACTER */
	3037, /* GIS_INVALID_DATA */
	3105, /* O NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN */
	3140, /* O INVALID_JSON_TEXT */
	3141, /* O INVALID_JSON_TEXT_IN_PARAM */
	3144, /* O INVALID_JSON_CHARSET */
	3150, /* O JSON_VALUE_TOO_BIG */
	3151, /* O JSON_KEY_TOO_BIG */
	3155, /* O NUMERIC_JSON_VALUE_OUT_OF_RANGE */
	3156, /* O INVALID_JSON_VALUE_FOR_CAST */
	3157, /* O JSON_DOCUMENT_TOO_DEEP */
	3616, /* O LONGITUDE_OUT_OF_RANGE */
	3617, /* O LATITUDE_OUT_OF_RANGE */
	3643, /* O WRONG_SRID_FOR_COLUMN */
	3819, /* O CHECK_CONSTRAINT_VIOLATED */
	3903, /* O INVALID_JSON_VALUE_FOR_FUNC_INDEX */
	3904, /* O JSON_VALUE_OUT_OF_RANGE_FOR_FUNC_INDEX */
	3907, /* O FUNCTIONAL_INDEX_DATA_IS_TOO_LONG */
	4025, /* M CONSTRAINT_FAILED */
	4035, /* M JSON_BAD_CHR */
	4036, /* M JSON_NOT_JSON_CHR */
	4037, /* M JSON_EOS */
	4038, /* M JSON_SYNTAX */
	4039, /* M JSON_ESCAPING */
	4040, /* M JSON_DEPTH */
	4078, /* M ILLEGAL_PARAMETER_DATA_TYPES2_FOR_OPERATION */
	4079, /* M ILLEGAL_PARAMETER_DATA_TYPE_FOR_OPERATION */
};

static const short fatal_codes[] = {
	1044, /* DBACCESS_DENIED_ERROR */
	1045, /* ACCESS_DENIED_ERROR */
	1046, /* NO_DB_ERROR */
	1049, /* BAD_DB_ERROR */
	1051, /* BAD_TABLE_ERROR */
	1064, /* PARSE_ERROR */
	1109, /* UNKNOWN_TABLE */
	1129, /* HOST_IS_BLOCKED: knocking on only prolongs it */
	1130, /* HOST_NOT_PRIVILEGED */
	1142, /* TABLEACCESS_DENIED_ERROR */
	1143, /* COLUMNACCESS_DENIED_ERROR */
	1146, /* NO_SUCH_TABLE */
	1193, /* UNKNOWN_SYSTEM_VARIABLE */
	1227, /* SPECIFIC_ACCESS_DENIED_ERROR */
	1231, /* WRONG_VALUE_FOR_VAR */
	1251, /* NOT_SUPPORTED_AUTH_MODE */
	1288, /* NON_UPDATABLE_TABLE */
	1298, /* UNKNOWN_TIME_ZONE */
	1305, /* SP_DOES_NOT_EXIST */
	1347, /* WRONG_OBJECT */
	1356, /* VIEW_INVALID */
	1370, /* PROCACCESS_DENIED_ERROR */
	1410, /* CANT_CREATE_USER_WITH_GRANT */
	1449, /* NO_SUCH_USER: of a trigger's definer */
	1471, /* NON_INSERTABLE_TABLE */
	1524, /* PLUGIN_IS_NOT_LOADED */
	1698, /* ACCESS_DENIED_NO_PASSWORD_ERROR */
	1820, /* MUST_CHANGE_PASSWORD */
	1862, /* MUST_CHANGE_PASSWORD_LOGIN */
	1873, /* ACCESS_DENIED_CHANGE_USER_ERROR */
	2049, /* CR_SECURE_AUTH */
	2059, /* CR_AUTH_PLUGIN_CANNOT_LOAD */
	2061, /* CR_AUTH_PLUGIN_ERR */
	3118, /* O ACCOUNT_HAS_BEEN_LOCKED */
	3159, /* O SECURE_TRANSPORT_REQUIRED */
	4150, /* M USER_IS_BLOCKED */
	4151, /* M ACCOUNT_HAS_BEEN_LOCKED */
};

/*
 * Everything else is retried, among it
 *	1021 DISK_FULL, 1040 CON_COUNT_ERROR, 1053 SERVER_SHUTDOWN, 1114 RECORD_FILE_FULL,
 *	1153 NET_PACKET_TOO_LARGE, 1158 NET_READ_ERROR, 1159 NET_READ_INTERRUPTED,
 *	1160 NET_ERROR_ON_WRITE, 1161 NET_WRITE_INTERRUPTED, 1203 TOO_MANY_USER_CONNECTIONS,
 *	1205 LOCK_WAIT_TIMEOUT, 1213 LOCK_DEADLOCK, 1290 OPTION_PREVENTS_STATEMENT (--read-only),
 *	1317 QUERY_INTERRUPTED, 1792 CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, 1836 READ_ONLY_MODE,
 *	1927 M CONNECTION_KILLED, 1969 M STATEMENT_TIMEOUT, 3024 O QUERY_TIMEOUT,
 *	2002 CR_CONNECTION_ERROR, 2003 CR_CONN_HOST_ERROR, 2006 CR_SERVER_GONE_ERROR,
 *	2013 CR_SERVER_LOST, 2055 CR_SERVER_LOST_EXTENDED
 */

/* Among the retried: what says something of the server's state.  The others are of a statement. */
static const short state_codes[] = {
	1015, /* CANT_LOCK */
	1016, /* CANT_OPEN_FILE */
	1021, /* DISK_FULL */
	1024, /* ERROR_ON_READ */
	1030, /* GOT_ERRNO */
	1034, /* NOT_KEYFILE */
	1037, /* OUTOFMEMORY */
	1038, /* OUT_OF_SORTMEMORY */
	1040, /* CON_COUNT_ERROR */
	1041, /* OUT_OF_RESOURCES */
	1105, /* UNKNOWN_ERROR: what proxies say when the server is away */
	1114, /* RECORD_FILE_FULL */
	1135, /* CANT_CREATE_THREAD */
	1194, /* CRASHED_ON_USAGE */
	1203, /* TOO_MANY_USER_CONNECTIONS */
	1205, /* LOCK_WAIT_TIMEOUT */
	1206, /* LOCK_TABLE_FULL */
	1213, /* LOCK_DEADLOCK */
	1226, /* USER_LIMIT_REACHED */
	1290, /* OPTION_PREVENTS_STATEMENT */
	1297, /* GET_TEMPORARY_ERRMSG */
	1317, /* QUERY_INTERRUPTED */
	1412, /* TABLE_DEF_CHANGED */
	1637, /* TOO_MANY_CONCURRENT_TRXS */
	1792, /* CANT_EXECUTE_IN_READ_ONLY_TRANSACTION */
	1836, /* READ_ONLY_MODE */
	1969, /* M STATEMENT_TIMEOUT */
	3024, /* O QUERY_TIMEOUT */
	3572, /* O LOCK_NOWAIT */
};

static bool
is_among(int code, const short *codes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (codes[i] == code)
			return true;
	}
	return false;
}

enum err_class
sql_class(int code)
{
	if (is_among(code, poison_codes, sizeof(poison_codes) / sizeof(poison_codes[0])))
		return ERR_POISON;
	if (is_among(code, fatal_codes, sizeof(fatal_codes) / sizeof(fatal_codes[0])))
		return ERR_FATAL;
	return ERR_RETRY;
}

bool
sql_is_statements_fault(int code)
{
	return code != 0 && !sql_error_is_connection(code) &&
	    !is_among(code, state_codes, sizeof(state_codes) / sizeof(state_codes[0]));
}

int
sql_error_code(int code, const char *sqlstate)
{
	return strcmp(sqlstate, "45000") == 0 ? CODE_SIGNAL : code;
}

bool
sql_error_is_connection(int code)
{
	switch (code) {
	case 1053: /* SERVER_SHUTDOWN */
	case 1152: /* ABORTING_CONNECTION */
	case 1153: /* NET_PACKET_TOO_LARGE: the server hangs up */
	case 1158: /* NET_READ_ERROR */
	case 1159: /* NET_READ_INTERRUPTED */
	case 1160: /* NET_ERROR_ON_WRITE */
	case 1161: /* NET_WRITE_INTERRUPTED */
	case 1927: /* M CONNECTION_KILLED */
	case 4031: /* O CLIENT_INTERACTION_TIMEOUT */
		return true;
	default:
		return (code >= CLIENT_CODE_MIN && code <= CLIENT_CODE_MAX) ||
		    (code >= MARIADB_CLIENT_CODE_MIN && code <= MARIADB_CLIENT_CODE_MAX);
	}
}

/* Does the quoted part behind text[0, at) name something? */
static bool
is_name_ahead(const char *text, size_t at)
{
	static const char *const words[] = { "column", "key", "table", "constraint", "index",
		"field", "trigger", "variable", "function", "database" };

	while (at > 0 && text[at - 1] == ' ')
		at--;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if (at < len || strncasecmp(text + at - len, words[i], len) != 0)
			continue;
		if (at == len || text[at - len - 1] == ' ')
			return true;
	}
	return false;
}

/* What follows a value's closing quote in the messages of this code, or NULL. */
static const char *
tail_of(int code, const char *message)
{
	switch (code) {
	case 1062: /* Duplicate entry '%s' for key '%s' */
	case 1586:
		return "' for key ";
	case 1292: /* Incorrect %s value: '%s' for column ..., but: Truncated incorrect %s value: '%s' */
		return strncmp(message, "Truncated", 9) == 0 ? NULL : "' for column ";
	case 1366: /* Incorrect %s value: '%s' for column ... */
		return "' for column ";
	case 1411: /* Incorrect %s value: '%s' for function %s */
		return "' for function ";
	default:
		return NULL;
	}
}

static const char *
last_of(const char *text, const char *needle)
{
	const char *last = NULL, *at;

	for (at = strstr(text, needle); at != NULL; at = strstr(at + 1, needle))
		last = at;
	return last;
}

/* Messages about users, hosts and tables, in which no value can be. */
static bool
is_free_of_values(int code)
{
	if (code == 1064 || code == 1231) /* they repeat a piece of the statement */
		return false;
	return sql_class(code) == ERR_FATAL || (code >= CLIENT_CODE_MIN && code <= CLIENT_CODE_MAX);
}

/* The quote that ends the value which begins at `value`; NULL: everything behind it may be value. */
static const char *
value_end(int code, const char *message, const char *value)
{
	const char *tail = tail_of(code, message), *end = NULL;

	if (tail != NULL)
		end = last_of(value, tail);
	if (end == NULL && strlen(message) < MESSAGE_BYTES_CUT)
		end = strrchr(value, '\'');
	return end;
}

void
sql_error_text(int code, const char *message, char *out, size_t out_bytes)
{
	const char *at = message, *end;
	struct buf text;

	if (is_free_of_values(code)) {
		snprintf(out, out_bytes, "%s", message);
		return;
	}
	buf_init(&text);
	while (*at != '\0') {
		buf_add_char(&text, *at++);
		if (at[-1] != '\'' || (at - message > 1 && isalnum((unsigned char)at[-2])))
			continue; /* "doesn't" */
		if (is_name_ahead(message, (size_t)(at - 1 - message))) {
			end = strchr(at, '\'');
			end = end != NULL ? end : at + strlen(at) - 1;
			buf_add(&text, at, (size_t)(end + 1 - at));
		} else {
			end = value_end(code, message, at);
			buf_add_str(&text, "...'");
			if (end == NULL)
				break;
		}
		at = end + 1;
	}
	snprintf(out, out_bytes, "%s", text.data != NULL ? text.data : "");
	buf_deinit(&text);
}
