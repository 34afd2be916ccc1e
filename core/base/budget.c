/* budget.c - see budget.h */
#include "base/budget.h"

#define MINUTE_MS 60000.0

void hob_budget_init(struct hob_budget *budget, double per_minute, uint64_t now_ms)
{
    *budget = (struct hob_budget){.filled_ms = now_ms};
    if (per_minute > 0) {
        budget->capacity = per_minute < 2 ? 2 : per_minute;
        budget->tokens = budget->capacity;
        budget->per_ms = per_minute / MINUTE_MS;
    }
}

static void fill(struct hob_budget *budget, uint64_t now_ms)
{
    if (now_ms > budget->filled_ms) {
        double tokens = budget->tokens + (double)(now_ms - budget->filled_ms) * budget->per_ms;
        budget->tokens = tokens < budget->capacity ? tokens : budget->capacity;
        budget->filled_ms = now_ms;
    }
}

uint64_t hob_budget_wait_ms(struct hob_budget *budget, double reserve, uint64_t now_ms)
{
    if (budget->capacity <= 0) {
        return 0;
    }
    fill(budget, now_ms);
    double needed = 1 + reserve * budget->capacity;
    needed = needed < budget->capacity ? needed : budget->capacity;
    if (budget->tokens >= needed) {
        return 0;
    }
    return 1 + (uint64_t)((needed - budget->tokens) / budget->per_ms);
}

void hob_budget_take(struct hob_budget *budget)
{
    budget->tokens = budget->tokens > 1 ? budget->tokens - 1 : 0;
}
