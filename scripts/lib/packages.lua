-- packages.lua - what the handlers of packages share: which names may be asked for, and how this
-- device's package manager is spoken to.

local exec = require("hob.exec")

local M = {}

local LOCK_WAIT = 120 -- seconds; another program may be at the packages just now
local NAMES_MAX = 200

-- A name never begins with a dash (an option), never ends in one (apt-get would take "foo-" as
-- "remove foo"), and is no file.
local function is_name(name)
  return #name <= 200 and name:find("^%w[%w+._:=~-]*$") and not name:find("%-$")
end

---Names as a document gives them: "a b", { "a", "b" }, or, as AWS's templates do, { "a b" }.
---@param given any
---@param member string  what the message calls it
---@return string[]? names
---@return string? message
function M.read(given, member)
  local names, list = {}, type(given) == "table" and given or { given }
  if type(given) ~= "string" and type(given) ~= "table" then
    return nil, ("%s: expected names, separated by blanks, got %s"):format(member, type(given))
  end
  for _, text in ipairs(list) do
    if type(text) ~= "string" then
      return nil, ("%s: expected names, got %s among them"):format(member, type(text))
    end
    for name in text:gmatch("%S+") do
      if not is_name(name) then
        return nil, ("%s: %q is not the name of a package"):format(member, name:sub(1, 80))
      end
      names[#names + 1] = name
    end
  end
  if #names == 0 or #names > NAMES_MAX then
    return nil, ("%s: expected 1 to %d names, got %d"):format(member, NAMES_MAX, #names)
  end
  return names
end

---The `args` of a handler that only wants packages.
function M.args(given)
  local names, message = M.read(given.packages, "packages")
  return names and { packages = names, update = given.update == true or given.update == "true" }
    or nil, message
end

---------------------------------------------------------------- managers

local APT = { "apt-get", "-y", "-o", "DPkg::Lock::Timeout=" .. LOCK_WAIT, "-o",
  "Acquire::Retries=3" }
local QUIET = { DEBIAN_FRONTEND = "noninteractive" }

-- In the order in which they are looked for.
local MANAGERS = {
  { program = "apt-get", command = APT, env = QUIET,
    repair = { "dpkg", "--configure", "-a" }, index = "update" },
  { program = "dnf", command = { "dnf", "-y" }, index = "makecache" },
  { program = "yum", command = { "yum", "-y" }, index = "makecache" },
}

local function words_of(...)
  local words = {}
  for _, part in ipairs({ ... }) do
    table.move(part, 1, #part, #words + 1, words)
  end
  return words
end

-- Is there such a program? It answers, or it cannot be started.
local function is_there(program)
  return exec.run({ program, "--version" }) ~= nil
end

---@return table? manager
---@return string? message
---@return string? code
function M.manager()
  for _, manager in ipairs(MANAGERS) do
    if is_there(manager.program) then
      return manager
    end
  end
  return nil, "no package manager found: looked for apt-get, dnf, yum", "NO_PACKAGE_MANAGER"
end

---For `doctor`.
function M.doctor()
  local manager, message = M.manager()
  return manager ~= nil or nil, message
end

local function check(manager, words, user)
  words.env, words.user, words.report = manager.env, user, true
  return exec.check(words)
end

---Do something to packages; for use in a step. What a power cut left half done is mended first.
---@param job hob.Job
---@param action "install"|"remove"
---@param names string[]
---@param update? boolean  ask for the newest list of packages before
function M.change(job, action, names, update)
  local manager, message, code = M.manager()
  if not manager then
    return nil, message, code
  end
  if manager.repair then
    local repaired = exec.run(words_of(manager.repair, { env = manager.env, user = job.user }))
    if repaired and repaired.code ~= 0 then
      job.log.warn("dpkg --configure -a: " .. repaired.words)
    end
  end
  if update then
    check(manager, words_of(manager.command, { manager.index }), job.user)
  end
  check(manager, words_of(manager.command, { action, "--" }, names), job.user)
  return manager.program
end

---------------------------------------------------------------- what is installed

-- How to ask for one package, and whether the answer says that it is there.
local ASK = {
  { "dpkg-query", "-W", "-f", "${db:Status-Status}\n", "--",
    says = function(result)
      return result.code == 0 and result.stdout:find("^installed") ~= nil
    end },
  { "rpm", "-q", "--", says = function(result) return result.code == 0 end },
}

---For use in a step.
---@param names string[]
---@return string[]? installed
---@return string? missing  or the message
---@return string? code
function M.installed(names)
  for _, ask in ipairs(ASK) do
    if is_there(ask[1]) then
      local there, missing = {}, {}
      for _, name in ipairs(names) do
        local result = assert(exec.run(words_of(ask, { name })))
        table.insert(ask.says(result) and there or missing, name)
      end
      return { there = there, missing = missing }
    end
  end
  return nil, "no way to ask which packages are installed: looked for dpkg-query, rpm",
    "NO_PACKAGE_MANAGER"
end

return M
