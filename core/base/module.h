/* module.h - parts of Hob that carry a large library are loaded when first used.
 *
 * libcurl (hob_download.so), libmicrohttpd (hob_httpd.so) and libedit (hob_edit.so) are needed by
 * few and weigh much. Each sits in a shared object beside the program that exports one symbol,
 * `hob_module`, a table of functions. A module is never unloaded, and is there once: one that is
 * loaded is not searched again. Searched: the directory given, $HOB_MODULE_DIR, `modules/` (a build
 * tree) and `hob/` (installed) beside the library, `modules/` and `../lib/hob/` from the program,
 * where `cmake --install` would put it.
 * Spec: spec/unit/module_spec.lua
 */
#ifndef HOB_BASE_MODULE_H
#define HOB_BASE_MODULE_H

#include "base/error.h"

#include <stddef.h>

/** @param name  "hob_download" @return the module's `hob_module` table, or NULL with the reason:
 * the file that was looked for, and which package brings what is missing */
const void *hob_module_open(const char *name, struct hob_error *err);

/** The same, with a directory that is looked into first. @param dir  NULL: none */
const void *hob_module_open_in(const char *dir, const char *name, struct hob_error *err);

/** The directory of libhob.so, or of the program that holds libhob. Without a slash at its end. */
int hob_module_library_dir(char *out, size_t len, struct hob_error *err);

/** The directory of the running program, without a slash at its end. @return 0 or a code */
int hob_module_program_dir(char *out, size_t len, struct hob_error *err);

#endif
