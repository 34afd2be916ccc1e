/* exec.c - see exec.h
 *
 * A process is followed until its whole group is gone, if somebody waits for that: its set, a
 * cancel, or the end after a time-out. Nothing tells when the last of a group ends, so once its
 * leader has, the group is looked at again and again. */
#include "device/exec.h"

#include "device/child.h"
#include "device/exec_output.h"
#include "device/exec_set.h"

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

#define CHUNK_BYTES      (32 * 1024)
#define GRACE_DEFAULT_MS 5000
#define LINGER_MS        1000 /* for pipes that outlive the process; for a group that got KILL */
#define WATCH_MIN_MS     10
#define WATCH_MAX_MS     100
#define WATCH_IDLE_MS    1000 /* nobody waits for it */

struct stream {
    struct hob_exec *exec;
    uv_pipe_t pipe;
    bool is_err, open;
    struct hob_exec_tail tail;
    struct hob_exec_lines lines;
};

/* What was done to end the group. */
enum phase { RUNNING, TERMINATING, KILLED };

struct hob_exec {
    struct hob_loop *loop;
    struct hob_exec_member member;
    uv_process_t process;
    uv_timer_t timer; /* the time-out, then the grace */
    uv_timer_t watch; /* after the end of the leader */
    uv_pipe_t in;
    uv_write_t write;
    struct stream out, err;
    char *input;
    uint64_t timeout_ms, grace_ms, oom_kills;
    const char *oom_file;
    void (*on_line)(void *user, bool is_err, const char *line, size_t len);
    void (*done)(void *user, const struct hob_exec_result *result);
    void *user;
    enum phase phase;
    bool exited, gone; /* the leader; the group */
    bool told;         /* `done` was called, or never will be */
    bool timed_out, killed_by_us, held, closed;
    int code, signal;
    int looks;   /* at the group since something happened to it */
    int handles; /* not yet closed */
    uint64_t exited_at, killed_at;
    char chunk[CHUNK_BYTES];
};

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
    free(exec->input);
    if (exec->held)
        hob_loop_release(exec->loop);
    free(exec);
}

static void on_closed(uv_handle_t *handle)
{
    struct hob_exec *exec = handle->data;
    if (--exec->handles == 0)
        free_exec(exec);
}

