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
/* What is done with the keys of a mode, by sluice or by its functions with the caller's rights. */
static const struct {
	unsigned modes;
	struct acl_command command;
} key_commands[] = {
#define OF(mode) (1u << (mode))
#define ENTRIES (OF(MODE_VERSIONED) | OF(MODE_POPULATE))
#define NUMBERS (OF(MODE_GENERATION) | OF(MODE_TABLE))
	{ OF(MODE_DELETE) | ENTRIES, { "unlink", "UNLINK %b", false, NULL } },
	{ ENTRIES, { "hmget", "HMGET %b a", false, NULL } },
	{ ENTRIES, { "hset", "HSET %b a b c", false, NULL } },
	{ ENTRIES, { "hdel", "HDEL %b a", false, NULL } },
	{ ENTRIES, { "exists", "EXISTS %b", false, NULL } },
	{ ENTRIES, { "pexpire", "PEXPIRE %b no-time", false, NULL } },
	{ ENTRIES, { "pexpireat", "PEXPIREAT %b no-time", false, NULL } },
	{ OF(MODE_POPULATE), { "pttl", "PTTL %b", false, NULL } },
	{ NUMBERS, { "get", "GET %b", false, NULL } },
	{ NUMBERS, { "set", "SET %b x NX XX", false, NULL } },
	{ OF(MODE_TAG), { "sscan", "SSCAN %b no-cursor", false, NULL } },
	{ OF(MODE_TAG), { "srem", "SREM %b a", false, NULL } },
	{ ENTRIES | NUMBERS | OF(MODE_TAG), { "time", "TIME", false, NULL } },
};
static const struct acl_command announce_command = { "xadd", "XADD %b NOMKSTREAM no-id a b", false,
	NULL };
static const struct acl_command publish_command = { "publish", "PUBLISH %b x", false, NULL };
enum {
	COMMANDS = sizeof(commands) / sizeof(*commands),
	GROUP_COMMANDS = sizeof(group_commands) / sizeof(*group_commands),
	DEAD_COMMANDS = sizeof(dead_commands) / sizeof(*dead_commands),
	FIRST_GROUP_COMMAND = COMMANDS,
	FIRST_DEAD_COMMAND = FIRST_GROUP_COMMAND + GROUP_COMMANDS,
	COMMAND_ORDERS = FIRST_DEAD_COMMAND + DEAD_COMMANDS,
	FIRST_KEY_COMMAND,
	COMMAND_ANNOUNCE = FIRST_KEY_COMMAND + sizeof(key_commands) / sizeof(*key_commands),
	COMMAND_PUBLISH
};
_Static_assert(COMMAND_PUBLISH < 8 * sizeof(((struct acl_check *)NULL)->commands_reported),
    "a bit for each command");

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
	for (size_t i = 0; i < COMMAND_ANNOUNCE - FIRST_KEY_COMMAND; i++)
		if (strcmp(key_commands[i].command.rule, name) == 0)
			a->commands_reported |= 1ul << (FIRST_KEY_COMMAND + i);
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

	buf_printf(&identity, IDENTITY_KEY, pool, stream);
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
	(void)try(a, COMMAND_ORDERS, &orders_command, (struct str){ orders.data, orders.len },
	    orders.data);
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
acl_check_key(struct acl_check *a, struct str key, const struct config_template *template)
{
	struct buf pattern = { 0 };
	bool allowed = true;

	add_pattern(template->written, &pattern);
	for (size_t i = 0; i < COMMAND_ANNOUNCE - FIRST_KEY_COMMAND && allowed; i++)
		if ((key_commands[i].modes & OF(template->mode)) != 0)
			allowed = try(a, FIRST_KEY_COMMAND + i, &key_commands[i].command, key,
			    pattern.data);
	buf_deinit(&pattern);
}

/* Inside MULTI the server looks at the rights and does nothing. */
static void
try_publish(struct acl_check *a, const char *channel)
{
	struct str name = str_of(channel);
	struct err err = { 0 };
	char rule[280];

	if (!redis_is_open(a->redis))
		return;
	if (redis_call(a->redis, a->arena, &err, "MULTI") == NULL) {
		check_hint(a->check, 0, 0,
		    "%s: whether the user may publish to %s isn't known: MULTI: %s (ACL rules "
		    "+multi +discard)",
		    a->name, channel, err.text);
		return;
	}
	if (redis_call(a->redis, a->arena, &err, publish_command.format, &name) == NULL &&
	    is_denied(&err)) {
		snprintf(rule, sizeof(rule), "&%s", channel);
		if (strstr(err.text, "channel") != NULL)
			report(a, rule, NULL);
		else
			report_command(a, COMMAND_PUBLISH, publish_command.rule, NULL);
	}
	if (redis_is_open(a->redis))
		redis_call(a->redis, a->arena, NULL, "DISCARD");
}

void
acl_check_announce(struct acl_check *a, const struct config *config)
{
	if (config->announce_channel != NULL)
		try_publish(a, config->announce_channel);
	if (config->announce_stream != NULL)
		(void)try(a, COMMAND_ANNOUNCE, &announce_command, str_of(config->announce_stream),
		    config->announce_stream);
}
