/* hob.h - libhob: AWS IoT Jobs inside a product's own process.
 *
 * The only header that is installed. It needs nothing but the C library, and is legal C11 and C++.
 *
 * Glossary
 *   runtime      one Hob: its configuration, store, handlers, things and loop. A process may have
 *                several, each with a data directory of its own
 *   driving      running its loop: hob_runtime_run, or hob_runtime_dispatch again and again, or
 *                uv_run on the loop that it was given
 *   thing        whose jobs are run; a runtime has one or many
 *   handler      what is done for a job of one type: a Lua file, or a C function (struct
 *                hob_handler)
 *   run          one run of a C handler, from `run` to hob_run_succeed and its like
 *   module       functions of the product that Lua handlers `require`
 *   call         one call of such a function, from `fn` to hob_call_finish
 *   offer        a job that could be begun with, and the question whether it is to be
 *
 * Life of a runtime:
 *   hob_runtime_new -> hob_runtime_add_handler, _add_module, _observe, _decide -> hob_runtime_start
 *   -> driving, until it has stopped (hob_runtime_stop, a signal, or a job's own wish)
 *   -> hob_runtime_free
 *
 * Threads: a runtime, and all that belongs to it, is used by one thread at a time: the one that
 * drives it. From any thread: hob_post, hob_version, hob_error_name. All other functions of this
 * header are for the driving thread; another one posts a function that calls them. Runtimes of one
 * process may be driven by threads of their own.
 *
 * Callbacks: on the driving thread, while it is driven (or inside hob_runtime_free, which ends what
 * is under way), never inside the call that asked for them. Each says whether it may call the
 * runtime. None may be left by longjmp or a C++ exception.
 *
 * What Hob leaves alone unless it is asked: signals and their handlers, the environment, the
 * standard streams, the working directory, the umask, limits of the process. It starts no threads
 * but those of libuv's pool (UV_THREADPOOL_SIZE). Children that it starts it ends and reaps itself;
 * those of the product it does not touch. A product that drives Hob on a uv_loop_t of its own
 * ignores or blocks SIGPIPE itself.
 *
 * fork(): a runtime stays with the process that made it. The child has its descriptors, and would
 * end its programs and its connections: there no function of this header may be called for it, not
 * even hob_runtime_free; the child executes a program, or leaves by _exit. A daemon forks before
 * hob_runtime_new.
 *
 * Ownership: arguments are borrowed for the call (copied where they are needed longer) unless a
 * parameter says "takes"; what a callback gets is borrowed for that callback.
 *
 * Errors: 0, or a negative HOB_E* code. Where a person will read the reason, the last parameter is
 * a `struct hob_error *`, which may be NULL. What only a defect of the product can bring about and
 * cannot be returned (hob_runtime_free inside a callback) is written to stderr, and the process
 * aborts.
 *
 * Texts are UTF-8. Names of files that are not absolute are looked for from the working directory;
 * in a configuration file, from where that lies.
 *
 * ABI: structs whose first member is `size` grow at their end: set it to sizeof, the rest to zero
 * (designated initialisers do); zero means the default. An older program's smaller struct is taken
 * as if the rest were zero; a newer one's larger struct is refused (HOB_EINVAL) where it sets what
 * this library does not know. All other structs are opaque, or frozen.
 */
#ifndef HOB_H
#define HOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HOB_EXTERN __attribute__((visibility("default")))

/* ---- version ---- */

#define HOB_VERSION_MAJOR 0
#define HOB_VERSION_MINOR 1
#define HOB_VERSION_PATCH 0

/** Of the library that is loaded: "0.1.0". Any thread. */
HOB_EXTERN const char *hob_version(void);

/* ---- errors ---- */

/** Every code: its name (as Lua handlers see it, "ETIMEDOUT"), its number, its short words. */
#define HOB_ERROR_CODES(X)                                                                         \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(ENOENT, -3, "no such file or entry")                                                         \
    X(EACCES, -4, "permission denied")                                                             \
    X(EEXIST, -5, "exists already")                                                                \
    X(EIO, -6, "input/output error")                                                               \
    X(ETIMEDOUT, -7, "timed out")                                                                  \
    X(ENOTCONN, -8, "not connected")                                                               \
    X(ECONNREFUSED, -9, "connection refused")                                                      \
    X(ECONNRESET, -10, "connection reset")                                                         \
    X(ERESOLVE, -11, "name not resolved")                                                          \
    X(ETLS, -12, "TLS refused")                                                                    \
    X(EPROTO, -13, "protocol error")                                                               \
    X(EMSGSIZE, -14, "too large")                                                                  \
    X(ECANCELED, -15, "cancelled")                                                                 \
    X(EBUSY, -16, "busy")                                                                          \
    X(EJSON, -17, "not valid JSON")                                                                \
    X(ECONFIG, -18, "configuration error")                                                         \
    X(ESTORE, -19, "store error")                                                                  \
    X(EHANDLER, -20, "handler error")                                                              \
    X(EREJECTED, -21, "rejected by the service")                                                   \
    X(EUNSUPPORTED, -22, "not supported")                                                          \
    X(EDIGEST, -23, "digest differs")                                                              \
    X(EHTTP, -24, "HTTP error")                                                                    \
    X(ENOSPC, -25, "no space left")                                                                \
    X(EEXEC, -26, "command failed")                                                                \
    X(EREFUSED, -27, "refused by the broker")                                                      \
    X(ELENGTH, -28, "length differs")                                                              \
    X(ESIGNATURE, -29, "signature refused")                                                        \
    X(EPERM, -30, "not allowed here")                                                              \
    X(ESTALE, -31, "no longer there")                                                              \
    X(EINCOMPLETE, -32, "not finished")

