#include "work/offer.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <string.h>

const char *hob_offer_thing(const struct hob_offer *offer)
{
    return offer->thing;
}

const char *hob_offer_job_id(const struct hob_offer *offer)
{
    return offer->job_id;
}

int64_t hob_offer_execution_number(const struct hob_offer *offer)
{
    return offer->execution_number;
}

const char *hob_offer_document(const struct hob_offer *offer, size_t *len)
{
    if (len) {
        *len = offer->document_len;
    }
    return offer->document;
}

const char *hob_offer_handler(const struct hob_offer *offer)
{
    return offer->handler;
}

/* It goes into logs and into statusDetails, a line each. */
static void make_one_line(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = ' ';
        }
    }
}

/* Whole characters. */
static size_t fitting(const char *text, size_t room)
{
    size_t at = 0, len = strlen(text);
    while (at < len) {
        size_t size = hob_utf8_length(text + at, len - at);
        size = size ? size : 1;
        if (at + size >= room) {
            break;
        }
        at += size;
    }
    return at;
}

void hob_offer_set_reason(struct hob_offer *offer, const char *reason)
{
    size_t len = reason ? fitting(reason, sizeof offer->reason) : 0;
    if (len > 0) {
        memcpy(offer->reason, reason, len);
    }
    offer->reason[len] = '\0';
    make_one_line(offer->reason);
}

static const char *words_of(enum hob_decision decision)
{
    return decision == HOB_DEFER ? "the program that Hob is part of has put it off"
                                 : "the program that Hob is part of has refused it";
}

/* People who read C expect an end. */
static enum hob_decision ask(struct hob_product *product, struct hob_offer *offer)
{
    const char *document = offer->document;
    char *copy = hob_strndup(document ? document : "", offer->document_len);
    if (!copy) {
        hob_offer_set_reason(offer, "out of memory");
        return HOB_DEFER;
    }
    offer->document = copy;
    product->inside++;
    enum hob_decision decision = product->decide(product->decide_user, offer);
    product->inside--;
    offer->document = document;
    hob_free(copy);
    return decision;
}

enum hob_decision hob_offer_ask(struct hob_product *product, struct hob_offer *offer)
{
    offer->reason[0] = '\0';
    if (!product || !product->decide) {
        return HOB_ACCEPT;
    }
    enum hob_decision decision = ask(product, offer);
    if (!offer->reason[0] && decision != HOB_ACCEPT) {
        hob_offer_set_reason(offer, words_of(decision));
    }
    return decision;
}
