/* edit_libedit.c - the module hob_edit: libedit on a thread of its own. See edit.h. */
#include "base/edit.h"
#include "base/alloc.h"

#include "base/edit_queue.h"
#include "base/edit_words.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include <wchar.h>

#define HISTORY_LINES 1000
#define COMPLETE_MS   5000 /* how long a press of Tab waits for its answer */
#define CTRL_C        3
#define CTRL_D        4
#define TELL_COMPLETE 100 /* beside the ends of enum hob_edit_end */

struct hob_edit_terminal {
    struct hob_edit_options options;
    uv_async_t async;
    pthread_t thread;
    struct hob_edit_queue todo; /* to the thread */
    struct hob_edit_queue told; /* from the thread */
    int wake;                   /* an eventfd: something is to do */
    bool closed;                /* the loop's thread only, */
    /* and all from here on the other's only */
    EditLine *el;
    History *history;
    locale_t locale;
    mbstate_t partial; /* of a character whose bytes have not all come */
    char *prompt;
    cc_t interrupt_key;
    struct termios found; /* the terminal as it was */
    bool is_terminal;
    bool ended, interrupted, hung_up;
    bool completing;
    struct hob_edit_item *candidates;
};

/* From the editor's thread to the loop's. */
static void tell(struct hob_edit_terminal *t, int kind, const char *text, size_t len)
{
    if (hob_edit_queue_put(&t->told, kind, text, len, 0))
        abort(); /* as for hob_loop_defer: a completion that is lost hangs whoever waits for it */
    uv_async_send(&t->async);
}

/* ---- the terminal ---- */

static int columns_of(void)
{
    struct winsize size;
    int known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}

static size_t width_of(const wchar_t *text, const wchar_t *end)
{
    size_t width = 0;
    for (; text < end; text++) {
        int cells = wcwidth(*text);
        width += cells > 0 ? (size_t)cells : 0;
    }
    return width;
}

static size_t width_of_prompt(const char *prompt)
{
    wchar_t wide[256];
    size_t n = mbstowcs(wide, prompt, sizeof wide / sizeof *wide);
    return n == (size_t)-1 ? strlen(prompt) : width_of(wide, wide + n);
}

/* The line being typed goes, with the rows it takes; the cursor is where it began. */
static void erase_line(struct hob_edit_terminal *t)
{
    const LineInfoW *line = el_wline(t->el);
    size_t before = width_of_prompt(t->prompt) + width_of(line->buffer, line->cursor);
    size_t rows = before / (size_t)columns_of();
    fputc('\r', stdout);
    if (rows)
        fprintf(stdout, "\033[%zuA", rows);
    fputs("\033[J", stdout);
}

/* The cursor is behind the last character, so that what comes next overwrites none. */
static void go_behind_line(struct hob_edit_terminal *t)
{
    const LineInfoW *line = el_wline(t->el);
    size_t columns = (size_t)columns_of(), prompt = width_of_prompt(t->prompt);
    size_t here = prompt + width_of(line->buffer, line->cursor);
    size_t end = prompt + width_of(line->buffer, line->lastchar);
    if (end / columns > here / columns)
        fprintf(stdout, "\033[%zuB", end / columns - here / columns);
    fputc('\r', stdout);
    if (end % columns)
        fprintf(stdout, "\033[%zuC", end % columns);
}

static void print_above(struct hob_edit_terminal *t, const struct hob_edit_item *message)
{
    erase_line(t);
    fwrite(message->text, 1, message->len, stdout);
    fflush(stdout);
    el_set(t->el, EL_REFRESH);
}

static void change_prompt(struct hob_edit_terminal *t, const char *text)
{
    char *prompt = hob_strdup(text);
    if (!prompt)
        return; /* the old one will do */
    erase_line(t);
    fflush(stdout);
    hob_free(t->prompt);
    t->prompt = prompt;
    el_set(t->el, EL_REFRESH);
}

/* As a signal it would overtake keys that were pressed before or behind it. */
static void let_interrupt_signal(struct hob_edit_terminal *t, bool signals)
{
    struct termios mode;
    if (tcgetattr(STDIN_FILENO, &mode) == 0) {
        mode.c_cc[VINTR] = signals ? t->interrupt_key : _POSIX_VDISABLE;
        tcsetattr(STDIN_FILENO, TCSANOW, &mode);
    }
}

static void set_raw(struct hob_edit_terminal *t, bool signals)
{
    el_set(t->el, EL_PREP_TERM, 1);
    let_interrupt_signal(t, signals);
}

