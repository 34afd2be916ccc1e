/* native_parts.h - internal to native*.c: what is registered, and what is remembered of what has
 * ended. */
#ifndef HOB_WORK_NATIVE_PARTS_H
#define HOB_WORK_NATIVE_PARTS_H

#include "work/native.h"
#include "work/scripts.h"

#define HOB_NATIVE_REMEMBERED 128
#define HOB_NATIVE_NAME_MAX   64 /* of a function */

struct hob_native_handler {
    struct hob_handlers_entry entry; /* first: hob_native_find_handler gives its address */
    struct hob_handler given;        /* only its functions and `user` */
    char label[HOB_HANDLER_NAME_MAX + 16];
};

struct hob_native_function {
    struct hob_native_module *module;
    void (*fn)(void *user, struct hob_call *call);
    char name[HOB_NATIVE_NAME_MAX + 1];
    char label[HOB_SCRIPTS_MODULE_MAX + HOB_NATIVE_NAME_MAX + 2];
};

struct hob_native_module {
    char name[HOB_SCRIPTS_MODULE_MAX + 1];
    void *user;
    struct hob_native_function *functions;
    size_t count;
};

/* Blocks whose owner has ended, so that a pointer that a product still has leads to no other. */
struct hob_native_dead {
    void *list[HOB_NATIVE_REMEMBERED];
    size_t next;
};

struct hob_native {
    struct hob_loop *loop;
    struct hob_log *log;
    char *lib;
    unsigned *inside;
    struct hob_native_handler **handlers; /* sorted by name */
    size_t handler_count;
    struct hob_native_module **modules;
    size_t module_count;
    struct hob_native_dead runs, calls;
};

/* ---- native.c ---- */

/** A list of pointers with room for one more; NULL: out of memory, and `list` is as it was. */
void *hob_native_grow(void *list, size_t count);
void hob_native_bury(struct hob_native_dead *dead, void *block);

/* ---- native_module.c ---- */

void hob_native_free_module(struct hob_native_module *module);

#endif
