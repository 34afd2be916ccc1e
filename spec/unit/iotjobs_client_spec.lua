-- The client of iotjobs over a connection that the spec plays.

local atomic = require("hob.atomic")
local exec = require("hob.exec")
local fakes = require("spec.support.fake_connection")
local iotjobs = require("iotjobs")
local json = require("hob.json")
local lfs = require("lfs")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = 10
local HERE = debug.getinfo(1, "S").short_src
local GW = "$aws/things/gw-1/jobs/"

describe("iotjobs.IotJobsClient", function()
  local fake, client

  local function new(options, connection)
    options = options or {}
    options.operation_timeout = options.operation_timeout or PATIENCE
    return iotjobs.IotJobsClient(connection or fake, options)
  end

  before_each(function()
    fake = fakes.new()
    client = new()
  end)

  local function in_a_task(fn)
    local done
    time.after(0, function() done = table.pack(pcall(fn)) end)
    return function()
      wait_until(function() return done end, PATIENCE, "a task")
      assert(done[1], done[2])
      return table.unpack(done, 2, done.n)
    end
  end

  local function posted(count)
    wait_until(function() return #fake.posted >= count end, PATIENCE, count .. " requests")
    return json.decode(fake.posted[count].payload), fake.posted[count]
  end

  local function answer(topic, body, ending)
    fake:deliver(topic .. (ending or "/accepted"), json.encode(body))
  end

  -- Every request is accepted at once, with its token.
  local function obliging()
    fake.on_post = function(topic, payload)
      answer(topic, { timestamp = 1, clientToken = json.decode(payload).clientToken })
      return true
    end
  end

  local function update(fields)
    local whole = { thing_name = "gw-1", job_id = "j-1", status = "SUCCEEDED" }
    for name, value in pairs(fields or {}) do
      whole[name] = value
    end
    return iotjobs.UpdateJobExecutionRequest(whole)
  end

  describe("made", function()
    it("without a connection says what to pass", function()
      local ok, message = pcall(function() iotjobs.IotJobsClient() end)
      assert.is_false(ok)
      assert.equal(("%s:%d: no connection given and no running gateway here: pass "
        .. "require(\"hob.mqtt\").connect{...}"):format(HERE,
        debug.getinfo(1, "l").currentline - 4), message)
    end)

    it("raises on what is no connection, and on options that it does not know", function()
      local function says(words, ...)
        local ok, message = pcall(iotjobs.IotJobsClient, ...)
        assert.is_false(ok)
        assert.matches(words, message, 1, true)
      end
      says("connection: expected one of hob.mqtt, got number", 7)
      says("connection: expected one of hob.mqtt, got table", {})
      says("unknown option 'timeout'", fake, { timeout = 1 })
      says("operation_timeout: expected seconds, more than 0", fake, { operation_timeout = 0 })
      says("operation_timeout: expected a number, got string", fake, { operation_timeout = "1" })
      says("namespace: expected 1-64 of [a-zA-Z0-9_-], got 'a/b'", fake, { namespace = "a/b" })
      says("options: expected a table, got string", fake, "ns")
      says("and at most 86400, got 86401", fake, { operation_timeout = 86401 })
      says("namespace: expected 1-64 of", fake, { namespace = ("n"):rep(65) })
      new({ operation_timeout = 86400, namespace = ("n"):rep(64) })
    end)

    it("shows the models as members of iotjobs", function()
      assert.equal("IN_PROGRESS", iotjobs.JobStatus.IN_PROGRESS)
      assert.equal("RejectedError", iotjobs.RejectedError{ code = "InvalidJson" }.class)
    end)
  end)

  describe("publish", function()
    local PUBLISHES = {
      describe_job_execution = { fields = { job_id = "$next" }, topic = "$next/get" },
      get_pending_job_executions = { fields = {}, topic = "get" },
      start_next_pending_job_execution = { fields = {}, topic = "start-next" },
      update_job_execution = { fields = { job_id = "j-1", status = "FAILED" },
        topic = "j-1/update" },
    }

    for name, case in pairs(PUBLISHES) do
      it(name .. " puts the request on its topic, and is done when the broker has it", function()
        local fields = { thing_name = "gw-1", client_token = "mine" }
        for key, value in pairs(case.fields) do
          fields[key] = value
        end
        local future = client["publish_" .. name](client, fields, 1)
        assert.is_false(future:done())
        assert.is_true(future:result(PATIENCE))
        local body, message = posted(1)
        assert.equal(GW .. case.topic, message.topic)
        assert.equal(1, message.qos)
        assert.same({ clientToken = "mine", status = case.fields.status }, body)
      end)
    end

    it("says that the connection broke before the broker confirmed it", function()
      fake.on_post = function() return nil, "not connected to the broker", "ENOTCONN" end
      local ok, message, code = client:publish_update_job_execution(update(), 1):result(PATIENCE)
      assert.is_nil(ok)
      assert.equal("publishing on " .. GW .. "j-1/update: the connection broke before the broker "
        .. "confirmed it", message)
      assert.equal("ENOTCONN", code)
    end)

    it("gives nil, message and code when the broker does not take it", function()
      fake.on_post = function() return nil, "the broker refused it", "EREFUSED" end
      local ok, message, code = client:publish_update_job_execution(update(), 1):result(PATIENCE)
      assert.is_nil(ok)
      assert.equal("the broker refused the message on $aws/things/gw-1/jobs/j-1/update: the IoT "
        .. "policy must allow iot:Publish on topic/$aws/things/gw-1/jobs/j-1/update", message)
      assert.equal("EREFUSED", code)
      fake.up = false
      ok, message, code = client:publish_update_job_execution(update(), 0):result(PATIENCE)
      assert.same({ n = 3, nil, "publishing on $aws/things/gw-1/jobs/j-1/update: "
        .. "not connected to the broker", "ENOTCONN" }, table.pack(ok, message, code))
    end)

    it("raises on misuse, at the caller's line", function()
      local function says(words, fn)
        local ok, message = pcall(fn)
        assert.is_false(ok)
        assert.matches(words, message, 1, true)
        assert.equal(HERE, message:match("^(.-):%d+: "))
      end
      says("expected a UpdateJobExecutionRequest, got DescribeJobExecutionRequest", function()
        client:publish_update_job_execution(iotjobs.DescribeJobExecutionRequest{}, 1)
      end)
      says("expected a UpdateJobExecutionRequest, got nil", function()
        client:publish_update_job_execution(nil, 1)
      end)
      says("qos: expected 0 or 1, got 2", function()
        client:publish_update_job_execution(update(), 2)
      end)
      says("UpdateJobExecutionRequest.thing_name is required", function()
        client:publish_update_job_execution({ job_id = "j", status = "FAILED" }, 1)
      end)
      says("callback: expected a function, got nil", function()
        client:subscribe_to_update_job_execution_accepted({ thing_name = "t", job_id = "+" }, 1)
      end)
      says("UpdateJobExecutionRequest.status", function()
        client:update_job_execution({ thing_name = "gw-1", job_id = "j", status = "QUEUED" })
      end)
      says("unknown option 'on_evnt'", function()
        client:create_job_executions_changed_stream{ thing_name = "t", on_evnt = print }
      end)
      for _, fn in ipairs{
        function() client.publish_update_job_execution(update(), 1) end,
        function() client.subscribe_to_job_executions_changed_events({}, 1, print) end,
        function() client.create_job_executions_changed_stream{} end,
        function() client.unsubscribe("topic") end,
        function() assert(client.update_job_execution(update())) end,
      } do
        says("this is a method of a client: client:method(...), with a colon", fn)
      end
      says("on_event: expected a function, got string", function()
        client:create_job_executions_changed_stream{ thing_name = "t", on_event = "x" }
      end)
    end)

    it("takes the gateway's thing where the request names none", function()
      local agents = new(nil, fakes.new("gw-7"))
      assert.equal("gw-7", agents.thing_name)
      fake = agents.connection
      agents:publish_get_pending_job_executions({}, 1)
      agents:publish_get_pending_job_executions({ thing_name = "gw-8" }, 1)
      assert.equal("$aws/things/gw-7/jobs/get", fake.posted[1].topic)
      assert.equal("$aws/things/gw-8/jobs/get", fake.posted[2].topic)
    end)
  end)

  describe("with a namespace", function()
    before_each(function() client = new{ namespace = "NS" } end)

    it("uses the topics of it", function()
      client:publish_describe_job_execution({ thing_name = "gw-1", job_id = "$next" }, 1)
      client:publish_update_job_execution(update(), 1)
      assert.equal(GW .. "$next/namespace-NS/get", fake.posted[1].topic)
      assert.equal(GW .. "j-1/namespace-NS/update", fake.posted[2].topic)
      local thing = { thing_name = "gw-1" }
      local _, topic = client:subscribe_to_job_executions_changed_events(thing, 1, print)
      assert.equal(GW .. "notify-namespace-NS", topic)
      _, topic = client:subscribe_to_next_job_execution_changed_events(thing, 1, print)
      assert.equal(GW .. "notify-next-namespace-NS", topic)
      _, topic = client:subscribe_to_update_job_execution_rejected({ thing_name = "gw-1",
        job_id = "+" }, 1, print)
      assert.equal(GW .. "+/namespace-NS/update/rejected", topic)
    end)

    it("raises for the two operations that have none", function()
      for _, name in ipairs{ "get_pending_job_executions", "start_next_pending_job_execution" } do
        assert.error_matches(function() client[name](client, { thing_name = "gw-1" }) end,
          name .. ": has no topic of its own in a namespace")
      end
    end)
  end)

  describe("subscribe", function()
    local SUBSCRIBES = {
      describe_job_execution_accepted = { "+/get/accepted", "DescribeJobExecutionResponse" },
      describe_job_execution_rejected = { "+/get/rejected", "RejectedError" },
      get_pending_job_executions_accepted = { "get/accepted", "GetPendingJobExecutionsResponse" },
      get_pending_job_executions_rejected = { "get/rejected", "RejectedError" },
      start_next_pending_job_execution_accepted = { "start-next/accepted",
        "StartNextJobExecutionResponse" },
      start_next_pending_job_execution_rejected = { "start-next/rejected", "RejectedError" },
      update_job_execution_accepted = { "+/update/accepted", "UpdateJobExecutionResponse" },
      update_job_execution_rejected = { "+/update/rejected", "RejectedError" },
      job_executions_changed_events = { "notify", "JobExecutionsChangedEvent" },
      next_job_execution_changed_events = { "notify-next", "NextJobExecutionChangedEvent" },
    }

    for name, case in pairs(SUBSCRIBES) do
      it("to_" .. name .. " calls back with " .. case[2], function()
        local got = {}
        local request = { thing_name = "gw-1" }
        if case[1]:find("+", 1, true) then
          request.job_id = "+"
        end
        local future, topic = client["subscribe_to_" .. name](client, request, 1, function(object)
          got[#got + 1] = object
        end)
        assert.equal(GW .. case[1], topic)
        assert.equal(1, future:result(PATIENCE))
        fake:deliver((topic:gsub("%+", "j-9")), '{"timestamp":12}')
        wait_until(function() return #got == 1 end, PATIENCE, "the callback")
        assert.equal(case[2], got[1].class)
        assert.equal(12, got[1].timestamp)
      end)
    end

    local THING = { thing_name = "gw-1" }

    it("names the policy action that is missing when it is refused", function()
      fake.grant = function() return nil, "the broker refused it", "EREFUSED" end
      local granted, message, code = client:subscribe_to_update_job_execution_accepted(
        { thing_name = "gw-1", job_id = "+" }, 1, print):result(PATIENCE)
      assert.is_nil(granted)
      assert.equal("the broker refused the subscription to "
        .. "$aws/things/gw-1/jobs/+/update/accepted: the IoT policy must allow iot:Subscribe on "
        .. "topicfilter/$aws/things/gw-1/jobs/*/update/accepted and iot:Receive on "
        .. "topic/$aws/things/gw-1/jobs/*/update/accepted", message)
      assert.equal("EREFUSED", code)
      assert.same({}, fake:filters())
    end)

    it("lets two callbacks hear one topic, and ends both with unsubscribe", function()
      local heard = {}
      local _, topic = client:subscribe_to_job_executions_changed_events(THING, 1,
        function() heard[#heard + 1] = "a" end)
      client:subscribe_to_job_executions_changed_events(THING, 0,
        function() heard[#heard + 1] = "b" end):result(PATIENCE)
      fake:deliver(topic, "{}")
      wait_until(function() return #heard == 2 end, PATIENCE, "both")
      table.sort(heard)
      assert.same({ "a", "b" }, heard)
      assert.is_true(client:unsubscribe(topic):result(PATIENCE))
      assert.same({}, fake:filters())
      local ok, message, code = client:unsubscribe(topic):result(0)
      assert.same({ n = 3, nil, "not subscribed to " .. topic, "ENOENT" },
        table.pack(ok, message, code))
    end)

    it("gives nil and a message for what it cannot decode, and goes on", function()
      local got = {}
      local future, topic = client:subscribe_to_job_executions_changed_events(THING, 1,
        function(...) got[#got + 1] = table.pack(...) end)
      assert(future:result(PATIENCE))
      local hostile = { "", "[]", "\xff\xfe", "{", ("["):rep(200), '{"timestamp":"x"}',
        '{"jobs":[1]}', '"text"', ("x"):rep(1 << 20) }
      for i, payload in ipairs(hostile) do
        fake:deliver(topic, payload)
        wait_until(function() return #got == i end, PATIENCE, "answer to " .. payload:sub(1, 20))
        assert.is_nil(got[i][1], payload:sub(1, 20))
        assert.equal("string", type(got[i][2]))
      end
      fake:deliver(topic, '{"timestamp":3}')
      wait_until(function() return #got == #hostile + 1 end, PATIENCE, "the good one")
      assert.equal(3, got[#got][1].timestamp)
    end)

    it("goes on when a callback raises", function()
      local count = 0
      local future, topic = client:subscribe_to_job_executions_changed_events(THING, 1, function()
        count = count + 1
        error("oh")
      end)
      assert(future:result(PATIENCE))
      fake:deliver(topic, "{}")
      fake:deliver(topic, "{}")
      wait_until(function() return count == 2 end, PATIENCE, "two calls")
    end)

    it("waits for a connection, and asks each new one again", function()
      fake:state("down", "gone", "ECONNRESET", 1)
      local future, topic = client:subscribe_to_job_executions_changed_events(THING, 1, print)
      local _, _, code = future:result(0)
      assert.equal("ETIMEDOUT", code)
      fake:state("up", false)
      assert.equal(1, future:result(PATIENCE))
      fake:state("down", "gone", "ECONNRESET", 1)
      fake:state("up", false)
      wait_until(function() return #fake.asked == 2 end, PATIENCE, "the second SUBSCRIBE")
      assert.same({ topic, topic }, fake.asked)
    end)

    it("stays, though a later connection refuses it, and is asked for again on the next", function()
      local got = {}
      local future, topic = client:subscribe_to_job_executions_changed_events(THING, 1,
        function(event) got[#got + 1] = event.timestamp end)
      assert(future:result(PATIENCE))
      fake.grant = function() return nil, "the broker refused it", "EREFUSED" end
      fake:state("up", false)
      wait_until(function() return #fake.asked == 2 end, PATIENCE, "the refused SUBSCRIBE")
      fake.grant = function() return 1 end
      fake:state("up", false)
      wait_until(function() return #fake.asked == 3 end, PATIENCE, "the third SUBSCRIBE")
      fake:deliver(topic, '{"timestamp":4}')
      wait_until(function() return got[1] end, PATIENCE, "an event")
      assert.same({ 4 }, got)
    end)

    it("gives up when the connection breaks with every SUBSCRIBE, as on AWS IoT", function()
      fake.grant = function() return nil, "not connected", "ENOTCONN" end
      local future = client:subscribe_to_job_executions_changed_events(THING, 1, print)
      for i = 1, 2 do
        wait_until(function() return #fake.asked == i end, PATIENCE, "SUBSCRIBE " .. i)
        fake:state("up", false)
      end
      local ok, message, code = future:result(PATIENCE)
      assert.is_nil(ok)
      assert.matches("the connection broke 3 times while subscribing", message)
      assert.equal("EREFUSED", code)
    end)

    it("is over when the connection is closed", function()
      assert(client:subscribe_to_job_executions_changed_events(THING, 1, print):result(PATIENCE))
      fake:state("closed")
      wait_until(function() return #fake:filters() == 0 end, PATIENCE, "its end")
      assert.is_nil(next(client.standing))
    end)

    it("takes the operation's own request, as AWS's examples do", function()
      local request = iotjobs.UpdateJobExecutionRequest{ thing_name = "gw-1", job_id = "j-1",
        status = "FAILED", client_token = "mine" }
      local future, topic = client:subscribe_to_update_job_execution_accepted(request, 1, print)
      assert.equal(1, future:result(PATIENCE))
      assert.equal(GW .. "j-1/update/accepted", topic)
      assert.error_matches(function()
        client:subscribe_to_update_job_execution_accepted(
          iotjobs.DescribeJobExecutionRequest{ thing_name = "gw-1", job_id = "j-1" }, 1, print)
      end, "expected a UpdateJobExecutionSubscriptionRequest, got DescribeJobExecutionRequest")
      assert.error_matches(function()
        client:subscribe_to_update_job_execution_accepted({ thing_name = "gw-1", job_id = "j-1",
          status = "FAILED" }, 1, print)
      end, "has no field 'status'")
    end)

    it("fails when it is ended before the broker answered", function()
      fake.grant = function() return "never" end
      local future, topic = client:subscribe_to_job_executions_changed_events(THING, 1, print)
      assert.is_true(client:unsubscribe(topic):result(PATIENCE))
      local granted, message, code = future:result(PATIENCE)
      assert.is_nil(granted)
      assert.equal("subscribing to " .. topic .. ": it was ended before the broker answered",
        message)
      assert.equal("ECANCELED", code)
      future = client:subscribe_to_job_executions_changed_events(THING, 1, print)
      client:close()
      assert.equal("ECANCELED", select(3, future:result(PATIENCE)))
    end)

    it("fails with what the connection says of a topic that it does not take", function()
      fake.refuse = "gw-1"
      local ok, message, code =
        client:subscribe_to_job_executions_changed_events(THING, 1, print):result(PATIENCE)
      assert.is_nil(ok)
      assert.matches("not here", message)
      assert.equal("EACCES", code)
    end)
  end)

  describe("a request", function()
    it("waits for the answer with its own token", function()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      local body, message = posted(1)
      assert.same({ GW .. "j-1/update/accepted", GW .. "j-1/update/rejected" }, fake:filters())
      assert.equal(1, message.qos)
      assert.matches("^%x+$", body.clientToken)
      answer(message.topic, { clientToken = "another's", timestamp = 1 })
      answer(message.topic, { timestamp = 2 })
      answer(message.topic, { clientToken = 5, timestamp = 3 })
      answer(GW .. "j-2/update", { clientToken = body.clientToken, timestamp = 4 })
      fake:deliver(message.topic .. "/accepted", "{")
      fake:deliver(message.topic .. "/rejected", "[]")
      fake:deliver("$aws/things/gw-2/jobs/j-1/update/accepted",
        json.encode{ clientToken = body.clientToken, timestamp = 5 })
      answer(message.topic, { clientToken = body.clientToken, timestamp = 6 })
      local response, problem = join()
      assert.is_nil(problem)
      assert.equal(6, response.timestamp)
      assert.equal(body.clientToken, response.client_token)
    end)

    it("leaves the caller's request as it was", function()
      obliging()
      local request = update()
      assert(client:update_job_execution(request))
      assert.is_nil(request.client_token)
    end)

    it("uses a given token, but not while another request waits with it", function()
      local join = in_a_task(function()
        return client:update_job_execution(update{ client_token = "mine" })
      end)
      local body, message = posted(1)
      assert.equal("mine", body.clientToken)
      assert.error_matches(function()
        client:update_job_execution(update{ client_token = "mine" })
      end,
        "client_token: 'mine' is that of a request which has no answer yet")
      answer(message.topic, { clientToken = "mine", timestamp = 1 })
      assert.truthy(join())
      obliging()
      assert.truthy(client:update_job_execution(update{ client_token = "mine" }))
    end)

    it("gives nil and an error that carries the rejection", function()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      local body, message = posted(1)
      answer(message.topic, { clientToken = body.clientToken, timestamp = 1,
        code = "VersionMismatch", message = "Expected version 9 but found version 2",
        executionState = { status = "IN_PROGRESS", versionNumber = 2 } }, "/rejected")
      local response, problem = join()
      assert.is_nil(response)
      assert.equal("EREJECTED", problem.code)
      assert.equal("VersionMismatch", problem.modeled.code)
      assert.equal(2, problem.modeled.execution_state.version_number)
      assert.equal("$aws/things/gw-1/jobs/j-1/update: rejected: VersionMismatch: "
        .. "Expected version 9 but found version 2", problem.message)
      assert.equal(problem.message, tostring(problem))
    end)

    it("serves many tasks at once, whatever the order of the answers", function()
      local joins, count = {}, 64
      for i = 1, count do
        joins[i] = in_a_task(function()
          local response = assert(client:describe_job_execution{ thing_name = "gw-1",
            job_id = "j-" .. i % 7 })
          return response.timestamp
        end)
      end
      posted(count)
      local expected = {}
      for i = count, 1, -1 do
        local body, message = posted(i)
        answer(message.topic, { clientToken = body.clientToken, timestamp = i })
        expected[i] = true
      end
      for i = 1, count do
        expected[joins[i]()] = nil
      end
      assert.is_nil(next(expected))
      assert.equal(14, #fake.asked) -- a pair for each of seven jobs
    end)

    it("has 64 under way; more wait for their turn", function()
      local joins = {}
      for i = 1, 300 do
        joins[i] = in_a_task(function() return client:update_job_execution(update()) end)
      end
      for i = 1, 300 do
        local body, message = posted(i)
        assert.is_true(#fake.posted <= 63 + i)
        answer(message.topic, { clientToken = body.clientToken, timestamp = i })
      end
      for i = 1, 300 do
        assert(joins[i]())
      end
    end)

    it("does not take an answer that bears its token on another topic", function()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      local other = in_a_task(function()
        return client:update_job_execution(update{ job_id = "j-2" })
      end)
      local bodies = {}
      posted(2)
      for _, message in ipairs(fake.posted) do
        bodies[message.topic] = json.decode(message.payload).clientToken
      end
      local first, second = GW .. "j-1/update", GW .. "j-2/update"
      answer(second, { clientToken = bodies[first], timestamp = 1 })
      answer(second, { clientToken = bodies[second], timestamp = 2 })
      assert.equal(2, other().timestamp)
      answer(first, { clientToken = bodies[first], timestamp = 3 })
      assert.equal(3, join().timestamp)
    end)

    it("takes the answer that came while it looked at what only seemed to be one", function()
      local expected
      function fake.expect(_, future)
        expected = future
      end
      client = new()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      local body, message = posted(1)
      atomic.run(function() -- before that task goes on
        expected:resolve('{"timestamp":1,"executionState":{}}', "accepted")
        for one in pairs(fake.listeners) do
          assert.is_true(one.loses)
          if one.filter:find("accepted$") then
            one.fn(message.topic .. "/accepted",
              json.encode{ timestamp = 2, clientToken = body.clientToken })
          end
        end
      end)
      assert.equal(2, join().timestamp)
    end)

    it("lets go of a pair of topics that was long unused", function()
      obliging()
      assert(client:update_job_execution(update{ job_id = "old" }))
      client.pairs[GW .. "old/update"].used = time.mono() - 301
      assert(client:update_job_execution(update{ job_id = "new" }))
      assert.same({ GW .. "new/update/accepted", GW .. "new/update/rejected" }, fake:filters())
    end)

    it("waits for the connection, however often an attempt fails meanwhile", function()
      obliging()
      fake.up = false
      local joins = {}
      for i = 1, 80 do
        joins[i] = in_a_task(function() return client:update_job_execution(update()) end)
      end
      for _ = 1, 3 do
        local told
        fake.watches[#fake.watches + 1] = function() told = true end
        fake:state("down", "refused", "ECONNREFUSED", 1)
        wait_until(function() return told end, PATIENCE, "the attempt")
      end
      fake:state("up", false)
      for i = 1, 80 do
        assert(joins[i]())
      end
    end)

    it("keeps no more than 16 pairs of topics when nobody waits", function()
      obliging()
      for i = 1, 100 do
        assert(client:start_next_pending_job_execution{ thing_name = "gw-" .. i })
      end
      assert.equal(2 * 16, #fake:filters())
      assert.equal("$aws/things/gw-100/jobs/start-next/accepted", fake:filters()[1])
      assert.equal(200, #fake.asked)
      assert(client:start_next_pending_job_execution{ thing_name = "gw-99" })
      assert.equal(200, #fake.asked) -- that one was still there
      assert.is_nil(next(client.waiting))
    end)

    it("asks for the answers about every job at once when it has seen eight", function()
      obliging()
      for i = 1, 100 do
        assert(client:update_job_execution(update{ job_id = "j-" .. i }))
      end
      assert.same({ GW .. "+/update/accepted", GW .. "+/update/rejected" }, fake:filters())
      assert.equal(2 * 8 + 2, #fake.asked)
      assert(client:describe_job_execution{ thing_name = "gw-1", job_id = "$next" })
      assert.equal(GW .. "$next/get/accepted", fake:filters()[1])
    end)

    local function see_eight_jobs()
      obliging()
      for i = 1, 8 do
        assert(client:update_job_execution(update{ job_id = "seen-" .. i }))
      end
    end

    it("takes no other job's answer among those about every job", function()
      see_eight_jobs()
      fake.on_post = function() return true end
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      local body, message = posted(9)
      answer(GW .. "j-2/update", { clientToken = body.clientToken, timestamp = 1 })
      answer(GW .. "j-11/update", { clientToken = body.clientToken, timestamp = 2 })
      answer(message.topic, { clientToken = "another's", timestamp = 3 })
      answer(message.topic, { clientToken = body.clientToken, timestamp = 4 })
      assert.equal(4, join().timestamp)
    end)

    it("asks for each job where the broker refuses all of them", function()
      see_eight_jobs()
      local refused = 0
      fake.grant = function(filter)
        if filter:find("+", 1, true) then
          refused = refused + 1
          return nil, "the broker refused it", "EREFUSED"
        end
        return 0
      end
      for i = 1, 20 do
        assert(client:update_job_execution(update{ job_id = "j-" .. i }))
      end
      assert.equal(2, refused)
      assert.equal(2 * 16, #fake:filters())
    end)

    it("asks for each job where the connection broke as it asked for all of them", function()
      see_eight_jobs()
      fake.grant = function(filter)
        return filter:find("+", 1, true) and "never" or 0
      end
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      wait_until(function() return #fake.asked == 18 end, PATIENCE, "the subscription")
      fake:state("down", "reset by peer", "ECONNRESET", 1)
      local _, problem = join()
      assert.equal("ENOTCONN", problem.code)
      fake:state("up", false)
      for i = 1, 10 do
        assert(client:update_job_execution(update{ job_id = "j-" .. i }))
      end
      assert.equal(18 + 20, #fake.asked)
    end)

    it("has the answers delivered at QoS 0, and its requests at QoS 1", function()
      local asked
      fake.grant = function(_, qos)
        asked = qos
        return qos
      end
      obliging()
      assert(client:update_job_execution(update()))
      assert.equal(0, asked)
      assert.equal(1, fake.posted[1].qos)
    end)

    local function fails(code, words, fn)
      local response, problem = (fn or function()
        return client:update_job_execution(update())
      end)()
      assert.is_nil(response)
      assert.equal(code, problem.code)
      assert.matches(words, problem.message, 1, true)
      assert.is_nil(problem.modeled)
      assert.is_nil(next(client.waiting))
    end

    it("says which time was over", function()
      obliging()
      assert(client:update_job_execution(update())) -- so that its answers are subscribed to
      fake.on_post = function() return true end
      client.operation_timeout = 0.02
      fails("ETIMEDOUT", GW .. "j-1/update: no answer within 0.02 s")
      fake.grant = function() return "never" end
      fails("ETIMEDOUT", "the broker did not answer the subscription within 0.02 s", function()
        return client:update_job_execution(update{ job_id = "j-2" })
      end)
      fake.up = false
      fails("ENOTCONN", "not connected to the broker: no connection within the time given")
    end)

    it("says what was refused", function()
      fake.on_post = function() return nil, "the broker refused it", "EREFUSED" end
      fails("EREFUSED", "the IoT policy must allow iot:Publish on topic/" .. GW .. "j-1/update")
      fake.grant = function(filter)
        if filter:find("rejected") then
          return nil, "the broker refused it", "EREFUSED"
        end
        return 1
      end
      fails("EREFUSED", "the IoT policy must allow iot:Subscribe on topicfilter/" .. GW
        .. "j-2/update/rejected", function()
        return client:update_job_execution(update{ job_id = "j-2" })
      end)
    end)

    it("ends when the connection breaks, or is closed, and says which", function()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      posted(1)
      fake:state("down", "reset by peer", "ECONNRESET", 1)
      fails("ENOTCONN", "the connection broke (reset by peer) before the answer came", join)
      fake:state("up", false)
      join = in_a_task(function() return client:update_job_execution(update()) end)
      posted(2)
      fake:state("closed")
      fails("ECANCELED", "the connection was closed before the answer came", join)
      fails("ECANCELED", "the connection was closed")
      assert.equal(2, #fake.posted)
    end)

    it("subscribes anew after the connection broke", function()
      obliging()
      assert(client:update_job_execution(update()))
      fake:state("down", "gone", "ECONNRESET", 1)
      wait_until(function() return #fake:filters() == 0 end, PATIENCE, "the end of the pair")
      fake:state("up", false)
      assert(client:update_job_execution(update()))
      assert.equal(4, #fake.asked)
    end)

    it("says of one whose turn did not come that it was not sent", function()
      client = new{ operation_timeout = 0.05 }
      local long = new()
      long.turns = client.turns
      for _ = 1, 64 do
        in_a_task(function() return long:update_job_execution(update()) end)
      end
      posted(64)
      fails("ETIMEDOUT", "too many requests are under way: it was not sent within 0.05 s",
        in_a_task(function() return client:update_job_execution(update()) end))
      assert.equal(64, #fake.posted)
      long:close()
      obliging()
      client.operation_timeout = PATIENCE
      assert(client:update_job_execution(update()))
    end)

    it("asks for the answers' topics anew when the broker said nothing to that", function()
      local grant = fake.grant
      fake.grant = function() return "never" end
      client = new{ operation_timeout = 0.02 }
      fails("ETIMEDOUT", "the broker did not answer the subscription",
        in_a_task(function() return client:update_job_execution(update()) end))
      assert.same({}, fake:filters())
      fake.grant = grant
      obliging()
      client.operation_timeout = PATIENCE
      assert(client:update_job_execution(update()))
    end)

    it("ends with the client, also when its turn has not come", function()
      local joins = {}
      for i = 1, 70 do
        joins[i] = in_a_task(function() return client:update_job_execution(update()) end)
      end
      posted(64)
      wait_until(function() return client.turns.last - client.turns.first + 1 == 6 end, PATIENCE,
        "six that wait")
      client:close()
      for i = 1, 70 do
        fails("ECANCELED", "the client was closed", joins[i])
      end
      assert.equal(64, #fake.posted)
      assert.equal(64, client.turns.free)
    end)

    it("ends with the client", function()
      local join = in_a_task(function() return client:update_job_execution(update()) end)
      posted(1)
      client:close()
      fails("ECANCELED", "the client was closed before the answer came", join)
      assert.same({}, fake:filters())
      assert.equal(0, #fake.watches)
    end)
  end)

  describe("a stream", function()
    local told, stream

    before_each(function()
      told = {}
      stream = client:create_next_job_execution_changed_stream{
        thing_name = "gw-1",
        on_event = function(event) told[#told + 1] = event.timestamp end,
        on_status = function(status, why) told[#told + 1] = why and { status, why } or status end,
        on_failure = function(message, topic, payload)
          told[#told + 1] = { type(message), topic, payload }
        end,
      }
    end)

    local function heard(count)
      wait_until(function() return #told >= count end, PATIENCE, count .. " events")
      return told[count]
    end

    it("is established, tells events and failures, and is silent once closed", function()
      assert.same({}, fake:filters())
      stream:open()
      assert.equal("established", heard(1))
      fake:deliver(GW .. "notify-next", '{"timestamp":5}')
      assert.equal(5, heard(2))
      fake:deliver(GW .. "notify-next", "no JSON")
      assert.same({ "string", GW .. "notify-next", "no JSON" }, heard(3))
      assert.error_matches(function() stream:open() end, "the stream is open already")
      fake:deliver(GW .. "notify-next", '{"timestamp":6}')
      stream:close()
      assert.same({}, fake:filters())
      stream:open()
      assert.equal("established", heard(4))
      assert.equal(4, #told)
    end)

    it("is not told of a loss after it was closed", function()
      stream:open()
      heard(1)
      local closed
      fake.watches[#fake.watches + 1] = function() -- after the client's own
        assert(stream.status == "lost")
        stream:close()
        closed = true
      end
      fake:state("down", "gone", "ECONNRESET", 1)
      wait_until(function() return closed end, PATIENCE, "its end")
      local passed
      time.after(0.005, function() passed = true end)
      wait_until(function() return passed end, PATIENCE, "all that was to be told")
      assert.same({ "established" }, told)
    end)

    it("is not established by an answer that comes after it was closed", function()
      stream:open()
      stream:close()
      local witness = client:create_job_executions_changed_stream{ thing_name = "gw-1" }
      witness:open() -- is answered after it
      wait_until(function() return witness.status == "established" end, PATIENCE, "the other")
      assert.same({}, told)
      assert.equal("closed", stream.status)
    end)

    it("counts only connections that break with one SUBSCRIBE after the other", function()
      stream:open()
      heard(1)
      local grant = fake.grant
      for _ = 1, 3 do
        fake.grant = function() return nil, "not connected", "ENOTCONN" end
        for _ = 1, 2 do
          local asked = #fake.asked
          fake:state("up", false)
          wait_until(function() return #fake.asked > asked end, PATIENCE, "SUBSCRIBE")
        end
        fake.grant = grant
        local count = #told
        fake:state("up", false)
        assert.equal("established", heard(count + 1))
      end
      assert.equal(4, #told)
    end)

    it("is lost with the connection, and established again with the next", function()
      stream:open()
      heard(1)
      fake:state("down", "gone", "ECONNRESET", 1)
      assert.same({ "lost", "gone" }, heard(2))
      fake:state("up", false)
      assert.equal("established", heard(3))
      assert.same({ GW .. "notify-next", GW .. "notify-next" }, fake.asked)
    end)

    it("is established again, though another took its time over the loss", function()
      local slow_may_go, others = false, {}
      local function other(status)
        others[#others + 1] = status
        wait_until(function() return status ~= "lost" or slow_may_go end, PATIENCE, "the end")
      end
      for _ = 1, 8 do -- in whatever order they are told
        client:create_job_executions_changed_stream{ thing_name = "gw-1", on_status = other }:open()
      end
      stream:open()
      heard(1)
      wait_until(function() return #others == 8 end, PATIENCE, "the other streams")
      fake:state("down", "gone", "ECONNRESET", 1)
      wait_until(function() return stream.status == "lost" end, PATIENCE, "the loss")
      fake:state("up", false)
      wait_until(function() return stream.status == "established" and #others == 24 end, PATIENCE,
        "the return")
      slow_may_go = true
      assert.same({ "established", { "lost", "gone" }, "established" }, told)
      assert.equal("established", stream.status)
    end)

    it("opens without a connection, and is established when there is one", function()
      fake.up = false
      stream:open()
      assert.same({}, told)
      fake:state("up", false)
      assert.equal("established", heard(1))
    end)

    it("is halted when the broker refuses, and may be opened again", function()
      fake.grant = function() return nil, "the broker refused it", "EREFUSED" end
      stream:open()
      assert.equal("halted", heard(1)[1])
      assert.matches("must allow iot:Subscribe on topicfilter/%$aws/things/gw%-1/jobs/notify%-next",
        told[1][2])
      fake.grant = function() return 1 end
      fake:state("up", false)
      stream:open()
      assert.equal("established", heard(2))
    end)

    it("is halted when the connection is closed, or breaks with every SUBSCRIBE", function()
      stream:open()
      heard(1)
      fake:state("closed")
      assert.same({ "halted", "the connection was closed" }, heard(2))
      fake = fakes.new()
      fake.grant = function() return nil, "not connected", "ENOTCONN" end
      local halted
      new():create_job_executions_changed_stream{ thing_name = "gw-1",
        on_status = function(status, why) halted = { status, why } end }:open()
      for i = 1, 2 do
        wait_until(function() return #fake.asked == i end, PATIENCE, "SUBSCRIBE " .. i)
        fake:state("up", false)
      end
      wait_until(function() return halted end, PATIENCE, "the halt")
      assert.equal("halted", halted[1])
      assert.matches("the connection broke 3 times", halted[2])
    end)

    it("asks again later when the connection takes no more for now", function()
      local tries = 0
      fake.grant = function()
        tries = tries + 1
        if tries == 1 then
          return nil, "too many messages wait", "EBUSY"
        end
        return 1
      end
      stream:open()
      assert.equal("established", heard(1))
      assert.equal(2, tries)
    end)

    it("goes on when its callbacks raise", function()
      local count = 0
      local raising = client:create_job_executions_changed_stream{
        thing_name = "gw-1", on_status = function() error("in on_status") end,
        on_event = function()
          count = count + 1
          error("in on_event")
        end,
      }
      raising:open()
      wait_until(function() return raising.status == "established" end, PATIENCE, "established")
      fake:deliver(GW .. "notify", "{}")
      fake:deliver(GW .. "notify", "{}")
      wait_until(function() return count == 2 end, PATIENCE, "two events")
    end)
  end)

  -- The log is the process's standard error: so in a process of its own.
  it("says in the log what nobody else would hear of", function()
    local program = lfs.symlinkattributes("/proc/self/exe", "target")
    local result = exec.run{ timeout = 60, program, "lua", "-e", [[
      package.path = "./?.lua;" .. package.path
      local fake = require("spec.support.fake_connection").new()
      local time, heard = require("hob.time"), 0
      local client = require("iotjobs").IotJobsClient(fake, { thing_name = "t" })
      local future, topic = client:subscribe_to_job_executions_changed_events({}, 1, function()
        heard = heard + 1
        error("on purpose")
      end)
      assert(future:result(10))
      fake:deliver(topic, "no JSON")
      fake.grant = function() return nil, "the broker refused it", "EREFUSED" end
      fake:state("up", false)
      while heard < 1 or #fake.asked < 2 do time.sleep(0.001) end
      fake:state("up", false)
      while #fake.asked < 3 do time.sleep(0.001) end -- the refusal comes before that
    ]] }
    assert.equal(0, result.code, result.stderr)
    assert.matches("iotjobs.callback_failed .*the callback for %$aws/things/t/jobs/notify: .*"
      .. "on purpose", result.stderr)
    assert.matches("iotjobs.undecodable .*a message on %$aws/things/t/jobs/notify is no "
      .. "JobExecutionsChangedEvent", result.stderr)
    assert.matches("iotjobs.unsubscribed .*iot:Subscribe", result.stderr)
  end)

  it("is garbage when nobody has it any more, though the connection lives", function()
    local watches = #fake.watches
    local weak = setmetatable({ client = new() }, { __mode = "v" })
    obliging()
    assert(weak.client:update_job_execution(update()))
    assert.same({ GW .. "j-1/update/accepted", GW .. "j-1/update/rejected" }, fake:filters())
    wait_until(function()
      collectgarbage()
      return weak.client == nil
    end, PATIENCE, "its end")
    new() -- whoever comes next clears up
    assert.equal(watches + 1, #fake.watches)
    assert.same({}, fake:filters())
  end)
end)