static void close_handle(struct hob_exec *exec, void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_stream(struct stream *stream)
{
    stream->open = false;
    close_handle(stream->exec, &stream->pipe);
}

static void close_all(struct hob_exec *exec)
{
    exec->closed = true;
    hob_exec_set_remove(&exec->member);
    close_handle(exec, &exec->process);
    close_handle(exec, &exec->timer);
    close_handle(exec, &exec->watch);
    close_handle(exec, &exec->in);
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

static bool give_line(void *user, const char *line, size_t len)
{
    struct stream *stream = user;
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
    *result = (struct hob_exec_result){
        .code = exec->signal ? -1 : exec->code,
        .signal = exec->signal,
        .timed_out = exec->timed_out,
        .out_of_memory = was_out_of_memory(exec),
        .timeout_ms = exec->timeout_ms,
        .out = hob_exec_tail_finish(&exec->out.tail),
        .err = hob_exec_tail_finish(&exec->err.tail),
        .out_len = exec->out.tail.len,
        .err_len = exec->err.tail.len,
        .out_cut = exec->out.tail.cut,
        .err_cut = exec->err.tail.cut,
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
    kill(-exec->process.pid, number); /* ESRCH: it is gone already, which is as good */
    if (number == SIGKILL)
        exec->killed_by_us = true;
}

static void kill_group(struct hob_exec *exec)
{
    exec->phase = KILLED;
    exec->killed_at = now_of(exec);
    exec->looks = 0;
    signal_group(exec, SIGKILL);
}

static bool is_drained(const struct hob_exec *exec)
{
    return !exec->out.open && !exec->err.open;
}

/* What a background child holds open is no reason to wait for ever. */
static void stop_lingering(struct hob_exec *exec)
{
    if (is_drained(exec) || now_of(exec) - exec->exited_at < LINGER_MS)
        return;
    if (exec->phase == RUNNING)
        kill_group(exec);
    close_stream(&exec->out);
    close_stream(&exec->err);
}

static bool given_up(const struct hob_exec *exec)
{
    return exec->phase == KILLED && now_of(exec) - exec->killed_at >= LINGER_MS;
}

/* After a program's own end what is left of its group may go on, until its set is ended. */
static bool may_tell(const struct hob_exec *exec)
{
    return is_drained(exec) && (exec->gone || exec->phase == RUNNING || given_up(exec));
}

static bool is_over(const struct hob_exec *exec)
{
    if (!exec->told || !is_drained(exec))
        return false;
    return exec->gone || (!exec->member.set && (exec->phase == RUNNING || given_up(exec)));
}

static uint64_t next_look_ms(const struct hob_exec *exec)
{
    uint64_t most = exec->told && exec->phase == RUNNING ? WATCH_IDLE_MS : WATCH_MAX_MS;
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
        exec->gone = !hob_child_group_runs(exec->process.pid, exec->looks > 2);
    if (!exec->told && may_tell(exec))
        tell(exec);
    if (is_over(exec))
        close_all(exec);
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

static void start_timer(struct hob_exec *exec, uint64_t ms)
{
    uv_update_time(exec->timer.loop);
    uv_timer_start(&exec->timer, on_timer, ms, 0);
}

/* A stopped process gets its TERM only when it goes on. */
static void terminate(struct hob_exec *exec)
{
    if (exec->closed || exec->phase != RUNNING)
        return;
    exec->phase = TERMINATING;
    if (!exec->gone) {
        signal_group(exec, SIGTERM);
        signal_group(exec, SIGCONT);
    }
    start_timer(exec, exec->grace_ms);
    settle_soon(exec);
}

static void on_timer(uv_timer_t *timer)
{
    struct hob_exec *exec = timer->data;
    if (exec->phase == RUNNING) {
        exec->timed_out = true;
        terminate(exec);
    } else if (exec->phase == TERMINATING && !exec->gone) {
        kill_group(exec);
        settle_soon(exec);
    }
}

static void on_ended(uv_process_t *process, int64_t code, int number)
{
    struct hob_exec *exec = process->data;
    exec->exited = true;
    exec->code = (int)code;
    exec->signal = number;
    exec->exited_at = now_of(exec);
    if (exec->phase == RUNNING)
        uv_timer_stop(&exec->timer);
    settle(exec);
}

/* ---- the streams ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct hob_exec *exec = handle->data;
    *buf = uv_buf_init(exec->chunk, sizeof exec->chunk);
}

static struct stream *stream_of(struct hob_exec *exec, const uv_stream_t *pipe)
{
    return pipe == (const uv_stream_t *)&exec->out.pipe ? &exec->out : &exec->err;
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct hob_exec *exec = pipe->data;
    struct stream *stream = stream_of(exec, pipe);
    if (n < 0) {
        close_stream(stream);
        settle(exec);
        return;
    }
    hob_exec_set_data(&exec->member, stream->is_err, buf->base, (size_t)n);
    if (exec->told)
        return;
    hob_exec_tail_add(&stream->tail, buf->base, (size_t)n);
    if (exec->on_line)
        hob_exec_lines_add(&stream->lines, buf->base, (size_t)n);
}

/* A program that does not read all its input is no failure (EPIPE); how it ends says enough. */
static void on_written(uv_write_t *write, int status)
{
    struct hob_exec *exec = write->data;
    close_handle(exec, &exec->in);
}

/* ---- the start ---- */

struct pipes {
    int in[2], out[2], err[2]; /* [0] to read from, [1] to write to */
};

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    pair[0] = pair[1] = -1;
}

static void close_pipes(struct pipes *pipes)
{
    close_pair(pipes->in);
    close_pair(pipes->out);
    close_pair(pipes->err);
}

static int open_pipes(struct pipes *pipes, bool with_input, struct hob_error *err)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if ((with_input && pipe2(pipes->in, O_CLOEXEC)) || pipe2(pipes->out, O_CLOEXEC) ||
        pipe2(pipes->err, O_CLOEXEC)) {
        int number = errno;
        close_pipes(pipes);
        return hob_error_set(err, hob_error_from_errno(number), "making a pipe: %s",
                             strerror(number));
    }
    return 0;
}

static uint64_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : st.st_ino;
}

static int spawn(struct hob_exec *exec, const struct hob_exec_options *options,
                 const struct pipes *pipes)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = pipes->in[0] >= 0 ? UV_INHERIT_FD : UV_IGNORE, .data.fd = pipes->in[0]},
        {.flags = UV_INHERIT_FD, .data.fd = pipes->out[1]},
        {.flags = UV_INHERIT_FD, .data.fd = pipes->err[1]},
    };
    uv_process_options_t how = {
        .exit_cb = on_ended,
        .file = options->argv[0],
        .args = (char **)(uintptr_t)options->argv,
        .env = (char **)(uintptr_t)options->env,
        .cwd = options->cwd,
        .flags = UV_PROCESS_DETACHED, /* setsid: a process group of its own */
        .stdio_count = 3,
        .stdio = stdio,
    };
    hob_child_keep_descriptors();
    hob_exec_set_start(options->set, inode_of(pipes->out[1]), inode_of(pipes->err[1]));
    return uv_spawn(hob_loop_uv(exec->loop), &exec->process, &how);
}

static void open_stream(struct stream *stream, int *fd)
{
    int status = uv_pipe_open(&stream->pipe, *fd);
    assert(status == 0); /* it is a fresh pipe */
    (void)status;
    *fd = -1;
    stream->open = true;
    uv_read_start((uv_stream_t *)&stream->pipe, on_alloc, on_read);
}

