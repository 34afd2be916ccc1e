-- iotjobs in a handler: over the running gateway's own connection.

local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = worlds.PATIENCE
local GW = "$aws/things/gw-1/jobs/"

local HANDLER = [[
  local iotjobs = require("iotjobs")
  local mqtt = require("hob.mqtt")
  local time = require("hob.time")
  local client = iotjobs.IotJobsClient() -- also while the file is only looked at
  local ways = {}

  local function fits(text) -- what AWS takes as a detail
    return (tostring(text):gsub("%c", " "):sub(1, 900))
  end

  function ways.describe(job)
    local answer = assert(client:describe_job_execution{ job_id = job.id })
    local pending = assert(client:get_pending_job_executions{})
    return { thing = client.thing_name, status = answer.execution.status,
      way = answer.execution.job_document.way, pending = pending.in_progress_jobs[1].job_id }
  end

  function ways.progress(job)
    local versions = {}
    for i = 1, 3 do
      local answer = assert(client:update_job_execution(iotjobs.UpdateJobExecutionRequest{
        job_id = job.id, status = iotjobs.JobStatus.IN_PROGRESS,
        status_details = { part = tostring(i) }, include_job_execution_state = true }))
      versions[i] = answer.execution_state.version_number
      job:progress(i * 10, "beside it") -- the gateway's own reports, in between
    end
    return { versions = table.concat(versions, " ") }
  end

  function ways.callbacks(job)
    local got, topics = {}, {}
    local function subscribe(name, request)
      local future, topic = client["subscribe_to_" .. name](client, request, 1, function(object)
        got[#got + 1] = object.class
      end)
      assert(future:result(10))
      topics[#topics + 1] = topic
    end
    subscribe("describe_job_execution_accepted", { job_id = job.id })
    subscribe("next_job_execution_changed_events", {})
    assert(client:publish_describe_job_execution({ job_id = job.id }, 1):result(10))
    while #got < 1 do
      time.sleep(0.005)
    end
    for _, topic in ipairs(topics) do
      assert(client:unsubscribe(topic):result(10))
    end
    return { got = table.concat(got, " ") }
  end

  function ways.own_filters()
    local agent = mqtt.agent()
    for _, filter in ipairs{ "notify-next", "notify", "+/get/+", "+/update/+" } do
      local listener = agent:listen("$aws/things/gw-1/jobs/" .. filter, function() end)
      assert(listener:subscribe(0))
      assert(listener:unsubscribe())
      listener:close()
    end
    return true
  end

  function ways.leaves()
    local future = iotjobs.IotJobsClient(nil, { namespace = "NS" })
      :subscribe_to_next_job_execution_changed_events({}, 1, function() end)
    mqtt.agent():on_state(function() error("after the job") end)
    return { granted = future:result(10) }
  end

  function ways.unfinished(job)
    client:publish_describe_job_execution({ job_id = job.id }, 1)
    client:subscribe_to_describe_job_execution_accepted({ job_id = "+" }, 1, print)
    client:create_job_executions_changed_stream{ on_event = print }:open()
    time.after(0, function() client:get_pending_job_executions{} end)
    mqtt.agent():post("$aws/things/gw-1/jobs/get", "{}", { on_done = print })
    mqtt.agent():post("$aws/things/gw-1/jobs/get", "{}")
    return true
  end

  function ways.limits(job)
    local agent = mqtt.agent()
    local details = { connect = type(mqtt.connect), same = agent == mqtt.agent() }
    local said = {}
    for _, name in ipairs{ "close", "reconnect" } do
      local ok, message = pcall(agent[name], agent)
      said[#said + 1] = tostring(ok) .. ": " .. fits(message)
    end
    details.said = table.concat(said, "; ")
    local codes = {}
    local function note(...)
      codes[#codes + 1] = tostring((select(3, ...)))
    end
    note(agent:publish("spec/x", "x"))
    note(agent:publish("$aws/things/gw-2/jobs/get", "{}"))
    note(agent:publish("$aws/things/gw-1/jobs/notify", "{}"))
    note(agent:post("$aws/things/gw-1/jobs/get", "{}", { retain = true }))
    note(agent:publish("$aws/things/gw-1/jobs/get", ("x"):rep(128 * 1024 + 1)))
    for _, payload in ipairs{ "no JSON", "[]", "", "7", "{" } do
      note(agent:post("$aws/things/gw-1/jobs/" .. job.id .. "/update", payload))
    end
    note(agent:listen("#", print))
    note(agent:listen("$aws/things/+/jobs/notify", print))
    details.codes = table.concat(codes, " ")
    return details
  end

  function ways.flood()
    local agent = mqtt.agent()
    local taken, codes = 0, {}
    for _ = 1, 1000 do
      local ok, _, code = agent:post("$aws/things/gw-1/jobs/get", "{}")
      taken = taken + (ok and 1 or 0)
      codes[code or "ok"] = true
    end
    return { busy = codes.EBUSY == true, some = taken >= 100 and taken < 1000 }
  end

  function ways.outage(job)
    local problems, states = {}, {}
    -- after an outage the service may be back later than the broker
    local quick = iotjobs.IotJobsClient(nil, { operation_timeout = 0.5 })
    mqtt.agent():on_state(function(state) states[#states + 1] = state end)
    job:progress(1, "ready")
    while states[#states] ~= "up" do -- "down" again with each attempt that fails
      local _, problem = quick:describe_job_execution{ job_id = job.id }
      problems[#problems + 1] = problem and problem.code or nil
      time.sleep(0.005)
    end
    while not quick:describe_job_execution{ job_id = job.id } do
      time.sleep(0.005)
    end
    return { states = table.concat(states, " "), problem = problems[1] or "none" }
  end

  return { api = 1, run = function(job) return ways[job.document.way](job) end }
]]

describe("iotjobs in a handler", function()
  local world, gateway, count

  setup(function()
    world = worlds.start()
    gateway = world:gateway{ scripts = { ["use.lua"] = HANDLER } }
    gateway:wait_event("jobs.subscribed")
    count = 0
  end)

  teardown(function() world:stop() end)

  local function run(way)
    count = count + 1
    local job_id = ("%s-%d"):format(way:gsub("_", "-"), count)
    world:create(job_id, ('{"operation":"use","way":"%s"}'):format(way))
    return job_id
  end

  local function succeeds(way)
    local job_id = run(way)
    local execution = world:ended(job_id)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(1, world:terminal_updates(job_id))
    return execution.details, job_id
  end

  it("asks for the gateway's thing over the gateway's connection", function()
    local details, job_id = succeeds("describe")
    assert.equal("gw-1", details.thing)
    assert.equal("IN_PROGRESS", details.status)
    assert.equal("describe", details.way)
    assert.equal(job_id, details.pending)
    assert.equal(1, gateway:count("conn.up"))
    assert.equal(0, gateway:count("handler.broken"))
  end)

  it("may report progress itself: the job still ends SUCCEEDED, once", function()
    local details = succeeds("progress")
    assert.matches("^%d+ %d+ %d+$", details.versions)
  end)

  it("hears answers and events beside the gateway's own jobs client", function()
    assert.equal("DescribeJobExecutionResponse", succeeds("callbacks").got)
  end)

  it("takes no filter away that the gateway needs", function()
    succeeds("own_filters")
    for _, filter in ipairs{ "notify-next", "notify", "+/get/+", "+/update/+" } do
      assert.is_nil((world.broker:log()):find("\t" .. GW .. filter .. "\n", 1, true), filter)
    end
    succeeds("describe") -- announced by notify-next, claimed by its answer
  end)

  it("takes its subscriptions with it", function()
    local details = succeeds("leaves")
    assert.equal("1", details.granted)
    wait_until(function()
      return world.broker:log():find("\t" .. GW .. "notify-next-namespace-NS\n", 1, true)
    end, PATIENCE, "UNSUBSCRIBE")
  end)

  it("may end with everything open", function()
    for _ = 1, 5 do
      succeeds("unfinished")
    end
  end)

  it("cannot end the connection, nor use it for anything but its thing's jobs", function()
    local details = succeeds("limits")
    assert.equal("nil", details.connect)
    assert.equal("true", details.same)
    assert.matches("false: the gateway's own connection cannot be closed from here; "
      .. "false: the gateway's own connection cannot be reconnected from here", details.said, 1,
      true)
    assert.equal("EACCES EACCES EACCES EACCES EMSGSIZE EJSON EJSON EJSON EJSON EJSON EACCES "
      .. "EACCES", details.codes)
  end)

  it("cannot fill the connection so that the gateway finds no room", function()
    local details = succeeds("flood")
    assert.equal("true", details.busy)
    assert.equal("true", details.some)
  end)

  it("is told of an outage, and goes on after it", function()
    local job_id = run("outage")
    gateway:wait_event("job.started", { job = job_id })
    wait_until(function()
      local execution = world:describe(job_id)
      return execution.details.progress
    end, PATIENCE, "its first progress; " .. world:explain())
    world.broker:kill()
    gateway:wait_event("conn.lost")
    world.broker:start_again()
    local execution = world:ended(job_id)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.matches("^down [down ]*up$", execution.details.states)
    -- broken off, or asked before the service was back; EIO: a product's connection may know that
    -- it is down before it says so
    local known = { ENOTCONN = true, ETIMEDOUT = true, EIO = true, none = true }
    assert.is_true(known[execution.details.problem], execution.details.problem)
    assert.equal(1, world:terminal_updates(job_id))
  end)

  it("leaves a gateway that ends in order", function()
    assert.equal(0, gateway:stop())
  end)
end)
