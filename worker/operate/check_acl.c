#include "worker/operate/check_acl.h"

#include "common/buf.h"
#include "worker/store/letter_orders.h"

#include <stdio.h>
#include <string.h>

enum { KEYS_LISTED_MAX = 5 };

/* %b is the stream, or for the identity's commands its key. */
struct acl_command {
	const char *rule, *format;
	bool of_identity;
	const char *without; /* it runs without this right, but: */
};

static const struct acl_command commands[] = {
	{ "xread", "XREAD COUNT 1 STREAMS %b $", false, NULL },
	{ "xinfo", "XINFO STREAM %b", false, "gaps and lag are not seen, streams not trimmed" },
	{ "xinfo", "XINFO GROUPS %b", false, "gaps and lag are not seen, streams not trimmed" },
	{ "xtrim", "XTRIM %b MINID 0", false, "streams grow" },
	{ "xgroup", "XGROUP CREATE %b sluice-check no-id", false, "nobody sees the group's lag" },
	{ "xgroup", "XGROUP SETID %b sluice-check no-id", false, "nobody sees the group's lag" },
	{ "xrange", "XRANGE %b + - COUNT 1", false,
	    "forks are not seen, the age of the oldest change is not exact" },
	{ "xpending", "XPENDING %b sluice-check", false,
	    "streams with other groups are not trimmed" },
	{ "xsetid", "XSETID %b no-id", false, "a lane whose stream was deleted halts" },
	{ "xlen", "XLEN %b", false, "the backlog is not told while MySQL is away" },
	{ "memory|usage", "MEMORY USAGE %b SAMPLES 1", false, "memory of streams is not told" },
	{ "get", "GET %b", true, "another Redis in this place is not noticed" },
	{ "set", "SET %b x NX XX", true, "another Redis in this place is not noticed" },
};

/* The same of a stream that a consumer group reads. */
static const struct acl_command group_commands[] = {
	{ "xreadgroup", "XREADGROUP GROUP sluice-check sluice-check COUNT 1 STREAMS %b no-id",
	    false, NULL },
	{ "xack", "XACK %b sluice-check no-id", false, NULL },
	{ "xgroup", "XGROUP CREATE %b sluice-check no-id", false, NULL },
	{ "xpending", "XPENDING %b sluice-check", false, NULL },
	{ "xrange", "XRANGE %b + - COUNT 1", false, NULL },
	{ "xautoclaim", "XAUTOCLAIM %b sluice-check sluice-check 0 no-id", false,
	    "what a dead process had read stays with it" },
	{ "eval", "EVAL no-script 1 %b", false, "names of dead processes stay in the group" },
	{ "xinfo", "XINFO STREAM %b", false, "gaps and lag are not seen, streams not trimmed" },
	{ "xlen", "XLEN %b", false, "the backlog is not told while MySQL is away" },
	{ "memory|usage", "MEMORY USAGE %b SAMPLES 1", false, "memory of streams is not told" },
};
static const struct acl_command dead_commands[] = {
	{ "xadd", "XADD %b NOMKSTREAM no-id a b", false, NULL },
	{ "xlen", "XLEN %b", false, "the number of dead letters is not told" },
};
static const struct acl_command orders_command = { "hmget", "HMGET %b a", false,
	"orders of `sluice lane` are not obeyed" };
enum {
	COMMANDS = sizeof(commands) / sizeof(*commands),
	COMMAND_UNLINK = COMMANDS,
	GROUP_COMMANDS = sizeof(group_commands) / sizeof(*group_commands),
	DEAD_COMMANDS = sizeof(dead_commands) / sizeof(*dead_commands),
	FIRST_GROUP_COMMAND = COMMANDS + 1,
	FIRST_DEAD_COMMAND = FIRST_GROUP_COMMAND + GROUP_COMMANDS
};

static bool
is_denied(const struct err *err)
{
	return strstr(err->text, "NOPERM") != NULL;
}

static bool
is_about_keys(const struct err *err)
{
	return strstr(err->text, "keys") != NULL;
}

