#include "worker/store/member.h"

#include "common/clock.h"
#include "common/number.h"
#include "common/random.h"
#include "worker/store/lane_beat.h"
#include "worker/store/lane_lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Workers are made by one thread. */
static const char *
process_name(void)
{
	static char name[MEMBER_PROCESS_MAX];
	char host[65] = "";

	if (name[0] != '\0')
		return name;
	if (gethostname(host, sizeof(host) - 1) != 0 || !str_is_utf8(str_of(host), NULL))
		snprintf(host, sizeof(host), "unknown");
	snprintf(name, sizeof(name), "%s/%ld/%08llx", host, (long)getpid(),
	    (unsigned long long)random_seed() & 0xffffffffu);
	return name;
}

static void
name_of(const char *process, int workers, int slot, char out[MEMBER_NAME_MAX])
{
	snprintf(out, MEMBER_NAME_MAX, "%s/%d/%d", process, workers, slot);
}

void
membership_init(struct membership *m, const struct config *config, int worker,
    const char *session_lock)
{
	int lanes = (int)config_lanes_of_kind(config, true);

	memset(m, 0, sizeof(*m));
	m->config = config;
	m->session_lock = session_lock;
	m->workers = config->workers < lanes || lanes == 0 ? config->workers : lanes;
	m->slot = worker;
	snprintf(m->process, sizeof(m->process), "%s", process_name());
	name_of(m->process, m->workers, m->slot, m->name);
}

void
membership_deinit(struct membership *m)
{
	free(m->list);
	free(m->dead);
	m->list = NULL;
	m->dead = NULL;
	m->count = m->dead_count = m->room = 0;
}

void
membership_connected(struct membership *m, bool beats)
{
	m->there = m->there && m->beats == beats;
	m->beats = beats;
	m->beat_ms = 0;
}

/* --- our row --- */

static int
write_row(struct membership *m, struct sql *sql, unsigned lanes, struct err *err)
{
	const char *lock = m->beats ? "" : m->session_lock;
	struct buf insert;

	buf_init(&insert);
	buf_add_str(&insert,
	    "INSERT INTO sluice_worker (member, pool, beat_at, session_lock, slot, lanes, version,"
	    " joined_at) VALUES (");
	sql_add_binary(&insert, str_of(m->name));
	buf_add_str(&insert, ", ");
	sql_add_text(&insert, str_of(m->config->pool));
	buf_printf(&insert,
	    ", UTC_TIMESTAMP(3), '%s', %d, %u, '%s', UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE"
	    " beat_at=UTC_TIMESTAMP(3), session_lock='%s', lanes=%u",
	    lock, m->slot, lanes, SLUICE_VERSION, lock, lanes);
	return session_end(sql, session_send(sql, &insert, NULL, err), err);
}

int
membership_join(struct membership *m, struct sql *sql, unsigned lanes, struct err *err)
{
	int64_t now = clock_ms();

	if (m->there && m->lanes == lanes && !m->beats)
		return 0;
	if (m->beats && m->beat_ms != 0 && now - m->beat_ms >= 1000 * LANE_BEAT_TTL_S) {
		sql_close(sql);
		return err_set(err, ERR_RETRY, 0,
		    "our heartbeat is %lld ms late: others may own our lanes by now",
		    (long long)(now - m->beat_ms));
	}
	if (write_row(m, sql, lanes, err) != 0)
		return -1;
	m->there = true;
	m->lanes = lanes;
	m->beat_ms = now;
	return 0;
}

int
membership_leave(struct membership *m, struct sql *sql, struct err *err)
{
	struct buf delete;

	if (!m->there)
		return 0;
	buf_init(&delete);
	buf_add_str(&delete, "DELETE FROM sluice_worker WHERE member=");
	sql_add_binary(&delete, str_of(m->name));
	if (session_end(sql, session_send(sql, &delete, NULL, err), err) != 0)
		return -1;
	m->there = false;
	m->beat_ms = 0;
	return 0;
}

/* --- who is there --- */

