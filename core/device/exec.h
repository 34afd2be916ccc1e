/* exec.h - run a program: no shell, its own process group, both output streams drained.
 *
 * Knows how a process ended: exit code, signal, time-out and "could not be started" are told apart.
 * Output never blocks or fails the child: each stream is read as it comes, its tail is kept (the
 * last tail_bytes), the rest is counted; on_line gets whole lines (cut at 64 KB) as they come.
 * The run ends when the process ends and both pipes are drained, but a background child that keeps
 * a pipe open holds it for at most one second: then the group is killed. What holds no pipe may go
 * on after a normal end, as long as its set is not ended. After a time-out or a cancel the whole
 * group is ended, whatever it holds open: TERM, after the grace KILL, and only when it is gone is a
 * time-out told. The streams are true pipes (not libuv's sockets, on which `echo x >/dev/stderr`
 * fails).
 *
 * Life: hob_exec_start -> done, after which it is freed by itself; or hob_exec_cancel, after which
 * nothing is called any more (the group gets TERM, after grace_ms KILL, and is reaped in the
 * background, which hob_loop_free waits for). Loop thread only.  Spec: spec/unit/exec_spec.lua
 */
#ifndef HOB_DEVICE_EXEC_H
#define HOB_DEVICE_EXEC_H

#include "base/error.h"
#include "base/loop.h"
#include "device/user.h"

#include <stdbool.h>
#include <stdint.h>

struct hob_exec;

/** The processes of one job: who they are, and when the last of them is gone. A process belongs to
 * its set until its group has ended, also after hob_exec_cancel. */
struct hob_exec_set;

struct hob_exec_set_options {
    /** One is about to be started whose output goes into these pipes (their inodes); 0, 0: it was
     * (on_child has come), or could not be. May be NULL. */
    void (*on_start)(void *user, uint64_t out, uint64_t err);
    void (*on_child)(void *user, int pid, bool runs); /* started, or gone; may be NULL */
    void (*on_data)(void *user, const char *program, bool is_err, const char *data,
                    size_t len); /* all output, as it comes, also of one cancelled; may be NULL */
    /** Whoever asked with hob_exec_set_when_gone has waited for ten seconds, and each minute from
     * then on. `who`: "fw-install (process 123, got KILL)"; may be NULL */
    void (*on_wait)(void *user, const char *who, uint64_t waited_ms);
    void *user;
};

struct hob_exec_set *hob_exec_set_new(struct hob_loop *loop,
                                      const struct hob_exec_set_options *options); /* or NULL */
/** Its processes stay as they are, and tell nobody any more; what was being ended is ended. NULL is
 * legal. */
void hob_exec_set_free(struct hob_exec_set *set);
size_t hob_exec_set_count(const struct hob_exec_set *set);
/** TERM to each group, after its grace KILL; as hob_exec_cancel, but `done` still comes. */
void hob_exec_set_end(struct hob_exec_set *set);
/** Likewise, and KILL after `most_ms` at the latest, also to those that got TERM before. */
void hob_exec_set_end_within(struct hob_exec_set *set, uint64_t most_ms);
/** `gone` is called once, in a later turn of the loop, when no process of the set is left (in the
 * next turn if there is none now). One at a time; NULL takes it back. */
void hob_exec_set_when_gone(struct hob_exec_set *set, void (*gone)(void *user), void *user);

struct hob_exec_result {
    int code;       /* exit code; -1 if it did not exit by itself */
    int signal;     /* the signal that ended it; 0: none */
    bool unknown;   /* it ended, but how was taken by who waits for all children of the process */
    bool timed_out; /* ended by us after timeout_ms */
    bool out_of_memory; /* killed by signal 9 while the kernel's count of such victims grew */
    uint64_t timeout_ms;
    const char *out, *err; /* tails, NUL-terminated, may hold any byte; borrowed */
    size_t out_len, err_len;
    uint64_t out_cut, err_cut; /* bytes that came before the tails; of a file: that are not in it */
    uint64_t out_written, err_written; /* to files */
    int out_error, err_error;          /* of writing to them: 0 or libuv's code */
};

struct hob_exec_options {    /* all borrowed for the call (copied) */
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;  /* NULL-terminated "K=V" list; NULL: inherited */
    const char *cwd;         /* NULL: inherited */
    const char *input;       /* for its standard input; NULL: /dev/null */
    size_t input_len;
    uint64_t timeout_ms;       /* 0: none */
    uint64_t grace_ms;         /* between TERM and KILL; 0: 5,000 */
    size_t tail_bytes;         /* of each stream; 0: 64 KB; at most 16 MB */
    const struct hob_user *as; /* whom it runs as; NULL: as Hob */
    const char *file;          /* run this one; NULL or "": argv[0] is looked up */
    /* Files for its outputs: a new one each, of that user, synced at the end. Nothing of what goes
     * there is kept or told of. The same for both: one after the other, as they come. */
    const char *out_file, *err_file; /* NULL: none */
    uint64_t file_limit;             /* bytes of each; what comes beyond is dropped; 0: none */
    struct hob_exec_set *set;        /* it belongs to; NULL: none */
    const char *oom_file;            /* borrowed for its life; for specs: see hob_child_oom_kills */
    void (*on_line)(void *user, bool is_err, const char *line, size_t len); /* may be NULL */
    void (*done)(void *user, const struct hob_exec_result *result);
    void *user;
};

/** @return 0 (done will come), or a code and the reason: "fw-install: not found in PATH" */
int hob_exec_start(struct hob_loop *loop, const struct hob_exec_options *options,
                   struct hob_exec **out, struct hob_error *err);
void hob_exec_kill(struct hob_exec *exec, int signal); /* the group; `done` still comes */
/** Not after `done`. */
void hob_exec_cancel(struct hob_exec *exec);
int hob_exec_pid(const struct hob_exec *exec);

/** How it ended, in words: "exit code 3", "killed by signal 9 (Killed)", "timed out after 30 s". */
const char *hob_exec_words(const struct hob_exec_result *result, char *out, size_t len);

#endif
