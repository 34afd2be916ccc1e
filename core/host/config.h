/* config.h - hob.conf.lua and the flags of `hob run`, checked.
 *
 * The file is a Lua table, evaluated with nothing in reach (`return { endpoint = "...", ... }`).
 * Each key is checked: an unknown one, a wrong type, a value out of range or a file that cannot be
 * read is HOB_ECONFIG with file, line, key and what was expected. Flags override the file. All keys
 * are described in docs/reference/config.md; a spec compares that page with the table in
 * config_value.c.
 *
 * Life: hob_config_load -> hob_config_free. Strings belong to the config.
 * Spec: spec/integration/config_spec.lua
 */
#ifndef HOB_HOST_CONFIG_H
#define HOB_HOST_CONFIG_H

#include "base/error.h"
#include "device/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hob_config_thing {
    char *thing_name;
    char *client_id;  /* "" means the thing's name */
    char *connection; /* the thing whose connection it uses; "": it has its own */
    char *endpoint;
    int64_t port; /* 0: 8883, or 1883 without TLS */
    bool tls;
    char *ca, *cert, *key, *key_passphrase, *alpn;
    int64_t mqtt_version; /* 4 is 3.1.1, 5 */
    double keep_alive;
    double connect_timeout;
    double request_timeout;
    double backoff_base, backoff_cap;
    bool persistent_session;
    char *credentials_endpoint; /* of AWS's credentials provider; "" */
    /* Its limits. */
    int64_t max_concurrent_jobs;
    int64_t messages_per_minute; /* 0: no limit */
    uint64_t memory;             /* bytes a job may use */
    double cpu; /* processor time that a job may use in all its runs; 0: no limit */
    double poll;
    double job_timeout, cleanup_timeout;
};

struct hob_config {
    /* Of the product: signs in place of `key`; NULL: none. Borrowed; whoever loads a configuration
     * sets it before, or zeroes the struct. */
    const struct hob_key_provider *key_provider;
    struct hob_connection *connection; /* likewise: in place of endpoints; NULL: none */
    struct hob_config_thing *things;
    size_t thing_count;
    struct hob_config_thing common; /* what each begins with, also one that is added later */
    char *scripts;                  /* see work/scripts_dirs.h */
    char *data;
    char *log_level, *log_format, *log_target;
    char *unknown_jobs; /* "reject" or "ignore" */
    /* What handlers may do; lists are NULL-terminated. */
    char *exec_user, *handler_dir, *proxy;
    char **privileged, **users, **allowed_commands, **fs_roots, **topics, **signers;
    char **job_types;      /* members of a document that may name its handler */
    char **routes;         /* pairs: what a document says, the handler */
    bool reload;           /* watch the scripts */
    double stop_grace;     /* for a running job to reach its next step */
    double stop_timeout;   /* for a critical section or a `once` step */
    char **reboot_command; /* NULL-terminated */
    char *boot_id_file;    /* "": the kernel's */
    double reboot_wait;
    int64_t max_running_jobs;        /* of all things together; 0: no limit */
    int64_t connect_rate;            /* things that begin to connect in a second; 0: no limit */
    char *job_filter;                /* a prefix of job ids; "" */
    bool job_filter_is_function;     /* a member of the table that config_text returns */
    char *config_file, *config_text; /* "" without a file */
    double debug_hold;               /* the longest that a person may hold a job */
    bool wait_debugger;              /* by flag only */
    uint64_t output_limit, output_total, events_limit;
};

/** @param argv  the flags after `hob run`. @return 0, HOB_ECONFIG, or 1: --help was asked for */
int hob_config_load(int argc, char **argv, struct hob_config *out, struct hob_error *err);
void hob_config_free(struct hob_config *config);

/** A copy that is freed for itself; also after a failure. */
int hob_config_thing_copy(struct hob_config_thing *to, const struct hob_config_thing *from,
                          struct hob_error *err);
void hob_config_thing_free(struct hob_config_thing *thing);
/** One more: as `common`, but for these. @param settings  key, value, ..., NULL: as flags would
 * give them. @return 0, or HOB_ECONFIG and the reason; then there is nothing to free */
int hob_config_thing_make(struct hob_config_thing *out, const struct hob_config *config,
                          const char *const *settings, struct hob_error *err);

/** What it connects with: without one of its own, its name. Borrowed. */
const char *hob_config_thing_client_id(const struct hob_config_thing *thing);
/** Would each throw the other's connection out, with the same client id at the same place? */
bool hob_config_thing_clashes(const struct hob_config_thing *a, const struct hob_config_thing *b);

/** Likewise for people who look, past what is wrong: each problem is told, and what can be read is
 * read. @return 0 (problems may have been told), or HOB_ECONFIG: nothing could be read, `out` holds
 * the defaults; free it all the same */
typedef void hob_config_problem_fn(void *user, const char *message);
int hob_config_look(int argc, char **argv, struct hob_config *out, hob_config_problem_fn *problem,
                    void *user, struct hob_error *err);

/** Borrowed from the config. */
struct hob_policy hob_config_policy(const struct hob_config *config);

/** Is the user there that programs will run as? @return 0, or HOB_ECONFIG with the place of
 * exec_user and what to do */
int hob_config_check_user(const struct hob_config *config, struct hob_error *err);

extern const char hob_config_usage[]; /* of `hob run` */

#endif
