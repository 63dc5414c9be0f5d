#include "worker/change.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_SHOWN_MAX 64
#define SENTENCE_MAX 512

const char *
change_op_name(enum change_op op)
{
	switch (op) {
	case CHANGE_UPSERT:
		return "upsert";
	case CHANGE_UPDATE:
		return "update";
	case CHANGE_DELETE:
		return "delete";
	case CHANGE_INCR:
		return "incr";
	case CHANGE_INVALIDATE:
		return "invalidate";
	}
	CHECK(false);
	return NULL;
}

int
entry_refuse(struct entry *entry, struct arena *arena, const char *reason, const char *format, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;
	int len;

	if (entry->refusal.reason != NULL)
		return -1;
	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	CHECK(len >= 0);
	entry->refusal.reason = reason;
	entry->refusal.code = 0;
	entry->refusal.text = arena_copy(arena, text, strlen(text));
	return -1;
}

bool
entry_is_parked(const struct entry *entry)
{
	return entry->refusal.reason != NULL && strcmp(entry->refusal.reason, REASON_PARKED) == 0;
}

const char *
name_shown(struct arena *arena, struct str name)
{
	static const char digits[] = "0123456789abcdef";
	size_t shown = name.len < NAME_SHOWN_MAX ? name.len : NAME_SHOWN_MAX;
	char *out = arena_alloc(arena, shown * 4 + sizeof("..."));
	char *at = out;

	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)name.data[i];

		if (c >= 0x20 && c < 0x7f) {
			*at++ = (char)c;
			continue;
		}
		*at++ = '\\';
		*at++ = 'x';
		*at++ = digits[c >> 4];
		*at++ = digits[c & 15];
	}
	if (shown < name.len) {
		memcpy(at, "...", 3);
		at += 3;
	}
	*at = '\0';
	return out;
}

const char *
entry_id_text(const struct entry *entry, char out[POSITION_TEXT])
{
	bool other = entry->place.major != 0 || entry->place.minor != 0;

	return position_text(other ? entry->place : entry->id, out);
}
