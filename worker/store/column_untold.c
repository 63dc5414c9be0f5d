#include "worker/store/column_untold.h"

#define TELL "; say the column's type under `types` of its table"

static bool
is_whole_number(struct str text)
{
	size_t i = text.len > 1 && text.data[0] == '-' ? 1 : 0;

	/* -0 and 007 have other spellings */
	if (text.len == 0 || (text.data[i] == '0' && text.len > 1))
		return false;
	for (; i < text.len; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return true;
}

static bool
refuse(const char **why, const char *sentence)
{
	*why = sentence;
	return false;
}

static bool
take_text(enum change_origin origin, const struct value *given, const char **why)
{
	if (origin != ORIGIN_CANAL)
		return refuse(why, "has a text that may be base64" TELL);
	return str_is_ascii(given->text) ||
	    refuse(why, "has a text that may be of a binary column" TELL);
}

bool
column_untold_value(const struct value *given, enum change_origin origin, struct value *out,
    const char **why)
{
	*out = *given;
	if (given->kind == VALUE_BOOL)
		*out = (struct value){ str_equal(given->text, STR("true")) ? STR("1") : STR("0"),
			VALUE_NUMBER };
	if (given->kind == VALUE_NULL || given->kind == VALUE_BOOL || origin == ORIGIN_APP ||
	    origin == ORIGIN_TYPED)
		return true;
	switch (given->kind) {
	case VALUE_TEXT:
		return take_text(origin, given, why);
	case VALUE_NUMBER:
		if (origin == ORIGIN_UNTYPED)
			return refuse(why, "has a number that may be a time" TELL);
		return is_whole_number(given->text) ||
		    refuse(why, "has a number whose digits depend on its type" TELL);
	case VALUE_JSON:
		return refuse(why, "has an object or list" TELL);
	case VALUE_BINARY:
	case VALUE_NULL:
	case VALUE_BOOL:
		break;
	}
	return true;
}
