#include "config/validate.h"

#include <string.h>

/* The home of the dead letters of lanes that don't write: a stream, or a topic, which is nobody else's. */

/* As Kafka has it. */
#define TOPIC_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static struct place
place_of(const struct reader *r, const char *name)
{
	return r->given[option_find("dead_letters", str_of(name)) - options];
}

static void
check_topic(struct reader *r)
{
	const struct config *config = r->config;
	struct place at = place_of(r, "topic");
	const char *quoted = problem_quote(r->problems, str_of(config->dead_topic));
	const struct config_source *source = config_source_of_topic(config, config->dead_topic);

	if (config->dead_stream != NULL)
		problem_add(r->problems, at, "dead_letters has a stream and a topic; one of them");
	if (config->dead_topic[strspn(config->dead_topic, TOPIC_BYTES)] != '\0')
		problem_add(r->problems, at,
		    "dead_letters.topic: %s is no name of a topic: letters, digits, ., _ and -",
		    quoted);
	if (source != NULL)
		problem_add(r->problems, at,
		    "dead_letters.topic: the source of line %d reads %s, so each letter would make "
		    "another",
		    source->line, quoted);
}

static void
check_stream(struct reader *r)
{
	struct config *config = r->config;
	struct place at = place_of(r, "stream");

	if (config->dead_stream == NULL)
		config->dead_stream = arena_printf(r->arena, "sluice:%s:dead",
		    config->pool != NULL ? config->pool : "");
	for (const struct mention *lane = r->lanes.first; lane != NULL; lane = lane->next)
		if (strcmp(lane->name, config->dead_stream) == 0)
			problem_add(r->problems, at, "dead_letters.stream: %s is a lane of line %d",
			    problem_quote(r->problems, str_of(lane->name)), lane->at.line);
}

void
validate_letters(struct reader *r)
{
	if (r->config->dead_topic != NULL)
		check_topic(r);
	else
		check_stream(r);
}
