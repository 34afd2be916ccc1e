--- `hob metrics`: what there is to count in the running gateway, for a monitoring system.
local fs = require("hob.fs")
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob metrics [--output FILE] [--json] [--data DIR | --config FILE | --socket PATH]

Counters and gauges of the running gateway in the text format of Prometheus: jobs by outcome and
handler, the outbox, the connection, certificates, store, disk, limits. docs/reference/metrics.md
lists them. If no gateway runs, there is one line that says so: hob_up 0.

  --output FILE  write it to FILE, whole or not at all, for node_exporter's textfile collector
  --json         print JSON instead
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0; 1 if no gateway runs there, or FILE cannot be written; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob metrics", usage = USAGE,
  flags = {
    output = { value = "FILE" }, json = {},
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local UP = [[
# HELP hob_up 1: the gateway answers on its control socket.
# TYPE hob_up gauge
hob_up %d
]]

local function say(format, ...)
  io.stderr:write(("hob metrics: %s\n"):format(format:format(...)))
end

--- All pages of a running gateway.
---@return string|nil text
---@return string|nil message
local function ask(place)
  local gateway, why, code = gateways.connect(place.socket)
  if not gateway then
    return nil, code == "EACCES" and why .. "; only root and the user that the gateway runs as "
      .. "may ask it" or why .. "; does a gateway run there? Give its --data DIR or --config FILE"
  end
  local parts, from = {}, nil
  repeat
    local last
    last, why = gateway:ask({ command = "metrics", from = from }, function(line)
      parts[#parts + 1] = line.text
    end)
    if not last then
      return nil, why
    end
    from = last.next
  until not from
  return table.concat(parts)
end

---------------------------------------------------------------- JSON

local ESCAPES = { ["\\\\"] = "\\", ['\\"'] = '"', ["\\n"] = "\n" }

local function labels_of(text)
  local labels = {}
  for name, value in text:gmatch('([%w_]+)="(.-[^\\])"[,}]') do
    labels[name] = value:gsub("\\.", ESCAPES)
  end
  for name in text:gmatch('([%w_]+)=""') do
    labels[name] = ""
  end
  return labels
end

--- The families of a text that this Hob made: name -> { type, help, samples }.
local function families_of(text)
  local families = {}
  for line in text:gmatch("[^\n]+") do
    local what, name, rest = line:match("^# (%u+) (%S+) (.*)$")
    if what then
      local family = families[name] or { samples = json_text.list({}) }
      family[what:lower()] = rest
      families[name] = family
    else
      local labels, value
      name, labels, value = line:match("^([%w_]+)(.*) (%S+)$")
      table.insert(families[name].samples, { labels = labels_of(labels), value = tonumber(value) })
    end
  end
  return families
end

---------------------------------------------------------------- the command

---@return boolean ok
local function put(text, given)
  if not given.output then
    io.stdout:write(text)
    return true
  end
  local ok, why = fs.write(given.output, text, { mode = "644" })
  if not ok then
    say("--output: %s", why)
  end
  return ok ~= nil
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  end
  local place, misuse = gateways.find(given)
  if not place then
    return select(2, options.mistake("hob metrics", "%s", misuse))
  end
  local text, why = ask(place)
  if not text then
    say("%s", why)
  end
  local whole = UP:format(text and 1 or 0) .. (text or "")
  if given.json then
    whole = json_text.encode(families_of(whole)) .. "\n"
  end
  return put(whole, given) and text and 0 or 1
end

return M
