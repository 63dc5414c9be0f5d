#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "common/arena.h"
#include "common/random.h"
#include "tests/sim/populate.h"
#include "worker/source/stream_keep.h"
#include "worker/worker.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The simulation: real workers (worker.c, tend.c, batch.c, fold.c, resolve, formats) against a world
 * that is fake behind source.h, store.h and cache.h.  One thread, a fake clock, every choice drawn
 * from one seed: the same seed is the same run.
 *
 * Before and after each call that a worker makes, and while it waits, the world may let it crash,
 * cut its connections, let time pass, or let another worker take its turns (it then stands still as
 * if stopped by SIGSTOP).  After a while the world calms down, comes to rest, and is compared with
 * the entries applied one by one in lane order.  What must hold at every moment (no hole in a batch,
 * nothing done before its keys are gone, …) is checked at that moment.
 */
enum {
	TABLES = 4,
	KEYS_MAX = 12,
	ROWS_MAX = KEYS_MAX + 1, /* and the row that the trigger of `logged` writes */
	COLUMNS_MAX = 7,
	LANES_MAX = 4,
	PROCESSES_MAX = 3,
	SESSIONS_MAX = 24,
	MEMBERS_MAX = 64,
	ENTRIES_MAX = 320,
	OTHERS_MAX = 12, /* per lane: entries of the other side of a fork */
	FIELDS_MAX = 10,
	TEXT_MAX = 8,
	VALUES = 256, /* of a TINYINT */
	OUTBOX_MAX = 1024
};

/* stock: increments, defaults, a column that ALTER TABLE adds; profile: given versions, text keys;
 * checked: a CHECK; logged: a trigger, all of it on lane 0. */
enum { STOCK, PROFILE, CHECKED, LOGGED };

/* ---- what the database holds ---- */

struct cell {
	bool null;
	int128 n; /* scaled by the column's scale */
	char text[TEXT_MAX];
};

struct row {
	bool there;
	struct cell cells[COLUMNS_MAX];
};

enum {
	LETTER_ROWS_MAX = 3, /* changes of a list */
	LETTER_KEYS_MAX = PARK_KEYS * LETTER_ROWS_MAX
};

/* A dead letter; its number is its place in world.letters. */
enum stored_state {
	STORED_DEAD,
	STORED_PARKED,
	STORED_REPLAY,
	STORED_FORCE,
	STORED_DROP,
	STORED_APPLIED,
	STORED_CLOSED,
	STORED_DROPPED
};
struct stored_letter {
	unsigned lane, entry;
	const char *reason; /* NULL: its entry was applied with its batch */
	bool forked;	    /* nobody knows whether its entry was applied before */
	enum stored_state state;
	struct park_key keys[LETTER_KEYS_MAX]; /* rows of sluice_parked, until it is closed */
	unsigned key_count;
	unsigned rows, table[LETTER_ROWS_MAX],
	    row[LETTER_ROWS_MAX]; /* that it changed when applied */
	unsigned value_count, values[2 * LETTER_ROWS_MAX];
	uint64_t applied_tick;
};

/* What one transaction does to a letter that is there. */
struct letter_step {
	size_t letter;
	enum stored_state to;
	const char *reason; /* NULL: stays */
	unsigned rows, table[LETTER_ROWS_MAX], row[LETTER_ROWS_MAX];
	unsigned value_count, values[2 * LETTER_ROWS_MAX];
};

/* What was committed, in that order: the model plays it again. */
struct logged {
	unsigned lane, entry; /* this entry was written, with its batch */
	bool is_letter;	      /* or this was done to a letter */
	struct letter_step step;
	bool forced;
};

struct ledger {
	bool found;
	uint64_t epoch;
	int owner; /* who raised it last, a process in this life of it */
	unsigned owner_life;
	struct position position, done;
	char identity[64];
	const char *halted, *alarm;
	bool cache_lost; /* behind that alarm */
	unsigned lanes_of_source;
	struct lane_order order;
	struct checkpoints checkpoints;
};

/* A row of sluice_outbox: keys stockn:{n}. */
struct outbox_row {
	bool there;
	unsigned lane;
	struct position position;
	uint64_t letter;
	bool value[VALUES];
};

