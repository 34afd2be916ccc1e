#include "net/mqtt_counts.h"

#include "base/error.h"

const char *hob_mqtt_cause_name(enum hob_mqtt_cause cause)
{
    static const char *const names[HOB_MQTT_CAUSES] = {
        [HOB_MQTT_CAUSE_RESOLVE] = "resolve",   [HOB_MQTT_CAUSE_NETWORK] = "network",
        [HOB_MQTT_CAUSE_TLS] = "tls",           [HOB_MQTT_CAUSE_REFUSED] = "refused",
        [HOB_MQTT_CAUSE_TIMEOUT] = "timeout",   [HOB_MQTT_CAUSE_NO_ANSWER] = "no_answer",
        [HOB_MQTT_CAUSE_PROTOCOL] = "protocol", [HOB_MQTT_CAUSE_LOCAL] = "local",
    };
    return names[cause];
}

enum hob_mqtt_cause hob_mqtt_cause_of(int code)
{
    switch (code) {
    case HOB_ERESOLVE:
        return HOB_MQTT_CAUSE_RESOLVE;
    case HOB_ETLS:
        return HOB_MQTT_CAUSE_TLS;
    case HOB_EREFUSED:
        return HOB_MQTT_CAUSE_REFUSED;
    case HOB_ETIMEDOUT:
        return HOB_MQTT_CAUSE_TIMEOUT;
    case HOB_EPROTO:
    case HOB_EMSGSIZE:
        return HOB_MQTT_CAUSE_PROTOCOL;
    case HOB_ENOENT:
    case HOB_EACCES:
    case HOB_ENOMEM:
    case HOB_EINVAL:
    case HOB_EUNSUPPORTED:
        return HOB_MQTT_CAUSE_LOCAL;
    default:
        return HOB_MQTT_CAUSE_NETWORK;
    }
}

void hob_mqtt_counts_down(struct hob_mqtt_counts *counts, bool was_up, bool distrusted, int code)
{
    enum hob_mqtt_cause cause = distrusted ? HOB_MQTT_CAUSE_NO_ANSWER : hob_mqtt_cause_of(code);
    (was_up ? counts->lost : counts->refused)[cause]++;
}
