-- hob.systemd, with a systemctl and a systemd-run that only write down how they were called: they
-- come first in the PATH of a process of its own, in which the calls are made.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local process = require("hob.process")

local HOB = ("/proc/%d/exe"):format(process.pid())

-- `show` answers with the files show.1, show.2, ..., the last one for good; `fail.VERB` is what a
-- verb says as it fails, with exit status 1 or that of `code`.
local FAKE = [[#!/bin/sh
{ printf '%s' "${0##*/}"; for word in "$@"; do printf ' [%s]' "$word"; done; echo; } >>"$FAKE/log"
for verb in "$@"; do case $verb in -*) ;; *) break ;; esac; done
if [ "${0##*/}" = systemd-run ]; then verb=run; fi
if [ "$verb" = show ]; then
  n=$(cat "$FAKE/n" 2>/dev/null || echo 1)
  while [ ! -f "$FAKE/show.$n" ]; do n=$((n - 1)); done
  echo $((n + 1)) >"$FAKE/n"
  cat "$FAKE/show.$n"
fi
if [ -f "$FAKE/fail.$verb" ]; then
  cat "$FAKE/fail.$verb" >&2
  exit "$(cat "$FAKE/code" 2>/dev/null || echo 1)"
fi
]]

describe("hob.systemd", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/bin"))
    for _, name in ipairs({ "systemctl", "systemd-run" }) do
      assert(fs.write(dir .. "/bin/" .. name, FAKE, { mode = tonumber("755", 8) }))
    end
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  -- What an expression of `systemd` gives, as a list; a raised error is { raised = message }.
  local function give(expression, path)
    assert(fs.write(dir .. "/call.lua", ([[
      local json, systemd = require("hob.json"), require("hob.systemd")
      local got
      local ok, message = pcall(function() got = table.pack(%s) end)
      for i = 1, ok and got.n or 0 do
        if got[i] == nil then got[i] = json.null end
      end
      print(json.encode(ok and table.move(got, 1, got.n, 1, {}) or { raised = tostring(message) }))
    ]]):format(expression)))
    local result = exec.check({ HOB, "lua", dir .. "/call.lua",
      env = { FAKE = dir, PATH = path or dir .. "/bin:" .. os.getenv("PATH") } })
    local got = json.decode(result.stdout)
    for i = 1, #got do
      if got[i] == json.null then
        got[i] = nil
      end
    end
    return got
  end

  local function calls()
    local list = {}
    for line in (fs.read(dir .. "/log") or ""):gmatch("[^\n]+") do
      list[#list + 1] = line
    end
    return list
  end

  local function answers(...)
    for i, text in ipairs({ ... }) do
      assert(fs.write(dir .. "/show." .. i, (text:gsub(" ", "\n")) .. "\n"))
    end
  end

  local function fails(what, words, code)
    assert(fs.write(dir .. "/fail." .. what, words .. "\n"))
    assert(fs.write(dir .. "/code", tostring(code or 1)))
  end

  describe("start, stop, restart, reload, enable, disable", function()
    it("call systemctl with the unit behind --", function()
      for _, verb in ipairs({ "start", "stop", "restart", "reload", "enable", "disable" }) do
        assert.same({ true }, give(('systemd.%s("app.service")'):format(verb)))
        local list = calls()
        assert.equal(("systemctl [--no-ask-password] [%s] [--] [app.service]"):format(verb),
          list[#list])
      end
    end)

    it("need not wait for the unit", function()
      assert.same({ true }, give('systemd.start("app", { no_block = true })'))
      assert.same({ "systemctl [--no-ask-password] [--no-block] [start] [--] [app]" }, calls())
    end)

    it("give systemctl's own words when it fails", function()
      fails("start", "Failed to start x.service: Unit x.service not found.", 5)
      assert.same({ nil, "systemctl start x.service: Failed to start x.service: Unit x.service "
        .. "not found.", "ENOENT" }, give('systemd.start("x.service")'))
      fails("start", "Job for x.service failed because the control process exited.", 1)
      assert.same({ nil, "systemctl start x.service: Job for x.service failed because the control "
        .. "process exited.", "EEXEC" }, give('systemd.start("x.service")'))
    end)

    it("name the key to set when systemd asks for root", function()
      fails("restart", "Failed to restart x.service: Interactive authentication required.", 4)
      assert.same({ nil, "systemctl restart x.service: Failed to restart x.service: Interactive "
        .. 'authentication required.; privileged = { "systemctl" } in hob.conf.lua lets handlers '
        .. "do that", "EACCES" }, give('systemd.restart("x.service")'))
    end)

    it("say so where systemd does not run, or is not installed", function()
      fails("start", "System has not been booted with systemd as init system (PID 1). "
        .. "Can't operate.")
      assert.same({ nil, "systemctl start x: systemd is not running here", "EUNSUPPORTED" },
        give('systemd.start("x")'))
      local got = give('systemd.start("x")', dir)
      assert.matches("^systemctl start x: systemd is not installed here: ", got[2])
      assert.equal("EUNSUPPORTED", got[3])
    end)
  end)

  describe("the name of a unit", function()
    it("is checked before anything is run", function()
      for _, unit in ipairs({ '"--root=/"', '"-x"', '""', '"a b"', '"a;b"', '"../x"', "7",
        "nil", '("x"):rep(256)' }) do
        local got = give(("systemd.start(%s)"):format(unit))
        assert.matches("^[^:]*call.lua:3: unit: ", got.raised or "none", unit)
      end
      assert.same({}, calls())
    end)

    it("may be that of a template, an escaped path or a device", function()
      for _, unit in ipairs({ "getty@tty1.service", "dev-disk\\\\x2d1.swap", "a:b_c.mount" }) do
        assert.same({ true }, give(('systemd.start("%s")'):format(unit)))
      end
    end)
  end)

  describe("status", function()
    it("gives systemd's properties, numbers as numbers", function()
      answers("Id=app.service LoadState=loaded ActiveState=active SubState=running MainPID=77 "
        .. "Result=success NRestarts=2")
      local got = give('systemd.status("app.service")')
      assert.same({ Id = "app.service", LoadState = "loaded", ActiveState = "active",
        SubState = "running", MainPID = 77, Result = "success", NRestarts = 2 }, got[1])
      assert.matches("^systemctl %[show%] .*MainPID.* %[%-%-%] %[app.service%]$", calls()[1])
    end)

    it("is refused when there is no systemd to ask", function()
      answers("x=y")
      fails("show", "Failed to connect to bus: No such file or directory")
      assert.same({ nil, "systemctl show a: systemd is not running here", "EUNSUPPORTED" },
        give('systemd.status("a")'))
    end)
  end)

  describe("is_active", function()
    it("gives the state, too", function()
      answers("LoadState=loaded ActiveState=active")
      assert.same({ true, "active" }, give('systemd.is_active("a")'))
      answers("LoadState=loaded ActiveState=failed")
      assert.same({ false, "failed" }, give('systemd.is_active("a")'))
    end)

    it("takes a unit that is not there for no answer", function()
      answers("LoadState=not-found ActiveState=inactive")
      assert.same({ nil, "a: there is no such unit", "ENOENT" }, give('systemd.is_active("a")'))
    end)
  end)

  describe("wait", function()
    it("looks until the unit is in that state", function()
      answers("LoadState=loaded ActiveState=activating", "LoadState=loaded ActiveState=activating",
        "LoadState=loaded ActiveState=active")
      assert.same({ true }, give('systemd.wait("a", "active", 30)'))
      assert.equal(3, #calls())
    end)

    it("says in which state it was when the time is up", function()
      answers("LoadState=loaded ActiveState=activating SubState=auto-restart")
      assert.same({ nil, "a is activating (auto-restart), not active, after 0.05 s", "ETIMEDOUT" },
        give('systemd.wait("a", "active", 0.05)'))
    end)

    it("does not wait for what has failed, or is not there", function()
      answers("LoadState=loaded ActiveState=failed Result=exit-code ExecMainStatus=3")
      assert.same({ nil, "a has failed: exit code 3", "EEXEC" },
        give('systemd.wait("a", "active", 30)'))
      answers("LoadState=not-found ActiveState=inactive")
      assert.same({ nil, "a: there is no such unit", "ENOENT" },
        give('systemd.wait("a", "active", 30)'))
      assert.same({ true }, give('systemd.wait("a", "inactive", 30)'))
    end)

    it("knows systemd's states", function()
      assert.matches("state: expected active, inactive,", give('systemd.wait("a", "up", 1)').raised)
      assert.matches("seconds: expected a number", give('systemd.wait("a", "active")').raised)
    end)
  end)

  describe("run", function()
    local GONE = "LoadState=not-found ActiveState=inactive"
    local RUNS = "Id=u.service LoadState=loaded Transient=yes ActiveState=active SubState=running"

    it("starts a transient unit, waits for its end and forgets it", function()
      answers(GONE, RUNS, "Id=u.service LoadState=loaded Transient=yes ActiveState=active "
        .. "SubState=exited ExecMainCode=1 ExecMainStatus=0 Result=success")
      local got = give([[systemd.run{ "tool", "a b", "--x", unit = "u", user = "app", env = { B = 1,
        A = "x y" }, properties = { MemoryMax = "64M", Nice = 5 }, timeout = 60, cwd = "/srv",
        description = "An update" }]])
      assert.same({ { unit = "u.service", code = 0, result = "success", timed_out = false,
        attached = false } }, got)
      local list = calls()
      assert.equal("systemd-run [--no-ask-password] [--quiet] [--remain-after-exit] "
        .. "[--unit=u.service] [--uid=app] [--description=An update] [--working-directory=/srv] "
        .. "[--property=RuntimeMaxSec=60] [--property=MemoryMax=64M] [--property=Nice=5] "
        .. "[--setenv=A=x y] [--setenv=B=1] [--] [tool] [a b] [--x]", list[2])
      assert.equal("systemctl [--no-ask-password] [stop] [--] [u.service]", list[#list - 1])
      assert.equal("systemctl [--no-ask-password] [reset-failed] [--] [u.service]", list[#list])
    end)

    it("waits for the unit that runs already, as after a restart of Hob (field failure 17)",
      function()
        answers(RUNS, RUNS, "Id=u.service LoadState=loaded Transient=yes ActiveState=failed "
          .. "SubState=failed ExecMainCode=1 ExecMainStatus=3 Result=exit-code")
        assert.same({ { unit = "u.service", code = 3, result = "exit-code", timed_out = false,
          attached = true } }, give('systemd.run{ "tool", unit = "u.service" }'))
        for _, line in ipairs(calls()) do
          assert.is_nil(line:match("^systemd%-run"))
        end
      end)

    it("tells a signal and a time-out from an exit", function()
      answers(GONE, "Id=u.service LoadState=loaded Transient=yes ActiveState=failed "
        .. "ExecMainCode=2 ExecMainStatus=15 Result=timeout")
      assert.same({ { unit = "u.service", signal = 15, result = "timeout", timed_out = true,
        attached = false } }, give('systemd.run{ "tool", unit = "u" }'))
    end)

    it("need not wait", function()
      answers(GONE)
      assert.same({ { unit = "u.service", attached = false } },
        give('systemd.run{ "tool", unit = "u", wait = false }'))
    end)

    it("leaves units alone that are installed", function()
      answers("Id=ssh.service LoadState=loaded Transient=no ActiveState=inactive")
      assert.same({ nil, "ssh.service: a unit of this name is installed on this system", "EEXIST" },
        give('systemd.run{ "tool", unit = "ssh" }'))
      assert.equal(1, #calls())
    end)

    it("gives systemd-run's words when it fails", function()
      answers(GONE)
      fails("run", "Failed to find executable tool: No such file or directory")
      assert.same({ nil, "systemd-run u.service: Failed to find executable tool: No such file or "
        .. "directory", "EEXEC" }, give('systemd.run{ "tool", unit = "u" }'))
    end)

    it("refuses what it does not understand, before anything is run", function()
      for expression, words in pairs({
        ['systemd.run{ "tool" }'] = "unit: expected the name of a unit, got nil",
        ['systemd.run{ unit = "u" }'] = 'expected { "program", "argument", ..., unit = "name" }',
        ['systemd.run{ "tool", unit = "u", usr = "x" }'] =
          "unknown option 'usr'; known: cwd, description, env, group, "
          .. "properties, timeout, unit, user, wait",
        ['systemd.run{ "tool", unit = "u", env = { ["A=B"] = 1 } }'] = "env: A=B is no name",
        ['systemd.run{ "tool", unit = "u", properties = { X = {} } }'] =
          "properties.X: expected a string, got table",
        ['systemd.run{ "tool", unit = "u", user = "a\\nb" }'] = "user: expected one line",
        ['systemd.run{ "tool", {}, unit = "u" }'] =
          "argument 1 of the command: expected a string, got table",
      }) do
        assert.matches(":3: " .. words:gsub("%p", "%%%0") .. "$",
          give(expression).raised or "none", expression)
      end
      assert.same({}, calls())
    end)
  end)
end)
