#include "worker/store/own_tables.h"

#include "common/number.h"
#include "worker/store/session.h"

#include <stddef.h>

enum {
	CODE_DATABASE_DENIED = 1044,
	CODE_DUPLICATE_COLUMN = 1060,
	CODE_DUPLICATE_INDEX = 1061,
	CODE_TABLE_DENIED = 1142,
	CODE_NO_SUCH_TABLE = 1146,
};

/* Names and positions compare byte by byte.  A lane's name is bytes: it holds a stream's name. */
#define ASCII_TEXT "CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
#define OWN_TABLE ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

/* sluice_schema and its row come last: what it says is there is there. */
static const char *const statements[] = {
	"CREATE TABLE IF NOT EXISTS sluice_ledger (\n"
	"  lane VARBINARY(255) NOT NULL PRIMARY KEY,\n"
	"  epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  position VARCHAR(48) " ASCII_TEXT ",\n"
	"  done VARCHAR(48) " ASCII_TEXT ",\n"
	"  checkpoints TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,\n"
	"  source_identity VARCHAR(64) NOT NULL DEFAULT '',\n"
	"  lanes_of_source INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  owner VARCHAR(190) NOT NULL DEFAULT '',\n"
	"  halted VARCHAR(32) " ASCII_TEXT " DEFAULT '',\n"
	"  alarm VARCHAR(32) " ASCII_TEXT " DEFAULT '',\n"
	"  command VARCHAR(64) " ASCII_TEXT " DEFAULT '',\n"
	"  updated_at DATETIME(3) NOT NULL\n" OWN_TABLE,

	"CREATE TABLE IF NOT EXISTS sluice_outbox (\n"
	"  lane VARBINARY(255) NOT NULL,\n"
	"  letter BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  major BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  minor BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  part INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  position VARCHAR(48) " ASCII_TEXT ",\n"
	"  cache_keys LONGBLOB NOT NULL,\n"
	"  versions LONGBLOB NULL,\n"
	"  PRIMARY KEY (lane, letter, major, minor, part)\n" OWN_TABLE,

	"CREATE TABLE IF NOT EXISTS sluice_dead_letter (\n"
	"  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,\n"
	"  lane VARBINARY(255) NOT NULL,\n"
	"  entry VARCHAR(48) " ASCII_TEXT ",\n"
	"  chunk INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  chunks INT UNSIGNED NOT NULL DEFAULT 1,\n"
	"  table_name VARCHAR(64) NULL,\n"
	"  operation VARCHAR(16) " ASCII_TEXT " DEFAULT '',\n"
	"  reason VARCHAR(32) " ASCII_TEXT ",\n"
	"  code INT NOT NULL DEFAULT 0,\n"
	"  message VARCHAR(512) NOT NULL DEFAULT '',\n"
	"  payload LONGBLOB NOT NULL,\n"
	"  state VARCHAR(16) " ASCII_TEXT " DEFAULT 'dead',\n"
	"  created_at DATETIME(3) NOT NULL,\n"
	"  attempts INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  updated_at DATETIME(3) NULL,\n"
	"  KEY lane_entry (lane, entry),\n"
	"  KEY lane_state (lane, state),\n"
	"  KEY reason (reason)\n" OWN_TABLE,

	"CREATE TABLE IF NOT EXISTS sluice_worker (\n"
	"  member VARBINARY(190) NOT NULL PRIMARY KEY,\n"
	"  pool VARCHAR(64) NOT NULL DEFAULT '',\n"
	"  beat_at DATETIME(3) NOT NULL,\n"
	"  session_lock VARCHAR(64) " ASCII_TEXT " DEFAULT '',\n"
	"  slot INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  lanes INT UNSIGNED NOT NULL DEFAULT 0,\n"
	"  version VARCHAR(32) " ASCII_TEXT " DEFAULT '',\n"
	"  joined_at DATETIME(6) NULL\n" OWN_TABLE,

	"CREATE TABLE IF NOT EXISTS sluice_parked (\n"
	"  lane VARBINARY(255) NOT NULL,\n"
	"  key_hash BINARY(16) NOT NULL,\n"
	"  letter BIGINT UNSIGNED NOT NULL,\n"
	"  PRIMARY KEY (lane, key_hash, letter),\n"
	"  KEY letter (letter)\n" OWN_TABLE,

	"CREATE TABLE IF NOT EXISTS sluice_schema (\n"
	"  version INT UNSIGNED NOT NULL PRIMARY KEY,\n"
	"  created_at DATETIME(3) NOT NULL\n" OWN_TABLE,

	/* the brackets tell clang that no comma is missing */
	("INSERT INTO sluice_schema (version, created_at) VALUES (3, UTC_TIMESTAMP(3))\n"
	 "  ON DUPLICATE KEY UPDATE version = version"),
};
enum { STATEMENTS = sizeof(statements) / sizeof(statements[0]) };