/* What one session has changed and not yet committed.  What it has touched it has locked. */
struct transaction {
	bool open;
	bool touched[TABLES][ROWS_MAX], changed[TABLES][ROWS_MAX];
	struct row rows[TABLES][ROWS_MAX];
	bool moved[LANES_MAX];
	struct ledger ledger[LANES_MAX];
	struct position skipped_from[LANES_MAX], skipped_to[LANES_MAX]; /* an order moved it */
	struct stored_letter *letters;
	size_t letter_count;
	struct letter_step *steps;
	size_t step_count;
	bool replays;
	struct outbox_row outbox[LANES_MAX];
	bool trims[LANES_MAX];
};

struct session {
	bool alive;
	int owner; /* a process, in this life of it */
	unsigned owner_life;
	bool committing, in_doubt; /* COMMIT is on its way; nobody waits for its answer any more */
	int64_t heard_us, dies_us; /* dies_us 0: when it is closed or has been idle for too long */
	struct transaction tx;
};

/* ---- what the streams hold ---- */

struct stream_entry {
	struct position id;
	int64_t at_us; /* when it is added */
	struct field *raw;
	size_t raw_count, bytes;
	/* of a topic's records: */
	unsigned gap;	     /* offsets behind it that hold none */
	bool bad, expired;   /* a mistake; gone before anybody read it */
	uint64_t added_tick; /* and the keys of its changes: */
	unsigned key_count;
	unsigned char key_table[LETTER_ROWS_MAX], key_row[LETTER_ROWS_MAX];
	bool other;	  /* only there on the other side of the fork */
	bool lost;	  /* gone with its side, or trimmed before MySQL forgot it */
	bool applied;	  /* a batch with it was committed */
	bool skipped;	  /* by order */
	const char *dead; /* its committed dead letter's reason */
};

struct stream {
	struct stream_entry *entries;
	unsigned count, added, trimmed; /* entries[trimmed … added) are there now */
	char identity[64];
	struct position board;	/* our group's place */
	struct position lifted; /* no new entry at or below */
};

/* What goes back when MySQL loses its last commits. */
struct snapshot {
	bool taken;
	int64_t at_us;
	struct row rows[TABLES][ROWS_MAX];
	struct ledger ledger[LANES_MAX];
	const char *dead[LANES_MAX][ENTRIES_MAX + OTHERS_MAX];
	bool skipped[LANES_MAX][ENTRIES_MAX + OTHERS_MAX],
	    applied[LANES_MAX][ENTRIES_MAX + OTHERS_MAX];
	struct stored_letter *letters;
	size_t letter_count, log_count;
	struct outbox_row outbox[OUTBOX_MAX];
};

/* ---- processes: one worker each ---- */

struct fake_store {
	struct store store; /* first */
	struct process *process;
	struct sim_schema *schema;
	bool altered, broken; /* what was loaded */
	int session;	      /* -1: closed */
	int settled;	      /* the session that the next open has to end; -1: none */
	unsigned prepared;
	struct member members[MEMBERS_MAX]; /* as it last saw them */
	bool waiting;
	int64_t answer_us;
};

struct fake_source {
	struct source source; /* first */
	struct process *process;
	bool open, requested;
	size_t asked_count;
	struct lane *asked[LANES_MAX];
	struct position cursors[LANES_MAX];
	unsigned max_rows;
	int64_t answer_us, until_us;
	unsigned deliveries;   /* the worker's */
	struct delivery *page; /* of a range, which a crash leaves behind */
	bool looked[LANES_MAX];
	struct stream_keep kept[LANES_MAX];
};

struct fake_cache {
	struct cache cache; /* first */
	struct process *process;
	bool open, sent;
	bool gone_away; /* which the next call finds out */
	unsigned key_count;
	unsigned char key_table[TABLES * KEYS_MAX], key_row[TABLES * KEYS_MAX];
	bool gone[TABLES * KEYS_MAX];
	bool value[VALUES];  /* stockn:{n}, sent and not yet gone */
	unsigned told_count; /* of profile; they arrive with the answer */
	struct populate_told told[POPULATE_TOLD_MAX];
	int64_t answer_us;
};

