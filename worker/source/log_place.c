#include "worker/source/log_place.h"

/* The part behind the last `mark`; false: there is none, or it is no number. */
static bool
split(struct str text, char mark, struct str *before, uint64_t *number)
{
	size_t at = text.len;

	while (at > 0 && text.data[at - 1] != mark)
		at--;
	if (at < 2)
		return false;
	*before = (struct str){ text.data, at - 1 };
	return number_u64((struct str){ text.data + at, text.len - at }, number);
}

/* uuid:57, uuid:tag:57 of MySQL, 0-1-57 of MariaDB; not a set of them. */
static bool
of_gtid(struct str gtid, struct str *log, uint64_t *number)
{
	if (memchr(gtid.data, ',', gtid.len) != NULL)
		return false;
	if (memchr(gtid.data, ':', gtid.len) != NULL)
		return split(gtid, ':', log, number);
	return split(gtid, '-', log, number);
}

/* binlog.000003 and what stands there; larger positions than this are not told right by anyone. */
static bool
of_file(const struct origin *origin, struct str *log, uint64_t *number)
{
	uint64_t file;

	if (origin->pos == 0 || origin->pos > UINT32_MAX || !split(origin->file, '.', log, &file) ||
	    file > UINT32_MAX)
		return false;
	*number = file << 32 | origin->pos;
	return true;
}

/* What the library takes; times in other units are beyond it. */
#define AT_MS_MAX UINT64_C(999999999999999)

void
log_place_of(const struct event *event, struct arena *arena, struct log_place *place)
{
	const struct origin *origin = &event->origin;
	struct str log;

	*place = (struct log_place){ .log = { "", 0 } };
	if (event->kind != EVENT_ROW || event->snapshot || event->op == EVENT_READ ||
	    origin->server_id == 0 || origin->at_ms == 0 || origin->at_ms > AT_MS_MAX)
		return;
	if (!(origin->gtid.len > 0 ? of_gtid(origin->gtid, &log, &place->number) :
				     of_file(origin, &log, &place->number)))
		return;
	place->at_ms = origin->at_ms;
	place->log = str_of(arena_printf(arena, "%llu/%.*s", (unsigned long long)origin->server_id,
	    STR_ARGS(log)));
}