const char *const own_tables[OWN_TABLES] = { "sluice_ledger", "sluice_outbox", "sluice_dead_letter",
	"sluice_worker", "sluice_parked", "sluice_schema" };

/* What version 2 adds to the tables of version 1, then 3 to those of 2 (whose outbox nobody used). */
static const char *const additions[] = {
	"ALTER TABLE sluice_dead_letter ADD COLUMN attempts INT UNSIGNED NOT NULL DEFAULT 0",
	"ALTER TABLE sluice_dead_letter ADD COLUMN updated_at DATETIME(3) NULL",
	"ALTER TABLE sluice_dead_letter ADD KEY lane_state (lane, state)",
	("ALTER TABLE sluice_worker ADD COLUMN session_lock VARCHAR(64) " ASCII_TEXT " DEFAULT ''"),
	"ALTER TABLE sluice_worker ADD COLUMN slot INT UNSIGNED NOT NULL DEFAULT 0",
	"ALTER TABLE sluice_worker ADD COLUMN lanes INT UNSIGNED NOT NULL DEFAULT 0",
	("ALTER TABLE sluice_worker ADD COLUMN version VARCHAR(32) " ASCII_TEXT " DEFAULT ''"),
	"ALTER TABLE sluice_worker ADD COLUMN joined_at DATETIME(6) NULL",
	"ALTER TABLE sluice_outbox ADD COLUMN letter BIGINT UNSIGNED NOT NULL DEFAULT 0",
	"ALTER TABLE sluice_outbox ADD COLUMN major BIGINT UNSIGNED NOT NULL DEFAULT 0",
	"ALTER TABLE sluice_outbox ADD COLUMN minor BIGINT UNSIGNED NOT NULL DEFAULT 0",
	("ALTER TABLE sluice_outbox ADD COLUMN part INT UNSIGNED NOT NULL DEFAULT 0,"
	 " DROP PRIMARY KEY, ADD PRIMARY KEY (lane, letter, major, minor, part)"),
};
enum { ADDITIONS = sizeof(additions) / sizeof(additions[0]) };

void
own_tables_print(struct buf *out)
{
	buf_printf(out,
	    "-- The tables of sluice, version %d.  Run this in the schema of mysql.url.\n"
	    "-- The account of sluice then needs on them, besides its rights on your tables:\n"
	    "-- GRANT SELECT, INSERT, UPDATE, DELETE ON <schema>.sluice_<table> TO <user>;\n"
	    "-- Where the tables of an older version are there, these come first (those of version "
	    "2\n"
	    "-- lack what is added to sluice_outbox):\n",
	    OWN_TABLES_VERSION);
	for (size_t i = 0; i < ADDITIONS; i++)
		buf_printf(out, "--   %s;\n", additions[i]);
	for (size_t i = 0; i < STATEMENTS; i++)
		buf_printf(out, "\n%s;\n", statements[i]);
}

int
own_tables_check_version(uint64_t version, struct err *err)
{
	if (version <= OWN_TABLES_VERSION + 1)
		return 0;
	return err_set(err, ERR_FATAL, 0,
	    "the sluice_* tables have version %llu, and this sluice knows version %d and gets along"
	    " with %d: please run a newer sluice",
	    (unsigned long long)version, OWN_TABLES_VERSION, OWN_TABLES_VERSION + 1);
}

static int
fail_missing(struct err *err, const char *why)
{
	char server[sizeof(err->text)];

	memcpy(server, err->text, sizeof(server));
	return err_set(err, ERR_FATAL, err->code,
	    "%s; let someone who may do it run the output of `sluice schema` in that "
	    "schema%s%.300s",
	    why, server[0] != '\0' ? ": " : "", server);
}

/* The number a SELECT answers, 0 for none; ends the transaction. */
static int
select_number(struct sql *sql, struct str select, uint64_t *n, struct err *err)
{
	struct sql_result result;

	if (session_query(sql, select, &result, err) != 0)
		return session_end(sql, -1, err);
	if (result.rows == 0 || !number_u64(sql_cell(&result, 0, 0), n))
		*n = 0;
	sql_result_free(&result);
	return session_end(sql, 0, err);
}

