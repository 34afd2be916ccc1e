-- update-handler.lua - put a signed handler in place while Hob runs; take it back if it is no good.
--
-- { "operation": "update-handler", "name": "install-app", "url": "https://...",
--   "signature": "MEUCIQ...", "sha256": "64 hexadecimal digits" }
-- `kind` "module" means a file of scripts/lib, `name` as `require` has it. In the place of
-- `signature` and `algorithm` there may be AWS's member `codesign`. The signature must be by one of
-- the `signers` of the gateway's configuration; what is not signed is never taken.
-- { "operation": "update-handler", "name": "install-app", "remove": true } takes one away.
-- Of several directories of scripts it writes into the first; what is taken away there lets the one
-- in a later directory, which came with the gateway, be used again.
--
-- What does not work is found before it is put in place. SUCCEEDED means: hot reload has taken it,
-- and the next job uses it. If it does not, or a handler that worked does not work any more, or the
-- job ends in the middle, the former file is put back. It may update itself; the job that does goes
-- on with the version that it began with.

-- No module of lib/: this handler must work when one of them does not.
local fs = require("hob.fs")
local http = require("hob.http")
local schema = require("hob.job.schema")
local scripts = require("hob.scripts")
local verify = require("hob.verify")

local NEW, OLD = "new.lua", "old.lua" -- in the job's directory
local LIMIT = 1 << 20                 -- bytes; Hob takes no longer file

---------------------------------------------------------------- what the document says

local FIELDS = {
  name = { "string", max = 160 },
  kind = { "enum", "handler", "module", default = "handler" },
  url = { "string?", pattern = "^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]" },
  sha256 = { "string?", pattern = "^%x+$", min = 64, max = 64 },
  signature = { "string?", max = 8192 },
  algorithm = { "string", max = 64, default = "SHA256-ECDSA" },
  codesign = { "table?" },
  remove = { "boolean", default = false },
  wait = { "number", min = 1, max = 3600, default = 60 },
}

local FILE_OF = {}

function FILE_OF.handler(name)
  if #name > 64 or not name:find("^[%w_-][%w_.-]*$") then
    return nil, "args.name: expected the name of a handler: 1 to 64 letters, digits, _ - and "
      .. "points; no path"
  end
  return name .. ".lua"
end

function FILE_OF.module(name)
  if ("." .. name):gsub("%.[%w_-]+", "") ~= "" then
    return nil, "args.name: expected the name of a module as require has it: letters, digits, _ "
      .. "and -, with points between the parts; no path"
  elseif (name .. "."):find("^hob%.") or (name .. "."):find("^iotjobs%.") then
    return nil, "args.name: modules of that name are Hob's own"
  end
  return "lib/" .. name:gsub("%.", "/") .. ".lua"
end

local function check_source(args)
  if args.remove then
    if args.file == "update-handler.lua" then
      return nil, "args.remove: update-handler does not remove itself"
    end
    return true
  elseif not args.url then
    return nil, "args.url: expected a URL, got nothing (or remove = true)"
  elseif not args.codesign and not args.signature then
    return nil, "args.signature: not signed; expected a signature, or the member codesign: "
      .. "unsigned handlers are never taken"
  elseif args.codesign and args.signature then
    return nil, "expected either args.signature or args.codesign, got both"
  end
  return true
end

local function read(given)
  local args, problem = schema.read(FIELDS, given, "args")
  if not args then
    return nil, problem
  end
  args.name = args.name:gsub("%.lua$", "")
  args.file, problem = FILE_OF[args.kind](args.name) -- within the scripts directory
  if not args.file then
    return nil, problem
  end
  local ok
  ok, problem = check_source(args)
  return ok and args, problem
end

---------------------------------------------------------------- steps

-- As assert, and the code goes on.
local function must(value, message, code)
  return value or error({ message = message, code = code }, 0)
end

