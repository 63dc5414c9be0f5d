#include "worker/cache/verify_judge.h"

#include "common/number.h"

#include <string.h>

/* The row's version that the entry has; false: it has none. */
static bool
entry_version(const struct verify_seen *seen, uint64_t *version)
{
	return strlen(seen->entry) == VERIFY_VERSION_TEXT - 1 &&
	    seen->entry[VERIFY_VERSION_TEXT - 2] == '1' &&
	    number_u64((struct str){ seen->entry, VERIFY_VERSION_TEXT - 2 }, version);
}

/* It was told before, so no change that is on its way explains it. */
static bool
is_surely_older(const struct verify_said *said, const struct verify_seen *seen, uint64_t version)
{
	return said->versioned && version < said->version && said->version <= seen->row_version;
}

/* What changed since need not concern it. */
static bool
may_be_older(const struct verify_seen *seen, uint64_t version)
{
	return seen->partial && version < seen->row_version &&
	    strcmp(seen->entry, seen->marker) >= 0;
}

enum verify_verdict
verify_judge(enum config_mode mode, const struct verify_said *said, const struct verify_seen *seen)
{
	uint64_t version;

	if (seen->other)
		return VERIFY_UNKNOWN;
	if (!seen->value && !seen->none)
		return VERIFY_ABSENT;
	if (seen->pending)
		return VERIFY_UNKNOWN;
	if (seen->none)
		return seen->row_there ? VERIFY_SUSPECT : VERIFY_RIGHT;
	if (!seen->row_there)
		return VERIFY_SUSPECT;
	if (!seen->row_has_version || !entry_version(seen, &version))
		return VERIFY_UNKNOWN;
	if (is_surely_older(said, seen, version))
		return VERIFY_WRONG;
	if (may_be_older(seen, version))
		return VERIFY_UNKNOWN;
	if (version != seen->row_version)
		return VERIFY_SUSPECT;
	return mode == MODE_POPULATE && seen->differs ? VERIFY_SUSPECT : VERIFY_RIGHT;
}

enum verify_verdict
verify_confirm(enum config_mode mode, const struct verify_seen *first,
    const struct verify_seen *second)
{
	const struct verify_said nothing = { .versioned = false };
	enum verify_verdict verdict = verify_judge(mode, &nothing, second);
	uint64_t version, before;

	if (verdict != VERIFY_SUSPECT)
		return verdict;
	if (second->none)
		return first->none && first->row_there ? VERIFY_WRONG : VERIFY_RIGHT;
	if (!second->row_there)
		return first->value && !first->row_there ? VERIFY_WRONG : VERIFY_RIGHT;
	if (!entry_version(second, &version))
		return VERIFY_UNKNOWN;
	if (first->row_there && version < first->row_version)
		return VERIFY_WRONG;
	if (version > second->row_version)
		return entry_version(first, &before) && before > first->row_version &&
			first->row_there ?
		    VERIFY_WRONG :
		    VERIFY_RIGHT;
	/* it moved on meanwhile, or its content differs again */
	return version == second->row_version && first->differs ? VERIFY_WRONG : VERIFY_RIGHT;
}

const char *
verify_what(const struct verify_seen *seen)
{
	uint64_t version;

	if (seen->none)
		return "row";
	if (!seen->row_there)
		return "no_row";
	if (!entry_version(seen, &version) || version == seen->row_version)
		return "content";
	return version < seen->row_version ? "older" : "ahead";
}