/* Somebody else may be at it: what is there already is no error. */
static int
add_to_older(struct sql *sql, struct err *err)
{
	for (size_t i = 0; i < ADDITIONS; i++) {
		if (session_query(sql, str_of(additions[i]), NULL, err) != 0 &&
		    err->code != CODE_DUPLICATE_COLUMN && err->code != CODE_DUPLICATE_INDEX)
			return session_end(sql, -1, err);
	}
	err_clear(err);
	return session_end(sql, 0, err);
}

/* The version's row comes last, so that who dies on the way is followed by one who does it again. */
static int
create(struct sql *sql, struct err *err)
{
	uint64_t older = 0;

	if (select_number(sql,
		STR("SELECT COUNT(*) FROM information_schema.tables t WHERE t.table_schema = "
		    "DATABASE()"
		    " AND t.table_name IN ('sluice_dead_letter', 'sluice_worker', 'sluice_outbox')"
		    " AND NOT EXISTS"
		    " (SELECT 1 FROM information_schema.columns c WHERE c.table_schema = "
		    "t.table_schema"
		    " AND c.table_name = t.table_name AND c.column_name IN ('updated_at', "
		    "'joined_at', 'part'))"),
		&older, err) != 0 ||
	    (older > 0 && add_to_older(sql, err) != 0))
		return -1;
	for (size_t i = 0; i < STATEMENTS; i++) {
		if (session_query(sql, str_of(statements[i]), NULL, err) != 0)
			return session_end(sql, -1, err);
	}
	return session_end(sql, 0, err);
}

/* information_schema shows only what our rights touch, so ask the tables that we use themselves. */
static int
are_usable(struct sql *sql, struct err *err)
{
	uint64_t none;

	return select_number(sql,
	    STR("SELECT l.epoch FROM sluice_ledger l, sluice_outbox o, sluice_dead_letter d,"
		" sluice_worker w, sluice_parked p, sluice_schema s LIMIT 0"),
	    &none, err);
}

static bool
is_denied(const struct err *err)
{
	return err->code == CODE_DATABASE_DENIED || err->code == CODE_TABLE_DENIED;
}

/* Something is missing, or we may not see it. */
static int
create_missing(struct sql *sql, bool may_create, struct err *err)
{
	err_clear(err);
	if (may_create && create(sql, err) == 0)
		return 0;
	if (may_create && !is_denied(err))
		return -1;
	if (are_usable(sql, err) == 0)
		return 0;
	if (err->code != CODE_NO_SUCH_TABLE && !is_denied(err))
		return -1;
	return fail_missing(err,
	    may_create ? "the sluice_* tables are missing and this account may not create them" :
			 "the sluice_* tables are missing and create_tables is off");
}

static int
count_tables(struct sql *sql, uint64_t *tables, struct err *err)
{
	struct buf select;
	int status;

	buf_init(&select);
	buf_add_str(&select,
	    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"
	    " AND table_name IN ('");
	for (size_t i = 0; i < OWN_TABLES; i++)
		buf_printf(&select, "%s%s", i > 0 ? "', '" : "", own_tables[i]);
	buf_add_str(&select, "')");
	status = select_number(sql, (struct str){ select.data, select.len }, tables, err);
	buf_deinit(&select);
	return status;
}

static int
read_version(struct sql *sql, uint64_t *version, struct err *err)
{
	if (select_number(sql, STR("SELECT MAX(version) FROM sluice_schema"), version, err) == 0)
		return 0;
	return is_denied(err) ? fail_missing(err, "the sluice_* tables can't be read") : -1;
}

int
own_tables_open(struct sql *sql, bool may_create, struct err *err)
{
	uint64_t tables = 0, version = 0;

	if (count_tables(sql, &tables, err) != 0 ||
	    (tables < OWN_TABLES && create_missing(sql, may_create, err) != 0))
		return -1;
	if (read_version(sql, &version, err) != 0)
		return -1;
	/* somebody died between the last table and its version, or it is an older one */
	if (version < OWN_TABLES_VERSION &&
	    (create_missing(sql, may_create, err) != 0 || read_version(sql, &version, err) != 0))
		return -1;
	if (version < OWN_TABLES_VERSION)
		return fail_missing(err,
		    may_create ?
			"the sluice_* tables are of an older version and this account may "
			"not change them" :
			"the sluice_* tables are of an older version and create_tables is off");
	return own_tables_check_version(version, err);
}
