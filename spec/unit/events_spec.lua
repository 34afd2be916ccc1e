-- docs/reference/events.md lists every event id of the log, and none that does not exist.

local read = require("spec.support.source").read

local TABLE = "docs/reference/events.md"
local ID = "[a-z]+%.[a-z_]+"
local LEVELS = { debug = true, info = true, warn = true, error = true, any = true }

-- Literals that look like an id and are none: what they are.
local OTHERS = {
  ["events.log"] = "the file in which events are kept",
  ["job.state"] = "the member of a handler's job, in a message of the store",
  ["verify.signers"] = "a function that the bench answers for",
  ["job.created"] = "an example in a message of hob.log",
}

local function sources()
  local pipe = assert(io.popen("find core bindings lib -name '*.[ch]' -o -name '*.lua' | sort"))
  local list = {}
  for path in pipe:lines() do
    local text = ("\n" .. read(path)):gsub("\n%s*/%*.-%*/", "\n") -- examples in comments
    text = text:gsub("require%b()", "") -- modules have such names, too
    list[#list + 1] = { path = path, text = text }
  end
  assert(pipe:close())
  assert(#list > 30, "run from the top of the source")
  return list
end

--- Rows of the table, in order: { { id=, level=, when= }, ... }
local function rows()
  local list = {}
  for line in read(TABLE):gmatch("[^\n]+") do
    local id, level, when = line:match("^| `([^`]+)` | (%S*) | (.-) |")
    if id then
      list[#list + 1] = { id = id, level = level, when = when }
    end
  end
  return list
end

--- Ids where they are certainly used as such: `.event = ...`, hob_log_event(...), log.info(...).
local function declared(text, add)
  for value in text:gmatch("%f[%w_]event%s*=%s*([^;,}]+)") do
    for id in value:gmatch('"(' .. ID .. ')"') do
      add(id)
    end
  end
  for call in text:gmatch("hob_log_event(%b())") do
    local id = call:match('^%([^"]-"(' .. ID .. ')"')
    if id then
      add(id)
    end
  end
  for _, id in text:gmatch('log%.([a-z]+)%(%s*"(' .. ID .. ')"%s*,') do
    add(id)
  end
end

--- id -> the file where it stands. Ids also reach the log through helpers that take one; so any
--- literal counts that begins with a word (`conn`) that some id begins with; but not with `hob`,
--- as modules do.
local function used()
  local found, words, files = {}, {}, sources()
  for _, row in ipairs(rows()) do
    words[row.id:match("^%a+")] = true
  end
  for _, file in ipairs(files) do
    declared(file.text, function(id)
      found[id] = file.path
      words[id:match("^%a+")] = true
    end)
  end
  words.hob = nil
  for _, file in ipairs(files) do
    for word, rest in file.text:gmatch('"([a-z]+)%.([a-z_]+)"') do
      -- `hob support` writes some, and Hob's own Lua files are read
      local is_file = rest == "txt" or rest == "json" or rest == "lua"
      if words[word] and not is_file and not OTHERS[word .. "." .. rest] then
        found[word .. "." .. rest] = file.path
      end
    end
  end
  return found
end

describe("docs/reference/events.md", function()
  local found, listed = used(), {}
  for _, row in ipairs(rows()) do
    listed[row.id] = row
  end

  it("lists every event that the source writes", function()
    local missing = {}
    for id, path in pairs(found) do
      if not listed[id] then
        missing[#missing + 1] = id .. " (" .. path .. ")"
      end
    end
    table.sort(missing)
    assert.equal("", table.concat(missing, ", "))
  end)

  it("lists no event that the source does not write", function()
    local stale = {}
    for id in pairs(listed) do
      if not found[id] then
        stale[#stale + 1] = id
      end
    end
    table.sort(stale)
    assert.equal("", table.concat(stale, ", "))
  end)

  it("has each once, in alphabetical order, with a level and words", function()
    local last = ""
    for _, row in ipairs(rows()) do
      assert.is_true(row.id > last, row.id .. " comes after " .. last)
      assert.truthy(row.id:find("^" .. ID .. "$"), row.id)
      assert.is_true(LEVELS[row.level], row.id .. " has the level '" .. row.level .. "'")
      assert.is_true(#row.when > 10, row.id .. " does not say when")
      last = row.id
    end
    assert.is_true(#last > 0, "the table has no rows")
  end)
end)
