/* units_fair.c - slices between parties (core/work/fair.h), for specs:
 *
 *     fair.run{ "A+", "A+", "B:3", ... }   entries of parties, in order: "+" wants a slice again
 *                                          and again, ":N" is woken in the loop's turn N, once
 *                                          "~" in each second turn, and takes long each time
 *     -> { { "A", "A" }, { "B" }, ... }    who had one, for each of the loop's turns
 */
#include "units.h"

#include "base/clock.h"
#include "base/loop.h"
#include "work/fair.h"

#include <stdbool.h>
#include <stdlib.h>

#define PARTIES 26
#define ENTRIES 64
#define TURNS   12

struct run {
    lua_State *L; /* the list of turns is on top */
    struct hob_loop *loop;
    struct hob_fair *fair;
    struct hob_fair_party *parties[PARTIES];
    struct entry {
        struct run *run;
        struct hob_fair_entry entry;
        char party;
        bool again, slow;
        int woken_in, had_in; /* turns; 0: none */
    } entries[ENTRIES];
    int count, turn;
    struct hob_loop_soon soon;
};

static void on_slice(void *user)
{
    struct entry *one = user;
    struct run *run = one->run;
    for (uint64_t until = hob_clock_mono_ms() + 6; one->slow && hob_clock_mono_ms() < until;)
        ;
    one->had_in = run->turn;
    lua_rawgeti(run->L, -1, run->turn);
    lua_pushlstring(run->L, &one->party, 1);
    lua_rawseti(run->L, -2, (lua_Integer)lua_rawlen(run->L, -2) + 1);
    lua_pop(run->L, 1);
    if (one->again && run->turn < TURNS)
        hob_fair_want(run->parties[one->party - 'A'], &one->entry, on_slice, one);
}

/* Before the slices of each turn: it was deferred first. */
static void on_turn(void *user)
{
    struct run *run = user;
    run->turn++;
    lua_newtable(run->L);
    lua_rawseti(run->L, -2, run->turn);
    for (int i = 0; i < run->count; i++) {
        struct entry *one = &run->entries[i];
        bool wakes = one->slow && !one->entry.waiting && run->turn >= one->had_in + 2;
        if (one->woken_in == run->turn || (wakes && one->had_in))
            hob_fair_want(run->parties[one->party - 'A'], &one->entry, on_slice, one);
    }
    if (run->turn < TURNS)
        hob_loop_defer(run->loop, &run->soon, on_turn, run);
}

static void add(struct run *run, const char *text)
{
    struct entry *one = &run->entries[run->count++];
    *one = (struct entry){.run = run,
                          .party = text[0],
                          .again = text[1] == '+',
                          .slow = text[1] == '~',
                          .woken_in = 1};
    if (text[1] == ':')
        one->woken_in = atoi(text + 2);
    if (!run->parties[text[0] - 'A'])
        run->parties[text[0] - 'A'] = hob_fair_join(run->fair);
}

static int fair_run(lua_State *L)
{
    struct hob_error err = {0};
    struct run run = {.L = L};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (hob_loop_new(&run.loop, &err) || hob_fair_new(run.loop, &run.fair, &err))
        return luaL_error(L, "%s", err.message);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 1) && i <= ENTRIES; i++) {
        lua_rawgeti(L, 1, i);
        add(&run, luaL_checkstring(L, -1));
        lua_pop(L, 1);
    }
    lua_newtable(L);
    hob_loop_defer(run.loop, &run.soon, on_turn, &run);
    hob_loop_run(run.loop);
    for (int i = 0; i < PARTIES; i++)
        hob_fair_leave(run.parties[i]);
    hob_loop_free(run.loop);
    hob_fair_free(run.fair);
    return 1;
}

/* What a party wanted that leaves is called all the same: how many of its `count` were? */
static void count_slice(void *user)
{
    ++*(int *)user;
}

static int fair_leave(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_loop *loop;
    struct hob_fair *fair;
    struct hob_fair_entry entries[ENTRIES] = {0};
    lua_Integer count = luaL_checkinteger(L, 1);
    int called = 0;
    if (hob_loop_new(&loop, &err) || hob_fair_new(loop, &fair, &err))
        return luaL_error(L, "%s", err.message);
    struct hob_fair_party *party = hob_fair_join(fair);
    for (lua_Integer i = 0; i < count && i < ENTRIES; i++)
        hob_fair_want(party, &entries[i], count_slice, &called);
    hob_fair_leave(party);
    hob_loop_free(loop);
    hob_fair_free(fair);
    lua_pushinteger(L, called);
    return 1;
}

int hob_units_open_fair(lua_State *L)
{
    static const luaL_Reg functions[] = {{"run", fair_run}, {"leave", fair_leave}, {NULL, NULL}};
    lua_newtable(L);
    hob_units_unit(L, "fair", functions);
    return 1;
}
