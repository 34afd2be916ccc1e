-- A product's own allocator: all that Hob takes comes back to it, and it may say no at any time.

local embed = require("spec.support.embed")
local worlds = require("spec.support.world")

local SCRIPT = [[
local exec, fs = require("hob.exec"), require("hob.fs")
return { api = 1, run = function(job)
  local said = job:step("one", function()
    return exec.check{ "sh", "-c", "echo hello; echo 2 >&2" }.stdout
  end)
  job:progress(50)
  job:step("two", function() assert(fs.write("x", said)); return assert(fs.read("x")) end)
  return { said = said:gsub("%s", "") }
end, cleanup = function() end }
]]

local CALLS = [[
local memory = require("memory")
return { api = 1, run = function()
  for _ = 1, 3 do
    memory.echo({ list = { 1, 2 } }, "text")
    assert(assert(memory.later()) == "later")
  end
end }
]]

describe("a product's allocator", function()
  local world, program

  setup(function()
    world = worlds.start()
    program = embed.compile("spec/support/embed_memory.c", world.dir)
  end)

  teardown(function()
    world:stop()
  end)

  local count = 0

  -- What the program said of each of its lives.
  local function run(mode, from, to, step, span, jobs, operation)
    for _ = 1, jobs do
      count = count + 1
      world:create("memory-" .. count, ('{"operation":"%s"}'):format(operation or "work"))
    end
    local product = world:gateway({
      program = program, scripts = { ["work.lua"] = SCRIPT, ["calls.lua"] = CALLS }, launch = false,
      flags = { mode, tostring(from), tostring(to), tostring(step), tostring(span) },
    })
    product:launch()
    local result = assert(product:wait_end(120), "it did not end")
    local last = product.lines[#product.lines]
    assert.equal(0, result.code, ("signal %s, after: %s"):format(result.signal, last))
    assert.equal(0, product:count("product.stuck"), last)
    local lives = {}
    for _, event in ipairs(product.events) do
      if event.event == "product.life" then
        lives[#lives + 1] = event
        assert.equal(0, event.live, "blocks are left: " .. last)
      end
    end
    return lives, product
  end

  it("gets everything back", function()
    local lives = run("balance", 1, 3, 1, 1, 3)
    assert.equal(3, #lives)
    for _, life in ipairs(lives) do
      assert.equal("SUCCEEDED", life.status)
      assert.is_true(life.asked > 1000, "it was not asked: " .. life.asked)
    end
  end)

  local function starts(from, to, step)
    local refused, started = 0, 0
    for _, life in ipairs(run("new", from, to, step, 3, 0)) do
      if life.code == "OK" then
        assert.is_true(life.done, "it never connected: request " .. life.n)
        started = started + 1
      else
        assert.equal("ENOMEM", life.code, ("request %d: %s"):format(life.n, life.text))
        assert.matches("memory", life.text)
        refused = refused + 1
      end
    end
    return refused, started
  end

  it("may refuse any of the first requests: ENOMEM, and nothing is left", function()
    local refused = starts(1, 60, 1)
    assert.is_true(refused > 50, "refused: " .. refused)
  end)

  it("may refuse any later one: ENOMEM, or it is tried again", function()
    local refused, started = starts(61, 1500, 24)
    assert.is_true(refused > 10, "refused: " .. refused)
    assert.is_true(started > 10, "started: " .. started)
  end)

  local function jobs_end(count_of, lives)
    local failed = 0
    assert.equal(count_of, #lives)
    for _, life in ipairs(lives) do
      assert.is_true(life.done, ("request %d: it did not end"):format(life.n))
      local known = world:ended(life.job)
      if life.status ~= "" then
        assert.equal(life.status, known.status)
      end
      if known.status ~= "SUCCEEDED" then
        assert.equal("FAILED", known.status)
        -- Lua says "stack overflow" where a C function cannot have room for its values.
        local reason = known.details.reason
        assert.is_truthy(reason:find("memory") or reason:find("stack overflow"), reason)
        failed = failed + 1
      end
    end
    assert.is_true(failed > 5, "failed: " .. failed)
  end

  it("may refuse requests while a job runs: it ends truthfully, and the service knows", function()
    jobs_end(20, run("job", 1, 80, 4, 3, 20))
  end)

  it("may refuse them while a job calls functions of the product: likewise", function()
    jobs_end(60, run("job", 1, 180, 3, 3, 60, "calls"))
  end)

  it("and clock are set before anything else, whole, or not at all", function()
    local product = world:gateway({ program = program, flags = { "none" }, launch = false })
    product:launch()
    assert.equal(0, assert(product:wait_end()).code)
    local codes = {}
    for _, event in ipairs(product.events) do
      codes[event.event:match("^product%.(.*)") or "log"] = event.code
    end
    codes.log = nil
    assert.same({
      small = "EINVAL", half = "EINVAL", null = "EINVAL", no_clock = "EINVAL",
      clock = "OK", clock_again = "OK", made = "OK",
      late = "EBUSY", late_clock = "EBUSY", free_clock = "OK", still_late = "EBUSY",
    }, codes)
  end)
end)
