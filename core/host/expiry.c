#include "host/expiry.h"

#include "base/error.h"
#include "net/certificate.h"

static void on_certificate(void *user, const struct hob_certificate *certificate)
{
    struct hob_expiry *expiry = user;
    bool first = expiry->certificates++ == 0;
    if (first || certificate->to_s < expiry->first_s) {
        expiry->first_s = certificate->to_s;
    }
    if (first || certificate->to_s > expiry->last_s) {
        expiry->last_s = certificate->to_s;
    }
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

const struct hob_expiry *hob_expiry_look(struct hob_expiry *expiry, const char *path)
{
    struct hob_error err = {0};
    struct stat now;
    bool there = stat(path, &now) == 0;
    if (there && expiry->known && same_file(&now, &expiry->stamp)) {
        return expiry;
    }
    *expiry = (struct hob_expiry){.known = there};
    if (there) {
        expiry->stamp = now;
    }
    int count = hob_certificate_read(path, on_certificate, expiry, &err);
    if (count <= 0) {
        *expiry = (struct hob_expiry){.code = count < 0 ? count : HOB_ETLS};
    }
    return expiry;
}
