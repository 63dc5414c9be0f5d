#include "config/parse.h"

#include "common/err.h"
#include "common/map.h"

#include <string.h>
#include <yaml.h>

struct parse {
	yaml_parser_t yaml;
	struct str text;
	struct arena *arena;
	struct config_problems *problems;
};

static struct node *parse_value(struct parse *p, yaml_event_t *event, int depth);

static struct place
place_of(yaml_mark_t mark)
{
	return (struct place){ (int)mark.line + 1, (int)mark.column + 1 };
}

/* libyaml gives a reader error (bad UTF-8, control bytes) as a byte offset only. */
static struct place
place_of_offset(struct str text, size_t offset)
{
	struct place at = { 1, 1 };

	for (size_t i = 0; i < offset && i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == '\n')
			at = (struct place){ at.line + 1, 1 };
		else if ((c & 0xc0) != 0x80)
			at.column++;
	}
	return at;
}

static void
report_syntax(struct parse *p)
{
	const yaml_parser_t *yaml = &p->yaml;
	const char *problem = yaml->problem != NULL ? yaml->problem : "unreadable";
	bool flow = strstr(problem, "expected ',' or") != NULL;

	CHECK(yaml->error != YAML_MEMORY_ERROR);
	if (yaml->error == YAML_READER_ERROR)
		problem_add(p->problems, place_of_offset(p->text, yaml->problem_offset),
		    "not YAML: %s", problem);
	else if (yaml->context != NULL)
		problem_add(p->problems, place_of(yaml->problem_mark),
		    "not YAML: %s %s that began in line %d%s", problem, yaml->context,
		    (int)yaml->context_mark.line + 1,
		    flow ? " (inside { } and [ ] a value such as ${VAR} wants quotes)" : "");
	else
		problem_add(p->problems, place_of(yaml->problem_mark), "not YAML: %s", problem);
}

static int
next_event(struct parse *p, yaml_event_t *event)
{
	if (yaml_parser_parse(&p->yaml, event))
		return 0;
	report_syntax(p);
	return -1;
}

static void
refuse_decoration(struct parse *p, struct place at, const yaml_char_t *anchor,
    const yaml_char_t *tag)
{
	if (anchor != NULL)
		problem_add(p->problems, at,
		    "YAML anchors (&name) are not supported; write it out");
	if (tag != NULL)
		problem_add(p->problems, at, "YAML tags (!name) are not supported; leave it out");
}

static struct node *
node_new(struct parse *p, enum node_kind kind, struct place at)
{
	struct node *node = arena_zalloc(p->arena, sizeof(*node));

	node->kind = kind;
	node->at = at;
	return node;
}

static struct node *
parse_scalar(struct parse *p, const yaml_event_t *event)
{
	struct node *node = node_new(p, NODE_SCALAR, place_of(event->start_mark));
	size_t len = event->data.scalar.length;

	refuse_decoration(p, node->at, event->data.scalar.anchor, event->data.scalar.tag);
	node->text = arena_str(p->arena, event->data.scalar.value, len);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return node;
}

/* The next child, or NULL with *end set at the end of the parent, or NULL when all is over. */
static struct node *
parse_child(struct parse *p, int depth, bool *end)
{
	yaml_event_t event;
	struct node *child;

	*end = false;
	if (next_event(p, &event) != 0)
		return NULL;
	if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
		yaml_event_delete(&event);
		*end = true;
		return NULL;
	}
	child = parse_value(p, &event, depth + 1);
	yaml_event_delete(&event);
	return child;
}

static struct node *
parse_list(struct parse *p, struct node *list, int depth)
{
	struct node **tail = &list->first, *child;
	bool end;

	while ((child = parse_child(p, depth, &end)) != NULL) {
		*tail = child;
		tail = &child->next;
		list->count++;
	}
	return end ? list : NULL;
}

/* Is this a new key that is text?  Reports it when not. */
static bool
key_is_new(struct parse *p, struct map *keys, struct node *key)
{
	void **seen;

	if (key->kind != NODE_SCALAR) {
		if (key->kind != NODE_REFUSED)
			problem_add(p->problems, key->at, "%s can't be a key; a key is text",
			    node_kind_name(key));
		return false;
	}
	seen = map_at(keys, key->text.data, key->text.len);
	if (*seen != NULL) {
		problem_add(p->problems, key->at,
		    "key %s is written twice; the first is in line %d",
		    problem_quote(p->problems, key->text), ((struct node *)*seen)->at.line);
		return false;
	}
	*seen = key;
	return true;
}

