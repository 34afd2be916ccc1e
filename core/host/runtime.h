/* runtime.h - one process of Hob: the loop, the log, the store, the handlers, and its things.
 *
 * Signals (hob_runtime_main): SIGTERM and SIGINT stop it in order (running jobs get stop_timeout to
 * end, what is left is resumed by the next process); a second one ends it at once. SIGHUP loads the
 * handlers again and reopens the log.
 *
 * Spec: spec/integration/run_spec.lua
 */
#ifndef HOB_HOST_RUNTIME_H
#define HOB_HOST_RUNTIME_H

/** `hob run` from its flags to its exit code: 0 stopped in order, 1 could not run, 2 config error.
 */
int hob_runtime_main(int argc, char **argv);

#endif
