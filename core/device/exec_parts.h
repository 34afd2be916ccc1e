/* exec_parts.h - one running program, for exec.c (its life) and exec_start.c (how it begins) only.
 */
#ifndef HOB_DEVICE_EXEC_PARTS_H
#define HOB_DEVICE_EXEC_PARTS_H

#include "device/exec.h"
#include "device/exec_file.h"
#include "device/exec_output.h"
#include "device/exec_set.h"
#include "device/spawn.h"

#define HOB_EXEC_CHUNK (32 * 1024)

struct hob_exec_stream {
    struct hob_exec *exec;
    uv_pipe_t pipe;
    bool is_err, open;
    bool filing;                /* its file is being written, or finished */
    struct hob_exec_file *file; /* NULL: its tail is kept */
    struct hob_exec_tail tail;
    struct hob_exec_lines lines;
};

/* What was done to end the group. */
enum hob_exec_phase { HOB_EXEC_RUNNING, HOB_EXEC_TERMINATING, HOB_EXEC_KILLED };

struct hob_exec {
    struct hob_loop *loop;
    struct hob_exec_member member;
    struct hob_spawn *spawn; /* NULL: not started */
    int pid;
    uv_timer_t timer; /* the time-out, then the grace */
    uv_timer_t watch; /* after the end of the leader */
    uv_pipe_t in;
    uv_write_t write;
    struct hob_exec_stream out, err;
    char *input;
    uint64_t timeout_ms, grace_ms, oom_kills;
    const char *oom_file;
    void (*on_line)(void *user, bool is_err, const char *line, size_t len);
    void (*done)(void *user, const struct hob_exec_result *result);
    void *user;
    enum hob_exec_phase phase;
    bool exited, gone; /* the leader; the group */
    bool told;         /* `done` was called, or never will be */
    bool timed_out, killed_by_us, held, closed;
    bool unknown; /* how it ended */
    int code, signal;
    int looks;   /* at the group since something happened to it */
    int handles; /* not yet closed */
    uint64_t exited_at, killed_at;
    char chunk[HOB_EXEC_CHUNK];
};

void hob_exec_on_ended(void *user, const struct hob_spawn_end *end);
bool hob_exec_give_line(void *user, const char *line, size_t len);
/** Read from the pipe, which is taken. */
void hob_exec_open_stream(struct hob_exec_stream *stream, int *fd);
void hob_exec_start_timer(struct hob_exec *exec, uint64_t ms);
void hob_exec_close_handle(struct hob_exec *exec, void *handle);
/** It frees itself when its handles have closed. */
void hob_exec_close_all(struct hob_exec *exec);

#endif
