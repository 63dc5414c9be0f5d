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

static void
take_members(struct refresh *r, const struct membership *members)
{
	struct refresh_share *share = &r->share;

	free(share->others);
	share->others = calloc(members->count + 1, sizeof(*share->others));
	CHECK(share->others != NULL);
	share->other_count = 0;
	memcpy(share->self, members->process, sizeof(share->self));
	for (size_t i = 0; i < members->count; i++)
		if (is_new(share, members->list[i].process))
			memcpy(share->others[share->other_count++], members->list[i].process,
			    sizeof(*share->others));
	atomic_store_explicit(&r->counters.members, share->other_count + 1, memory_order_relaxed);
}

void
refresh_share_look(struct refresh *r)
{
	struct membership members;
	struct err err = { 0 };

	if (r->share_ms != 0 && clock_ms() - r->share_ms < LOOK_EVERY_MS)
		return;
	if (!refresh_mysql_ready(r))
		return; /* who was there last shares with us */
	r->share_ms = clock_ms();
	membership_init(&members, r->config, 0, "");
	if (membership_look(&members, r->sql, &err) == 0)
		take_members(r, &members);
	else if (!sql_is_open(r->sql))
		refresh_mysql_failed(r, &err);
	else
		log_event(LOG_WARN, "refresh_members_unknown", "error", "%s", err.text, "next",
		    "%s", "all keys are taken for ours", NULL);
	membership_deinit(&members);
}
