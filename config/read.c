#include "config/read.h"

#include "common/err.h"
#include "config/expand.h"

#include <string.h>

static void read_option(struct reader *r, const struct reading *in);

void
read_config(struct reader *r, const struct node *root)
{
	r->lanes.tail = &r->lanes.first;
	r->topics.tail = &r->topics.first;
	r->source_tables.tail = &r->source_tables.first;
	read_defaults(r, "", r->config);
	if (root->kind == NODE_MAP)
		read_map(r, root, "", "", r->config);
	else if (root->kind != NODE_REFUSED)
		problem_add(r->problems, root->at,
		    "found %s, meant a map of options such as redis: …", node_kind_name(root));
}

static void *
section_base(const struct option *section, void *base)
{
	return (char *)base + section->offset;
}

static const struct node *
default_node(struct reader *r, const struct option *option)
{
	struct node *node;

	if (option->fallback[0] == '[' || option->fallback[0] == '"') {
		node = parse_yaml(str_of(option->fallback), r->scratch, r->problems);
	} else {
		node = arena_zalloc(r->scratch, sizeof(*node));
		node->kind = NODE_SCALAR;
		node->text = str_of(option->fallback);
	}
	CHECK(node != NULL);
	return node;
}

void
read_defaults(struct reader *r, const char *parent, void *base)
{
	for (const struct option *option = options; option->parent != NULL; option++) {
		if (strcmp(option->parent, parent) != 0)
			continue;
		if (option->type == OPTION_SECTION) {
			read_defaults(r, option->name, section_base(option, base));
		} else if (option->type == OPTION_SERVER) {
			read_defaults(r, "redis", section_base(option, base));
		} else if (option->fallback != NULL) {
			struct reading in = { option, parent, default_node(r, option), NULL, base };

			read_option(r, &in);
		}
	}
}

/* The keys below that parent: "a, b, c". */
static void
add_known(const char *parent, struct buf *out)
{
	for (const struct option *option = options; option->parent != NULL; option++)
		if (strcmp(option->parent, parent) == 0 && option->type != OPTION_LATER)
			buf_printf(out, "%s%s", out->len > 0 ? ", " : "", option->name);
}

static void
report_unknown(struct reader *r, const struct node *key, const char *parent, const char *where)
{
	const char *quoted = problem_quote(r->problems, key->text);
	const char *in = where[0] != '\0' ? " in " : "";
	const struct option *meant = option_nearest(parent, key->text);
	struct buf path;

	if (meant != NULL) {
		problem_add(r->problems, key->at, "unknown key %s%s%s; did you mean \"%s\"?",
		    quoted, in, where, meant->name);
		return;
	}
	meant = option_of_path(key->text);
	if (meant != NULL) {
		problem_add(r->problems, key->at,
		    "unknown key %s; it is written as a map, %s: { %s: … }", quoted, meant->parent,
		    meant->name);
		return;
	}
	meant = option_elsewhere(parent, key->text);
	if (meant == NULL && parent[0] == '\0') {
		problem_add(r->problems, key->at,
		    "unknown key %s; `sluice config --example` has all", quoted);
		return;
	}
	buf_init(&path);
	if (meant != NULL)
		option_add_path(meant, &path);
	else
		add_known(parent, &path);
	problem_add(r->problems, key->at, "unknown key %s%s%s; there is %s", quoted, in, where,
	    path.data);
	buf_deinit(&path);
}

static void
read_given(struct reader *r, const struct reading *in)
{
	const char *parent = in->option->parent;
	size_t index = (size_t)(in->option - options), before = problem_mistakes(r->problems);

	if (in->node->kind != NODE_REFUSED)
		read_option(r, in);
	/* the options of a source or a table have no one place */
	if (strchr(parent, '.') != NULL || strchr(parent, '[') != NULL)
		return;
	r->given[index] = in->node->key->at;
	r->broken[index] = in->node->kind == NODE_REFUSED || problem_mistakes(r->problems) > before;
}

