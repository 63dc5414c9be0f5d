#include "worker/store/lane_lock.h"

#include "worker/store/session.h"

#include <stdio.h>

enum { LOCKS_A_STATEMENT = 500 }; /* the servers' limit is 4,096 columns */

/* Fowler, Noll, Vo: FNV-1a with 128 bits (RFC 9923). */
static unsigned __int128
hash_bytes(unsigned __int128 hash, const char *bytes, size_t len)
{
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * prime;
	return hash;
}

void
lane_lock_name(const char *database, const char *lane, char out[LANE_LOCK_MAX])
{
	unsigned __int128 hash =
	    ((unsigned __int128)0x6c62272e07bb0142u << 64) + 0x62b821756295c58du;

	hash = hash_bytes(hash, database, strlen(database) + 1);
	hash = hash_bytes(hash, lane, strlen(lane));
	snprintf(out, LANE_LOCK_MAX, "sluice:%016llx%016llx", (unsigned long long)(hash >> 64),
	    (unsigned long long)hash);
}

static void
add_question(struct buf *select, const char *question, const char *name)
{
	for (; *question != '\0'; question++) {
		if (*question == '?')
			buf_add_str(select, name);
		else
			buf_add_char(select, *question);
	}
}

/* The question is SQL with '?' for the lock's name; answers[i]: it is 1 for that lane. */
static int
ask_some(struct sql *sql, const char *question, const char *database, struct lane **lanes,
    size_t count, bool *answers, struct err *err)
{
	char name[LANE_LOCK_MAX];
	struct sql_result result;
	struct buf select;
	int status;

	buf_init(&select);
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&select, i == 0 ? "SELECT " : ", ");
		if (lanes[i] == NULL) {
			buf_add_str(&select, "0");
			continue;
		}
		lane_lock_name(database, lanes[i]->name, name);
		add_question(&select, question, name);
	}
	status = session_query(sql, (struct str){ select.data, select.len }, &result, err);
	buf_deinit(&select);
	if (status != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		answers[i] = str_equal(sql_cell(&result, 0, i), STR("1"));
	sql_result_free(&result);
	return 0;
}

static int
ask(struct sql *sql, const char *question, const char *database, struct lane **lanes, size_t count,
    bool *answers, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		answers[i] = false;
	for (size_t at = 0; at < count; at += LOCKS_A_STATEMENT) {
		size_t n = count - at < LOCKS_A_STATEMENT ? count - at : LOCKS_A_STATEMENT;

		if (ask_some(sql, question, database, lanes + at, n, answers + at, err) != 0)
			return -1;
	}
	return 0;
}

int
lane_lock_take(struct sql *sql, const char *database, struct lane **lanes, size_t count,
    bool *owned, struct err *err)
{
	/* GET_LOCK counts: taken twice it would have to be given back twice */
	return ask(sql, "IF(IS_USED_LOCK('?') <=> CONNECTION_ID(), 1, GET_LOCK('?', 0))", database,
	    lanes, count, owned, err);
}

int
lane_lock_find_free(struct sql *sql, const char *database, struct lane **lanes, size_t count,
    bool *is_free, struct err *err)
{
	return ask(sql, "IFNULL(IS_USED_LOCK('?'), CONNECTION_ID()) = CONNECTION_ID()", database,
	    lanes, count, is_free, err);
}

int
lane_lock_give(struct sql *sql, const char *database, const struct lane *lane, struct err *err)
{
	char name[LANE_LOCK_MAX], statement[LANE_LOCK_MAX + 32];

	lane_lock_name(database, lane->name, name);
	snprintf(statement, sizeof(statement), "DO RELEASE_LOCK('%s')", name);
	return session_query(sql, str_of(statement), NULL, err);
}
