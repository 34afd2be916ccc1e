--- Writes reference pages from LuaLS annotations, so that there is one text, not two. `./dev docs`
--- runs it; spec/unit/iotjobs_docs_spec.lua fails when a page is not what it would write.
--- For editors it writes a file for each module of lib/hob/api.lua, too, which lets `require` find
--- its class there.
---
--- What it reads, in the order of the file:
---  a block of `---` lines before a blank line      prose, taken as it is (Markdown)
---  ... with ---@class, ---@field                   a class; text above a field belongs to it. A
---                                                  name in small letters, hob.exec: a module
---  ... with ---@enum, before `NAME = {`            an enumeration, with the text above each member
---  ... with ---@alias                              another name for a class
---  ... before `function OWNER.name(...)`           a function, with ---@param and ---@return
--- Anything else that begins with `---@` is an error: nothing is left out in silence.
local M = {}

M.PAGES = {
  ["docs/reference/iotjobs.md"] = { "lib/meta/iotjobs.lua", "lib/meta/iotjobs_classes.lua" },
  ["docs/reference/lua-api.md"] = { "lib/hob/api.lua" },
}

M.API = "lib/hob/api.lua"

---------------------------------------------------------------- reading

local function fail(at, message, ...)
  error(("line %d: " .. message):format(at, ...), 0)
end

-- A type ends at the first blank that is in no bracket and not beside ':' or '|'.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local char = text:sub(at, at)
    if char:find("[%(<{]") then
      depth = depth + 1
    elseif char:find("[%)>}]") then
      depth = depth - 1
    elseif char == " " and depth == 0 and not text:sub(at - 1, at + 1):find("[:|]") then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), text:sub(at + 1)
end

local function named_type(text, at)
  local name, optional, rest = text:match("^([%w_.%[%]]+)(%??)%s+(.+)$")
  if not name then
    fail(at, "expected a name and a type, got '%s'", text)
  end
  local kind, about = split_type(rest)
  return { name = name, optional = optional == "?", type = kind, about = about }
end

local function returned(text)
  local kind, rest = split_type(text)
  local name, about = rest:match("^([%w_.]+)%s*(.*)$")
  return { type = kind, name = name or "", about = about or rest }
end

local TAGS = {}

function TAGS.class(item, text)
  item.kind, item.name, item.fields = "class", text, {}
  if not text:find(".", 1, true) then
    item.kind = "module" -- what `require` gives: the page itself is about it
  elseif text:find("^hob%.%l[%w_]*$") then
    item.library = true -- one of the modules that the page is about
  end
end

function TAGS.enum(item, text)
  item.kind, item.name, item.members = "enum", text, {}
end

function TAGS.alias(item, text, at)
  item.kind = "alias"
  item.name, item.type = text:match("^(%S+)%s+(%S+)$")
  if not item.name then
    fail(at, "expected ---@alias NAME TYPE, got '%s'", text)
  end
end

function TAGS.field(item, text, at)
  if item.kind ~= "class" then
    fail(at, "---@field without ---@class")
  end
  local field = named_type(text, at)
  if field.about ~= "" then
    table.insert(item.waiting, field.about)
  end
  field.about = table.concat(item.waiting, " ")
  item.waiting = {}
  table.insert(item.fields, field)
end

function TAGS.param(item, text, at)
  table.insert(item.params, named_type(text, at))
end

TAGS["return"] = function(item, text)
  table.insert(item.returns, returned(text))
end

local function add_line(item, line, at)
  local tag, rest = line:match("^%-%-%-@(%w+)%s*(.*)$")
  if tag then
    if not TAGS[tag] then
      fail(at, "no rule for ---@%s", tag)
    end
    TAGS[tag](item, rest, at)
    return
  end
  local text = line:match("^%-%-%- ?(.*)$")
  table.insert(item.kind == "class" and item.waiting or item.about, text)
end

local function new_item(at)
  return { kind = "prose", at = at, about = {}, waiting = {}, params = {}, returns = {} }
end

local function read_members(item, lines, at)
  local about = {}
  while lines[at] ~= "}" do
    local text = lines[at]:match("^%s*%-%-%- ?(.*)$")
    local name, value = lines[at]:match('^%s*([%w_]+) = "([^"]*)",$')
    if text then
      table.insert(about, text)
    elseif name then
      table.insert(item.members, { name = name, value = value, about = table.concat(about, " ") })
      about = {}
    else
      fail(at, "expected a member of %s", item.name)
    end
    at = at + 1
  end
  return at
