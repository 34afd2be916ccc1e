-- verify.lua - hob.verify: digests, signatures, and the signatures of AWS's code signing in job
-- documents. Reading and arithmetic are in hob.verify.core (core/device/verify.h); here is which
-- form a signature has, and whose key counts.
-- Spec: spec/unit/verify_spec.lua

local core = require("hob.verify.core")
local fs = require("hob.fs")
local log = require("hob.log")
local option_sets = require("hob.http.options")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local format, concat = string.format, table.concat

local PEM_MAX = 65536
local REFUSED = "ESIGNATURE"

local function misuse(level, text, ...)
  error(format(text, ...), level + 1)
end

---------------------------------------------------------------- digests

---The SHA-256 of a file, in lower case. Waits; however large the file is, nothing else does.
---@param path string
---@return string? sha256
---@return string? message
---@return string? code
function M.sha256(path)
  if type(path) ~= "string" or path == "" then
    misuse(2, "sha256: expected the path of a file, got %s", type(path))
  end
  local hex, bytes, size = core.digest(path, "SHA256")
  if not hex then
    return nil, bytes, size
  end
  return hex
end

---@param text string
---@return string sha256
function M.sha256_text(text)
  if type(text) ~= "string" then
    misuse(2, "sha256_text: expected string, got %s", type(text))
  end
  return (core.digest_text(text, "SHA256"))
end

---------------------------------------------------------------- algorithms

local HASHES = { ["1"] = "SHA1", ["256"] = "SHA256", ["384"] = "SHA384", ["512"] = "SHA512" }
local KINDS = { ECDSA = "ECDSA", RSA = "RSA" }

-- SHA256-ECDSA, sig-sha256-ecdsa, SHA256withECDSA, ECDSA-SHA256, ECDSA_SHA_256: all the same.
local function read_algorithm(text)
  local plain = tostring(text):upper():gsub("^SIG", ""):gsub("WITH", ""):gsub("[-_ /]", "")
  local bits, kind = plain:match("^SHA(%d+)(%a+)$")
  if not bits then
    kind, bits = plain:match("^(%a+)SHA(%d+)$")
  end
  local hash = HASHES[bits or ""]
  if hash and KINDS[kind] then
    return hash, KINDS[kind]
  end
  return nil, format("algorithm: expected one such as SHA256-ECDSA or SHA256-RSA, got '%s'",
    tostring(text):sub(1, 60))
end

---------------------------------------------------------------- keys

-- A PEM text, or the path of a file that holds one.
local function read_pem(what, value)
  if value:find("-----BEGIN ", 1, true) then
    return { name = what, text = value }
  end
  local stat, problem, code = fs.stat(value)
  if not stat then
    return nil, what .. ": " .. problem, code
  elseif stat.size > PEM_MAX then
    return nil, format("%s: %s has %d bytes, expected a PEM file of at most %d", what, value,
      stat.size, PEM_MAX), "EMSGSIZE"
  end
  local text, message, why = fs.read(value)
  if not text then
    return nil, what .. ": " .. message, why
  end
  return { name = value, text = text }
end

local function check(signed, key, ca)
  return core.check({ digest = signed.digest, hash = signed.hash, kind = signed.kind,
    signature = signed.signature, key = key.text, key_name = key.name,
    ca = ca and ca.text, ca_name = ca and ca.name })
end

local function about(signer, key)
  if signer.expired then
    log.warn("verify.signer_expired", format("the certificate in %s (%s) is not valid now by " ..
      "its dates; its key counts because it is configured", key.name, signer.name))
  end
  return { name = signer.name, key = key.name, expired = signer.expired }
end

---------------------------------------------------------------- a signature

local OPTIONS = option_sets.set({ "file", "data", "signature", "algorithm", "key", "certificate",
  "ca" })

