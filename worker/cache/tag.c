#include "worker/cache/tag.h"

#include "common/number.h"

#include <stdio.h>

struct tag {
	struct expected expected; /* of its commands: table and template */
	struct str key;		  /* the set */
	char cursor[24];	  /* of the page that is asked for */
	uint64_t until_us;	  /* the server's time until which members may leave */
	struct str *members;	  /* of the page, those that may leave */
	size_t count, unanswered;
	struct tag *next;
};

void
tag_add(struct round *r, const struct expected *expected, struct str key)
{
	struct tag *tag = arena_zalloc(&r->tags_arena, sizeof(*tag));

	tag->expected = *expected;
	tag->key = arena_str(&r->tags_arena, key.data, key.len);
	snprintf(tag->cursor, sizeof(tag->cursor), "0");
	tag->next = r->tags;
	r->tags = tag;
}

/* TIME goes first: the page's quarantines begin later. */
int
tag_ask(struct round *r, struct err *err)
{
	struct tag *tag = r->tags;
	struct str time[] = { STR("TIME") };
	struct str scan[] = { STR("SSCAN"), tag->key, str_of(tag->cursor), STR("COUNT"),
		STR("100") };

	tag->expected.what = EXPECT_TIME;
	if (round_send(r, &tag->expected, 1, time, err) != 0)
		return -1;
	tag->expected.what = EXPECT_MEMBERS;
	return round_send(r, &tag->expected, 5, scan, err);
}

static int
take_time(struct tag *tag, const struct redis_reply *reply, struct err *err)
{
	uint64_t seconds, us;

	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    !number_u64(reply->element[0]->text, &seconds) ||
	    !number_u64(reply->element[1]->text, &us))
		return err_set(err, ERR_RETRY, 0, "TIME answered something else");
	tag->until_us =
	    seconds * 1000000 + us + (uint64_t)tag->expected.template->quarantine_ms * 500;
	return 0;
}

/* The page is answered: its members leave; what follows is asked for when that is answered too. */
static int
finish(struct round *r, struct tag *tag, struct err *err)
{
	struct str *argv;
	char until[24];
	int argc;

	if (strcmp(tag->cursor, "0") == 0)
		r->tags = tag->next;
	if (tag->count == 0)
		return 0;
	argv = arena_alloc(&r->arena, (LIBRARY_WORDS + 1 + tag->count) * sizeof(*argv));
	argc = library_call(r->library, STR("sluice_untag"), tag->key, argv);
	snprintf(until, sizeof(until), "%llu", (unsigned long long)tag->until_us);
	argv[argc++] = str_of(until);
	for (size_t i = 0; i < tag->count; i++)
		argv[argc++] = tag->members[i];
	tag->expected.what = EXPECT_LEFT;
	return round_send(r, &tag->expected, argc, argv, err);
}

static int
send_member(struct round *r, struct tag *tag, struct str member, struct err *err)
{
	struct str argv[LIBRARY_WORDS + 5];
	char quarantine[16];
	int argc = library_call(r->library, STR("sluice_invalidate"), member, argv);

	snprintf(quarantine, sizeof(quarantine), "%d", tag->expected.template->quarantine_ms);
	for (int i = 0; i < 4; i++) /* version, kind, marker, marker_absent */
		argv[argc++] = STR("");
	argv[argc++] = str_of(quarantine);
	tag->expected.what = EXPECT_MEMBER;
	tag->expected.member = member;
	return round_send(r, &tag->expected, argc, argv, err);
}

static int
take_members(struct round *r, struct tag *tag, const struct redis_reply *reply, struct err *err)
{
	const struct redis_reply *list;

	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    reply->element[1]->type != REDIS_ARRAY)
		return err_set(err, ERR_RETRY, 0, "SSCAN answered something else");
	snprintf(tag->cursor, sizeof(tag->cursor), "%s", reply->element[0]->text.data);
	list = reply->element[1];
	tag->members = arena_alloc(&r->arena, (list->count + 1) * sizeof(*tag->members));
	tag->count = tag->unanswered = 0;
	for (size_t i = 0; i < list->count; i++) {
		struct str member = list->element[i]->text;

		if (str_equal(member, tag->key) || !round_may_touch(r, tag->expected.table, member))
			continue; /* the set itself stays, whatever it holds */
		tag->members[tag->count++] = member;
		tag->unanswered++;
		if (send_member(r, tag, member, err) != 0)
			return -1;
	}
	return tag->unanswered == 0 ? finish(r, tag, err) : 0;
}

/* It leaves once this is answered: else who tries again would not find it. */
static int
tell_member(struct round *r, const struct expected *e, struct err *err)
{
	struct announcement a = { .table = e->table->name, .key = e->member, .reason = "tag" };
	struct expected told = { .what = EXPECT_MEMBER_TOLD, .table = e->table };

	return round_announce(r, &a, &told, err);
}

int
tag_answer(struct round *r, const struct expected *e, const struct redis_reply *reply,
    bool wrong_type, struct err *err)
{
	struct str unlink[] = { STR("UNLINK"), e->member };
	struct tag *tag = r->tags;

	if (wrong_type && e->what == EXPECT_MEMBER) /* no entry of ours: a plain key */
		return round_send(r, e, 2, unlink, err);
	if (wrong_type) { /* no set */
		round_refused(r, e);
		r->tags = e->what == EXPECT_MEMBERS ? tag->next : r->tags;
		return 0;
	}
	switch (e->what) {
	case EXPECT_TIME:
		return take_time(tag, reply, err);
	case EXPECT_MEMBERS:
		return take_members(r, tag, reply, err);
	case EXPECT_MEMBER:
		if (announce_is_on(r->config))
			return tell_member(r, e, err);
		return --tag->unanswered == 0 ? finish(r, tag, err) : 0;
	case EXPECT_MEMBER_TOLD:
		return --tag->unanswered == 0 ? finish(r, tag, err) : 0;
	case EXPECT_LEFT:
	case EXPECT_UNLINK:
	case EXPECT_ANNOUNCED:
	case EXPECT_REFUSED:
	case EXPECT_CLOCK:
	case EXPECT_POPULATE:
	case EXPECT_CALL:
		break;
	}
	return 0;
}
