#include "worker/operate/json.h"

#include <string.h>
#include <time.h>

static void
name_it(struct json *j, const char *name)
{
	if (j->comma)
		buf_add_char(j->out, ',');
	j->comma = true;
	if (name == NULL)
		return;
	buf_add_json(j->out, name, strlen(name));
	buf_add_char(j->out, ':');
}

void
json_open(struct json *j, const char *name, char bracket)
{
	name_it(j, name);
	buf_add_char(j->out, bracket);
	j->comma = false;
}

void
json_close(struct json *j, char bracket)
{
	buf_add_char(j->out, bracket);
	j->comma = true;
}

void
json_text(struct json *j, const char *name, const char *text)
{
	name_it(j, name);
	if (text == NULL)
		buf_add_str(j->out, "null");
	else
		buf_add_json(j->out, text, strlen(text));
}

void
json_number(struct json *j, const char *name, uint64_t number)
{
	name_it(j, name);
	buf_add_u64(j->out, number);
}

void
json_real(struct json *j, const char *name, double number)
{
	name_it(j, name);
	buf_printf(j->out, "%.3f", number);
}

void
json_bool(struct json *j, const char *name, bool value)
{
	name_it(j, name);
	buf_add_str(j->out, value ? "true" : "false");
}

void
json_time(struct json *j, const char *name, int64_t wall_ms)
{
	char text[64];
	struct tm parts;
	time_t seconds = (time_t)(wall_ms / 1000);

	if (wall_ms <= 0 || gmtime_r(&seconds, &parts) == NULL) {
		json_text(j, name, NULL);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	name_it(j, name);
	buf_printf(j->out, "\"%s.%03dZ\"", text, (int)(wall_ms % 1000));
}

void
json_raw(struct json *j, const char *name, const char *json)
{
	name_it(j, name);
	buf_add_str(j->out, json);
}
