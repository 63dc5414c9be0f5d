#ifndef CONFIG_URL_H
#define CONFIG_URL_H

#include "common/buf.h"
#include "common/err.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A URL taken apart (RFC 3986, with the last @ of the authority ending the user information) before
 * its ${placeholders} are replaced: whatever a password holds, it can't become another part.
 */
struct url {
	struct str scheme;
	struct str user, password, host, port; /* data == NULL: not there */
	struct str path;		       /* with its leading / */
	struct str query;
};

/* The parts are as written and borrowed from the text. */
int url_split(struct str written, struct url *url, struct err *err);

/* Take name=value off the front of *query; false at its end.  A name without = has value.data NULL. */
bool url_next_parameter(struct str *query, struct str *name, struct str *value);

/* A part as text: percent-decoded, placeholders replaced (their values taken as they are).
 * err->code is URL_UNREPLACED where a placeholder can't be. */
enum { URL_UNREPLACED = 1 };
int url_decode(struct str part, struct buf *out, struct err *err);
/* The same with the placeholders left in: expand() makes the text of it. */
int url_decode_written(struct str part, struct buf *out, struct err *err);

#endif
