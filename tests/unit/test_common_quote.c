#include "common/mysql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEN_MAX = 70 };

/* The rule, byte by byte. */
static size_t
quote_plainly(const char *data, size_t len, char *out)
{
	static const char odd[] = "\0\n\r\x1a'\\", letters[] = "0nrZ'\\";
	size_t n = 0;

	out[n++] = '\'';
	for (size_t i = 0; i < len; i++) {
		const char *at = memchr(odd, data[i], sizeof(odd) - 1);

		if (at != NULL)
			out[n++] = '\\';
		out[n++] = at != NULL ? letters[at - odd] : data[i];
	}
	out[n++] = '\'';
	return n;
}

/* From memory of just that length: what reads beyond it is found by the sanitizer. */
static void
expect_quoted(struct buf *b, const char *data, size_t len)
{
	char want[2 * LEN_MAX + 2], *own = malloc(len > 0 ? len : 1);
	size_t want_len = quote_plainly(data, len, want);

	assert_non_null(own);
	memcpy(own, data, len);
	buf_reset(b);
	sql_add_text(b, (struct str){ own, len });
	assert_int_equal(b->len, want_len);
	assert_memory_equal(b->data, want, want_len);
	free(own);
}

static void
every_byte_is_quoted_at_every_place(void **state)
{
	char data[LEN_MAX];
	struct buf b;

	(void)state;
	buf_init(&b);
	for (size_t len = 0; len <= LEN_MAX; len += len < 40 ? 1 : 15) {
		for (size_t place = 0; place < len; place++) {
			for (int byte = 0; byte < 256; byte++) {
				memset(data, 'x', sizeof(data));
				data[place] = (char)byte;
				expect_quoted(&b, data, len);
			}
		}
	}
	expect_quoted(&b, "", 0);
	buf_deinit(&b);
}

static void
a_value_of_nothing_but_quotes_is_twice_as_long(void **state)
{
	char data[LEN_MAX];
	struct buf b;

	(void)state;
	buf_init(&b);
	memset(data, '\'', sizeof(data));
	expect_quoted(&b, data, sizeof(data));
	assert_int_equal(b.len, 2 * LEN_MAX + 2);
	buf_deinit(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_quoted_at_every_place),
		cmocka_unit_test(a_value_of_nothing_but_quotes_is_twice_as_long),
	};

	return cmocka_run_group_tests_name("common quote", tests, NULL, NULL);
}
