/*
 * store_check PORT USER PASSWORD DATABASE CHECK: one check of the store (store_rig.h); CHECK `list` names
 * them.  test_store.py starts it.
 */
#include "tests/integration/store_rig.h"

#include <stdio.h>
#include <string.h>

static const struct check *const themes[] = { batch_checks, lane_checks };
enum { THEMES = sizeof(themes) / sizeof(*themes) };

static void
list(void)
{
	for (int i = 0; i < THEMES; i++) {
		for (const struct check *check = themes[i]; check->name != NULL; check++)
			printf("%s\n", check->name);
	}
}

static const struct check *
find(const char *name)
{
	for (int i = 0; i < THEMES; i++) {
		for (const struct check *check = themes[i]; check->name != NULL; check++) {
			if (strcmp(check->name, name) == 0)
				return check;
		}
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	const struct check *check;
	struct scene scene;

	if (argc == 6 && strcmp(argv[5], "list") == 0) {
		list();
		return 0;
	}
	if (argc != 6 || (check = find(argv[5])) == NULL)
		return 2;
	scene_configure(argv);
	sql_library_init();
	scene_open(&scene);
	check->run(&scene);
	scene_close(&scene);
	return 0;
}
