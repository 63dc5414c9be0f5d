#include "worker/checkpoint.h"

#include "common/number.h"
#include "worker/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000

/* ---- hash ---- */

static uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t
hash_text(uint64_t hash, struct str text)
{
	uint64_t len = text.len;

	return hash_bytes(hash_bytes(hash, &len, sizeof(len)), text.data, text.len);
}

uint64_t
checkpoint_hash(const struct entry *entry)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < entry->raw_count; i++) {
		hash = hash_text(hash, entry->raw[i].name);
		hash = hash_text(hash, entry->raw[i].value.text);
	}
	return hash > CHECKPOINT_NO_ENTRY ? hash : CHECKPOINT_NO_ENTRY + 1;
}

/* ---- which to keep ---- */

/*
 * By the ids' own time.  Going back in time, one is kept for each doubling of the age; the one that
 * goes is the first whose neighbours would still be close enough, else the oldest.
 */
static void
thin(struct checkpoints *c)
{
	uint64_t now = c->list[0].id.major;
	unsigned drop = c->count - 1;

	for (unsigned i = 2; i + 1 < c->count; i++) {
		uint64_t younger = now - c->list[i - 1].id.major,
			 older = now - c->list[i + 1].id.major;

		if (older <= 4 * younger + SECOND_MS) {
			drop = i;
			break;
		}
	}
	c->count--;
	memmove(&c->list[drop], &c->list[drop + 1], (c->count - drop) * sizeof(c->list[0]));
}

void
checkpoints_add(struct checkpoints *c, struct position id, uint64_t hash)
{
	unsigned stale = 0;

	while (stale < c->count && position_compare(c->list[stale].id, id) >= 0)
		stale++;
	memmove(c->list, c->list + stale, (c->count - stale) * sizeof(c->list[0]));
	c->count -= stale;
	/* at most one a second, but a second one back is kept to have something to stand on */
	if (hash > CHECKPOINT_NO_ENTRY && c->count > 1 &&
	    c->list[0].id.major < c->list[1].id.major + SECOND_MS) {
		memmove(c->list, c->list + 1, (c->count - 1) * sizeof(c->list[0]));
		c->count--;
	}
	if (c->count == CHECKPOINTS_MAX)
		thin(c);
	memmove(c->list + 1, c->list, c->count * sizeof(c->list[0]));
	c->list[0] = (struct checkpoint){ id, hash };
	c->count++;
	c->changed = true;
}

void
checkpoints_set_history(struct checkpoints *c, const char *history)
{
	if (strcmp(c->history, history) == 0)
		return;
	snprintf(c->history, sizeof(c->history), "%s", history);
	c->changed = true;
}

bool
checkpoints_stand_on_entry(const struct checkpoints *c, struct position position)
{
	if (position_is_none(position))
		return false;
	return c->count == 0 || c->list[0].hash != 0 ||
	    position_compare(c->list[0].id, position) != 0;
}

uint64_t
checkpoints_hash_at(const struct checkpoints *c, struct position position)
{
	if (position_compare(c->last.id, position) == 0)
		return c->last.hash;
	return c->count > 0 && position_compare(c->list[0].id, position) == 0 ? c->list[0].hash : 0;
}

/* ---- as text ---- */

const char *
checkpoints_text(const struct checkpoints *c, char out[CHECKPOINTS_TEXT])
{
	const char *history = c->history[0] != '\0' ? c->history : "-";
	size_t len = (size_t)snprintf(out, CHECKPOINTS_TEXT, "%s", history);
	char id[POSITION_TEXT];

	if (c->last.hash != 0)
		len += (size_t)snprintf(out + len, CHECKPOINTS_TEXT - len, " =%s:%llx",
		    position_text(c->last.id, id), (unsigned long long)c->last.hash);

	for (unsigned i = 0; i < c->count && len < CHECKPOINTS_TEXT; i++)
		len += (size_t)snprintf(out + len, CHECKPOINTS_TEXT - len, " %s:%llx",
		    position_text(c->list[i].id, id), (unsigned long long)c->list[i].hash);
	return out;
}

/* The word up to the next blank; *rest is what is behind it. */
static struct str
next_word(struct str *rest)
{
	const char *blank = rest->len > 0 ? memchr(rest->data, ' ', rest->len) : NULL;
	size_t len = blank != NULL ? (size_t)(blank - rest->data) : rest->len;
	size_t past = blank != NULL ? len + 1 : len;
	struct str word = { rest->data, len };

	rest->data += past;
	rest->len -= past;
	return word;
}

static bool
parse_one(struct str word, struct checkpoint *out)
{
	const char *colon = word.len > 0 ? memchr(word.data, ':', word.len) : NULL;
	char hex[17], *end;
	size_t len;

	if (colon == NULL ||
	    !position_parse((struct str){ word.data, (size_t)(colon - word.data) }, &out->id))
		return false;
	len = word.len - (size_t)(colon + 1 - word.data);
	if (len == 0 || len >= sizeof(hex))
		return false;
	memcpy(hex, colon + 1, len);
	hex[len] = '\0';
	out->hash = strtoull(hex, &end, 16);
	return *end == '\0';
}

void
checkpoints_parse(struct str text, struct checkpoints *out)
{
	struct str rest = text, history;

	memset(out, 0, sizeof(*out));
	if (text.len == 0)
		return;
	history = next_word(&rest);
	if (history.len > HISTORY_MAX)
		return;
	if (!str_equal(history, STR("-")))
		memcpy(out->history, history.data, history.len);
	while (rest.len > 0 && out->count < CHECKPOINTS_MAX) {
		struct str word = next_word(&rest);
		bool is_last = word.len > 0 && word.data[0] == '=';
		struct checkpoint *to = is_last ? &out->last : &out->list[out->count];

		if (is_last)
			word = (struct str){ word.data + 1, word.len - 1 };
		if (!parse_one(word, to))
			break;
		out->count += !is_last;
	}
}
