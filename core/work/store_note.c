/* What a person has asked for that outlives the process: rows of the table `meta`. Its column is
 * declared for numbers, but holds text as well: so an older release needs no new table to open it.
 */
#include "work/store_statement.h"

#include <string.h>

#define NOTE_LIMIT 4096

struct note {
    const char *name, *text;
};

static int put_note(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct note *note = args;
    if (!note->text)
        return hob_store_statement_write(store, HOB_STORE_DROP_NOTE, err, "t", note->name);
    return hob_store_statement_write(store, HOB_STORE_PUT_NOTE, err, "tt", note->name, note->text);
}

int hob_store_put_note(struct hob_store *store, const char *name, const char *text,
                       struct hob_error *err)
{
    struct note note = {name, text};
    int rc = text ? hob_store_statement_fits("a note", strlen(text), NOTE_LIMIT, err) : 0;
    return rc ? rc : hob_store_statement_transact(store, HOB_STORE_MUST, put_note, &note, err);
}

int hob_store_get_note(struct hob_store *store, const char *name, const char **text,
                       struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET_NOTE, err, "t", name);
    if (rc == 0)
        *text = hob_store_statement_text(store->held, 0);
    return rc;
}
