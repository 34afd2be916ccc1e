-- What a handler finds when it runs again from its first line: after SIGKILL, which for the process
-- is what a power cut is.

local fs = require("hob.fs")
local shim = require("spec.support.shim")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

-- Each handler marks what it does in a file, and waits in a step until another file is there.
local HEAD = [[
  local fs = require("hob.fs")
  local function mark(args, text) assert(fs.append(args.marks, text .. "\n")) end
  local function wait(job, args) while not fs.stat(args.go) do job:sleep(0.005) end end
]]

describe("a handler that runs again", function()
  local world, gateway, marks, go, document

  before_each(function()
    world = worlds.start({ tls = false })
    marks, go = world:path("marks"), world:path("go")
    document = ('{"operation":"work","marks":"%s","go":"%s"}'):format(marks, go)
  end)
  after_each(function()
    world:stop()
  end)

  local function wait_marks(text)
    wait_until(function() return fs.read(marks) == text end, worlds.PATIENCE,
      "marks: " .. text .. world:explain())
  end

  -- Run `body`, wait until it has marked `text`, kill the process.
  local function interrupted(body, text, members, config)
    gateway = world:gateway({ config = config, scripts = { ["work.lua"] = HEAD
      .. "return { api = 1, args = { marks = 'string', go = 'string' }, " .. (members or "")
      .. " run = function(job, args) " .. body .. " end }" } })
    gateway:wait_event("jobs.subscribed")
    world:create("job", document)
    wait_marks(text)
    gateway:kill()
  end

  local function ended()
    assert(fs.write(go, ""))
    gateway:launch()
    local execution = world:ended("job")
    assert.equal(1, world:terminal_updates("job"))
    return execution, execution.details
  end

  it("finds its finished steps done, between install and report too (field failure 4)", function()
    interrupted([[
      local n = job:step("install", function() mark(args, "install") return { n = 41 } end).n
      job:step("report", function() mark(args, "report") wait(job, args) end)
      return { n = n + 1 } ]], "install\nreport\n")
    local execution, details = ended()
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("42", details.n)
    assert.equal("2", details.attempt)
    assert.equal("install\nreport\nreport\n", fs.read(marks))
  end)

  -- docs/adr/0044
  describe("finds its last step done, whose end is saved", function()
    local DOES_SOMETHING = {
      ["in run()"] = [[ mark(args, "behind") ]],
      ["in a function"] = [[
        local function deep(n) if n > 0 then return deep(n - 1) end mark(args, "behind") end
        deep(9) ]],
      ["in a coroutine"] = [[ coroutine.wrap(function() mark(args, "behind") end)() ]],
      ["in a metamethod"] = [[
        local _ = setmetatable({}, { __index = function() mark(args, "behind") end }).member ]],
      ["in a <close> variable"] = [[
        local _ <close> = setmetatable({}, { __close = function() mark(args, "behind") end }) ]],
      ["in an iterator"] = [[ for _ in function() mark(args, "behind") end do break end ]],
    }
    local STEP = 'job:step("install", function() mark(args, "install") end) '

    -- Up to the report of its end.
    local function commits_of(spy)
      local count = 0
      for _, point in ipairs(spy:points()) do
        count = count + (point.kind == "commit" and 1 or 0)
        if point.kind == "publish" and point.detail:find("SUCCEEDED") then
          return count
        end
      end
    end

    local function commits(body)
      local job, thing = "job-" .. #body, "gw-" .. #body
      gateway = world:gateway({ thing = thing, launch = false, scripts = { ["work.lua"] = HEAD
        .. "return { api = 1, args = { marks = 'string' }, run = function(job, args) " .. body
        .. " end }" } })
      local spy = shim.on(gateway)
      spy:arm()
      gateway:launch()
      world:create(job, document, thing)
      return wait_until(function() return commits_of(spy) end, worlds.PATIENCE, "the report")
    end

    it("with the outcome, if nothing comes between", function()
      assert.equal(commits(""), commits(STEP))
    end)

    for where, body in pairs(DOES_SOMETHING) do
      it("before anything is done " .. where, function()
        assert.equal(commits("") + 1, commits(STEP .. body))
      end)
    end
  end)

  it("gets the error of a failed step again, the same one", function()
    interrupted([[
      local ok, err = pcall(job.step, job, "fails", function()
        mark(args, "tried")
        error({ message = "no disk", code = "ENODISK", exit_code = 7 })
      end)
      mark(args, ("%s %s %s %s %s"):format(err, err.message, err.code, err.step, err.exit_code))
      job:step("then", function() wait(job, args) end) ]],
      "tried\nno disk no disk ENODISK fails 7\n")
    assert.equal("SUCCEEDED", (ended()).status)
    assert.equal("tried\n" .. ("no disk no disk ENODISK fails 7\n"):rep(2), fs.read(marks))
  end)

  it("takes the same branch again in a roll-back, though the check would pass now "
    .. "(field failure 20)", function()
    interrupted([[
      local ok = pcall(job.step, job, "check", function()
        mark(args, "check")
        assert(fs.stat(args.go), "it does not answer")
      end)
      if ok then
        job:step("confirm", function() mark(args, "confirm") end)
      else
        job:step("roll back", function() mark(args, "back") wait(job, args) end)
        return nil, "rolled back"
      end ]], "check\nback\n")
    local execution, details = ended() -- `go` is there: the check would pass
    assert.equal("FAILED", execution.status)
    assert.equal("rolled back", details.reason)
    assert.equal("check\nback\nback\n", fs.read(marks))
  end)

  describe("a `once` step that was interrupted", function()
    local ONCE = [[
      job:step("flash", { once = true }, function() mark(args, "flash") wait(job, args) end) ]]

    it("is not run again: the job ends with INTERRUPTED", function()
      interrupted(ONCE, "flash\n", [[cleanup = function(job, args, why)
        mark(args, "cleanup: " .. why.kind)
      end,]])
      local execution, details = ended()
      assert.equal("FAILED", execution.status)
      assert.equal("INTERRUPTED", details.code)
      assert.equal("flash", details.step)
      assert.equal("step 'flash' was interrupted and must not be run twice", details.reason)
      assert.equal("flash\ncleanup: interrupted\n", fs.read(marks))
    end)

    it("raises an error that the handler may catch, at each later run", function()
      interrupted([[
        local ok, err = pcall(function() ]] .. ONCE .. [[ end)
        mark(args, err.code)
        job:step("recover", function() mark(args, "recover") wait(job, args) end)
        return { code_was = err.code } ]], "flash\n")
      gateway:launch()
      wait_marks("flash\nINTERRUPTED\nrecover\n")
      gateway:kill()
      local execution, details = ended()
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("INTERRUPTED", details.code_was)
      assert.equal("flash\nINTERRUPTED\nrecover\nINTERRUPTED\nrecover\n", fs.read(marks))
    end)

    it("keeps its result when it had ended", function()
      interrupted([[
        local n = job:step("flash", { once = true }, function() mark(args, "flash") return 7 end)
        job:step("then", function() mark(args, "then") wait(job, args) end)
        return { n = n } ]], "flash\nthen\n")
      assert.equal("7", select(2, ended()).n)
      assert.equal("flash\nthen\nthen\n", fs.read(marks))
    end)
  end)

  describe("a step that is interrupted again and again", function()
    -- Each time by a power cut: the machine has another boot id then.
    local function cut(times, options)
      local boot = world:path("boot")
      assert(fs.write(boot, "boot-0\n"))
      interrupted([[
        job:step("before", function() end)
        job:step("install", ]] .. options .. [[, function() mark(args, "try") wait(job, args) end)
        ]], "try\n", nil, { boot_id_file = boot })
      for i = 2, times do
        assert(fs.write(boot, ("boot-%d\n"):format(i)))
        gateway:launch()
        wait_marks(("try\n"):rep(i))
        gateway:kill()
      end
      assert(fs.write(boot, "boot-last\n"))
      return ended()
    end

    it("ends the job at the third time", function()
      local execution, details = cut(3, "{}")
      assert.equal("FAILED", execution.status)
      assert.equal("INTERRUPTED", details.code)
      assert.equal("interrupted 3 times in step 'install'", details.reason)
      assert.equal("install", details.step)
      assert.equal(("try\n"):rep(3), fs.read(marks))
    end)

    it("ends it sooner, or later, with `interruptions`", function()
      local _, details = cut(1, "{ interruptions = 1 }")
      assert.equal("interrupted once in step 'install'", details.reason)
    end)
  end)

  it("runs a finished step again when `valid` says that what it made is gone", function()
    local body = [[
      local function valid(result)
        mark(args, "valid? " .. result.path)
        return fs.stat(result.path)
      end
      local path = job:step("fetch", { valid = valid }, function()
        mark(args, "fetch")
        assert(fs.write(args.marks .. ".image", "x"))
        return { path = args.marks .. ".image" }
      end).path
      job:step("then", function() mark(args, "then") wait(job, args) end)
      return { path = path } ]]
    interrupted(body, "fetch\nthen\n")
    local asked = ("valid? %s.image\n"):format(marks)
    gateway:launch()
    wait_marks("fetch\nthen\n" .. asked .. "then\n")
    gateway:kill()
    assert(fs.remove(marks .. ".image"))
    assert.equal("SUCCEEDED", (ended()).status)
    assert.equal(("fetch\nthen\n%sthen\n%sfetch\nthen\n"):format(asked, asked), fs.read(marks))
    gateway:wait_event("job.step_invalid", { step = "fetch" })
  end)

  it("finds job.state as it was when the latest step had ended", function()
    interrupted([[
      if not job.state.slot then job.state.slot = "A" end
      job:step("choose", function() job.state.slot, job.state.list = "B", { 1, 2 } end)
      job.state.slot = job.state.slot .. "!"
      mark(args, job.state.slot)
      job:step("then", function() mark(args, "then") wait(job, args) end)
      return { slot = job.state.slot, n = #job.state.list } ]], "B!\nthen\n")
    local _, details = ended()
    assert.equal("B!", details.slot)
    assert.equal("2", details.n)
  end)

  it("is ended when a step's end cannot be saved, through any pcall, and says why", function()
    gateway = world:gateway({ launch = false, scripts = { ["work.lua"] = HEAD .. [[
      return { api = 1, args = { marks = "string", fault = "string" }, run = function(job, args)
        pcall(job.step, job, "fill", function() assert(fs.write(args.fault, "EROFS")) end)
        mark(args, "went on")
      end } ]] } })
    local spy = shim.on(gateway)
    spy:arm()
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
    world:create("job", ('{"operation":"work","marks":"%s","fault":"%s"}'):format(marks, spy.fault))
    gateway:wait_event("store.failed")
    spy:mend_disk()
    local execution = world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("STORE_FAILED", execution.details.code)
    assert.equal("fill", execution.details.step)
    assert.matches("^the end of step 'fill' cannot be saved: .*Read%-only file system",
      execution.details.reason)
    assert.is_nil((fs.read(marks)))
  end)

  it("may take another way after a step that ran again, being no longer `valid`, and failed",
    function()
      interrupted([[
        local ok = pcall(job.step, job, "fetch", { valid = function() return false end }, function()
          assert(not fs.stat(args.go), "it is gone")
        end)
        if not ok then
          job:step("tell", function() mark(args, "told") end)
          return nil, "it is gone"
        end
        job:step("use", function() mark(args, "used") end)
        job:step("then", function() mark(args, "then") wait(job, args) end) ]], "used\nthen\n")
      local _, details = ended()
      assert.equal("it is gone", details.reason)
      assert.equal("used\nthen\ntold\n", fs.read(marks))
    end)

  it("has what is left of its `timeout`: former runs count", function()
    interrupted([[
      job:step("first", function() end)
      job:step("then", function() mark(args, "then") job:sleep(3600) end) ]], "then\n",
      "timeout = 3600,")
    local env = require("luasql.sqlite3").sqlite3()
    local base = assert(env:connect(gateway.dir .. "/data/hob.db"))
    assert(base:execute("UPDATE execution SET elapsed_ms = 3600000"))
    base:close()
    env:close()
    local _, details = ended()
    assert.equal("TIMED_OUT", details.code)
    assert.equal("timed out after 3600 s", details.reason)
  end)

  describe("in another way than before", function()
    it("is ended at the new step, naming it and the saved one, through any pcall", function()
      interrupted([[
        if not fs.stat(args.go) then
          job:step("old", function() mark(args, "old") end)
        end
        pcall(job.step, job, "new", function() mark(args, "new") wait(job, args) end) ]],
        "old\nnew\n")
      local execution, details = ended()
      assert.equal("FAILED", execution.status)
      assert.equal("REPLAY_MISMATCH", details.code)
      assert.matches("the new step 'new' comes where the saved step 'old' was", details.reason)
      assert.equal("new", details.step)
      assert.equal("old\nnew\n", fs.read(marks))
    end)

    it("is not reported as done when a saved step was not asked for", function()
      interrupted([[
        job:step("first", function() end)
        if fs.stat(args.go) then return true end
        job:step("old", function() end)
        job:step("then", function() mark(args, "then") wait(job, args) end) ]], "then\n")
      local execution, details = ended()
      assert.equal("FAILED", execution.status)
      assert.equal("REPLAY_MISMATCH", details.code)
      assert.matches("run%(%) ended without asking for the saved step 'old'$", details.reason)
    end)

    it("says how it ended, too", function()
      interrupted([[
        if fs.stat(args.go) then return nil, "another reason" end
        job:step("old", function() end)
        job:step("then", function() mark(args, "then") wait(job, args) end) ]], "then\n")
      local _, details = ended()
      assert.equal("REPLAY_MISMATCH", details.code)
      assert.matches("'old'; it ended with: another reason$", details.reason)
    end)
  end)

  describe("already_done", function()
    local ASK = [[already_done = function(job, args)
      mark(args, "asked")
      return fs.stat(args.marks .. ".version") ~= nil
    end,]]
    local BODY = [[
      job:step("install", function() mark(args, "install")
        assert(fs.write(args.marks .. ".version", "2")) end)
      job:step("confirm", function() mark(args, "confirm") wait(job, args) end)
      return { confirmed = true } ]]

    it("is asked once: though it is true by now, confirm is not left out (field failure 19)",
      function()
        interrupted(BODY, "asked\ninstall\nconfirm\n", ASK)
        local execution, details = ended()
        assert.equal("SUCCEEDED", execution.status)
        assert.equal("true", details.confirmed)
        assert.equal("asked\ninstall\nconfirm\nconfirm\n", fs.read(marks))
      end)

    it("ends the job as SUCCEEDED with ALREADY_DONE, and nothing runs, when it is", function()
      assert(fs.write(marks .. ".version", "2"))
      interrupted(BODY, "asked\n", ASK)
      local execution, details = ended()
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("ALREADY_DONE", details.code)
      local others, asked = fs.read(marks):gsub("asked\n", "")
      assert.equal("", others)
      assert.is_true(asked <= 2) -- twice if the kill came before the answer was journalled
    end)

    it("that fails, fails the job: it is not known whether to begin", function()
      gateway = world:gateway({ scripts = { ["work.lua"] = HEAD .. [[
        return { api = 1, already_done = function() return nil, "cannot tell" end,
          run = function() mark(nil, "x") end } ]] } })
      world:create("job", document)
      local execution = world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("cannot tell", execution.details.reason)
      assert.equal("hob:already_done", execution.details.step)
    end)
  end)

  it("by job:retry_later forgets its failure and what came of it, and keeps what came before",
    function()
      gateway = world:gateway({ scripts = { ["work.lua"] = HEAD .. [[
        return { api = 1, args = { marks = "string" }, run = function(job, args)
          job:step("download", function() mark(args, "download") end)
          local ok = pcall(job.step, job, "install", function()
            mark(args, "install " .. job.attempt)
            assert(job.attempt == 3, "not yet")
          end)
          if not ok then
            job:step("roll back", function() mark(args, "back") end)
            job:retry_later(0.01, "not now")
          end
          return { attempt_was = job.attempt }
        end } ]] } })
      world:create("job", document)
      local execution = world:ended("job")
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("3", execution.details.attempt_was)
      assert.equal("download\ninstall 1\nback\ninstall 2\nback\ninstall 3\n", fs.read(marks))
    end)
end)
