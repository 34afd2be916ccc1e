/* tool.h - `hob lua` and Hob's own commands: a full Lua state with Hob's modules, run as a task.
 *
 * Spec: spec/integration/cli_spec.lua
 */
#ifndef HOB_HOST_TOOL_H
#define HOB_HOST_TOOL_H

/** Run require("hob.cli.NAME").run(argv) to its end. @return the exit code */
int hob_tool_run(const char *name, int argc, char **argv);

/** Is there such a command? */
int hob_tool_exists(const char *name);

#endif
