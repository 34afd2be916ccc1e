-- Job documents as cloud teams write them, each with the outcome that they expect. Those of AWS's
-- own templates and samples are in spec/handlers/.

local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  -- The document of AWS's first agent, of the JavaScript SDK.
  ["install.lua"] = [[return {
    api = 1,
    args = {
      packageName = { "string", pattern = "^[%w_.-]+$", max = 64 },
      workingDirectory = "string?", launchCommand = "string?", autoStart = "boolean?",
      files = { "list", min = 1, of = {
        fileName = "string", fileVersion = "string?", fileSource = { url = "string" },
      } },
    },
    examples = {
      { packageName = "p", files = { { fileName = "f", fileSource = { url = "https://h/f" } } } },
    },
    run = function(job, args)
      assert(args.autoStart == true)
      local files = args.files
      return { files = #files, first = files[1].fileName, url = files[2].fileSource.url }
    end,
  }]],
  ["set-config.lua"] = [[return {
    api = 1, args_at = "payload", names = { "?payload" },
    args = { interval = { "integer", min = 1, max = 86400 }, level = { "enum?", "low", "high" },
      note = "string?" },
    run = function(job, args)
      return { interval = math.type(args.interval) .. args.interval, note = args.note or "none" }
    end,
  }]],
  ["download.lua"] = [[return {
    api = 1, args = { url = "string", files = "list?" },
    run = function(job, args) return { url = args.url } end,
  }]],
  ["firmware.lua"] = [[return {
    api = 1, names = { "Firmware Update", "?firmwareUrl" },
    args = { version = "string?", firmwareUrl = "string?", retries = { "integer", default = 3 } },
    run = function(job, args) return { version = args.version or "-", retries = args.retries } end,
  }]],
  ["say.lua"] = [[return {
    api = 1, positional = { "message", "rest..." }, args = { message = "string", rest = "list?" },
    run = function(job, args) return { message = args.message, rest = #(args.rest or {}) } end,
  }]],
  ["one.lua"] = 'return { api = 1, names = { "disputed" }, run = print }',
  ["two.lua"] = 'return { api = 1, names = { "disputed", "say" }, examples = { 5 }, run = print }',
}

local FIRST_AGENT = [[{
  "operation": "install", "packageName": "app-1", "workingDirectory": "",
  "launchCommand": "node app.js",
  "autoStart": "true",
  "files": [
    { "fileName": "app.js", "fileVersion": "1.0.2", "fileSource": { "url": "https://h/app.js" } },
    { "fileName": "b.js", "fileSource": { "url": "https://h/b.js" } }%s
  ] }]]

local function details(expected)
  return function(execution)
    for key, value in pairs(expected) do
      assert.equal(value, execution.details[key])
    end
  end
end

-- What its team expects: status, code and a pattern of the reason, or the details.
local DOCUMENTS = {
  { "a list of files and autoStart as a text", FIRST_AGENT:format(""),
    "SUCCEEDED", details({ files = "2", first = "app.js", url = "https://h/b.js" }) },
  { "a list of files, one without its URL", FIRST_AGENT:format(',{"fileName":"c.js"}'),
    "REJECTED", "BAD_DOCUMENT", "^args%.files%[3%]%.fileSource: expected object, got nothing$" },
  { "a list of files with a number for a URL",
    FIRST_AGENT:format(',{"fileName":"c.js","fileSource":{"url":5}}'), "REJECTED", "BAD_DOCUMENT",
    "^args%.files%[3%]%.fileSource%.url: expected string, got number 5$" },
  { "arguments under payload", '{"jobType":"set-config","payload":{"interval":30,"note":"x"}}',
    "SUCCEEDED", details({ interval = "integer30", note = "x" }) },
  { "arguments under payload, filled in from a template (field failure 26)",
    '{"jobType":"set-config","payload":{"interval":"30","level":"","note":""}}', "SUCCEEDED",
    details({ interval = "integer30", note = "none" }) },
  { "arguments under payload, one out of range",
    '{"jobType":"set-config","payload":{"interval":"0"}}', "REJECTED", "BAD_DOCUMENT",
    "^args%.interval: expected 1 to 86400, got 0 %(args: the document's member 'payload'%)$" },
  { "arguments under payload, another word than allowed",
    '{"jobType":"set-config","payload":{"interval":1,"level":"mid"}}', "REJECTED", "BAD_DOCUMENT",
    '^args%.level: expected one of "low", "high", got string "mid"' },
  { "arguments beside payload", '{"jobType":"set-config","interval":30}', "REJECTED",
    "BAD_DOCUMENT", "^args%.interval: expected integer, got nothing %(args: the document's mem" },
  { "a presigned URL that was not substituted",
    '{"operation":"download","url":"${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/k}"}',
    "REJECTED", "BAD_DOCUMENT", "^document%.url: the placeholder %${aws:iot:%.%.%.} was not fill" },
  { "one in a list that was not substituted",
    '{"operation":"download","url":"u","files":["a",{"b":"${aws:iot:parameter:x}"}]}',
    "REJECTED", "BAD_DOCUMENT", "^document%.files%[2%]%.b: the placeholder" },
  { "a path as its operation", '{"operation":"../../x"}', "REJECTED", "BAD_DOCUMENT",
    '^operation: expected the name of a handler, .*, got "%.%./%.%./x"$' },
  { "a path of a handler as its operation", '{"operation":"../scripts/say"}', "REJECTED",
    "BAD_DOCUMENT", "^operation: expected the name of a handler" },
  { "a name with a blank that a handler has", '{"type":"Firmware Update","version":"2"}',
    "SUCCEEDED", details({ version = "2", retries = "3" }) },
  { "no operation, but a member that says enough", '{"firmwareUrl":"https://h/fw","version":"2"}',
    "SUCCEEDED", details({ version = "2" }) },
  { "two members that say something else", '{"firmwareUrl":"https://h/fw","payload":{}}',
    "REJECTED", "BAD_DOCUMENT", "^the document has .* and .*: which is meant%?$" },
  { "a name that the configuration sends elsewhere", '{"operation":"Melden","args":["hello"]}',
    "SUCCEEDED", details({ message = "hello", rest = "0" }) },
  { "a list of words", '{"operation":"say.sh","args":["Hello world!","a","b"]}', "SUCCEEDED",
    details({ message = "Hello world!", rest = "2" }) },
  { "a list of words without the one that matters", '{"operation":"say","args":[""]}', "REJECTED",
    "BAD_DOCUMENT", "^args%.message: expected string, got nothing$" },
  { "an empty operation and a type", '{"operation":"","type":"say","message":"m"}', "SUCCEEDED",
    details({ message = "m" }) },
  { "a name that two handlers claim", '{"operation":"disputed"}', "FAILED", "HANDLER_BROKEN",
    '^one%.lua and two%.lua both have "disputed" among their names' },
  { "nothing that names a handler", '{"version":"2"}', "REJECTED", "BAD_DOCUMENT",
    "^the document names no handler: expected a string in one of its members operation, jobType" },
}

describe("a job document", function()
  local world, gateway

  setup(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = SCRIPTS, config = { max_concurrent_jobs = 4,
      routes = { lua = '{ ["Melden"] = "say", ["Gone"] = "nowhere" }' } } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
  end)

  for i, case in ipairs(DOCUMENTS) do
    local what, document, status, code, reason = table.unpack(case)
    it(("with %s ends as %s%s"):format(what, status, type(code) == "string" and " " .. code or ""),
      function()
        world:create("job-" .. i, document)
        local execution = world:ended("job-" .. i)
        assert.equal(status, execution.status, execution.details.reason)
        if type(code) == "function" then
          code(execution)
        else
          assert.equal(code, execution.details.code)
          assert.matches(reason, execution.details.reason)
          assert.equal(status == "REJECTED" and 2 or 3, execution.versionNumber)
        end
      end)
  end

  it("for a handler whose name is disputed was announced in the log at loading", function()
    local event = gateway:wait_event("handler.name_disputed")
    assert.matches('^one%.lua and two%.lua both have "disputed"', event.msg)
    event = gateway:wait_event("handler.name_taken")
    assert.equal('two.lua has "say" among its names, but say.lua gets those jobs', event.msg)
    event = gateway:wait_event("handler.example_wrong")
    assert.matches("^two%.lua: examples%[1%]: expected a document", event.msg)
    event = gateway:wait_event("handler.route_nowhere")
    assert.matches("^routes: \"Gone\" leads to 'nowhere', and there is no nowhere%.lua in",
      event.msg)
    assert.equal(1, gateway:count("handler.name_disputed"))
    assert.equal(1, gateway:count("handler.example_wrong"))
  end)
end)

describe("a document for another agent, with unknown_jobs = \"ignore\",", function()
  local OTHERS = {
    "{\"operation\":\"their-operation\"}", "{\"command\":\"rm -rf /tmp/x\"}",
    "{\"operation\":\"../../x\"}", "{\"theirs\":{\"a\":1}}", "[1,2]",
    "{\"operation\":\"Ihre Aufgabe\"}",
  }

  it("stays untouched, whatever it looks like, and ours runs (field failure 21)", function()
    local world = worlds.start({ tls = false })
    local touched = 0
    world:before(function(topic)
      touched = touched + (topic:match("/theirs%-%d/update$") and 1 or 0)
    end)
    local gateway = world:gateway({ scripts = SCRIPTS, config = { unknown_jobs = "ignore" } })
    gateway:wait_event("jobs.subscribed")
    for i, document in ipairs(OTHERS) do
      world:create("theirs-" .. i, '{"operation":"x"}')
      world.engine.jobs["theirs-" .. i].document = document
    end
    world:create("ours", '{"operation":"say","message":"m"}')
    assert.equal("SUCCEEDED", world:ended("ours").status)
    wait_until(function() return gateway:count("job.ignored") >= #OTHERS end, worlds.PATIENCE,
      "all of them to be ignored")
    for i = 1, #OTHERS do
      assert.equal("QUEUED", world:describe("theirs-" .. i).status)
      assert.equal(1, world:describe("theirs-" .. i).versionNumber)
    end
    assert.equal(0, touched)
    world:stop()
  end)
end)

describe("job_types", function()
  it("says which members of a document name its handler", function()
    local world = worlds.start({ tls = false })
    world:gateway({ scripts = SCRIPTS, config = { job_types = { "task", "meta.kind" } } })
    world:create("one", '{"operation":"x","task":"say","message":"m"}')
    world:create("two", '{"meta":{"kind":"say"},"message":"m"}')
    world:create("three", '{"operation":"say","message":"m"}')
    assert.equal("SUCCEEDED", world:ended("one").status)
    assert.equal("SUCCEEDED", world:ended("two").status)
    assert.matches("one of its members task, meta%.kind, or a list",
      world:ended("three").details.reason)
    world:stop()
  end)
end)
