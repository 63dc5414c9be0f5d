/* What a reply says; the part of redis.h that needs no connection. */
#include "common/number.h"
#include "common/redis.h"

static enum err_class
error_class(struct str text)
{
	static const char *const retry[] = { "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN",
		"TRYAGAIN", "NOREPLICAS", "OOM", "BUSY ", "MISCONF", "UNBLOCKED",
		"ERR max number of clients reached" };
	static const char *const fatal[] = { "NOPERM", "NOAUTH", "WRONGPASS", "DENIED" };

	for (size_t i = 0; i < sizeof(retry) / sizeof(retry[0]); i++) {
		if (str_begins(text, retry[i]))
			return ERR_RETRY;
	}
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		if (str_begins(text, fatal[i]))
			return ERR_FATAL;
	}
	return ERR_POISON;
}

int
redis_reply_error(const struct redis_reply *reply, struct err *err)
{
	const char *arguments;
	int len;

	if (reply->type != REDIS_ERROR)
		return 0;
	/* the server repeats the arguments of a command that it doesn't know: values, secrets */
	arguments = strstr(reply->text.data, ", with args beginning with");
	len = (int)(arguments != NULL ? arguments - reply->text.data : (long)reply->text.len);
	return err_set(err, error_class(reply->text), 0, "redis: %.*s", len, reply->text.data);
}

bool
redis_reply_is_oom(const struct redis_reply *reply)
{
	return reply->type == REDIS_ERROR && str_begins(reply->text, "OOM");
}

const struct redis_reply *
redis_pair(const struct redis_reply *array, const char *name)
{
	if (array->type != REDIS_ARRAY)
		return NULL;
	for (size_t i = 0; i + 1 < array->count; i += 2) {
		const struct redis_reply *key = array->element[i];

		if (key->type == REDIS_STRING && strcmp(key->text.data, name) == 0)
			return array->element[i + 1];
	}
	return NULL;
}

const struct redis_reply *
redis_group(const struct redis_reply *groups, const char *name)
{
	for (size_t i = 0; groups != NULL && groups->type == REDIS_ARRAY && i < groups->count;
	    i++) {
		const struct redis_reply *of = redis_pair(groups->element[i], "name");

		if (of != NULL && str_equal(of->text, str_of(name)))
			return groups->element[i];
	}
	return NULL;
}

struct str
redis_info(struct str info, const char *name)
{
	size_t name_len = strlen(name);
	const char *at = info.data, *end = info.data + info.len;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		if (line_end == NULL)
			line_end = end;
		size_t len = (size_t)(line_end - at);
		if (len > 0 && at[len - 1] == '\r')
			len--;
		if (len > name_len && at[name_len] == ':' && memcmp(at, name, name_len) == 0)
			return (struct str){ at + name_len + 1, len - name_len - 1 };
		at = line_end + 1;
	}
	return (struct str){ NULL, 0 };
}

bool
redis_info_number(struct str info, const char *name, uint64_t *out)
{
	return number_u64(redis_info(info, name), out);
}
