/* hob.h - libhob: AWS IoT Jobs inside a product's own process.
 *
 * The only header that is installed. It needs nothing but the C library, and is legal C11 and C++.
 *
 * Glossary
 *   runtime      one Hob: its configuration, store, handlers, things and loop. A process may have
 *                several, each with a data directory of its own
 *   thing        whose jobs are run; a runtime has one or many
 *   handler      what is done for a job of one type: a Lua file, or a C function (struct
 * hob_handler) run          one run of a C handler, from `run` to hob_run_succeed and its like
 *   module       functions of the product that Lua handlers `require`
 *   call         one call of such a function, from `fn` to hob_call_finish
 *
 * Threads: a runtime, and all that belongs to it, is used by one thread: the one that drives it.
 * Only hob_post may be called from any thread. Callbacks run on the driving thread, inside
 * hob_runtime_run or hob_runtime_dispatch (or the product's uv_run), never inside the call that
 * asked for them, unless said.
 *
 * Ownership: arguments are borrowed for the call (copied where they are needed longer) unless a
 * parameter says "takes"; what a callback gets is borrowed for that callback.
 *
 * Errors: 0, or a negative HOB_E* code. Where a person will read the reason, the last parameter is
 * a `struct hob_error *`, which may be NULL.
 *
 * ABI: structs whose first member is `size` grow at their end: set it to sizeof, the rest to zero
 * (designated initialisers do); zero means the default. All other structs are opaque, or frozen.
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

struct hob_log_line {
    enum hob_log_severity severity;
    const char *event; /* a stable id: "job.finished" */
    const char *thing; /* NULL: about none */
    const char *job;   /* NULL: about none */
    const char *line;  /* the whole, in the configured format, without a newline; secrets masked */
    size_t len;
};

/** Signs for a private key that never leaves its keeper: see docs/how-to/embed. */
struct hob_key_provider {
    size_t size;
    /** Sign `hash`. RSA: PKCS#1 v1.5 of it (`hash_name` is "SHA256", ...), as many bytes as the
     * modulus. EC: the ECDSA signature in DER. Blocks the loop while it works.
     * @param thing  whose connection it is
     * @param out    room for *out_len bytes; set it to what is used
     * @return 0, or a code and the reason */
    int (*sign)(void *user, const char *thing, const char *hash_name, const unsigned char *hash,
                size_t hash_len, unsigned char *out, size_t *out_len, struct hob_error *err);
    void *user;
};

struct hob_runtime_options {
    size_t size;

    /* Where the configuration comes from: a file, members of this struct, or both (these win). */
    const char *config_file; /* hob.conf.lua; NULL: none */
    const char *endpoint;
    int port;
    const char *thing_name;
    const char *ca, *cert, *key; /* files */
    bool no_tls;                 /* on a bench only */
    const char *scripts;         /* directory of Lua handlers */
    const char *data;            /* directory of the store */
    /** Any other key of docs/reference/config.md: name, value, name, value, ..., NULL. */
    const char *const *settings;

    /** Where Hob's own Lua files and loadable modules are; NULL: where the library was installed.
     */
    const char *lib_dir, *module_dir;

    /** Run on this loop, which the product drives (uv_run): hob_runtime_run, _fd, _timeout_ms and
     * _dispatch are not for this runtime. Borrowed until hob_runtime_free has returned. NULL: a
     * loop of its own. */
    struct uv_loop_s *uv_loop;

    /* What a process has once: only where it is asked for. */
    bool handle_signals; /* SIGTERM, SIGINT: stop; SIGHUP: reload */
    bool notify_systemd; /* READY, WATCHDOG, STOPPING to $NOTIFY_SOCKET */
    bool no_control;     /* no control socket: `hob status` and the like cannot look into it */

