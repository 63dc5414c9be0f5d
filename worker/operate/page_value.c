#include "worker/operate/page_value.h"

const char *
page_text(yyjson_val *object, const char *name)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, name));

	return text != NULL ? text : "";
}

double
page_number(yyjson_val *object, const char *name)
{
	return yyjson_get_num(yyjson_obj_get(object, name));
}
