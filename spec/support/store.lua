-- For the specs of core/work/store: a directory of its own for each, the stores opened in it, and
-- the sqlite3 program for a look from outside.
local store = require("hob_units").store

local M = {}

local opened = {}

function M.shell(command)
    local pipe = assert(io.popen(command .. " 2>&1; echo $?"))
    local lines = {}
    for line in pipe:lines() do
        lines[#lines + 1] = line
    end
    pipe:close()
    local code = tonumber(table.remove(lines))
    assert(code == 0, command .. ": " .. table.concat(lines, "\n"))
    return lines
end

function M.read_all(name)
    local file = assert(io.open(name, "rb"))
    local bytes = file:read("a")
    file:close()
    return bytes
end

function M.write_all(name, bytes)
    local file = assert(io.open(name, "wb"))
    file:write(bytes)
    file:close()
end

function M.exists(name)
    local file = io.open(name, "rb")
    return file ~= nil and file:close()
end

-- The program that runs this: hob, or a plain Lua.
function M.interpreter()
    local program = M.shell("readlink /proc/$PPID/exe")[1]
    return program:match("/hob$") and program .. " lua" or program
end

function M.before_each()
    M.dir = M.shell("mktemp -d")[1]
    M.path = M.dir .. "/hob.db"
    M.log = M.dir .. "/log"
end

function M.after_each()
    for _, s in ipairs(opened) do
        s:close()
    end
    opened = {}
    M.shell("rm -rf '" .. M.dir .. "'")
end

-- Closed after the spec.
function M.open(log)
    local s = assert(store.open(M.path, log))
    opened[#opened + 1] = s
    return s
end

-- The file is to be closed.
function M.sql(statement)
    return M.shell(("sqlite3 '%s' \"%s\""):format(M.path, statement))
end

function M.execution(more)
    local e = { thing = "gw-1", job_id = "job-1", document = '{"a": 1}' }
    for key, value in pairs(more or {}) do
        e[key] = value
    end
    return e
end

-- Runs fn(store) in another process, which is killed after: as a power cut.
function M.killed_after(fn)
    store
        .child(function()
            fn(M.open())
        end)
        :kill()
end

-- The lines of the log with this event, in order.
function M.logged(event)
    local found = {}
    for line in M.read_all(M.log):gmatch("[^\n]+") do
        if line:find('"event":"' .. event .. '"', 1, true) then
            found[#found + 1] = line
        end
    end
    return found
end

return M
