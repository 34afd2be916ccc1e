/* power.c - see power.h */
#include "device/power.h"

#include "base/alloc.h"
#include "device/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define SAID_BYTES   4096 /* what the command prints: its beginning */
#define WORDS_MAX    512

/* ---- which boot ---- */

static int read_text(const char *file, char *out, size_t size, struct hob_error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    int number = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return hob_error_set(err, hob_error_from_errno(number), "the boot id in %s: %s", file,
                             strerror(number));
    out[n] = '\0';
    return 0;
}

int hob_power_boot_id(const char *file, char out[HOB_POWER_BOOT_ID_MAX + 1], struct hob_error *err)
{
    char text[HOB_POWER_BOOT_ID_MAX + 64];
    const char *from = file ? file : BOOT_ID_FILE;
    out[0] = '\0';
    int rc = read_text(from, text, sizeof text, err);
    if (rc)
        return rc;
    size_t len = strcspn(text, " \t\r\n");
    if (len == 0 || len > HOB_POWER_BOOT_ID_MAX)
        return hob_error_set(err, HOB_EIO,
                             "the boot id in %s: expected 1 to %d characters without a space, "
                             "got %zu",
                             from, HOB_POWER_BOOT_ID_MAX, len);
    memcpy(out, text, len);
    out[len] = '\0';
    return 0;
}

/* ---- another boot ----
 *
 * The command prints into memory of its own, so that it can neither block nor be killed by a broken
 * pipe when this process has ended before it. */

struct reboot {
    struct hob_loop *loop;
    struct hob_loop_guest guest;
    uv_process_t process;
    char program[64];
    int said; /* descriptor */
    void (*done)(void *user, const char *problem);
    void *user;
};

static void on_closed(uv_handle_t *handle)
{
    struct reboot *reboot = handle->data;
    close(reboot->said);
    hob_free(reboot);
}

static void leave(void *user)
{
    struct reboot *reboot = user;
    hob_loop_remove_guest(reboot->loop, &reboot->guest);
    uv_close((uv_handle_t *)&reboot->process, on_closed);
}

/* The last line that is not empty. */
static const char *last_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr("\r\n\t ", text[len - 1]))
        text[--len] = '\0';
    const char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

static void tell(struct reboot *reboot, const char *how, int number)
{
    char text[SAID_BYTES + 1], words[WORDS_MAX];
    ssize_t n = pread(reboot->said, text, SAID_BYTES, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *line = last_line(text);
    snprintf(words, sizeof words, "%s: %s %d%s%.400s", reboot->program, how, number,
             *line ? ": " : "", line);
    reboot->done(reboot->user, words);
}

static void on_ended(uv_process_t *process, int64_t code, int number)
{
    struct reboot *reboot = process->data;
    if (number)
        tell(reboot, "killed by signal", number);
    else if (code)
        tell(reboot, "exit code", (int)code);
    else
        reboot->done(reboot->user, NULL);
    leave(reboot);
}

/* What it prints beyond the fixed size is refused to it, as on a full disk. */
static int memory_for_words(struct hob_error *err)
{
    int fd = memfd_create("hob-reboot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, SAID_BYTES) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK)) {
        int number = errno;
        if (fd >= 0)
            close(fd);
        return hob_error_set(err, hob_error_from_errno(number),
                             "reboot_command: no memory for its output: %s", strerror(number));
    }
    return fd;
}

static struct reboot *new_reboot(struct hob_loop *loop, const char *program)
{
    struct reboot *reboot = hob_calloc(1, sizeof *reboot);
    if (!reboot)
        return NULL;
    reboot->loop = loop;
    reboot->process.data = reboot;
    reboot->guest = (struct hob_loop_guest){.leave = leave, .user = reboot};
    snprintf(reboot->program, sizeof reboot->program, "%s", program);
    return reboot;
}

static int spawn(struct reboot *reboot, const char *const *command)
{
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = reboot->said},
                                     {.flags = UV_INHERIT_FD, .data.fd = reboot->said}};
    uv_process_options_t how = {
        .exit_cb = on_ended,
        .file = command[0],
        .args = (char **)(uintptr_t)command,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    hob_child_keep_descriptors();
    return uv_spawn(hob_loop_uv(reboot->loop), &reboot->process, &how);
}

int hob_power_reboot(struct hob_loop *loop, const char *const *command,
                     void (*done)(void *user, const char *problem), void *user,
                     struct hob_error *err)
{
    if (!command || !command[0] || !*command[0])
        return hob_error_set(err, HOB_EINVAL, "reboot_command names no program");
    struct reboot *reboot = new_reboot(loop, command[0]);
    if (!reboot)
        return hob_error_set(err, HOB_ENOMEM, "reboot_command: out of memory");
    reboot->done = done;
    reboot->user = user;
    reboot->said = memory_for_words(err);
    if (reboot->said < 0) {
        int rc = reboot->said;
        hob_free(reboot);
        return rc;
    }
    int status = spawn(reboot, command);
    hob_loop_add_guest(loop, &reboot->guest);
    if (status) {
        leave(reboot);
        return hob_child_why_not_started(command[0], NULL, status, err);
    }
    return 0;
}
