/* modules.h - what the core asks of the Lua bindings. Declared here, implemented in bindings/, so
 * that the core includes nothing of theirs.
 */
#ifndef HOB_WORK_MODULES_H
#define HOB_WORK_MODULES_H

struct lua_State;
struct hob_loop;
struct hob_log;
struct hob_bench;
struct hob_console;
struct hob_debugger;
struct hob_job;
struct hob_mqtt_share;
struct hob_native;
struct hob_exec_set;
struct hob_handlers;
struct hob_policy;

/** The running gateway's own connection, and who it is there. */
struct hob_modules_agent {
    struct hob_mqtt_share *share;
    const char *thing;
    const char *via;                              /* whose connection it is; "": this thing's own */
    const char *ca, *cert, *key, *key_passphrase; /* files of its TLS; "": none */
    const char *credentials_endpoint;             /* of AWS's credentials provider; "" */
    const struct hob_handlers *handlers;          /* which versions of them are in use */
    struct hob_fair_party *party; /* whose slices their Lua takes; NULL: nobody shares */
};

/** What every binding may reach; the scheduler's `user` of a state points to one. */
struct hob_modules_host {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_job *job;                   /* in a job's sandbox; else NULL */
    const struct hob_modules_agent *agent; /* borrowed; NULL: no gateway runs here */
    const struct hob_policy *policy;       /* borrowed; NULL: all is allowed */
    struct hob_exec_set *children;         /* what programs it starts belong to; NULL: none */
    struct hob_bench *bench;               /* it works on a bench; NULL: it does not */
    struct hob_native *native;             /* what the product has in C; NULL: nothing */
    struct hob_debugger *debugger;         /* of this process; NULL: none, or not for this state */
    struct hob_console *console;           /* in a session's state (host/console.h); else NULL */
    int reading;                           /* a worker thread waits for a line of standard input */
    int exiting;                           /* hob.process.exit was called, */
    int exit_code;                         /* with this */
};

/** In a job's sandbox: push the function that opens a module in C. Raises on no memory: call it
 * protected. @return 0: there is no such module, nothing is pushed */
int hob_modules_push_opener(struct lua_State *L, const char *name);

/** Fill package.preload for `hob lua` and Hob's own commands. Raises likewise. */
void hob_modules_open_tool(struct lua_State *L);

/** Push the primitive object behind a handler's `job` (see lib/hob/job.lua). */
void hob_modules_push_job(struct lua_State *L, struct hob_job *job);

#endif
