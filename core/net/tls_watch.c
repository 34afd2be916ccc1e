/* tls_watch.c - see tls_watch.h */
#include "net/tls_watch.h"

#include <mbedtls/ssl.h>

static void watch_foreign(struct hob_tls_watch *watch, const unsigned char *data, size_t len)
{
    watch->is_foreign = true;
    for (size_t i = 0; i < len && watch->foreign_len < sizeof(watch->foreign) - 1; i++) {
        char c = (char)data[i];
        watch->foreign[watch->foreign_len++] = (c >= ' ' && c < 127) ? c : '.';
    }
}

static void watch_header(struct hob_tls_watch *watch)
{
    watch->left = (size_t)watch->header[3] << 8 | watch->header[4];
    watch->header_len = 0;
    if (watch->header[0] == MBEDTLS_SSL_MSG_CHANGE_CIPHER_SPEC)
        watch->done = true; /* from here on everything is encrypted */
}

void hob_tls_watch_records(struct hob_tls_watch *watch, const unsigned char *data, size_t len)
{
    const unsigned char *end = data + len;
    if (len > 0 && !watch->any && (data[0] < 20 || data[0] > 23))
        watch_foreign(watch, data, len);
    watch->any = watch->any || len > 0;
    while (data < end && !watch->done && !watch->is_foreign) {
        if (watch->left == 0) {
            watch->header[watch->header_len++] = *data++;
            if (watch->header_len == sizeof(watch->header))
                watch_header(watch);
            continue;
        }
        /* An alert is two bytes: its level, then what it means. */
        if (watch->header[0] == MBEDTLS_SSL_MSG_ALERT && watch->left == 1)
            watch->alert = *data;
        watch->left--;
        data++;
    }
}
