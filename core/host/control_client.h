/* control_client.h - internal to control.c and control_session.c: a connection to the control
 * socket. */
#ifndef HOB_HOST_CONTROL_CLIENT_H
#define HOB_HOST_CONTROL_CLIENT_H

#include "host/control_parts.h"

struct hob_control_session;

#define HOB_CONTROL_READ_BYTES 16384

struct hob_control_client {
    uv_pipe_t pipe;
    struct hob_control_caller caller; /* its control is NULL once that is gone */
    struct hob_control_client *next;
    struct hob_buf in;
    bool ends;                           /* closed once everything was sent */
    bool closing;                        /* it is not there any more; freed in a turn of its own */
    struct hob_control_session *session; /* its bytes belong to that; NULL: they are requests */
    char chunk[HOB_CONTROL_READ_BYTES];
};

/* ---- control.c ---- */

/** Who does not read is closed. @return 0, or a code: it is being closed */
int hob_control_client_send(struct hob_control_client *client, const char *bytes, size_t len);
/** The last thing that it hears; `message` NULL: nothing. */
void hob_control_client_end(struct hob_control_client *client, int code, const char *message);
/** In a turn of its own nothing of it is left. */
void hob_control_client_close(struct hob_control_client *client);
/** Take more of what it sends, or no more for now. */
void hob_control_client_read(struct hob_control_client *client, bool more);

/* ---- control_session.c ---- */

void hob_control_session_bytes(struct hob_control_session *session, const char *bytes, size_t len);
/** Nothing more comes. */
void hob_control_session_eof(struct hob_control_session *session);
/** It ends in a turn of its own if it is one of this thing. */
void hob_control_session_leave(struct hob_control_session *session, const struct hob_thing *thing);
/** Not inside a call of its Lua. */
void hob_control_session_free(struct hob_control_session *session);

#endif