static void write_input(struct hob_exec *exec, int *fd, size_t len)
{
    int status = uv_pipe_open(&exec->in, *fd);
    assert(status == 0);
    (void)status;
    *fd = -1;
    exec->write.data = exec;
    uv_buf_t buf = uv_buf_init(exec->input, (unsigned)len);
    if (len == 0 || uv_write(&exec->write, (uv_stream_t *)&exec->in, &buf, 1, on_written))
        close_handle(exec, &exec->in);
}

static void init_stream(struct hob_exec *exec, struct stream *stream, size_t tail_bytes)
{
    stream->exec = exec;
    stream->is_err = stream == &exec->err;
    hob_exec_tail_init(&stream->tail, tail_bytes);
    hob_exec_lines_init(&stream->lines, give_line, stream);
    uv_pipe_init(hob_loop_uv(exec->loop), &stream->pipe, 0);
    stream->pipe.data = exec;
}

static struct hob_exec *new_exec(struct hob_loop *loop, const struct hob_exec_options *options)
{
    struct hob_exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        return NULL;
    if (options->input && options->input_len > 0) {
        exec->input = malloc(options->input_len);
        if (!exec->input) {
            free(exec);
            return NULL;
        }
        memcpy(exec->input, options->input, options->input_len);
    }
    exec->loop = loop;
    exec->timeout_ms = options->timeout_ms;
    exec->grace_ms = options->grace_ms ? options->grace_ms : GRACE_DEFAULT_MS;
    exec->oom_file = options->oom_file;
    exec->oom_kills = hob_child_oom_kills(options->oom_file);
    exec->on_line = options->on_line;
    exec->done = options->done;
    exec->user = options->user;
    init_stream(exec, &exec->out, options->tail_bytes);
    init_stream(exec, &exec->err, options->tail_bytes);
    uv_pipe_init(hob_loop_uv(loop), &exec->in, 0);
    uv_timer_init(hob_loop_uv(loop), &exec->timer);
    uv_timer_init(hob_loop_uv(loop), &exec->watch);
    exec->in.data = exec->timer.data = exec->watch.data = exec->process.data = exec;
    exec->member.exec = exec;
    exec->handles = 6;
    return exec;
}

int hob_exec_start(struct hob_loop *loop, const struct hob_exec_options *options,
                   struct hob_exec **out, struct hob_error *err)
{
    struct pipes pipes;
    if (!options->argv || !options->argv[0] || !*options->argv[0])
        return hob_error_set(err, HOB_EINVAL, "no program was named");
    if (options->input_len > INT32_MAX)
        return hob_error_set(err, HOB_EMSGSIZE, "%s: the input is over 2 GB", options->argv[0]);
    int code = open_pipes(&pipes, options->input != NULL, err);
    if (code)
        return code;
    struct hob_exec *exec = new_exec(loop, options);
    if (!exec) {
        close_pipes(&pipes);
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->argv[0]);
    }
    int status = spawn(exec, options, &pipes);
    if (status) {
        hob_exec_set_start(options->set, 0, 0);
        close_pipes(&pipes);
        close_all(exec);
        return hob_child_why_not_started(options->argv[0], options->cwd, status, err);
    }
    if (options->set)
        hob_exec_set_add(options->set, &exec->member, options->argv[0]);
    hob_exec_set_start(options->set, 0, 0);
    open_stream(&exec->out, &pipes.out[0]);
    open_stream(&exec->err, &pipes.err[0]);
    if (options->input)
        write_input(exec, &pipes.in[1], options->input_len);
    close_pipes(&pipes);
    if (exec->timeout_ms)
        start_timer(exec, exec->timeout_ms);
    *out = exec;
    return 0;
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
    if (exec->phase == TERMINATING && !exec->closed && uv_timer_get_due_in(&exec->timer) > most_ms)
        start_timer(exec, most_ms);
    terminate(exec);
}

const char *hob_exec_ending(const struct hob_exec *exec)
{
    static const char *const words[] = {
        [RUNNING] = "runs", [TERMINATING] = "got TERM", [KILLED] = "got KILL"};
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
    if (exec->phase == RUNNING) {
        close_all(exec);
        return;
    }
    hold(exec);
    settle_soon(exec);
}

int hob_exec_pid(const struct hob_exec *exec)
{
    return exec->process.pid;
}

const char *hob_exec_words(const struct hob_exec_result *result, char *out, size_t len)
{
    if (result->timed_out && result->timeout_ms % 1000)
        snprintf(out, len, "timed out after %.3g s", (double)result->timeout_ms / 1000);
    else if (result->timed_out)
        snprintf(out, len, "timed out after %" PRIu64 " s", result->timeout_ms / 1000);
    else if (result->out_of_memory)
        snprintf(out, len, "killed by the kernel: out of memory");
    else if (result->signal)
        snprintf(out, len, "killed by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        snprintf(out, len, "exit code %d", result->code);
    return out;
}