/* "host/pid/random/workers/slot"; a row that says something else is none of ours. */
static bool
parse_name(struct str name, struct member *out)
{
	char text[MEMBER_NAME_MAX], *slot, *workers;
	uint64_t number;

	if (name.len >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", STR_ARGS(name));
	slot = strrchr(text, '/');
	if (slot == NULL || !number_u64(str_of(slot + 1), &number) || number > 1024)
		return false;
	out->slot = (int)number;
	*slot = '\0';
	workers = strrchr(text, '/');
	if (workers == NULL || !number_u64(str_of(workers + 1), &number) || number == 0 ||
	    number > 1024)
		return false;
	out->workers = (int)number;
	*workers = '\0';
	if (strlen(text) >= sizeof(out->process))
		return false;
	memcpy(out->process, text, strlen(text) + 1);
	return true;
}

static void
make_room(struct membership *m, size_t rows)
{
	if (rows <= m->room)
		return;
	free(m->list);
	free(m->dead);
	m->room = rows + 8;
	m->list = calloc(m->room, sizeof(*m->list));
	m->dead = calloc(m->room, sizeof(*m->dead));
	CHECK(m->list != NULL && m->dead != NULL);
}

static void
read_member(struct membership *m, const struct sql_result *result, size_t row)
{
	struct member *out = &m->list[m->count];
	struct str name = sql_cell(result, row, 0);
	uint64_t lanes = 0, joined_us = 0;

	*out = (struct member){ 0 };
	if (!parse_name(name, out))
		return;
	if (!str_equal(sql_cell(result, row, 3), STR("1"))) {
		snprintf(m->dead[m->dead_count++], MEMBER_NAME_MAX, "%.*s", STR_ARGS(name));
		return;
	}
	number_u64(sql_cell(result, row, 1), &lanes);
	number_u64(sql_cell(result, row, 4), &joined_us);
	out->lanes = (unsigned)lanes;
	out->joined_us = joined_us;
	out->beats = str_equal(sql_cell(result, row, 2), STR("1"));
	out->mine = str_equal(name, str_of(m->name));
	m->count++;
}

int
membership_look(struct membership *m, struct sql *sql, struct err *err)
{
	struct sql_result result;
	struct buf select;
	bool there = false;

	m->count = m->dead_count = 0;
	buf_init(&select);
	buf_printf(&select,
	    "SELECT member, lanes, session_lock='', IF(session_lock='',"
	    " beat_at > UTC_TIMESTAMP(3) - INTERVAL %d SECOND, IS_USED_LOCK(session_lock) IS NOT"
	    " NULL), CAST(UNIX_TIMESTAMP(joined_at) * 1000000 AS UNSIGNED) FROM sluice_worker"
	    " WHERE pool=",
	    LANE_BEAT_TTL_S);
	sql_add_text(&select, str_of(m->config->pool));
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	make_room(m, result.rows);
	for (size_t i = 0; i < result.rows; i++)
		read_member(m, &result, i);
	sql_result_free(&result);
	for (size_t i = 0; i < m->count; i++)
		there = there || m->list[i].mine;
	m->there = there;
	return session_end(sql, 0, err);
}

/* One that comes back meanwhile joins again. */
int
membership_sweep(struct membership *m, struct sql *sql, struct err *err)
{
	struct buf delete;

	if (m->dead_count == 0)
		return 0;
	buf_init(&delete);
	buf_add_str(&delete, "DELETE FROM sluice_worker WHERE member IN (");
	for (size_t i = 0; i < m->dead_count; i++) {
		if (i > 0)
			buf_add_char(&delete, ',');
		sql_add_binary(&delete, str_of(m->dead[i]));
	}
	buf_add_char(&delete, ')');
	m->dead_count = 0;
	return session_end(sql, session_send(sql, &delete, NULL, err), err);
}

/* --- lanes --- */

/* Those that somebody's heartbeat owns go out of unlocked[]. */
static int
respect_beats(struct membership *m, struct sql *sql, struct lane **lanes, size_t count,
    bool *unlocked, struct err *err)
{
	bool theirs[1024], any = false;

	CHECK(count <= 1024);
	for (size_t i = 0; i < m->count; i++)
		any = any || (m->list[i].beats && !m->list[i].mine);
	if (!any)
		return 0;
	if (lane_beat_find(sql, m->name, lanes, count, theirs, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		unlocked[i] = unlocked[i] && !theirs[i];
	return 0;
}

int
membership_unowned(struct membership *m, struct sql *sql, struct lane **lanes, size_t count,
    bool *unowned, struct err *err)
{
	if (lane_lock_find_free(sql, m->config->mysql.database, lanes, count, unowned, err) != 0)
		return -1;
	return respect_beats(m, sql, lanes, count, unowned, err);
}

static int
own_by_lock(struct membership *m, struct sql *sql, struct lane **lanes, size_t count, bool *owned,
    struct err *err)
{
	struct lane *asked[1024];
	bool unowned[1024];

	for (size_t i = 0; i < count; i++)
		unowned[i] = true;
	if (respect_beats(m, sql, lanes, count, unowned, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		asked[i] = unowned[i] ? lanes[i] : NULL;
	return lane_lock_take(sql, m->config->mysql.database, asked, count, owned, err);
}

static int
own_by_beat(struct membership *m, struct sql *sql, struct lane **lanes, size_t count, bool *owned,
    struct err *err)
{
	bool unlocked[1024];

	if (lane_lock_find_free(sql, m->config->mysql.database, lanes, count, unlocked, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		owned[i] = false;
		if (unlocked[i] && lane_beat_take(sql, m->name, lanes[i], &owned[i], err) != 0)
			return -1;
	}
	return 0;
}

int
membership_own(struct membership *m, struct sql *sql, struct lane **lanes, size_t count,
    bool *owned, struct err *err)
{
	CHECK(count <= 1024);
	return m->beats ? own_by_beat(m, sql, lanes, count, owned, err) :
			  own_by_lock(m, sql, lanes, count, owned, err);
}

int
membership_disown(struct membership *m, struct sql *sql, const struct lane *lane, struct err *err)
{
	if (m->beats)
		return lane_beat_give(sql, m->name, lane, err);
	return lane_lock_give(sql, m->config->mysql.database, lane, err);
}