local function check_options(options)
  local wrong = option_sets.check("signature", options, OPTIONS)
  if wrong then
    misuse(3, "%s", wrong)
  end
  for name, value in pairs(options) do
    if type(value) ~= "string" then
      misuse(3, "%s: expected string, got %s", name, type(value))
    end
  end
  if (options.file == nil) == (options.data == nil) then
    misuse(3, "signature: expected file or data")
  elseif (options.key == nil) == (options.certificate == nil) then
    misuse(3, "signature: expected key or certificate")
  elseif options.ca and not options.certificate then
    misuse(3, "signature: expected certificate beside ca")
  elseif not options.signature or not options.algorithm then
    misuse(3, "signature: expected signature and algorithm")
  end
end

-- @return the digest as bytes, the size
local function digest_of(options, hash)
  local hex, bytes, size
  if options.file then
    hex, bytes, size = core.digest(options.file, hash)
  else
    hex, bytes, size = core.digest_text(options.data, hash)
  end
  if not hex then
    return nil, bytes, size
  end
  return bytes, size
end

---Is this the signature of these bytes by that key?
---@param options hob.verify.SignatureOptions
---@return boolean? ok       true, or nil
---@return any signer        hob.verify.Signer; of no ok: message
---@return string? code      "ESIGNATURE": it is not
function M.signature(options)
  check_options(options)
  local hash, kind = read_algorithm(options.algorithm)
  if not hash then
    return nil, kind, REFUSED
  end
  local what = options.key and "key" or "certificate"
  local key, message, code = read_pem(what, options[what])
  local ca
  if key and options.ca then
    ca, message, code = read_pem("ca", options.ca)
  end
  if not key or options.ca and not ca then
    return nil, message, code
  end
  local digest, problem, why = digest_of(options, hash)
  if not digest then
    return nil, problem, why
  end
  local signer, refusal, refused = check({ digest = digest, hash = hash, kind = kind,
    signature = options.signature }, key, ca)
  if not signer then
    return nil, (options.file and options.file .. ": " or "") .. refusal, refused
  end
  return true, about(signer, key)
end

---------------------------------------------------------------- AWS's code signing

local CODESIGN = option_sets.set({ "signers", "sha1", "data" })

local function inline(value)
  if type(value) == "table" then
    return value.inlineDocument
  end
  return value
end

-- A member as FreeRTOS's OTA documents have it: { ["sig-sha256-ecdsa"] = "base64" }
local function sig_member(member)
  for name, value in pairs(member) do
    if type(name) == "string" and name:find("^sig%-sha") then
      return value, name
    end
  end
end

