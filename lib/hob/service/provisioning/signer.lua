--- The certificate authority of the local service's fleet provisioning: a throw-away one, by the
--- program openssl. Nothing here is fit for production.
local exec = require("hob.exec")
local fs = require("hob.fs")
local verify = require("hob.verify")

local M = {}
M.__index = M

local DAYS, SECONDS = "365", 60
local EXTENSIONS = "basicConstraints = critical,CA:false\n"
local CSR_MAX = 16384

-- @return string|nil standard_output, string|nil message
local function openssl(...)
  local result, why, code = exec.run({ timeout = SECONDS, "openssl", ... })
  if not result then
    return nil, code == "ENOENT" and "the program openssl is not installed, which signs the "
      .. "certificates of fleet provisioning" or why
  elseif result.code ~= 0 then
    return nil, "openssl: " .. (result.stderr:match("[^\n]+") or result.words)
  end
  return result.stdout
end

local function make_ca(self)
  local _, why = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
    "-nodes", "-keyout", self.ca_key, "-days", "3650", "-subj", "/CN=Hob local provisioning CA",
    "-out", self.ca)
  if why then
    return nil, why
  end
  return fs.chmod(self.ca_key, "600")
end

--- Use the CA in a directory (ca.crt, ca.key); it is made if there is none.
---@param dir string
---@return table|nil signer
---@return string|nil message
function M.open(dir)
  local self = setmetatable({ dir = dir, ca = dir .. "/ca.crt", ca_key = dir .. "/ca.key" }, M)
  local ok, why = fs.mkdir(dir)
  if ok and not fs.exists(self.ca) and not fs.exists(self.ca_key) then
    ok, why = make_ca(self)
  end
  return ok and self or nil, why
end

local function sign_in(work, self)
  local ok, why = openssl("req", "-in", work .. "/csr", "-noout", "-verify")
  if not ok then
    return nil, why, "CSR"
  end
  ok, why = fs.write(work .. "/ext", EXTENSIONS)
  if ok then
    ok, why = openssl("x509", "-req", "-in", work .. "/csr", "-CA", self.ca, "-CAkey",
      self.ca_key, "-set_serial", "0x" .. verify.sha256(work .. "/csr"):sub(1, 15)
      .. ("%x"):format(math.random(0, 0xfffffff)), "-days", DAYS, "-sha256", "-extfile",
      work .. "/ext", "-out", work .. "/crt")
  end
  if ok then
    ok, why = openssl("x509", "-in", work .. "/crt", "-outform", "DER", "-out", work .. "/der")
  end
  if not ok then
    return nil, why
  end
  return { pem = fs.read(work .. "/crt"), id = verify.sha256(work .. "/der") }
end

-- A directory of its own for each request.
local function in_work(fn)
  local work, why = fs.tempdir()
  if not work then
    return nil, why
  end
  local result, message, what = fn(work)
  fs.remove(work, { recursive = true })
  return result, message, what
end

--- A certificate for a request.
---@param csr string  PEM
---@return { pem: string, id: string }|nil
---@return string|nil message
---@return "CSR"|nil what  it is the request that is no good
function M:sign(csr)
  if #csr > CSR_MAX or not csr:find("%-BEGIN [%u ]*CERTIFICATE REQUEST%-") then
    return nil, "it is no certificate signing request in PEM form", "CSR"
  end
  return in_work(function(work)
    local ok, why = fs.write(work .. "/csr", csr)
    if not ok then
      return nil, why
    end
    return sign_in(work, self)
  end)
end

--- A certificate with a key that is made here: RSA, as AWS makes them.
---@return { pem: string, id: string, key: string }|nil
---@return string|nil message
function M:make()
  return in_work(function(work)
    local ok, why = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout",
      work .. "/key", "-subj", "/CN=AWS IoT Certificate", "-out", work .. "/csr")
    local made
    if ok then
      made, why = sign_in(work, self)
    end
    if not made then
      return nil, why
    end
    made.key = fs.read(work .. "/key")
    return made
  end)
end

return M
