--- `hob handler help NAME`: what a handler is for, what it must be told, and documents to send.
local directory = require("hob.handler.directory")
local json = require("hob.json")
local json_text = require("hob.service.json_text")
local nearest = require("hob.nearest")
local options = require("hob.cli.options")
local place = require("hob.handler.place")
local tables = require("hob.cli.table")

local M = {}

local USAGE = [==[
usage: hob handler help NAME [--json] [--scripts DIR | --config FILE]

What a handler is for, its arguments with their defaults, what it needs, and documents that can be
sent as they stand.

  --json         print JSON, for programs
  --scripts DIR  the handlers' directory; default: the `scripts` of --config, ./scripts, or those
                 that came with Hob
  --config FILE  a gateway's configuration

Exit status: 0; 1 if there is no such handler, or it is broken; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob handler help", usage = USAGE, words = 1,
  flags = { json = {}, scripts = place.FLAGS.scripts, config = place.FLAGS.config },
}

-- The members of a document that may name its handler, as a gateway has them by default.
local NAMING = { "operation", "jobType", "type", "action", "command", "steps" }

---------------------------------------------------------------- documents

-- One that names its handler in another way (`routes`, a member in `names`) is left as it is.
local function names_a_handler(document, entry, job_types)
  for _, member in ipairs(job_types) do
    if document[member] ~= nil then
      return true
    end
  end
  for _, name in ipairs(entry.about.names) do
    if name:sub(1, 1) == "?" and document[name:sub(2)] ~= nil then
      return true
    end
  end
  return document.steps ~= nil
end

--- A document's text, so that it reaches the handler.
local function ready_to_send(text, entry, job_types)
  local document = json.decode(text)
  if type(document) ~= "table" or entry.built_in
    or names_a_handler(document, entry, job_types) then
    return text
  end
  local member = ('{"%s":"%s"'):format(job_types[1], entry.name)
  return text == "{}" and member .. "}" or member .. "," .. text:sub(2)
end

local STAND_INS = { string = "...", number = 1, integer = 1, boolean = true, any = "..." }

-- Of a handler without examples: what it cannot do without.
local function made_up(entry)
  local given, needed = {}, false
  for _, row in ipairs(entry.about.args or {}) do
    if row.depth == 0 and not row.optional then
      local enum = row.type == "enum" and row.range:match('^"(.-)"')
      given[row.name] = enum or STAND_INS[row.type] or json_text.list({})
      needed = true
    end
  end
  local document = given
  if entry.about.args_at then
    document = { [entry.about.args_at] = needed and given or nil }
  end
  return json_text.encode(document)
end

--- Documents that reach the handler, each { document = text, description = text? }.
---@param entry hob.handler.entry
---@param job_types string[]?  of a gateway's configuration
---@return table[] documents
---@return boolean made_up      it has no examples
function M.documents(entry, job_types)
  job_types = job_types or NAMING
  local documents, examples = {}, entry.about.examples
  local none = #examples == 0
  for i, example in ipairs(none and { { document = made_up(entry) } } or examples) do
    documents[i] = { document = ready_to_send(example.document, entry, job_types),
      description = example.description }
  end
  return documents, none
end

---------------------------------------------------------------- showing

local function print_block(head, rows)
  if rows[1] then
    print("\n" .. head)
    for i, row in ipairs(rows) do
      rows[i] = { "  " .. row[1], table.unpack(row, 2) }
    end
    tables.print(nil, rows)
  end
end

local function shown_default(row)
  if row.default ~= nil then
    return "default " .. row.default
  end
  return row.optional and "may be absent" or "required"
end

local function argument_rows(about)
  local rows = {}
  for i, row in ipairs(about.args or {}) do
    rows[i] = { ("  "):rep(row.depth) .. row.path, row.type, shown_default(row), row.range }
  end
  return rows
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local with_lists

local function in_words(value)
  if type(value) ~= "table" then
    return tostring(value)
  elseif value[1] ~= nil then
    return table.concat(value, " ")
  end
  return json_text.encode(with_lists(value))
end

local function need_rows(about)
  local rows = {}
  for _, name in ipairs(sorted_keys(about.requires or {})) do
    rows[#rows + 1] = { name, in_words(about.requires[name]) }
  end
  return rows
end

local function limit_rows(about)
  local rows = {}
  local function add(name, value, unit)
    if value ~= nil then
      rows[#rows + 1] = { name, in_words(value) .. unit }
    end
  end
  add("timeout", about.timeout and ("%g"):format(about.timeout) or "the gateway's job_timeout",
    about.timeout and " s" or "")
  add("memory", about.memory, "")
  add("cpu", about.cpu, "")
  add("max_age", about.max_age and ("%g"):format(about.max_age), " s")
  add("max_runs", about.max_runs, "")
  return rows
end

local HOW = { "already_done", "cleanup", "rerun", "doctor" }

local function what_it_says(about)
  local has = {}
  for _, name in ipairs(about.has) do
    has[name] = true
  end
  return has
end

local function what_it_has(about)
  local has, words = what_it_says(about), {}
  for _, name in ipairs(HOW) do
    words[#words + 1] = has[name] and name or nil
  end
  return table.concat(words, ", ")
end

local function show(entry, documents, none)
  local about = entry.about
  print(entry.name .. (about.description and ": " .. about.description or ""))
  local rows = { { "file", entry.path }, { "digest", entry.digest } }
  if about.names[1] then
    rows[#rows + 1] = { "also", table.concat(about.names, ", ") }
  end
  if what_it_has(about) ~= "" then
    rows[#rows + 1] = { "has", what_it_has(about) }
  end
  tables.print(nil, rows)
  print_block(about.args_at and ("arguments, in the document's member '%s':"):format(about.args_at)
    or "arguments:", argument_rows(about))
  if about.positional[1] then
    print("\nas a list of words: " .. table.concat(about.positional, " "))
  end
  print_block("needs:", need_rows(about))
  print_block("limits:", limit_rows(about))
  if about.args == nil and what_it_says(about).args then
    print("\narguments: a function of its own reads the document")
  end
  if entry.built_in and none then
    return
  end
  print(none and "\na document might be:" or "\ndocuments:")
  for _, one in ipairs(documents) do
    if one.description then
      print("  " .. one.description .. ":")
    end
    print("  " .. one.document)
  end
end

-- Sequences are lists, all the way down.
function with_lists(value)
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, member in pairs(value) do
    result[key] = with_lists(member)
  end
  return value[1] ~= nil and json_text.list(result) or result
end

local function as_json(entry, documents)
  local about = {}
  for key, value in pairs(entry.about) do
    about[key] = value
  end
  about.examples = nil
  about.args = about.args and json_text.list(about.args)
  about.requires = with_lists(about.requires)
  for _, name in ipairs({ "names", "positional", "has" }) do
    about[name] = json_text.list(about[name])
  end
  about.name, about.path, about.digest = entry.name, entry.path, entry.digest
  about.documents = json_text.list({})
  for i, one in ipairs(documents) do
    about.documents[i] = { document = json_text.raw(one.document), description = one.description }
  end
  return json_text.encode(about)
end

---------------------------------------------------------------- the command

local function fail(format, ...)
  io.stderr:write(("hob handler help: %s\n"):format(format:format(...)))
  return 1
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  elseif not given[1] then
    return select(2, options.mistake("hob handler help", "NAME is missing"))
  end
  local found, why = place.find(given)
  if not found then
    return select(2, options.mistake("hob handler help", "%s", why))
  end
  local entry, known
  entry, why, known = directory.find(found.scripts, given[1])
  if not entry then
    return fail("%s: %s in %s%s", given[1], why, found.scripts, nearest.hint(given[1], known or {}))
  elseif entry.trouble then
    return fail("%s is broken: %s", entry.name, entry.trouble)
  end
  local documents, none = M.documents(entry, found.config and found.config.job_types)
  if given.json then
    print(as_json(entry, documents))
  else
    show(entry, documents, none)
  end
  return 0
end

return M
