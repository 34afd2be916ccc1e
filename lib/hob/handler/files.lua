-- files.lua - the files of a device that is not there: hob.fs on a table, for --dry-run and
-- hob.testing. What lies in the job's own directory (relative names) stays real.
-- Spec: spec/unit/testing_spec.lua

local fs = require("hob.fs")

local M = {}

local files = {}
files.__index = files

local function is_own(self, path)
  if ("/" .. path .. "/"):find("/../", 1, true) then
    return false
  end
  return path:sub(1, 1) ~= "/" or (self.work ~= nil and path:sub(1, #self.work + 1) == self.work
    .. "/") or path == self.work
end

local function real_path(self, path)
  return path:sub(1, 1) == "/" and path or (self.work or ".") .. "/" .. path
end

local function pack(...)
  return table.pack(...)
end

local function missing(path)
  return pack(nil, path .. ": no such file or directory", "ENOENT")
end

-- In a dry run what was not written meanwhile is as it is on this machine.
local function absent(self, path)
  if self.strict or self.removed[path] then
    return missing(path)
  end
end

local function children(self, path)
  local names, prefix = {}, path:gsub("/*$", "") .. "/"
  local seen = {}
  for name in pairs(self.content) do
    local child = name:sub(1, #prefix) == prefix and name:sub(#prefix + 1):match("^[^/]+")
    if child and not seen[child] then
      seen[child] = true
      names[#names + 1] = child
    end
  end
  table.sort(names)
  return names
end

local function is_directory(self, path)
  return self.content[path] == true or children(self, path)[1] ~= nil
end

local function put(self, path, data)
  self.content[path], self.removed[path] = data, nil
  return pack(true)
end

local function take_away(self, path)
  self.content[path], self.removed[path] = nil, true
end

local functions = {}

function functions.read(self, path)
  local data = self.content[path]
  if type(data) == "string" then
    return pack(data)
  end
  return absent(self, path)
end

function functions.write(self, path, data)
  return put(self, path, tostring(data))
end

function functions.append(self, path, data)
  local before = self.content[path]
  if before == nil and not self.strict and not self.removed[path] then
    before = fs.read(path)
  end
  return put(self, path, (type(before) == "string" and before or "") .. tostring(data))
end

function functions.remove(self, path)
  local prefix = path .. "/"
  local there = self.content[path] ~= nil or is_directory(self, path)
  for name in pairs(self.content) do
    if name:sub(1, #prefix) == prefix then
      take_away(self, name)
    end
  end
  take_away(self, path)
  return (there or not self.strict) and pack(true) or missing(path)
end

function functions.mkdir(self, path)
  return put(self, path, self.content[path] or true)
end

function functions.chmod(self, path)
  return (self.content[path] ~= nil or not self.strict) and pack(true) or missing(path)
end

function functions.list(self, path)
  if is_directory(self, path) then
    return pack(children(self, path))
  end
  return absent(self, path)
end

function functions.stat(self, path)
  local data = self.content[path]
  if type(data) == "string" then
    return pack({ type = "file", size = #data, mode = 420, mtime = 0 })
  elseif is_directory(self, path) then
    return pack({ type = "directory", size = 0, mode = 493, mtime = 0 })
  end
  return absent(self, path)
end

function functions.copy(self, from, to)
  local data = self.content[from]
  if is_own(self, from) then
    data = fs.read(real_path(self, from))
  elseif data == nil and not self.strict and not self.removed[from] then
    data = fs.read(from)
  end
  if type(data) ~= "string" then
    return data and put(self, to, data) or missing(from)
  end
  local ok, message = self:put(to, data)
  return ok and pack(true) or pack(nil, message, "EIO")
end

function functions.rename(self, from, to)
  local result = functions.copy(self, from, to)
  if result[1] and is_own(self, from) then
    fs.remove(real_path(self, from))
  elseif result[1] then
    take_away(self, from)
  end
  return result
end

function functions.symlink(self, target, path)
  self.content[path], self.removed[path] = nil, nil
  self.links[path] = target:sub(1, 1) == "/" and target or path:gsub("[^/]*$", "") .. target
  return pack(true)
end

local LINKS_MAX = 8

-- Where a path leads; `last`: also if its last part is a link.
local function followed(self, path, last)
  for _ = 1, LINKS_MAX do
    local found
    for link in pairs(self.links) do
      if path:sub(1, #link + 1) == link .. "/" or last and path == link then
        found = link
      end
    end
    if not found then
      return path
    end
    path = self.links[found] .. path:sub(#found + 1)
  end
  return path
end

-- These are about the link itself.
local OF_LINKS = { rename = true, remove = true, symlink = true }

local function of_link(self, name, path, to)
  local target = self.links[path]
  if name == "rename" and target then
    self.content[to], self.links[path], self.links[to] = nil, nil, target
    return pack(true)
  elseif name == "remove" and target then
    self.links[path] = nil
    return pack(true)
  elseif name == "rename" then
    self.links[to] = nil
  end
end

--- What a call of hob.fs gets.
---@param call table
---@return table|nil packed  nil: the real function is to run
---@return boolean known     nil means that, not that nobody knows
function files:answer(call)
  local path, name = call.arguments[1], call.name:match("%.(.*)$")
  local to = (name == "copy" or name == "rename") and call.arguments[2]
  if name == "symlink" then
    path = call.arguments[2]
  end
  if type(path) ~= "string" or is_own(self, path)
    and (type(to) ~= "string" or is_own(self, to)) then
    return nil, true
  end
  local fn = functions[name]
  if fn then
    local arguments = table.pack(table.unpack(call.arguments, 1, call.arguments.n))
    local place = name == "symlink" and 2 or 1
    arguments[place] = followed(self, path, not OF_LINKS[name])
    if to then
      arguments[2] = followed(self, to, name == "copy")
    end
    return of_link(self, name, arguments[1], arguments[2])
      or fn(self, table.unpack(arguments, 1, arguments.n)), not self.strict
  end
  return nil, not self.strict
end

--- A download: a file of the job's own, or one of the device.
---@return string|nil path
---@return string|nil message
function files:put(path, data)
  if not is_own(self, path) then
    put(self, path, data)
    return path
  end
  local real = real_path(self, path)
  local ok, message = fs.write(real, data)
  return ok and real, message
end

--- The job's own directory: real.
function files:set_work(path)
  self.work = path
end

---@param content table  path -> text; true: a directory
---@param strict boolean nothing else is there
function M.new(content, strict)
  local copy = {}
  for path, data in pairs(content) do
    copy[path] = data
  end
  return setmetatable({ content = copy, removed = {}, links = {}, strict = strict }, files)
end

return M
