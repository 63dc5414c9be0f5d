#ifndef WORKER_STORE_LETTER_ENTRY_H
#define WORKER_STORE_LETTER_ENTRY_H

#include "worker/change.h"
#include "worker/store/letter_find.h"

/*
 * A dead letter of a lane that doesn't write, as it is kept in a stream (letter_stream.h) or in a topic
 * (letter_topic.h): the fields lane, entry, table, operation, reason, message, created_at (ms), and the
 * payload as in sluice_dead_letter.
 */
struct letter_entry {
	struct letter_row row; /* id 0, state dead */
	struct position id;    /* in the stream */
	int partition;	       /* in the topic */
	int64_t offset;
	struct str key;
	struct str payload;
};

enum { LETTER_FIELDS = 7, LETTERS_READ = 20 /* at once: each may be as large as an entry */ };
struct letter_field {
	const char *name;
	struct str value;
};
/* All of them but the payload; numbers in arena. */
void letter_entry_fields(const struct entry *e, struct arena *arena,
    struct letter_field fields[LETTER_FIELDS]);

/* Fill the row of a letter written at about that time from its fields, and say whether it is one and
 * fits the filter. */
typedef struct str letter_value(const void *letter, const char *name);
bool letter_entry_read(struct letter_entry *letter, letter_value *value, const void *from,
    int64_t about_ms, const struct letter_filter *filter);

/* Is it a letter, and not one that was done before? */
static inline bool
letter_entry_is(const struct entry *e)
{
	return e->refusal.reason != NULL && !e->done_before;
}

#endif
