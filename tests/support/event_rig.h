#ifndef TESTS_SUPPORT_EVENT_RIG_H
#define TESTS_SUPPORT_EVENT_RIG_H

#include "worker/source/event_row.h"
#include "worker/source/schema_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* One message and what a decoder made of it, for tests. */
struct event_rig {
	struct arena arena;
	struct entry entry;
	struct message message;
	struct events events;
	struct schema_memory schemas; /* of all messages of a test */
};
extern struct event_rig event_rig;

int event_rig_open(void **state);
int event_rig_close(void **state);
/* Forget the last message. */
void event_rig_start(void);
/* Decode the message; format as "debezium", "maxwell", "canal", "dms", with anything behind or
 * before it. */
int event_rig_decode(const char *format);

/* A message of this value and key (NULL: none), decoded. */
int event_rig_take(const char *format, const char *value, const char *key);
/* The first event. */
const struct event *event_rig_event(void);

void assert_text(struct str found, const char *expected);
/* The image has this field, of this kind. */
void assert_field(const struct image *image, const char *name, enum value_kind kind,
    const char *text);

#endif
