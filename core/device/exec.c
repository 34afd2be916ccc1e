/* exec.c - see exec.h */
#include "device/exec.h"

#include "base/buf.h"

#include <assert.h>
#include <dirent.h>
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
#define LINE_MAX_BYTES   (64 * 1024)
#define TAIL_DEFAULT     (64 * 1024)
#define TAIL_MAX         (16 * 1024 * 1024)
#define GRACE_DEFAULT_MS 5000
#define LINGER_MS        1000

/* The last `limit` bytes of a stream. Grows up to the limit, then wraps. */
struct tail {
    char *data;
    size_t len, capacity, limit;
    size_t next; /* where the next byte goes once it is full */
    uint64_t cut;
};

struct stream {
    struct hob_exec *exec;
    uv_pipe_t pipe;
    bool is_err, open;
    struct tail tail;
    struct hob_buf line;
    bool line_is_cut; /* what comes until the newline is beyond the longest line */
};

enum phase { RUNNING, TERMINATING, KILLED, LINGERING, FINISHED };

struct hob_exec {
    struct hob_loop *loop;
    uv_process_t process;
    uv_timer_t timer;
    uv_pipe_t in;
    uv_write_t write;
    struct stream out, err;
    char *input;
    uint64_t timeout_ms, grace_ms;
    void (*on_line)(void *user, bool is_err, const char *line, size_t len);
    void (*done)(void *user, const struct hob_exec_result *result);
    void *user;
    enum phase phase;
    bool exited, cancelled, timed_out, in_open;
    int code, signal;
    int handles; /* not yet closed */
    char chunk[CHUNK_BYTES];
};

/* ---- tails ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Without memory the tail stays as large as it is: output is never a reason to fail. */
static void tail_grow(struct tail *tail, size_t want)
{
    size_t capacity = tail->capacity ? tail->capacity : 1024;
    while (capacity < want)
        capacity *= 2;
    capacity = smaller(capacity, tail->limit);
    char *data = realloc(tail->data, capacity + 1); /* and a NUL */
    if (data) {
        tail->data = data;
        tail->capacity = capacity;
    } else {
        tail->limit = tail->capacity;
    }
}

static void tail_wrap(struct tail *tail, const char *data, size_t len)
{
    while (len > 0) {
        size_t part = smaller(len, tail->capacity - tail->next);
        memcpy(tail->data + tail->next, data, part);
        tail->next = (tail->next + part) % tail->capacity;
        tail->cut += part;
        data += part;
        len -= part;
    }
}

static void tail_add(struct tail *tail, const char *data, size_t len)
{
    if (tail->len + len > tail->capacity && tail->capacity < tail->limit)
        tail_grow(tail, tail->len + len);
    size_t fresh = smaller(len, tail->capacity - tail->len);
    if (fresh > 0) {
        memcpy(tail->data + tail->len, data, fresh);
        tail->len += fresh;
    }
    if (tail->capacity > 0)
        tail_wrap(tail, data + fresh, len - fresh);
    else
        tail->cut += len;
}

static void reverse(char *data, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        char swap = data[i];
        data[i] = data[len - 1 - i];
        data[len - 1 - i] = swap;
    }
}

/* Turned in place, since a second copy of 16 MB may not be there. */
static const char *tail_finish(struct tail *tail)
{
    if (!tail->data)
        return "";
    reverse(tail->data, tail->next);
    reverse(tail->data + tail->next, tail->len - tail->next);
    reverse(tail->data, tail->len);
    tail->data[tail->len] = '\0';
    return tail->data;
}

/* ---- lines ---- */

static void give_line(struct stream *stream)
{
    struct hob_exec *exec = stream->exec;
    if (!exec->cancelled)
        exec->on_line(exec->user, stream->is_err, hob_buf_data(&stream->line),
                      hob_buf_len(&stream->line));
    hob_buf_clear(&stream->line);
    stream->line_is_cut = false;
}

static void add_to_line(struct stream *stream, const char *data, size_t len)
{
    size_t fits = smaller(len, hob_buf_room(&stream->line));
    if (hob_buf_append(&stream->line, data, fits) || fits < len)
        stream->line_is_cut = true;
}

static void split_lines(struct stream *stream, const char *data, size_t len)
{
    while (len > 0 && !stream->exec->cancelled) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        add_to_line(stream, data, part);
        if (!newline)
            return;
        give_line(stream);
        data += part + 1;
        len -= part + 1;
    }
}

/* ---- the end ---- */

static void kill_group(const struct hob_exec *exec, int number)
{
    kill(-exec->process.pid, number); /* ESRCH: it is gone already, which is as good */
}

