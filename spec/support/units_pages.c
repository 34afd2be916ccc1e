/* units_pages.c - pages for specs: code and constants that are given back. */
#include "units.h"

#include "host/process_pages.h"

#include <string.h>
#include <sys/mman.h>

#define ROOM 65536 /* a page, of the largest kind */

/* Among the constants of this module: in pages that are its file's. */
static const char constant[ROOM] __attribute__((aligned(ROOM))) = "as in the file";

/* pages.change_and_give_back(text) -> what is there then */
static int change_and_give_back(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    char *volatile place = (char *)(uintptr_t)constant; /* volatile: it may well change */
    luaL_argcheck(L, len < ROOM, 1, "too long");
    if (mprotect(place, ROOM, PROT_READ | PROT_WRITE)) {
        return luaL_error(L, "its pages cannot be made writable");
    }
    memcpy(place, text, len + 1);
    mprotect(place, ROOM, PROT_READ);
    hob_process_pages_give_back();
    lua_pushstring(L, place);
    return 1;
}

static const luaL_Reg functions[] = {{"change_and_give_back", change_and_give_back}, {NULL, NULL}};

int hob_units_open_pages(lua_State *L)
{
    lua_newtable(L);
    hob_units_unit(L, "pages", functions);
    return 1;
}