enum hob_error_code {
#define HOB_ERROR_ENUM(name, number, words) HOB_##name = (number),
    HOB_ERROR_CODES(HOB_ERROR_ENUM)
#undef HOB_ERROR_ENUM
};

#define HOB_ERROR_MESSAGE_MAX 1024

struct hob_error {
    int code; /* a HOB_E* code */
    char message[HOB_ERROR_MESSAGE_MAX];
};

/** @return "ETIMEDOUT" for HOB_ETIMEDOUT, "OK" for 0, "EUNKNOWN" for anything else. Any thread. */
HOB_EXTERN const char *hob_error_name(int code);

/* ---- of the whole process: before the first runtime, once ---- */

struct hob_allocator {
    size_t size;
    void *(*malloc_fn)(void *user, size_t size);
    void *(*calloc_fn)(void *user, size_t count, size_t size);
    void *(*realloc_fn)(void *user, void *block, size_t size);
    void (*free_fn)(void *user, void *block); /* NULL is legal */
    void *user;
};

/** Hob's own memory, and Lua's, come from these from now on; from any thread. Libraries below keep
 * theirs. @return 0, HOB_EINVAL: a function is missing; HOB_EBUSY: memory is in use already */
HOB_EXTERN int hob_set_allocator(const struct hob_allocator *allocator);

struct hob_clock {
    size_t size;
    int64_t (*wall_ms)(void *user);       /* since 1970-01-01T00:00:00Z; NULL: the system's */
    uint64_t (*monotonic_ms)(void *user); /* never goes back; NULL: the system's */
    void *user;
};

/** What time it is, for log lines, certificates' dates, windows and durations; timers are the
 * loop's. @return 0, HOB_EINVAL, HOB_EBUSY: a runtime is there already */
HOB_EXTERN int hob_set_clock(const struct hob_clock *clock);

/* ---- a runtime ---- */

struct hob_runtime;
struct hob_connection;
struct hob_offer;
struct hob_run;
struct hob_call;
struct uv_loop_s;

enum hob_log_severity {
    HOB_SEVERITY_DEBUG,
    HOB_SEVERITY_INFO,
    HOB_SEVERITY_WARN,
    HOB_SEVERITY_ERROR
};

/** One event of the log. */
struct hob_log_line {
    enum hob_log_severity severity;
    const char *event; /* a stable id of docs/reference/events.md: "job.finished" */
    const char *thing; /* NULL: about none */
    const char *job;   /* NULL: about none */
    const char *line;  /* the whole, as `log_format` says, without a newline, NUL-ended; secrets are
                        * masked */
    size_t len;        /* bytes of line */
};

enum hob_key_scheme {
    HOB_KEY_RSA_PKCS1, /* PKCS #1 v1.5: DigestInfo of the hash, padded; as long as the modulus */
    HOB_KEY_RSA_PSS,   /* with the hash's own MGF1, and a salt as long as the hash */
    HOB_KEY_ECDSA      /* SEQUENCE { r INTEGER, s INTEGER } in DER */
};

/** What is to be signed; borrowed for the call. */
struct hob_key_request {
    size_t size;
    const char *thing; /* whose connection it is */
    const char *cert;  /* the file of the certificate that the key belongs to */
    enum hob_key_scheme scheme;
    const char *hash_name;     /* "SHA256", "SHA384", "SHA512" */
    const unsigned char *hash; /* of what is signed */
    size_t hash_len;
};

/** Signs with a private key that never leaves its keeper: a secure element, a TPM, a PKCS #11
 * token. No key file is opened then. The certificate says whether the key is RSA or EC; which kinds
 * are possible with which mbedTLS, and an example, is in docs/how-to/embed. Each signature is
 * compared with the certificate's public key before it is used. */
struct hob_key_provider {
    size_t size;
    const char *name; /* for messages: "TPM"; copied; NULL: "the product's" */
    /** Called while the configuration is loaded, once for each thing that has a certificate, and in
     * each full TLS handshake. The loop waits for it.
     * @param out  room for *out_len bytes; set it to what is used
     * @return 0, or a code and the reason */
    int (*sign)(void *user, const struct hob_key_request *request, unsigned char *out,
                size_t *out_len, struct hob_error *err);
    void *user;
};

struct hob_runtime_options {
    size_t size; /* sizeof(struct hob_runtime_options) */

