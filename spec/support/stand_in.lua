-- stand_in.lua - products of docs/how-to/embed that take the place of `hob run` in specs: they read
-- the same configuration and flags, so that what a spec asks of a gateway is asked of them.
--
--     world:gateway{ stand_in = "own_connection", scripts = ... }
--     HOB_SPEC_GATEWAY=own_connection hob lua spec/run.lua spec/integration/job_spec.lua

local M = {}

local compiled = {}

-- Once a process, beside what is installed; several may be at it at once.
local function compile(file, options)
  local embed = require("spec.support.embed")
  local exec = require("hob.exec")
  local fs = require("hob.fs")
  if not compiled[file] then
    local dir, own = embed.prefix() .. "/stand-ins", assert(fs.tempdir())
    assert(fs.mkdir(dir))
    local made = embed.compile(file, own, options)
    local program = dir .. "/" .. made:match("[^/]+$")
    exec.check({ "mv", made, program })
    fs.remove(own, { recursive = true })
    compiled[file] = program
  end
  return compiled[file]
end

local KINDS = {}

-- The product's own connection, lent to Hob: what the configuration says of one is the product's.
function KINDS.own_connection(config)
  local words = {
    program = compile("docs/how-to/embed/own_connection.c", { packages = { "libmosquitto" } }),
    "--host", config.endpoint, "--port", tostring(config.port),
    "--id", config.client_id or config.thing_name,
  }
  if config.tls then
    table.move({ "--cafile", config.ca, "--cert", config.cert, "--key", config.key }, 1, 6,
      #words + 1, words)
  end
  return words
end

-- `hob run`, but its thing uses the connection of another one.
function KINDS.branch(config)
  if not config.things then
    local name, trunk = config.thing_name, config.thing_name .. "-trunk"
    config.things = { lua = ("{ { thing_name = %q, connection = %q }, { thing_name = %q } }")
      :format(name, trunk, trunk) }
  end
  return nil
end

---What is started in place of `hob run`.
---@param kind? string  default: what HOB_SPEC_GATEWAY says
---@param config table  of the gateway; may be changed
---@return table? words  and `program`; nil: it is `hob run`
function M.of(kind, config)
  kind = kind or os.getenv("HOB_SPEC_GATEWAY") or ""
  if kind == "" then
    return nil
  end
  return assert(KINDS[kind], kind)(config)
end

return M