    /** In place of `reboot_command`: the device is to reboot. Later, not at once: return first.
     * @return 0: it is under way, or a code and the reason */
    int (*reboot)(void *user, const char *reason, struct hob_error *err);
    /** A handler asks for a new process (job:restart_hob), or the store must be begun anew: the
     * runtime is stopping; make another one after `stopped`. NULL: it just stops. */
    void (*restart)(void *user, const char *reason);
    /** Every line of the log, besides log_target; set that to "none" for this alone. Do not call
     * the runtime from it. */
    void (*log)(void *user, const struct hob_log_line *line);
    void *user; /* of these three */

    const struct hob_key_provider *key_provider; /* copied; in place of `key` of all its things */
    struct hob_connection *connection; /* the product's own, in place of an endpoint; borrowed until
                                          hob_runtime_free has returned; see below */
};

/** Read the configuration, open store and handlers, make the things. Nothing is connected yet.
 * @return 0, HOB_ECONFIG, HOB_EBUSY: another process has the data directory, ... */
HOB_EXTERN int hob_runtime_new(const struct hob_runtime_options *options, struct hob_runtime **out,
                               struct hob_error *err);

/** Connect, and go on with what an earlier process left. Once. */
HOB_EXTERN int hob_runtime_start(struct hob_runtime *runtime, struct hob_error *err);

/** Drive it until it has stopped, on its own loop. @return 0 */
HOB_EXTERN int hob_runtime_run(struct hob_runtime *runtime);

/** For a product's own loop: this becomes readable when there is something to do, or the time-out
 * has passed; then hob_runtime_dispatch does it, without waiting. Ask for the time-out anew after
 * each call of the runtime. @return -1: no time-out */
HOB_EXTERN int hob_runtime_fd(const struct hob_runtime *runtime);
HOB_EXTERN int hob_runtime_timeout_ms(const struct hob_runtime *runtime);
/** @return 1: there is a runtime to drive; 0: it has stopped */
HOB_EXTERN int hob_runtime_dispatch(struct hob_runtime *runtime);

/** Take no more jobs, let running ones reach their next step, tell what is to be told, disconnect.
 * `stopped` is called once, later. It may be called at any time, and twice (the second one does not
 * wait for jobs). @param stopped  NULL is legal */
HOB_EXTERN void hob_runtime_stop(struct hob_runtime *runtime, const char *why,
                                 void (*stopped)(void *user), void *user);

/** After it has stopped, or before it was started; NULL is legal. Not from inside a callback of it.
 * On a product's uv_loop: runs that loop for as long as handles of Hob close. */
HOB_EXTERN void hob_runtime_free(struct hob_runtime *runtime);

/** Run `fn` on the driving thread, soon, in order. From ANY thread, also while it is stopping,
 * until hob_runtime_free is called; what is left then is run inside it.
 * @return 0, HOB_ENOMEM (fn is not called) */
HOB_EXTERN int hob_post(struct hob_runtime *runtime, void (*fn)(void *user), void *user);

/** Load the Lua handlers again now. */
HOB_EXTERN int hob_runtime_reload(struct hob_runtime *runtime, struct hob_error *err);
/** Begin with no more jobs, or again: as `hob drain`. Kept in the store. */
HOB_EXTERN int hob_runtime_drain(struct hob_runtime *runtime, bool on, const char *why,
                                 struct hob_error *err);
/** End a job as `hob cancel` does. @param thing  NULL: the only one */
HOB_EXTERN int hob_runtime_cancel(struct hob_runtime *runtime, const char *thing,
                                  const char *job_id, const char *who, struct hob_error *err);

/* ---- things ---- */

struct hob_thing_settings {
    size_t size;
    const char *thing_name;
    const char *client_id, *endpoint; /* NULL: as the configuration has it for all */
    int port;
    const char *ca, *cert, *key;
    const char *connection;      /* the name of a thing whose connection it uses; NULL: its own */
    const char *const *settings; /* other keys of a thing, as in hob_runtime_options */
};

/** Not kept: add it again after a restart. @return 0, HOB_EEXIST, HOB_ECONFIG, ... */
HOB_EXTERN int hob_runtime_add_thing(struct hob_runtime *runtime,
                                     const struct hob_thing_settings *settings,
                                     struct hob_error *err);
