-- download-file.lua - fetch a file, check it, put it in place.
--
-- { "operation": "download-file", "url": "https://...", "to": "/var/lib/app/model.bin",
--   "sha256": "64 hexadecimal digits" }
-- The file appears at `to` only whole and with the right digest.

local http = require("hob.http")

return {
  api = 1,
  description = "Download a file, check its SHA-256, put it in place",
  args = { url = "string", to = "string", sha256 = "string?" },
  run = function(job, args)
    if args.to:sub(1, 1) ~= "/" then
      job:reject("to: expected an absolute path, got " .. args.to)
    end
    local file = job:step("download", function()
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
    end)
    return { path = file.path, bytes = file.bytes, sha256 = file.sha256 }
  end,
}
