#include "worker/operate/text_table.h"

#include "common/err.h"

#include <string.h>

static size_t
width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80; /* not a continuation byte */
	return width;
}

void
text_table_init(struct text_table *t, const char *const *heads)
{
	memset(t, 0, sizeof(*t));
	buf_init(&t->cells);
	t->heads = heads;
	for (; heads[t->columns] != NULL; t->columns++) {
		CHECK(t->columns < TEXT_TABLE_COLUMNS_MAX);
		t->width[t->columns] = width_of(heads[t->columns]);
	}
}

void
text_table_deinit(struct text_table *t)
{
	buf_deinit(&t->cells);
}

void
text_table_add(struct text_table *t, const char *const *cells)
{
	for (size_t i = 0; i < t->columns; i++) {
		const char *text = cells[i] != NULL ? cells[i] : "";
		size_t width = width_of(text);
		if (width > t->width[i])
			t->width[i] = width;
		t->filled[i] |= width > 0;
		t->words[i] |= text[strspn(text, "0123456789.")] != '\0';
		for (; *text != '\0'; text++) {
			unsigned char c = (unsigned char)*text;
			buf_add_char(&t->cells, c < 0x20 || c == 0x7f ? '?' : (char)c);
		}
		buf_add_char(&t->cells, '\0');
	}
	t->rows++;
}

static void
print_cell(const struct text_table *t, size_t column, const char *text, bool last, struct buf *out)
{
	size_t blanks = t->width[column] - width_of(text);

	if (!t->words[column])
		for (size_t i = 0; i < blanks; i++)
			buf_add_char(out, ' ');
	buf_add_str(out, text);
	if (t->words[column] && !last)
		for (size_t i = 0; i < blanks; i++)
			buf_add_char(out, ' ');
	if (!last) {
		buf_add_str(out, "  ");
		return;
	}
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->len--; /* a row whose last cells are empty */
	buf_add_char(out, '\n');
}

void
text_table_print(const struct text_table *t, struct buf *out)
{
	const char *cell = t->cells.data;
	size_t last = 0;

	if (t->rows == 0)
		return;
	for (size_t i = 0; i < t->columns; i++)
		if (t->filled[i])
			last = i;
	for (size_t i = 0; i < t->columns; i++)
		if (t->filled[i])
			print_cell(t, i, t->heads[i], i == last, out);
	for (size_t row = 0; row < t->rows; row++)
		for (size_t i = 0; i < t->columns; i++, cell += strlen(cell) + 1)
			if (t->filled[i])
				print_cell(t, i, cell, i == last, out);
}