static void
report(struct acl_check *a, const char *rule, const char *without)
{
	const char *user = a->server->user != NULL ? a->server->user : "default";

	if (without == NULL)
		check_problem(a->check, 0, 0, "%s: a right is missing: ACL SETUSER %s %s", a->name,
		    user, rule);
	else
		check_hint(a->check, 0, 0,
		    "%s: a right is missing: ACL SETUSER %s %s (without: %s)", a->name, user, rule,
		    without);
}

static void
report_key(struct acl_check *a, const char *pattern, const char *without)
{
	struct buf rule = { 0 };

	buf_printf(&rule, "~%s", pattern);
	if (a->keys_reported++ < KEYS_LISTED_MAX)
		report(a, rule.data, without);
	buf_deinit(&rule);
}

static void
report_command(struct acl_check *a, size_t index, const char *name, const char *without)
{
	char rule[40];

	snprintf(rule, sizeof(rule), "+%s", name);
	if ((a->commands_reported & 1ul << index) == 0)
		report(a, rule, without);
	/* subcommands have one rule */
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].rule, name) == 0)
			a->commands_reported |= 1ul << i;
	a->commands_reported |= 1ul << index;
}

/* False when the key itself is denied: other commands would say the same. */
static bool
try(struct acl_check *a, size_t index, const struct acl_command *command, struct str key,
    const char *pattern)
{
	struct err err = { 0 };

	if (!redis_is_open(a->redis) ||
	    redis_call(a->redis, a->arena, &err, command->format, &key) != NULL || !is_denied(&err))
		return true;
	if (is_about_keys(&err)) {
		report_key(a, pattern, command->without);
		return false;
	}
	report_command(a, index, command->rule, command->without);
	return true;
}

void
acl_check_stream(struct acl_check *a, const char *pool, const char *stream)
{
	struct buf identity = { 0 }, pattern = { 0 };
	bool allowed = true;

	buf_printf(&identity, "sluice:%s:id:%s", pool, stream);
	buf_printf(&pattern, "sluice:%s:id:*", pool);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct acl_command *c = &commands[i];
		if (!c->of_identity && allowed)
			allowed = try(a, i, c, str_of(stream), stream);
		else if (c->of_identity && !a->identity_denied)
			a->identity_denied = !try(a, i, c,
			    (struct str){ identity.data, identity.len }, pattern.data);
	}
	buf_deinit(&identity);
	buf_deinit(&pattern);
}

void
acl_check_group(struct acl_check *a, const char *stream)
{
	bool allowed = true;

	for (size_t i = 0; i < GROUP_COMMANDS && allowed; i++)
		allowed =
		    try(a, FIRST_GROUP_COMMAND + i, &group_commands[i], str_of(stream), stream);
}

void
acl_check_dead_stream(struct acl_check *a, const char *stream)
{
	bool allowed = true;

	for (size_t i = 0; i < DEAD_COMMANDS && allowed; i++)
		allowed = try(a, FIRST_DEAD_COMMAND + i, &dead_commands[i], str_of(stream), stream);
}

void
acl_check_orders(struct acl_check *a, const char *pool)
{
	struct buf orders = { 0 };

	letter_orders_key(pool, &orders);
	(void)try(a, FIRST_DEAD_COMMAND + DEAD_COMMANDS, &orders_command,
	    (struct str){ orders.data, orders.len }, orders.data);
	buf_deinit(&orders);
}

/* {column} is a * in the rule. */
static void
add_pattern(const char *template, struct buf *out)
{
	for (; *template != '\0'; template ++) {
		if ((*template == '{' || *template == '}') && template[1] == *template) {
			buf_add_char(out, *template ++);
		} else if (*template == '{') {
			buf_add_char(out, '*');
			template += strcspn(template, "}");
			if (*template == '\0')
				break;
		} else {
			buf_add_char(out, *template);
		}
	}
	buf_add_str(out, "");
}

void
acl_check_unlink(struct acl_check *a, struct str key, const char *template)
{
	static const struct acl_command unlink_command = { "unlink", "UNLINK %b", false, NULL };
	struct buf pattern = { 0 };

	add_pattern(template, &pattern);
	(void)try(a, COMMAND_UNLINK, &unlink_command, key, pattern.data);
	buf_deinit(&pattern);
}
