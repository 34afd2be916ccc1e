-- new.lua - `hob handler new`: a handler to begin with, and its spec. Both are whole: the handler
-- runs, its spec passes, `lint` and --rehearse find nothing.
-- Spec: spec/integration/handler_new_spec.lua

local fs = require("hob.fs")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob handler new NAME [--scripts DIR]
  Write DIR/NAME.lua, a handler to begin with, and its spec, spec/NAME_spec.lua beside DIR.
  A file that is there is never overwritten. DIR: default scripts.

  Exit code 0: written; 1: not; 2: it was used wrongly.
]==]

local HANDLER = [==[
-- NAME.lua - what it does, in a sentence. A job document for it: {"operation":"NAME","who":"Ada"}

local exec = require("hob.exec")
local fs = require("hob.fs")

return {
  api = 1,
  description = "Write a greeting and read it back",
  args = { who = "string", greeting = "string?" },
  timeout = 300, -- seconds the job may run
  examples = {
    { document = { operation = "NAME", who = "Ada" } },
  },

  -- After a crash, a power cut or a reboot, `run` begins again from its first line: a step that has
  -- ended is not done again, it gives what it gave. So what touches the world belongs into a step,
  -- and doing a step twice must do no harm.
  run = function(job, args)
    job:step("write", function()
      return fs.write("greeting.txt", (args.greeting or "Hello") .. ", " .. args.who .. "\n")
    end)
    job:progress(50, "written")
    local text = job:step("read back", function()
      return exec.check({ "cat", "greeting.txt" }).stdout
    end)
    return { text = text } -- SUCCEEDED, with these details
  end,
}
]==]

local SPEC = [==[
-- Run it by `hob handler test`.

local testing = require("hob.testing")

describe("NAME", function()
  local function job()
    return {SCRIPTS
      document = { operation = "NAME", who = "Ada" },
      exec = { { "cat greeting.txt", stdout = "Hello, Ada\n" } }, -- what programs answer
    }
  end

  it("greets", function()
    local outcome = testing.run("NAME", job())
    assert.equal("SUCCEEDED", outcome.status, outcome.reason)
    assert.same({ "cat greeting.txt" }, outcome.programs)
    assert.equal("Hello, Ada ", outcome.details.text)
  end)

  it("refuses a document that does not say whom to greet", function()
    local outcome = testing.run("NAME", {SCRIPTS document = { operation = "NAME" } })
    assert.equal("REJECTED", outcome.status)
    assert.matches("who: expected string", outcome.reason)
  end)

  it("survives a power cut anywhere", function()
    assert.same({}, testing.rehearse("NAME", job()).problems)
  end)
end)
]==]

local function fail(message, ...)
  io.stderr:write("hob handler new: ", message:format(...), "\n")
  return 1
end

-- Specs lie beside the handlers' directory.
local function folder_of(path)
  return path:match("^(.*)/[^/]*$")
end

local function texts(name, scripts)
  local line = ""
  if scripts ~= "scripts" then
    line = ("\n      scripts = %q,"):format(scripts)
  end
  local handler = HANDLER:gsub("NAME", function() return name end)
  local spec = SPEC:gsub("SCRIPTS", function() return line end):gsub("NAME", function()
    return name
  end)
  return handler, spec
end

local function write(path, text)
  if fs.stat(path) then
    return nil, path .. " is there already; nothing was written"
  end
  local ok, message = fs.mkdir(folder_of(path))
  if ok then
    ok, message = fs.write(path, text)
  end
  return ok, message and ("%s: %s"):format(path, message)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, { command = "hob handler new", usage = USAGE,
    flags = { scripts = { value = "DIR" } }, words = 1 })
  if not given then
    return code
  end
  local name = given[1]
  if not name or not name:find("^[%w_.-]+$") or #name > 64 or name:find("^%.") then
    return select(2, options.mistake("hob handler new",
      "expected a name of 1 to 64 of [A-Za-z0-9_.-], got %s", name and "'" .. name .. "'"
      or "nothing"))
  end
  if name:find("%.lua$") then
    return select(2, options.mistake("hob handler new", "expected the handler's name, '%s', not "
      .. "its file's", (name:gsub("%.lua$", ""))))
  end
  local scripts = (given.scripts or "scripts"):gsub("(.)/+$", "%1")
  local above = folder_of(scripts)
  local paths = { ("%s/%s.lua"):format(scripts, name),
    ("%sspec/%s_spec.lua"):format(above and above .. "/" or "", name) }
  local handler, spec = texts(name, scripts)
  for _, path in ipairs(paths) do
    if fs.stat(path) then
      return fail("%s is there already; nothing was written", path)
    end
  end
  for i, text in ipairs({ handler, spec }) do
    local ok, message = write(paths[i], text)
    if not ok then
      return fail("%s", message)
    end
    io.stdout:write("wrote ", paths[i], "\n")
  end
  io.stdout:write(("next: hob handler run %s --args who=Ada; hob handler test; "
    .. "hob handler run %s --args who=Ada --rehearse\n"):format(name, name))
  return 0
end

return M
