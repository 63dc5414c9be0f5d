#include "worker/source/stream_keep.h"

#include <string.h>

enum { NODE_BYTES = 4096 }; /* stream-node-max-bytes, as Redis comes */

static void
drop_oldest(struct stream_keep *kept, unsigned count)
{
	kept->count -= count;
	memmove(kept->mark, kept->mark + count, kept->count * sizeof(kept->mark[0]));
}

static void
add_mark(struct stream_keep *kept, int64_t now_ms, int64_t step_ms, struct position done)
{
	if (kept->count > 0 && position_compare(done, kept->mark[kept->count - 1].done) < 0)
		stream_keep_forget(kept);
	if (kept->count > 0 &&
	    (now_ms - kept->mark[kept->count - 1].at_ms < step_ms ||
		position_compare(kept->mark[kept->count - 1].done, done) == 0))
		return;
	if (kept->count == KEEP_MARKS)
		drop_oldest(kept, 1);
	kept->mark[kept->count].at_ms = now_ms;
	kept->mark[kept->count++].done = done;
}

bool
stream_keep_place(struct stream_keep *kept, uint64_t epoch, int64_t now_ms, int keep_ms,
    struct position done, struct position *place)
{
	unsigned past = 0;

	if (keep_ms == 0) {
		*place = done;
		return true;
	}
	if (kept->epoch != epoch)
		stream_keep_forget(kept);
	kept->epoch = epoch;
	add_mark(kept, now_ms, keep_ms / KEEP_STEPS, done);
	while (past < kept->count && kept->mark[past].at_ms <= now_ms - keep_ms)
		past++;
	if (past == 0)
		return false;
	drop_oldest(kept, past - 1);
	*place = kept->mark[0].done;
	return true;
}

void
stream_keep_forget(struct stream_keep *kept)
{
	kept->count = 0;
}

uint64_t
stream_keep_excess(uint64_t length, uint64_t bytes, uint64_t bytes_max)
{
	double share;

	if (bytes <= bytes_max || length == 0)
		return 0;
	share = ((double)(bytes - bytes_max) + (double)NODE_BYTES) / (double)bytes;
	return share >= 1 ? length : 1 + (uint64_t)((double)length * share);
}

struct stream_trim
stream_keep_trim(const struct stream_held *held, uint64_t bytes_max, struct position bound,
    const struct position *aged)
{
	struct stream_trim trim = { .place = bound };

	if (aged != NULL && position_compare(*aged, bound) < 0)
		trim.place = *aged;
	trim.aged = aged != NULL && position_compare(held->first, trim.place) < 0;
	if (bytes_max == 0 || position_compare(held->first, bound) >= 0 ||
	    (trim.aged && position_compare(trim.place, bound) == 0))
		return trim;
	trim.excess = stream_keep_excess(held->length, held->bytes, bytes_max);
	return trim;
}
