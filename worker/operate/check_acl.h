#ifndef WORKER_OPERATE_CHECK_ACL_H
#define WORKER_OPERATE_CHECK_ACL_H

#include "common/arena.h"
#include "common/redis.h"
#include "worker/operate/check.h"

#include <stdbool.h>

/*
 * Which commands and keys the Redis user is denied, with the ACL rule that is missing.  Every command
 * of the data path is tried in a form that changes nothing: with an id, an option or a group that
 * can't be, which the server finds only after it has looked at the rights.
 */
struct acl_check {
	struct check *check;
	struct redis *redis;
	struct arena *arena;
	const struct config_redis *server;
	const char *name;     /* "redis", "cache": for people */
	bool identity_denied; /* reported: one rule is for all */
	unsigned keys_reported;
	unsigned long commands_reported; /* bits */
};

/* The stream and the identity key beside it.  What it runs without, if worse, is a warning. */
void acl_check_stream(struct acl_check *a, const char *pool, const char *stream);
/* The same of a stream that only invalidates, which a consumer group reads. */
void acl_check_group(struct acl_check *a, const char *stream);
/* The home of the dead letters of lanes that only invalidate, and orders for them. */
void acl_check_dead_stream(struct acl_check *a, const char *stream);
void acl_check_orders(struct acl_check *a, const char *pool);
/* UNLINK of a key of the template that no row has. */
void acl_check_unlink(struct acl_check *a, struct str key, const char *template);

#endif
