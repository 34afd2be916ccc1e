-- download-file.lua - fetch a file, check it, put it in place.
--
-- { "operation": "download-file", "url": "https://...", "to": "/var/lib/app/model.bin",
--   "sha256": "64 hexadecimal digits" }
-- AWS's template AWS-Download-File names it; its parameters are called downloadUrl and filePath.
-- The file appears at `to` only whole and with the right digest.

local exec = require("hob.exec")
local fresh_url = require("fresh_url")
local fs = require("hob.fs")
local http = require("hob.http")

local function first_of(given, name, aws_name)
  local value = given[name]
  return (value == nil or value == "") and given[aws_name] or value
end

local function read(given)
  local args = { sha256 = given.sha256 ~= "" and given.sha256 or nil }
  args.url, args.to = first_of(given, "url", "downloadUrl"), first_of(given, "to", "filePath")
  if type(args.url) ~= "string" or not args.url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]") then
    return nil, "args.url: expected a URL that begins with https:// or http://"
  elseif type(args.to) ~= "string" or args.to:sub(1, 1) ~= "/" or args.to:sub(-1) == "/" then
    return nil, ("args.to: expected the absolute path of a file, got %s"):format(
      type(args.to) == "string" and args.to:sub(1, 80) or type(args.to))
  elseif args.sha256 and not (type(args.sha256) == "string" and #args.sha256 == 64
    and args.sha256:find("^%x+$")) then
    return nil, "args.sha256: expected 64 hexadecimal digits"
  end
  return args
end

local function fetch(job, args, to)
  return http.download({
    url = args.url,
    sha256 = args.sha256 and args.sha256:lower(),
    to = to,
    refresh = fresh_url(job, args),
    on_progress = function(bytes, total)
      if total > 0 then
        job:progress(bytes * 100 / total, "downloading")
      end
    end,
  })
end

-- The user that the document names writes it, with his own rights. He begins in the job's
-- directory, to which he has no other way, and may read the file in it.
local function put_in_place(job, to)
  assert(fs.chmod(job.dir, tonumber("711", 8)))
  assert(fs.chmod("file", tonumber("644", 8)))
  local part, me = to .. ".part", job.user
  exec.check({ "cp", "--", "file", part, user = me, cwd = job.dir })
  exec.check({ "mv", "-f", "--", part, to, user = me, cwd = job.dir })
end

return {
  api = 1,
  description = "Download a file, check its SHA-256, put it in place",
  args = read,
  positional = { "url", "to", "sha256" },
  run = function(job, args)
    local file = job:step("download", function()
      return fetch(job, args, job.user and "file" or args.to)
    end)
    if job.user then
      job:step("put in place", function() put_in_place(job, args.to) end)
    end
    return { path = args.to, bytes = file.bytes, sha256 = file.sha256 }
  end,
  examples = {
    { operation = "download-file", url = "https://example.com/model.bin",
      to = "/var/lib/app/model.bin" },
    { operation = "download-file", downloadUrl = "https://example.com/a",
      filePath = "/tmp/a", sha256 = ("0123456789abcdef"):rep(4) },
  },
}
