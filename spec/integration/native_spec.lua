-- C handlers and modules of a product, in a product's process, over TLS:
-- spec/support/native_product.c says what each of them does.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local json = require("hob.json")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  -- Runs the code that the job document has.
  ["lua.lua"] = [[
    local relay = require("acme.relay")
    return { api = 1, args = { code = "string" }, run = function(job, args)
      return assert(load(args.code, "=code"))(job, relay)
    end }
  ]],
  ["wrong.lua"] = "local relay = require('acme.relay')\n"
    .. "return { api = 1, run = function(job)\n"
    .. "  job:step('on', function()\n"
    .. "    relay.set(1)\n"
    .. "  end)\n"
    .. "end }\n",
  ["inside.lua"] = "return { api = 1, run = function() return { by = 'Lua' } end }",
  ["clean.lua"] = [[
    local relay = require("acme.relay")
    return { api = 1, run = function(job)
      job:step("on", function() relay.set(2, true) end)
      job:step("hang", function() relay.hang() end)
    end, cleanup = function(job, args, why) relay.set(2, false) end }
  ]],
}

describe("a product's own C", function()
  local world, program, gateway, thing
  local count, things = 0, 0

  setup(function()
    world = worlds.start()
    program = embed.compile("spec/support/native_product.c", world.dir, {
      flags = { "-pthread", "-Wno-unused-parameter" }, packages = { "libuv" } })
  end)
  teardown(function()
    world:stop()
  end)

  local function product(options)
    options = options or {}
    things = things + 1 -- what one leaves open does not hold up the next one
    thing = "gw-" .. things
    gateway = world:gateway({ program = program, scripts = options.scripts or SCRIPTS,
      flags = options.flags, config = options.config or { stop_grace = 0.1 }, thing = thing })
    gateway:wait_event("conn.up")
    return gateway
  end

  local function create(document)
    count = count + 1
    local id = "native-" .. count
    world:create(id, json.encode(document), thing)
    return id
  end

  local function job(document)
    return world:ended(create(document), thing)
  end

  local function lua(code)
    return job({ operation = "lua", code = code })
  end

  local function said(event, text)
    gateway:wait_event("product." .. event, text and { text = text })
  end

  local function hob(...)
    local words = { worlds.hob(), ... }
    table.move({ "--data", gateway.dir .. "/data" }, 1, 2, #words + 1, words)
    return exec.check(words).stdout
  end

  describe("handler", function()
    setup(function() product() end)
    teardown(function() assert.equal(0, gateway:stop()) end)

    it("runs a job that ends inside of `run`, in the place of a Lua file", function()
      local execution = job({ operation = "inside", channel = "3", on = "true" })
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("3", execution.details.channel)
      assert.matches("^inside@%x+$", execution.details.handler)
      assert.is_nil(execution.details.by)
      said("args", "3 true string=0 unset number=1")
    end)

    it("never begins a job whose document its args refuse", function()
      local execution = job({ operation = "inside", channel = 9 })
      assert.equal("REJECTED", execution.status)
      assert.matches("args.channel: .*8", execution.details.reason)
    end)

    it("without args is given the document, by its members and as it came", function()
      local id = create({ operation = "document", deep = { name = "north" }, ratio = 0.5,
        list = { 1, 2 } })
      assert.equal("SUCCEEDED", world:ended(id, thing).status)
      local event = gateway:wait_event("product.document")
      local n, m, rest = event.text:match("^gw%-%d+ (%d+)=(%d+) (.*)$")
      assert.equal(n, m)
      assert.equal(id .. " #1 attempt 1", rest)
      said("arguments", "north 0.5 0 [1,2]")
      assert.matches(" 0$", gateway:wait_event("product.directory").text)
    end)

    it("may end later, on the loop or by hob_post of a thread", function()
      assert.equal("loop", job({ operation = "on-loop" }).details.how)
      assert.equal("thread", job({ operation = "on-thread" }).details.how)
    end)

    it("fails with a code and a reason, and with its details", function()
      local execution = job({ operation = "fail" })
      assert.equal("FAILED", execution.status)
      assert.equal("RELAY_STUCK", execution.details.code)
      assert.equal("relay 3 does not move", execution.details.reason)
      assert.equal("3", execution.details.channel)
    end)

    it("rejects", function()
      local execution = job({ operation = "reject" })
      assert.equal("REJECTED", execution.status)
      assert.equal("there is no channel 9 here", execution.details.reason)
    end)

    it("is run again later, as often as max_runs says", function()
      assert.equal("3", job({ operation = "retry" }).details.runs)
      local execution = job({ operation = "retry-once" })
      assert.equal("FAILED", execution.status)
      assert.matches("the bus is busy", execution.details.reason)
      execution = job({ operation = "bad-retry" })
      assert.equal("BAD_RESULT", execution.details.code)
      assert.matches("hob_run_retry_later: expected seconds, .* got %-1", execution.details.reason)
    end)

    it("has one end: what is said after the first counts for nothing", function()
      assert.equal("SUCCEEDED", job({ operation = "twice" }).status)
      said("late", "-31 .")
    end)

    it("has four details, of names that are not Hob's own", function()
      local execution = job({ operation = "details" })
      said("details", "reason=EINVAL a b=EINVAL one=OK two=OK one=OK three=OK four=OK "
        .. "five=EMSGSIZE ")
      assert.equal("again", execution.details.one)
      assert.equal("four", execution.details.four)
      assert.is_nil(execution.details.five)
    end)

    it("is told that its job was cancelled, and what it says afterwards does nothing", function()
      local id = create({ operation = "never" })
      said("runs", id .. " attempt 1")
      world:control("cancel_job", id, {}, true, time.now())
      local event = gateway:wait_event("product.cancelled")
      assert.equal(1, event.text:find(id .. " data=1: ", 1, true))
      assert.matches("cancel", event.text)
      world:ended(id, thing)
      wait_until(function()
        return gateway:count("product.late") >= 2
      end, 20, "what comes too late")
      assert.equal("CANCELED", world:describe(id, thing).status)
    end)

    it("can be looked at while it waits", function()
      local id = create({ operation = "silent" })
      said("runs", id .. " attempt 1")
      local out = exec.run({ worlds.hob(), "repl", "--data", gateway.dir .. "/data",
        stdin = ":attach " .. id .. "\n:where\n" }).stdout
      assert.matches("waits in C handler silent", out)
      hob("cancel", id)
      world:ended(id, thing)
    end)

    it("need not want to know", function()
      local id = create({ operation = "silent" })
      said("runs", id .. " attempt 1")
      hob("cancel", id)
      assert.equal("FAILED", world:ended(id, thing).status)
    end)

    it("is ended by its time-out", function()
      local execution = job({ operation = "short" })
      assert.equal("FAILED", execution.status)
      assert.equal("TIMED_OUT", execution.details.code)
      local told = false
      for _, event in ipairs(gateway.events) do
        told = told or event.event == "product.cancelled"
          and event.text:find("timed out after 0.2 s", 1, true) ~= nil
      end
      assert.is_true(told)
    end)

    it("cannot be registered any more once the runtime has been started", function()
      said("busy", "EBUSY EBUSY handler late: the runtime has been started already; add it before "
        .. "hob_runtime_start")
    end)

    it("may be a step of AWS's own documents", function()
      local execution = job({ version = "1.0", steps = { { action = { name = "Move",
        type = "runHandler", input = { handler = "fail" } } } } })
      assert.equal("FAILED", execution.status)
      assert.matches("relay 3 does not move", execution.details.reason)
    end)

    it("is shown by hob handlers, hob status and hob log", function()
      assert.matches("\ninside +%x+ +%S+ +ok, in C ", hob("handlers"))
      assert.matches("\ninside +%x+ +%S+ +ok, in C", hob("status"))
      assert.matches("handler inside@", hob("log"))
      for _, handler in ipairs(json.decode(hob("handlers", "--json")).handlers) do
        if handler.name == "inside" then
          assert.equal("C", handler.path)
          assert.equal('Ends inside "run"', handler.description)
        end
      end
    end)
  end)

  describe("handler, when the process ends", function()
    after_each(function()
      local code = gateway:stop()
      assert.equal(0, code, table.concat(gateway.lines, "\n", math.max(1, #gateway.lines - 60)))
    end)

    it("is told that Hob stops, and is run again by the next one", function()
      product()
      local id = create({ operation = "never" })
      said("runs", id .. " attempt 1")
      assert.equal(0, gateway:stop())
      assert.matches("data=1: it is given up for now", gateway:wait_event("product.cancelled").text)
      gateway:launch()
      said("runs", id .. " attempt 2")
      hob("cancel", id)
      world:ended(id, thing)
    end)

    it("may not free the runtime, nor may a function, whoever's loop it is", function()
      for _, document in ipairs({ { operation = "free" },
        { operation = "lua", code = "local _, relay = ...; relay.free()" } }) do
        product({ flags = { "uv" } })
        create(document)
        assert.equal(6, assert(gateway:wait_end(20)).signal)
        assert.matches("hob_runtime_free was called inside a callback of the runtime",
          table.concat(gateway.lines, "\n"))
      end
    end)

    it("gets no text that ends where the document's does not", function()
      product()
      job({ operation = "zero", path = "a\0b" })
      said("zero", "0 unset")
      job({ operation = "zero-args", path = "a\0b" })
      assert.equal(2, gateway:count("product.zero"))
      said("zero", "0 unset", 2)
      assert.equal(0, gateway:stop())
    end)

    it("is run again after a crash inside of it, and not for ever", function()
      product()
      local id = create({ operation = "crash" })
      assert(gateway:wait_end(20))
      gateway:launch()
      assert.equal("2", world:ended(id, thing).details.runs)
      id = create({ operation = "crashes" })
      for attempt = 1, 3 do
        said("crashes", "attempt " .. attempt)
        assert(gateway:wait_end(20))
        gateway:launch()
      end
      local execution = world:ended(id, thing)
      assert.equal("FAILED", execution.status)
      assert.matches("3 times", execution.details.reason)
      assert.equal(3, gateway:count("product.crashes"))
    end)

    it("is blamed for its death while it is at work, and what runs beside it is not", function()
      product({ scripts = { ["rest.lua"] =
        "return { api = 1, run = function(job) job:sleep(3600) end }" },
        config = { stop_grace = 0.1, max_concurrent_jobs = 2 } })
      local id = create({ operation = "never" })
      said("runs", id .. " attempt 1")
      local beside = create({ operation = "rest" })
      gateway:wait_event("job.started", { job = beside })
      gateway:kill()
      gateway:launch()
      local function goes_on(job_id)
        return wait_until(function()
          for _, event in ipairs(gateway.events) do
            if event.job == job_id and (event.msg or ""):find("goes on after", 1, true) then
              return event.msg
            end
          end
        end, 20, "what is said of " .. job_id)
      end
      assert.matches("it took the runtime down", goes_on(id))
      hob("cancel", id) -- it is on probation: the other one waits for its end
      assert.matches("a crash of the runtime", goes_on(beside))
      hob("cancel", beside)
      world:ended(beside, thing)
    end)

    it("ends truthfully if the next process has none of that name", function()
      product()
      local id = create({ operation = "never" })
      said("runs", id .. " attempt 1")
      assert.equal(0, gateway:stop())
      gateway.flags = { "without" }
      gateway:launch()
      local execution = world:ended(id, thing)
      assert.equal("FAILED", execution.status)
      assert.equal("NOT_REGISTERED", execution.details.code, execution.details.reason)
      assert.matches("^the handler 'never' is a C function, and the program that runs now has "
        .. "registered none", execution.details.reason)
      assert.matches("^never@", execution.details.handler)
    end)
  end)

  describe("module", function()
    setup(function() product() end)
    teardown(function() assert.equal(0, gateway:stop()) end)

    it("has functions that take values and give some back", function()
      local execution = lua([[
        local none = select("#", relay_set(3, true))
        return {}
      ]])
      assert.equal("FAILED", execution.status) -- the code is run, and its mistakes are seen
      execution = lua([[
        local job, relay = ...
        local before = relay.get(3)
        local count = select("#", relay.set(3, true))
        return { before = before, count = count, after = relay.get(3) }
      ]])
      assert.equal("SUCCEEDED", execution.status)
      assert.same({ "false", "0", "true" },
        { execution.details.before, execution.details.count, execution.details.after })
      said("set", ("3 1 %s native-%d"):format(thing, count))
    end)

    it("hands on nil, booleans, integers, numbers, strings with zeros", function()
      local execution = lua([[
        local job, relay = ...
        local a, b, c, d, e = relay.values()
        assert(a == nil and b == true and c == math.maxinteger and d == 0.25 and e == "a\0b")
        assert(math.type(c) == "integer" and select("#", relay.values()) == 5)
      ]])
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    end)

    it("is given tables as JSON, and gives such back", function()
      local execution = lua([[
        local job, relay = ...
        local value, types, text = relay.echo({ list = { 1, 2.5 }, deep = { on = true } }, nil,
          true, 1, 1.5, "x", {}, print)
        assert(value.list[1] == 1 and math.type(value.list[1]) == "integer")
        assert(value.list[2] == 2.5 and value.deep.on == true)
        assert(types == "50123456", types)
        assert(text == '{"deep":{"on":true},"list":[1,2.5]}', text)
        for _, one in ipairs({ "s\"\n", 5, 0.1, true, false }) do
          assert(relay.echo(one) == one)
        end
        assert(relay.echo() == require("hob.json").null and relay.echo(nil) ~= 1)
      ]])
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    end)

    it("refuses values that are none of JSON's where JSON is asked for, naming where", function()
      local execution = lua([[
        local job, relay = ...
        local ok, message = pcall(relay.echo, { list = { print } })
        assert(message:find("acme.relay.echo: argument 1: ", 1, true), message)
        assert(message:find("list[1]", 1, true), message)
        ok, message = pcall(relay.echo, print)
        assert(message:find("argument 1: expected a value that can be JSON, got function", 1, true),
          message)
        ok, message = pcall(relay.bad_json)
        assert(message:find("acme.relay.bad_json: the product's function gave what is no JSON", 1,
          true), message)
      ]])
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    end)

    it("raises for a wrong argument, with the handler's file and line", function()
      local execution = job({ operation = "wrong" })
      assert.equal("FAILED", execution.status)
      assert.matches("wrong.lua:4: acme.relay.set: argument 2: expected boolean, got nil$",
        execution.details.reason)
      assert.equal("on", execution.details.step)
    end)

    it("knows an integer from a number, and nothing from a number as text", function()
      local execution = lua([[
        local job, relay = ...
        local function refused(words, ...)
          local ok, message = pcall(relay.read, ...)
          assert(not ok and message:find(words, 1, true), message)
        end
        assert(math.type(relay.read(2.0, "integer")) == "integer")
        assert(relay.read(2, "number") == 2.0 and relay.read("x", "string") == "x")
        refused("argument 1: expected integer, got 2.5", 2.5, "integer")
        refused("argument 1: expected integer, got inf", math.huge, "integer")
        refused("argument 1: expected integer, got string", "2", "integer")
        refused("argument 1: expected number, got string", "2", "number")
        refused("argument 1: expected string, got number", 2, "string")
        refused("argument 1: expected a string without a zero byte", "a\0b", "string")
        refused("argument 2: expected string, got table", 1, {})
      ]])
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    end)

    it("says that it is to be called with a dot", function()
      local execution = lua("local job, relay = ... relay:set(1, true)")
      assert.matches("^code:1: acme.relay.set: call it with a dot, not with a colon",
        execution.details.reason)
    end)

    it("fails with nil, a message and a code", function()
      local execution = lua([[
        local job, relay = ...
        local value, message, code = relay.set(9, true)
        return { value = tostring(value), message = message, word = code }
      ]])
      assert.same({ "nil", "there is no such channel", "ENOENT" },
        { execution.details.value, execution.details.message, execution.details.word })
    end)

    it("raises what the product calls misuse", function()
      assert.equal("code:1: acme.relay.raise: not while the door is open",
        lua("local job, relay = ... relay.raise()").details.reason)
    end)

    it("names a function that did not give a result", function()
      assert.matches("^code:1: acme.relay.nothing: the product's function gave no result",
        lua("local job, relay = ... relay.nothing()").details.reason)
    end)

    it("may answer too late, although it never said that it would", function()
      assert.matches("^code:1: acme.relay.forget: the product's function gave no result",
        lua("local job, relay = ... relay.forget()").details.reason)
      said("forgotten", "ESTALE .")
    end)

    it("refuses results of a length that there cannot be", function()
      assert.equal("SUCCEEDED", lua("local job, relay = ... relay.huge()").status)
      said("huge", "OK EMSGSIZE EMSGSIZE")
    end)

    it("does not take more results than there is room for", function()
      assert.equal("SUCCEEDED", lua("local job, relay = ... relay.many()").status)
      said("many", "17 EMSGSIZE")
    end)

    it("waits for what ends later: in a step, a pcall, a coroutine", function()
      local execution = lua([[
        local job, relay = ...
        local step = job:step("pulse", function() return relay.pulse(0) end)
        local ok, protected = pcall(relay.pulse, 5)
        local co = coroutine.wrap(function() coroutine.yield(relay.pulse(5)) end)()
        local value, message, code = relay.fail_later()
        return { stepped = step, protected = protected, co = co, word = code }
      ]])
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.same({ "pulsed", "pulsed", "pulsed", "ETIMEDOUT" }, { execution.details.stepped,
        execution.details.protected, execution.details.co, execution.details.word })
    end)

    it("does not let one wait where nothing can, and tells it that it ends", function()
      local execution = lua([[
        local job, relay = ...
        table.sort({ 2, 1 }, function() relay.hang() end)
      ]])
      assert.matches("this call waits, which is not possible here", execution.details.reason)
      said("call_cancelled", "native-" .. count .. " data=1")
    end)

    it("tells one that has begun to wait with wrong arguments that it ends", function()
      local execution = lua("local job, relay = ... relay.pulse('soon')")
      assert.matches("^code:1: acme.relay.pulse: argument 1: expected integer, got string",
        execution.details.reason)
      said("call_cancelled", "native-" .. count .. " data=1")
    end)

    it("tells one that waits that its job was cancelled, and takes nothing from it afterwards",
      function()
        local id = create({ operation = "lua", code = "local job, relay = ... relay.hang()" })
        said("hangs", id)
        hob("cancel", id)
        said("call_cancelled", id .. " data=1")
        world:ended(id, thing)
        local execution = lua([[
          local job, relay = ...
          local id, code = relay.wake()
          return { id = id, word = code }
        ]])
        assert.same({ "-", "-31" }, { execution.details.id, execution.details.word })
      end)

    it("tells one that waits in a step, a pcall, a coroutine that it was cancelled", function()
      local id = create({ operation = "lua", code = [[
        local job, relay = ...
        job:step("hang", function()
          return pcall(coroutine.wrap(function() relay.hang() end))
        end)
      ]] })
      said("hangs", id)
      hob("cancel", id)
      said("call_cancelled", id .. " data=1")
      assert.equal("hang", world:ended(id, thing).details.step)
    end)

    it("is there for cleanup, too", function()
      local id = create({ operation = "clean" })
      said("hangs", id)
      hob("cancel", id)
      world:ended(id, thing)
      said("set", ("2 0 %s %s"):format(thing, id))
    end)
  end)

  it("is in the sessions of hob repl", function()
    product()
    local out = exec.run({ worlds.hob(), "repl", "--data", gateway.dir .. "/data",
      stdin = "require('acme.relay').set(5, true)\nrequire('acme.relay').get(5)\n" }).stdout
    assert.matches("true", out)
    said("set", ("5 1 %s "):format(thing))
    assert.equal(0, gateway:stop())
  end)

  it("is no reason for hob doctor to say that who requires it does not load", function()
    product()
    local out = exec.run({ worlds.hob(), "doctor", "--config", gateway.config }).stdout
    assert.matches("lua.*loads in the running gateway %(%x+%), though not here: .*module "
      .. "'acme.relay' not found", out)
    assert.equal(0, gateway:stop())
  end)

  it("without what a handler requires says so at once, and that a product may have it", function()
    product({ flags = { "without" }, scripts = { ["lua.lua"] = SCRIPTS["lua.lua"] } })
    local event = gateway:wait_event("handler.broken")
    assert.matches("lua.lua:1: module 'acme.relay' not found: .*a product has in C", event.msg)
    assert.equal(0, gateway:stop())
  end)
end)
