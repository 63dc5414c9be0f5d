#include "worker/cache/announce.h"

#include "common/clock.h"

bool
announce_is_on(const struct config *config)
{
	return config->announce_channel != NULL || config->announce_stream != NULL;
}

static void
add_text(struct buf *out, const char *name, const char *text, size_t len)
{
	buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
	buf_add_json(out, text, len);
}

static void
write_message(const struct config *config, const struct announcement *a, struct buf *out)
{
	buf_reset(out);
	buf_add_char(out, '{');
	if (a->table == NULL) {
		buf_add_str(out, "\"table\":null,\"key\":null");
	} else {
		add_text(out, "table", a->table, strlen(a->table));
		add_text(out, "key", a->key.data, a->key.len);
	}
	if (a->has_version)
		buf_printf(out, ",\"version\":\"%llu\"", (unsigned long long)a->version);
	else
		buf_add_str(out, ",\"version\":null");
	add_text(out, "reason", a->reason, strlen(a->reason));
	add_text(out, "pool", config->pool, strlen(config->pool));
	buf_printf(out, ",\"at\":%lld", (long long)clock_wall_ms());
	if (!str_is_utf8(a->key, NULL)) {
		buf_add_str(out, ",\"key_base64\":\"");
		buf_add_base64(out, a->key.data, a->key.len);
		buf_add_char(out, '"');
	}
	buf_add_char(out, '}');
}

int
announce_command(const struct config *config, const struct announcement *a, struct buf *message,
    struct str *argv)
{
	static const struct str xadd[] = { { "XADD", 4 }, { NULL, 0 }, { "MAXLEN", 6 },
		{ "~", 1 } };
	size_t at;
	int argc = 0;

	write_message(config, a, message);
	if (config->announce_channel != NULL) {
		argv[argc++] = STR("PUBLISH");
		argv[argc++] = str_of(config->announce_channel);
		argv[argc++] = (struct str){ message->data, message->len };
		return argc;
	}
	/* the limit's digits stand behind the message */
	at = message->len;
	buf_printf(message, "%d", config->announce_max_len);
	for (size_t i = 0; i < 4; i++)
		argv[argc++] = xadd[i];
	argv[1] = str_of(config->announce_stream);
	argv[argc++] = (struct str){ message->data + at, message->len - at };
	argv[argc++] = STR("*");
	argv[argc++] = STR("message");
	argv[argc++] = (struct str){ message->data, at };
	return argc;
}
