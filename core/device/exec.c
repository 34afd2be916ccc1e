/* exec.c - see exec.h
 *
 * A process is followed until its whole group is gone, if somebody waits for that: its set, a
 * cancel, or the end after a time-out. Nothing tells when the last of a group ends, so once its
 * leader has, the group is looked at again and again. */
#include "device/exec.h"

#include "base/alloc.h"
#include "device/child.h"
#include "device/exec_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINGER_MS     1000 /* for pipes that outlive the process; for a group that got KILL */
#define WATCH_MIN_MS  10
#define WATCH_MAX_MS  100
#define WATCH_IDLE_MS 1000 /* nobody waits for it */

static uint64_t now_of(const struct hob_exec *exec)
{
    uv_update_time(exec->timer.loop);
    return uv_now(exec->timer.loop);
}

/* ---- the end of the object ---- */

static void free_exec(struct hob_exec *exec)
{
    hob_exec_tail_free(&exec->out.tail);
    hob_exec_tail_free(&exec->err.tail);
    hob_exec_lines_free(&exec->out.lines);
    hob_exec_lines_free(&exec->err.lines);
    hob_exec_file_free(exec->out.file);
    hob_exec_file_free(exec->err.file);
    hob_free(exec->input);
    if (exec->held)
        hob_loop_release(exec->loop);
    hob_free(exec);
}

static void on_closed(uv_handle_t *handle)
{
    struct hob_exec *exec = handle->data;
    if (--exec->handles == 0)
        free_exec(exec);
}

