#include "work/blackbox.h"

int hob_blackbox_open(struct hob_log *log, const char *path, const char *boot_id,
                      struct hob_blackbox **out, struct hob_error *err)
{
    *out = NULL;
    return 0;
}
void hob_blackbox_close(struct hob_blackbox *box) {}
void hob_blackbox_free(struct hob_blackbox *box) {}
size_t hob_blackbox_past(const struct hob_blackbox *box, const struct hob_blackbox_past **out)
{
    *out = NULL;
    return 0;
}
size_t hob_blackbox_end_children(struct hob_blackbox *box)
{
    return 0;
}
struct hob_blackbox_entry *hob_blackbox_begin(struct hob_blackbox *box, int64_t row)
{
    return NULL;
}
void hob_blackbox_step(struct hob_blackbox_entry *entry, const char *name) {}
void hob_blackbox_child(struct hob_blackbox_entry *entry, int pid, bool runs) {}
volatile int *hob_blackbox_executing(struct hob_blackbox_entry *entry)
{
    return NULL;
}
void hob_blackbox_end(struct hob_blackbox_entry *entry) {}