    /* Where the configuration comes from: a file, members of this struct, or both. The members win
     * over the file, and `settings` over the members. All of it goes through the same checks as the
     * file and the flags of `hob run`; what does not fit is HOB_ECONFIG, and the message names the
     * file and line, the member ("port: expected ..."), or the setting ("settings: poll: expected
     * ..."). */
    const char *config_file; /* hob.conf.lua; NULL: none */
    const char *endpoint;    /* of AWS IoT, or a broker: a host name */
    int port;                /* 0: 8883; 1883 with no_tls */
    const char
        *thing_name; /* NULL, and none in the file: no thing yet, see hob_runtime_add_thing */
    const char *ca, *cert, *key; /* PEM files */
    bool no_tls;                 /* plain MQTT: on a bench only */
    const char *scripts;         /* directory of Lua handlers, or "DIR:DIR"; NULL: "scripts" */
    const char *data; /* directory of the store; made if need be; one runtime at a time */
    /** Any other key of docs/reference/config.md: name, value, name, value, ..., NULL. A value is
     * written as after a flag ("60", "true", "64M"); a table as the file has it ("{ allow = {
     * \"reboot\" } }"). */
    const char *const *settings;

    /** Where Hob's own Lua files and loadable modules are; NULL: where the library was installed
     * (docs/reference/embed.md). */
    const char *lib_dir, *module_dir;

    /** Run on this loop, which the product drives (uv_run): hob_runtime_run, _fd, _timeout_ms and
     * _dispatch are not for this runtime. Borrowed until hob_runtime_free has returned. NULL: a
     * loop of its own. Once the runtime has stopped, nothing of it keeps uv_run from returning.
     * hob_runtime_new after an error, and hob_runtime_free, run the loop until Hob's handles have
     * closed: call neither inside a callback of it. */
    struct uv_loop_s *uv_loop;

    /* What a process has once: only where it is asked for. */
    bool handle_signals; /* SIGTERM, SIGINT: hob_runtime_stop; SIGHUP: reload, and open the log anew
                          */
    bool notify_systemd; /* READY, WATCHDOG, STOPPING to $NOTIFY_SOCKET, which is taken out of the
                          * environment until the runtime has stopped */
    bool no_control;     /* no control socket: `hob status` and the like cannot look into it */
    bool raise_limits;   /* RLIMIT_NOFILE, as far as its things need (about five each) and it may */

    /** In place of `reboot_command`: the device is to reboot. Return first, then do it: have the
     * runtime stopped, for it would wait for `reboot_wait` and ask again, three times in all. The
     * job goes on in the next boot. May call hob_runtime_stop and hob_post.
     * @return 0: it is under way; or a code and the reason, which the job fails with in the end */
    int (*reboot)(void *user, const char *reason, struct hob_error *err);
    /** The runtime has begun to stop by itself: a handler asks for a new process (job:restart_hob),
     * or the store is damaged and must be begun anew. Make another one when it has stopped: driving
     * it ends then, or say hob_runtime_stop here, whose `stopped` tells. NULL: it just stops. May
     * call hob_runtime_stop and hob_post. */
    void (*restart)(void *user, const char *reason);
    /** Every line of the log that `log_level` lets through, besides log_target; set that to "none"
     * for this alone. What happens inside hob_runtime_new comes inside it. It must not call the
     * runtime, but for hob_post. */
    void (*log)(void *user, const struct hob_log_line *line);
    void *user; /* of these three */

    const struct hob_key_provider *key_provider; /* copied; in place of `key` of all its things */
    struct hob_connection *connection; /* the product's own, in place of an endpoint; borrowed until
                                          hob_runtime_free has returned; see below */
};

/** Read the configuration, open the store, make the things. Nothing is connected, no handler is
 * loaded yet. Blocks for as long as the store is checked.
 * @param out  the runtime, to be given to hob_runtime_free; NULL after an error
 * @return 0; HOB_EINVAL: `size`; HOB_ECONFIG: the configuration, also where others could change
 * what Hob trusts; HOB_EBUSY: another runtime, in this process or another one, has the data
 * directory; HOB_ENOENT: Hob's own files are not where they should be; HOB_ESTORE, HOB_ENOSPC,
 * HOB_EACCES: the store; HOB_ENOMEM */
HOB_EXTERN int hob_runtime_new(const struct hob_runtime_options *options, struct hob_runtime **out,
                               struct hob_error *err);

/** Load the handlers, go on with what an earlier process left, connect. Once. Connecting happens
 * while it is driven: a service that is not there is tried again, and no error here.
 * @return 0; HOB_EBUSY: it was started before; HOB_ECANCELED: it was asked to stop; or what keeps
 * the handlers from being read (one that is broken is logged, and no error here) */
HOB_EXTERN int hob_runtime_start(struct hob_runtime *runtime, struct hob_error *err);

/* ---- driving it ---- */

/** Drive it until it has stopped, on its own loop. Not inside a callback.
 * @return 0; HOB_EINVAL: it was not started, or runs on a loop of the product's */
HOB_EXTERN int hob_runtime_run(struct hob_runtime *runtime);

/** For a product that waits with poll(), select(), epoll or a loop of its own: this descriptor
 * becomes readable when there is something to do, or the time-out passes; then
 * hob_runtime_dispatch does it. The same one for the runtime's whole life; not to be read or
 * closed. @return -1: it runs on a uv_loop_t of the product's */
HOB_EXTERN int hob_runtime_fd(const struct hob_runtime *runtime);
/** How long to wait for it, as of now; ask again after every other call of the runtime. hob_post
 * makes the descriptor readable, so that whoever waits wakes.
 * @return milliseconds, 0: dispatch at once, -1: no time-out */
HOB_EXTERN int hob_runtime_timeout_ms(const struct hob_runtime *runtime);
/** Do what is to be done, without waiting; legal at any time but inside a callback. It takes as
 * long as callbacks and a slice of Lua code take (docs/reference/limits.md).
 * @return 1: go on driving it; 0: it has stopped, or runs on a uv_loop_t of the product's */
