-- pair_files.lua - certificate and key of this gateway, so that both change in one moment.
--
-- The names in the configuration stay. At the first change they become links:
--
--   gateway.crt         -> gateway.crt.pairs/current/certificate.pem
--   gateway.key         -> gateway.crt.pairs/current/private.key
--   gateway.crt.pairs/  current -> NAME; NAME/certificate.pem, NAME/private.key, NAME/name
--
-- To change the pair is to change where `current` leads, which one rename does: at each moment, and
-- so after a power cut at any, both names lead to one whole pair.

local fs = require("hob.fs")
local verify = require("hob.verify")

local M = {}

local PRIVATE, PUBLIC, DIRECTORY = "600", "644", "700"
local HINT = "; certificate and key must lie where Hob may write, on the data partition for example"

-- As assert, and the code goes on.
local function must(value, message, code)
  return value or error({ message = message, code = code }, 0)
end

local function writable(value, message, code)
  local hint = (code == "EROFS" or code == "EACCES" or code == "EPERM") and HINT or ""
  return must(value, message and message .. hint, code)
end

---@class pair_files
---@field files table  { cert =, key = }, as the configuration names them
---@field dir string   of all pairs

--- `files` as hob.cloud.files gives them.
---@param files table
function M.of(files)
  must(files.cert and files.key, "the configuration names no cert and key", "EINVAL")
  must(files.cert ~= files.key, "cert and key are one file; they must be two to be changed",
    "EINVAL")
  return { files = files, dir = files.cert .. ".pairs" }
end

--- The directory of a pair.
function M.place(pair, name)
  return pair.dir .. "/" .. name
end

function M.certificate(pair, name)
  return M.place(pair, name) .. "/certificate.pem"
end

function M.key(pair, name)
  return M.place(pair, name) .. "/private.key"
end

--- A directory for a pair, which is not in use.
function M.make(pair, name)
  writable(fs.mkdir(M.place(pair, name)))
  must(fs.chmod(M.place(pair, name), DIRECTORY))
  must(fs.write(M.place(pair, name) .. "/name", name))
end

--- Which pair is in use; nil: the names are no links yet.
---@return string|nil
function M.current(pair)
  return fs.read(M.place(pair, "current") .. "/name")
end

--- Use this pair from the next connection on.
function M.use(pair, name)
  must(fs.symlink(name, M.place(pair, "current")))
end

local function same(a, b)
  return fs.exists(b) and must(verify.sha256(a)) == must(verify.sha256(b))
end

-- Are the files under the configuration's names those of `current`? A person may have put others
-- there by hand.
local function is_current(pair)
  return M.current(pair) and same(pair.files.cert, M.certificate(pair, "current"))
    and same(pair.files.key, M.key(pair, "current"))
end

local function keep_as(pair, name)
  M.make(pair, name)
  must(fs.copy(pair.files.cert, M.certificate(pair, name), { mode = PUBLIC }))
  must(fs.copy(pair.files.key, M.key(pair, name), { mode = PRIVATE }))
end

--- Have the configuration's names lead to the pair that they stand for now. Done twice it changes
--- nothing, and at each moment both names stand for that pair.
---@param name string  of the pair, if it has none yet
---@return string name
function M.link(pair, name)
  writable(fs.mkdir(pair.dir))
  must(fs.chmod(pair.dir, DIRECTORY))
  if not is_current(pair) then
    keep_as(pair, name)
    M.use(pair, name)
  end
  writable(fs.symlink(M.certificate(pair, "current"), pair.files.cert))
  writable(fs.symlink(M.key(pair, "current"), pair.files.key))
  return M.current(pair)
end

--- Take all pairs away but this one.
function M.keep_only(pair, name)
  for _, other in ipairs(must(fs.list(pair.dir))) do
    if other ~= name and other ~= "current" then
      must(fs.remove(M.place(pair, other), { recursive = true }))
    end
  end
end

return M
