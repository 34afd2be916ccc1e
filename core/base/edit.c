/* edit.c - see edit.h: loads libedit's module and hands over to it. */
#include "base/edit.h"

#include "base/alloc.h"
#include "base/module.h"

#include <string.h>

struct hob_edit {
    const struct hob_edit_module *module;
    struct hob_edit_terminal *terminal;
};

int hob_edit_open(const struct hob_edit_options *options, struct hob_edit **out,
                  struct hob_error *err)
{
    struct hob_error why = {0};
    const struct hob_edit_module *module = hob_module_open("hob_edit", &why);
    if (!module)
        return hob_error_set(err, why.code, "%s", why.message);
    struct hob_edit *edit = hob_calloc(1, sizeof *edit);
    if (!edit)
        return hob_error_set(err, HOB_ENOMEM, "opening the terminal: out of memory");
    edit->module = module;
    int rc = module->open(options, &edit->terminal, err);
    if (rc) {
        hob_free(edit);
        return rc;
    }
    *out = edit;
    return 0;
}

static int send_message(struct hob_edit *edit, enum hob_edit_message kind, const char *text,
                        size_t len, size_t from)
{
    return edit->module->send(edit->terminal, kind, text, len, from);
}

int hob_edit_read(struct hob_edit *edit, const char *prompt)
{
    return send_message(edit, HOB_EDIT_DO_READ, prompt, strlen(prompt), 0);
}

int hob_edit_print(struct hob_edit *edit, const char *text, size_t len)
{
    return send_message(edit, HOB_EDIT_DO_PRINT, text, len, 0);
}

int hob_edit_prompt(struct hob_edit *edit, const char *prompt)
{
    return send_message(edit, HOB_EDIT_DO_PROMPT, prompt, strlen(prompt), 0);
}

int hob_edit_remember(struct hob_edit *edit, const char *line)
{
    return send_message(edit, HOB_EDIT_DO_REMEMBER, line, strlen(line), 0);
}

int hob_edit_candidates(struct hob_edit *edit, const char *words, size_t len, size_t from)
{
    return send_message(edit, HOB_EDIT_DO_CANDIDATES, words, len, from);
}

void hob_edit_interrupt(struct hob_edit *edit)
{
    send_message(edit, HOB_EDIT_DO_INTERRUPT, "", 0, 0);
}

void hob_edit_resize(struct hob_edit *edit)
{
    send_message(edit, HOB_EDIT_DO_RESIZE, "", 0, 0);
}

void hob_edit_close(struct hob_edit *edit)
{
    if (edit) {
        edit->module->close(edit->terminal);
        hob_free(edit);
    }
}
