#include "worker/source/stream_preflight.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/source/redis_stream.h"

#include <ctype.h>
#include <string.h>

/* "7.0.15" is 700. */
static int
version_of(struct str text)
{
	int parts[2] = { 0, 0 }, part = 0;

	for (size_t i = 0; i < text.len && part < 2; i++) {
		if (text.data[i] == '.')
			part++;
		else if (text.data[i] >= '0' && text.data[i] <= '9' && parts[part] < 1000)
			parts[part] = parts[part] * 10 + (text.data[i] - '0');
	}
	return parts[0] * 100 + parts[1];
}

void
info_history(struct str info, char history[HISTORY_MAX + 1])
{
	struct str id = redis_info(info, "master_replid");
	size_t len = 0;

	while (len < id.len && len < HISTORY_MAX && isxdigit((unsigned char)id.data[len]))
		len++;
	if (len < id.len)
		len = 0;
	if (len > 0)
		memcpy(history, id.data, len);
	history[len] = '\0';
}

int
preflight_judge(struct str info, bool eviction_allowed, struct preflight *out, struct err *err)
{
	struct str policy = redis_info(info, "maxmemory_policy");
	uint64_t limit = 0;

	out->version = version_of(redis_info(info, "redis_version"));
	out->append_only = str_equal(redis_info(info, "aof_enabled"), STR("1"));
	if (str_equal(redis_info(info, "loading"), STR("1")))
		return err_set(err, ERR_RETRY, 0, "redis: the server is loading its data");
	if (str_equal(redis_info(info, "role"), STR("slave")))
		return err_set(err, ERR_RETRY, 0,
		    "redis: the server is a replica; streams are read from their primary");
	redis_info_number(info, "maxmemory", &limit);
	if (limit > 0 && policy.len > 8 && memcmp(policy.data, "allkeys-", 8) == 0 &&
	    !eviction_allowed)
		return err_set(err, ERR_FATAL, 0,
		    "redis: maxmemory-policy %.*s can evict streams with entries not yet written; "
		    "set "
		    "noeviction or volatile-lru there, or `eviction: allow` here",
		    STR_ARGS(policy));
	return 0;
}

/* Whether snapshots are on is only told by CONFIG. */
static int
warn_not_persistent(struct redis_stream *s, struct err *err)
{
	const struct redis_reply *value;
	struct redis_reply *reply;

	redis_queuef(s->control, "CONFIG GET save");
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	if (reply->type == REDIS_ERROR && stream_warns(WARN_CONFIG))
		log_event(LOG_WARN, "source_refuses", "error", "%s", reply->text.data, "next", "%s",
		    "goes on without knowing whether snapshots are kept", NULL);
	value = reply->type == REDIS_ARRAY ? redis_pair(reply, "save") : NULL;
	if (value != NULL && value->type == REDIS_STRING && value->text.len == 0 &&
	    stream_warns(WARN_PERSISTENCE))
		log_event(LOG_WARN, "source_not_persistent", "source", "%s", s->config->redis.name,
		    "why", "%s",
		    "neither append-only file nor snapshots: a restart loses what isn't written "
		    "yet",
		    NULL);
	return 0;
}

int
stream_preflight(struct redis_stream *s, struct err *err)
{
	struct preflight found = { 0 };
	struct redis_reply *reply;
	int refused;

	s->counts_reads = true;
	s->history[0] = '\0';
	s->history_ms = clock_ms();
	redis_queuef(s->control, "INFO");
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	refused = control_refused(s, reply, err);
	if (refused != 0 || reply->type != REDIS_STRING) {
		if (refused > 0 && stream_warns(WARN_INFO))
			log_event(LOG_WARN, "source_refuses", "error", "%s", reply->text.data,
			    "next", "%s",
			    "eviction policy, role, persistence and other histories (rollback, "
			    "fork) are not seen",
			    NULL);
		return refused < 0 ? -1 : 0;
	}
	if (preflight_judge(reply->text, s->config->eviction_allowed, &found, err) != 0)
		return -1;
	info_history(reply->text, s->history);
	s->counts_reads = found.version == 0 || found.version >= 700;
	if (found.version != 0 && found.version < 602 && stream_warns(WARN_OLD_SERVER))
		log_event(LOG_WARN, "source_old_server", "source", "%s", s->config->redis.name,
		    "version", "%d", found.version, "why", "%s",
		    "before 6.2: streams are not trimmed and the group's lag is not kept", NULL);
	return found.append_only ? 0 : warn_not_persistent(s, err);
}