/** As a stop, for one thing. What runs is given up at its next step; the store keeps it for when
 * the thing is added again. `removed` is called later; NULL is legal.
 * @return 0, HOB_ENOENT, HOB_EBUSY: others use its connection */
HOB_EXTERN int hob_runtime_remove_thing(struct hob_runtime *runtime, const char *thing_name,
                                        void (*removed)(void *user), void *user,
                                        struct hob_error *err);

struct hob_thing_status {
    size_t size; /* set by the caller */
    bool online;
    const char *why; /* it is not online; "" ; borrowed until the next call of the runtime */
    size_t running;  /* jobs */
    size_t untold;   /* outcomes that the service does not have yet */
};
HOB_EXTERN int hob_runtime_thing_status(struct hob_runtime *runtime, const char *thing_name,
                                        struct hob_thing_status *out);

/* ---- observers, and decisions ---- */

struct hob_job_event {
    const char *thing, *job_id;
    int64_t execution_number;
    const char *handler; /* "NAME@DIGEST"; "": none yet */
    const char *status;  /* AWS's word: "IN_PROGRESS", "SUCCEEDED", ... */
    const char *code;    /* of the outcome (docs/reference/outcomes.md); "" */
    const char *text;    /* the reason, or the progress; "" */
};

struct hob_observer {
    size_t size;
    void (*connection_up)(void *user, const char *thing);
    void (*connection_down)(void *user, const char *thing, const struct hob_error *why);
    void (*job_offered)(void *user,
                        const struct hob_job_event *event); /* seen for the first time */
    void (*job_started)(void *user, const struct hob_job_event *event); /* also when it goes on */
    void (*job_progress)(void *user, const struct hob_job_event *event);
    void (*job_ended)(void *user, const struct hob_job_event *event); /* stored, not yet told */
    void (*update_accepted)(void *user, const struct hob_job_event *event); /* the service has it */
    void (*handler_reloaded)(void *user, const char *handler);              /* "NAME@DIGEST" */
    void *user;
};

/** Copied; as many as wanted; told in the order in which they were added. Observers may call the
 * runtime, but not hob_runtime_free. */
HOB_EXTERN int hob_runtime_observe(struct hob_runtime *runtime,
                                   const struct hob_observer *observer);

enum hob_decision {
    HOB_ACCEPT, /* go on: handler, arguments and slots decide */
    HOB_DEFER,  /* leave it where it is, until hob_runtime_reconsider */
    HOB_REFUSE  /* REJECTED, with the reason */
};

/** What is asked before a job is claimed. */
HOB_EXTERN const char *hob_offer_thing(const struct hob_offer *offer);
HOB_EXTERN const char *hob_offer_job_id(const struct hob_offer *offer);
HOB_EXTERN int64_t hob_offer_execution_number(const struct hob_offer *offer);
HOB_EXTERN const char *hob_offer_document(const struct hob_offer *offer, size_t *len); /* JSON */
HOB_EXTERN const char *hob_offer_handler(const struct hob_offer *offer); /* which it would be; "" */
/** For people: `hob jobs` shows why it waits, the service why it was refused. */
HOB_EXTERN void hob_offer_set_reason(struct hob_offer *offer, const char *reason);

typedef enum hob_decision hob_decide_fn(void *user, struct hob_offer *offer);
/** Asked inside the dispatch, for each job before it is claimed, also again after a reconnect or a
 * reload; it must not call the runtime. One at most; NULL: accept all. */
HOB_EXTERN void hob_runtime_decide(struct hob_runtime *runtime, hob_decide_fn *decide, void *user);
/** Ask again about those that were deferred. */
HOB_EXTERN void hob_runtime_reconsider(struct hob_runtime *runtime);

/* ---- C handlers ---- */

