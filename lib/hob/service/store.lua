--- What the service keeps across restarts, in a SQLite file: things, groups, jobs, executions and
--- settings, one row an object, written at the end of each turn in which it changed.
---
--- A row holds the object's members as a Lua table constructor. Those that follow from the rest are
--- left out, and made again by hob.service.engine.adopt; an execution names its thing and its job.
--- So any plain data that is added to an object is kept, too.
--- Spec: spec/unit/service_store_spec.lua
local documents = require("hob.service.documents")
local fs = require("hob.fs")
local ordered = require("hob.service.engine.ordered")
local process = require("hob.process")
require("hob.service.engine.adopt")

local M = {}
M.__index = M

local SCHEMA = 1
local FILE, WHO = "service-state.db", "service-owner"
local TABLES = {
  "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE objects (kind TEXT, id TEXT, state TEXT NOT NULL, PRIMARY KEY (kind, id))"
    .. " WITHOUT ROWID",
}
-- SQLite holds the file's lock from the first read to the end of the process, however it ends.
local PRAGMAS = {
  "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL",
}

---- objects as text ----

local function set(words)
  local members = {}
  for word in words:gmatch("%S+") do
    members[word] = true
  end
  return members
end

-- What is not written: what hob.service.engine lists with a star, an execution's thing and job.
local DERIVED = {
  thing = set("topic pending records"),
  group = set("members"),
  job = set("executions open counts target_things target_groups heap_index artifacts"),
  execution = set("thing job deadline heap_index prev next list texts"),
  settings = {},
}
M.DERIVED = DERIVED
local ORDER = { "settings", "group", "thing", "job", "execution" } -- see hob.service.engine.adopt

local ID = {
  settings = function() return "" end,
  group = function(group) return group.name end,
  thing = function(thing) return thing.name end,
  job = function(job) return job.id end,
  execution = function(execution)
    return ("%s/%s/%d"):format(execution.thing.name, execution.job.id, execution.number)
  end,
}

local encode

