/* exec_start.c - how a program begins: see exec.h */
#include "base/alloc.h"
#include "device/child.h"
#include "device/exec_parts.h"
#include "device/exec_pipes.h"

#include <assert.h>
#include <string.h>

#define GRACE_DEFAULT_MS 5000

/* A program that does not read all its input is no failure (EPIPE); how it ends says enough. */
static void on_written(uv_write_t *write, int status)
{
    struct hob_exec *exec = write->data;
    hob_exec_close_handle(exec, &exec->in);
}

static int spawn(struct hob_exec *exec, const struct hob_exec_options *options,
                 const struct hob_exec_pipes *pipes, struct hob_error *err)
{
    struct hob_spawn_options how = {
        .name = options->argv[0],
        .file = options->file && options->file[0] ? options->file : options->argv[0],
        .argv = options->argv,
        .env = options->env,
        .cwd = options->cwd,
        .standard = {pipes->in[0], pipes->out[1],
                     pipes->err[1] >= 0 ? pipes->err[1] : pipes->out[1]},
        .as = options->as,
        .ended = hob_exec_on_ended,
        .user = exec,
    };
    hob_exec_set_start(options->set, hob_exec_pipes_inode(pipes->out[1]),
                       hob_exec_pipes_inode(pipes->err[1]));
    int code = hob_spawn_start(exec->loop, &how, &exec->spawn, err);
    exec->pid = code ? 0 : hob_spawn_pid(exec->spawn);
    return code;
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
        hob_exec_close_handle(exec, &exec->in);
}

static void init_stream(struct hob_exec *exec, struct hob_exec_stream *stream, size_t tail_bytes)
{
    stream->exec = exec;
    stream->is_err = stream == &exec->err;
    hob_exec_tail_init(&stream->tail, tail_bytes);
    hob_exec_lines_init(&stream->lines, hob_exec_give_line, stream);
    uv_pipe_init(hob_loop_uv(exec->loop), &stream->pipe, 0);
    stream->pipe.data = exec;
}

static struct hob_exec *new_exec(struct hob_loop *loop, const struct hob_exec_options *options)
{
    struct hob_exec *exec = hob_calloc(1, sizeof *exec);
    if (!exec)
        return NULL;
    if (options->input && options->input_len > 0) {
        exec->input = hob_malloc(options->input_len);
        if (!exec->input) {
            hob_free(exec);
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
    exec->in.data = exec->timer.data = exec->watch.data = exec;
    exec->member.exec = exec;
    exec->handles = 5;
    return exec;
}

static bool is_one_output(const struct hob_exec_options *options)
{
    return options->out_file && options->err_file &&
           strcmp(options->out_file, options->err_file) == 0;
}

static int open_files(struct hob_exec *exec, const struct hob_exec_options *options,
                      struct hob_error *err)
{
    int code = !options->out_file
                   ? 0
                   : hob_exec_file_open(exec->loop, options->out_file, options->file_limit,
                                        options->as, &exec->out.file, err);
    if (code || !options->err_file || is_one_output(options))
        return code;
    return hob_exec_file_open(exec->loop, options->err_file, options->file_limit, options->as,
                              &exec->err.file, err);
}

static int fail_start(struct hob_exec *exec, const struct hob_exec_options *options,
                      struct hob_exec_pipes *pipes, int code)
{
    hob_exec_set_start(options->set, 0, 0);
    hob_exec_pipes_close(pipes);
    hob_exec_file_drop(exec->out.file);
    hob_exec_file_drop(exec->err.file);
    exec->out.file = exec->err.file = NULL;
    hob_exec_close_all(exec);
    return code;
}

static void go(struct hob_exec *exec, const struct hob_exec_options *options,
               struct hob_exec_pipes *pipes)
{
    if (options->set)
        hob_exec_set_add(options->set, &exec->member, options->argv[0]);
    hob_exec_set_start(options->set, 0, 0);
    hob_exec_open_stream(&exec->out, &pipes->out[0]);
    if (pipes->err[0] >= 0)
        hob_exec_open_stream(&exec->err, &pipes->err[0]);
    if (options->input)
        write_input(exec, &pipes->in[1], options->input_len);
    hob_exec_pipes_close(pipes);
    if (exec->timeout_ms)
        hob_exec_start_timer(exec, exec->timeout_ms);
}

int hob_exec_start(struct hob_loop *loop, const struct hob_exec_options *options,
                   struct hob_exec **out, struct hob_error *err)
{
    struct hob_exec_pipes pipes;
    if (!options->argv || !options->argv[0] || !*options->argv[0])
        return hob_error_set(err, HOB_EINVAL, "no program was named");
    if (options->input_len > INT32_MAX)
        return hob_error_set(err, HOB_EMSGSIZE, "%s: the input is over 2 GB", options->argv[0]);
    int code = hob_exec_pipes_open(&pipes, options->input != NULL, is_one_output(options), err);
    if (code)
        return code;
    struct hob_exec *exec = new_exec(loop, options);
    if (!exec) {
        hob_exec_pipes_close(&pipes);
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->argv[0]);
    }
    code = open_files(exec, options, err);
    code = code ? code : spawn(exec, options, &pipes, err);
    if (code)
        return fail_start(exec, options, &pipes, code);
    go(exec, options, &pipes);
    *out = exec;
    return 0;
}