struct process {
	int index;
	unsigned life;
	bool alive, running;
	struct worker worker;
	struct lane lanes[LANES_MAX];
	struct lane *lane_list[LANES_MAX];
	struct lane_table table; /* of partitions */
	_Atomic size_t lane_count;
	_Atomic int stop;
	struct fake_store store;
	struct fake_source source;
	struct fake_cache cache;
	jmp_buf crash;
	int64_t start_us, give_up_us;
};

/* A row of sluice_worker. */
struct member_row {
	bool there;
	int process;
	unsigned life;
	unsigned lanes;
	uint64_t joined_us;
};

struct cached {
	bool there;
	struct row row;
};

/* How likely things go wrong, in 1 / 65536 of each chance. */
struct odds {
	unsigned crash, others, cut, cut_commit, retry, two_owners, row_lock, schema, slow, order,
	    stop;
	unsigned lost_request, cache_lost, one_by_one, mark;
};

/* What a seed is played with. */
enum played { PLAYED_STREAMS, PLAYED_KAFKA };

struct world {
	uint64_t seed;
	bool trace;
	bool kafka;	  /* its lanes are partitions: kafka.h */
	bool invalidates; /* they don't write */
	bool populates;	  /* profile has mode populate */
	struct random random;
	struct arena arena;
	struct config config;
	struct config_table tables[TABLES];
	int64_t now_us, calm_us, deadline_us;
	bool calm, ending;
	struct odds odds;
	bool tables_used[TABLES];
	unsigned keys;
	bool counting;	      /* most changes are increments, near the edge of their column */
	int64_t alter_us;     /* stock has its last column from now on */
	int64_t broken_us[2]; /* a table can't be written between these */
	int broken_table;

	unsigned lanes, processes;
	struct stream streams[LANES_MAX];
	struct process process[PROCESSES_MAX];
	int depth;

	struct row rows[TABLES][ROWS_MAX];
	struct ledger ledger[LANES_MAX];
	int lane_lock[LANES_MAX]; /* session, or -1 */
	int64_t foreign_lock_us[TABLES][KEYS_MAX];
	struct session sessions[SESSIONS_MAX];
	struct member_row members[MEMBERS_MAX];
	int64_t store_down_us[2], source_down_us[2], cache_down_us[2];

	struct cached cached[TABLES][KEYS_MAX];
	/* A tick for each commit and each key that goes; a row's last change must be older than the
	 * last going of its key once `done` covers it. */
	uint64_t ticks, changed_tick[TABLES][KEYS_MAX], gone_tick[TABLES][KEYS_MAX];
	struct position changed_at[TABLES][KEYS_MAX];
	/* the same of the keys stockn:{n}, by lane */
	bool images;
	uint64_t value_tick[LANES_MAX][VALUES], value_gone[VALUES];
	struct position value_at[LANES_MAX][VALUES];
	struct outbox_row outbox[OUTBOX_MAX];
	struct stored_letter *letters;
	size_t letter_count;
	struct logged *log;
	size_t log_count;
	int64_t last_marks_us; /* 0: not yet */
	uint64_t calls;

	/* MySQL goes back at back_us to where it was at snap_us; the streams to where they were at cut_us,
	 * at fork_us.  0: never. */
	int64_t snap_us, back_us, cut_us, fork_us;
	struct {
		bool on, taken, went_back, impatient;
		int64_t snap_us, back_us; /* 0: it doesn't go back */
		int64_t denied_us[2];	  /* it lets nobody at them between these */
		struct position noted[LANES_MAX], noted_then[LANES_MAX];
		struct cached cached[TABLES][KEYS_MAX];
	} notes; /* what the cache keeps, and what it goes back to */
	bool forked;
	struct snapshot snapshot;
	bool went_back;
	bool excused[LANES_MAX]; /* keys of entries that are gone can't be derived */
	bool tell_rollback[LANES_MAX], tell_fork[LANES_MAX]; /* an alarm must be raised */
	bool told_rollback[LANES_MAX], told_fork[LANES_MAX]; /* it was */
	bool told_gap[LANES_MAX], told_cache_lost[LANES_MAX];
};

