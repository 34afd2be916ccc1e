-- download-file.lua - fetch a file, check it, put it in place.
--
-- { "operation": "download-file", "url": "https://...", "to": "/var/lib/app/model.bin",
--   "sha256": "64 hexadecimal digits" }
-- The file appears at `to` only whole and with the right digest.

local http = require("hob.http")

local function get(job, args)
  return http.download({
    url = args.url,
    sha256 = args.sha256,
    to = args.to,
    on_progress = function(bytes, total)
      if total > 0 then
        job:progress(bytes * 100 / total, "downloading")
      end
    end,
  })
end

-- A presigned URL expires while the gateway is without power or link: another one goes on where the
-- first one stopped.
local function fetch(job, args)
  local file, why, code = get(job, args)
  if file or code ~= "EHTTP" then
    return file, why, code
  end
  local fresh, problem = job:fresh_args()
  if fresh and fresh.url ~= args.url then
    return get(job, { url = fresh.url, sha256 = args.sha256, to = args.to })
  end
  return nil, why .. "; " .. (problem or "the service has no other URL for it"), code
end

return {
  api = 1,
  description = "Download a file, check its SHA-256, put it in place",
  args = { url = "string", to = "string", sha256 = "string?" },
  run = function(job, args)
    if args.to:sub(1, 1) ~= "/" then
      job:reject("to: expected an absolute path, got " .. args.to)
    end
    local file = job:step("download", function()
      return fetch(job, args)
    end)
    return { path = file.path, bytes = file.bytes, sha256 = file.sha256 }
  end,
}
