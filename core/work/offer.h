/* offer.h - asks a product whether a job is to be begun with (struct hob_offer of hob.h).
 *
 * Made for one question, on the stack of who asks. Spec: spec/integration/embed_decide_spec.lua
 */
#ifndef HOB_WORK_OFFER_H
#define HOB_WORK_OFFER_H

#include "jobs/protocol.h"
#include "work/product.h"

#define HOB_OFFER_REASON_MAX 256

struct hob_offer {
    const char *thing, *job_id, *document, *handler; /* borrowed */
    size_t document_len;                             /* 0 where there is none */
    int64_t execution_number;
    char reason[HOB_OFFER_REASON_MAX]; /* the answer's, one line; "" */
};

/** @param product  NULL, or without `decide`: accepted */
enum hob_decision hob_offer_ask(struct hob_product *product, struct hob_offer *offer);

#endif
