--- The operations of AWS IoT Jobs for a device, as AWS's SDKs have them.
---
---     local iotjobs = require("iotjobs")
---     local client = iotjobs.IotJobsClient(connection)
---     local response, problem = client:update_job_execution(iotjobs.UpdateJobExecutionRequest{
---       thing_name = "gw-1", job_id = "job-1", status = iotjobs.JobStatus.IN_PROGRESS })
---
--- How to use it is in docs/how-to/use-iotjobs.md, what there is in docs/reference/iotjobs.md
local client = require("iotjobs.client")
local models = require("iotjobs.models")

local M = {}

local OWN = { complete = true, encode = true } -- what only the client calls

for name, value in pairs(models) do
  M[name] = not OWN[name] and value or nil
end

M.IotJobsClient = client.new

return M