-- Files whose text on disk is not in use, because it is broken; with the reason.
local function broken_files()
  local broken = {}
  for file, version in pairs(must(scripts.list())) do
    broken[file] = version.newer and version.newer.error or version.error
  end
  return broken
end

-- Why it could never come to a good end on this gateway.
local function find_obstacle(args)
  local watched, problem, code = scripts.is_watched()
  must(watched ~= nil, problem, code)
  if not watched then
    return "hot reload is off (reload = false in hob.conf.lua): what is put in place would not be "
      .. "used"
  elseif not args.remove and #must(verify.signers()) == 0 then
    return "no signer is trusted: set the config key signers to a list of files with certificates "
      .. "or public keys"
  end
end

-- The one that is used when there is none in the first directory.
local function find_beneath(directories, file)
  for i = 2, #directories do
    local path = directories[i] .. "/" .. file
    local there, problem, code = fs.exists(path)
    must(there ~= nil, problem, code)
    if there then
      return path
    end
  end
end

-- The digest of what is in use when the first directory has no such file; false: nothing is.
local function without(before)
  return before.beneath and must(verify.sha256(before.beneath)) or false
end

-- The file of now is in the job's directory from here on. Its digest is kept apart from it: the
-- programs of jobs may write in that directory.
local function look(args)
  local obstacle = find_obstacle(args)
  if obstacle then
    return { obstacle = obstacle }
  end
  local directories = must(scripts.directories())
  local path = directories[1] .. "/" .. args.file
  local there, problem, code = fs.exists(path)
  must(there ~= nil, problem, code)
  local before = { path = path, existed = there, broken = broken_files(),
    beneath = find_beneath(directories, args.file) }
  if there then
    local text = must(fs.read(path))
    must(fs.write(OLD, text))
    before.sha256 = verify.sha256_text(text)
    before.mode = must(fs.stat(path)).mode
    local version = must(scripts.list())[args.file]
    before.in_use = version ~= nil and version.sha256 == before.sha256
      and not before.broken[args.file]
  end
  return before
end

-- What is checked here is what is written later: by its digest.
local function fetch(job, args)
  must(http.download({
    url = args.url,
    sha256 = args.sha256,
    limit = LIMIT,
    to = NEW,
    refresh = function()
      local fresh, problem = job:fresh_args()
      if fresh and fresh.url ~= args.url then
        return fresh.url
      end
      return nil, problem or "the service has no other URL for it"
    end,
  }))
  local text = must(fs.read(NEW))
  local signed = args.codesign
    or { signature = args.signature, signatureAlgorithm = args.algorithm }
  local ok, signer, code = verify.codesign(signed, args.file, { data = text })
  must(ok, signer, code)
  return { sha256 = verify.sha256_text(text), signer = type(signer) == "table" and signer.name }
end

local function read_as(file, sha256)
  local text = must(fs.read(file))
  if verify.sha256_text(text) ~= sha256 then
    error({ message = file .. " was changed in the job's directory", code = "EDIGEST" }, 0)
  end
  return text
end

local function put(file, sha256, before)
  local text = read_as(file, sha256)
  must(fs.mkdir(before.path:match("^(.*)/")))
  must(fs.write(before.path, text, { mode = before.mode or tonumber("644", 8) }))
end

-- Hot reload has seen it, and every handler that worked before does.
local function confirm(args, sha256, before)
  must(scripts.wait(args.file, sha256, args.wait))
  for file, problem in pairs(broken_files()) do
    if not before.broken[file] then
      error({ message = ("%s does not work any more: %s"):format(file, problem),
        code = "EHANDLER" }, 0)
    end
  end
  return true
end

-- nil: it is not there
local function digest_now(before)
  local there, problem, code = fs.exists(before.path)
  must(there ~= nil, problem, code)
  return there and must(verify.sha256(before.path)) or nil
end

