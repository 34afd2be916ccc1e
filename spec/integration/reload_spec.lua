-- Hot reload: handlers and their modules are saved in all the ways that there are, while a gateway
-- runs jobs with them.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local sha256 = require("hob_units").mbed.sha256
local shims = require("spec.support.shim")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")


local PATIENCE = worlds.PATIENCE
local QUIET = 0.09 -- seconds; a little less than what a file must have been quiet

-- What a version answers is at both of its ends: a mixture of two would say so.
local FILLER = ("-- what stands between the two ends of a version\n"):rep(40)
local function version_of(number)
  return ([[
local first = %d
local shared = require("shared")
%slocal last = %d
return { api = 1, run = function(job)
  if first ~= last then return nil, "half of " .. first .. " and half of " .. last end
  return { version = first, shared = shared.version() }
end }
]]):format(number, FILLER, number)
end

local function module_of(number)
  return ([[
local M = {}
local first = %d
%slocal last = %d
function M.version() return first == last and first or "half" end
return M
]]):format(number, FILLER, number)
end

local SIMPLE = 'return { api = 1, run = function() return { version = "%s" } end }\n'
local function simple(version)
  return SIMPLE:format(version)
end

describe("hot reload", function()
  local world, gateway, scripts

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    assert.equal(0, gateway:stop())
    world:stop()
  end)

  local function start(files, config, options)
    options = options or {}
    options.scripts, options.config = files, config
    gateway = world:gateway(options)
    scripts = gateway.dir .. "/scripts/"
    return gateway:wait_event("jobs.subscribed")
  end

  local made = 0
  local function run(operation)
    made = made + 1
    local id = "job-" .. made
    world:create(id, ('{"operation":"%s"}'):format(operation))
    return world:ended(id), id
  end

  -- The next event of that name that `fits`, as a count: since the last call, whatever came before.
  local function marker(name)
    local before = gateway:count(name)
    return function(count)
      return gateway:wait_event(name, nil, before + (count or 1))
    end
  end

  local function put_in_place(name, text)
    local file = assert(io.open(scripts .. name, "w"))
    file:write(text)
    file:close()
  end

  ---------------------------------------------------------------- ways of saving

  local WAYS = {
    { "in place", put_in_place },
    { "by a rename", function(name, text)
      assert(fs.write(scripts .. name, text))
    end },
    { "in place, in two halves", function(name, text)
      local file = assert(io.open(scripts .. name, "w"))
      file:write(text:sub(1, #text // 2))
      file:flush()
      run("other") -- some time passes
      file:write(text:sub(#text // 2 + 1))
      file:close()
    end },
    { "with a backup, as vim does", function(name, text)
      local path = scripts .. name
      put_in_place(name:gsub("[^/]+$", "4913"), "")
      os.remove(scripts .. name:gsub("[^/]+$", "4913"))
      put_in_place(name:gsub("[^/]+$", ".%0.swp"), "b0VIM")
      assert(os.rename(path, path .. "~")) -- nothing between this and the next: it counts as gone
      put_in_place(name, text)
      os.remove(path .. "~")
      os.remove(scripts .. name:gsub("[^/]+$", ".%0.swp"))
    end },
    { "by a link to a temporary file", function(name, text)
      put_in_place(name .. ".tmp-x1", text)
      exec.check({ "ln", "-f", scripts .. name .. ".tmp-x1", scripts .. name })
      os.remove(scripts .. name .. ".tmp-x1")
    end },
    { "over the old text, without emptying the file", function(name, text)
      local file = assert(io.open(scripts .. name, "r+"))
      file:write(text)
      file:close()
    end },
  }

  describe("of one file", function()
    for _, way in ipairs(WAYS) do
      it("takes a handler that is saved " .. way[1], function()
        start({ ["v.lua"] = simple("one"), ["other.lua"] = simple("x") })
        local reloaded, begun = marker("handler.reloaded"), time.mono()
        way[2]("v.lua", simple("two"))
        local event = reloaded()
        assert.is_true(event.mono - begun > QUIET)
        assert.matches("scripts/v%.lua: " .. sha256(simple("two")) .. " is in use in place of " ..
          sha256(simple("one")):sub(1, 12), event.msg)
        assert.equal("two", run("v").details.version)
        assert.equal(1, gateway:count("handler.reloaded"))
        assert.equal(0, gateway:count("handler.removed"))
        assert.equal(0, gateway:count("handler.broken"))
      end)
    end
  end)

  describe("of a broken file", function()
    local BROKEN = "return {\n  api = 1,\n  run = = 1 }\n"

    it("keeps the last good version, and says where the error is and what is in use", function()
      start({ ["v.lua"] = simple("one") })
      local label = "v@" .. sha256(simple("one")):sub(1, 12)
      put_in_place("v.lua", BROKEN)
      local event = gateway:wait_event("handler.broken")
      assert.matches("v%.lua:3: ", event.msg)
      assert.matches("last good version " .. label .. " stays in use", event.msg)
      local execution = run("v")
      assert.equal("one", execution.details.version)
      assert.equal(label, execution.details.handler)
      put_in_place("v.lua", simple("two"))
      gateway:wait_event("handler.reloaded")
      assert.equal("two", run("v").details.version)
    end)

    it("says that it is not broken any more when the old text is back", function()
      start({ ["v.lua"] = simple("one") })
      put_in_place("v.lua", BROKEN)
      gateway:wait_event("handler.broken")
      put_in_place("v.lua", simple("one"))
      assert.matches("it is not broken any more", gateway:wait_event("handler.reloaded").msg)
    end)

    it("names it, whatever it raises", function()
      start({ ["v.lua"] = "error({})", ["code.lua"] = "\27Lua" })
      assert.matches("/v%.lua: %(error object is a table value%)",
        gateway:wait_event("handler.broken", nil, 2).msg)
      assert.matches("/code%.lua: attempt to load a binary chunk",
        gateway:wait_event("handler.broken").msg)
    end)

    it("is also one that has the name of the built-in handler", function()
      start({ ["aws-steps.lua"] = simple("one") })
      assert.matches("/aws%-steps%.lua: the name aws%-steps is that of the built%-in handler",
        gateway:wait_event("handler.broken").msg)
    end)

    it("has touched no file that its jobs may not touch", function()
      local outside = world:path("outside")
      start({ ["v.lua"] = simple("one") }, { fs_roots = { "/nowhere" } })
      put_in_place("v.lua", ('require("hob.fs").write(%q, "x")\n'):format(outside) ..
        simple("two"))
      gateway:wait_event("handler.reloaded")
      assert.equal("two", run("v").details.version)
      assert.is_nil((fs.read(outside)))
    end)

    it("lets its jobs fail only if no version of it was ever good", function()
      start({ ["v.lua"] = BROKEN })
      local execution = run("v")
      assert.equal("FAILED", execution.status)
      assert.equal("HANDLER_BROKEN", execution.details.code)
      put_in_place("v.lua", simple("one"))
      gateway:wait_event("handler.reloaded")
      assert.equal("one", run("v").details.version)
    end)
  end)

  describe("of a module", function()
    local USER = 'local shared = require("shared")\nreturn { api = 1, run = function() '
      .. "return { version = shared.version } end }\n"
    local LAZY = [[
      local fs = require("hob.fs")
      return { api = 1, args = { marks = "string?", go = "string?" }, run = function(job, args)
        if args.go then
          fs.append(args.marks, "waits")
          while not fs.stat(args.go) do job:sleep(0.005) end
        end
        return { version = require("shared").version }
      end }
    ]]
    local function module(version)
      return ('return { version = "%s" }\n'):format(version)
    end

    it("has the handlers checked again that may require it, and no others", function()
      start({ ["user.lua"] = USER, ["other.lua"] = simple("x"),
        ["lib/shared.lua"] = module("one") })
      put_in_place("lib/shared.lua", module("two"))
      assert.matches("shared is now " .. sha256(module("two")):sub(1, 12) ..
        "; 1 handlers were checked", gateway:wait_event("handlers.lib_reloaded").msg)
      assert.equal("two", run("user").details.version)
      assert.equal(0, gateway:count("handler.reloaded")) -- its own text is what it was
    end)

    it("keeps the last good one where it does not compile", function()
      start({ ["user.lua"] = USER, ["lib/shared.lua"] = module("one") })
      put_in_place("lib/shared.lua", "return {\n  version = = 2 }")
      local event = gateway:wait_event("handler.broken")
      assert.matches("lib/shared%.lua:2: ", event.msg)
      assert.matches("its last good version " .. sha256(module("one")):sub(1, 12) ..
        " stays in use", event.msg)
      assert.equal("one", run("user").details.version)
    end)

    it("keeps each handler that does not work with it on the one that it works with", function()
      local needs = 'assert(require("shared").version ~= "two", "shared is too new")\n' .. USER
      start({ ["user.lua"] = USER, ["needs.lua"] = needs, ["lib/shared.lua"] = module("one") })
      put_in_place("lib/shared.lua", module("two"))
      gateway:wait_event("handlers.lib_reloaded")
      assert.matches("needs%.lua:1: shared is too new", gateway:wait_event("handler.broken").msg)
      assert.equal("two", run("user").details.version)
      assert.equal("one", run("needs").details.version)
    end)

    it("leaves a job that runs with those of its beginning", function()
      start({ ["lazy.lua"] = LAZY, ["lib/shared.lua"] = module("one") })
      local marks, go = world:path("marks"), world:path("go")
      world:create("lazy", ('{"operation":"lazy","marks":"%s","go":"%s"}'):format(marks, go))
      wait_until(function() return fs.read(marks) end, PATIENCE, "the job")
      put_in_place("lib/shared.lua", module("two"))
      gateway:wait_event("handlers.lib_reloaded")
      assert(fs.write(go, ""))
      assert.equal("one", world:ended("lazy").details.version)
      assert.equal("two", run("lazy").details.version)
    end)

    it("sees directories that come later", function()
      start({ ["lazy.lua"] = (LAZY:gsub('"shared"', '"deep.er.shared"')) })
      fs.mkdir(scripts .. "lib/deep/er")
      put_in_place("lib/deep/er/shared.lua", module("one"))
      gateway:wait_event("handlers.lib_reloaded")
      assert.equal("one", run("lazy").details.version)
      put_in_place("lib/deep/er/shared.lua", module("two"))
      gateway:wait_event("handlers.lib_reloaded", nil, 2)
      assert.equal("two", run("lazy").details.version)
    end)
  end)

  describe("of a file that is not finished", function()
    it("waits for the writer, also where the half of it compiles", function()
      local half = "local M = {}\nfunction M.version() return 'half' end\n"
      start({ ["v.lua"] = version_of(1), ["lib/shared.lua"] = module_of(1),
        ["other.lua"] = simple("one") })
      local file = assert(io.open(scripts .. "lib/shared.lua", "w"))
      file:write(half)
      file:flush()
      put_in_place("other.lua", simple("two"))
      gateway:wait_event("handler.reloaded") -- what is whole does not wait for what is not
      assert.equal("two", run("other").details.version)
      assert.equal(0, gateway:count("handlers.lib_reloaded"))
      assert.equal("1", run("v").details.shared)
      assert.equal(0, gateway:count("handler.broken"))
      file:write("M.version = function() return 2 end\nreturn M\n")
      file:close()
      gateway:wait_event("handlers.lib_reloaded")
      assert.equal("2", run("v").details.shared)
      assert.equal(0, gateway:count("handler.broken"))
    end)

    it("leaves it alone when it is told to reload meanwhile", function()
      start({ ["v.lua"] = simple("one"), ["other.lua"] = simple("one") })
      local loaded = marker("handlers.loaded")
      local file = assert(io.open(scripts .. "v.lua", "w"))
      file:write("return {")
      file:flush()
      gateway.process:kill("HUP")
      loaded()
      assert.equal(0, gateway:count("handler.broken"))
      assert.equal("one", run("v").details.version)
      file:close()
      gateway:wait_event("handler.broken")
    end)

    it("does not take what editors leave beside it for handlers", function()
      start({ ["v.lua"] = simple("one") })
      for _, name in ipairs({ "v.lua~", "4913", ".v.lua.swp", ".#v.lua", "#v.lua#", "v.lua.tmp-1",
        "v.lua.bak", ".v.lua", "v lua.lua", "lib/.shared.lua", "lib/a.b.lua" }) do
        put_in_place(name, "return {")
      end
      put_in_place("v.lua", simple("two"))
      gateway:wait_event("handler.reloaded")
      assert.equal(1, gateway:count("handler.reloaded"))
      assert.equal(0, gateway:count("handler.broken"))
      assert.equal(0, gateway:count("handlers.lib_reloaded"))
    end)
  end)

  describe("of the directory", function()
    it("takes a new handler, and lets one go whose file is removed", function()
      start({ ["v.lua"] = simple("one") })
      put_in_place("new.lua", simple("new"))
      assert.matches("new%.lua: %x+ is in use, a new handler",
        gateway:wait_event("handler.reloaded").msg)
      assert.equal("new", run("new").details.version)
      local begun = time.mono()
      os.remove(scripts .. "v.lua")
      local event = gateway:wait_event("handler.removed")
      assert.matches("v%.lua is gone, and so is the handler v@", event.msg)
      assert.is_true(event.mono - begun > QUIET) -- it might have been half of a save
      assert.equal("NO_HANDLER", run("v").details.code)
    end)

    it("says once which names two handlers claim, and again when somebody asks", function()
      local function named(name, version)
        return (simple(version):gsub("api = 1", "api = 1, names = { '" .. name .. "' }"))
      end
      start({ ["one.lua"] = named("shared", "one"), ["two.lua"] = named("shared", "two") })
      assert.equal(1, gateway:count("handler.name_disputed"))
      put_in_place("other.lua", simple("other"))
      gateway:wait_event("handler.reloaded")
      put_in_place("third.lua", named("one", "third"))
      gateway:wait_event("handler.name_taken")
      assert.equal(1, gateway:count("handler.name_disputed"))
      local loaded = marker("handlers.loaded")
      gateway.process:kill("HUP")
      loaded()
      assert.equal(2, gateway:count("handler.name_disputed"))
      assert.equal(2, gateway:count("handler.name_taken"))
      put_in_place("two.lua", named("own", "two"))
      gateway:wait_event("handler.reloaded", nil, 3)
      put_in_place("two.lua", named("shared", "two"))
      gateway:wait_event("handler.name_disputed", nil, 3) -- it had gone in between
    end)

    it("looks again at a job that was left alone for want of the handler", function()
      start({ ["v.lua"] = simple("one") }, { unknown_jobs = "ignore" })
      world:create("waits", '{"operation":"later"}')
      gateway:wait_event("job.ignored")
      put_in_place("later.lua", simple("late"))
      assert.equal("late", world:ended("waits").details.version)
    end)

    it("follows a link to it that is made to lead elsewhere", function()
      gateway = world:gateway({ launch = false, config = { scripts = "current/scripts" } })
      for _, release in ipairs({ "one", "two" }) do
        fs.mkdir(gateway.dir .. "/" .. release .. "/scripts")
        assert(fs.write(gateway.dir .. "/" .. release .. "/scripts/v.lua", simple(release)))
      end
      exec.check({ "ln", "-s", "one", gateway.dir .. "/current" })
      gateway:launch():wait_event("jobs.subscribed")
      for _ = 1, 15 do -- long enough for the looks of the beginning
        assert.equal("one", run("v").details.version)
      end
      exec.check({ "ln", "-s", "two", gateway.dir .. "/next" })
      assert(os.rename(gateway.dir .. "/next", gateway.dir .. "/current"))
      gateway:wait_event("handler.reloaded")
      assert.equal("two", run("v").details.version)
      assert(fs.write(gateway.dir .. "/two/scripts/v.lua", simple("three")))
      gateway:wait_event("handler.reloaded", nil, 2)
      assert.equal("three", run("v").details.version)
    end)

    it("keeps what it has while the directory is away, and takes the one in its place", function()
      start({ ["v.lua"] = simple("one") })
      assert(os.rename(gateway.dir .. "/scripts", gateway.dir .. "/old"))
      assert.matches("scripts", gateway:wait_event("hob.reload_failed").msg)
      assert.equal("one", run("v").details.version)
      fs.mkdir(gateway.dir .. "/fresh")
      assert(fs.write(gateway.dir .. "/fresh/v.lua", simple("two")))
      assert(os.rename(gateway.dir .. "/fresh", gateway.dir .. "/scripts"))
      gateway:wait_event("handler.reloaded")
      assert.equal("two", run("v").details.version)
      put_in_place("v.lua", simple("three"))
      gateway:wait_event("handler.reloaded", nil, 2)
    end)
  end)

  describe("where nothing can be watched", function()
    it("looks every two seconds, says so once, and watches when that works again", function()
      gateway = world:gateway({ launch = false, scripts = { ["v.lua"] = simple("one") } })
      scripts = gateway.dir .. "/scripts/"
      local none = world:path("no-watches")
      assert(fs.write(none, ""))
      shims.on(gateway):arm()
      gateway.env.HOB_SHIM_NO_WATCHES = none
      gateway:launch():wait_event("jobs.subscribed")
      local event = gateway:wait_event("handlers.watch_failed")
      assert.equal("ENOSPC", event.code)
      assert.matches("fs.inotify.max_user_watches", event.action)
      put_in_place("v.lua", simple("two"))
      gateway:wait_event("handler.reloaded")
      assert.equal("two", run("v").details.version)
      assert.equal(1, gateway:count("handlers.watch_failed"))
      os.remove(none)
      wait_until(function()
        local result = exec.run({ worlds.hob(), "status", "--json", "--config", gateway.config })
        return json.decode(result.stdout).watch == "events"
      end, PATIENCE, "the watch")
    end)
  end)

  describe("with reload = false", function()
    it("waits until it is told", function()
      start({ ["v.lua"] = simple("one"), ["mark.lua"] = simple("x") }, { reload = false })
      put_in_place("v.lua", simple("two"))
      assert.equal("one", run("v").details.version)
      gateway.process:kill("HUP")
      gateway:wait_event("handlers.loaded", nil, 2)
      assert.equal("two", run("v").details.version)
    end)
  end)

  describe("a hundred times, under a stream of jobs", function()
    local RELOADS = 100

    -- Which saved version has this label? Exactly one.
    local function saved_as(saved, label)
      local found
      for _, version in ipairs(saved) do
        if "v@" .. version.digest:sub(1, 12) == label then
          assert(not found, "two versions are " .. label)
          found = version
        end
      end
      return assert(found, "no version was saved as " .. tostring(label))
    end

    it("loses no job, runs none with half a script, and each says truly with which", function()
      local saved, times, jobs = {}, {}, {}
      local function version(number)
        local text = version_of(number)
        saved[#saved + 1] = { number = tostring(number), digest = sha256(text) }
        return text, saved[#saved].digest
      end
      start({ ["v.lua"] = version(0), ["lib/shared.lua"] = module_of(0),
        ["other.lua"] = simple("x") })
      local function stream(count)
        for _ = 1, count do
          jobs[#jobs + 1] = ("stream-%d"):format(#jobs)
          world:create(jobs[#jobs], '{"operation":"v"}')
        end
      end
      local seen = {} -- digest -> when it was told
      gateway.on_event = function(event)
        if event.event == "handler.reloaded" or event.event == "handlers.lib_reloaded" then
          seen[#seen + 1] = { at = time.mono(), words = event.msg }
        end
      end
      local function wait_live(digest, from)
        return wait_until(function()
          for i = #seen, from + 1, -1 do
            if seen[i].words:find(digest, 1, true) then
              return seen[i]
            end
          end
        end, PATIENCE, function() return digest .. " to be live; " .. world:explain() end)
      end
      for number = 1, RELOADS do
        local way = WAYS[number % #WAYS + 1][2]
        local name, text, digest = "v.lua", nil, nil
        stream(1)
        if number % 10 == 0 then
          put_in_place("v.lua", "return { broken")
          stream(1)
        elseif number % 10 == 5 then
          name, text = "lib/shared.lua", module_of(number)
          digest = sha256(text):sub(1, 12)
        end
        if not text then
          text, digest = version(number)
        end
        local from = #seen
        way(name, text)
        local done = time.mono()
        stream(1)
        times[#times + 1] = wait_live(digest, from).at - done
      end
      for _, id in ipairs(jobs) do
        local execution = world:ended(id)
        assert.equal("SUCCEEDED", execution.status, execution.details.reason)
        assert.equal(saved_as(saved, execution.details.handler).number, execution.details.version)
        assert.is_true(tonumber(execution.details.shared) % 10 % 5 == 0)
        assert.equal(1, world:terminal_updates(id))
      end
      table.sort(times)
      print(("%d reloads under %d jobs, from save to live: %.0f ms (median), %.0f ms at most")
        :format(RELOADS, #jobs, times[#times // 2] * 1000, times[#times] * 1000))
      assert.is_true(times[#times // 2] < 5)
    end)
  end)
end)
