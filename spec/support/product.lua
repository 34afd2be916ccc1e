-- product.lua - the program of spec/support/embed_product.c in a world: a product that has libhob
-- in it, told by lines what to do with its runtime.
--
--     local product = require("spec.support.product").new(world, { "poll", "observe" })
--     product:tell("drain on somebody works")
--     product:said("result", { of = "drain", code = "OK" })
--     assert.equal(0, product:quit())

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local fs = require("hob.fs")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local M = {}

local product = {}
product.__index = product

---Compiled once a run.
---@return string program
function M.program()
  M.compiled = M.compiled
    or embed.compile("spec/support/embed_product.c", assert(fs.tempdir()),
      { packages = { "libuv" } })
  return M.compiled
end

---@class product.options : world.gateway_options
---@field words? string[]  beside those of `words`

---@param world table
---@param words string[]  see the C file
---@param options? product.options
function M.new(world, words, options)
  options = options or {}
  local flags = table.move(words, 1, #words, 1, {})
  local fifo = world:path("commands")
  flags[#flags + 1] = "fifo=" .. fifo
  local gateway = world:gateway({
    scripts = options.scripts, config = options.config, thing = options.thing, env = options.env,
    program = M.program(), flags = flags, launch = options.launch,
  })
  local self = setmetatable({ gateway = gateway, fifo = fifo, world = world }, product)
  if options.launch ~= false then
    self:said("result", { of = "start" })
  end
  return self
end

---Write a line to it.
function product:tell(line)
  exec.check({ "sh", "-c", [[printf '%s\n' "$1" > "$2"]], "sh", line, self.fifo })
end

---Wait for what it says.
function product:said(event, fields, count)
  return self.gateway:wait_event("product." .. event, fields, count)
end

---All that it has said, as names, but for what `leave_out` has.
---@return string[]
function product:order(fields)
  local list = {}
  for _, event in ipairs(self.gateway.events) do
    local name = event.event:match("^product%.(.*)$")
    local fits = name ~= nil
    for key, value in pairs(fields or {}) do
      fits = fits and event[key] == value
    end
    if fits then
      list[#list + 1] = name
    end
  end
  return list
end

function product:count(event)
  return self.gateway:count("product." .. event)
end

---Have it stop, and end.
---@return integer exit_code
function product:quit()
  self:tell("stop the spec is over")
  self:tell("2:stop the spec is over")
  return self:ended()
end

---@return integer exit_code
function product:ended()
  self:said("driven")
  self:tell("quit")
  local result = assert(self.gateway:wait_end(worlds.PATIENCE), "the product did not end")
  return result.code
end

---After a spec that failed: the next one has its thing for itself.
function M.end_all(world)
  for _, gateway in ipairs(world.gateways) do
    gateway:kill()
  end
end

M.wait_until = wait_until

return M