static void free_exec(struct hob_exec *exec)
{
    free(exec->out.tail.data);
    free(exec->err.tail.data);
    hob_buf_free(&exec->out.line);
    hob_buf_free(&exec->err.line);
    free(exec->input);
    if (exec->cancelled)
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

static void close_all(struct hob_exec *exec)
{
    exec->phase = FINISHED;
    close_handle(exec, &exec->process);
    close_handle(exec, &exec->timer);
    close_handle(exec, &exec->in);
    close_handle(exec, &exec->out.pipe);
    close_handle(exec, &exec->err.pipe);
}

static void flush_line(struct stream *stream)
{
    if (stream->exec->on_line && (hob_buf_len(&stream->line) > 0 || stream->line_is_cut))
        give_line(stream);
}

static void finish(struct hob_exec *exec)
{
    if (exec->timed_out || exec->cancelled)
        kill_group(exec, SIGKILL);
    if (!exec->cancelled) {
        flush_line(&exec->out);
        flush_line(&exec->err);
    }
    bool tell = !exec->cancelled; /* a line's callback may have cancelled it */
    close_all(exec);
    if (!tell)
        return;
    struct hob_exec_result result = {
        .code = exec->signal ? -1 : exec->code,
        .signal = exec->signal,
        .timed_out = exec->timed_out,
        .timeout_ms = exec->timeout_ms,
        .out = tail_finish(&exec->out.tail),
        .err = tail_finish(&exec->err.tail),
        .out_len = exec->out.tail.len,
        .err_len = exec->err.tail.len,
        .out_cut = exec->out.tail.cut,
        .err_cut = exec->err.tail.cut,
    };
    exec->done(exec->user, &result);
}

static void on_timer(uv_timer_t *timer);

static void start_timer(struct hob_exec *exec, uint64_t ms)
{
    uv_update_time(exec->timer.loop);
    uv_timer_start(&exec->timer, on_timer, ms, 0);
}

/* A stopped process gets its TERM only when it goes on. */
static void terminate(struct hob_exec *exec)
{
    exec->phase = TERMINATING;
    kill_group(exec, SIGTERM);
    kill_group(exec, SIGCONT);
    start_timer(exec, exec->grace_ms);
}

static void on_timer(uv_timer_t *timer)
{
    struct hob_exec *exec = timer->data;
    switch (exec->phase) {
    case RUNNING:
        exec->timed_out = true;
        terminate(exec);
        break;
    case TERMINATING:
        exec->phase = KILLED;
        kill_group(exec, SIGKILL);
        break;
    case LINGERING:
        kill_group(exec, SIGKILL);
        finish(exec);
        break;
    default:
        break;
    }
}

static void finish_if_drained(struct hob_exec *exec)
{
    if (exec->exited && !exec->out.open && !exec->err.open && exec->phase != FINISHED)
        finish(exec);
}

static void on_ended(uv_process_t *process, int64_t code, int number)
{
    struct hob_exec *exec = process->data;
    exec->exited = true;
    exec->code = (int)code;
    exec->signal = number;
    exec->phase = LINGERING;
    start_timer(exec, LINGER_MS);
    finish_if_drained(exec);
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
        stream->open = false;
        close_handle(exec, pipe);
        finish_if_drained(exec);
        return;
    }
    if (exec->cancelled)
        return;
    tail_add(&stream->tail, buf->base, (size_t)n);
    if (exec->on_line)
        split_lines(stream, buf->base, (size_t)n);
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

static int cwd_trouble(const char *cwd, struct hob_error *err)
{
    struct stat st;
    if (!cwd)
        return 0;
    if (stat(cwd, &st))
        return hob_error_set(err, hob_error_from_errno(errno), "cwd %s: %s", cwd, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return hob_error_set(err, HOB_EINVAL, "cwd %s: not a directory", cwd);
    return 0;
}

static int why_not_started(const struct hob_exec_options *options, int status,
                           struct hob_error *err)
{
    const char *program = options->argv[0];
    int code = cwd_trouble(options->cwd, err);
    if (code)
        return code;
    code = hob_error_from_uv(status);
    if (status == UV_ENOENT && !strchr(program, '/'))
        return hob_error_set(err, code, "%s: not found in PATH", program);
    if (status == UV_ENOENT && access(program, F_OK) == 0)
        return hob_error_set(
            err, code, "%s: the interpreter that its first line names was not found", program);
    if (status == UV_ENOENT)
        return hob_error_set(err, code, "%s: no such file", program);
    if (status == UV_EACCES)
        return hob_error_set(err, code, "%s: may not be run (is it an executable file?)", program);
    return hob_error_set(err, code, "%s: could not be started: %s", program, uv_strerror(status));
}

/* Some libraries, and whoever started us, leave descriptors open to every child. */
static void keep_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (dir)
        closedir(dir);
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
    keep_descriptors();
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
    stream->tail.limit = smaller(tail_bytes ? tail_bytes : TAIL_DEFAULT, TAIL_MAX);
    hob_buf_init(&stream->line, LINE_MAX_BYTES);
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
    exec->on_line = options->on_line;
    exec->done = options->done;
    exec->user = options->user;
    init_stream(exec, &exec->out, options->tail_bytes);
    init_stream(exec, &exec->err, options->tail_bytes);
    uv_pipe_init(hob_loop_uv(loop), &exec->in, 0);
    uv_timer_init(hob_loop_uv(loop), &exec->timer);
    exec->in.data = exec->timer.data = exec->process.data = exec;
    exec->handles = 5;
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
        close_pipes(&pipes);
        close_all(exec);
        return why_not_started(options, status, err);
    }
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
        kill_group(exec, number);
}

void hob_exec_cancel(struct hob_exec *exec)
{
    if (exec->cancelled)
        return;
    exec->cancelled = true;
    hob_loop_hold(exec->loop);
    if (exec->phase == FINISHED)
        return;
    if (exec->exited)
        finish(exec);
    else if (exec->phase == RUNNING)
        terminate(exec);
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
    else if (result->signal)
        snprintf(out, len, "killed by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        snprintf(out, len, "exit code %d", result->code);
    return out;
}

struct hob_exec_set *hob_exec_set_new(struct hob_loop *loop,
                                      const struct hob_exec_set_options *options)
{
    return NULL;
}

void hob_exec_set_free(struct hob_exec_set *set) {}

size_t hob_exec_set_count(const struct hob_exec_set *set)
{
    return 0;
}

void hob_exec_set_end(struct hob_exec_set *set) {}

void hob_exec_set_when_gone(struct hob_exec_set *set, void (*gone)(void *user), void *user)
{
    if (gone)
        gone(user);
}
