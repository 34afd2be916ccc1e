--- The directory in which `hob provision` works: what it has reached, so that it goes on there
--- after a cut, and key and certificate, whole or not at all.
---
---   private.key, certificate.pem            the pair in use
---   private.key.new, certificate.pem.new    one that is not registered yet
---   provisioning.json                       how far it is; 0600: it holds the ownership token
---   device-configuration.json               what the template gave
---   provisioning.lock                       while a run is at work; after a cut it is no lock
local fs = require("hob.fs")
local json = require("hob.json")
local process = require("hob.process")
local time = require("hob.time")

local M = {}
M.__index = M

local PRIVATE, PUBLIC, DIRECTORY = "600", "644", "700"
local OTHERS_WRITE = tonumber("022", 8)
local TOKEN_LIFE = 3600 -- as AWS documents it
local TOKEN_MARGIN = 60

---@class hob.provision.state
---@field endpoint string
---@field template string
---@field mode "csr"|"keys"
---@field key_type string?  "ec" or "rsa", of a key that is made here
---@field stage "begun"|"certificate"|"registered"
---@field certificate_id string?
---@field token string?
---@field token_from number?
---@field thing string?
---@field device_configuration table?

local function path(self, name)
  return self.dir .. "/" .. name
end

-- Whoever may write there can put a key in place that he knows, to be certified.
local function check_mode(dir)
  local stat, why = fs.stat(dir)
  if not stat then
    return nil, why
  elseif stat.mode & OTHERS_WRITE ~= 0 then
    return nil, ("%s has the mode %04o: others may write there, and a key of theirs would be "
      .. "certified; do: chmod 700 %s, once you know what is in it"):format(dir, stat.mode, dir)
  end
  return true
end

-- Two at once would have the certificate of one beside the key of the other.
local function take(self)
  local why, code
  self.lock, why, code = process.lock(path(self, "provisioning.lock"))
  if code == "EBUSY" then
    return nil, ("another hob provision is at work in %s; do: wait for its end, or give another "
      .. "--out"):format(self.dir)
  end
  return self.lock, why
end

--- Open or make the directory. One in which others may write is refused, and so is one in which
--- another process is at work.
---@param dir string
---@return hob.provision.place|nil
---@return string|nil message
function M.open(dir)
  local self = setmetatable({ dir = dir, key = dir .. "/private.key",
    certificate = dir .. "/certificate.pem" }, M)
  self.new_key, self.new_certificate = self.key .. ".new", self.certificate .. ".new"
  local is_new = not fs.exists(dir)
  local ok, why = fs.mkdir(dir)
  if ok and is_new then
    ok, why = fs.chmod(dir, DIRECTORY)
  elseif ok then
    ok, why = check_mode(dir)
  end
  if ok then
    ok, why = take(self)
  end
  return ok and self or nil, why
end

--- Let others work there.
function M:close()
  self.lock:close()
end
M.__close = M.close

-- What each stage goes on with.
local NEEDS = {
  begun = {},
  certificate = { certificate_id = "string", token = "string", token_from = "number" },
  registered = { certificate_id = "string", thing = "string" },
}

local function is_state(state)
  local needs = type(state) == "table" and NEEDS[state.stage]
  for name, kind in pairs(needs or {}) do
    if type(state[name]) ~= kind then
      return false
    end
  end
  return needs and type(state.endpoint) == "string" and type(state.template) == "string"
end

--- What an earlier run has reached; nil: nothing that could be gone on with.
---@return hob.provision.state|nil
function M:load()
  local text = fs.read(path(self, "provisioning.json"))
  local state = text and json.decode(text)
  return is_state(state) and state or nil
end

---@param state hob.provision.state
---@return boolean|nil ok
---@return string|nil message
function M:save(state)
  return fs.write(path(self, "provisioning.json"), assert(json.encode(state)), { mode = PRIVATE })
end

--- Nothing is left to go on with.
function M:forget()
  return fs.remove(path(self, "provisioning.json"))
end

--- Is there a pair from before?
function M:is_taken()
  return fs.exists(self.key) or fs.exists(self.certificate)
end

--- Has an earlier run of the same command come so far that only files are left to be put in place?
---@param wanted hob.provision.wanted
function M:is_ending(wanted)
  local state = self:load()
  return state ~= nil and state.stage == "registered" and M.is_for(state, wanted)
end

---@class hob.provision.wanted
---@field endpoint string
---@field template string
---@field mode "csr"|"keys"
---@field key_type string?

--- Is what was reached of use for what is wanted?
---@param state hob.provision.state
---@param wanted hob.provision.wanted
function M.is_for(state, wanted)
  for _, name in ipairs({ "endpoint", "template", "mode", "key_type" }) do
    if state[name] ~= wanted[name] then
      return false
    end
  end
  return true
end

function M:has_new_key()
  return fs.exists(self.new_key) == true
end

--- May the certificate that is there still be registered?
---@param state hob.provision.state
function M:is_token_good(state)
  local age = time.now() - (state.token_from or 0)
  return state.stage == "certificate" and age >= 0 and age < TOKEN_LIFE - TOKEN_MARGIN
    and fs.exists(self.new_certificate) == true and self:has_new_key()
end

--- The key first: a certificate without its key is worth nothing.
---@param certificate hob.provision.Certificate
---@return boolean|nil ok
---@return string|nil message
function M:put_new(certificate)
  local ok, why = true, nil
  if certificate.privateKey then
    ok, why = fs.write(self.new_key, certificate.privateKey, { mode = PRIVATE })
  end
  if ok then
    ok, why = fs.write(self.new_certificate, certificate.certificatePem, { mode = PUBLIC })
  end
  return ok, why
end

--- What was made for a certificate that is gone.
function M:drop_new()
  for _, name in ipairs{ self.new_certificate, self.new_key } do
    if fs.exists(name) then
      fs.remove(name)
    end
  end
end

local function replace(from, to)
  if not fs.exists(from) then -- a run before this one came to here
    return true
  end
  local ok, why = true, nil
  if fs.exists(to) then
    ok, why = fs.copy(to, to .. ".old", { mode = PRIVATE })
  end
  if ok then
    ok, why = fs.rename(from, to)
  end
  return ok, why
end

--- The new pair takes the names of the old one, which is kept as *.old. Done again after a cut.
---@param state hob.provision.state
---@return boolean|nil ok
---@return string|nil message
function M:put_in_place(state)
  local ok, why = replace(self.new_key, self.key)
  if ok then
    ok, why = replace(self.new_certificate, self.certificate)
  end
  if ok and state.device_configuration then
    ok, why = fs.write(path(self, "device-configuration.json"),
      assert(json.encode(state.device_configuration)) .. "\n", { mode = PRIVATE })
  end
  return ok, why
end

return M
