-- collect-logs.lua - gather log files and the journal, bounded, and upload them as one archive.
--
-- { "operation": "collect-logs", "files": ["/var/log/app/*.log"],
--   "journal": { "units": ["app.service"], "since": "-2h" },
--   "destination": "s3://fleet-logs/2026-11", "region": "eu-central-1",
--   "roleAlias": "gateway-logs" }
-- One document goes to many things: each writes to DESTINATION/THING/JOB.tar.gz, with credentials
-- of its own (the config key credentials_endpoint). For a single thing `uploadUrl` may be a
-- presigned URL instead. The newest files come first; what is over the limit stays here, and
-- COLLECTED.txt in the archive says so. Hob reads the files (within the config key fs_roots);
-- journalctl runs as exec_user, who must be allowed to read the journal, or `privileged` names it.

local aws = require("hob.aws")
local exec = require("hob.exec")
local fs = require("hob.fs")
local glob = require("glob")
local http = require("hob.http")

local FILES_MAX = 1000
local ARCHIVE = "logs.tar.gz"
local TRIES, BACKOFF = 10, 5 -- some minutes, for a link that comes and goes

---------------------------------------------------------------- what there is

local function newest_first(patterns)
  local files, seen, empty = {}, {}, {}
  for _, pattern in ipairs(patterns) do
    local found = glob.find(pattern, FILES_MAX)
    empty[#empty + 1] = #found == 0 and pattern or nil
    for _, path in ipairs(found) do
      local stat = not seen[path] and fs.stat(path)
      if stat then
        seen[path] = true
        files[#files + 1] = { path = path, size = stat.size, mtime = stat.mtime }
      end
    end
  end
  table.sort(files, function(a, b)
    return a.mtime > b.mtime or a.mtime == b.mtime and a.path < b.path
  end)
  return files, empty
end

-- A log that was rotated meanwhile is left out, not the whole job.
local function take(found, file, left)
  if file.size > left then
    found.skipped[#found.skipped + 1] = ("%s: %d bytes, over the limit"):format(file.path,
      file.size)
    return 0
  end
  assert(fs.mkdir("logs" .. file.path:match("^(.*)/")))
  local ok, message = fs.copy(file.path, "logs" .. file.path)
  if not ok then
    found.skipped[#found.skipped + 1] = ("%s: %s"):format(file.path, message)
    return 0
  end
  found.taken[#found.taken + 1] = ("%s: %d bytes"):format(file.path, file.size)
  return file.size
end

local function take_files(found, patterns, limit)
  local files, empty = newest_first(patterns)
  for _, pattern in ipairs(empty) do
    found.skipped[#found.skipped + 1] = pattern .. ": no such file"
  end
  for i, file in ipairs(files) do
    if i > FILES_MAX then
      found.skipped[#found.skipped + 1] = ("%d older files"):format(#files - FILES_MAX)
      break
    end
    limit = limit - take(found, file, limit)
  end
  return limit
end

local function take_journal(found, wanted, limit)
  local command = { "journalctl", "--no-pager", "--output=short-iso", "--reverse",
    "--lines=" .. wanted.lines, stdout = "logs/journal.txt", limit = limit, timeout = 300 }
  for _, unit in ipairs(wanted.units or {}) do
    command[#command + 1] = "--unit=" .. unit
  end
  command[#command + 1] = wanted.since and "--since=" .. wanted.since or nil
  local result, message = exec.run(command)
  if not result or result.code ~= 0 then
    found.skipped[#found.skipped + 1] = "journal: " .. (message or result.stderr:sub(-200))
    fs.remove("logs/journal.txt")
    return limit
  elseif (result.stdout_cut or 0) > 0 then
    found.skipped[#found.skipped + 1] = ("journal: the oldest %d bytes"):format(result.stdout_cut)
  end
  local bytes = fs.stat("logs/journal.txt").size
  found.taken[#found.taken + 1] = ("journal: %d bytes, the newest first"):format(bytes)
  return limit - bytes
end

local function collect(args)
  local found = { taken = {}, skipped = {} }
  fs.remove("logs", { recursive = true }) -- of a run that was interrupted
  assert(fs.mkdir("logs"))
  local left = args.limit
  if args.journal then
    left = take_journal(found, args.journal, left)
  end
  take_files(found, args.files, left)
  if #found.taken == 0 then
    return nil, "nothing to collect: " .. table.concat(found.skipped, "; ")
  end
  assert(fs.write("logs/COLLECTED.txt", ("collected:\n%s\n\nleft out:\n%s\n"):format(
    table.concat(found.taken, "\n"), table.concat(found.skipped, "\n"))))
  exec.check({ "tar", "-czf", ARCHIVE, "logs" })
  return { taken = #found.taken, skipped = #found.skipped }
end

---------------------------------------------------------------- where it goes

local function to_s3(job, args)
  local bucket, prefix = args.destination:match("^s3://([^/]+)/?(.-)/*$")
  local credentials, message, code = aws.credentials(args.roleAlias)
  if not credentials then
    return nil, message, code
  end
  local key = ("%s/%s.tar.gz"):format(job.thing, job.id)
  local object, why, problem = aws.put_s3({
    bucket = bucket, key = prefix == "" and key or prefix .. "/" .. key, region = args.region,
    credentials = credentials, file = ARCHIVE, limit = 2 * args.limit, endpoint = args.endpoint,
    tries = TRIES, backoff = BACKOFF,
    headers = { ["Content-Type"] = "application/gzip" },
  })
  return object and { url = object.url }, why, problem
end

-- A presigned URL may have expired while the gateway was without power or link.
local function to_url(job, args)
  local function put(url)
    return http.put({ url = url, file = ARCHIVE, limit = 2 * args.limit, tries = TRIES,
      backoff = BACKOFF })
  end
  local answer, message, code, refusal = put(args.uploadUrl)
  if not answer and refusal and refusal.status == 403 then
    local fresh = job:fresh_args()
    if fresh and fresh.uploadUrl and fresh.uploadUrl ~= args.uploadUrl then
      answer, message, code = put(fresh.uploadUrl)
    end
  end
  if not answer then
    return nil, message, code
  end
  return { url = args.uploadUrl:match("^[^?]*") }
end

local function check(job, args)
  if #args.files == 0 and not args.journal then
    job:reject("args.files: expected at least one, or journal")
  end
  for i, path in ipairs(args.files) do
    if path:sub(1, 1) ~= "/" or path:find("/..", 1, true) then
      job:reject(("args.files[%d]: expected an absolute path without '..', got %s"):format(i, path))
    end
  end
  if (args.destination == nil) == (args.uploadUrl == nil) then
    job:reject("args: expected destination or uploadUrl")
  elseif args.destination and not (args.region and args.roleAlias) then
    job:reject("args: expected region and roleAlias beside destination")
  end
end

return {
  api = 1,
  description = "Collect log files and the journal, and upload them",
  args = {
    files = { "list", of = { "string", max = 1024 }, max = 64, default = {} },
    journal = { "table?", fields = {
      units = { "list?", of = { "string", pattern = "^[%w@._:\\-]+$" }, max = 32 },
      since = { "string?", max = 64 },
      lines = { "integer", min = 1, max = 1000000, default = 10000 },
    } },
    limit = { "integer", min = 1024, max = 1 << 30, default = 20 << 20 },
    destination = { "string?", pattern = "^s3://[a-z0-9][a-z0-9.-]+[a-z0-9]", max = 900 },
    region = { "string?", pattern = "^[a-z0-9-]+$" },
    roleAlias = { "string?", pattern = "^[%w=,@_-]+$", max = 128 },
    uploadUrl = "string?",
    endpoint = { "string?", pattern = "^https?://" },
  },
  timeout = 3600,
  requires = { commands = { "tar", "gzip" } },
  run = function(job, args)
    check(job, args)
    local function is_there() return fs.stat(ARCHIVE) ~= nil end
    local found = job:step("collect", { valid = is_there }, function() return collect(args) end)
    local sent = job:step("upload", function()
      return (args.destination and to_s3 or to_url)(job, args)
    end)
    return { url = sent.url, collected = found.taken, left_out = found.skipped }
  end,
  examples = {
    { description = "each thing of a fleet into a bucket",
      document = { operation = "collect-logs", files = { "/var/log/app/*.log", "/var/log/syslog" },
        journal = { units = { "app.service" }, since = "-2h" }, limit = 20971520,
        destination = "s3://fleet-logs/2026-11", region = "eu-central-1",
        roleAlias = "gateway-logs" } },
    { description = "one thing, to a presigned URL",
      document = { operation = "collect-logs", files = { "/var/log/app/*.log" },
        uploadUrl = "https://fleet-logs.s3.eu-central-1.amazonaws.com/one?X-Amz-Signature=…" } },
  },
}
