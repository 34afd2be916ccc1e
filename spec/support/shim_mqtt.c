#include "shim.h"

#include <stdio.h>
#include <string.h>

#define MQTT_CONNECT 0x10
#define MQTT_PUBLISH 0x30
#define MQTT_KIND    0xf0

struct hob_shim_flow *hob_shim_flow_of(struct hob_shim_flow *flows, int fd)
{
    for (int i = 0; i < HOB_SHIM_FLOWS; i++)
        if (flows[i].fd == fd)
            return &flows[i];
    return NULL;
}

void hob_shim_flow_open(struct hob_shim_flow *flows, int fd)
{
    struct hob_shim_flow *flow = hob_shim_flow_of(flows, fd);
    flow = flow ? flow : hob_shim_flow_of(flows, -1);
    if (flow)
        *flow = (struct hob_shim_flow){.fd = fd};
}

void hob_shim_flow_close(struct hob_shim_flow *flows, int fd)
{
    struct hob_shim_flow *flow = hob_shim_flow_of(flows, fd);
    if (flow)
        flow->fd = -1;
}

/* The topic of a PUBLISH, and the status that its payload names. */
static void add_words(struct hob_shim_heard *heard, const struct hob_shim_flow *flow)
{
    char text[HOB_SHIM_HEAD_BYTES + 1] = "", status[16] = "";
    size_t got = flow->got < HOB_SHIM_HEAD_BYTES ? flow->got : HOB_SHIM_HEAD_BYTES;
    size_t len = got < 2 ? 0 : (size_t)(flow->head[0] << 8 | flow->head[1]);
    if (got < 2)
        return;
    for (size_t i = 0; i < got - 2; i++)
        text[i] = flow->head[i + 2] ? (char)flow->head[i + 2] : ' ';
    const char *found = strstr(text, "\"status\":\"");
    if (found)
        sscanf(found + strlen("\"status\":\""), "%15[A-Z_]", status);
    size_t at = strlen(heard->words);
    snprintf(heard->words + at, sizeof heard->words - at, "%s%.*s%s%s", at ? ", " : "", (int)len,
             text, status[0] ? " " : "", status);
}

static bool is_accepted(const struct hob_shim_flow *flow)
{
    static const char end[] = "/accepted";
    size_t got = flow->got < HOB_SHIM_HEAD_BYTES ? flow->got : HOB_SHIM_HEAD_BYTES;
    size_t len = got < 2 ? 0 : (size_t)(flow->head[0] << 8 | flow->head[1]);
    return len >= sizeof end - 1 && len + 2 <= got &&
           memcmp(flow->head + 2 + len - (sizeof end - 1), end, sizeof end - 1) == 0;
}

static void end_packet(struct hob_shim_flow *flow, struct hob_shim_heard *heard, bool incoming)
{
    flow->at = HOB_SHIM_FIRST;
    if ((flow->first & MQTT_KIND) != MQTT_PUBLISH || (incoming && !is_accepted(flow)))
        return;
    heard->accepted++;
    add_words(heard, flow);
}

static void feed_byte(struct hob_shim_flow *flow, unsigned char byte, struct hob_shim_heard *heard,
                      bool incoming)
{
    if (flow->at == HOB_SHIM_FIRST) {
        flow->mqtt = incoming || flow->seen ? flow->mqtt : byte == MQTT_CONNECT;
        flow->seen = true;
        flow->first = byte;
        flow->digits = 0;
        flow->left = flow->got = 0;
        flow->at = HOB_SHIM_LENGTH;
        heard->publishes += (byte & MQTT_KIND) == MQTT_PUBLISH;
    } else if (flow->at == HOB_SHIM_LENGTH) {
        flow->left |= (size_t)(byte & 0x7f) << (7 * flow->digits++);
        if (!(byte & 0x80))
            flow->at = HOB_SHIM_BODY;
        if (flow->at == HOB_SHIM_BODY && flow->left == 0)
            end_packet(flow, heard, incoming);
    } else {
        if (flow->got < HOB_SHIM_HEAD_BYTES)
            flow->head[flow->got] = byte;
        flow->got++;
        if (--flow->left == 0)
            end_packet(flow, heard, incoming);
    }
}

void hob_shim_flow_feed(struct hob_shim_flow *flow, const struct iovec *parts, int count,
                        size_t limit, struct hob_shim_heard *heard, bool incoming)
{
    for (int i = 0; i < count; i++) {
        const unsigned char *bytes = parts[i].iov_base;
        for (size_t j = 0; j < parts[i].iov_len && limit > 0; j++, limit--)
            if (incoming || !flow->seen || flow->mqtt)
                feed_byte(flow, bytes[j], heard, incoming);
    }
}
