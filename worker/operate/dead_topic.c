#include "worker/operate/dead_kept.h"
#include "worker/store/letter_topic.h"

/* Letters that are records of the topic `dead_letters.topic`. */

static int
topic_open(struct dead_access *a, struct err *err)
{
	a->topic = letter_topic_reader_new(&a->config, LETTER_KEYS_MAX, err);
	return a->topic != NULL ? 0 : -1;
}

static void
topic_close(struct dead_access *a)
{
	letter_topic_reader_free(&a->topic);
}

static void
topic_rewind(struct dead_access *a)
{
	int partition = -1;
	int64_t offset = 0;

	if (a->kept_id != NULL)
		(void)letter_topic_id(a->kept_id, &partition, &offset);
	letter_topic_rewind(a->topic, partition, offset);
	a->topic_given = false;
}

/* The one that is asked for, if there is such a one. */
static int
one(struct dead_access *a, size_t *count, struct err *err)
{
	int partition;
	int64_t offset;

	*count = 0;
	if (a->topic_given || !letter_topic_id(a->kept_id, &partition, &offset))
		return 0;
	a->topic_given = true;
	if (letter_topic_page(a->topic, &a->filter, a->whole, &a->arena, a->letters, count, err) !=
	    0)
		return -1;
	*count =
	    *count > 0 && a->letters[0].partition == partition && a->letters[0].offset == offset;
	return 0;
}

static int
topic_page(struct dead_access *a, size_t *count, struct err *err)
{
	if (a->kept_id != NULL)
		return one(a, count, err);
	return letter_topic_page(a->topic, &a->filter, a->whole, &a->arena, a->letters, count, err);
}

static int
topic_drop(struct dead_access *a, const struct letter_entry *letters, size_t count,
    uint64_t *dropped, struct err *err)
{
	return letter_topic_drop(a->topic, letters, count, dropped, err);
}

static void
topic_add_place(const struct dead_access *a, struct buf *out)
{
	buf_printf(out, "kafka %s", a->config.kafka.brokers);
}

const struct dead_home dead_topic = {
	.open = topic_open,
	.close = topic_close,
	.rewind = topic_rewind,
	.page = topic_page,
	.drop = topic_drop,
	.add_place = topic_add_place,
};