void hob_exec_close_handle(struct hob_exec *exec, void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void on_filed(void *user);

/* Its file is finished when the piece that is being written is. */
static void close_stream(struct hob_exec_stream *stream)
{
    stream->open = false;
    hob_exec_close_handle(stream->exec, &stream->pipe);
    if (stream->file && !stream->filing && !stream->exec->closed)
        stream->filing = hob_exec_file_finish(stream->file, on_filed, stream);
}

void hob_exec_close_all(struct hob_exec *exec)
{
    exec->closed = true;
    hob_exec_set_remove(&exec->member);
    hob_spawn_close(exec->spawn);
    exec->spawn = NULL;
    hob_exec_close_handle(exec, &exec->timer);
    hob_exec_close_handle(exec, &exec->watch);
    hob_exec_close_handle(exec, &exec->in);
    close_stream(&exec->out);
    close_stream(&exec->err);
}

/* The loop's own end waits for it. */
static void hold(struct hob_exec *exec)
{
    if (!exec->held)
        hob_loop_hold(exec->loop);
    exec->held = true;
}

/* ---- telling ---- */

bool hob_exec_give_line(void *user, const char *line, size_t len)
{
    struct hob_exec_stream *stream = user;
    struct hob_exec *exec = stream->exec;
    if (!exec->told)
        exec->on_line(exec->user, stream->is_err, line, len);
    return !exec->told;
}

/* Counted again only for a death that looks like it: reading the counts is not for nothing. */
static bool was_out_of_memory(const struct hob_exec *exec)
{
    return exec->signal == SIGKILL && !exec->killed_by_us &&
           hob_child_oom_kills(exec->oom_file) > exec->oom_kills;
}

static void fill_result(struct hob_exec *exec, struct hob_exec_result *result)
{
    const struct hob_exec_file *out = exec->out.file, *err = exec->err.file;
    *result = (struct hob_exec_result){
        .code = exec->signal ? -1 : exec->code,
        .signal = exec->signal,
        .unknown = exec->unknown,
        .timed_out = exec->timed_out,
        .out_of_memory = was_out_of_memory(exec),
        .timeout_ms = exec->timeout_ms,
        .out = hob_exec_tail_finish(&exec->out.tail),
        .err = hob_exec_tail_finish(&exec->err.tail),
        .out_len = exec->out.tail.len,
        .err_len = exec->err.tail.len,
        .out_cut = out ? hob_exec_file_cut(out) : exec->out.tail.cut,
        .err_cut = err ? hob_exec_file_cut(err) : exec->err.tail.cut,
        .out_written = out ? hob_exec_file_written(out) : 0,
        .err_written = err ? hob_exec_file_written(err) : 0,
        .out_error = out ? hob_exec_file_error(out) : 0,
        .err_error = err ? hob_exec_file_error(err) : 0,
    };
}

static void tell(struct hob_exec *exec)
{
    struct hob_exec_result result;
    if (exec->on_line) {
        hob_exec_lines_flush(&exec->out.lines);
        hob_exec_lines_flush(&exec->err.lines);
    }
    if (exec->told) /* a line's callback has cancelled it */
        return;
    exec->told = true;
    fill_result(exec, &result);
    exec->done(exec->user, &result);
    hob_exec_tail_free(&exec->out.tail);
    hob_exec_tail_free(&exec->err.tail);
}

/* ---- following the group ---- */

static void on_timer(uv_timer_t *timer);
static void on_watch(uv_timer_t *timer);

static void signal_group(struct hob_exec *exec, int number)
{
    kill(-exec->pid, number); /* ESRCH: it is gone already, which is as good */
    if (number == SIGKILL)
        exec->killed_by_us = true;
}

static void kill_group(struct hob_exec *exec)
{
    exec->phase = HOB_EXEC_KILLED;
    exec->killed_at = now_of(exec);
    exec->looks = 0;
    signal_group(exec, SIGKILL);
}

static bool is_drained(const struct hob_exec *exec)
{
    return !exec->out.open && !exec->err.open && !exec->out.filing && !exec->err.filing;
}

/* What a background child holds open is no reason to wait for ever; nor is what a program that has
 * ended left in a pipe to be lost to a slow disk. */
static void stop_lingering(struct hob_exec *exec)
{
    if (!exec->out.open && !exec->err.open)
        return;
    if (now_of(exec) - exec->exited_at < LINGER_MS)
        return;
    if (exec->phase == HOB_EXEC_RUNNING)
        kill_group(exec);
    close_stream(&exec->out);
    close_stream(&exec->err);
}

static bool given_up(const struct hob_exec *exec)
{
    return exec->phase == HOB_EXEC_KILLED && now_of(exec) - exec->killed_at >= LINGER_MS;
}

/* After a program's own end what is left of its group may go on, until its set is ended. */
static bool may_tell(const struct hob_exec *exec)
{
    return is_drained(exec) && (exec->gone || exec->phase == HOB_EXEC_RUNNING || given_up(exec));
}

static bool is_over(const struct hob_exec *exec)
{
    if (!exec->told || !is_drained(exec))
        return false;
    return exec->gone || (!exec->member.set && (exec->phase == HOB_EXEC_RUNNING || given_up(exec)));
}

static uint64_t next_look_ms(const struct hob_exec *exec)
{
    uint64_t most = exec->told && exec->phase == HOB_EXEC_RUNNING ? WATCH_IDLE_MS : WATCH_MAX_MS;
    uint64_t ms = (uint64_t)WATCH_MIN_MS << (exec->looks < 8 ? exec->looks : 8);
    return ms < most ? ms : most;
}

/* A first few looks find most groups gone without reading all of /proc. */
static void settle(struct hob_exec *exec)
{
    if (!exec->exited || exec->closed)
        return;
    stop_lingering(exec);
    if (!exec->gone)
        exec->gone = !hob_child_group_runs(exec->pid, exec->looks > 2);
    if (!exec->told && may_tell(exec))
        tell(exec);
    if (is_over(exec))
        hob_exec_close_all(exec);
    else
        uv_timer_start(&exec->watch, on_watch, next_look_ms(exec), 0);
}

static void on_watch(uv_timer_t *timer)
{
    struct hob_exec *exec = timer->data;
    exec->looks++;
    settle(exec);
}

/* Not at once: its caller may be in the middle of something. */
static void settle_soon(struct hob_exec *exec)
{
    exec->looks = 0;
    if (exec->exited)
        uv_timer_start(&exec->watch, on_watch, 0, 0);
}

void hob_exec_start_timer(struct hob_exec *exec, uint64_t ms)
{
    uv_update_time(exec->timer.loop);
    uv_timer_start(&exec->timer, on_timer, ms, 0);
}

/* A stopped process gets its TERM only when it goes on. */
static void terminate(struct hob_exec *exec)
{
    if (exec->closed || exec->phase != HOB_EXEC_RUNNING)
        return;
    exec->phase = HOB_EXEC_TERMINATING;
    if (!exec->gone) {
        signal_group(exec, SIGTERM);
        signal_group(exec, SIGCONT);
    }
    hob_exec_start_timer(exec, exec->grace_ms);
    settle_soon(exec);
}

static void on_timer(uv_timer_t *timer)
{
    struct hob_exec *exec = timer->data;
    if (exec->phase == HOB_EXEC_RUNNING) {
        exec->timed_out = true;
        terminate(exec);
    } else if (exec->phase == HOB_EXEC_TERMINATING && !exec->gone) {
        kill_group(exec);
        settle_soon(exec);
    }
}

void hob_exec_on_ended(void *user, const struct hob_spawn_end *end)
{
    struct hob_exec *exec = user;
    exec->exited = true;
    exec->code = end->code;
    exec->signal = end->signal;
    exec->unknown = end->unknown;
    exec->exited_at = now_of(exec);
    if (exec->phase == HOB_EXEC_RUNNING)
        uv_timer_stop(&exec->timer);
    settle(exec);
}

/* ---- the streams ---- */

static struct hob_exec_stream *stream_of(struct hob_exec *exec, const void *pipe)
{
    return pipe == &exec->out.pipe ? &exec->out : &exec->err;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct hob_exec *exec = handle->data;
    struct hob_exec_stream *stream = stream_of(exec, handle);
    *buf = stream->file ? uv_buf_init(hob_exec_file_piece(stream->file), HOB_EXEC_FILE_PIECE)
                        : uv_buf_init(exec->chunk, sizeof exec->chunk);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf);

/* One piece, or all, of a file is done. */
static void on_filed(void *user)
{
    struct hob_exec_stream *stream = user;
    struct hob_exec *exec = stream->exec;
    stream->filing = false;
    if (stream->open)
        uv_read_start((uv_stream_t *)&stream->pipe, on_alloc, on_read);
    else
        close_stream(stream);
    settle(exec);
}

/* Until it is written the program waits, if it has more. */
static void file_piece(struct hob_exec_stream *stream, size_t len)
{
    stream->filing = hob_exec_file_write(stream->file, len, on_filed, stream);
    if (stream->filing)
        uv_read_stop((uv_stream_t *)&stream->pipe);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct hob_exec *exec = pipe->data;
    struct hob_exec_stream *stream = stream_of(exec, pipe);
    if (n < 0) {
        close_stream(stream);
        settle(exec);
        return;
    }
    if (stream->file) {
        file_piece(stream, (size_t)n);
        return;
    }
    hob_exec_set_data(&exec->member, stream->is_err, buf->base, (size_t)n);
    if (exec->told)
        return;
    hob_exec_tail_add(&stream->tail, buf->base, (size_t)n);
    if (exec->on_line)
        hob_exec_lines_add(&stream->lines, buf->base, (size_t)n);
}

void hob_exec_open_stream(struct hob_exec_stream *stream, int *fd)
{
    int status = uv_pipe_open(&stream->pipe, *fd);
    assert(status == 0); /* it is a fresh pipe */
    (void)status;
    *fd = -1;
    stream->open = true;
    uv_read_start((uv_stream_t *)&stream->pipe, on_alloc, on_read);
}

/* ---- while it runs ---- */

void hob_exec_kill(struct hob_exec *exec, int number)
{
    if (!exec->exited)
        signal_group(exec, number);
}

void hob_exec_end(struct hob_exec *exec)
{
    terminate(exec);
}

void hob_exec_end_within(struct hob_exec *exec, uint64_t most_ms)
{
    if (exec->grace_ms > most_ms)
        exec->grace_ms = most_ms;
    if (exec->phase == HOB_EXEC_TERMINATING && !exec->closed &&
        uv_timer_get_due_in(&exec->timer) > most_ms)
        hob_exec_start_timer(exec, most_ms);
    terminate(exec);
}

const char *hob_exec_ending(const struct hob_exec *exec)
{
    static const char *const words[] = {[HOB_EXEC_RUNNING] = "runs",
                                        [HOB_EXEC_TERMINATING] = "got TERM",
                                        [HOB_EXEC_KILLED] = "got KILL"};
    return words[exec->phase];
}

void hob_exec_cancel(struct hob_exec *exec)
{
    if (exec->told)
        return;
    exec->told = true;
    hold(exec);
    terminate(exec);
    settle_soon(exec);
}

/* What was being ended is ended; what may go on goes on, and nobody looks at it any more. */
void hob_exec_set_lost(struct hob_exec *exec)
{
    if (!exec->told || exec->closed)
        return;
    if (exec->phase == HOB_EXEC_RUNNING) {
        hob_exec_close_all(exec);
        return;
    }
    hold(exec);
    settle_soon(exec);
}

int hob_exec_pid(const struct hob_exec *exec)
{
    return exec->pid;
}

const char *hob_exec_words(const struct hob_exec_result *result, char *out, size_t len)
{
    if (result->timed_out && result->timeout_ms % 1000)
        snprintf(out, len, "timed out after %.3g s", (double)result->timeout_ms / 1000);
    else if (result->timed_out)
        snprintf(out, len, "timed out after %" PRIu64 " s", result->timeout_ms / 1000);
    else if (result->out_of_memory)
        snprintf(out, len, "killed by the kernel: out of memory");
    else if (result->unknown)
        snprintf(
            out, len,
            "ended, nobody knows how: another part of this process waits for all its children");
    else if (result->signal)
        snprintf(out, len, "killed by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        snprintf(out, len, "exit code %d", result->code);
    return out;
}
