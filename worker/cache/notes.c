#include "worker/cache/notes.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 192 };

static struct str
key_of(const struct notes *n, const struct lane *lane, char out[KEY_MAX])
{
	int len = snprintf(out, KEY_MAX, "sluice:%.128s:answered%s%s", n->pool,
	    lane->by_group ? ":" : "", lane->by_group ? n->name : "");

	return (struct str){ out, (size_t)len };
}

static void
copy_id(char *out, size_t size, struct str id)
{
	snprintf(out, size, "%.*s", STR_ARGS(id));
}

/* Where the number of keys loaded isn't told (before Redis 7), some may have been. */
void
notes_info(struct notes *n, struct str info)
{
	uint64_t keys = 1;

	copy_id(n->run_id, sizeof(n->run_id), redis_info(info, "run_id"));
	copy_id(n->replication_id, sizeof(n->replication_id), redis_info(info, "master_replid"));
	redis_info_number(info, "rdb_last_load_keys_loaded", &keys);
	n->loaded = keys > 0;
}

void
notes_connected(struct notes *n, struct arena *a)
{
	const struct redis_reply *reply = redis_call(n->redis, a, NULL, "INFO");

	n->run_id[0] = n->replication_id[0] = '\0';
	n->loaded = false;
	if (reply != NULL && reply->type == REDIS_STRING)
		notes_info(n, reply->text);
}

static bool
is_another(const struct notes *n)
{
	return n->run_id[0] != '\0' && n->fine_run_id[0] != '\0' &&
	    (strcmp(n->run_id, n->fine_run_id) != 0 ||
		strcmp(n->replication_id, n->fine_replication_id) != 0);
}

/* One command and its answer; NULL: lost, or refused for good or for want of room (it stays open). */
static const struct redis_reply *
ask(struct notes *n, struct arena *a, int argc, const struct str *argv, struct err *err)
{
	struct redis_reply *reply = NULL;
	int got;

	redis_queue(n->redis, argc, argv);
	if (redis_flush(n->redis, err) != 0)
		return NULL;
	got = redis_receive(n->redis, a, n->timeout_ms, &reply, err);
	if (got == 0) {
		err_set(err, ERR_RETRY, 0, "the cache did not answer within %d ms", n->timeout_ms);
		redis_close(n->redis);
	}
	if (got <= 0)
		return NULL;
	if (reply->type != REDIS_ERROR)
		return reply;
	redis_reply_error(reply, err);
	if (err->class == ERR_RETRY &&
	    !redis_reply_is_oom(reply)) /* loading, a replica: not for long */
		redis_close(n->redis);
	return NULL;
}

/* What can't be kept up goes: it would look like a rollback to the next who may read it. */
static void
remove_key(struct notes *n, struct arena *a, struct str key)
{
	const struct str argv[] = { STR("UNLINK"), key };
	struct err ignored = { 0 };

	if (redis_is_open(n->redis))
		ask(n, a, 2, argv, &ignored);
}

int
notes_read(struct notes *n, struct arena *a, struct lane *const *lanes, size_t count,
    struct position *at, enum cache_notes *found, struct err *err)
{
	struct str *argv = arena_alloc(a, (count + 2) * sizeof(*argv));
	const struct redis_reply *reply;
	char key[KEY_MAX];
	bool any = false;

	argv[0] = STR("HMGET");
	argv[1] = key_of(n, lanes[0], key);
	for (size_t i = 0; i < count; i++)
		argv[2 + i] = str_of(lanes[i]->name);
	reply = ask(n, a, (int)count + 2, argv, err);
	if (reply == NULL) {
		remove_key(n, a, argv[1]);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		at[i] = (struct position){ 0, 0 };
		if (reply->type == REDIS_ARRAY && i < reply->count &&
		    reply->element[i]->type == REDIS_STRING)
			any |= position_parse(reply->element[i]->text, &at[i]);
	}
	*found = any ? NOTES_THERE : is_another(n) && n->loaded ? NOTES_LOST : NOTES_ABSENT;
	memcpy(n->fine_run_id, n->run_id, sizeof(n->fine_run_id));
	memcpy(n->fine_replication_id, n->replication_id, sizeof(n->fine_replication_id));
	return 0;
}

/* Nobody else takes it out.  Without the right it stays. */
static int
limit_life(struct notes *n, struct arena *a, const struct lane *lane, struct str key,
    struct err *err)
{
	const struct str argv[] = { STR("PEXPIRE"), key,
		str_of(arena_printf(a, "%d", NOTES_LIVE_MS)) };

	if (!lane->by_group || ask(n, a, 3, argv, err) != NULL || redis_is_open(n->redis))
		return 0;
	return -1;
}

int
notes_write(struct notes *n, struct arena *a, struct lane *const *lanes, size_t count,
    const struct position *at, struct err *err)
{
	struct str *argv = arena_alloc(a, (2 * count + 2) * sizeof(*argv));
	char(*texts)[POSITION_TEXT] = arena_alloc(a, count * sizeof(*texts));
	char key[KEY_MAX];

	argv[0] = STR("HSET");
	argv[1] = key_of(n, lanes[0], key);
	for (size_t i = 0; i < count; i++) {
		argv[2 + 2 * i] = str_of(lanes[i]->name);
		argv[3 + 2 * i] = str_of(position_text(at[i], texts[i]));
	}
	if (ask(n, a, (int)(2 * count) + 2, argv, err) != NULL)
		return limit_life(n, a, lanes[0], argv[1], err);
	remove_key(n, a, argv[1]); /* no room, or not allowed */
	return -1;
}