void
read_map(struct reader *r, const struct node *map, const char *parent, const char *where,
    void *base)
{
	if (node_is_null(map))
		return;
	for (const struct node *node = map->first; node != NULL; node = node->next) {
		const struct option *option = option_find(parent, node->key->text);
		struct reading in = { option, where, node, map, base };

		if (option == NULL) {
			report_unknown(r, node->key, parent, where);
			continue;
		}
		read_given(r, &in);
	}
}

const char *
read_path(struct reader *r, const struct reading *in)
{
	return arena_printf(r->scratch, "%s%s%s", in->where, in->where[0] != '\0' ? "." : "",
	    in->option->name);
}

void
read_refuse(struct reader *r, const struct reading *in, const struct node *node)
{
	struct buf meaning;
	const char *found = node_kind_name(node);

	if (node_is_null(node))
		found = "nothing";
	else if (node->kind == NODE_SCALAR)
		found = problem_quote(r->problems, node->text);
	buf_init(&meaning);
	option_add_meaning(in->option, &meaning);
	problem_add(r->problems, node->at, "%s: found %s, meant %s", read_path(r, in), found,
	    meaning.data);
	buf_deinit(&meaning);
}

bool
read_is_scalar(struct reader *r, const struct reading *in, const struct node *node)
{
	if (node->kind == NODE_SCALAR && !node_is_null(node))
		return true;
	if (node->kind != NODE_REFUSED)
		read_refuse(r, in, node);
	return false;
}

struct report {
	struct reader *reader;
	const struct reading *in;
	const struct node *node;
};

static void
report_expansion(void *arg, const char *sentence)
{
	struct report *report = arg;

	problem_add(report->reader->problems, report->node->at, "%s: %s",
	    read_path(report->reader, report->in), sentence);
}

bool
read_expand(struct reader *r, const struct reading *in, const struct node *node, struct buf *out)
{
	struct report report = { r, in, node };

	if (memchr(node->text.data, '\0', node->text.len) != NULL) {
		problem_add(r->problems, node->at, "%s: holds a NUL byte", read_path(r, in));
		return false;
	}
	return expand(node->text, out, report_expansion, &report) == 0;
}

/* Only there min and max are bytes. */
static bool
has_length(enum option_type type)
{
	return type == OPTION_TEXT || type == OPTION_NAME || type == OPTION_HOST ||
	    type == OPTION_TEXTS || type == OPTION_PAIRS || type == OPTION_SETTINGS ||
	    type == OPTION_STREAMS || type == OPTION_TOPICS || type == OPTION_SOURCE_TABLE ||
	    type == OPTION_SOURCE_TABLES;
}

static bool
length_is_right(struct reader *r, const struct reading *in, const struct node *node,
    struct str text)
{
	const struct option *option = in->option;

	if (!str_is_utf8(text, NULL))
		problem_add(r->problems, node->at, "%s: not UTF-8", read_path(r, in));
	else if (!has_length(option->type))
		return true;
	else if (text.len < (size_t)option->min)
		problem_add(r->problems, node->at, "%s: must not be empty", read_path(r, in));
	else if (text.len > (size_t)option->max)
		problem_add(r->problems, node->at, "%s: %zu bytes long; %lld at most",
		    read_path(r, in), text.len, (long long)option->max);
	else
		return true;
	return false;
}

bool
read_text(struct reader *r, const struct reading *in, const struct node *node, struct str *out)
{
	struct buf text;
	bool good = false;

	if (!read_is_scalar(r, in, node))
		return false;
	buf_init(&text);
	if (read_expand(r, in, node, &text)) {
		*out = arena_str(r->arena, text.data, text.len);
		good = length_is_right(r, in, node, *out);
	}
	buf_deinit(&text);
	return good;
}