local function restore(before)
  if digest_now(before) == before.sha256 then
    return
  elseif before.existed then
    put(OLD, before.sha256, before)
  else
    must(fs.remove(before.path))
  end
end

-- The next job gets the former version, not the one that was no good.
local function roll_back(args, before, seconds)
  restore(before)
  local taken, problem = true, nil
  if before.in_use or not before.existed then
    taken, problem = scripts.wait(args.file, before.sha256 or without(before), seconds)
  end
  return { problem = not taken and problem or nil }
end

---------------------------------------------------------------- the way of one job

local function undo(job, args, before, problem)
  local words = before.existed and "the former file is in place" or "it is not in place"
  local ok, back = pcall(function()
    return job:step("roll back", function() return roll_back(args, before, args.wait) end)
  end)
  if not ok then
    words = "and then the former file could not be put back: " .. back
  elseif back.problem then
    words = words .. ", but is not in use: " .. back.problem
  end
  return nil, { message = ("%s; %s"):format(problem.message or problem, words),
    code = problem.code, step = problem.step }
end

local function remove(job, args, before)
  if not before.existed then
    return { file = args.file, changed = false, in_use = before.beneath }
  end
  job:step("check", function()
    return must(scripts.try(args.file, before.beneath and must(fs.read(before.beneath)) or nil))
  end)
  local ok, problem = pcall(function()
    job:step("remove", function()
      if digest_now(before) then -- or a power cut came behind it
        must(fs.remove(before.path))
      end
    end)
    job:step("confirm", function() return confirm(args, without(before), before) end)
  end)
  if not ok then
    return undo(job, args, before, problem)
  end
  return { file = args.file, changed = true, sha256 = before.sha256, in_use = before.beneath }
end

local function replace(job, args, before)
  local new = job:step("fetch", function() return fetch(job, args) end)
  if before.in_use and before.sha256 == new.sha256 then
    return { file = args.file, changed = false, sha256 = new.sha256 }
  end
  job:step("check", function()
    return must(scripts.try(args.file, read_as(NEW, new.sha256)))
  end)
  local ok, problem = pcall(function()
    job:step("write", function() put(NEW, new.sha256, before) end)
    job:step("confirm", function() return confirm(args, new.sha256, before) end)
  end)
  if not ok then
    return undo(job, args, before, problem)
  end
  return { file = args.file, changed = true, sha256 = new.sha256, signer = new.signer or nil }
end

return {
  api = 1,
  description = "Put a signed handler in place while Hob runs; take it back if it is no good",
  args = read,
  timeout = 7200,
  run = function(job, args)
    local before = job:step("look", function() return look(args) end)
    if before.obstacle then
      job:reject(before.obstacle)
    elseif args.remove then
      return remove(job, args, before)
    end
    return replace(job, args, before)
  end,
  cleanup = function(job, args)
    local results = job.results
    local before, new = results["look"], results["fetch"]
    if not before or not results["check"] or results["confirm"] or results["roll back"] then
      return
    end
    local now = digest_now(before)
    if now == (not args.remove and new.sha256 or nil) then
      roll_back(args, before, math.min(args.wait, 20)) -- it has cleanup_timeout
    end
  end,
  doctor = function()
    local signers, problem = verify.signers()
    if signers and #signers == 0 then
      return nil, "set the config key signers: whose signed handlers are taken"
    end
    return signers ~= nil, problem
  end,
  examples = {
    { operation = "update-handler", name = "install-app",
      url = "https://example.com/install-app.lua",
      sha256 = ("0123456789abcdef"):rep(4), signature = "MEUCIQDexample==" },
    { operation = "update-handler", name = "install-app", remove = true },
    { operation = "update-handler", kind = "module", name = "packages",
      url = "https://example.com/packages.lua",
      codesign = { rawPayloadSize = 2048, signature = "MEUCIQDexample==",
        signatureAlgorithm = "SHA256withECDSA" } },
  },
}
