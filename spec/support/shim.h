/* shim.h - what the files of hob_shim.so share; shim.c says what it is for.
 *
 *   shim.c         the calls that it stands before
 *   shim_points.c  points, the end of the process, what a power cut takes back, faults
 *   shim_mqtt.c    the broker's packets
 */
#ifndef HOB_SPEC_SHIM_H
#define HOB_SPEC_SHIM_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define HOB_SHIM_PATH_BYTES 4096
#define HOB_SHIM_HEAD_BYTES 512
#define HOB_SHIM_FLOWS      8
#define HOB_SHIM_UNDO_MAX   4096

enum hob_shim_kind {
    HOB_SHIM_COMMIT,
    HOB_SHIM_PUBLISH,
    HOB_SHIM_ACCEPTED,
    HOB_SHIM_CALL,
    HOB_SHIM_USEC,
    HOB_SHIM_KINDS
};

/* ---- shim_mqtt.c ---- */

/** One direction of a connection to the broker: where in its packets we are. */
struct hob_shim_flow {
    int fd; /* -1: free */
    bool seen, mqtt;
    enum { HOB_SHIM_FIRST, HOB_SHIM_LENGTH, HOB_SHIM_BODY } at;
    unsigned char first;
    unsigned digits;
    size_t left, got;
    unsigned char head[HOB_SHIM_HEAD_BYTES]; /* of the packet's body */
};

/** What feeding bytes came to. */
struct hob_shim_heard {
    int publishes, accepted;
    char words[HOB_SHIM_HEAD_BYTES]; /* of those that count: topic, and status if there is one */
};

struct hob_shim_flow *hob_shim_flow_of(struct hob_shim_flow *flows, int fd); /* or NULL */
void hob_shim_flow_open(struct hob_shim_flow *flows, int fd);
void hob_shim_flow_close(struct hob_shim_flow *flows, int fd);
/** At most `limit` bytes of the parts. */
void hob_shim_flow_feed(struct hob_shim_flow *flow, const struct iovec *parts, int count,
                        size_t limit, struct hob_shim_heard *heard, bool incoming);

/* ---- shim_points.c ---- */

/** What a file held before a write that was not synced yet. */
struct hob_shim_undo {
    int fd;
    dev_t dev;
    ino_t ino;
    off_t size; /* of the file */
    off_t at;
    size_t len;
    char *bytes;
};

/** All there is of it in a process: a preloaded library has nobody to give it a pointer. */
struct hob_shim {
    pthread_mutex_t lock;
    pid_t pid; /* 0: not at work */
    char data[HOB_SHIM_PATH_BYTES], fault[HOB_SHIM_PATH_BYTES];
    int log;
    bool power;
    enum hob_shim_kind kill_kind;
    bool kill_after;
    uint64_t kill_at; /* 0: never */
    bool dying;       /* at the next wait of the loop */
    sigset_t mask;    /* of the thread that is in a call */
    uint64_t counts[HOB_SHIM_KINDS], syncs;
    struct hob_shim_flow in[HOB_SHIM_FLOWS], out[HOB_SHIM_FLOWS];
    struct hob_shim_undo undo[HOB_SHIM_UNDO_MAX];
    size_t undos;
    off_t room; /* on the full disk */
};
extern struct hob_shim hob_shim;

__attribute__((format(printf, 1, 2))) void hob_shim_say(const char *format, ...);
void hob_shim_die(const char *where);
bool hob_shim_is_target(enum hob_shim_kind kind);
/** The point has come. Killing after it is hob_shim_passed's, once the call is done. */
void hob_shim_reach(enum hob_shim_kind kind, const char *detail);
void hob_shim_passed(enum hob_shim_kind kind);

/** @return whether this call is looked at; then hob_shim_leave must follow */
bool hob_shim_enter(void);
void hob_shim_leave(void); /* keeps errno */

/** @return the path below the data directory, or NULL */
const char *hob_shim_inside(const char *path);
const char *hob_shim_name_of(int fd, char path[HOB_SHIM_PATH_BYTES]);
bool hob_shim_is_store(const char *name);
/** The error that the control file asks for, or 0. */
int hob_shim_fault(void);
/** Something with this name (NULL: it lies elsewhere) is about to be made, renamed or opened for
 * writing; or bytes up to `end` to be written. @return false: errno is set */
bool hob_shim_may_change(const char *name, bool takes_room);
bool hob_shim_may_write(const char *name, int fd, off_t end);
/** So many bytes below the data directory were given up. */
void hob_shim_give_back(off_t bytes);

/** Bytes of a file are about to be written over, or cut off. */
void hob_shim_remember(int fd, off_t at, size_t len);
void hob_shim_forget_file(int fd); /* it was synced */
void hob_shim_forget_fd(int fd);   /* it is being closed */

#endif
