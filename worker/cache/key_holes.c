#include "worker/cache/key_holes.h"

#include "config/braces.h"
#include "worker/cache/glob.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

int
key_holes_find(const struct key_holes *h, const char *column)
{
	for (size_t i = 0; i < h->count; i++)
		if (strcasecmp(h->names[i], column) == 0)
			return (int)i;
	return -1;
}

int
key_holes_compile(struct key_holes *h, const struct config_template *config, struct err *err)
{
	struct str rest = str_of(config->written);
	const char *names[KEY_HOLES_MAX];
	struct brace brace;

	memset(h, 0, sizeof(*h));
	while ((brace = brace_next(&rest)).kind == BRACE_TEXT || brace.kind == BRACE_HOLE) {
		char *name = h->names[h->count < KEY_HOLES_MAX ? h->count : 0];

		if (brace.kind == BRACE_TEXT)
			continue;
		if (h->count == KEY_HOLES_MAX || brace.text.len >= sizeof(h->names[0]))
			return err_set(err, ERR_FATAL, 0, "%.100s has too many or too long names",
			    config->written);
		snprintf(name, sizeof(h->names[0]), "%.*s", STR_ARGS(brace.text));
		if (key_holes_find(h, name) < 0)
			h->count++;
	}
	for (size_t i = 0; i < h->count; i++)
		names[i] = h->names[i];
	return key_template_compile(&h->template, config, names, h->count, err);
}

void
key_holes_deinit(struct key_holes *h)
{
	key_template_deinit(&h->template);
}

/* Any value may stand in a hole. */
static bool
pattern_finds(const struct key_holes *h, struct str key)
{
	const struct key_template *t = &h->template;
	struct buf pattern = { 0 };
	bool found;

	for (size_t i = 0; i < t->part_count; i++) {
		glob_escape(&pattern, t->parts[i].text, true);
		if (t->parts[i].column >= 0)
			buf_add_char(&pattern, '*');
	}
	found = glob_matches((struct str){ pattern.data, pattern.len }, key);
	buf_deinit(&pattern);
	return found;
}

bool
key_holes_match(const struct key_holes *h, struct str key, struct arena *arena,
    struct str values[KEY_HOLES_MAX])
{
	if (h->template.config->mode == MODE_SCAN)
		return pattern_finds(h, key);
	return key_template_match(&h->template, key, arena, values);
}
