/* requires.h - what a handler wants to hold before a job of it is begun: its `requires` and
 * `max_age`, and whether that is so now.
 *
 * lib/hob/job/requires.lua has read and checked what was written; here it is judged, as often as
 * somebody asks: nothing is remembered. Any thread but for hob_requires_read.
 * Spec: spec/unit/requires_spec.lua, spec/integration/requires_spec.lua
 */
#ifndef HOB_WORK_REQUIRES_H
#define HOB_WORK_REQUIRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_REQUIRES_COMMANDS    8
#define HOB_REQUIRES_COMMAND_MAX 128
#define HOB_REQUIRES_REASON_MAX  400

enum hob_requires_otherwise { HOB_REQUIRES_DEFAULT, HOB_REQUIRES_WAIT, HOB_REQUIRES_REJECT };

struct hob_requires { /* zero: nothing */
    int64_t max_age_s;
    uint64_t disk_bytes;
    bool clock;           /* somebody has set it since 1970 */
    bool window;          /* of each day, in local time: */
    int from_min, to_min; /* minutes after midnight; `to` may be before `from` */
    char commands[HOB_REQUIRES_COMMANDS][HOB_REQUIRES_COMMAND_MAX + 1]; /* "" ends */
    enum hob_requires_otherwise otherwise; /* DEFAULT: what is missing for good is refused */
};

struct lua_State;
/** Of hob.job's `requirements` at `index`; nil: nothing. */
void hob_requires_read(struct lua_State *L, int index, struct hob_requires *out);

struct hob_requires_facts {
    int64_t now_ms;        /* the wall clock */
    int64_t queued_at_s;   /* of the execution */
    const char *directory; /* on the file system whose room counts */
};

enum hob_requires_verdict {
    HOB_REQUIRES_MET,
    HOB_REQUIRES_NOT_YET, /* it waits */
    HOB_REQUIRES_NEVER,   /* it is refused */
    HOB_REQUIRES_TOO_OLD  /* likewise: max_age */
};

/* What it waits for: the same while only the words differ. */
enum hob_requires_kind {
    HOB_REQUIRES_NOTHING,
    HOB_REQUIRES_COMMANDS_KIND,
    HOB_REQUIRES_CLOCK,
    HOB_REQUIRES_DISK,
    HOB_REQUIRES_WINDOW
};

struct hob_requires_judgement {
    enum hob_requires_verdict verdict;
    enum hob_requires_kind kind;
    char reason[HOB_REQUIRES_REASON_MAX];
    int64_t until_ms; /* NOT_YET: until it may be met, where that is known; else -1 */
};

/** Somebody has set the clock since 1970. */
bool hob_requires_clock_is_set(int64_t now_ms);

void hob_requires_judge(const struct hob_requires *requires, const struct hob_requires_facts *facts,
                        struct hob_requires_judgement *out);

#endif
