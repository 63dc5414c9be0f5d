#ifndef TESTS_SUPPORT_BATCH_RIG_H
#define TESTS_SUPPORT_BATCH_RIG_H

#include "worker/batch.h"

#include <stddef.h>

/*
 * A batch of tables, lanes and entries made by hand, for the tests of fold and batch.
 *
 *	things		id, a, b, n = 0, d = 5, u TINYINT UNSIGNED, g guarded, f DOUBLE; nothing required
 *	strict		id, name (required), a
 *	versioned	id, a, b, ver (given)
 *	words		id VARCHAR in a case-insensitive collation, a
 *	logged		id, a; lane order
 *	gone		id; can't be written
 */
enum { RIG_TABLES = 6, RIG_LANES = 3 };

struct rig {
	struct config_table config[RIG_TABLES];
	struct table tables[RIG_TABLES];
	struct config_source source;
	struct lane lanes[RIG_LANES]; /* open, at 0-0 */
	struct schema *schema;
	struct batch batch;
	struct delivery *joined; /* arenas of what rig_join moved */
	uint64_t newest;	 /* id of the last entry, of any lane */
};

void rig_start(struct rig *rig);
void rig_end(struct rig *rig);

/* A delivery of one entry, "id=1 _op=incr n=2" (of things, without _table), with the next id; the
 * caller's until batch_take. */
struct delivery *rig_delivery(struct rig *rig, unsigned lane, const char *fields);
/* Put it into the batch without a limit.  Returns the entry. */
struct entry *rig_add(struct rig *rig, unsigned lane, const char *fields);
/* Put it, or all that d holds, behind the others of a delivery. */
void rig_join(struct rig *rig, struct delivery *d, struct delivery **more);

/* The i-th step, bucket after bucket; NULL behind the last. */
struct step *rig_step(const struct rig *rig, unsigned i);
/* The text of the column's value in the step, "NULL", or "-" when the step doesn't have it. */
const char *rig_value(const struct step *step, const char *column);

#endif