bool
read_word(struct reader *r, const struct reading *in, const struct node *node, int *value)
{
	struct str text;

	if (!read_text(r, in, node, &text))
		return false;
	for (const struct option_word *word = in->option->words; word->name != NULL; word++) {
		if (!str_equal(text, str_of(word->name)))
			continue;
		if (word->later)
			problem_add(r->problems, node->at, "%s: %s is not in this release",
			    read_path(r, in), word->name);
		*value = word->value;
		return !word->later;
	}
	read_refuse(r, in, node);
	return false;
}

const struct node *
read_next_element(const struct node *list, const struct node *last)
{
	if (list->kind == NODE_LIST)
		return last == NULL ? list->first : last->next;
	return last == NULL && !node_is_null(list) ? list : NULL;
}

size_t
read_count_elements(const struct node *list)
{
	return list->kind == NODE_LIST ? list->count : 1;
}

void
mention_add(struct reader *r, struct mentions *list, const char *name, struct place at)
{
	struct mention *mention = arena_alloc(r->scratch, sizeof(*mention));

	*mention = (struct mention){ name, at, NULL };
	*list->tail = mention;
	list->tail = &mention->next;
}

static void
read_section(struct reader *r, const struct reading *in)
{
	if (in->node->kind != NODE_MAP && !node_is_null(in->node)) {
		read_refuse(r, in, in->node);
		return;
	}
	if (in->option->type == OPTION_SERVER) {
		r->cache_given = true;
		if (node_is_null(in->node) ||
		    (node_find(in->node, "url") == NULL && node_find(in->node, "host") == NULL &&
			node_find(in->node, "socket") == NULL))
			read_refuse(r, in, in->node);
	}
	read_map(r, in->node, in->option->type == OPTION_SERVER ? "redis" : in->option->name,
	    in->option->name, section_base(in->option, in->base));
}

static void
read_later(struct reader *r, const struct reading *in)
{
	problem_add(r->problems, in->node->key->at, "%s is not in this release%s%s",
	    read_path(r, in), in->option->doc != NULL ? ": " : "",
	    in->option->doc != NULL ? in->option->doc : "");
}

static void
read_option(struct reader *r, const struct reading *in)
{
	static read_function *const functions[OPTION_TYPES] = {
		[OPTION_SECTION] = read_section,
		[OPTION_SERVER] = read_section,
		[OPTION_SOURCES] = read_sources,
		[OPTION_TABLES] = read_tables,
		[OPTION_LATER] = read_later,
		[OPTION_TEXT] = read_string,
		[OPTION_HOST] = read_host,
		[OPTION_NAME] = read_name,
		[OPTION_SECRET] = read_secret,
		[OPTION_INT] = read_int,
		[OPTION_COUNT] = read_int64,
		[OPTION_DURATION] = read_int,
		[OPTION_SIZE] = read_int64,
		[OPTION_SAMPLE] = read_sample,
		[OPTION_WORD] = read_enum,
		[OPTION_BOOL] = read_bool,
		[OPTION_BITS] = read_bits,
		[OPTION_FLAGS] = read_flags,
		[OPTION_TEXTS] = read_texts,
		[OPTION_PAIRS] = read_pairs,
		[OPTION_SETTINGS] = read_settings,
		[OPTION_REDIS_URL] = read_redis_url,
		[OPTION_MYSQL_URL] = read_mysql_url,
		[OPTION_LISTEN] = read_listen,
		[OPTION_STREAMS] = read_streams,
		[OPTION_TOPICS] = read_topics,
		[OPTION_SOURCE_TABLE] = read_source_table,
		[OPTION_SOURCE_TABLES] = read_source_tables,
		[OPTION_START] = read_start,
		[OPTION_VERSION] = read_version,
		[OPTION_TEMPLATES] = read_templates,
		[OPTION_REFRESH] = read_refresh,
	};

	functions[in->option->type](r, in);
}
