-- update-config.lua - replace a configuration file: whole, checked, taken back if it is no good.
--
-- { "operation": "update-config", "path": "/etc/app/app.conf", "content": "level = 3\n",
--   "validate": ["app", "--check", "{file}"], "restart": "app.service" }
-- `url` and `sha256` may stand in the place of `content`, `reload` in that of `restart`. `validate`
-- is run before the file is put in place where a word of it has {file}; else when it is in place.
-- Its program must be in commands = { allow = { ... } } in the gateway's configuration.
-- Which files may be replaced, and how they are checked, can be said in lib/config_files.lua.
-- When the check or a service's restart fails, or the job ends in the middle, the old file is put
-- back, and the services are restarted with it.

local exec = require("hob.exec")
local files = require("config_files")
local fresh_url = require("fresh_url")
local fs = require("hob.fs")
local http = require("hob.http")
local places = require("hob.steps.places")
local services = require("services")
local verify = require("hob.verify")

local NEW, OLD = "new", "old" -- in the job's directory

---------------------------------------------------------------- what the document says

local function read_source(given)
  local content, url, sha256 = given.content, given.url, given.sha256
  content, url = content ~= "" and content or nil, url ~= "" and url or nil
  if (content == nil) == (url == nil) then
    return nil, "expected either content or url"
  elseif content ~= nil and type(content) ~= "string" then
    return nil, "content: expected string, got " .. type(content)
  elseif url and (type(url) ~= "string" or not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]")) then
    return nil, "url: expected a URL that begins with https:// or http://"
  elseif url and not (type(sha256) == "string" and #sha256 == 64 and sha256:find("^%x+$")) then
    return nil, "sha256: expected 64 hexadecimal digits, since url is given"
  end
  return { content = content, url = url, sha256 = url and sha256:lower() }
end

local function read_path(path)
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:sub(-1) == "/"
    or ("/" .. path .. "/"):find("/%.%.?/") then
    return nil, ("path: expected the absolute path of a file, got %s"):format(
      type(path) == "string" and path:sub(1, 80) or type(path))
  elseif next(files) and not files[path] then
    return nil, ("path: %s is not among the files in lib/config_files.lua"):format(path:sub(1, 80))
  end
  return path
end

local function read_services(action, given)
  if given == nil or given == "" then
    return {}
  end
  local read, message = services.args({ services = given })
  if not read then
    return nil, (message:gsub("^services", action))
  end
  for _, name in ipairs(read.services) do
    if services.is_own(name) then
      return nil, action .. ": Hob itself is not restarted here; restart-services does that"
    end
  end
  return read.services
end

local function read_mode(mode)
  if mode == nil or mode == "" then
    return nil
  elseif type(mode) ~= "string" or not mode:find("^0?[0-7][0-7][0-7]$") then
    return nil, 'mode: expected three octal digits in a string, such as "640"'
  end
  return tonumber(mode, 8)
end

local function read_validate(entry, given)
  if entry.validate or given.validate == nil or given.validate == "" then
    return entry.validate
  end
  return places.read_command(given.validate, "validate")
end

local function read(given)
  local path, problem = read_path(given.path)
  if not path then
    return nil, problem
  end
  local args
  args, problem = read_source(given)
  if not args then
    return nil, problem
  end
  local entry = files[path] or {}
  args.path, args.user = path, entry.user
  args.mode, problem = read_mode(entry.mode or given.mode)
  if not problem then
    args.validate, problem = read_validate(entry, given)
  end
  for _, action in ipairs(not problem and { "restart", "reload" } or {}) do
    args[action], problem = read_services(action, entry[action] or given[action])
    if problem then
      break
    end
  end
  return not problem and args or nil, problem
end

---------------------------------------------------------------- steps

-- As assert, and the code goes on.
local function must(value, message, code)
  return value or error({ message = message, code = code }, 0)
end

local function fetch(job, args)
  if args.content then
    return must(fs.write(NEW, args.content))
  end
  return must(http.download({
    url = args.url,
    sha256 = args.sha256,
    to = NEW,
    refresh = fresh_url(job, args),
  }))
end

-- Both versions are in the job's directory from here on.
local function prepare(job, args)
  fetch(job, args)
  local there, problem, code = fs.exists(args.path)
  must(there ~= nil, problem, code)
  local before = { existed = there, new = must(verify.sha256(NEW)) }
  if before.existed then
    must(fs.copy(args.path, OLD))
    before.mode = must(fs.stat(args.path)).mode
    before.same = must(verify.sha256(OLD)) == before.new
  end
  return before
end

local function has_place_for_file(words)
  return table.concat(words, "\n"):find("{file}", 1, true) ~= nil
end

local function validate(job, args)
  local words = { report = true, timeout = 300, user = job.user }
  for i, word in ipairs(args.validate) do
    words[i] = word:gsub("{file}", function() return job.dir .. "/" .. NEW end)
  end
  exec.check(words)
end

local function replace(args, before)
  local options = { mode = before.mode or args.mode or tonumber("644", 8) }
  if not before.existed then
    options.user = args.user
  end
  must(fs.copy(NEW, args.path, options))
end

local function each_service(args, change)
  for _, action in ipairs({ "restart", "reload" }) do
    for _, name in ipairs(args[action]) do
      change(action, name)
    end
  end
end

---@return table  what else went wrong
local function roll_back(job, args, before)
  if before.existed then
    must(fs.copy(OLD, args.path, { mode = before.mode }))
  elseif fs.exists(args.path) then -- or a power cut came behind it
    must(fs.remove(args.path))
  end
  local problems = {}
  each_service(args, function(action, name)
    local ok, problem = pcall(services.change, job, action, name)
    problems[#problems + 1] = not ok and tostring(problem) or nil
  end)
  return { problems = problems }
end

local function put_to_use(job, args)
  if args.validate and not has_place_for_file(args.validate) then
    job:step("validate in place", function() validate(job, args) end)
  end
  each_service(args, function(action, name)
    job:step(action .. " " .. name, function() services.change(job, action, name) end)
  end)
end

return {
  api = 1,
  description = "Replace a configuration file; check it, restart what uses it, or take it back",
  args = read,
  timeout = 1800,
  run = function(job, args)
    local before = job:step("prepare", function() return prepare(job, args) end)
    if before.same then
      return { path = args.path, changed = false }
    end
    if args.validate and has_place_for_file(args.validate) then
      job:step("validate", function() validate(job, args) end)
    end
    job:step("replace", function() replace(args, before) end)
    local ok, problem = pcall(put_to_use, job, args)
    if ok then
      return { path = args.path, changed = true, sha256 = before.new }
    end
    local back = job:step("roll back", function() return roll_back(job, args, before) end)
    local also = back.problems[1] and "; and then: " .. table.concat(back.problems, "; ") or ""
    return nil, {
      message = ("%s; the old file is back%s"):format(problem.message or problem, also),
      code = problem.code,
      step = problem.step,
    }
  end,
  cleanup = function(job, args)
    local before = job.results["prepare"]
    if before and not before.same and not job.results["roll back"]
      and verify.sha256(args.path) == before.new then
      roll_back(job, args, before)
    end
  end,
  doctor = services.doctor,
  examples = {
    { operation = "update-config", path = "/etc/app/app.conf", content = "level = 3\n",
      restart = "app.service" },
    { operation = "update-config", path = "/etc/app/app.conf", url = "https://example.com/app.conf",
      sha256 = ("0123456789abcdef"):rep(4), reload = "app.service", mode = "640" },
  },
}
