#include "common/clock.h"
#include "common/log.h"
#include "worker/cache/refresh_work.h"
#include "worker/store/member.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 1000 };

/* Each process gives each key a number; the highest one has it. */
static uint64_t
weight_of(const char *process, uint64_t key_hash)
{
	uint64_t hash = hot_key_hash(str_of(process)) ^ key_hash;

	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
	hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
	return hash ^ (hash >> 33);
}

bool
refresh_is_ours(const struct refresh_share *share, uint64_t key_hash)
{
	uint64_t own = weight_of(share->self, key_hash);

	for (size_t i = 0; i < share->other_count; i++)
		if (weight_of(share->others[i], key_hash) > own)
			return false;
	return true;
}

static bool
is_new(const struct refresh_share *share, const char *process)
{
	if (strcmp(process, share->self) == 0)
		return false;
	for (size_t i = 0; i < share->other_count; i++)
		if (strcmp(share->others[i], process) == 0)
			return false;
	return true;
}

void
refresh_share_set(struct refresh *r, const char (*processes)[MEMBER_PROCESS_MAX], size_t count)
{
	struct refresh_share *share = &r->share;

	free(share->others);
	share->others = calloc(count + 1, sizeof(*share->others));
	CHECK(share->others != NULL);
	share->other_count = 0;
	for (size_t i = 0; i < count; i++)
		if (is_new(share, processes[i]))
			memcpy(share->others[share->other_count++], processes[i],
			    sizeof(*share->others));
	share->unknown = false;
	atomic_store_explicit(&r->counters.members, share->other_count + 1, memory_order_relaxed);
}

void
refresh_members_unknown(struct refresh *r, const struct err *err)
{
	if (!r->share.unknown)
		log_event(LOG_WARN, "refresh_members_unknown", "error", "%s", err->text, "next",
		    "%s", "popular keys are shared with whom we knew", NULL);
	r->share.unknown = true;
}

/* Workers that write streams are in sluice_worker. */
static void
look_in_mysql(struct refresh *r, struct membership *members)
{
	char(*list)[MEMBER_PROCESS_MAX];
	struct err err = { 0 };

	if (!refresh_mysql_ready(r))
		return; /* who was there last shares with us */
	if (membership_look(members, r->sql, &err) != 0) {
		if (sql_is_open(r->sql))
			refresh_members_unknown(r, &err);
		else
			refresh_mysql_failed(r, &err);
		return;
	}
	arena_reset(&r->arena);
	list = arena_alloc(&r->arena, (members->count + 1) * sizeof(*list));
	for (size_t i = 0; i < members->count; i++)
		memcpy(list[i], members->list[i].process, sizeof(*list));
	refresh_share_set(r, list, members->count);
}

void
refresh_share_look(struct refresh *r)
{
	struct membership members;

	if (r->share_ms != 0 && clock_ms() - r->share_ms < LOOK_EVERY_MS)
		return;
	r->share_ms = clock_ms();
	membership_init(&members, r->config, 0, "");
	if (r->share.self[0] == '\0')
		memcpy(r->share.self, members.process, sizeof(r->share.self));
	if (r->members_in_cache)
		refresh_members_look(r);
	else
		look_in_mysql(r, &members);
	membership_deinit(&members);
}
