-- Fetch a file over HTTP or HTTPS, check its digest, put it in its place.
--
--     { "operation": "download-file", "url": "https://…", "sha256": "…64 hex…",
--       "to": "/opt/model.bin" }

local http = require("hob.http")

return {
    api = 1,
    description = "Download a file and check its digest",
    args = { url = "string", sha256 = "string", to = "string" },
    run = function(job, args)
        local file = job:step("download", function()
            return http.download({
                url = args.url,
                sha256 = args.sha256,
                to = args.to,
                on_progress = function(bytes, total)
                    if total and total > 0 then
                        job:progress(bytes * 100 // total, "downloading")
                    end
                end,
            })
        end)
        return { path = file.path, bytes = file.bytes, sha256 = file.sha256 }
    end,
}