static struct node *
parse_map(struct parse *p, struct node *map, int depth)
{
	struct node **tail = &map->first, *key, *value;
	struct map keys;
	bool end;

	map_init(&keys);
	while ((key = parse_child(p, depth, &end)) != NULL) {
		value = parse_child(p, depth, &end);
		if (value == NULL)
			break;
		if (!key_is_new(p, &keys, key))
			continue;
		value->key = key;
		*tail = value;
		tail = &value->next;
		map->count++;
	}
	map_deinit(&keys);
	return end ? map : NULL;
}

static struct node *
parse_value(struct parse *p, yaml_event_t *event, int depth)
{
	struct place at = place_of(event->start_mark);

	if (depth > PARSE_DEPTH_MAX) {
		problem_add(p->problems, at, "nested deeper than %d levels", PARSE_DEPTH_MAX);
		return NULL;
	}
	if (event->type == YAML_SCALAR_EVENT)
		return parse_scalar(p, event);
	if (event->type == YAML_ALIAS_EVENT) {
		problem_add(p->problems, at,
		    "YAML aliases (*name) are not supported; write it out");
		return node_new(p, NODE_REFUSED, at);
	}
	if (event->type == YAML_SEQUENCE_START_EVENT) {
		refuse_decoration(p, at, event->data.sequence_start.anchor,
		    event->data.sequence_start.tag);
		return parse_list(p, node_new(p, NODE_LIST, at), depth);
	}
	CHECK(event->type == YAML_MAPPING_START_EVENT);
	refuse_decoration(p, at, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	return parse_map(p, node_new(p, NODE_MAP, at), depth);
}

/* Past STREAM-START and DOCUMENT-START to the root's event: 1, or 0 when there is none, or -1. */
static int
find_root(struct parse *p, yaml_event_t *event)
{
	for (;;) {
		if (next_event(p, event) != 0)
			return -1;
		if (event->type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(event);
			return 0;
		}
		if (event->type != YAML_STREAM_START_EVENT &&
		    event->type != YAML_DOCUMENT_START_EVENT)
			return 1;
		yaml_event_delete(event);
	}
}

/* Whatever stands behind the root, a second document or a syntax error, is a mistake too. */
static int
expect_end(struct parse *p)
{
	yaml_event_t event;
	yaml_event_type_t type;
	struct place at;

	do {
		if (next_event(p, &event) != 0)
			return -1;
		type = event.type;
		at = place_of(event.start_mark);
		yaml_event_delete(&event);
	} while (type == YAML_DOCUMENT_END_EVENT);
	if (type == YAML_STREAM_END_EVENT)
		return 0;
	problem_add(p->problems, at, "a second YAML document; one file is one document");
	return 0;
}

static struct node *
parse_document(struct parse *p)
{
	yaml_event_t event;
	struct node *root;
	int found = find_root(p, &event);

	if (found == 0)
		problem_add(p->problems, (struct place){ 1, 1 }, "the file is empty");
	if (found <= 0)
		return NULL;
	root = parse_value(p, &event, 1);
	yaml_event_delete(&event);
	if (root == NULL || expect_end(p) != 0)
		return NULL;
	return root;
}

struct node *
parse_yaml(struct str text, struct arena *arena, struct config_problems *problems)
{
	struct parse p = { .arena = arena, .problems = problems };
	struct node *root;

	if (text.len > PARSE_BYTES_MAX) {
		problem_add(problems, (struct place){ 0, 0 }, "larger than 1MiB");
		return NULL;
	}
	if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) /* some editors' */
		text = (struct str){ text.data + 3, text.len - 3 };
	p.text = text;
	CHECK(yaml_parser_initialize(&p.yaml));
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text.data, text.len);
	root = parse_document(&p);
	yaml_parser_delete(&p.yaml);
	return root;
}

const struct node *
node_find(const struct node *map, const char *key)
{
	for (const struct node *child = map->first; child != NULL; child = child->next)
		if (str_equal(child->key->text, str_of(key)))
			return child;
	return NULL;
}

bool
node_is_null(const struct node *node)
{
	return node->kind == NODE_SCALAR && node->plain &&
	    (node->text.len == 0 || str_equal(node->text, STR("~")) ||
		str_equal(node->text, STR("null")));
}

const char *
node_kind_name(const struct node *node)
{
	if (node->kind == NODE_LIST)
		return node->first != NULL ? "a list" : "an empty list";
	return node->kind == NODE_MAP ? "a map" : "text";
}
