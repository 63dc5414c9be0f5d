#ifndef WORKER_FOLD_H
#define WORKER_FOLD_H

struct batch;
struct change;
struct entry;

enum fold {
	FOLD_STEP,   /* a step of its own, or only a touched key */
	FOLD_MERGED, /* merged into an earlier change */
	FOLD_OLDER   /* dropped behind a newer version; tried again when that one is refused */
};

/*
 * Put one resolved change into the batch: into the last step of its bucket where the law allows it
 * (see worker/batch.h), else as a step of its own.  CHANGE_INVALIDATE only adds the touched key.
 */
enum fold fold_change(struct batch *b, struct change *change);

/* Of an entry that is refused: a change of a whole table invalidates the keys that stand for it all the
 * same. */
void fold_refused(struct batch *b, struct entry *e);

#endif
