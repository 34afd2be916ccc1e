-- Whose memory is it? What core/ and bindings/ take and give back goes through base/alloc, so that
-- a product's allocator (hob_set_allocator) has all of it. Read from the source.

local project = require("spec.support.source")

-- What makes or gives back memory of the C library's.
local NAMES = { "malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf",
    "getline", "getdelim", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
    "open_memstream", "get_current_dir_name", "malloc_trim", "luaL_newstate", "scandir", "wcsdup" }

-- Exactly these, as often as said, and why.
local ALLOWED = {
    ["core/base/alloc.c"] = {
        malloc = { 1, "the allocator itself: what is in force until a product sets its own" },
        calloc = { 1, "likewise" },
        realloc = { 1, "likewise" },
        free = { 2, "likewise; and what getline made" },
        getline = { 1, "hob_getline copies the line, and gives this one back to the C library" },
        malloc_trim = { 1, "only where the C library's allocator is in force" },
    },
}

-- Code only: without comments, strings, attributes, members (x.free, x->free) and #include lines.
local function code_of(text)
    text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", " "):gsub('"[^"\n]*"', '""')
    text = text:gsub("__attribute__%s*%b()", "")
    return (text:gsub("#%s*include[^\n]*", ""):gsub("%->%s*[%a_][%w_]*", "->")
        :gsub("%.%s*([%a_][%w_]*)", "."))
end

-- Where the name stands as a call or as a value (`.leave = free`), not as a declared member.
local function uses(code, name)
    local count = 0
    for before, after in code:gmatch("([^%w_])" .. name .. "%f[^%w_]%s*(.)") do
        local is_member = before == "*" and after == ")"
        if not is_member and after:match("[%(,;%)}]") then
            count = count + 1
        end
    end
    return count
end

local function counts_of(text)
    local code, found = "\n" .. code_of(text), {}
    for _, name in ipairs(NAMES) do
        local count = code:find(name, 1, true) and uses(code, name) or 0
        if count > 0 then
            found[name] = count
        end
    end
    if code:match("[^%w_]realpath%s*%([^;]-,%s*NULL%s*%)") then
        found.realpath = 1
    end
    return found
end

local function files()
    local lfs, list = require("lfs"), {}
    local function walk(folder)
        for entry in lfs.dir(project.root .. "/" .. folder) do
            local path = folder .. "/" .. entry
            local mode = lfs.attributes(project.root .. "/" .. path, "mode")
            if mode == "directory" and not entry:match("^%.") then
                walk(path)
            elseif entry:match("%.[ch]$") then
                list[#list + 1] = path
            end
        end
    end
    walk("core")
    walk("bindings")
    return list
end

local function allowed_of(path)
    local counts = {}
    for name, rule in pairs(ALLOWED[path] or {}) do
        counts[name] = rule[1]
    end
    return counts
end

describe("base/alloc", function()
    it("is where all memory of core/ and bindings/ comes from", function()
        local allowed, found, read = {}, {}, 0
        for _, path in ipairs(files()) do
            local counts = counts_of(project.read(path))
            read = read + 1
            found[path] = next(counts) and counts or nil
            allowed[path] = ALLOWED[path] and allowed_of(path)
        end
        assert.is_true(read > 200)
        assert.same(allowed, found)
    end)

    it("sees a call, a function that is handed on, and a path that the C library makes", function()
        assert.same({ malloc = 1, free = 2 }, counts_of([[
            char *a = malloc(3); /* free(a) is said here only */
            free(a);
            call("free(x)", a, free);
        ]]))
        assert.same({ free = 1 }, counts_of("x = (struct s){.leave = free, .user = x};"))
        assert.same({ realpath = 1 }, counts_of("p = realpath(path, NULL);"))
        assert.same({}, counts_of("p = realpath(path, out); w->end.free(w); s.free(1);"))
        assert.same({}, counts_of("void (*free)(void *user); hob_free(x); buf_free(y);"))
        assert.same({ luaL_newstate = 1 }, counts_of("lua_State *L = luaL_newstate();"))
    end)
end)