HOB_EXTERN int hob_runtime_dispatch(struct hob_runtime *runtime);

/** Run `fn` on the driving thread, soon, in the order of the calls. From ANY thread, also in
 * callbacks, also while the runtime is stopping; the last calls must have returned before
 * hob_runtime_free is called, and what is left then is run inside it. `fn` may call the runtime.
 * Not in a handler of a signal.
 * @return 0; HOB_ENOMEM, HOB_ECANCELED (hob_runtime_free has begun), HOB_EINVAL (no runtime, as in
 * a `log` inside hob_runtime_new): fn is not called */
HOB_EXTERN int hob_post(struct hob_runtime *runtime, void (*fn)(void *user), void *user);

/* ---- its end ---- */

/** Take no more jobs, let running ones reach their next step (`stop_grace`; a critical section or a
 * `once` step until `stop_timeout`), tell what is to be told, disconnect. What could not end goes
 * on after the next start. Legal in callbacks (but `log`, `decide`, `sign` and those of a
 * connection), before hob_runtime_start, and more than once: the second one, from whomever, does
 * not wait for jobs.
 * @param why      for the log; NULL is legal
 * @param stopped  called once, later, when it has stopped; after a stop it comes in the next turn,
 *                 or inside hob_runtime_free. It may call the runtime, but not free it. Where
 *                 there is no memory to remember it the process aborts. NULL is legal */
HOB_EXTERN void hob_runtime_stop(struct hob_runtime *runtime, const char *why,
                                 void (*stopped)(void *user), void *user);

/** Give all of it back. NULL is legal. One that has not stopped is stopped first, as by a second
 * hob_runtime_stop: that waits until its programs are gone. A runtime on a product's uv_loop runs
 * that loop until its handles have closed; the product's own callbacks may come meanwhile. Not
 * inside a callback of the runtime: that aborts the process, with words on stderr; nor inside any
 * other callback of that uv_loop, which cannot be run within itself. */
HOB_EXTERN void hob_runtime_free(struct hob_runtime *runtime);

/* ---- what `hob` does from outside, from inside ---- */

/** Load the Lua handlers again now; what changes on disk is loaded anyway, unless `reload` is
 * false. One that is broken keeps its last good version, and is no error here.
 * @return 0; HOB_ECANCELED: it is not running; or why the directory cannot be read */
HOB_EXTERN int hob_runtime_reload(struct hob_runtime *runtime, struct hob_error *err);
/** Begin with no more jobs from now on, or again, as `hob drain` does. Those that have begun go on.
 * Kept in the store, so that it outlives a restart.
 * @param why  one line of at most 200 bytes, for people; NULL is legal
 * @return 0; HOB_EINVAL: `why`; or what the store says */
HOB_EXTERN int hob_runtime_drain(struct hob_runtime *runtime, bool on, const char *why,
                                 struct hob_error *err);
/** End a job that is in hand, as `hob cancel` does: what runs is ended and its `cleanup` done, then
 * it is FAILED; what waits is REJECTED. It is under way when this returns; an observer hears of the
 * end.
 * @param thing  NULL: the only one
 * @param who    "cancelled by WHO", for the report and the log, one line of at most 88 bytes; NULL
 *               is legal
 * @return 0 (also where its end was decided before); HOB_ENOENT: no such thing, or no such job in
 * hand; HOB_EINVAL: no job_id, `who`, or which of several things?; or what the store says */
HOB_EXTERN int hob_runtime_cancel(struct hob_runtime *runtime, const char *thing,
                                  const char *job_id, const char *who, struct hob_error *err);

/* ---- things ---- */

struct hob_thing_settings {
    size_t size; /* sizeof(struct hob_thing_settings) */
    const char *thing_name;
    const char *client_id, *endpoint; /* NULL: as the configuration has it for all; client_id: the
                                       * thing's name */
    int port;                         /* 0: likewise */
    const char *ca, *cert, *key;      /* NULL: likewise */
    const char *connection;      /* the name of a thing whose connection it uses; NULL: its own */
    const char *const *settings; /* other keys of a thing, as in hob_runtime_options */
};

/** One more thing. It connects at once if the runtime has been started, and goes on with what the
 * store has of it. Not kept: add it again after a restart (`things` of a configuration file are
 * there by themselves).
 * @return 0; HOB_EINVAL: `size`, a setting without a value; HOB_ECONFIG: a setting, which err
 * names; HOB_EEXIST: it is there; HOB_EBUSY: it is still being removed; HOB_ECANCELED: the runtime
 * is stopping; HOB_ENOMEM */
HOB_EXTERN int hob_runtime_add_thing(struct hob_runtime *runtime,
                                     const struct hob_thing_settings *settings,
                                     struct hob_error *err);
/** As a stop, for one thing. What runs is given up at its next step; the store keeps it for when
 * the thing is added again.
 * @param removed  called once, later, when it is gone; NULL is legal. It may call the runtime
 * @return 0; HOB_EINVAL: no name; HOB_ENOENT: there is none of it; HOB_EBUSY: it is being removed
 * already, or others use its connection; HOB_ECANCELED: the runtime is stopping */
