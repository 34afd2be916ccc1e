/* runtime.h - one Hob: the loop, the log, the store, the handlers, and its things.
 *
 * What struct hob_runtime of hob.h is. Products reach it through host/embed*.c, `hob run` through
 * hob_runtime_main; there is nothing else that either could do and the other could not.
 *
 * Life: hob_runtime_make -> hob_runtime_begin -> (its loop is run) -> hob_runtime_ask_to_stop ->
 * hob_runtime_free. A process may have several, each with a data directory of its own.
 * Loop thread only.  Specs: spec/integration/run_spec.lua, embed_life_spec.lua
 */
#ifndef HOB_HOST_RUNTIME_H
#define HOB_HOST_RUNTIME_H

#include "base/error.h"

struct hob_config;

/** Open all of it; nothing is connected yet.
 * @param config   taken, also when this fails
 * @param options  all but what a configuration is made of; members are borrowed as hob.h says
 * @return 0, HOB_ECONFIG (also: what it trusts could be changed by others), HOB_EBUSY: the data
 * directory is in use, or another code */
int hob_runtime_make(struct hob_config *config, const struct hob_runtime_options *options,
                     struct hob_runtime **out, struct hob_error *err);

/** Load the handlers, go on with what was running, connect. Once.
 * @return 0, HOB_EBUSY: it was begun before, HOB_ECANCELED: it was asked to stop */
int hob_runtime_begin(struct hob_runtime *runtime, struct hob_error *err);

/** `hob run` from its flags to its exit code: 0 stopped in order, 1 could not run, 2 config error.
 * SIGTERM and SIGINT stop it in order (running jobs get stop_timeout to end, what is left is
 * resumed by the next process); a second one ends it at once. SIGHUP loads the handlers again and
 * reopens the log. */
int hob_runtime_main(int argc, char **argv);

#endif
