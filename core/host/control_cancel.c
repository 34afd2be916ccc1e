/* control_cancel.c - the command `cancel`: a person here ends an execution; see
 * docs/reference/control-protocol.md. */
#include "host/control_parts.h"
#include "host/thing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 5
#define WORDS_MAX 640

/* Which executions a request can mean: those in hand, and those that are not begun. */
struct search {
    const char *job_id;
    int64_t number; /* 0: any */
    size_t thing;
    const char *thing_name;
    size_t count; /* that fit */
    size_t found_thing;
    int64_t found_number;
    char state[16];
    char fitting[WORDS_MAX], others[WORDS_MAX]; /* for people; the latter are job ids */
    size_t other_count;
};

static void add_word(char *list, size_t count, const char *word)
{
    size_t len = strlen(list);
    if (count < SHOWN_MAX) {
        snprintf(list + len, WORDS_MAX - len, "%s%s", len ? ", " : "", word);
    } else if (count == SHOWN_MAX) {
        snprintf(list + len, WORDS_MAX - len, " ...");
    }
}

static void on_job(void *user, const struct hob_executor_view *view)
{
    struct search *search = user;
    char word[256];
    if (strcmp(view->state, "ignored") == 0) {
        return;
    }
    if (strcmp(view->job_id, search->job_id) != 0) {
        add_word(search->others, search->other_count++, view->job_id);
        return;
    }
    if (search->number && view->execution_number != search->number) {
        snprintf(word, sizeof word, "execution %" PRId64 " of it", view->execution_number);
        add_word(search->others, search->other_count++, word);
        return;
    }
    snprintf(word, sizeof word, "%s execution %" PRId64, search->thing_name,
             view->execution_number);
    add_word(search->fitting, search->count++, word);
    search->found_thing = search->thing;
    search->found_number = view->execution_number;
    snprintf(search->state, sizeof search->state, "%s", view->state);
}

static void look(const struct hob_control_options *options, int wanted_thing, struct search *search)
{
    struct hob_control_thing thing;
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        search->thing = i;
        search->thing_name = thing.name;
        if (wanted_thing < 0 || (size_t)wanted_thing == i) {
            options->each_job(options->user, i, on_job, search);
            options->each_pending(options->user, i, on_job, search);
        }
    }
}

/* ---- what came of it ---- */

static const char *words_of(int result)
{
    switch (result) {
    case HOB_EXECUTOR_CANCEL_ENDS:
        return "it is being ended: its programs first, then its cleanup";
    case HOB_EXECUTOR_CANCEL_ENDING:
        return "nothing is changed: it was ending already";
    case HOB_EXECUTOR_CANCEL_CLAIMING:
        return "it ends when the service answers the claim that is on its way";
    case HOB_EXECUTOR_CANCEL_RESUMING:
        return "it ends, with its cleanup, when its turn comes; its handler is not run again";
    default:
        return "it was not begun and will not be: the service is told REJECTED";
    }
}

static int answer(struct hob_control_request *request, const struct hob_control_thing *thing,
                  const struct search *search, int result)
{
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out, "{%s\"cancelled\":%s,\"thing\":", request->id,
                            result == HOB_EXECUTOR_CANCEL_ENDING ? "false" : "true");
    rc = rc ? rc : hob_json_quote(out, thing->name, strlen(thing->name));
    rc = rc ? rc : hob_control_put_text(out, "jobId", search->job_id);
    rc = rc ? rc : hob_buf_printf(out, ",\"executionNumber\":%" PRId64, search->found_number);
    rc = rc ? rc : hob_control_put_text(out, "state", search->state);
    rc = rc ? rc : hob_control_put_text(out, "what", words_of(result));
    return rc ? rc : hob_buf_append_string(out, ",\"end\":true}\n");
}

static int not_here(struct hob_control_request *request, const struct search *search)
{
    return hob_control_error(request->out, request->id, HOB_ENOENT,
                             "job '%.64s' is not in hand here; in hand: %s", search->job_id,
                             search->other_count ? search->others : "nothing");
}

static int cancel(struct hob_control_request *request, const struct search *search)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    struct hob_error err = {0};
    char who[HOB_CONTROL_WHO_MAX + 16];
    if (!options->thing_at(options->user, search->found_thing, &thing) || !thing.thing) {
        return hob_control_error(request->out, request->id, HOB_EBUSY,
                                 "Hob is stopping: cancel it after the next start");
    }
    snprintf(who, sizeof who, "by %s here", request->peer->who);
    hob_control_log_change(request, thing.name, search->job_id, search->found_number,
                           "cancel, execution %" PRId64, search->found_number);
    int result = hob_thing_cancel(thing.thing, search->job_id, search->found_number, who, &err);
    if (result < 0) {
        return hob_control_error(request->out, request->id, result, "%s", err.message);
    }
    return result == HOB_EXECUTOR_CANCEL_NOT_HERE ? not_here(request, search)
                                                  : answer(request, &thing, search, result);
}

int hob_control_cancel(struct hob_control_request *request)
{
    struct search search = {.job_id = hob_json_string(request->json, "jobId", NULL),
                            .number = hob_json_integer(request->json, "executionNumber", 0)};
    bool has_number = hob_json_type(request->json, "executionNumber") != HOB_JSON_ABSENT;
    int thing = -1;
    if (!search.job_id || !*search.job_id || (has_number && search.number < 1)) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "expected a jobId, and an executionNumber from 1 on if any");
    }
    if (hob_json_type(request->json, "thing") != HOB_JSON_ABSENT &&
        (thing = hob_control_find_thing(request)) < 0) {
        return 0;
    }
    look(&request->control->options, thing, &search);
    if (search.count > 1) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "job '%.64s' is in hand %zu times (%s): say of which thing, and "
                                 "which execution",
                                 search.job_id, search.count, search.fitting);
    }
    return search.count ? cancel(request, &search) : not_here(request, &search);
}
