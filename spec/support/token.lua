-- token.lua - a PKCS #11 token of one's own: SoftHSM's, in a directory that is removed at the end.
--
--     local token = require("spec.support.token").new()
--     token:import("gateway", pair.key)        -- the file is removed: the token alone has it
--     token.env                                -- for programs that use it: where it is, its PIN
--     token:remove_key("gateway")
--     token:remove()

local exec = require("hob.exec")
local fs = require("hob.fs")

local M = {}

local PIN = "1234"
local MODULES = { "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so" }

local function find_module()
  for _, path in ipairs(MODULES) do
    if fs.exists(path) then
      return path
    end
  end
  error("SoftHSM's module is missing: ./dev setup installs softhsm2", 3)
end

---@class token
---@field dir string
---@field module string  what a program loads
---@field label string
---@field env table<string, string>
local token = {}
token.__index = token

function token:run(...)
  return exec.check({ timeout = 60, env = self.env, ... })
end

---@return token
function M.new()
  local dir = assert(fs.tempdir())
  assert(fs.mkdir(dir .. "/tokens"))
  assert(fs.write(dir .. "/softhsm2.conf", ("directories.tokendir = %s/tokens\n"):format(dir) ..
    "objectstore.backend = file\nlog.level = ERROR\n"))
  local self = setmetatable({
    dir = dir, module = find_module(), label = "hob", ids = 0,
    env = { SOFTHSM2_CONF = dir .. "/softhsm2.conf", PKCS11_PIN = PIN },
  }, token)
  self:run("softhsm2-util", "--init-token", "--free", "--label", self.label, "--so-pin", PIN,
    "--pin", PIN)
  return self
end

---@param label string
---@param file string  a private key (PKCS #8, PEM); it is removed
function token:import(label, file)
  self.ids = self.ids + 1
  self:run("softhsm2-util", "--import", file, "--token", self.label, "--label", label, "--id",
    ("%02x"):format(self.ids), "--pin", PIN)
  assert(fs.remove(file))
end

---@param label string
function token:remove_key(label)
  self:run("pkcs11-tool", "--module", self.module, "--token-label", self.label, "--login", "--pin",
    PIN, "--delete-object", "--type", "privkey", "--label", label)
end

function token:remove()
  fs.remove(self.dir, { recursive = true })
end

return M
