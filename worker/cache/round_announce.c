#include "worker/cache/round.h"

int
round_announce(struct round *r, const struct announcement *a, const struct expected *expected,
    struct err *err)
{
	struct str argv[ANNOUNCE_WORDS];

	if (!announce_is_on(r->config))
		return 0;
	if (r->cache->counters != NULL)
		COUNT(r->cache->counters->announced, 1);
	return round_send(r, expected, announce_command(r->config, a, &r->message, argv), argv,
	    err);
}

int
round_announce_all(struct round *r, const struct expected *e, struct err *err)
{
	static const struct expected expected = { .what = EXPECT_ANNOUNCED };

	for (const struct announced *i = e->announced; i != NULL; i = i->next)
		if (round_announce(r, &i->a, &expected, err) != 0)
			return -1;
	return 0;
}

int
round_announce_versioned(struct round *r, const struct expected *e, struct str answer,
    struct err *err)
{
	bool same = str_equal(answer, STR("SAME"));

	if (str_equal(answer, STR("OLD")) ||
	    (same && e->announced != NULL && !e->announced->repeat))
		return 0;
	return round_announce_all(r, e, err);
}
