/* child.c - see child.h */
#include "device/child.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

void hob_child_keep_descriptors(void)
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

int hob_child_cwd_trouble(const char *cwd, struct hob_error *err)
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

int hob_child_why_not_started(const char *program, const char *cwd, int status,
                              struct hob_error *err)
{
    int code = hob_child_cwd_trouble(cwd, err);
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

/* ---- /proc ---- */

/* The first bytes of a small file as a string; "" if it cannot be read. The kernel gives some of
 * its own in parts. */
static const char *read_start(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 1;
    while (fd >= 0 && n > 0 && len < size - 1) {
        n = read(fd, out + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    out[len] = '\0';
    return out;
}

struct process {
    char state;
    int group, session;
    uint64_t started;
};

/* The name of a process, in parentheses, may hold any byte: what comes behind the last one counts.
 */
static bool read_process(int pid, struct process *out)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *rest = strrchr(read_start(path, text, sizeof text), ')');
    return rest && sscanf(rest,
                          ") %c %*d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                          "%*d %*d %" SCNu64,
                          &out->state, &out->group, &out->session, &out->started) == 4;
}

uint64_t hob_child_started(int pid)
{
    struct process process;
    return read_process(pid, &process) ? process.started : 0;
}

struct members {
    int group;
    size_t dead, alive;
    size_t ours; /* alive, of the group's own session, and not older than `since` */
    uint64_t since;
};

static void count_member(struct members *members, int pid)
{
    struct process process;
    if (!read_process(pid, &process) || process.group != members->group)
        return;
    bool alive = process.state != 'Z' && process.state != 'X';
    *(alive ? &members->alive : &members->dead) += 1;
    if (alive && process.session == members->group && process.started >= members->since)
        members->ours++;
}

static void count_members(struct members *members)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            count_member(members, atoi(entry->d_name));
    if (dir)
        closedir(dir);
}

/* Where /proc hides other users' processes nothing is seen of a group that runs. */
bool hob_child_group_runs(int group, bool look)
{
    struct members members = {.group = group};
    if (kill(-group, 0) && errno == ESRCH)
        return false;
    if (look)
        count_members(&members);
    return members.alive > 0 || members.dead == 0;
}

/* While a group lives the kernel gives its id to no other process: so if there is one of that id,
 * and it is another, the group is gone. */
bool hob_child_group_is(int group, uint64_t started)
{
    struct members members = {.group = group, .since = started};
    uint64_t leader = hob_child_started(group);
    if ((kill(-group, 0) && errno == ESRCH) || (leader && leader != started))
        return false;
    count_members(&members);
    return members.ours > 0;
}

/* ---- who holds a pipe ---- */

static bool has_pipe(int pid, const uint64_t pipes[2])
{
    char path[64], file[512], link[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir))) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        ssize_t len = readlink(file, link, sizeof link - 1);
        link[len > 0 ? len : 0] = '\0';
        uint64_t inode = 0;
        found = sscanf(link, "pipe:[%" SCNu64 "]", &inode) == 1 && inode &&
                (inode == pipes[0] || inode == pipes[1]);
    }
    if (dir)
        closedir(dir);
    return found;
}

int hob_child_group_with(const uint64_t pipes[2], uint64_t *started)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    struct process process, leader;
    int group = 0;
    while (dir && group == 0 && (entry = readdir(dir))) {
        int pid = atoi(entry->d_name);
        if (pid < 1 || pid == getpid() || !has_pipe(pid, pipes) || !read_process(pid, &process))
            continue;
        group = process.group;
        *started = read_process(group, &leader) ? leader.started : process.started;
    }
    if (dir)
        closedir(dir);
    return group;
}

/* ---- out of memory ---- */

static uint64_t count_in(const char *path)
{
    char text[8192];
    const char *found = path ? strstr(read_start(path, text, sizeof text), "oom_kill ") : NULL;
    return found ? strtoull(found + strlen("oom_kill "), NULL, 10) : 0;
}

/* The file in which our own control group (version 2) counts; NULL: there is none. */
static const char *group_events(char *out, size_t size)
{
    char text[4096];
    char *path =
        strstr((char *)(uintptr_t)read_start("/proc/self/cgroup", text, sizeof text), "0::/");
    if (!path || (path > text && path[-1] != '\n'))
        return NULL;
    path += strlen("0::");
    path[strcspn(path, "\n")] = '\0';
    int n = snprintf(out, size, "/sys/fs/cgroup%s/memory.events", path);
    return n > 0 && (size_t)n < size ? out : NULL;
}

uint64_t hob_child_oom_kills(const char *file)
{
    char events[PATH_MAX];
    if (file)
        return count_in(file);
    return count_in("/proc/vmstat") + count_in(group_events(events, sizeof events));
}