/* Also after Ctrl-Z and `fg`: the shell had the terminal meanwhile. */
static void take_terminal_again(struct hob_edit_terminal *t)
{
    el_set(t->el, EL_PREP_TERM, 0);
    set_raw(t, false);
    erase_line(t);
    fflush(stdout);
    el_resize(t->el);
    el_set(t->el, EL_REFRESH);
}

static void remember(struct hob_edit_terminal *t, const struct hob_edit_item *message)
{
    HistEvent event;
    history(t->history, &event, H_ENTER, message->text);
}

/* ---- while a line is typed ---- */

/* @return whether the reading of this line is over */
static bool handle_while_reading(struct hob_edit_terminal *t, struct hob_edit_item *message)
{
    switch (message->kind) {
    case HOB_EDIT_DO_PRINT:
        print_above(t, message);
        break;
    case HOB_EDIT_DO_PROMPT:
        change_prompt(t, message->text);
        break;
    case HOB_EDIT_DO_REMEMBER:
        remember(t, message);
        break;
    case HOB_EDIT_DO_RESIZE:
        take_terminal_again(t);
        break;
    case HOB_EDIT_DO_CANDIDATES:
        if (t->completing && !t->candidates) {
            t->candidates = message;
            return false; /* kept */
        }
        break;
    case HOB_EDIT_DO_INTERRUPT:
        t->interrupted = true;
        break;
    case HOB_EDIT_DO_END:
        t->ended = true;
        break;
    default:
        break; /* a second READ: the binding lets no two at a time through */
    }
    hob_free(message);
    return t->interrupted || t->ended;
}

/* @return whether the reading of this line is over */
static bool handle_all_while_reading(struct hob_edit_terminal *t)
{
    struct hob_edit_item *message;
    while ((message = hob_edit_queue_take(&t->todo)))
        if (handle_while_reading(t, message))
            return true;
    return false;
}

/* Waits for a key (or not, with `keys` false), for `ms` (-1: for ever), and does what the loop
 * wants done meanwhile; first what came together with the wish to read, which has had its wake.
 * @return whether there is a key, or the reading is over */
static bool wait_for(struct hob_edit_terminal *t, bool keys, int ms)
{
    struct pollfd fds[] = {{.fd = t->wake, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};
    if (handle_all_while_reading(t) || (!keys && t->candidates))
        return true;
    int ready = poll(fds, keys ? 2 : 1, ms);
    if (ready > 0 && fds[0].revents) {
        uint64_t count;
        ssize_t ignored = read(t->wake, &count, sizeof count);
        (void)ignored;
        if (handle_all_while_reading(t))
            return true;
    }
    return keys && ready > 0 && fds[1].revents;
}

/* One byte more. @return 1: *out is a character, 0: it goes on, -1: the terminal is gone */
static int read_byte(struct hob_edit_terminal *t, wchar_t *out)
{
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0)
        return -1;
    size_t used = mbrtowc(out, &byte, 1, &t->partial);
    if (used == (size_t)-2)
        return 0;
    if (used == (size_t)-1) { /* no character in this encoding */
        memset(&t->partial, 0, sizeof t->partial);
        *out = L'?';
    }
    return 1;
}

static bool is_empty(EditLine *el)
{
    const LineInfoW *line = el_wline(el);
    return line->lastchar == line->buffer;
}

/* A Ctrl-D that comes in the moment between two lines, when the terminal is as it was found, is an
 * end of file to it, which is a NUL when its mode is changed. */
static int next_key(EditLine *el, wchar_t *out)
{
    struct hob_edit_terminal *t;
    el_get(el, EL_CLIENTDATA, &t);
    for (;;) {
        bool ready = wait_for(t, true, -1);
        if (t->interrupted)
            go_behind_line(t);
        if (t->interrupted || t->ended) {
            errno = ECANCELED;
            return -1;
        }
        int got = ready ? read_byte(t, out) : 0;
        t->hung_up = got < 0;
        if (got > 0 && *out == 0 && is_empty(el))
            *out = CTRL_D;
        t->interrupted = got > 0 && *out == t->interrupt_key;
        if (t->interrupted) {
            go_behind_line(t);
            return -1;
        }
        if (got)
            return got > 0 ? 1 : 0;
    }
}

