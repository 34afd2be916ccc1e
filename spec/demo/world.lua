-- Everything that the demo stands on: certificates, a broker, the local Jobs service, a server of
-- files, and the gateway's own `hob run`. What was begun is ended in the opposite order.

local broker = require("spec.support.broker")
local clients = require("hob.cli.service_client")
local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local httpd = require("hob.httpd")
local pki = require("spec.support.pki")
local process = require("hob.process")
local time = require("hob.time")

local M = {}

M.THING = "demo-gateway"

local function must(value, message)
    return value or error(message, 0)
end

---@class demo.world
local world = {}
world.__index = world

---@param options { root: string, spoil?: string }
function M.new(options)
    local self = setmetatable({ root = options.root, spoil = options.spoil, closers = {} }, world)
    local exe = ("/proc/%d/exe"):format(process.pid())
    self.binary = exec.check({ "readlink", "-f", exe }).stdout:match("^[^\n]+")
    self.dir = must(fs.tempdir())
    self:defer(function() fs.remove(self.dir, { recursive = true }) end)
    return self
end

function world:defer(close)
    table.insert(self.closers, close)
end

--- End and remove everything; an ending that goes wrong is told and does not stop the others.
---@return boolean clean
function world:close()
    local clean = true
    while #self.closers > 0 do
        local ok, message = pcall(table.remove(self.closers))
        if not ok then
            clean = false
            io.stderr:write("demo: while cleaning up: ", tostring(message), "\n")
        end
    end
    return clean
end

-- A child of the demo: its lines go to a file, and the last ones are kept for when it fails.
function world:spawn(name, command)
    local child = { name = name, lines = {}, log = ("%s/%s.log"):format(self.dir, name) }
    command.on_line = function(line)
        fs.append(child.log, line .. "\n")
        table.insert(child.lines, line)
        if #child.lines > 200 then
            table.remove(child.lines, 1)
        end
    end
    child.process = must(exec.spawn(command))
    self:defer(function() M.stop(child) end)
    return child
end

function M.stop(child)
    local result = child.process:wait(0)
    if not result then
        child.process:kill("TERM")
        result = child.process:wait(20)
    end
    if not result then
        child.process:kill("KILL")
        child.process:wait(5)
        error(child.name .. " did not end within 20 s of SIGTERM", 0)
    end
    if result.code ~= 0 then
        error(("%s ended with %s; its last lines:\n%s"):format(child.name, result.words or "?",
            M.tail(child, 15)), 0)
    end
end

--- The last lines that a child wrote.
function M.tail(child, count)
    local from = math.max(1, #child.lines - count + 1)
    return "  " .. table.concat(child.lines, "\n  ", from)
end

--- The last line of a child that matches, or nil.
function M.last_line(child, pattern)
    for i = #child.lines, 1, -1 do
        if child.lines[i]:find(pattern) then
            return child.lines[i]
        end
    end
end

-- Wait until `look` returns something; fail if the child ends first or `seconds` pass.
function M.wait_for(child, seconds, what, look)
    local deadline = time.mono() + seconds
    while time.mono() < deadline do
        local found = look()
        if found then
            return found
        end
        if child.process:wait(0.02) then
            break
        end
    end
    error(("%s: %s did not come within %g s; its last lines:\n%s"):format(child.name, what,
        seconds, M.tail(child, 15)), 0)
end

function world:make_certificates()
    self.pki = pki.new({ cn = "Hob demo CA" })
    self:defer(function() self.pki:remove() end)
    self.device_pair = self.pki:issue({
        cn = M.THING, san = {},
        from = self.spoil == "cert" and -3 * 86400 or nil,
        to = self.spoil == "cert" and -3600 or nil,
    })
    self.service_pair = self.pki:issue({ cn = "jobs-service", san = {} })
end

function world:start_broker()
    self.broker = broker.start({ pki = self.pki })
    self:defer(function() self.broker:stop() end)
end

local function connection_flags(self, pair)
    return "--endpoint", self.broker.host, "--port", tostring(self.broker.port),
        "--ca", self.pki.ca, "--cert", pair.cert, "--key", pair.key
end

function world:start_service()
    local command = { self.binary, "service", "--http", "127.0.0.1:0" }
    for _, word in ipairs({ connection_flags(self, self.service_pair) }) do
        table.insert(command, word)
    end
    self.service = self:spawn("service", command)
    self.url = M.wait_for(self.service, 30, "the address of its HTTP side", function()
        local line = M.last_line(self.service, "http://127%.0%.0%.1:%d+")
        return line and line:match("http://127%.0%.0%.1:%d+")
    end)
    self.client = clients.new(self.url)
end

--- Serve one file over HTTP on loopback.
function world:start_file_server(data)
    local server = must(httpd.listen({
        address = "127.0.0.1", port = 0,
        on_request = function(request)
            if request.path ~= "/firmware.bin" then
                return { status = 404, body = "no such file\n" }
            end
            return { status = 200, body = data,
                headers = { ["Content-Type"] = "application/octet-stream" } }
        end,
    }))
    self:defer(function() server:close() end)
    return ("http://127.0.0.1:%d/firmware.bin"):format(server:port())
end

local function copy_scripts(from, to)
    for _, name in ipairs(must(fs.list(from))) do
        local stat = must(fs.stat(from .. "/" .. name))
        if stat.type == "directory" then
            must(fs.mkdir(to .. "/" .. name))
            copy_scripts(from .. "/" .. name, to .. "/" .. name)
        else
            must(fs.write(to .. "/" .. name, must(fs.read(from .. "/" .. name))))
        end
    end
end

--- The shipped handlers and the demo's own, in one folder.
function world:make_scripts()
    self.scripts = self.dir .. "/scripts"
    must(fs.mkdir(self.scripts))
    copy_scripts(self.root .. "/scripts", self.scripts)
    copy_scripts(self.root .. "/spec/demo/scripts", self.scripts)
    if self.spoil == "handler" then
        local path = self.scripts .. "/update-sensor.lua"
        must(fs.write(path, (must(fs.read(path)):gsub("return { version", "retrun { version"))))
    end
end

local CONFIG = [[
-- Written by the demo.
return {
    endpoint = %q, port = %d, thing_name = %q,
    ca = %q, cert = %q, key = %q,
    scripts = %q, data = %q,
    commands = { allow = { "cp" } },
%s}
]]

function world:start_gateway()
    local config, data = self.dir .. "/hob.conf.lua", self.dir .. "/data"
    must(fs.mkdir(data))
    must(fs.write(config, CONFIG:format(self.broker.host, self.broker.port, M.THING, self.pki.ca,
        self.device_pair.cert, self.device_pair.key, self.scripts, data,
        exec_user.name() and '    exec_user = "root",\n' or "")))
    self.gateway = self:spawn("gateway", { self.binary, "run", "--config", config })
    -- The broker listens already, so a refusal will not mend itself.
    M.wait_for(self.gateway, 30, "a connection", function()
        local refused = M.last_line(self.gateway, "conn%.refused")
        if refused then
            error("the gateway was not let in:\n  " .. refused, 0)
        end
        return M.last_line(self.gateway, "conn%.up")
    end)
end

return M
