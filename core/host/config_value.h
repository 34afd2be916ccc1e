/* config_value.h - the keys of the configuration: what each takes, setting one, and what is said
 * when a value does not fit. Internal to core/host/config*.c.
 *
 * Spec: spec/integration/config_spec.lua
 */
#ifndef HOB_HOST_CONFIG_VALUE_H
#define HOB_HOST_CONFIG_VALUE_H

#include "host/config.h"

struct lua_State;

enum hob_config_type {
    HOB_CONFIG_STRING,
    HOB_CONFIG_FILE,
    HOB_CONFIG_DIRECTORY,
    HOB_CONFIG_DIRECTORIES, /* "DIR" or { "DIR", ... }; as a flag "DIR:DIR"; see scripts_dirs.h */
    HOB_CONFIG_TARGET,      /* "stderr", "syslog", "none" or a file */
    HOB_CONFIG_INTEGER,
    HOB_CONFIG_SECONDS,
    HOB_CONFIG_BOOLEAN,
    HOB_CONFIG_SIZE,
    HOB_CONFIG_ALLOW, /* { allow = { "PROGRAM", ... } } */
    HOB_CONFIG_CHOICE,
    HOB_CONFIG_COMMAND, /* { "PROGRAM", "ARGUMENT", ... }; as a flag, words between blanks */
    HOB_CONFIG_FILTER,  /* a prefix of job ids, or (in the file) a function */
    HOB_CONFIG_LIST,    /* { "TEXT", ... }, perhaps empty */
    HOB_CONFIG_FILES,   /* likewise, of file names */
    HOB_CONFIG_ROUTES   /* { ["TEXT"] = "HANDLER", ... } */
};

struct hob_config_key {
    const char *name;
    enum hob_config_type type;
    bool of_thing; /* may stand in each of `things` */
    size_t offset; /* in struct hob_config_thing or hob_config */
    double min, max;
    const char *choices;  /* of a choice: "a|b" */
    const char *fallback; /* the default, as a flag would give it; NULL: none */
};

/** @return the key at `index`, NULL past the last */
const struct hob_config_key *hob_config_key_at(size_t index);
const struct hob_config_key *hob_config_key_find(const char *name); /* NULL: there is none */

bool hob_config_is_list(const struct hob_config_key *key); /* kept as a char **, never NULL */

/* Where a value came from. */
struct hob_config_origin {
    const char *file;   /* NULL: a flag */
    const char *source; /* the file's text */
    size_t thing;       /* 1 and up: in things[thing]; 0: beside it */
    bool is_call;       /* neither a file nor a flag: a program has named the key */
};

/** "FILE:LINE: things[2].NAME", "--NAME", or "NAME". */
void hob_config_place(const struct hob_config_origin *origin, const char *name, char *out,
                      size_t len);
#define HOB_CONFIG_PLACE_MAX 1024

/** "PLACE: unknown key; did you mean ...". @return HOB_ECONFIG */
int hob_config_unknown(const struct hob_config_origin *origin, const char *name,
                       struct hob_error *err);
/** "PLACE: expected WHAT, got GOT". @return HOB_ECONFIG */
int hob_config_expected(const struct hob_config_origin *origin, const char *name, const char *what,
                        const char *got, struct hob_error *err);

/** Set a key from a flag's text, or from the Lua value on top of the stack (which stays).
 * @param base  the struct that holds the member
 * @return 0, or HOB_ECONFIG and the reason */
int hob_config_set_text(const struct hob_config_origin *origin, const struct hob_config_key *key,
                        void *base, const char *value, struct hob_error *err);
int hob_config_set_value(struct lua_State *L, const struct hob_config_origin *origin,
                         const struct hob_config_key *key, void *base, struct hob_error *err);

void hob_config_free_words(char **words); /* NULL-terminated; NULL is legal */

/** Whom a problem is told to; then what is beside it is read, too. */
struct hob_config_looker {
    hob_config_problem_fn *problem; /* NULL: nobody looks, and the first problem is the end */
    void *user;
};
/** @return 0 if `rc` was told, else `rc` */
int hob_config_tell(const struct hob_config_looker *looker, int rc, struct hob_error *err);

/** Read the file into `config`, which holds the defaults. @return 0, or HOB_ECONFIG */
int hob_config_file_load(const char *path, const char *text, size_t len, struct hob_config *config,
                         const struct hob_config_looker *looker, struct hob_error *err);
/** The whole file; caller frees. @return NULL and the reason */
char *hob_config_file_read(const char *path, size_t *len, struct hob_error *err);

/** A name in the file may hold anything; a message is one line. */
void hob_config_make_one_line(struct hob_error *err);

/* ---- config.c and config_check.c ---- */

#define HOB_CONFIG_KEYS_MAX 64

/* One reading of a configuration. */
struct hob_config_load {
    struct hob_config *config;
    const char *file; /* NULL: flags alone */
    char *text;
    bool by_flag[HOB_CONFIG_KEYS_MAX];
    bool is_call;
    struct hob_config_looker looker;
    const struct hob_config_index *index; /* of its things, while all are checked; NULL: not now */
    struct hob_error *err;
};

/** Zeroed before, but for what is the product's. */
int hob_config_set_defaults(struct hob_config *config, struct hob_error *err);
/** The file, if there is one. @return 0, or HOB_ECONFIG */
int hob_config_read(struct hob_config_load *load);
/** After the last value was set: does it make sense? @param rc  what came of it so far. @return it,
 * or what is wrong */
int hob_config_finish(struct hob_config_load *load, int rc);
int hob_config_check(struct hob_config_load *load);
/** Is it a file that can be read? @param thing  which of its things, from 1; 0: none of them */
int hob_config_check_file(const struct hob_config_load *load, const char *path, const char *name,
                          size_t thing);
/** @param number  which of its things, from 1; 0: it is none of them yet */
int hob_config_check_thing(const struct hob_config_load *load, const struct hob_config_thing *thing,
                           size_t number);

#endif