local function encode_members(members, left_out)
  local out, count = {}, #members
  for i = 1, count do
    out[i] = encode(members[i])
  end
  for key, value in pairs(members) do
    if not (math.type(key) == "integer" and key >= 1 and key <= count)
      and not (left_out and left_out[key]) then
      out[#out + 1] = ("[%q]=%s"):format(key, encode(value))
    end
  end
  return out
end

function encode(value)
  if type(value) ~= "table" then
    return ("%q"):format(value)
  elseif DERIVED[value.kind] then
    error(("a %s stands in a member that is kept"):format(value.kind))
  end
  return "{" .. table.concat(encode_members(value), ",") .. "}"
end

--- An object's members as text.
---@param object table
---@return string
function M.state_of(object)
  local out = encode_members(object, DERIVED[object.kind])
  if object.kind == "execution" then
    out[#out + 1] = ("thing=%q"):format(object.thing.name)
    out[#out + 1] = ("job=%q"):format(object.job.id)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

---- the file ----

local function sql_text(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

--- @return any|nil result
--- @return string|nil message
local function execute(self, statement)
  local result, message = self.connection:execute(statement)
  if not result then
    return nil, (tostring(message):gsub("^LuaSQL: ", ""))
  end
  return result
end

local function rows(self, statement)
  local cursor, message = execute(self, statement)
  if not cursor then
    return nil, message
  end
  local found, row = {}, cursor:fetch({}, "n")
  while row do
    found[#found + 1] = row
    row = cursor:fetch({}, "n")
  end
  cursor:close()
  return found
end

local function damaged(self, why)
  return nil, ("%s is damaged (%s): move it away and start again, or put back a copy of it; "
    .. "nothing was changed"):format(self.path, why)
end

local function in_use(self)
  local who = fs.read(self.dir .. "/" .. WHO)
  local pid = who and who:match("^process (%d+)")
  if pid and not fs.stat("/proc/" .. pid) then
    return nil, ("%s is locked by another program (by no service; by sqlite3, or a backup?): start "
      .. "again when that has ended"):format(self.path)
  end
  return nil, ("%s is in use by another service%s: end that one, or give another --data DIR")
    :format(self.dir, who and " (" .. who:gsub("%s+$", "") .. ")" or "")
end

local function unusable(dir, message)
  return nil, ("--data %s: %s; it must be a directory that this user may write in"):format(dir,
    message)
end

--- Words for a failure of SQLite while the file is being opened.
local function refused(self, message)
  if message:find("locked", 1, true) then
    return in_use(self)
  elseif message:find("malformed", 1, true) or message:find("not a database", 1, true) then
    return damaged(self, message)
  elseif message:find("unable to open", 1, true) or message:find("readonly", 1, true)
    or message:find("disk I/O", 1, true) then
    return unusable(self.dir, self.path .. ": " .. message)
  end
  return nil, ("%s: %s"):format(self.path, message)
end

local function run_all(self, statements)
  for _, statement in ipairs(statements) do
    local result, message = execute(self, statement)
    if not result then
      return refused(self, message)
    elseif type(result) == "userdata" then
      result:close()
    end
  end
  return true
end

local function meta(self, name)
  local found, message = rows(self, "SELECT value FROM meta WHERE name = " .. sql_text(name))
  return found and found[1] and found[1][1], message
end

local function set_meta(self, name, value)
  return execute(self, ("INSERT OR REPLACE INTO meta VALUES (%s, %s)"):format(sql_text(name),
    sql_text(tostring(value))))
end

local function random_key()
  local file = assert(io.open("/dev/urandom", "rb"))
  local key = assert(file:read(32))
  file:close()
  return (key:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end
M.random_key = random_key

local function create(self)
  local statements = table.move(TABLES, 1, #TABLES, 2, { "BEGIN" })
  for name, value in pairs{ schema = SCHEMA, key = random_key() } do
    statements[#statements + 1] = ("INSERT INTO meta VALUES (%s, %s)"):format(sql_text(name),
      sql_text(tostring(value)))
  end
  statements[#statements + 1] = "COMMIT"
  return run_all(self, statements)
end

local function check_schema(self)
  local tables, message = rows(self, "SELECT count(*) FROM sqlite_master")
  if not tables then
    return refused(self, message)
  elseif tables[1][1] == 0 then
    return create(self)
  end
  local found = rows(self, "PRAGMA quick_check(1)")
  if not found or found[1][1] ~= "ok" then
    return damaged(self, found and found[1][1] or "it cannot be read")
  end
  local schema = meta(self, "schema")
  if not schema then
    return damaged(self, "it is not a service's store")
  elseif tonumber(schema) ~= SCHEMA then
    return nil, ("%s was written by another version of Hob (schema %s; this one reads %d)"):format(
      self.path, schema, SCHEMA)
  end
  return true
end

local function load_driver()
  local ok, driver = pcall(require, "luasql.sqlite3")
  if not ok then
    return nil, "--data needs LuaSQL's driver for SQLite, which is not installed: on Debian, "
      .. "`apt-get install lua-sql-sqlite3`"
  end
  return driver
end

--- Open or make the store below a directory, which is made if there is none. One process at a time.
---@param dir string
---@return table|nil store
---@return string|nil message
function M.open(dir)
  local driver, message = load_driver()
  if not driver then
    return nil, message
  end
  local ok
  ok, message = fs.mkdir(dir)
  if not ok then
    return unusable(dir, message)
  end
  local self = setmetatable({ dir = dir, path = dir .. "/" .. FILE, unsaved = {} }, M)
  self.environment = driver.sqlite3()
  self.connection, message = self.environment:connect(self.path)
  if not self.connection then
    return unusable(dir, (message:gsub("^LuaSQL: ", "")))
  end
  fs.chmod(self.path, 384) -- 0600: it holds the key that URLs are signed with
  ok, message = run_all(self, PRAGMAS)
  if ok then
    ok, message = check_schema(self)
  end
  if not ok then
    self:close()
    return nil, message
  end
  self.key = meta(self, "key")
  self:say_who("")
  return self
end

--- Leave a note of who uses the store, for another service that finds it in use.
---@param more string
function M:say_who(more)
  fs.write(self.dir .. "/" .. WHO, ("process %d%s\n"):format(process.pid(), more))
end

function M:close()
  if self.connection then
    self.connection:close()
    self.environment:close()
    self.connection = nil
  end
end

---- loading ----

--- The text of a row, read with nothing in reach.
local function decode(text)
  local chunk, message = load("return " .. text, "=row", "t", {})
  if not chunk then
    return nil, message
  end
  local ok, members = pcall(chunk)
  if not ok or type(members) ~= "table" then
    return nil, not ok and tostring(members) or "it holds no object"
  end
  return members
end

local function seq_of(object)
  return object.seq
end

--- @return table<string, table[]>|nil by_kind
local function read_objects(self)
  local found, message = rows(self, "SELECT kind, id, state FROM objects")
  if not found then
    return damaged(self, message)
  end
  local by_kind = {}
  for _, kind in ipairs(ORDER) do
    by_kind[kind] = {}
  end
  for _, row in ipairs(found) do
    local object, why = decode(row[3])
    local list = by_kind[row[1]]
    if not object or not list then
      return damaged(self, ("%s %s: %s"):format(row[1], row[2], why or "it is of no known kind"))
    end
    list[#list + 1] = object
  end
  by_kind.execution = ordered.sorted(by_kind.execution, seq_of)
  return by_kind
end

local function adopt_all(engine, by_kind)
  for _, kind in ipairs(ORDER) do
    for _, object in ipairs(by_kind[kind]) do
      engine:adopt(object)
    end
  end
  for _, job in ipairs(by_kind.job) do
    documents.adopt(job, engine)
  end
end

--- Fill an engine, which must be new and know its `documents`, with what is stored.
---@param engine hob.service.engine
---@return boolean|nil ok
---@return string|nil message
function M:load(engine)
  local by_kind, message = read_objects(self)
  if not by_kind then
    return nil, message
  end
  local ok, why = pcall(adopt_all, engine, by_kind)
  if not ok then
    return damaged(self, tostring(why))
  end
  engine.seq = math.max(engine.seq, math.tointeger(tonumber(meta(self, "seq") or 0)) or 0)
  self.seq = engine.seq
  engine:take_touched()
  return true
end

---- saving ----

local function statement_of(object, how)
  local kind, id = sql_text(object.kind), sql_text(ID[object.kind](object))
  if how == "gone" then
    return ("DELETE FROM objects WHERE kind = %s AND id = %s"):format(kind, id)
  end
  return ("INSERT OR REPLACE INTO objects VALUES (%s, %s, %s)"):format(kind, id,
    sql_text(M.state_of(object)))
end

--- What was not written by a turn that failed is written with the next.
local function collect(self, engine)
  local touched = engine:take_touched()
  if next(self.unsaved) == nil then
    return touched
  end
  for object, how in pairs(touched) do
    self.unsaved[object] = how
  end
  return self.unsaved
end

local function write(self, engine, touched)
  local ok, message = execute(self, "BEGIN")
  -- A row that goes may be followed by another of its id: a job that was deleted and created again.
  for _, wanted in ipairs{ "gone", "changed" } do
    for object, how in pairs(touched) do
      if ok and how == wanted then
        ok, message = execute(self, statement_of(object, how))
      end
    end
  end
  if ok and engine.seq ~= self.seq then
    ok, message = set_meta(self, "seq", engine.seq)
  end
  if ok then
    ok, message = execute(self, "COMMIT")
  end
  return ok, message
end

--- A file that was removed can still be written to: nobody would find it again.
local function check_place(self)
  if fs.stat(self.path) then
    return true
  end
  return nil, "it was removed while the service uses it: start the service again (it begins with "
    .. "what is there then)"
end

--- Write what changed since the last call, in one transaction.
---@param engine hob.service.engine
---@return boolean|nil ok
---@return string|nil message
function M:save(engine)
  local touched = collect(self, engine)
  if next(touched) == nil then
    return true
  end
  local ok, message = check_place(self)
  if ok then
    ok, message = write(self, engine, touched)
  end
  if not ok then
    execute(self, "ROLLBACK")
    self.unsaved = touched
    return nil, ("%s: %s"):format(self.path, message)
  end
  self.seq, self.unsaved = engine.seq, {}
  return true
end

return M
