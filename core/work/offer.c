#include "work/offer.h"

#include "base/utf8.h"

#include <stdio.h>
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
    return offer->document ? offer->document : "";
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

void hob_offer_set_reason(struct hob_offer *offer, const char *reason)
{
    snprintf(offer->reason, sizeof offer->reason, "%s", reason ? reason : "");
    make_one_line(offer->reason);
}

static const char *words_of(enum hob_decision decision)
{
    return decision == HOB_DEFER ? "the program that Hob is part of has put it off"
                                 : "the program that Hob is part of has refused it";
}

enum hob_decision hob_offer_ask(const struct hob_product *product, struct hob_offer *offer)
{
    offer->reason[0] = '\0';
    if (!product || !product->decide) {
        return HOB_ACCEPT;
    }
    enum hob_decision decision = product->decide(product->decide_user, offer);
    if (!offer->reason[0] && decision != HOB_ACCEPT) {
        hob_offer_set_reason(offer, words_of(decision));
    }
    return decision;
}
