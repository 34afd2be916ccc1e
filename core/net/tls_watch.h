/* tls_watch.h - looks at the records of a handshake that come in the clear: for the alert that
 * mbedTLS 3 keeps to itself, and for a peer that does not speak TLS at all.
 *
 * A plain struct, zero at first but for `alert`. Spec: spec/integration/tls_spec.lua
 */
#ifndef HOB_NET_TLS_WATCH_H
#define HOB_NET_TLS_WATCH_H

#include <stdbool.h>
#include <stddef.h>

struct hob_tls_watch {
    int alert;        /* HOB_TLS_WORDS_NO_ALERT at first */
    bool any;         /* the peer has sent something */
    bool is_foreign;  /* and it is no TLS: */
    char foreign[33]; /* how it begins, printable */
    /* its own: */
    size_t foreign_len;
    unsigned char header[5];
    size_t header_len;
    size_t left; /* of the record's body */
    bool done;
};

/** @param data  what just arrived, before the end of the handshake */
void hob_tls_watch_records(struct hob_tls_watch *watch, const unsigned char *data, size_t len);

#endif
