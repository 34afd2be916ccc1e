/* notify.h - tells systemd how the process is: the datagrams of sd_notify(3), without its library.
 *
 * READY=1 when it works, RELOADING=1 before a reload or before the process begins anew, STOPPING=1,
 * EXTEND_TIMEOUT_USEC= while it stops (a critical section may take its time), STATUS= for people,
 * and WATCHDOG=1 at half of $WATCHDOG_USEC from the loop's own timer: a loop that is held by a call
 * that never returns stops telling, and systemd ends the process.
 *
 * Without $NOTIFY_SOCKET there is nobody to tell: hob_notify_new gives NULL, which every function
 * takes. What cannot be sent is logged once (notify.failed); nothing else fails.
 * The variables are taken out of the environment, which programs inherit, and put back by
 * hob_notify_close, for a process that begins anew in the place of this one.
 * Life: hob_notify_new -> ready, reloading, stopping -> hob_notify_close. Loop thread only.
 * Spec: spec/integration/notify_spec.lua
 */
#ifndef HOB_HOST_NOTIFY_H
#define HOB_HOST_NOTIFY_H

#include "base/log.h"
#include "base/loop.h"

#include <stdbool.h>

struct hob_notify;

/** Begins with the watchdog's messages, if systemd wants them from this process.
 * @return NULL: nobody is to be told (or there is no memory: said in the log) */
struct hob_notify *hob_notify_new(struct hob_loop *loop, struct hob_log *log);
void hob_notify_close(struct hob_notify *notify);

void hob_notify_ready(struct hob_notify *notify, const char *status);
void hob_notify_reloading(struct hob_notify *notify, const char *status);
/** From here on systemd is asked for more time, again and again, until the process ends or
 * `limit_ms` is over. */
void hob_notify_stopping(struct hob_notify *notify, const char *status, uint64_t limit_ms);

#endif