/* ---- completion ---- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned char put_words(struct hob_edit_terminal *t, const char *text, size_t len)
{
    const struct hob_edit_item *answer = t->candidates;
    if (!answer || !answer->len || answer->from > len)
        return CC_REFRESH_BEEP;
    struct hob_edit_words words = {answer->text, answer->len};
    size_t common = hob_edit_words_common(words), typed = len - answer->from;
    if (!hob_edit_words_single(words) && common <= typed) {
        fputc('\n', stdout);
        hob_edit_words_show(words, (size_t)columns_of(), stdout);
        fflush(stdout);
        return CC_REDISPLAY;
    }
    char *whole = hob_strndup(words.text, common);
    if (!whole)
        return CC_ERROR;
    el_deletestr(t->el, hob_edit_words_characters(text + answer->from, typed));
    int failed = el_insertstr(t->el, whole);
    hob_free(whole);
    return failed ? CC_ERROR : CC_REFRESH;
}

static unsigned char on_tab(EditLine *el, int key)
{
    struct hob_edit_terminal *t;
    el_get(el, EL_CLIENTDATA, &t);
    const LineInfo *line = el_line(el);
    size_t len = (size_t)(line->cursor - line->buffer);
    char *text = hob_strndup(line->buffer, len);
    if (!text)
        return CC_ERROR;
    t->completing = true;
    tell(t, TELL_COMPLETE, text, len);
    uint64_t deadline = now_ms() + COMPLETE_MS;
    while (!t->candidates && !t->interrupted && !t->ended && now_ms() < deadline)
        wait_for(t, false, (int)(deadline - now_ms()));
    t->completing = false;
    unsigned char result = put_words(t, text, len);
    hob_free(t->candidates);
    t->candidates = NULL;
    hob_free(text);
    return result;
}

/* ---- a line ---- */

static void read_line(struct hob_edit_terminal *t, const char *prompt)
{
    int len = 0;
    hob_free(t->prompt);
    t->prompt = hob_strdup(prompt);
    t->interrupted = t->hung_up = false;
    memset(&t->partial, 0, sizeof t->partial);
    if (t->el)
        set_raw(t, false);
    const char *line = t->el && t->prompt ? el_gets(t->el, &len) : NULL;
    if (t->ended)
        return;
    if (t->el)
        set_raw(t, true); /* what is typed meanwhile waits, and is not shown */
    if (t->interrupted) {
        fputs("^C\n", stdout);
        tell(t, HOB_EDIT_INTERRUPTED, "", 0);
    } else if (!line || len <= 0 || t->hung_up) {
        fputc('\n', stdout);
        tell(t, HOB_EDIT_EOF, "", 0);
    } else {
        size_t n = (size_t)len;
        tell(t, HOB_EDIT_LINE, line, line[n - 1] == '\n' ? n - 1 : n);
    }
    fflush(stdout);
}

/* Between two lines. */
static void handle(struct hob_edit_terminal *t, const struct hob_edit_item *message)
{
    switch (message->kind) {
    case HOB_EDIT_DO_READ:
        read_line(t, message->text);
        break;
    case HOB_EDIT_DO_PRINT:
        fwrite(message->text, 1, message->len, stdout);
        fflush(stdout);
        break;
    case HOB_EDIT_DO_REMEMBER:
        if (t->history)
            remember(t, message);
        break;
    case HOB_EDIT_DO_RESIZE:
        if (t->el) {
            el_set(t->el, EL_PREP_TERM, 0);
            set_raw(t, true);
            el_resize(t->el);
        }
        break;
    case HOB_EDIT_DO_END:
        t->ended = true;
        break;
    default:
        break;
    }
}

/* ---- the thread ---- */

static char *prompt_of(EditLine *el)
{
    struct hob_edit_terminal *t;
    el_get(el, EL_CLIENTDATA, &t);
    return t->prompt;
}