struct hob_handler {
    size_t size;
    const char *name;        /* as a Lua file's name without ".lua": 1 to 64 of [A-Za-z0-9_.-] */
    const char *description; /* NULL: none */
    /** What the document must hold, in the form of a Lua handler's `args`, as a JSON object:
     * {"channel":"integer","on":"boolean?"}. NULL: anything. */
    const char *args;
    double timeout_s; /* of all runs together; 0: none */
    int max_runs;     /* 0: as for Lua handlers */
    /** Begin. Finish now or later, on the driving thread, with hob_run_succeed, _fail, _reject or
     * _retry_later, once. Called again from the beginning after a crash or a power cut
     * (hob_run_attempt). */
    void (*run)(void *user, struct hob_run *run);
    /** It is to end (cancelled, timed out, Hob stops): `run` is not to be used after this returns,
     * and hob_run_* of it do nothing. NULL: nothing to be done. */
    void (*cancel)(void *user, struct hob_run *run, const char *why);
    void *user;
};

/** Copied. Before hob_runtime_start. A file of the same name in `scripts` is not used, which is
 * logged. @return 0, HOB_EINVAL, HOB_EEXIST, HOB_EBUSY: it has been started */
HOB_EXTERN int hob_runtime_add_handler(struct hob_runtime *runtime,
                                       const struct hob_handler *handler, struct hob_error *err);

/* Borrowed until the run is finished or cancelled. */
HOB_EXTERN const char *hob_run_thing(const struct hob_run *run);
HOB_EXTERN const char *hob_run_job_id(const struct hob_run *run);
HOB_EXTERN int64_t hob_run_execution_number(const struct hob_run *run);
HOB_EXTERN const char *hob_run_document(const struct hob_run *run,
                                        size_t *len);      /* JSON, NUL-ended */
HOB_EXTERN int hob_run_attempt(const struct hob_run *run); /* 1 for the first */
HOB_EXTERN const char *
hob_run_directory(const struct hob_run *run); /* its own, removed at its end */
/* A member of `args` (coerced as its type says); of the document where there is no `args`.
 * @return false: it is absent, or of another type; *out is left alone */
HOB_EXTERN bool hob_run_arg_string(const struct hob_run *run, const char *name, const char **out);
HOB_EXTERN bool hob_run_arg_integer(const struct hob_run *run, const char *name, int64_t *out);
HOB_EXTERN bool hob_run_arg_number(const struct hob_run *run, const char *name, double *out);
HOB_EXTERN bool hob_run_arg_boolean(const struct hob_run *run, const char *name, bool *out);

HOB_EXTERN void *hob_run_data(const struct hob_run *run); /* the product's; NULL at first */
HOB_EXTERN void hob_run_set_data(struct hob_run *run, void *data);
/** Told to the service, at most once a second: the latest counts. */
HOB_EXTERN void hob_run_progress(struct hob_run *run, const char *text);
/** One of statusDetails, for hob_run_succeed. @return 0, HOB_EINVAL: a reserved or bad name,
 * HOB_EMSGSIZE: a fifth one, or too long */
HOB_EXTERN int hob_run_detail(struct hob_run *run, const char *name, const char *value);
HOB_EXTERN void hob_run_succeed(struct hob_run *run);
HOB_EXTERN void hob_run_fail(struct hob_run *run, const char *code, const char *reason);
HOB_EXTERN void hob_run_reject(struct hob_run *run, const char *reason);
HOB_EXTERN void hob_run_retry_later(struct hob_run *run, double seconds, const char *reason);

/* ---- product modules ---- */

/** One function of a module. Return values with hob_call_return_*; it may finish later:
 * hob_call_later, then hob_call_finish, on the driving thread. Meanwhile the handler waits, other
 * jobs go on. */
struct hob_function {
    const char *name; /* NULL ends the list */
    void (*fn)(void *user, struct hob_call *call);
};

struct hob_module {
    size_t size;
    const char *name;                     /* as `require` has it: "relay", "acme.relay" */
    const struct hob_function *functions; /* borrowed until hob_runtime_free */
    void *user;
};

/** Before hob_runtime_start. `require(name)` in handlers gives a table of the functions; a file of
 * that name in SCRIPTS/lib is not used. @return 0, HOB_EINVAL, HOB_EEXIST, HOB_EBUSY */
HOB_EXTERN int hob_runtime_add_module(struct hob_runtime *runtime, const struct hob_module *module,
                                      struct hob_error *err);