end

-- What a block stands above says what it is.
local function close_block(item, lines, at)
  local line = lines[at] or ""
  if line:find("^function [^)]*$") then
    line = line .. " " .. (lines[at + 1] or ""):gsub("^%s+", "")
  end
  local owner, mark, name, args = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%)")
  if owner then
    item.kind, item.owner, item.mark, item.name, item.args = "function", owner, mark, name, args
  elseif item.kind == "enum" then
    at = read_members(item, lines, at + 1)
  elseif item.kind == "prose" and #item.params + #item.returns > 0 then
    fail(at, "---@param or ---@return above no function")
  elseif item.kind == "class" and #item.waiting > 0 then
    fail(at, "text below the last field of %s", item.name)
  end
  return at
end

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\r\n", "\n") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- A line of dashes only divides.
local function is_annotation(line)
  return line:find("^%-%-%-") and not line:find("^%-%-%-%-")
end

--- What an annotation file describes, in its order.
---@param text string
---@return table[] items
function M.parse(text)
  local items, lines, at = {}, lines_of(text), 1
  while at <= #lines do
    if not is_annotation(lines[at]) or lines[at]:find("^%-%-%-@meta") then
      if lines[at]:find("^function ") then
        fail(at, "a function without annotations")
      end
      at = at + 1
    else
      local item = new_item(at)
      while lines[at] and is_annotation(lines[at]) do
        add_line(item, lines[at], at)
        at = at + 1
      end
      at = close_block(item, lines, at) + 1
      items[#items + 1] = item
    end
  end
  return items
end

---------------------------------------------------------------- writing

local function short(name)
  return (name:gsub("^%l+%.", ""))
end

--- `iotjobs.X(fields)`, which makes an X, is told with the class.
---@return boolean
function M.is_constructor(item)
  return item.kind == "function" and item.params[1] ~= nil and item.params[1].name == "fields"
end

local function heading_of(item)
  return item.library and item.name or short(item.name)
end

-- What has a heading of its own.
local function targets_of(items)
  local targets = {}
  for _, item in ipairs(items) do
    if item.kind == "class" or item.kind == "enum" or item.kind == "alias" then
      targets[item.name] = "#" .. heading_of(item):lower():gsub("[^%w _-]", "")
    end
  end
  return targets
end

local function shown_type(page, kind)
  local code = "`" .. kind:gsub("iotjobs%.", ""):gsub("hob%.([%w_.]*%u)", "%1") .. "`"
  for name in kind:gmatch("%l+%.[%w_.]+") do
    if page.targets[name] then
      return ("[%s](%s)"):format(code, page.targets[name])
    end
  end
  return code
end

local function write(page, ...)
  page.out[#page.out + 1] = table.concat({ ... })
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function row(...)
  local cells = {}
  for i, text in ipairs({ ... }) do
    cells[i] = cell(text)
  end
  return "| " .. table.concat(cells, " | ") .. " |"
end

local RENDER = {}

function RENDER.prose(page, item)
  write(page, table.concat(item.about, "\n"))
end

function RENDER.module() end

function RENDER.class(page, item)
  write(page, item.library and "## " or "### ", heading_of(item))
  write(page, table.concat(item.about, "\n"))
  if #item.fields == 0 then
    return
  end
  local rows = { "| field | type | |", "|---|---|---|" }
  for _, field in ipairs(item.fields) do
    local name = field.name == "[integer]" and "`[1]`, `[2]`, ..." or "`" .. field.name .. "`"
    rows[#rows + 1] = row(name, shown_type(page, field.type), field.about)
  end
  write(page, table.concat(rows, "\n"))
end

function RENDER.enum(page, item)
  write(page, "### ", short(item.name))
  write(page, table.concat(item.about, "\n"))
  local rows = { "| name | value | |", "|---|---|---|" }
  for _, member in ipairs(item.members) do
    rows[#rows + 1] = row("`" .. member.name .. "`", '`"' .. member.value .. '"`', member.about)
  end
  write(page, table.concat(rows, "\n"))
end

function RENDER.alias(page, item)
  write(page, "### ", short(item.name))
  write(page, table.concat(item.about, "\n"))
end

-- How an object of a class is called in examples: IotJobsClient -> client.
local function instance_name(owner)
  return owner:match("^%l") and owner or owner:match("(%u%l+)$"):lower()
end

-- Functions without words of their own follow each other as a list.
local function add_to_list(page, item, signature)
  local parts = {}
  for _, param in ipairs(item.params) do
    parts[#parts + 1] = shown_type(page, param.type)
  end
  local gives = {}
  for _, value in ipairs(item.returns) do
    local label = value.name ~= "" and value.name .. " " or ""
    gives[#gives + 1] = label .. shown_type(page, value.type)
  end
  local line = ("- `%s`: %s; returns %s"):format(signature, table.concat(parts, ", "),
    table.concat(gives, " and "))
  local last = #page.out
  if page.listing then
    page.out[last] = page.out[last] .. "\n" .. line
  else
    write(page, line)
  end
  page.listing = true
end

local function line_for(label, page, entry)
  local about = entry.about ~= "" and ": " .. entry.about or ""
  local optional = entry.optional and " (may be left out)" or ""
  return ("- %s %s%s%s"):format(label, shown_type(page, entry.type), optional, about)
end

RENDER["function"] = function(page, item)
  if M.is_constructor(item) then
    return
  end
  local signature = ("%s%s%s(%s)"):format(instance_name(item.owner), item.mark, item.name,
    item.args)
  if #item.about == 0 then
    add_to_list(page, item, signature)
    return
  end
  page.listing = false
  local waits, first = item.about[1]:match("^(⏳ )(.*)$")
  write(page, page.flat and "### " or "#### ", waits or "", "`", signature, "`")
  write(page, table.concat({ first or item.about[1], table.unpack(item.about, 2) }, "\n"))
  local list = {}
  for _, param in ipairs(item.params) do
    list[#list + 1] = line_for("`" .. param.name .. "`", page, param)
  end
  for i, value in ipairs(item.returns) do
    local label = (i == 1 and "returns" or "and") .. (value.name ~= "" and " " .. value.name or "")
    list[#list + 1] = line_for(label, page, value)
  end
  if #list > 0 then
    write(page, table.concat(list, "\n"))
  end
end

-- Of several modules: the functions of each stand beside its classes.
local function has_libraries(items)
  for _, item in ipairs(items) do
    if item.library then
      return true
    end
  end
  return false
end

local function parse_all(sources, read)
  local items = {}
  for _, source in ipairs(sources) do
    local ok, found = pcall(M.parse, read(source))
    if not ok then
      error(source .. ", " .. tostring(found), 0)
    end
    table.move(found, 1, #found, #items + 1, items)
  end
  return items
end

--- The page for annotation files, in their order.
---@param sources string[]  their names
---@param read fun(source: string): string
---@return string markdown
function M.page(sources, read)
  local items = parse_all(sources, read)
  local page = { out = {}, targets = targets_of(items), flat = has_libraries(items) }
  write(page, ("<!-- Made by `./dev docs` from %s: change that, not this page. -->"):format(
    table.concat(sources, " and ")))
  for _, item in ipairs(items) do
    page.listing = page.listing and item.kind == "function"
    RENDER[item.kind](page, item)
  end
  return table.concat(page.out, "\n\n") .. "\n"
end

local function read(path)
  local file = assert(io.open(path, "r"))
  local text = file:read("a")
  file:close()
  return text
end

--- What `require("hob.exec")` is for an editor, one file a module.
---@param text string  of lib/hob/api.lua
---@return table<string, string> stubs  path -> text
function M.stubs(text)
  local stubs = {}
  for _, item in ipairs(M.parse(text)) do
    if item.library then
      stubs["lib/meta/" .. item.name:gsub("%.", "/") .. ".lua"] = ([[
---@meta %s
-- Made by `./dev docs` from %s, which describes it: change that, not this.

---@type %s
local module = {}

return module
]]):format(item.name, M.API, item.name)
    end
  end
  return stubs
end

local function save(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
  print("docs: " .. path)
end

--- Write all pages; paths count from the project's directory.
function M.main()
  for path, sources in pairs(M.PAGES) do
    save(path, M.page(sources, read))
  end
  for path, text in pairs(M.stubs(read(M.API))) do
    save(path, text)
  end
end

if ... then -- required by its name; `lua docs/generate.lua` gives none
  return M
end
M.main()