extern struct world world;

/* ---- world.c: time, chance, processes ---- */
void world_run(enum played played, uint64_t seed, bool trace);
/* Whoever takes its turn; NULL: nobody. */
struct process *process_running(void);
bool chance(unsigned odds);
unsigned below(unsigned n);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Time passes: what was due by then happens. */
void pass(int64_t us);
/* A call of the contract begins or ends: others may take their turns, the process may crash. */
void call_begins(struct process *p, const char *what);
void call_ends(struct process *p, const char *what);
bool is_down(const int64_t window[2]);
unsigned lane_of(unsigned table, unsigned key);

/* ---- setup.c ---- */
void world_set_up(enum played played, uint64_t seed, bool traced);
void world_tear_down(void);
/* By the real parser; name is for its sentences. */
void sim_parse(struct config *config, const char *name, const char *text);

/* ---- entries.c ---- */
void make_entries(void);

/* ---- tables.c: what the server makes of a change ---- */
extern const char *const table_names[TABLES];
struct sim_schema;
struct sim_schema *sim_schema_new(const struct config *config, bool altered, int broken);
void sim_schema_free(struct sim_schema **schema);
struct schema *sim_schema_of(struct sim_schema *schema);

struct operation {
	const struct shape *shape;
	const struct value *values, *key;
	const struct sum *sums;
	uint64_t version;
};
/* The row's number, from the key's text. */
unsigned key_row(const struct operation *op);
unsigned table_number(const struct table *table);
/* Apply to a row (log: the trigger's row, or NULL).  0 nothing, 1 changed, -1 refused with *code. */
int apply(const struct operation *op, struct row *row, struct row *log, int *code);
bool row_equal(const struct row *a, const struct row *b);
const char *row_text(unsigned table, const struct row *row);

/* ---- history.c: servers that lose what they had ---- */
void choose_histories(void);
/* Does the server have this entry now? */
bool is_visible(const struct stream *s, unsigned i);
/* Where the stream has this entry, as it was delivered. */
unsigned entry_index(const struct entry *e);
const char *history(void);
/* Of its newest entry; the same where it was lifted above that. */
struct position last_entry(const struct stream *s);
struct position last_place(const struct stream *s);
/* Time has passed. */
void histories_pass(void);
/* What the processes' alarms say. */
void hear_alarms(const struct process *p);
/* What the source makes of another history. */
void fake_verify(const struct lane *lane, const struct ledger_row *row, struct source_look *look);

/* ---- sessions.c: transactions and who may see what ---- */
int session_open(const struct process *owner);
void session_kill(int session);
/* The row, locked; NULL: another session has it, or somebody else. */
struct row *session_row(int session, unsigned table, unsigned row);
bool session_lock_lane(int session, unsigned lane);
void session_commit_now(int session);
void session_roll_back(int session);
void sessions_age(void);

/* ---- pool.c: the members ---- */
int fake_join(struct store *store, unsigned lanes, struct err *err);
int fake_leave(struct store *store, struct err *err);
int fake_members(struct store *store, struct pool_view *view, struct err *err);
int fake_sweep(struct store *store, struct err *err);
int fake_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned,
    struct err *err);
/* Every lane has one owner that lives, and live processes differ by at most one lane. */
bool pool_is_balanced(void);

/* ---- store.c, write.c, source.c, cache.c: the fakes ---- */
void fake_store_init(struct process *p);
void fake_source_init(struct process *p);
void fake_cache_init(struct process *p);
enum write_result fake_write(struct store *store, struct batch *batch, struct write_report *report,
    struct err *err);
/* Is the server still there for this call?  -1 with err; may cut the connection. */
/* Is the session still the one that it opened? */
bool store_has(const struct fake_store *s, int session);
int store_reach(struct fake_store *s, const char *what, struct err *err);
/* COMMIT, with all that may happen to it. */
int store_commit(struct fake_store *s, struct err *err);
/* Is it still there, after others had their turns? */
int store_still(struct fake_store *s, struct err *err);
/* Wait for the server as the real store does. */
int store_wait(struct fake_store *s, struct err *err);
bool move_lane(int session, unsigned lane, uint64_t epoch, struct position from, struct position to,
    struct position done);