HOB_EXTERN int hob_runtime_remove_thing(struct hob_runtime *runtime, const char *thing_name,
                                        void (*removed)(void *user), void *user,
                                        struct hob_error *err);

struct hob_thing_status {
    size_t size;     /* set by the caller */
    bool online;     /* connected, and subscribed to its jobs */
    const char *why; /* it is not online; "": not known yet. Borrowed until the next call of the
                      * runtime */
    size_t running;  /* jobs in hand: claimed, running, waiting to run again, ending */
    size_t untold;   /* outcomes that the service does not have yet */
};
/** How a thing does, now.
 * @return 0; HOB_ENOENT: there is none of that name, or it has stopped; HOB_EINVAL: out->size, or
 * no name */
HOB_EXTERN int hob_runtime_thing_status(struct hob_runtime *runtime, const char *thing_name,
                                        struct hob_thing_status *out);

/* ---- observers ---- */

/** What happened to a job. No text is NULL. */
struct hob_job_event {
    const char *thing, *job_id;
    int64_t execution_number;
    const char *handler; /* "NAME@DIGEST"; "": none, or not known here (update_accepted) */
    const char *status;  /* AWS's word: "QUEUED", "IN_PROGRESS", "SUCCEEDED", ... */
    const char *code;    /* job_ended: of an outcome that is no success
                          * (docs/reference/outcomes.md); else "" */
    const char *text;    /* job_ended: the reason; job_progress: how far it is; else "" */
};

/** Who wants to hear; NULL for what is not wanted. Each is called while the runtime is driven,
 * after what it tells of, in the order in which it happened. They may call the runtime (also
 * hob_runtime_observe, _stop, _remove_thing), but not hob_runtime_free. */
struct hob_observer {
    size_t size; /* sizeof(struct hob_observer) */
    /** The thing is connected, and subscribed to its jobs. */
    void (*connection_up)(void *user, const char *thing);
    /** The connection was lost, or an attempt failed: tried again, with growing pauses, and told
     * each time. */
    void (*connection_down)(void *user, const char *thing, const struct hob_error *why);
    /** A job was found that could be begun with; before it is decided about. Again after handlers
     * were loaded, if it was not begun. */
    void (*job_offered)(void *user, const struct hob_job_event *event);
    /** Its handler runs; also each time it goes on: after a restart, a reboot, a retry_later. */
    void (*job_started)(void *user, const struct hob_job_event *event);
    /** It says how far it is. The service may be told less often. */
    void (*job_progress)(void *user, const struct hob_job_event *event);
    /** Its outcome is in the store, and not told yet. Once for each execution, also for one that
     * was refused before it began, or that the service has ended ("CANCELED", "TIMED_OUT"). */
    void (*job_ended)(void *user, const struct hob_job_event *event);
    /** The service has accepted an update: the claim and progress ("IN_PROGRESS"), the outcome. */
    void (*update_accepted)(void *user, const struct hob_job_event *event);
    /** Another version of a Lua handler is in use, or a new one: "NAME@DIGEST". */
    void (*handler_reloaded)(void *user, const char *handler);
    void *user;
};

/** Add one; copied; for the runtime's life. They are told in the order in which they were added.
 * What happened before is not told. @return 0; HOB_EINVAL: `size`; HOB_ENOMEM */
HOB_EXTERN int hob_runtime_observe(struct hob_runtime *runtime,
                                   const struct hob_observer *observer);

/* ---- decisions ---- */

enum hob_decision {
    HOB_ACCEPT, /* go on: handler, arguments, its `requires` and free slots decide */
    HOB_DEFER,  /* leave it QUEUED; what lies behind it goes first */
    HOB_REFUSE  /* REJECTED, with the reason and the code REFUSED */
};

/* What is asked about; for the call of hob_decide_fn only. */
HOB_EXTERN const char *hob_offer_thing(const struct hob_offer *offer);
HOB_EXTERN const char *hob_offer_job_id(const struct hob_offer *offer);
HOB_EXTERN int64_t hob_offer_execution_number(const struct hob_offer *offer);
/** JSON, NUL-ended. @param len  its bytes; NULL is legal */
HOB_EXTERN const char *hob_offer_document(const struct hob_offer *offer, size_t *len);
/** Which handler it would be: "NAME@DIGEST"; "": none here, so that it is REJECTED if accepted. */
HOB_EXTERN const char *hob_offer_handler(const struct hob_offer *offer);
/** Why: `hob jobs` shows it while a job is deferred, the service when it is refused. Copied; cut at
 * 255 bytes, made one line. */
HOB_EXTERN void hob_offer_set_reason(struct hob_offer *offer, const char *reason);

/** Called inside the dispatch; it must not call the runtime, but for hob_post, and should return
 * soon. */
typedef enum hob_decision hob_decide_fn(void *user, struct hob_offer *offer);

/** Have `decide` asked about each job before it is claimed. One at most: it takes the place of the
 * one before, and is asked about what that has deferred. A job that was deferred is asked about
 * again by hob_runtime_reconsider, after a reconnect, and after handlers were loaded; one whose
 * claim did not arrive, when it is looked at again; one that has begun, never.
 * @param decide  NULL: accept all */
HOB_EXTERN void hob_runtime_decide(struct hob_runtime *runtime, hob_decide_fn *decide, void *user);
/** Ask again, soon, about those that were deferred. */
HOB_EXTERN void hob_runtime_reconsider(struct hob_runtime *runtime);

