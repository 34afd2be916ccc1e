-- The table of cases against the device's side: core/jobs/protocol and the module iotjobs have the
-- limits of the table, and what they encode is what its rows ask.
local cases = require("spec.conformance.cases")
local json = require("hob.json")
local limits = require("iotjobs.limits")
local player = require("spec.support.case_player")
local protocol = require("hob_units").protocol

local read = require("spec.support.source").read

local ROOM = 128 * 1024

-- The numbers of all `#define HOB_JOBS_...` in core/jobs.
local function defines()
  local found = {}
  for _, name in ipairs{ "protocol", "topic", "detail" } do
    for define, number in read(("core/jobs/%s.h"):format(name)):gmatch(
      "#define (HOB_JOBS_[A-Z_]+)%s+(%d+)") do
      found[define] = tonumber(number)
    end
  end
  return found
end

local function text_of(count)
  return ("x"):rep(count)
end

local function update(more)
  local request = { job_id = "j", status = "IN_PROGRESS" }
  for name, value in pairs(more) do
    request[name] = value
  end
  return protocol.encode_update(request)
end

local function details_of(count)
  local details = {}
  for i = 1, count do
    details[i] = { key = "k" .. i, value = "v" }
  end
  return details
end

describe("a limit of the table of cases", function()
  local constants = defines()

  for _, limit in ipairs(cases.LIMITS) do
    it(("is one of core/jobs: %s"):format(limit.name), function()
      assert.equal(limit.max, constants[limit.define])
    end)

    if limit.limit then
      it(("is one of the service and of the module iotjobs: %s"):format(limit.name), function()
        assert.equal(limit.max, limits[limit.limit])
      end)
    end
  end

  it("is the service's own: job document", function()
    assert.equal(cases.max("job document"), require("hob.service.rules").DOCUMENT_BYTES)
  end)
end)

describe("core/jobs, at a limit and one over it:", function()
  it("names", function()
    local id, thing = cases.max("job id"), cases.max("thing name")
    assert.same({ true, false }, { protocol.id_valid(text_of(id)),
      protocol.id_valid(text_of(id + 1)) })
    assert.same({ true, false }, { protocol.thing_valid(text_of(thing)),
      protocol.thing_valid(text_of(thing + 1)) })
  end)

  it("a detail's key and value: what is too long is not sent as it is", function()
    local key, value = cases.max("statusDetails key"), cases.max("statusDetails value")
    assert.same({ true, false }, { protocol.key_valid(text_of(key)),
      protocol.key_valid(text_of(key + 1)) })
    for _, character in ipairs{ "x", "\u{e9}" } do
      assert.equal(character:rep(value), protocol.detail_fit(character:rep(value)))
      local cut = protocol.detail_fit(character:rep(value + 1))
      assert.is_true(cut ~= character:rep(value + 1) and utf8.len(cut) <= value)
    end
  end)

  it("pairs of details: what is too many is dropped", function()
    local most = cases.max("statusDetails pairs")
    assert.equal(0, (select(2, protocol.details_fit(details_of(most), ROOM))))
    assert.equal(1, (select(2, protocol.details_fit(details_of(most + 1), ROOM))))
  end)

  it("minutes", function()
    local most = cases.max("step minutes")
    assert.is_string(update{ step_timeout_minutes = most })
    assert.is_string(update{ step_timeout_minutes = -1 })
    assert.is_string(protocol.encode_start_next(nil, most))
    for _, minutes in ipairs{ most + 1, -2 } do
      assert.equal("EINVAL", select(3, update{ step_timeout_minutes = minutes }))
      assert.equal("EINVAL", select(3, protocol.encode_start_next(nil, minutes)))
    end
    assert.equal("EINVAL", select(3, protocol.encode_start_next(nil, -1)))
  end)

  it("a token", function()
    local most = cases.max("client token")
    assert.is_string(protocol.encode_get(text_of(most)))
    assert.equal("EINVAL", select(3, protocol.encode_get(text_of(most + 1))))
  end)
end)

describe("core/jobs knows the table's", function()
  it("statuses, and asks only for those that a device may", function()
    for _, status in ipairs(cases.STATUSES) do
      assert.equal(status, (protocol.status(status)))
      local text, _, code = update{ status = status }
      assert.equal(cases.DEVICE_STATUSES[status] and "string" or "EINVAL", code or type(text))
      assert.equal(cases.DEVICE_STATUSES[status] or false, limits.is_device_status(status))
    end
  end)

  it("codes, each of which has a row", function()
    local seen = {}
    for _, row in ipairs(cases.rows) do
      seen[row.body.code or ""] = true
    end
    for _, code in ipairs(cases.CODES) do
      assert.equal(code, (protocol.code(code)))
      assert.is_true(seen[code], code)
    end
    assert.same(cases.CODES, require("hob.service.faults").CODES)
  end)
end)

describe("core/jobs encodes the request of the row", function()
  local ENCODERS = {
    encode_get = "^get$", encode_start_next = "^start%-next$", encode_describe = "/get$",
    encode_update = "/update$",
  }
  for _, case in ipairs(cases.rows) do
    local row = player.ready(case, "lamp", "job-")
    if row.encode then
      it(row.name, function()
        local text, why = protocol[row.encode[1]](table.unpack(row.encode, 2,
          #row.encode > 2 and #row.encode or 3))
        assert.is_string(text, why)
        assert.same(json.decode(row.payload or "{}"), json.decode(text))
        assert.matches(ENCODERS[row.encode[1]], row.ask)
      end)
    end
  end
end)

describe("docs/reference/service.md", function()
  it("names for each code the request that provokes it, as the table of cases does", function()
    local expected, documented = {}, {}
    for _, row in ipairs(cases.rows) do
      if row.docs then
        expected[row.body.code] = row.docs
      end
    end
    local part = read("docs/reference/service.md"):match("\n(| code |.-)\n\n")
    for code, text in part:gmatch("\n| `([^`]+)` | ([^\n]*) |") do
      documented[code] = text
    end
    assert.same(expected, documented)
    for _, code in ipairs(cases.CODES) do
      assert.is_string(documented[code], code)
    end
  end)
end)