enum hob_type { HOB_NIL, HOB_BOOLEAN, HOB_INTEGER, HOB_NUMBER, HOB_STRING, HOB_TABLE };

/* Arguments, from 0. A wrong type raises in the handler: "relay.set: argument 2: expected boolean,
 * got nil", with file and line, once `fn` has returned; *out is left alone. */
HOB_EXTERN size_t hob_call_count(const struct hob_call *call);
HOB_EXTERN enum hob_type hob_call_type(const struct hob_call *call, size_t index);
HOB_EXTERN bool hob_call_string(struct hob_call *call, size_t index, const char **out, size_t *len);
HOB_EXTERN bool hob_call_integer(struct hob_call *call, size_t index, int64_t *out);
HOB_EXTERN bool hob_call_number(struct hob_call *call, size_t index, double *out);
HOB_EXTERN bool hob_call_boolean(struct hob_call *call, size_t index, bool *out);
/** A table as JSON; any other value, too. */
HOB_EXTERN bool hob_call_json(struct hob_call *call, size_t index, const char **out, size_t *len);

/* Results, in order; copied. @return 0, HOB_ENOMEM, HOB_EMSGSIZE */
HOB_EXTERN int hob_call_return_nil(struct hob_call *call);
HOB_EXTERN int hob_call_return_boolean(struct hob_call *call, bool value);
HOB_EXTERN int hob_call_return_integer(struct hob_call *call, int64_t value);
HOB_EXTERN int hob_call_return_number(struct hob_call *call, double value);
HOB_EXTERN int hob_call_return_string(struct hob_call *call, const char *value, size_t len);
HOB_EXTERN int hob_call_return_json(struct hob_call *call, const char *value, size_t len);
/** The world failed: nil, message, "CODE" in place of results. */
HOB_EXTERN void hob_call_fail(struct hob_call *call, const char *code, const char *message);
/** Misuse: raises in the handler, with its file and line. */
HOB_EXTERN void hob_call_raise(struct hob_call *call, const char *message);
/** It finishes later. `cancel` is called if the handler is ended before: the call is not to be used
 * after it returns. NULL is legal. */
HOB_EXTERN void hob_call_later(struct hob_call *call,
                               void (*cancel)(void *user, struct hob_call *call));
HOB_EXTERN void hob_call_finish(struct hob_call *call);
HOB_EXTERN void *hob_call_data(const struct hob_call *call); /* the product's; NULL at first */
HOB_EXTERN void hob_call_set_data(struct hob_call *call, void *data);
HOB_EXTERN const char *hob_call_thing(const struct hob_call *call); /* whose job calls */
HOB_EXTERN const char *hob_call_job_id(const struct hob_call *call);

/* ---- a product's own connection ---- */

/** What Hob asks of it. `token` comes back with the answer: hob_connection_done and
 * _subscribed, once each, not inside the call; after hob_connection_down no answer is due. */
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

/** It can serve one runtime; its things use it together. @return 0, HOB_EINVAL, HOB_ENOMEM */
HOB_EXTERN int hob_connection_new(const struct hob_connection_options *options,
                                  struct hob_connection **out, struct hob_error *err);
/** After the runtime that had it was freed; NULL is legal. */
HOB_EXTERN void hob_connection_free(struct hob_connection *connection);

/* What the product tells, on the driving thread; legal at any time, but not inside publish,
 * subscribe or unsubscribe. */
HOB_EXTERN void hob_connection_up(struct hob_connection *connection, bool session_present);
HOB_EXTERN void hob_connection_down(struct hob_connection *connection, int code, const char *why);
HOB_EXTERN void hob_connection_message(struct hob_connection *connection, const char *topic,
                                       const void *payload, size_t len, int qos, bool retain);
/** PUBACK or UNSUBACK came (QoS 0: it was sent). @param status  0 or a code */
HOB_EXTERN void hob_connection_done(struct hob_connection *connection, uint64_t token, int status);
/** @param granted  QoS a filter, 128 or more: refused */
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
