#include "worker/cache/library.h"

#include "common/number.h"

#include <string.h>

/* The file as it was when this was compiled; the Makefile knows. */
extern const char functions_lua[];
extern const uint64_t functions_lua_bytes;
__asm__(".section .rodata\n"
	".global functions_lua, functions_lua_bytes\n"
	"functions_lua:\n"
	".incbin \"worker/cache/functions.lua\"\n"
	"functions_lua_end:\n"
	".byte 0\n"
	".balign 8\n"
	"functions_lua_bytes:\n"
	".quad functions_lua_end - functions_lua\n"
	".previous\n");

struct str
library_source(void)
{
	return (struct str){ functions_lua, (size_t)functions_lua_bytes };
}

/* The same without its first line. */
static struct str
script_source(void)
{
	struct str source = library_source();
	const char *line = memchr(source.data, '\n', source.len);

	CHECK(line != NULL);
	return (struct str){ line + 1, source.len - (size_t)(line + 1 - source.data) };
}

struct str
library_version(void)
{
	static const char before[] = "local MINOR = '";
	const char *from = strstr(functions_lua, before);

	CHECK(from != NULL);
	from += sizeof(before) - 1;
	return (struct str){ from, strcspn(from, "'") };
}

enum { ABSENT = -2 };

/* The number behind the dot; -1: it can't be read; ABSENT: of a library of another major version, whose
 * functions have the same names. */
static long
minor_of(struct str version)
{
	struct str ours = library_version();
	const char *dot = memchr(version.data, '.', version.len);
	long minor = 0;

	if (dot == NULL)
		return -1;
	if (!str_equal((struct str){ version.data, (size_t)(dot - version.data) },
		(struct str){ ours.data, strcspn(ours.data, ".") }))
		return ABSENT;
	if (dot + 1 == version.data + version.len)
		return -1;
	for (const char *c = dot + 1; c < version.data + version.len; c++) {
		if (*c < '0' || *c > '9' || minor > 1000000)
			return -1;
		minor = 10 * minor + (*c - '0');
	}
	return minor;
}

/* The minor version of the server's library; ABSENT: there is none that we may call. */
static long
minor_there(struct redis *redis, struct arena *a)
{
	struct redis_reply *reply = redis_call(redis, a, NULL, "FCALL sluice_version 0");

	return reply != NULL && reply->type == REDIS_STRING ? minor_of(reply->text) : ABSENT;
}

static int
load_script(struct redis *redis, struct library *library, struct arena *a, struct err *err)
{
	struct str script = script_source();
	struct redis_reply *reply = redis_call(redis, a, err, "SCRIPT LOAD %b", &script);

	if (reply == NULL)
		return -1;
	if (reply->type != REDIS_STRING || reply->text.len != sizeof(library->sha) - 1)
		return err_set(err, ERR_FATAL, 0, "SCRIPT LOAD answered no SHA");
	memcpy(library->sha, reply->text.data, sizeof(library->sha));
	library->form = LIBRARY_SCRIPT;
	return 0;
}

int
library_load(struct redis *redis, struct library *library, struct arena *a, struct err *err)
{
	struct str source = library_source();
	long ours = minor_of(library_version()), theirs = minor_there(redis, a);
	struct err why = { 0 };

	library->form = LIBRARY_FUNCTIONS;
	if (theirs >= ours)
		return 0;
	/* without REPLACE a newer one that somebody loads just now stays */
	redis_call(redis, a, &why,
	    theirs != ABSENT ? "FUNCTION LOAD REPLACE %b" : "FUNCTION LOAD %b", &source);
	if (redis_is_open(redis) && minor_there(redis, a) >= ours)
		return 0;
	if (why.class == ERR_RETRY || !redis_is_open(redis)) {
		*err = why;
		return -1;
	}
	return load_script(redis, library, a, err);
}

bool
library_is_lost(struct str error)
{
	static const struct str lost[] = { { "NOSCRIPT", 8 }, { "ERR Function not found", 22 } };

	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
		if (error.len >= lost[i].len && memcmp(error.data, lost[i].data, lost[i].len) == 0)
			return true;
	return false;
}

int
library_call(const struct library *library, struct str name, struct str key, struct str *argv)
{
	bool script = library->form == LIBRARY_SCRIPT;
	int argc = 0;

	argv[argc++] = script ? STR("EVALSHA") : STR("FCALL");
	argv[argc++] = script ? str_of(library->sha) : name;
	argv[argc++] = STR("1");
	argv[argc++] = key;
	if (script)
		argv[argc++] = name;
	return argc;
}
