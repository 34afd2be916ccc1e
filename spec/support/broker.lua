-- broker.lua - a real mosquitto of one's own, for specs and the demo.
--
--     local pki = require("spec.support.pki").new()
--     local broker = require("spec.support.broker").start{ pki = pki }  -- mutual TLS
--     local conn = mqtt.connect(broker:options{ client_id = "thing-1" })
--     broker:kill()           -- KILL, as a power cut would
--     broker:start_again()    -- on the same port
--     broker:stop()           -- ends it and removes its files
--
-- Without `pki` it listens in the clear. It is ready when start or start_again returns.

local exec = require("hob.exec")
local fs = require("hob.fs")
local time = require("hob.time")

local M = {}

-- Below the ephemeral range: no outgoing connection takes the port while the broker is down.
local PORT_MIN, PORT_MAX = 20000, 32000
local PATHS = { "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "mosquitto" }

local function must(value, message)
    return value or error(message, 3)
end

local function program()
    for _, path in ipairs(PATHS) do
        if fs.stat(path) then return path end
    end
    return PATHS[#PATHS]
end

---@class broker
---@field host string      "localhost"
---@field port integer
---@field plain_port? integer
---@field log_path string  mosquitto's own log, of all its lives
---@field dir string
---@field pki? pki
---@field server? pki.pair the broker's own certificate
---@field client? pki.pair a client certificate that it accepts
local broker = {}
broker.__index = broker

---@class broker.start_options
---@field pki? pki                     TLS with certificates of this CA
---@field server? pki.pair             default: issued for localhost
---@field require_certificate? boolean default true
---@field plain? boolean               beside TLS also in the clear, on `plain_port`
---@field port? integer                default: any free one
---@field conf? string                 more lines for mosquitto.conf
---@field log_type? string             default "all"; "information" for speed
---@field env? table<string, string>   added to its environment

local function config_lines(self)
    local o = self.started_with
    local lines = {
        "user root", -- a broker started by root drops to a user that cannot read our files
        "persistence false",
        "log_dest file " .. self.log_path,
        "log_type " .. (o.log_type or "all"),
        "connection_messages true",
        "max_queued_messages 100000",
        "max_inflight_messages 100",
        "set_tcp_nodelay true",
        "allow_anonymous true",
        ("listener %d 127.0.0.1"):format(self.port),
    }
    if self.pki then
        table.move({
            "cafile " .. self.pki.ca,
            "certfile " .. self.server.cert,
            "keyfile " .. self.server.key,
            "require_certificate " .. tostring(o.require_certificate ~= false),
        }, 1, 4, #lines + 1, lines)
    end
    if o.plain then
        lines[#lines + 1] = ("listener %d 127.0.0.1"):format(self.plain_port)
    end
    lines[#lines + 1] = o.conf
    return table.concat(lines, "\n") .. "\n"
end

local function log_size(self)
    local stat = fs.stat(self.log_path)
    return stat and stat.size or 0
end

-- Wait until this life of the broker says that it runs. False if it ended instead.
local function wait_ready(self, from)
    local deadline = time.mono() + 30
    while time.mono() < deadline do
        local log = fs.read(self.log_path) or ""
        if log:find("mosquitto version [%d.]+ running", from + 1) then return true end
        if self.process:wait(0.005) then return false end
    end
    self.process:kill("KILL")
    error(("mosquitto was not ready within 30 s; its log: %s"):format(self.log_path))
end

local function launch(self)
    must(fs.write(self.dir .. "/mosquitto.conf", config_lines(self)))
    local from = log_size(self)
    self.process = must(exec.spawn{ program(), "-c", self.dir .. "/mosquitto.conf",
        env = self.started_with.env })
    if wait_ready(self, from) then return true end
    self.process = nil
    return false
end

--- Start a broker and wait until it listens.
---@param options? broker.start_options
---@return broker
function M.start(options)
    options = options or {}
    local dir = must(fs.tempdir())
    local self = setmetatable({
        started_with = options, host = "localhost", dir = dir, pki = options.pki,
        log_path = dir .. "/mosquitto.log",
    }, broker)
    if self.pki then
        self.server = options.server or self.pki:issue{ cn = "localhost" }
        self.client = self.pki:issue{ cn = "client", san = {} }
    end
    for _ = 1, options.port and 1 or 50 do
        self.port = options.port or math.random(PORT_MIN, PORT_MAX)
        self.plain_port = options.plain and math.random(PORT_MIN, PORT_MAX) or nil
        if launch(self) then return self end
        local log = fs.read(self.log_path) or ""
        -- It does not always come to saying why it could not listen.
        if not log:find("Address already in use", 1, true)
            and not log:find("Opening ipv4 listen socket on port %d+%.\n$") then
            error("mosquitto did not start: " .. log:sub(-500))
        end
    end
    error("no free port found for mosquitto")
end

--- Options for hob.mqtt.connect to this broker; `more` is added and wins.
---@param more? table
---@return table
function broker:options(more)
    local out = { host = self.host, port = self.port, tls = self.pki ~= nil }
    if self.pki then
        out.ca, out.cert, out.key = self.pki.ca, self.client.cert, self.client.key
    end
    for k, v in pairs(more or {}) do out[k] = v end
    return out
end

--- The same in the clear, of a broker that has `plain`.
---@param more? table
---@return table
function broker:plain_options(more)
    local out = { host = self.host, port = self.plain_port, tls = false }
    for k, v in pairs(more or {}) do out[k] = v end
    return out
end

--- End it at once, as a power cut would; returns when it is gone.
function broker:kill()
    if not self.process then return end
    self.process:kill("KILL")
    self.process:wait(30)
    self.process = nil
end

--- Start it on the same port, with the same certificates and configuration.
function broker:start_again()
    self:kill()
    if not launch(self) then
        error("mosquitto did not start again: " .. (fs.read(self.log_path) or ""):sub(-500))
    end
end

--- End it properly and remove its files.
function broker:stop()
    if self.process then
        self.process:kill("TERM")
        if not self.process:wait(10) then self:kill() end
        self.process = nil
    end
    fs.remove(self.dir, { recursive = true })
end

--- What it has logged so far.
---@return string
function broker:log()
    return fs.read(self.log_path) or ""
end

return M
