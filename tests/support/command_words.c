#include "tests/support/command_words.h"

#include "common/buf.h"
#include "common/err.h"

#include <string.h>

int
command_words(struct arena *a, struct str *words, int max, const char *format, va_list ap)
{
	struct buf word = { 0 };
	int count = 0;

	while (*format != '\0') {
		if (*format == ' ') {
			format++;
			continue;
		}
		buf_reset(&word);
		while (*format != '\0' && *format != ' ') {
			if (strncmp(format, "%s", 2) == 0) {
				buf_add_str(&word, va_arg(ap, const char *));
				format += 2;
			} else if (strncmp(format, "%b", 2) == 0) {
				const struct str *bytes = va_arg(ap, const struct str *);

				buf_add(&word, bytes->data, bytes->len);
				format += 2;
			} else if (strncmp(format, "%lld", 4) == 0 ||
			    strncmp(format, "%llu", 4) == 0) {
				buf_printf(&word, "%lld", va_arg(ap, long long));
				format += 4;
			} else {
				buf_add_char(&word, *format++);
			}
		}
		CHECK(count < max);
		words[count++] = arena_str(a, word.len > 0 ? word.data : "", word.len);
	}
	buf_deinit(&word);
	return count;
}
