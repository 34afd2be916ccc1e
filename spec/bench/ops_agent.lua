-- ops_agent.lua - the operations of AWS IoT Jobs from Lua: asks for the next job, ends it, and
-- begins again, until it is stopped. For `./dev bench ops`.
--
--     hob lua spec/bench/ops_agent.lua HOST PORT THING [CA CERT KEY]
local iotjobs = require("iotjobs")
local mqtt = require("hob.mqtt")
local time = require("hob.time")

local host, port, thing, ca, cert, key = table.unpack(arg)
local connection = mqtt.connect({
  host = host, port = math.tointeger(tonumber(port)), client_id = thing, tls = ca ~= nil, ca = ca,
  cert = cert, key = key,
})
assert(connection:wait_up(30))
local client = iotjobs.IotJobsClient(connection)

while true do
  local answer = assert(client:start_next_pending_job_execution(
    iotjobs.StartNextPendingJobExecutionRequest({ thing_name = thing })))
  local execution = answer.execution
  if not execution then
    time.sleep(3600) -- all is done
  end
  assert(client:update_job_execution(iotjobs.UpdateJobExecutionRequest({
    thing_name = thing, job_id = execution.job_id, status = iotjobs.JobStatus.SUCCEEDED,
    expected_version = execution.version_number,
  })))
end