local function read_text(name, value, most)
  if type(value) ~= "string" or value == "" or #value > most then
    return nil, format("codesign.%s: expected a string of 1 to %d characters, got %s", name, most,
      type(value) == "string" and #value .. " characters" or type(value))
  end
  return value
end

-- What the forms have in common: { signature =, hash =, kind =, size =, certificate = }
local function read_member(member)
  if type(member) ~= "table" then
    return nil, "codesign: expected an object, got " .. type(member)
  end
  local signature, algorithm = inline(member.signature), member.signatureAlgorithm
  if signature == nil then
    signature, algorithm = sig_member(member)
  elseif type(member.hashAlgorithm) == "string" and type(algorithm) == "string" then
    algorithm = member.hashAlgorithm .. "-" .. algorithm -- custom signing names them apart
  end
  local text, wrong = read_text("signature", signature, 8192)
  if text and text:find("^%${aws:iot:") then
    return nil, "codesign.signature: the placeholder ${aws:iot:...} was not filled in"
  end
  local named = text and read_text("signatureAlgorithm", algorithm, 64)
  if not named then
    return nil, wrong or "codesign.signatureAlgorithm: expected one such as SHA256-ECDSA, got " ..
      type(algorithm)
  end
  local hash, kind = read_algorithm(named)
  if not hash then
    return nil, "codesign." .. kind
  end
  local size = member.rawPayloadSize or member.filesize
  size = type(size) == "string" and tonumber(size) or size -- AWS's parameters are strings
  if size ~= nil and (type(size) ~= "number" or size < 0) then
    return nil, "codesign.rawPayloadSize: expected a number of bytes, got " ..
      (type(size) == "string" and format("%q", size) or tostring(size))
  end
  return { signature = text, hash = hash, kind = kind, size = size, file = member.certfile,
    certificate = read_text("certificateChain", inline(member.certificateChain), PEM_MAX) }
end

local function read_signers(options)
  if options.signers == nil then
    local all, message, code = core.signers()
    if not all then
      return nil, message, code
    elseif #all == 0 then
      return nil, "no signer is trusted: set the config key signers to a list of files with " ..
        "certificates or public keys", REFUSED
    end
    return all
  end
  local all = {}
  for i, value in ipairs(options.signers) do
    local key, message, code = read_pem(format("signers[%d]", i), value)
    if not key then
      return nil, message, code
    end
    all[i] = key
  end
  return all
end

-- A document may name the certificate on the device; it chooses among those that are trusted, and
-- adds none.
local function choose(signers, path)
  if type(path) ~= "string" or path == "" then
    return signers
  end
  for _, key in ipairs(signers) do
    if key.name == path then
      return { key }
    end
  end
  return nil, format("codesign.certfile: %s is not among the trusted signers (config key signers)",
    path:sub(1, 200))
end

local function try_all(signed, signers)
  local problems = {}
  for _, key in ipairs(signers) do
    local signer, message = check(signed, key)
    problems[#problems + 1] = message
    if not signer and signed.certificate then
      signer, message = check(signed, { name = "codesign.certificateChain",
        text = signed.certificate }, key)
      problems[#problems + 1] = message
    end
    if signer then
      return true, about(signer, key)
    end
  end
  return nil, concat(problems, "; ")
end

---The files whose keys count on this gateway.
---@return string[]? files
---@return string? message
---@return string? code
function M.signers()
  local all, message, code = core.signers()
  if not all then
    return nil, message, code
  end
  local files = {}
  for i, key in ipairs(all) do
    files[i] = key.name
  end
  return files
end

---Is the file signed as the job document's `codesign` member says, by a signer that this gateway
---trusts? Waits.
---@param member table  `codesign` of AWS's code signing, or a file's entry of an OTA document
---@param file string
---@param options? hob.verify.CodesignOptions
---@return boolean? ok       true, or nil
---@return any signer        hob.verify.Signer; of no ok: message
---@return string? code      "ESIGNATURE": it is not, or cannot be told
function M.codesign(member, file, options)
  options = options or {}
  local unknown_option = option_sets.check("codesign", options, CODESIGN)
  if unknown_option then
    misuse(2, "%s", unknown_option)
  elseif type(file) ~= "string" or file == "" then
    misuse(2, "codesign: expected the path of a file, got %s", type(file))
  elseif options.signers ~= nil and (type(options.signers) ~= "table" or #options.signers == 0) then
    misuse(2, "signers: expected a list of files or PEM texts")
  elseif options.data ~= nil and type(options.data) ~= "string" then
    misuse(2, "data: expected string, got %s", type(options.data))
  end
  local signed, wrong = read_member(member)
  if not signed then
    return nil, wrong, REFUSED
  elseif signed.hash == "SHA1" and not options.sha1 then
    return nil, "codesign.signatureAlgorithm: SHA1 is too weak for code; sign with SHA256", REFUSED
  end
  local all, problem, why = read_signers(options)
  if not all then
    return nil, problem, why
  end
  local signers, unknown = choose(all, signed.file)
  if not signers then
    return nil, unknown, REFUSED
  end
  local digest, size, code = digest_of({ file = not options.data and file, data = options.data },
    signed.hash)
  if not digest then
    return nil, size, code
  elseif signed.size and size ~= signed.size then
    return nil, format("%s has %d bytes, but %d were signed (codesign.rawPayloadSize)", file, size,
      signed.size), REFUSED
  end
  signed.digest = digest
  local ok, result = try_all(signed, signers)
  if not ok then
    return nil, file .. ": " .. result, REFUSED
  end
  return true, result
end

return M
