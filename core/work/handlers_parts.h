/* handlers_parts.h - internal to handlers*.c: what a set of handlers holds. */
#ifndef HOB_WORK_HANDLERS_PARTS_H
#define HOB_WORK_HANDLERS_PARTS_H

#include "work/handlers.h"

#define HOB_HANDLERS_STEPS      "aws-steps" /* the built-in one */
#define HOB_HANDLERS_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

struct hob_handlers {
    struct hob_loop *loop;
    struct hob_log *log;
    char *scripts;
    char *script_lib;
    char *lib;
    const char *const *job_types, *const *routes;
    struct hob_handler *list; /* sorted by name; the built-in one is not in it */
    size_t count;
    struct hob_handler steps;
};

#endif
