/* policy.h - what handlers may do to this device, as the owner's configuration says.
 *
 * Whoever does something for a handler (a binding, exec, files) asks here; a refusal names the key
 * to set. Lists are NULL-terminated, texts never NULL ("": not set).
 *
 * Life: a plain struct, borrowed from the configuration for the life of the process.
 * Spec: spec/unit/policy_spec.lua
 */
#ifndef HOB_DEVICE_POLICY_H
#define HOB_DEVICE_POLICY_H

struct hob_policy {
    const char *exec_user;         /* whom programs run as when Hob is root */
    const char *const *privileged; /* programs that run as Hob itself */
    const char *const *users;      /* whom a document may name */
    const char *const *commands;   /* programs of runCommand and from PATH; "*": any */
    const char *handler_dir;       /* AWS's executables that documents with steps name */
    const char *const *roots;      /* directories that hob.fs may touch */
    const char *const *topics;     /* filters that hob.cloud may use */
    const char *const *signers;    /* files with certificates or keys whose signatures count */
    const char *proxy;             /* for hob.http, as a URL */
};

#endif
