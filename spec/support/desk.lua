-- desk.lua - a directory with handlers, and `hob handler` in it, for specs of the bench.
--
--     local desk = require("spec.support.desk").new({ ["greet.lua"] = "return { … }" })
--     local result = desk:hob("handler", "run", "greet")
--     desk:close()

local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")

local M = {}

local desk = {}
desk.__index = desk

local function program()
    local link = ("/proc/%d/exe"):format(process.pid())
    return exec.check({ "readlink", link }).stdout:gsub("\n$", "")
end

function desk:path(name)
    return self.dir .. "/" .. name
end

function desk:write(name, text)
    assert(fs.mkdir(self:path(name):match("^(.*)/")))
    assert(fs.write(self:path(name), text))
end

function desk:read(name)
    return fs.read(self:path(name))
end

-- Options of hob.exec.run may come last, as a table.
function desk:hob(...)
    local command = { ... }
    local options = type(command[#command]) == "table" and table.remove(command) or {}
    table.insert(command, 1, self.program)
    command.cwd, command.timeout, command.stdin = self.dir, 60, options.stdin
    return assert(exec.run(command))
end

-- Its lines go to the last argument, a function.
function desk:spawn(...)
    local command = { self.program, ... }
    command.on_line, command.cwd = table.remove(command), self.dir
    return assert(exec.spawn(command))
end

function desk:run(...)
    return self:hob("handler", "run", ...)
end

function desk:close()
    fs.remove(self.dir, { recursive = true })
end

-- A handler whose run() has this body; `more` are other members of its table.
function M.handler(body, more)
    return ([[
local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
return { api = 1, %s
run = function(job, args)
%s
end }]]):format(more or "", body)
end

function M.new(scripts)
    local self = setmetatable({ dir = assert(fs.tempdir()), program = program() }, desk)
    self:write("scripts/.keep", "")
    for name, text in pairs(scripts or {}) do
        self:write("scripts/" .. name, text)
    end
    return self
end

return M
