-- The table of cases on the service's engine, with a clock in the hand; and each answer as Hob's
-- own decoder reads it.
local benches = require("spec.support.service_bench")
local cases = require("spec.conformance.cases")
local faults = require("hob.service.faults")
local json = require("hob.json")
local player = require("spec.support.case_player")
local protocol = require("hob_units").protocol

local THING = "lamp"
local HEAD = "$aws/things/lamp/jobs/"
local AFTER_A_MINUTE = 61

local STEPS = {
  create = function(world, job, more) world.bench:create(job, THING, more) end,
  ask = function(world, topic, payload) world.bench:ask(THING, topic, payload) end,
  cancel = function(world, job, force)
    world.bench:control("cancel_job", job, {}, force or false, world.bench.now)
  end,
  delete = function(world, job) world.bench:control("delete_job", job, true, world.bench.now) end,
  expire = function(world) world.bench:wait(AFTER_A_MINUTE) end,
  fault = function(world, fault) assert(world.faults:add(fault)) end,
}

local function play(row)
  local world = { bench = benches.new(), faults = faults.new() }
  for _, step in ipairs(row.given) do
    STEPS[step[1]](world, table.unpack(step, 2))
  end
  local topic = HEAD .. row.ask
  local fault = world.faults:of_request(topic)
  local messages = world.bench.engine:handle(topic, row.payload, world.bench.now,
    fault and fault.code)
  for _, message in ipairs(messages) do
    message.short = message.topic:sub(#HEAD + 1)
  end
  return messages
end

---------------------------------------------------------------- the decoder

local function compare_execution(expected, decoded)
  if not expected then
    assert.is_false(decoded.present)
    return
  end
  local document = expected.jobDocument
  assert.same({ expected.jobId, expected.status, expected.versionNumber,
    expected.executionNumber, expected.startedAt ~= nil, true, document or false,
    expected.statusDetails or false, expected.approximateSecondsBeforeTimedOut ~= nil }, {
      decoded.job_id, decoded.status, decoded.version_number, decoded.execution_number,
      decoded.started_at > 0, decoded.queued_at > 0 and decoded.last_updated_at > 0,
      decoded.document and json.decode(decoded.document) or false,
      decoded.details and json.decode(decoded.details) or false,
      decoded.seconds_before_timeout >= 0,
    })
end

local function compare_pending(lists, decoded)
  local n = 0
  for _, list in ipairs{ { "IN_PROGRESS", lists.IN_PROGRESS }, { "QUEUED", lists.QUEUED } } do
    for _, expected in ipairs(list[2] or {}) do
      n = n + 1
      assert.same({ list[1], expected.jobId, expected.versionNumber }, { decoded.pending[n].status,
        decoded.pending[n].job_id, decoded.pending[n].version_number })
    end
  end
  assert.equal(n, #decoded.pending)
end

local function compare_decoded(body, message)
  local decoded, why = protocol.decode(message.topic, THING, message.payload)
  assert(decoded, why)
  assert.same({ body.clientToken or "", body.code or "", true },
    { decoded.token, decoded.code, decoded.timestamp > 0 })
  if body.jobDocument then
    assert.same(body.jobDocument, json.decode(decoded.execution.document))
  else
    compare_execution(body.execution, decoded.execution)
  end
  local state = body.executionState
  assert.same(state and { status = state.status, version_number = state.versionNumber },
    decoded.state)
  compare_pending(body.jobs or { IN_PROGRESS = body.inProgressJobs, QUEUED = body.queuedJobs },
    decoded)
end

local NO_DEVICE_ASKS = { InvalidTopic = true }

describe("the engine says what the table of cases says:", function()
  for _, case in ipairs(cases.rows) do
    it(case.name, function()
      local row = player.ready(case, THING, "job-")
      player.check(row, play(row))
    end)
  end
end)

describe("Hob's decoder reads what the table of cases says:", function()
  for _, case in ipairs(cases.rows) do
    local row = player.ready(case, THING, "job-")
    local id = row.ask:match("^([^/]*)/[^/]*$")
    local strange = NO_DEVICE_ASKS[row.body.code] or row.ask == "$next/update"
      or id and id ~= "$next" and not protocol.id_valid(id)
    it(case.name, function()
      local messages = play(row)
      if strange then
        assert.equal("foreign", protocol.topic_parse(messages[1].topic, THING).kind)
        return
      end
      compare_decoded(row.body, messages[1])
      for i, said in ipairs(row.said) do
        compare_decoded(said[2], messages[i + 1])
      end
    end)
  end
end)
