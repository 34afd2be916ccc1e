/* sandbox_pattern.h - Lua's patterns, with an end: the matcher counts what it does.
 *
 * Lua's own matcher cannot be interrupted, and a pattern with a few quantifiers may take longer
 * than anybody lives. This one takes the same patterns, gives the same captures and says the same
 * of what is malformed; but a call that has used a second of processor time raises the engine error
 * "limit", with file and line.
 *
 * On the stack of who calls; borrows subject and pattern. Raises in L.
 * Spec: spec/unit/sandbox_string_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_PATTERN_H
#define HOB_WORK_SANDBOX_PATTERN_H

#include <stddef.h>
#include <stdint.h>

struct lua_State;

#define HOB_SANDBOX_CAPTURES_MAX 32

struct hob_sandbox_pattern {
    struct lua_State *L;
    const char *caller; /* "string.find": for a message */
    const char *subject, *subject_end;
    const char *pattern_end;
    uint64_t steps, next_look;
    uint64_t began_us; /* processor time at the first look; 0: there was none */
    int depth;         /* how often it may still call itself */
    int count;         /* of captures, */
    struct {
        const char *begin;
        ptrdiff_t len; /* or one of those below */
    } captures[HOB_SANDBOX_CAPTURES_MAX];
};

#define HOB_SANDBOX_CAPTURE_OPEN     (-1)
#define HOB_SANDBOX_CAPTURE_POSITION (-2)

/** One for all matches of a call. */
void hob_sandbox_pattern_init(struct hob_sandbox_pattern *m, struct lua_State *L,
                              const char *caller, const char *subject, size_t subject_len,
                              const char *pattern, size_t pattern_len);

/** Match `pattern` (or a part of it that goes to its end) at `at`. @return where the match ends, or
 * NULL */
const char *hob_sandbox_pattern_match(struct hob_sandbox_pattern *m, const char *at,
                                      const char *pattern);

/** Push capture `index` (from 0), or the whole match for the first of none. */
void hob_sandbox_pattern_push(struct hob_sandbox_pattern *m, int index, const char *begin,
                              const char *end);

/** Push all of them. `begin` NULL: no whole match in place of none. @return how many */
int hob_sandbox_pattern_push_all(struct hob_sandbox_pattern *m, const char *begin, const char *end);

#endif
