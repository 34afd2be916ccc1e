/* power.c - see power.h */
#include "device/power.h"

#include "base/alloc.h"
#include "device/spawn.h"

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
    struct hob_spawn *spawn;
    char program[64];
    int said; /* descriptor */
    void (*done)(void *user, const char *problem);
    void *user;
};

static void leave(void *user)
{
    struct reboot *reboot = user;
    hob_loop_remove_guest(reboot->loop, &reboot->guest);
    hob_spawn_close(reboot->spawn);
    close(reboot->said);
    hob_free(reboot);
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

static void on_ended(void *user, const struct hob_spawn_end *end)
{
    struct reboot *reboot = user;
    if (end->signal)
        tell(reboot, "killed by signal", end->signal);
    else if (end->code > 0)
        tell(reboot, "exit code", end->code);
    else /* also if nobody knows: whether it was of use is seen in another way */
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
    reboot->guest = (struct hob_loop_guest){.leave = leave, .user = reboot};
    snprintf(reboot->program, sizeof reboot->program, "%s", program);
    return reboot;
}

static int spawn(struct reboot *reboot, const char *const *command, struct hob_error *err)
{
    struct hob_spawn_options how = {
        .file = command[0],
        .argv = command,
        .standard = {-1, reboot->said, reboot->said},
        .ended = on_ended,
        .user = reboot,
    };
    return hob_spawn_start(reboot->loop, &how, &reboot->spawn, err);
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
    hob_loop_add_guest(loop, &reboot->guest);
    int rc = spawn(reboot, command, err);
    if (rc)
        leave(reboot);
    return rc;
}
