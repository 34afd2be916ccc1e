--- Fleet provisioning from the claim certificate to a registered pair in a directory. Each thing
--- that was reached is written down first, so that a run after a cut goes on there: with the same
--- key, and with a certificate that is not registered yet as long as its token is good.
local exchange = require("hob.provision.exchange")
local keys = require("hob.keys")
local time = require("hob.time")

local M = {}

local REGISTERED_TRIES = 2 -- of certificates: a token may have ended meanwhile

---@class hob.provision.options
---@field place table         of hob.provision.place
---@field link fun(): hob.provision.link|nil, string|nil  connects when it is first needed
---@field endpoint string
---@field template string
---@field mode "csr"|"keys"
---@field key_type string?    "ec" or "rsa", in the mode "csr"
---@field subject string      of the request
---@field parameters table<string, string>
---@field timeout number
---@field patience hob.provision.patience
---@field tell fun(text: string)

-- In words: only that of the key, if the rest is the same.
local function tell_anew(options, state)
  if state.mode == "csr" and options.mode == "csr" and state.key_type ~= options.key_type then
    options.tell(("what an earlier run has begun was for %s at %s, with a key of type %s that is "
      .. "made here: begun anew with one of type %s"):format(state.template, state.endpoint,
      tostring(state.key_type), options.key_type))
  else
    options.tell(("what an earlier run has begun was for %s at %s: begun anew"):format(
      state.template, state.endpoint))
  end
end

---@param options hob.provision.options
---@return hob.provision.state
local function begin(options)
  local place = options.place
  local state = place:load()
  if state and place.is_for(state, options) then
    return state
  elseif state then
    tell_anew(options, state)
  elseif place:has_new_key() then -- of which type, and who knows it?
    options.tell(("no earlier run is known: made another key in place of %s"):format(
      place.new_key))
  end
  place:drop_new()
  return { endpoint = options.endpoint, template = options.template, mode = options.mode,
    key_type = options.key_type, stage = "begun" }
end

--- Its key is there before the service hears of it.
local function make_request(options)
  local place = options.place
  if not place:has_new_key() then
    local ok, why = keys.generate({ type = options.key_type, to = place.new_key })
    if not ok then
      return nil, why
    end
    options.tell("made a private key: " .. place.new_key)
  end
  return keys.csr({ key = place.new_key, subject = options.subject })
end

local function ask_for_certificate(options, link)
  if options.mode == "keys" then
    return exchange.create_keys(link, options.timeout)
  end
  local csr, why = make_request(options)
  if not csr then
    return nil, { message = why, code = "EKEY", retry = false }
  end
  return exchange.create_from_csr(link, csr, options.timeout, function(answer)
    return type(answer.certificatePem) ~= "string"
      or keys.matches(answer.certificatePem, options.place.new_key) == true
  end)
end

local function check_pair(options)
  local place = options.place
  local match, why = keys.matches(place.new_certificate, place.new_key)
  return match or nil, why or "the certificate that came is not that of the key"
end

--- @return boolean|nil ok, string|nil message
local function get_certificate(options, state)
  local place = options.place
  local link, why = options.link()
  if not link then
    return nil, why
  end
  local certificate, refusal = exchange.persist(options.patience, function()
    return ask_for_certificate(options, link)
  end)
  if not certificate then
    return nil, refusal.message
  end
  local ok
  ok, why = place:put_new(certificate)
  if ok then
    ok, why = check_pair(options)
  end
  if ok then
    state.stage, state.certificate_id = "certificate", certificate.certificateId
    state.token, state.token_from = certificate.certificateOwnershipToken, time.now()
    ok, why = place:save(state)
  end
  if ok then
    options.tell("got the certificate " .. certificate.certificateId)
  end
  return ok, why
end

--- @return true|nil registered, hob.provision.Refusal|table|nil why
local function register(options, state)
  local link, why = options.link()
  if not link then
    return nil, { message = why, code = "ENOTCONN" }
  end
  local answer, refusal = exchange.persist(options.patience, function()
    return exchange.register(link, options.template, state.token, options.parameters,
      options.timeout)
  end)
  if not answer then
    return nil, refusal
  end
  state.stage, state.thing, state.token = "registered", answer.thingName, nil
  state.device_configuration = type(answer.deviceConfiguration) == "table"
    and next(answer.deviceConfiguration) and answer.deviceConfiguration or nil
  local ok
  ok, why = options.place:save(state)
  return ok, { message = why, code = "EIO" }
end

-- The pair of an earlier run, whole and not registered yet.
local function is_good(options, state)
  if not options.place:is_token_good(state) then
    return false
  end
  local match, why = check_pair(options)
  if not match then
    options.tell(("key and certificate in %s are of two runs: another certificate is asked for "
      .. "(%s)"):format(options.place.dir, why))
  end
  return match
end

--- @return true|nil, string|nil message
local function get_registered(options, state)
  local ok, why
  for try = 1, REGISTERED_TRIES do
    if not is_good(options, state) then
      ok, why = get_certificate(options, state)
      if not ok then
        return nil, why
      end
    else
      options.tell("goes on with the certificate " .. state.certificate_id
        .. ", which is not registered yet")
    end
    ok, why = register(options, state)
    if ok then
      options.tell("registered as " .. state.thing)
      return true
    elseif not exchange.is_token_refused(why) or try == REGISTERED_TRIES then
      return nil, why.message
    end
    options.tell(why.message .. "; another certificate is asked for")
    state.stage = "begun"
  end
end

--- From where an earlier run came to, to a pair in place.
---@param options hob.provision.options
---@return hob.provision.state|nil
---@return string|nil message
function M.run(options)
  local state = begin(options)
  local ok, why = options.place:save(state)
  if ok and state.stage == "registered" then
    options.tell(("goes on where an earlier run was: registered as %s"):format(state.thing))
  elseif ok then
    ok, why = get_registered(options, state)
  end
  if ok then
    ok, why = options.place:put_in_place(state)
  end
  return ok and state or nil, why
end

return M
