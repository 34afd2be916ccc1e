-- iotjobs against the local Jobs service, over a real mosquitto.

local brokers = require("spec.support.broker")
local fs = require("hob.fs")
local iotjobs = require("iotjobs")
local json = require("hob.json")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = worlds.PATIENCE
local DYNAMIC_SECURITY = "/usr/lib/%s/mosquitto_dynamic_security.so"
local GW = "$aws/things/gw-1/jobs/"

local KINDS = {
  { name = "MQTT 3.1.1", tls = false, protocol = 4 },
  { name = "MQTT 5", tls = false, protocol = 5 },
  { name = "MQTT 3.1.1 and TLS", tls = true, protocol = 4 },
}

for _, kind in ipairs(KINDS) do
  describe("iotjobs over " .. kind.name, function()
    local world, connection, client, jobs

    setup(function()
      world = worlds.start{ tls = kind.tls }
      jobs = 0
    end)

    teardown(function() world:stop() end)

    before_each(function()
      connection = mqtt.connect(world.broker:options{ client_id = "device",
        protocol = kind.protocol, backoff_base = 0.02 })
      assert(connection:wait_up(PATIENCE))
      client = iotjobs.IotJobsClient(connection, { thing_name = "gw-1",
        operation_timeout = PATIENCE })
    end)

    after_each(function()
      connection:close()
      for _, job in ipairs(world.made or {}) do
        world:control("delete_job", job, { force = true }, time.now())
      end
      world.made = {}
    end)

    local function create(document)
      jobs = jobs + 1
      local job_id = "job-" .. jobs
      world:create(job_id, document or '{"operation":"x"}')
      world.made = world.made or {}
      table.insert(world.made, job_id)
      return job_id
    end

    -- Subscribe with what the class of the answers is, and the list of what comes.
    local function heard(name, request)
      local got = {}
      local future, topic = client["subscribe_to_" .. name](client, request or {}, 1,
        function(...) got[#got + 1] = table.pack(...) end)
      assert.equal(1, future:result(PATIENCE))
      return got, topic
    end

    local function first(got)
      wait_until(function() return #got > 0 end, PATIENCE, "an answer")
      return got[1][1]
    end

    it("describes, starts, updates and ends a job with requests that wait", function()
      local job_id = create('{"operation":"x","n":[1,2]}')
      local described = assert(client:describe_job_execution{ job_id = "$next" })
      assert.equal(job_id, described.execution.job_id)
      assert.equal("QUEUED", described.execution.status)
      assert.same({ 1, 2 }, described.execution.job_document.n)

      local started = assert(client:start_next_pending_job_execution{
        status_details = { step = "one" }, step_timeout_in_minutes = 5 })
      assert.equal("IN_PROGRESS", started.execution.status)
      assert.same({ step = "one" }, started.execution.status_details)

      local pending = assert(client:get_pending_job_executions{})
      assert.equal(job_id, pending.in_progress_jobs[1].job_id)
      assert.same({}, pending.queued_jobs)

      local updated = assert(client:update_job_execution{ job_id = job_id, status = "IN_PROGRESS",
        expected_version = started.execution.version_number, include_job_execution_state = true,
        status_details = { step = "two" } })
      assert.same({ step = "two" }, updated.execution_state.status_details)

      local _, problem = client:update_job_execution{ job_id = job_id, status = "SUCCEEDED",
        expected_version = 1 }
      assert.equal("EREJECTED", problem.code)
      assert.equal(iotjobs.RejectedErrorCode.VERSION_MISMATCH or "VersionMismatch",
        problem.modeled.code)
      assert.equal("IN_PROGRESS", problem.modeled.execution_state.status)

      assert(client:update_job_execution{ job_id = job_id,
        status = iotjobs.JobStatus.SUCCEEDED })
      assert.equal("SUCCEEDED", world:describe(job_id).status)
      assert.is_nil(assert(client:describe_job_execution{ job_id = "$next" }).execution)
    end)

    it("carries every publish to the callbacks of its answers", function()
      local job_id = create()
      local of_job = { job_id = job_id }
      local described = heard("describe_job_execution_accepted", of_job)
      local pending = heard("get_pending_job_executions_accepted")
      local started = heard("start_next_pending_job_execution_accepted")
      local updated = heard("update_job_execution_accepted", of_job)

      assert(client:publish_describe_job_execution({ job_id = job_id, client_token = "d" }, 1)
        :result(PATIENCE))
      assert.equal("QUEUED", first(described).execution.status)
      assert.equal("d", first(described).client_token)
      assert(client:publish_get_pending_job_executions({}, 0):result(PATIENCE))
      assert.equal(job_id, first(pending).queued_jobs[1].job_id)
      assert(client:publish_start_next_pending_job_execution({}, 1):result(PATIENCE))
      assert.equal(job_id, first(started).execution.job_id)
      assert(client:publish_update_job_execution({ job_id = job_id, status = "FAILED",
        client_token = "u" }, 1):result(PATIENCE))
      assert.equal("u", first(updated).client_token)
      assert.equal("FAILED", world:describe(job_id).status)
    end)

    it("carries every rejection to the callback for it", function()
      local all = { job_id = "+" }
      local described = heard("describe_job_execution_rejected", all)
      local updated = heard("update_job_execution_rejected", all)
      local pending = heard("get_pending_job_executions_rejected")
      local started = heard("start_next_pending_job_execution_rejected")
      client:publish_describe_job_execution({ job_id = "no-such", client_token = "d" }, 1)
      client:publish_update_job_execution({ job_id = "no-such", status = "FAILED" }, 1)
      assert(connection:publish(GW .. "get", "no JSON"))
      assert(connection:publish(GW .. "start-next", '{"stepTimeoutInMinutes":0}'))
      assert.equal("ResourceNotFound", first(described).code)
      assert.equal("d", first(described).client_token)
      assert.equal("ResourceNotFound", first(updated).code)
      assert.equal("InvalidJson", first(pending).code)
      assert.equal("InvalidRequest", first(started).code)
    end)

    it("tells both events to callbacks and to streams, until they are ended", function()
      local changed = heard("job_executions_changed_events")
      local next_one, topic = heard("next_job_execution_changed_events")
      local events, statuses = {}, {}
      local stream = client:create_next_job_execution_changed_stream{
        on_event = function(event) events[#events + 1] = event end,
        on_status = function(status) statuses[#statuses + 1] = status end,
      }
      stream:open()
      wait_until(function() return statuses[1] end, PATIENCE, "the stream")
      local job_id = create()
      assert.equal(job_id, first(changed).jobs.QUEUED[1].job_id)
      assert.equal(job_id, first(next_one).execution.job_id)
      wait_until(function() return events[1] end, PATIENCE, "the stream's event")
      assert.equal(job_id, events[1].execution.job_id)
      assert.is_true(client:unsubscribe(topic):result(PATIENCE))
      assert(client:update_job_execution{ job_id = job_id, status = "FAILED" })
      wait_until(function() return events[2] end, PATIENCE, "the stream's second event")
      assert.is_nil(events[2].execution)
      assert.equal(1, #next_one)
      stream:close()
      assert.same({ "established" }, statuses)
    end)

    it("serves many tasks that share one connection with another client", function()
      local others = iotjobs.IotJobsClient(connection, { thing_name = "gw-2",
        operation_timeout = PATIENCE })
      local ended, problems = 0, {}
      for i = 1, 60 do
        time.after(0, function()
          local one = i % 2 == 0 and client or others
          local response, problem = one:get_pending_job_executions{}
          problems[#problems + 1] = not response and tostring(problem) or nil
          ended = ended + 1
        end)
      end
      wait_until(function() return ended == 60 end, PATIENCE, "60 answers")
      assert.same({}, problems)
    end)

    it("takes what bears its token for the answer only where it is the clientToken", function()
      local job_id, token = create(), "a token of mine"
      local stranger = mqtt.connect(world.broker:options{ client_id = "stranger" })
      assert(stranger:wait_up(PATIENCE))
      local held
      world:before(function(where, request)
        if where:find("/update$") and request.clientToken == token and not held then
          held = true
          local accepted = where .. "/accepted"
          stranger:publish(accepted,
            ('{"timestamp":1,"executionState":{"clientToken":"%s"}}'):format(token))
          stranger:publish(accepted, ('{"timestamp":2,"clientToken":"%s"'):format(token))
          stranger:publish(where .. "/rejected", ('{"code":[],"clientToken":"%s"}'):format(token))
          stranger:publish(GW .. "job-0/update/accepted",
            ('{"timestamp":3,"clientToken":"%s"}'):format(token))
          stranger:publish(accepted, '{"timestamp":4,"clientToken":"a\\u0020token of mine"}')
        end
      end)
      local response = assert(client:update_job_execution{ job_id = job_id,
        status = "IN_PROGRESS", client_token = token })
      world:before(nil)
      assert.equal(4, response.timestamp)
      stranger:close()
    end)

    it("is not stopped by anything that comes on the topics of its answers", function()
      local job_id = create()
      local stranger = mqtt.connect(world.broker:options{ client_id = "stranger" })
      assert(stranger:wait_up(PATIENCE))
      local got, topic = heard("update_job_execution_accepted", { job_id = job_id })
      local failures = {}
      local stream = client:create_job_executions_changed_stream{
        on_failure = function(_, where, payload) failures[#failures + 1] = { where, #payload } end,
      }
      stream:open()
      wait_until(function() return stream.status == "established" end, PATIENCE, "the stream")
      world:before(function(where)
        if not where:find("/update$") then
          return
        end
        local hostile = { "\xff\xfe\0", "{", "[]", ("["):rep(200) .. ("]"):rep(200),
          ('{"a":'):rep(200) .. "1" .. ("}"):rep(200), '{"timestamp":"then"}', '{"jobs":[1,2]}',
          "", "null", ('"%s"'):format(("x"):rep(200000)), ("x"):rep(1 << 20),
          '{"clientToken":"unknown","timestamp":1}', '{"clientToken":7}',
          '{"timestamp":1e999}', '{"executionState":[]}' }
        for _, payload in ipairs(hostile) do
          for _, name in ipairs{ job_id .. "/update/accepted", job_id .. "/update/rejected",
            "notify" } do
            if #payload <= 256 * 1024 then
              assert(stranger:publish(GW .. name, payload))
            end
          end
        end
        stranger:publish("$aws/things/gw-2/jobs/" .. job_id .. "/update/accepted",
          '{"timestamp":1}')
        world:before(nil)
      end)
      assert(client:update_job_execution{ job_id = job_id, status = "IN_PROGRESS" })
      assert.is_true(#got >= 14)
      wait_until(function() return #failures >= 6 end, PATIENCE, "failures of the stream")
      assert.equal("$aws/things/gw-1/jobs/notify", failures[1][1])
      assert.equal(GW .. job_id .. "/update/accepted", topic)
      assert(client:update_job_execution{ job_id = job_id, status = "SUCCEEDED" })
      assert.is_true(connection:is_up())
      stream:close()
      stranger:close()
    end)

    it("drops a message of 1 MB, and goes on", function()
      local huge = mqtt.connect(world.broker:options{ client_id = "huge",
        payload_max = 2 << 20 })
      assert(huge:wait_up(PATIENCE))
      local got, topic = heard("get_pending_job_executions_accepted")
      assert(huge:publish(topic, ('{"a":"%s"}'):format(("x"):rep(1 << 20))))
      huge:close()
      assert(client:publish_get_pending_job_executions({}, 1):result(PATIENCE))
      assert.equal("table", type(first(got)))
      assert.is_true(connection:is_up())
    end)

    it("tells a request's time-out, and a lost connection, from each other", function()
      local quick = iotjobs.IotJobsClient(connection, { thing_name = "gw-3",
        operation_timeout = 0.2 })
      world:fault{ op = "get", action = "drop", thing = "gw-3" }
      local response, problem = quick:get_pending_job_executions{}
      assert.is_nil(response)
      assert.equal("ETIMEDOUT", problem.code)
      world:before(function(topic)
        if topic == GW .. "start-next" then
          world:before(nil)
          connection:reconnect("the spec says so")
          time.sleep(0.05)
        end
      end)
      response, problem = client:start_next_pending_job_execution{}
      assert.is_nil(response)
      assert.equal("ENOTCONN", problem.code)
      assert.matches("the spec says so", problem.message)
    end)

    it("is told at once of a connection that was closed, before it could hear of it", function()
      local late, stream, halted
      do
        local scoped <close> = mqtt.connect(world.broker:options{ client_id = "scoped",
          protocol = kind.protocol })
        assert(scoped:wait_up(PATIENCE))
        late = iotjobs.IotJobsClient(scoped, { thing_name = "gw-1" })
        stream = late:create_job_executions_changed_stream{
          on_status = function(status) halted = status end }
      end
      local response, problem = late:get_pending_job_executions{}
      assert.is_nil(response)
      assert.equal("ECANCELED", problem.code)
      assert.equal("ECANCELED",
        select(3, late:publish_get_pending_job_executions({}, 1):result(PATIENCE)))
      local granted = late:subscribe_to_job_executions_changed_events({}, 1, function() end)
      assert.equal("ECANCELED", select(3, granted:result(PATIENCE)))
      stream:open()
      assert.equal("halted", halted)
      assert.error_matches(function() iotjobs.IotJobsClient(late.connection) end,
        "connection: the connection was closed")
    end)

    it("lets callbacks wait, raise, and end their own subscription or stream", function()
      local heard_by_slow, heard_by_raising, once, stream = 0, 0, 0, nil
      local topic_once
      local function subscribe(callback)
        local future, topic = client:subscribe_to_job_executions_changed_events({}, 1, callback)
        assert(future:result(PATIENCE))
        return topic
      end
      subscribe(function()
        assert(client:get_pending_job_executions{})
        heard_by_slow = heard_by_slow + 1
      end)
      subscribe(function()
        heard_by_raising = heard_by_raising + 1
        error("on purpose")
      end)
      topic_once = select(2, client:subscribe_to_next_job_execution_changed_events({}, 1,
        function()
          once = once + 1
          assert(client:unsubscribe(topic_once):result(PATIENCE))
        end))
      local in_stream = 0
      stream = client:create_next_job_execution_changed_stream{ on_event = function()
        in_stream = in_stream + 1
        stream:close()
      end }
      stream:open()
      wait_until(function() return stream.status == "established" end, PATIENCE, "the stream")
      for _ = 1, 5 do
        local job_id = create()
        assert(client:update_job_execution{ job_id = job_id, status = "SUCCEEDED" })
      end
      wait_until(function() return heard_by_slow == 10 and heard_by_raising == 10 end, PATIENCE,
        "ten notifications each")
      assert.equal(1, once)
      assert.equal(1, in_stream)
      assert.equal("closed", stream.status)
    end)

    it("serves a thousand requests of fifty tasks, and keeps nothing of them", function()
      local job_id = create()
      local function burst()
        local ended, problems = 0, {}
        for _ = 1, 50 do
          time.after(0, function()
            for _ = 1, 20 do
              local response, problem = client:update_job_execution{ job_id = job_id,
                status = "IN_PROGRESS" }
              problems[#problems + 1] = not response and tostring(problem) or nil
            end
            ended = ended + 1
          end)
        end
        wait_until(function() return ended == 50 end, PATIENCE, "fifty tasks")
        assert.same({}, problems)
      end
      burst()
      assert.is_nil(next(client.waiting))
      assert.equal(64, client.turns.free)
      assert.equal(0, connection:stats().pending)
    end)

    it("lets clients become garbage while answers come to others", function()
      local broker_log = #world.broker:log()
      for _ = 1, 100 do
        local passing = iotjobs.IotJobsClient(connection, { thing_name = "gw-9",
          operation_timeout = PATIENCE })
        assert(passing:get_pending_job_executions{})
      end
      wait_until(function()
        collectgarbage()
        assert(client:get_pending_job_executions{})
        return world.broker:log():find("Received UNSUBSCRIBE from device", broker_log, true)
      end, PATIENCE, "the end of the last one's subscriptions")
    end)

    it("ends what waits when the connection is closed", function()
      local outcome
      world:after(function() return "drop" end)
      time.after(0, function() outcome = table.pack(client:get_pending_job_executions{}) end)
      local seen
      world:before(function() seen = true end)
      wait_until(function() return seen end, PATIENCE, "the request")
      connection:close()
      wait_until(function() return outcome end, PATIENCE, "its end")
      world:after(nil)
      world:before(nil)
      assert.equal("ECANCELED", outcome[2].code)
      assert.equal("ECANCELED", select(2, client:get_pending_job_executions{}).code)
      local _, _, code = client:publish_get_pending_job_executions({}, 1):result(PATIENCE)
      assert.equal("ECANCELED", code)
    end)
  end)
end

describe("iotjobs", function()
  it("subscribes again after the broker has forgotten everything", function()
    local world = worlds.start{ tls = false }
    finally(function() world:stop() end)
    local connection = mqtt.connect(world.broker:options{ client_id = "device",
      backoff_base = 0.02, backoff_cap = 0.1 })
    local client = iotjobs.IotJobsClient(connection, { thing_name = "gw-1",
      operation_timeout = PATIENCE })
    local got, statuses, changes = {}, {}, {}
    client:create_next_job_execution_changed_stream{
      on_event = function(event) got[#got + 1] = event.execution and event.execution.job_id end,
      on_status = function(status) statuses[#statuses + 1] = status end,
    }:open()
    assert.equal(1, client:subscribe_to_job_executions_changed_events({}, 1, function(event)
      changes[#changes + 1] = event
    end):result(PATIENCE))
    wait_until(function() return #statuses == 1 end, PATIENCE, "the stream")
    assert.truthy(client:get_pending_job_executions{})
    world.broker:kill()
    wait_until(function() return #statuses == 2 end, PATIENCE, "its loss")
    world.broker:start_again()
    wait_until(function() return #statuses == 3 end, PATIENCE, "its return")
    assert(world.side:wait_ready(PATIENCE))
    assert.truthy(client:get_pending_job_executions{})
    world:create("after", '{"operation":"x"}')
    wait_until(function() return got[1] and changes[1] end, PATIENCE, "the events")
    assert.equal("after", got[1])
    assert.same({ "established", "lost", "established" }, statuses)
    connection:close()
  end)

  -- As AWS's example for its SDK for Python does it, first form.
  it("lets a device work off its queue with callbacks alone, and wake for what comes", function()
    local world = worlds.start{ tls = false }
    finally(function() world:stop() end)
    local connection <close> = mqtt.connect(world.broker:options{ client_id = "device" })
    local client = iotjobs.IotJobsClient(connection)
    local AT_LEAST_ONCE, thing_name = 1, "gw-1"
    local working, more, done, pending = false, false, {}, {}
    world:create("first", '{"operation":"x"}')
    world:create("second", '{"operation":"x"}')

    local function try_start_next()
      if working then
        more = true
        return
      end
      working, more = true, false
      assert(client:publish_start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest{ thing_name = thing_name }, AT_LEAST_ONCE)
        :result(PATIENCE))
    end
    local function done_working()
      working = false
      if more then
        try_start_next()
      end
    end
    local function rejected(problem)
      error(("rejected: %s %s"):format(problem.code, problem.message))
    end
    local callbacks = {
      { "get_pending_job_executions", iotjobs.GetPendingJobExecutionsRequest, function(answer)
        for _, job in ipairs(answer.queued_jobs) do
          pending[#pending + 1] = job.job_id
        end
      end },
      { "start_next_pending_job_execution", iotjobs.StartNextPendingJobExecutionSubscriptionRequest,
        function(answer)
          if not answer.execution then
            return done_working()
          end
          assert(client:publish_update_job_execution(iotjobs.UpdateJobExecutionRequest{
            thing_name = thing_name, job_id = answer.execution.job_id,
            status = iotjobs.JobStatus.SUCCEEDED }, AT_LEAST_ONCE):result(PATIENCE))
          done[#done + 1] = answer.execution.job_id
        end },
      { "update_job_execution", iotjobs.UpdateJobExecutionSubscriptionRequest, done_working },
    }
    for _, entry in ipairs(callbacks) do
      local name, class, callback = table.unpack(entry)
      local request = class{ thing_name = thing_name }
      if name == "update_job_execution" then
        request.job_id = "+"
      end
      for ending, fn in pairs{ accepted = callback, rejected = rejected } do
        assert(client["subscribe_to_" .. name .. "_" .. ending](client, request, AT_LEAST_ONCE, fn)
          :result(PATIENCE))
      end
    end
    assert(client:subscribe_to_next_job_execution_changed_events(
      iotjobs.NextJobExecutionChangedSubscriptionRequest{ thing_name = thing_name }, AT_LEAST_ONCE,
      function(event)
        if event.execution then
          try_start_next()
        end
      end):result(PATIENCE))
    assert(client:publish_get_pending_job_executions(iotjobs.GetPendingJobExecutionsRequest{
      thing_name = thing_name }, AT_LEAST_ONCE):result(PATIENCE))
    try_start_next()
    wait_until(function() return #done == 2 and not working end, PATIENCE, "two jobs")
    world:create("third", '{"operation":"x"}')
    wait_until(function() return #done == 3 end, PATIENCE, "the third job")
    assert.same({ "first", "second" }, pending)
    assert.same({ "first", "second", "third" }, done)
    assert.equal("SUCCEEDED", world:ended("third").status)
  end)

  describe("where the broker refuses", function()
    local broker, connection, client, dir

    setup(function()
      local plugin = DYNAMIC_SECURITY:format("x86_64-linux-gnu")
      if not fs.stat(plugin) then
        plugin = DYNAMIC_SECURITY:format("aarch64-linux-gnu")
      end
      dir = assert(fs.tempdir())
      local rules = dir .. "/rules.json"
      local function acl(kind, topic, allow)
        return { acltype = kind, topic = topic, priority = allow and 0 or 1, allow = allow }
      end
      assert(fs.write(rules, json.encode{
        defaultACLAccess = { publishClientSend = true, publishClientReceive = true,
          subscribe = false, unsubscribe = true },
        groups = { { groupname = "all", roles = { { rolename = "device" } } } },
        anonymousGroup = "all",
        roles = { { rolename = "device", acls = {
          acl("subscribePattern", "$aws/things/gw-1/#", true),
          acl("subscribePattern", GW .. "notify-next", false),
          acl("subscribePattern", GW .. "+/update/accepted", false),
          acl("publishClientSend", GW .. "start-next", false),
        } } },
      }))
      broker = brokers.start{ conf = ("plugin %s\nplugin_opt_config_file %s"):format(plugin,
        rules) }
      connection = mqtt.connect(broker:options{ client_id = "device", protocol = 5 })
      client = iotjobs.IotJobsClient(connection, { thing_name = "gw-1", operation_timeout = 5 })
      assert(connection:wait_up(PATIENCE))
    end)

    teardown(function()
      connection:close()
      broker:stop()
      fs.remove(dir, { recursive = true })
    end)

    it("names the topic and the policy action of a subscription", function()
      local granted, message, code = client:subscribe_to_update_job_execution_accepted(
        { job_id = "+" }, 1, function() end):result(PATIENCE)
      assert.is_nil(granted)
      assert.equal("EREFUSED", code)
      assert.matches("refused the subscription to " .. GW .. "+/update/accepted", message, 1, true)
      assert.matches("iot:Subscribe on topicfilter/" .. GW .. "*/update/accepted", message, 1,
        true)
      assert.equal(1, client:subscribe_to_job_executions_changed_events({}, 1,
        function() end):result(PATIENCE))
    end)

    it("fails a request with it, and halts a stream", function()
      local response, problem = client:update_job_execution{ job_id = "j", status = "FAILED" }
      assert.is_nil(response)
      assert.equal("EREFUSED", problem.code)
      local halted
      client:create_next_job_execution_changed_stream{
        on_status = function(...) halted = { ... } end }:open()
      wait_until(function() return halted end, PATIENCE, "halted")
      assert.equal("halted", halted[1])
      assert.matches("iot:Subscribe on topicfilter/" .. GW .. "notify-next", halted[2], 1, true)
    end)

    it("names the policy action of a message that the broker does not take (MQTT 5)", function()
      local sent, message, code =
        client:publish_start_next_pending_job_execution({}, 1):result(PATIENCE)
      assert.is_nil(sent)
      assert.equal("EREFUSED", code)
      assert.matches("iot:Publish on topic/" .. GW .. "start-next", message, 1, true)
      local _, problem = client:start_next_pending_job_execution{}
      assert.equal("EREFUSED", problem.code)
      assert.matches("iot:Publish on topic/" .. GW .. "start-next", problem.message, 1, true)
    end)
  end)
end)