/* ---- C handlers ----
 *
 * A C handler is one more handler beside the Lua files: a job document names it in the same way
 * (docs/reference/handlers.md, "Which handler"), it is claimed, limited, cancelled, shown and
 * reported like them. What differs: it has no steps. Whoever is interrupted (a crash, a power cut,
 * a stop of Hob) is begun anew, with hob_run_attempt one higher, so `run` has to look at what there
 * is already. For what must not be done twice write a Lua handler with steps that call a module
 * (below).
 *
 * A process that dies while a run lasts is put down to that run: the third time it is FAILED.
 */

struct hob_handler {
    size_t size; /* sizeof(struct hob_handler) */
    /** As a Lua file is called without ".lua": 1 to 64 of [A-Za-z0-9_.-], not ending in ".sh". */
    const char *name;
    const char *description; /* one line, for `hob handlers`; NULL: none */
    /** What the document must hold, in the form of a Lua handler's `args`, as a JSON object:
     * {"channel": "integer", "on": "boolean?"}. Options of a type are an object after it:
     * {"channel": ["integer", {"min": 1, "max": 8}], "level": ["enum", "low", "high"]}. A document
     * that does not fit is REJECTED, and `run` not called. NULL: anything. */
    const char *args;
    double timeout_s; /* of all runs together, at most a week; 0: the configuration's job_timeout */
    int max_runs;     /* how often hob_run_retry_later may begin it anew, 1 to 1000; 0: as for Lua
                       * handlers that do not say */
    /** Begin. Called inside the dispatch. End now or later, on the driving thread, once, with
     * hob_run_succeed, hob_run_fail, hob_run_reject or hob_run_retry_later. It must not block: what
     * takes long belongs on another thread, which says hob_post when it is done. */
    void (*run)(void *user, struct hob_run *run);
    /** The run is to end: its job was cancelled or timed out, has reached a limit, or Hob stops
     * (then the job is begun anew by the next process). Called once, inside the dispatch or
     * hob_runtime_free, unless the run has ended by its own word. Inside it the hob_run_* that ask
     * work, those that tell do nothing; afterwards `run` is not to be used.
     * @param why  for people
     * NULL: nothing to be done. */
    void (*cancel)(void *user, struct hob_run *run, const char *why);
    void *user;
};

/** Add one; copied, its texts too. Before hob_runtime_start. A file of the same name in `scripts`
 * is not used, which is logged (handler.name_taken). A job that was begun with a handler which is
 * registered no more is FAILED, with the code NOT_REGISTERED.
 * @return 0; HOB_EINVAL: a member is wrong, which err names ("handler switch: args.channel: unknown
 * type 'intger'"); HOB_EEXIST: the name is taken; HOB_EBUSY: the runtime has been started;
 * HOB_EMSGSIZE, HOB_ENOMEM */
HOB_EXTERN int hob_runtime_add_handler(struct hob_runtime *runtime,
                                       const struct hob_handler *handler, struct hob_error *err);

/* A run, from `run` to its end. Driving thread only. One that has ended, or was cancelled, is not
 * to be used any more; of the latest hundred it does no harm: they do nothing, and give "", 0,
 * NULL, false or HOB_ESTALE. Texts are borrowed until it ends. */
HOB_EXTERN const char *hob_run_thing(const struct hob_run *run);
HOB_EXTERN const char *hob_run_job_id(const struct hob_run *run);
HOB_EXTERN int64_t hob_run_execution_number(const struct hob_run *run);
/** The job document as it came: JSON, NUL-ended. @param len  NULL is legal */
HOB_EXTERN const char *hob_run_document(const struct hob_run *run, size_t *len);
/** 1 for the first; one more after an interruption, and after hob_run_retry_later. */
HOB_EXTERN int hob_run_attempt(const struct hob_run *run);
/** A directory of the execution's own; it is removed after its end. */
HOB_EXTERN const char *hob_run_directory(const struct hob_run *run);

/* A member of what `args` describes, coerced as its type says ("3" is an integer there); of the
 * document, where there is no `args`. `name` may lead to a member of a member: "proxy.host",
 * "files[0].url".
 * @return false: it is absent, null, or of another type, or a string with a zero byte in it; *out
 * is left alone */
HOB_EXTERN bool hob_run_arg_string(const struct hob_run *run, const char *name, const char **out);
HOB_EXTERN bool hob_run_arg_integer(const struct hob_run *run, const char *name, int64_t *out);
HOB_EXTERN bool hob_run_arg_number(const struct hob_run *run, const char *name, double *out);
HOB_EXTERN bool hob_run_arg_boolean(const struct hob_run *run, const char *name, bool *out);
/** Any member as JSON, not NUL-ended (a list whole, none of its elements); all of it for the name
 * "". */
HOB_EXTERN bool hob_run_arg_json(const struct hob_run *run, const char *name, const char **out,
                                 size_t *len);

/** Something of the product's that belongs to the run; NULL at first. */
HOB_EXTERN void *hob_run_data(const struct hob_run *run);
HOB_EXTERN void hob_run_set_data(struct hob_run *run, void *data);

