-- lib/hob/cli/log_screen.lua: how `hob log` shows what happened.

local screens = require("hob.cli.log_screen")

describe("hob.cli.log_screen", function()
  local lines

  local function screen(options)
    lines = {}
    options.write = function(line)
      lines[#lines + 1] = line
      return true
    end
    if options.terminal == nil then
      options.terminal = true
    end
    return screens.new(options)
  end

  local function event(name, msg, more)
    local found = { ts = "2026-11-23T10:31:07.120Z", level = "info", event = name, msg = msg,
      thing = "lamp", job = "fw", execution = 1 }
    for key, value in pairs(more or {}) do
      found[key] = value
    end
    return { event = found }
  end

  local function output(text, more)
    local found = { ts = "2026-11-23T10:31:08.000Z", thing = "lamp", job = "fw", execution = 1,
      program = "sh", stream = "stdout", text = text }
    for key, value in pairs(more or {}) do
      found[key] = value
    end
    return { output = found }
  end

  local function show(options, items)
    local found = screen(options)
    for _, item in ipairs(items) do
      found:show(item, "{}")
    end
    found:finish()
    return lines
  end

  it("has time, step and text, below a line with the day, on a terminal", function()
    assert.same({ "2026-11-23 (UTC)", "10:31:07  -  claimed: version 2",
      "10:31:07  download  step 'download'", "10:31:08  download  | sh: words",
      "2026-11-24 (UTC)", "00:00:01  -         finished, SUCCEEDED: {}" },
      show({ job = "fw" }, { event("job.claimed", "version 2"),
        event("job.step", "step 'download'", { step = "download" }), output("words\n"),
        event("job.finished", "{}", { code = "SUCCEEDED", ts = "2026-11-24T00:00:01.000Z" }) }))
  end)

  it("has whole times where no terminal is", function()
    assert.same({ "2026-11-23T10:31:07.120Z  -  claimed: version 2" },
      show({ job = "fw", terminal = false }, { event("job.claimed", "version 2") }))
  end)

  it("says what warns, what to do about it, and the event's name", function()
    local warning = { level = "warn", action = "make room" }
    local shown = show({ job = "fw" }, { event("store.failed", "no room", warning),
      event("job.step_retry", "try 1 failed", warning) })
    assert.equal("10:31:07  -  WARNING: store.failed: no room (make room)", shown[2])
    assert.equal("10:31:07  -  WARNING: step retry: try 1 failed (make room) [job.step_retry]",
      shown[3])
  end)

  it("puts lines together that came in pieces, and ends one that something else follows", function()
    assert.same({ "2026-11-23 (UTC)", "10:31:08  -  | sh: a line", "10:31:08  -  | sh: half",
      "10:31:08  -  ! sh: other", "10:31:08  -  | sh: rest" },
      show({ job = "fw" }, { output("a li"), output("ne\nhalf"),
        output("other\n", { stream = "stderr" }), output("rest") }))
  end)

  it("shows whose a line is once there are several executions, or jobs", function()
    assert.equal("10:31:07  lamp#2  -  claimed: again", show({ job = "fw" }, {
      event("job.claimed", "version 2"), event("job.claimed", "again", { execution = 2 }) })[3])
    assert.equal("10:31:07  fw  -  claimed: version 2",
      show({}, { event("job.claimed", "version 2") })[2])
  end)

  it("lets nothing of a stranger's reach the terminal: of a bar of progress the last", function()
    assert.equal("100%", screens.clean("1%\r50%\r100%\r"))
    assert.equal("\\x1b[2J\\x07\\u009bé\ttab", screens.clean("\27[2J\7\u{9b}é\ttab"))
  end)

  it("says what is missing", function()
    assert.same({ "... older events are gone" },
      show({ job = "fw" }, { { note = { code = "ROTATED", text = "older events are gone" } } }))
  end)

  it("stops when nobody reads any more", function()
    local found = screens.new({ job = "fw", terminal = false, write = function() return nil end })
    assert.is_false(found:show(event("job.claimed", "version 2"), "{}"))
  end)
end)
