#include "worker/store/session.h"

#include "common/number.h"
#include "common/random.h"

#include <stdio.h>

enum {
	SETTLE_WAIT_S = 2, /* a killed session is gone in milliseconds unless it is rolling back */
	CODE_DEADLOCK = 1213,
	CODE_OPTION_PREVENTS = 1290, /* --read-only, --super-read-only */
	CODE_READ_ONLY_TRANSACTION = 1792,
	CODE_READ_ONLY_MODE = 1836,
};

static bool
is_read_only(int code)
{
	return code == CODE_OPTION_PREVENTS || code == CODE_READ_ONLY_TRANSACTION ||
	    code == CODE_READ_ONLY_MODE;
}

int
session_query(struct sql *sql, struct str statement, struct sql_result *result, struct err *err)
{
	if (sql_query(sql, statement, result, err) == 0)
		return 0;
	if (err->class == ERR_POISON)
		err->class = ERR_RETRY;
	if (is_read_only(err->code))
		sql_close(sql);
	return -1;
}

int
session_send(struct sql *sql, struct buf *statement, struct sql_result *result, struct err *err)
{
	int status =
	    session_query(sql, (struct str){ statement->data, statement->len }, result, err);

	buf_deinit(statement);
	return status;
}

int
session_commit(struct sql *sql, struct err *err)
{
	if (sql_query(sql, STR("COMMIT"), NULL, err) == 0)
		return 0;
	/* a deadlock (Galera's certification) is the one error that promises a rollback */
	if (err->code == CODE_DEADLOCK)
		session_rollback(sql);
	else
		sql_close(sql);
	err->class = ERR_RETRY;
	return err_prefix(err, "COMMIT");
}

void
session_rollback(struct sql *sql)
{
	if (sql_is_open(sql) && sql_query(sql, STR("ROLLBACK"), NULL, NULL) != 0)
		sql_close(sql);
}

int
session_end(struct sql *sql, int status, struct err *err)
{
	if (status == 0)
		return session_commit(sql, err);
	session_rollback(sql);
	return -1;
}

void
session_lock_name(char out[SESSION_LOCK_MAX])
{
	snprintf(out, SESSION_LOCK_MAX, "sluice-session:%016llx%016llx",
	    (unsigned long long)random_seed(), (unsigned long long)random_seed());
}

/* The one number that a SELECT answers; false for NULL. */
static int
select_u64(struct sql *sql, const char *select, bool *is_number, uint64_t *n, struct err *err)
{
	struct sql_result result;

	if (session_query(sql, str_of(select), &result, err) != 0)
		return -1;
	*is_number = result.rows == 1 && number_u64(sql_cell(&result, 0, 0), n);
	sql_result_free(&result);
	return 0;
}

static int
take_lock(struct sql *sql, const char *lock, int wait_s, bool *taken, struct err *err)
{
	char select[128];
	uint64_t answer;
	bool is_number;

	snprintf(select, sizeof(select), "SELECT GET_LOCK('%s', %d)", lock, wait_s);
	if (select_u64(sql, select, &is_number, &answer, err) != 0)
		return -1;
	*taken = is_number && answer == 1;
	return 0;
}

/* Its own account's sessions anybody may kill.  That it is gone already is no error. */
static int
kill_holder(struct sql *sql, const char *lock, struct err *err)
{
	char statement[128];
	uint64_t holder;
	bool is_held;

	snprintf(statement, sizeof(statement), "SELECT IS_USED_LOCK('%s')", lock);
	if (select_u64(sql, statement, &is_held, &holder, err) != 0)
		return -1;
	if (!is_held)
		return 0;
	if (sql_queryf(sql, NULL, err, "KILL CONNECTION %llu", (unsigned long long)holder) != 0 &&
	    !sql_is_open(sql))
		return -1;
	return 0;
}

int
session_settle(struct sql *sql, const char *lock, struct err *err)
{
	bool taken;

	if (take_lock(sql, lock, 0, &taken, err) != 0)
		return -1;
	if (taken)
		return 0;
	if (kill_holder(sql, lock, err) != 0 ||
	    take_lock(sql, lock, SETTLE_WAIT_S, &taken, err) != 0)
		return -1;
	if (taken)
		return 0;
	return err_set(err, ERR_RETRY, 0,
	    "mysql: our session before this one is still alive at the server");
}

/*
 * completion_type, sql_safe_updates and the like only matter where somebody set them for the whole
 * server.  net_read_timeout: a process that stops in the middle of a statement keeps its row locks
 * for no longer than one that stops between two.
 */
static int
set_session(struct sql *sql, int lock_wait_ms, struct err *err)
{
	int lock_wait_s = lock_wait_ms <= 1000 ? 1 : (lock_wait_ms + 999) / 1000;

	if (sql_queryf(sql, NULL, err, "SET NAMES utf8mb4") != 0 ||
	    sql_queryf(sql, NULL, err,
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE") != 0)
		return -1;
	return sql_queryf(sql, NULL, err,
	    "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00',"
	    " lc_messages='en_US', innodb_lock_wait_timeout=%d, lock_wait_timeout=%d,"
	    " wait_timeout=%d, net_read_timeout=%d, net_write_timeout=%d, foreign_key_checks=1,"
	    " unique_checks=1, sql_safe_updates=0, sql_auto_is_null=0, completion_type=0,"
	    " autocommit=0",
	    lock_wait_s, lock_wait_s, SESSION_WAIT_TIMEOUT_S, SESSION_WAIT_TIMEOUT_S,
	    SESSION_WAIT_TIMEOUT_S);
}

int
session_lock_wait(struct sql *sql, int lock_wait_ms, struct err *err)
{
	int seconds = lock_wait_ms <= 1000 ? 1 : (lock_wait_ms + 999) / 1000;

	if (lock_wait_ms == 0 && sql_is_mariadb(sql))
		seconds = 0;
	if (sql_queryf(sql, NULL, err,
		"SET SESSION innodb_lock_wait_timeout=%d, lock_wait_timeout=%d", seconds,
		seconds) == 0)
		return 0;
	sql_close(sql); /* nobody knows how long it waits now */
	err->class = ERR_RETRY;
	return -1;
}

int
session_prepare(struct sql *sql, int lock_wait_ms, struct session_facts *facts, struct err *err)
{
	struct sql_result result;
	bool holds;

	if (set_session(sql, lock_wait_ms, err) != 0 ||
	    session_query(sql,
		STR("SELECT @@SESSION.max_allowed_packet, @@SESSION.wait_timeout,"
		    " @@SESSION.sql_mode LIKE '%STRICT_ALL_TABLES%'"
		    " AND @@SESSION.sql_mode NOT LIKE '%NO_BACKSLASH_ESCAPES%'"
		    " AND @@SESSION.time_zone = '+00:00' AND @@SESSION.autocommit = 0"),
		&result, err) != 0)
		return -1;
	holds = result.rows == 1 && str_equal(sql_cell(&result, 0, 2), STR("1")) &&
	    number_u64(sql_cell(&result, 0, 0), &facts->packet_max) &&
	    number_u64(sql_cell(&result, 0, 1), &facts->wait_timeout_s);
	sql_result_free(&result);
	if (holds)
		return 0;
	return err_set(err, ERR_FATAL, 0,
	    "mysql: the session does not keep its settings (sql_mode, time_zone, autocommit);"
	    " a proxy between us and the server must not share or reset sessions");
}