/** How far it is: told to the service, at most once a second; the latest counts. */
HOB_EXTERN void hob_run_progress(struct hob_run *run, const char *text);
/** One of at most four statusDetails beside Hob's own; told at the end, whatever it is, but for
 * hob_run_reject and hob_run_retry_later. Again for the same name: the later value counts. A value
 * of over 1024 characters is cut, which is noted in it.
 * @param name  1 to 128 of [a-zA-Z0-9:_-]
 * @return 0; HOB_EINVAL: no such name, or one of Hob's own ("reason", "code", "step", "handler",
 * "attempt", "progress", "cleanup_error"); HOB_EMSGSIZE: a fifth one, or over 64 KB; HOB_ENOMEM;
 * HOB_ESTALE: the run has ended */
HOB_EXTERN int hob_run_detail(struct hob_run *run, const char *name, const char *value);

/* How it ends. The job goes on in the next turn of the loop; a second end does nothing. `reason` is
 * for people: the service shows it. */
HOB_EXTERN void hob_run_succeed(struct hob_run *run);
/** FAILED. @param code  what it is counted by: capitals, digits and _, at most 64
 * (docs/reference/outcomes.md has Hob's own); NULL: "FAILED" */
HOB_EXTERN void hob_run_fail(struct hob_run *run, const char *code, const char *reason);
/** REJECTED: this document can never work here. */
HOB_EXTERN void hob_run_reject(struct hob_run *run, const char *reason);
/** `run` is called again after that time, over 0 and at most 31 days; at most max_runs times. */
HOB_EXTERN void hob_run_retry_later(struct hob_run *run, double seconds, const char *reason);

/* ---- product modules ----
 *
 * C functions that Lua handlers call: `local relay = require("relay")`, `relay.set(3, true)`. They
 * are there in jobs (run, already_done and cleanup) and in the sessions of `hob repl`; `require`
 * also works while a handler is only loaded and checked, where a call raises. On a desk, where the
 * product is not, a file of that name in scripts/lib stands in for it.
 *
 * A function runs inside the dispatch, in the middle of the handler: it must not block, and of the
 * runtime it may call hob_post and hob_runtime_stop only. Nothing may leave it but by returning (no
 * longjmp, no C++ exception).
 */

struct hob_function {
    const char *name; /* as Lua names have it, 1 to 64 of [A-Za-z0-9_]; NULL ends the list */
    /** Look at the arguments, then say what comes of it: values (hob_call_return_*), nothing
     * (hob_call_finish), a failure (hob_call_fail), misuse (hob_call_raise), or that it ends later
     * (hob_call_later). To return without any of these raises in the handler. */
    void (*fn)(void *user, struct hob_call *call);
};

struct hob_module {
    size_t size;                          /* sizeof(struct hob_module) */
    const char *name;                     /* as `require` has it: "relay", "acme.relay" */
    const struct hob_function *functions; /* at least one */
    void *user;                           /* of all of them */
};

/** Add one; copied. Before hob_runtime_start. A file of that name in SCRIPTS/lib is not used, which
 * is logged (handler.name_taken).
 * @return 0; HOB_EINVAL: a name, which err tells; HOB_EEXIST: the name is taken, or Lua's or Hob's
 * own; HOB_EBUSY: the runtime has been started; HOB_EMSGSIZE: over 1000 functions; HOB_ENOMEM */
HOB_EXTERN int hob_runtime_add_module(struct hob_runtime *runtime, const struct hob_module *module,
                                      struct hob_error *err);

enum hob_type {
    HOB_NIL, /* also JSON's null, and an argument that was not given */
    HOB_BOOLEAN,
    HOB_INTEGER, /* a number that Lua has as an integer */
    HOB_NUMBER,
    HOB_STRING,
    HOB_TABLE,
    HOB_OTHER /* a function, a thread, a userdata: nothing that C code here could use */
};

/* Arguments, counted from 0; copies, borrowed until the call has ended. One of another type than is
 * asked for gives false and leaves *out alone; just return then: the handler gets an error that
 * says "relay.set: argument 2: expected boolean, got nil" (counted from 1, as Lua does) with its
 * file and line, whatever else the function said. For one that may be absent look at the type
 * first. */
HOB_EXTERN size_t hob_call_count(const struct hob_call *call);
HOB_EXTERN enum hob_type hob_call_type(const struct hob_call *call, size_t index);
/** NUL-ended. @param len  NULL: one with a zero byte in it is refused, too */
HOB_EXTERN bool hob_call_string(struct hob_call *call, size_t index, const char **out, size_t *len);
HOB_EXTERN bool hob_call_integer(struct hob_call *call, size_t index, int64_t *out); /* also 2.0 */
HOB_EXTERN bool hob_call_number(struct hob_call *call, size_t index, double *out);
HOB_EXTERN bool hob_call_boolean(struct hob_call *call, size_t index, bool *out);
/** A table as JSON, NUL-ended, at most 256 KB; any other value, too. What JSON cannot hold (a
 * function, a table with holes) is misuse, and the message says where in the table. */
HOB_EXTERN bool hob_call_json(struct hob_call *call, size_t index, const char **out, size_t *len);

/* Results, in their order; copied.
 * @return 0; HOB_EMSGSIZE: over 16, or over 1 MB together (JSON: 256 KB); HOB_ENOMEM; HOB_ESTALE:
 * the call has ended */
