-- core/work/timeline.h: events and output of a job in one order, from a data directory's files.

local fs = require("hob.fs")
local json = require("hob.json")
local events = require("hob_units").events
local time = require("hob.time")
local timeline = require("hob.timeline")

local JOB = { thing = "lamp", job = "fw", execution = 1, step = nil }

describe("hob.timeline", function()
  local dir, keeper

  before_each(function()
    dir = assert(fs.tempdir())
  end)

  after_each(function()
    if keeper then keeper:close() end
    keeper = nil
    fs.remove(dir, { recursive = true })
  end)

  local function open(options)
    options = options or {}
    options.dir = dir
    keeper = assert(events.new(options))
    return keeper
  end

  local function read(options)
    local list = {}
    for i, text in ipairs(assert(timeline.read(dir, options or {}))) do
      list[i] = assert(json.decode(text))
    end
    return list
  end

  --- One word or line an item: "msg" of an event, "program: text" of output, "CODE" of a note.
  local function words(options)
    local list = {}
    for i, item in ipairs(read(options)) do
      list[i] = item.event and item.event.msg or item.note and item.note.code
        or ("%s: %s"):format(item.output.program, item.output.text)
    end
    return list
  end

  --- The times have milliseconds, which is less than any program needs to begin.
  local function tick()
    local now = time.now()
    repeat until time.now() - now >= 0.001
  end

  local function say(event, message, about)
    keeper:say("info", event, message, about or JOB)
    tick()
  end

  local function print_out(...)
    keeper:print(...)
    tick()
  end

  describe("read", function()
    it("puts what programs print between the events at which they did", function()
      local number = open():open("lamp@fw-1-1700000000")
      say("job.claimed", "claimed")
      say("job.step", "step one")
      print_out(number, "sh", false, "in one\n")
      say("job.step", "step two")
      print_out(number, "sh", false, "in two\n")
      say("job.finished", "finished")
      assert.same({ "claimed", "step one", "sh: in one\n", "step two", "sh: in two\n", "finished" },
        words({ job = "fw" }))
    end)

    it("tells standard output and standard error apart, with program and time", function()
      local number = open():open("lamp@fw-1-1700000000")
      keeper:print(number, "fw-install", false, "good\n")
      keeper:print(number, "fw-install", true, "bad\n")
      local good, bad = table.unpack(read({ job = "fw" }))
      assert.same({ "fw-install", "stdout", "good\n", "lamp", "fw", 1 }, { good.output.program,
        good.output.stream, good.output.text, good.output.thing, good.output.job,
        good.output.execution })
      assert.same({ "stderr", "bad\n" }, { bad.output.stream, bad.output.text })
      assert.truthy(bad.output.ts:find("^%d%d%d%d%-.*Z$"))
    end)

    it("takes only what belongs to the job, the thing and the execution", function()
      open()
      local own, other = keeper:open("lamp@fw-2-17"), keeper:open("lamp@fw-12-17")
      print_out(own, "sh", false, "own\n")
      print_out(other, "sh", false, "other\n")
      say("job.step", "own step", { thing = "lamp", job = "fw", execution = 2 })
      say("job.step", "a later one", { thing = "lamp", job = "fw", execution = 12 })
      say("job.step", "another thing", { thing = "door", job = "fw", execution = 2 })
      say("job.step", "another job", { thing = "lamp", job = "fw-2", execution = 2 })
      assert.same({ "sh: own\n", "own step" }, words({ job = "fw", thing = "lamp", execution = 2 }))
      assert.equal(5, #read({ job = "fw" }))
    end)

    it("gives the gateway's events without a job, and no output", function()
      local number = open():open("lamp@fw-1-17")
      keeper:print(number, "sh", false, "output\n")
      keeper:say("info", "hob.started", "hello")
      say("job.step", "step")
      assert.same({ "hello", "step" }, words())
    end)

    it("gives the newest lines, of the output too", function()
      local number = open():open("lamp@fw-1-17")
      say("job.step", "step")
      keeper:print(number, "sh", false, "1\n2\n3\n4\n")
      say("job.finished", "finished")
      assert.same({ "sh: 3\n4\n", "finished" }, words({ job = "fw", lines = 3 }))
    end)

    it("keeps to a limit of bytes and says that it left out what was before", function()
      local number = open():open("lamp@fw-1-17")
      for _ = 1, 40 do
        say("job.step", "step")
        keeper:print(number, "sh", false, ("x"):rep(999) .. "\n")
      end
      say("job.finished", "finished")
      local texts = assert(timeline.read(dir, { job = "fw", limit = 10000 }))
      assert.equal("CUT", json.decode(texts[1]).note.code)
      assert.equal("finished", json.decode(texts[#texts]).event.msg)
      assert.is_true(#table.concat(texts) < 10600)
      assert.is_true(#table.concat(texts) > 8000)
    end)

    it("says that the beginning of a job is not kept any more", function()
      open({ limit = 20000 })
      say("job.claimed", "claimed")
      for i = 1, 300 do
        say("job.step", "step " .. i)
      end
      local list = words({ job = "fw" })
      assert.equal("ROTATED", list[1])
      assert.equal("step 300", list[#list])
    end)

    it("says nothing of the kind of a job whose beginning is there", function()
      open({ limit = 20000 })
      for i = 1, 300 do
        say("job.step", "step " .. i, { thing = "lamp", job = "older", execution = 1 })
      end
      say("job.claimed", "claimed")
      say("job.started", "started")
      assert.same({ "claimed", "started" }, words({ job = "fw" }))
    end)

    it("says that older output was dropped (field failure 10)", function()
      local number = open({ output_limit = 20000 }):open("lamp@fw-1-17")
      for i = 1, 3000 do
        keeper:print(number, "sh", false, ("line %06d\n"):format(i))
      end
      local list = words({ job = "fw" })
      assert.equal("ROTATED", list[1])
      assert.equal(3, #list)
      assert.truthy(list[#list]:find("line 003000\n$"))
    end)

    it("has nothing of what was never there", function()
      assert.same({}, words())
      assert.same({}, words({ job = "fw" }))
    end)

    it("passes over half a line, zeros and lines of others", function()
      open():say("info", "job.log", "good")
      keeper:close()
      assert(fs.append(dir .. "/events.log", ("\0"):rep(300) .. "\nnot json\n" ..
        '{"ts":"2026-11-23T01:02:03.004Z","mono":1.0,"le'))
      open():say("info", "job.log", "after")
      assert.same({ "good", "after" }, words())
    end)

    it("shows invalid UTF-8 and NUL without breaking its JSON (field failure 10)", function()
      local number = open():open("lamp@fw-1-17")
      keeper:print(number, "sh", false, "a\0\xff\27[2Jb\n")
      assert.equal("sh: a\0\u{FFFD}\27[2Jb\n", words({ job = "fw" })[1])
    end)

    it("gives long output in pieces that end with a line", function()
      local number = open():open("lamp@fw-1-17")
      local text = ("0123456789abcde\n"):rep(4000)
      keeper:print(number, "sh", false, text)
      local whole = {}
      for i, item in ipairs(read({ job = "fw" })) do
        assert.is_true(#item.output.text <= 16384)
        assert.equal("\n", item.output.text:sub(-1))
        whole[i] = item.output.text
      end
      assert.is_true(#whole > 2)
      assert.equal(text, table.concat(whole))
    end)

    it("is not misled by output that looks like a mark without being one", function()
      local number = open():open("lamp@fw-1-17")
      keeper:print(number, "sh", false, "--- a/file\n+++ b/file\n--- x, standard output, soon\n")
      assert.same({ "sh: --- a/file\n+++ b/file\n--- x, standard output, soon\n" },
        words({ job = "fw" }))
    end)

    it("says which file it cannot read", function()
      assert(fs.mkdir(dir .. "/events.log"))
      local list, message, code = timeline.read(dir, {})
      assert.is_nil(list)
      assert.truthy(message:find(dir .. "/events.log: ", 1, true), message)
      assert.truthy(code)
    end)
  end)

  describe("the name of an output file", function()
    it("holds thing, job, execution and when it was queued, whatever signs they have", function()
      assert.same({ "lamp:1", "fw-1-2-x_3", 4, 1700000000 },
        { events.parse_name("lamp:1@fw-1-2-x_3-4-1700000000") })
    end)

    it("is nothing else", function()
      for _, name in ipairs({ "", "x", "lamp@fw", "lamp@fw-1", "lamp-1-2", "@-1-", "lamp@fw-a-1",
        "-1-2", ("9"):rep(40) .. "@x-1-" .. ("9"):rep(40) }) do
        assert.is_nil((events.parse_name(name)), name)
      end
    end)
  end)
end)
