--- `hob thing`: the things of a running gateway: list them, add one, take one out.
local asking = require("hob.cli.asking")
local config_file = require("hob.setup.config")
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local tables = require("hob.cli.table")
local words = require("hob.cli.words")

local M = {}

local USAGE = [==[
usage: hob thing list [--trouble] [--json]
       hob thing add NAME [--cert FILE --key FILE] [--client-id ID] [--connection NAME]
                          [--endpoint HOST] [--port N] [--ca FILE] [--set KEY=VALUE]... [--json]
       hob thing remove NAME [--json]
       each with [--data DIR | --config FILE | --socket PATH]

The things whose jobs the running gateway runs. `add` and `remove` change them while it runs, until
its next start: what is to stay belongs into `things` of the configuration, as `add` says.

add: one more, with a connection of its own. What is not given is as the configuration has it beside
`things`.
remove: it begins no more jobs, what runs is given up at its next step, it disconnects. The store
keeps what was begun: it goes on when a thing of that name is there again.

  --trouble          only those that are not connected, have outcomes that the service does not have
                     yet, or a certificate that ends within 30 days
  --cert FILE --key FILE  its own certificate, and the key
  --client-id ID     default: its name
  --connection NAME  over the connection of that thing, which must be there
  --endpoint HOST, --port N, --ca FILE
  --set KEY=VALUE    any other key of a thing, see docs/reference/config.md
  --json             print JSON, for programs
]==] .. asking.USAGE .. [==[

Exit status: 0; 1 if it did not work, such as no gateway runs there; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob thing", usage = USAGE, words = 2,
  flags = asking.flags({
    json = {}, trouble = {}, cert = { value = "FILE" }, key = { value = "FILE" },
    ca = { value = "FILE" }, ["client-id"] = { value = "ID" }, connection = { value = "T" },
    endpoint = { value = "HOST" }, port = { value = "N", low = 1, high = 65535 },
    set = { value = "KEY=VALUE", many = true },
  }),
}

local FILES = { cert = true, key = true, ca = true }
local KEYS = { "cert", "key", "ca", "client_id", "connection", "endpoint", "port" }
-- What stays a text in the configuration, whatever it looks like.
local TEXTS = { client_id = true, connection = true, endpoint = true, ca = true, cert = true,
  key = true, key_passphrase = true, alpn = true, credentials_endpoint = true }
local SOON_DAYS = 30
local DAY = 86400
local REMOVE_SECONDS = 86400 -- it takes as long as stop_timeout may be

local function mistake(...)
  return select(2, options.mistake("hob thing", ...))
end

---------------------------------------------------------------- list

local function soonest(thing)
  local left
  for _, one in ipairs(thing.certificates or {}) do
    if one.error then
      return one.which .. ": " .. one.error
    end
    left = math.min(left or one.leftSeconds, one.leftSeconds)
  end
  local soon = left and left < SOON_DAYS * DAY
  return left, soon and ("certificate ends in %d days"):format(left // DAY)
end

local function is_in_trouble(thing)
  local left, soon = soonest(thing)
  return not thing.online or thing.untold > 0 or soon or type(left) == "string"
end

local function note(thing)
  local left, soon = soonest(thing)
  return thing.why or type(left) == "string" and left or soon or ""
end

--- All things, page by page.
local function all(given)
  local place, misuse = gateways.find(given)
  if not place then
    return nil, mistake("%s", misuse)
  end
  local where = { socket = place.socket } -- a configuration of many things is read once, not a page
  local list, from = {}, 0
  repeat
    local last, code = asking.ask("hob thing", where, { command = "things", from = from },
      function(line)
        list[#list + 1] = line.thing
      end)
    if not last then
      return nil, code
    end
    from = last.next
  until not from
  return list
end

local function show_list(list)
  local rows, online = {}, 0
  for i, thing in ipairs(list) do
    online = online + (thing.online and 1 or 0)
    rows[i] = { thing.thing, thing.online and "connected" or "not connected",
      words.span(thing.forSeconds), thing.jobs, thing.untold, note(thing) }
  end
  if rows[1] then
    tables.print({ "THING", "STATE", "FOR", "JOBS", "UNTOLD", "WHY" }, rows)
  end
  print(("%d thing%s, %d connected"):format(#list, #list == 1 and "" or "s", online))
end

local function list_things(given)
  local found, code = all(given)
  if not found then
    return code
  end
  local list = {}
  for _, thing in ipairs(found) do
    if not given.trouble or is_in_trouble(thing) then
      thing.certificates = json_text.list(thing.certificates or {})
      list[#list + 1] = thing
    end
  end
  if given.json then
    print(json_text.encode({ things = json_text.list(list), count = #found }))
  else
    show_list(list)
  end
  return 0
end

---------------------------------------------------------------- add, remove

-- A file's name is the gateway's, too, which works elsewhere. "": none.
local function text_of(key, value)
  return FILES[key] and value ~= "" and config_file.absolute(value) or tostring(value)
end

--- @return table<string, string>|nil settings, string|nil message
local function settings_of(given)
  local settings = {}
  for _, key in ipairs(KEYS) do
    settings[key] = given[key] and text_of(key, given[key])
  end
  for _, pair in ipairs(given.set or {}) do
    local key, value = pair:match("^([%w_]+)=(.*)$")
    if not key then
      return nil, ("--set: expected KEY=VALUE, got '%s'"):format(pair)
    elseif settings[key] then
      return nil, ("%s is given twice"):format(key)
    end
    settings[key] = text_of(key, value)
  end
  return settings
end

local function entry_of(name, settings)
  local keys, items = {}, { ("thing_name = %q"):format(name) }
  for key in pairs(settings) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local value = settings[key]
    local plain = value == "true" or value == "false"
    local literal = TEXTS[key] and ("%q"):format(value) or plain and value
      or tostring(tonumber(value) or ("%q"):format(value))
    items[#items + 1] = ("%s = %s"):format(key, literal)
  end
  return "{ " .. table.concat(items, ", ") .. " }"
end

local function add(given, name)
  local settings, message = settings_of(given)
  if not settings then
    return mistake("%s", message)
  end
  local last, code = asking.ask("hob thing", given,
    { command = "thing-add", thing = name, settings = next(settings) and settings or nil })
  if not last then
    return code
  end
  local entry = entry_of(name, settings)
  if given.json then
    print(json_text.encode({ thing = name, added = true, kept = false, entry = entry }))
    return 0
  end
  print(("%s is added and connects now; `hob status --thing %s` says how it does"):format(name,
    name))
  print(("it is gone after the next start of Hob, unless %s has in `things`:\n  %s,"):format(
    last.config or "the configuration", entry))
  return 0
end

local function remove(given, name)
  local last, code = asking.ask("hob thing", given, { command = "thing-remove", thing = name },
    nil, REMOVE_SECONDS)
  if not last then
    return code
  end
  if given.json then
    print(json_text.encode({ thing = name, removed = true, kept = false }))
    return 0
  end
  print(("%s is out; what it had begun is kept in the store"):format(name))
  print("it is there again after the next start of Hob, if the configuration names it")
  return 0
end

---------------------------------------------------------------- the command

local function misplaced(given, what)
  if what ~= "list" and given.trouble then
    return "--trouble goes with `list`"
  end
  for _, key in ipairs({ "set", table.unpack(KEYS) }) do
    if what ~= "add" and given[key] then
      return ("--%s goes with `add`"):format((key:gsub("_", "-")))
    end
  end
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  end
  local what, name = given[1], given[2]
  local actions = { add = add, remove = remove }
  local wrong = what and misplaced(given, what)
  if what ~= "list" and not actions[what] then
    return mistake("expected list, add or remove, got %s",
      what and "'" .. what .. "'" or "nothing")
  elseif wrong then
    return mistake("%s", wrong)
  elseif what == "list" then
    return name and mistake("list takes no name: `hob status --thing %s`", name)
      or list_things(given)
  elseif not name then
    return mistake("%s: expected the thing's name", what)
  end
  return actions[what](given, name)
end

return M
