/* process_pages.h - what only the start has used of the program and its libraries.
 *
 * The dynamic linker reads their tables of symbols and relocations once, 2 MB of them (OpenSSL's,
 * which libmosquitto asks for, are half of it); the parsers of SQL and Lua, the checks of the store
 * and the handshake run at the start, and then hardly ever. All of it stays in the process's
 * resident memory as long as nobody else needs that.
 *
 * Spec: spec/integration/process_pages_spec.lua
 */
#ifndef HOB_HOST_PROCESS_PAGES_H
#define HOB_HOST_PROCESS_PAGES_H

/** Give back the pages of code and constants: the file system's cache may keep them or not, and
 * what is used again comes from there. Only those that are as they are in their file: not what a
 * debugger has put breakpoints in. For a process of our own: once, when it has started. Where the
 * kernel does not tell (/proc is not there) nothing happens. */
void hob_process_pages_give_back(void);

#endif