HOB_EXTERN int hob_call_return_nil(struct hob_call *call);
HOB_EXTERN int hob_call_return_boolean(struct hob_call *call, bool value);
HOB_EXTERN int hob_call_return_integer(struct hob_call *call, int64_t value);
HOB_EXTERN int hob_call_return_number(struct hob_call *call, double value);
HOB_EXTERN int hob_call_return_string(struct hob_call *call, const char *value, size_t len);
/** Becomes the value that the text stands for; no JSON raises in the handler. */
HOB_EXTERN int hob_call_return_json(struct hob_call *call, const char *value, size_t len);

/** The world failed: the handler gets nil, message, "CODE" in place of results, as from Hob's own
 * functions; returned by a step's function, they fail the step. @param code  NULL: "FAILED" */
HOB_EXTERN void hob_call_fail(struct hob_call *call, const char *code, const char *message);
/** Misuse: raises "relay.set: MESSAGE" in the handler, with its file and line. */
HOB_EXTERN void hob_call_raise(struct hob_call *call, const char *message);

/** Inside `fn`: it ends later, by hob_call_finish, on the driving thread. The handler waits (also
 * inside of a step, a pcall or a coroutine), other jobs and the product go on. Where nothing can
 * wait, such as in table.sort's comparator, the handler gets an error and `cancel` is called.
 * @param cancel  called once, inside the dispatch or hob_runtime_free, if the handler is ended
 * before that: the call is not to be used after it returns; NULL is legal */
HOB_EXTERN void hob_call_later(struct hob_call *call,
                               void (*cancel)(void *user, struct hob_call *call));
/** The results, or the failure, are whole; the call is not to be used any more. A second one, or
 * one of a call that was cancelled, does nothing (of the latest hundred). */
HOB_EXTERN void hob_call_finish(struct hob_call *call);

/** Something of the product's that belongs to the call; NULL at first. */
HOB_EXTERN void *hob_call_data(const struct hob_call *call);
HOB_EXTERN void hob_call_set_data(struct hob_call *call, void *data);
HOB_EXTERN const char *hob_call_thing(const struct hob_call *call);  /* whose job calls */
HOB_EXTERN const char *hob_call_job_id(const struct hob_call *call); /* "": a session of hob repl */

/* ---- a product's own connection ---- */

/** What Hob asks of it. `token` comes back with the answer: hob_connection_done or _subscribed,
 * once; after hob_connection_down no answer is due. */
struct hob_connection_options {
    size_t size;
    /** @return 0, or a code: then no answer is due (HOB_ENOTCONN, HOB_EBUSY, ...) */
    int (*publish)(void *user, const char *topic, const void *payload, size_t len, int qos,
                   bool retain, uint64_t token);
    int (*subscribe)(void *user, const char *const *filters, size_t count, int qos, uint64_t token);
    int (*unsubscribe)(void *user, const char *const *filters, size_t count, uint64_t token);
    /** Hob had no answer for long: the link may be dead. May be NULL. */
    void (*doubt)(void *user, const char *why);
    const char *description; /* where it leads, for people: "tls://..."; NULL: "the product's" */
    void *user;
};

/** It can serve one runtime; its things use it together. Nothing is asked of it before that runs.
 * @param options  copied; all its functions but `doubt` are needed
 * @return 0; HOB_EINVAL: `size`, or a function is missing, which err names; HOB_ENOMEM */
HOB_EXTERN int hob_connection_new(const struct hob_connection_options *options,
                                  struct hob_connection **out, struct hob_error *err);
/** After the runtime that had it was freed; NULL is legal. */
HOB_EXTERN void hob_connection_free(struct hob_connection *connection);

/* What the product tells, on the driving thread; legal at any time, also inside publish, subscribe
 * and unsubscribe: it is copied, and has its effect in the next dispatch. An answer that nobody
 * waits for is ignored. */
/** The link is there: Hob subscribes, and asks for its jobs.
 * @param session_present  as CONNACK says: the broker has kept the subscriptions */
HOB_EXTERN void hob_connection_up(struct hob_connection *connection, bool session_present);
/** It is lost, and with it all that had no answer.
 * @param code  a HOB_E* code; 0: HOB_ENOTCONN
 * @param why   for people; NULL: the code's words */
HOB_EXTERN void hob_connection_down(struct hob_connection *connection, int code, const char *why);
/** A message came, for whomever. One that is too long, or too much for what waits for a dispatch,
 * is dropped, and logged. @param retain  as the PUBLISH says */
HOB_EXTERN void hob_connection_message(struct hob_connection *connection, const char *topic,
                                       const void *payload, size_t len, int qos, bool retain);
/** PUBACK or UNSUBACK came (QoS 0: it was sent). @param status  0 or a code */
HOB_EXTERN void hob_connection_done(struct hob_connection *connection, uint64_t token, int status);
/** SUBACK came. @param status  0 or a code
 * @param granted  of each filter, in their order: its QoS, or 128 and more: refused; copied; not
 * looked at where status is a code
 * @param count  how many filters they were */
HOB_EXTERN void hob_connection_subscribed(struct hob_connection *connection, uint64_t token,
                                          int status, const int *granted, size_t count);

/* ---- the program ---- */

/** What the program `hob` is: its commands and their exit status. For products that bring it under
 * their own name. It handles signals and the standard streams as a program does. */
HOB_EXTERN int hob_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
