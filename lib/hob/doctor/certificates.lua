--- `hob doctor`: the certificates that the configuration names.
local core = require("hob.doctor.core")
local time = require("hob.time")
local words = require("hob.cli.words")

local M = {}

local DAY = 86400
local SOON = 30 -- days before the end in which it is a warning
local YOUNGEST = 1577836800 -- 2020: before that the clock is wrong, not the certificate

local function days(seconds)
  local count = math.abs(seconds) // DAY
  return count == 1 and "1 day" or ("%d days"):format(count)
end

--- What its dates mean now.
---@return "ok"|"warning"|"failed" state
---@return string text
---@return string? action
local function judge(certificate, renew)
  local now = math.floor(time.now())
  local from, to = words.clock(certificate.from), words.clock(certificate.to)
  if now < certificate.from and now < YOUNGEST then
    return "failed", ("is valid from %s, and the clock says %s"):format(from, words.clock(now)),
      "set the time: the certificate is not the trouble"
  elseif now < certificate.from then
    return "failed", ("is not valid before %s; the clock says %s"):format(from, words.clock(now)),
      "set the time if the clock is behind, else wait or have one issued that is valid now"
  elseif now > certificate.to then
    return "failed", ("expired %s ago, on %s; the clock says %s"):format(
      days(now - certificate.to), to, words.clock(now)), renew
  elseif certificate.to - now < SOON * DAY then
    return "warning", ("expires in %s, on %s"):format(days(certificate.to - now), to), renew
  end
  return "ok", ("valid until %s, %s left"):format(to, days(certificate.to - now))
end

-- The one of a list that ends first; those that have begun and not ended yet come last.
local function worst_of(list)
  local worst
  for _, certificate in ipairs(list) do
    if not worst or certificate.to < worst.to then
      worst = certificate
    end
  end
  return worst
end

---------------------------------------------------------------- its own

local RENEW = "have a new one issued and put it in place of cert and key; the next connection "
  .. "reads them"

local function check_own(say, thing)
  local list, why = core.certificates(thing.cert)
  if not list then
    return say:failed(why, "put the certificate of this thing there, in PEM form")
  end
  local own = list[1]
  local name = ("%s: %s"):format(thing.cert, own.subject)
  local state, text, action = judge(worst_of(list), RENEW)
  say[state](say, ("%s %s (issued by %s)"):format(name, text, own.issuer), action)
  if own.is_ca then
    say:warning(name .. " may issue others: is that the CA's in the place of the thing's own?",
      "set cert to the certificate that was issued for this thing")
  end
  for i = 1, #list - 1 do
    if not list[i].is_issued_by_next then
      return say:warning(("%s: %s is followed by %s, which did not issue it"):format(thing.cert,
        list[i].subject, list[i + 1].subject), "put its own first, then who issued it, and so on")
    end
  end
end

-- Its own certificate stands for the CA, which was looked at above.
local function check_pair(say, thing)
  if not core.certificates(thing.cert) then
    return say:info("not compared: the certificate cannot be read")
  end
  local ok, why = core.tls_files({ ca = thing.cert, cert = thing.cert, key = thing.key,
    key_passphrase = thing.key_passphrase ~= "" and thing.key_passphrase or nil })
  if ok then
    return say:ok(("%s%s belongs to the certificate"):format(thing.key,
      thing.key_passphrase ~= "" and ", opened with its passphrase," or ""))
  end
  say:failed(why)
end

---------------------------------------------------------------- the CA

-- Several that may issue others are a bundle, of which nobody knows here which one is needed.
local function check_ca(say, thing)
  local list, why = core.certificates(thing.ca)
  if not list then
    return say:failed(why, "put the CA there that signed the endpoint's certificate; for AWS IoT "
      .. "that is AmazonRootCA1.pem")
  end
  local first = list[1]
  local name = #list == 1 and first.subject or ("%d certificates"):format(#list)
  local any
  for _, one in ipairs(list) do
    local state, text, action = judge(one, "get the CA's new one")
    if not any or state == "ok" then
      any = { state = state, text = text, action = action, ca = one.is_ca }
    end
  end
  if #list == 1 and not first.is_ca then
    return say:warning(("%s: %s is no CA's certificate"):format(thing.ca, name),
      "set ca to the CA that signed the endpoint's certificate")
  end
  say[any.state](say, ("%s: %s %s"):format(thing.ca, name, any.text), any.action)
end

---------------------------------------------------------------- signers

local function check_signer(say, path)
  local list, why = core.certificates(path)
  if not list then
    local bare = why:find('"PUBLIC KEY"', 1, true)
    return say[bare and "info" or "failed"](say, bare and path .. ": a public key, without dates"
      or why)
  end
  local _, text = judge(list[1], "")
  say:info(("%s: %s %s; the dates of a signer do not count"):format(path, list[1].subject, text))
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.check(report, about)
  for _, thing in ipairs(about.values.things) do
    local name = thing.thing_name
    if thing.tls and thing.ca ~= "" then
      report:check("CA", name, function(say) check_ca(say, thing) end)
      if thing.cert ~= "" then
        report:check("certificate", name, function(say) check_own(say, thing) end)
        report:check("key", name, function(say) check_pair(say, thing) end)
      else
        report:check("certificate", name, function(say)
          say:info("the thing has none: cert and key are not set", "AWS IoT needs both")
        end)
      end
    elseif not thing.tls then
      report:check("certificate", name, function(say)
        say:warning("tls = false: the connection is readable and changeable on its way",
          "take tls = false out, and set ca, cert and key; it is for the bench only")
      end)
    end
  end
  for _, path in ipairs(about.values.signers) do
    report:check("signer", nil, function(say) check_signer(say, path) end)
  end
end

return M