/* What terminals send for these keys, where their description does not say. */
static void bind_keys(EditLine *el)
{
    static const char *const keys[][2] = {
        {"\t", "hob-complete"},
        {"^R", "em-inc-search-prev"},
        {"\\e[3~", "ed-delete-next-char"},
        {"\\e[1~", "ed-move-to-beg"},
        {"\\e[4~", "ed-move-to-end"},
        {"\\e[H", "ed-move-to-beg"},
        {"\\e[F", "ed-move-to-end"},
        {"\\e[1;5C", "em-next-word"},
        {"\\e[1;5D", "ed-prev-word"},
        {"\\e[A", "ed-prev-history"},
        {"\\e[B", "ed-next-history"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

static void begin(struct hob_edit_terminal *t)
{
    HistEvent event;
    t->is_terminal = tcgetattr(STDIN_FILENO, &t->found) == 0;
    t->interrupt_key = t->is_terminal ? t->found.c_cc[VINTR] : CTRL_C;
    t->el = el_init("hob", stdin, stdout, stderr);
    t->history = history_init();
    if (!t->el || !t->history)
        return;
    history(t->history, &event, H_SETSIZE, HISTORY_LINES);
    history(t->history, &event, H_SETUNIQUE, 1);
    el_set(t->el, EL_CLIENTDATA, t);
    el_set(t->el, EL_PROMPT, prompt_of);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_SIGNAL, 0);
    el_set(t->el, EL_HIST, history, t->history);
    el_set(t->el, EL_GETCFN, next_key);
    el_wset(t->el, EL_ADDFN, L"hob-complete", L"Complete the word", on_tab);
    bind_keys(t->el);
    /* Also when libedit believes that another program has the terminal, between two lines. */
    el_set(t->el, EL_SETTY, "-x", "-icanon", "-echo", NULL);
    set_raw(t, true);
    el_source(t->el, NULL); /* ~/.editrc */
}

/* The user's encoding, for this thread alone. "C" cannot be meant: Hob's own texts are UTF-8. */
static void use_encoding(struct hob_edit_terminal *t)
{
    t->locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (t->locale && strcmp(nl_langinfo_l(CODESET, t->locale), "ANSI_X3.4-1968") == 0) {
        freelocale(t->locale);
        t->locale = (locale_t)0;
    }
    if (!t->locale)
        t->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (t->locale)
        uselocale(t->locale);
}

static void finish(struct hob_edit_terminal *t)
{
    if (t->el)
        el_end(t->el);
    if (t->is_terminal)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &t->found);
    if (t->history)
        history_end(t->history);
    hob_free(t->prompt);
    uselocale(LC_GLOBAL_LOCALE);
    if (t->locale)
        freelocale(t->locale);
}

static void *run(void *user)
{
    struct hob_edit_terminal *t = user;
    use_encoding(t);
    begin(t);
    while (!t->ended) {
        uint64_t count;
        ssize_t n = read(t->wake, &count, sizeof count);
        if (n < 0 && errno != EINTR)
            break;
        struct hob_edit_item *message;
        while (!t->ended && (message = hob_edit_queue_take(&t->todo))) {
            handle(t, message);
            hob_free(message);
        }
    }
    finish(t);
    return NULL;
}

/* ---- the loop's side ---- */

static void on_told(uv_async_t *async)
{
    struct hob_edit_terminal *t = async->data;
    for (struct hob_edit_item *m = hob_edit_queue_take(&t->told); m;
         m = hob_edit_queue_take(&t->told)) {
        if (!t->closed && m->kind == TELL_COMPLETE)
            t->options.on_complete(t->options.user, m->text, m->len);
        else if (!t->closed)
            t->options.on_line(t->options.user, (enum hob_edit_end)m->kind, m->text, m->len);
        hob_free(m);
    }
}

static int send_message(struct hob_edit_terminal *t, enum hob_edit_message kind, const char *text,
                        size_t len, size_t from)
{
    int rc = hob_edit_queue_put(&t->todo, kind, text, len, from);
    if (rc)
        return rc;
    uint64_t one = 1;
    ssize_t ignored = write(t->wake, &one, sizeof one);
    (void)ignored; /* it cannot be full: the thread takes all at once */
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct hob_edit_terminal *t = handle->data;
    hob_edit_queue_clear(&t->todo);
    hob_edit_queue_clear(&t->told);
    close(t->wake);
    hob_free(t);
}

static void close_terminal(struct hob_edit_terminal *t)
{
    t->closed = true;
    while (send_message(t, HOB_EDIT_DO_END, "", 0, 0))
        ; /* the thread must end before what it uses does */
    pthread_join(t->thread, NULL);
    uv_close((uv_handle_t *)&t->async, on_closed);
}

/* Signals are the loop's. */
static int start_thread(struct hob_edit_terminal *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static int open_terminal(const struct hob_edit_options *options, struct hob_edit_terminal **out,
                         struct hob_error *err)
{
    struct hob_edit_terminal *t = hob_calloc(1, sizeof *t);
    if (!t)
        return hob_error_set(err, HOB_ENOMEM, "opening the terminal: out of memory");
    t->options = *options;
    t->wake = eventfd(0, EFD_CLOEXEC);
    if (t->wake < 0) {
        hob_free(t);
        return hob_error_set(err, hob_error_from_errno(errno), "opening the terminal: %s",
                             strerror(errno));
    }
    hob_edit_queue_init(&t->todo);
    hob_edit_queue_init(&t->told);
    uv_async_init(hob_loop_uv(options->loop), &t->async, on_told);
    t->async.data = t;
    int rc = start_thread(t);
    if (rc) {
        uv_close((uv_handle_t *)&t->async, on_closed);
        return hob_error_set(err, hob_error_from_errno(rc), "opening the terminal: %s",
                             strerror(rc));
    }
    *out = t;
    return 0;
}

extern const struct hob_edit_module hob_module;
__attribute__((visibility("default"))) const struct hob_edit_module hob_module = {
    .open = open_terminal, .send = send_message, .close = close_terminal};
