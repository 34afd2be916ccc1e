/* store_schema.h - the tables of the store and their versions.
 *
 * A file of an older version is brought up to ours in one transaction; what is added keeps to what
 * the version before can live with (columns with defaults, new tables, triggers), so that after an
 * A/B fall-back the previous release opens the file again. The version after ours is opened when
 * it says that it is compatible. The tables are described in docs/reference/store.md.
 * Only store_file.c uses it. Loop thread only.  Spec: spec/unit/store_schema_spec.lua
 */
#ifndef HOB_WORK_STORE_SCHEMA_H
#define HOB_WORK_STORE_SCHEMA_H

#include "base/error.h"

struct hob_store_file;

/** Begin, upgrade, or accept what is in the file; sets `newer` of it.
 * @return 0, or a code: another program's file, a newer one that is not compatible, no room */
int hob_store_schema_check(struct hob_store_file *file, struct hob_error *err);

#endif