void keep_checkpoints(int session, const struct lane *lane, struct checkpoint last);
enum write_result fake_letters(struct store *store, struct lane *lane, struct entry *first,
    const char *alarm, struct err *err);
bool source_is_ready(const struct fake_source *s);
void check_done(unsigned lane, struct position done);
void readers_read(void);

/* Apply an entry inside the session's transaction: 1 applied, 0 refused, -1 a row is locked. */
int write_alone(struct fake_store *s, struct batch *batch, struct entry *e,
    struct write_report *report);

/* ---- letters.c: dead letters behind store.h, and who marks them ---- */
int fake_parked_load(struct store *store, struct lane *lane, struct err *err);
int fake_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied,
    bool *due, struct err *err);
int fake_letters_next(struct store *store, struct lane *lane, uint64_t after,
    struct letter_list *list, struct err *err);
int fake_letters_read(struct store *store, struct letter_list *list, struct err *err);
enum write_result fake_letters_write(struct store *store, struct lane *lane,
    struct letter_list *list, struct batch *batch, bool closes, struct write_report *report,
    struct err *err);
int fake_letters_close(struct store *store, const struct letter_list *list, struct err *err);
int fake_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err);
void commit_letters(struct transaction *tx);
/* What of them goes back when MySQL loses its last commits. */
void letters_remember(struct snapshot *snap);
void letters_go_back(struct snapshot *snap);
void letters_forget(struct snapshot *snap);
void mark_letters(void);
/* Nothing is marked, and nothing waits that could go on. */
bool letters_rest(void);

/* ---- notes.c: what the cache keeps of how far keys are answered; it may go back ---- */
/* Which seeds have it; the last thing that a seed decides. */
void notes_choose(void);
void notes_pass(void);
/* It went back where it was to, and what is noted says that all is invalidated again. */
bool notes_rest(void);
/* Need the key of this row not be gone?  It was said that not all can be had again. */
bool notes_lose(unsigned table, unsigned row);
int fake_noted(struct cache *cache, struct lane *const *lanes, size_t count, struct position *at,
    enum cache_notes *found, struct err *err);
int fake_note(struct cache *cache, struct lane *const *lanes, size_t count,
    const struct position *at, struct err *err);
int cache_reach(struct fake_cache *c, const char *what, struct err *err);

/* ---- images.c: keys that only MySQL knows, and its outbox ---- */
void images_set_up(void);
unsigned value_of_key(struct str key);
/* Lock the rows that are read; NULL, or one that somebody else has. */
const struct touched *images_lock(int session, const struct batch *batch);
/* After the write: the keys of the rows before and after, into batch->owed. */
void images_owe(int session, struct batch *batch);
/* Write the lane's row in this transaction.  False: there is nothing of the lane. */
bool outbox_put(int session, const struct batch *batch, unsigned lane, struct position position,
    uint64_t letter);
/* As the real one: with the transaction that moves `done`, where the lane says there are rows. */
void outbox_trims(int session, const struct lane *lane, struct position done);
void outbox_commit(const struct transaction *tx);
void outbox_check(unsigned lane);
bool outbox_has(unsigned lane);
void outbox_check_empty(void);
int fake_recall(struct store *store, struct batch *batch, struct letter_list *list,
    struct err *err);
int fake_outbox_count(struct store *store, struct lane **lanes, size_t count, uint64_t *rows,
    struct err *err);
void outbox_close_letters(const struct letter_list *list);
void values_commit(const struct transaction *tx, unsigned row, const struct row *before);
void value_goes(unsigned value);
void values_check_done(unsigned lane, struct position done);
void values_of_letter(int session, struct letter_step *step);
void values_check_letter(const struct stored_letter *l);
void outbox_remember(struct snapshot *snap);
void outbox_goes_back(const struct snapshot *snap);

/* ---- model.c: one by one, and the comparison ---- */
void compare_with_model(void);

#endif
