-- The jobs of the demo: what is sent, and how each must end.

---@class demo.job
---@field id string
---@field title string
---@field document table
---@field status string     how it must end
---@field reason? string    what its `reason` must contain
---@field proof? fun(): boolean, string  looks at what the job left on the device

local fs = require("hob.fs")

local M = {}

local function holds(path, expected)
    return function()
        local found, message = fs.read(path)
        if not found then
            return false, message
        end
        return found == expected, path .. " does not hold what it should"
    end
end

--- The document that AWS makes of its template AWS-Run-Command. Nobody chose a user.
local function run_command(command)
    return {
        version = "1.0",
        steps = {
            {
                action = {
                    name = "Run-Command",
                    type = "runCommand",
                    input = { command = command },
                    runAsUser = "",
                },
            },
        },
    }
end

---@param place table  root: where jobs leave things; url, sha256, data: of the file served
---@return demo.job[]
function M.list(place)
    local root = place.root
    return {
        {
            id = "run-command", title = "AWS-Run-Command, as AWS makes it",
            document = run_command(("cp,%s/plain.txt,%s/copied.txt"):format(root, root)),
            status = "SUCCEEDED",
            proof = holds(root .. "/copied.txt", "hello from the cloud\n"),
        },
        {
            id = "download", title = "a file by HTTP, digest checked",
            document = {
                operation = "download-file", url = place.url, sha256 = place.sha256,
                to = root .. "/downloaded.bin",
            },
            status = "SUCCEEDED",
            proof = holds(root .. "/downloaded.bin", place.data),
        },
        {
            id = "update-sensor", title = "several steps, with progress",
            document = { operation = "update-sensor", version = "4.2", root = root },
            status = "SUCCEEDED",
            proof = holds(root .. "/sensor.version", "4.2"),
        },
        {
            id = "calibrate", title = "a handler that fails",
            document = { operation = "calibrate", probe = "P7" },
            status = "FAILED", reason = "probe P7 reads -273 C",
        },
        {
            id = "paint-the-barn", title = "a document no handler knows",
            document = { operation = "paint-the-barn", colour = "red" },
            status = "REJECTED", reason = "paint-the-barn",
        },
    }
end

return M
