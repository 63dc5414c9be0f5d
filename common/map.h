#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash map from bytes to a pointer: open addressing, linear probing, grows by doubling at 3/4.
 * Keys are borrowed: they must live as long as the map or until map_reset.  No removal.
 * The hash is seeded at random once a process, so that no producer can choose colliding keys.
 */
struct map_slot;
struct map {
	struct map_slot *slots;
	size_t capacity, used; /* capacity: 0 or a power of two */
};

void map_init(struct map *m);
void map_deinit(struct map *m);
/* Empty it; memory is kept up to keep_slots. */
void map_reset(struct map *m, size_t keep_slots);

uint64_t map_hash(const void *key, size_t len);

/* The place of the key's value: NULL there means that the key is new (it is now in the map and the
 * caller must store something that isn't NULL).  Valid until the next map_at. */
void **map_at(struct map *m, const void *key, size_t len);
/* The value or NULL. */
void *map_get(const struct map *m, const void *key, size_t len);

#endif
