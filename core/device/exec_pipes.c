/* exec_pipes.c - see exec_pipes.h */
#include "device/exec_pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    pair[0] = pair[1] = -1;
}

void hob_exec_pipes_close(struct hob_exec_pipes *pipes)
{
    close_pair(pipes->in);
    close_pair(pipes->out);
    close_pair(pipes->err);
}

int hob_exec_pipes_open(struct hob_exec_pipes *pipes, bool with_input, bool one_output,
                        struct hob_error *err)
{
    *pipes = (struct hob_exec_pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if ((with_input && pipe2(pipes->in, O_CLOEXEC)) || pipe2(pipes->out, O_CLOEXEC) ||
        (!one_output && pipe2(pipes->err, O_CLOEXEC))) {
        int number = errno;
        hob_exec_pipes_close(pipes);
        return hob_error_set(err, hob_error_from_errno(number), "making a pipe: %s",
                             strerror(number));
    }
    return 0;
}

uint64_t hob_exec_pipes_inode(int fd)
{
    struct stat st;
    return fd < 0 || fstat(fd, &st) ? 0 : st.st_ino;
}
