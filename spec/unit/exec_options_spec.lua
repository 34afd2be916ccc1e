-- What hob.exec's run, check and spawn take beside the command: files for outputs, lines as they
-- come, users. What programs are, and how they end, is in exec_spec.lua.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local process = require("hob.process")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local HOB = ("/proc/%d/exe"):format(process.pid())
local PRIVATE = tonumber("600", 8)

local function sh(script, options)
  local command = options or {}
  table.move({ "sh", "-c", script }, 1, 3, 1, command)
  return command
end

describe("hob.exec", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir())
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  describe("stdout and stderr", function()
    it("go to files, whole, and nothing of them is kept", function()
      local result = exec.check(sh("echo out; echo err >&2", { stdout = dir .. "/out",
        stderr = dir .. "/err" }))
      assert.equal("out\n", fs.read(dir .. "/out"))
      assert.equal("err\n", fs.read(dir .. "/err"))
      assert.equal("", result.stdout .. result.stderr)
      assert.equal(4, result.stdout_written)
      assert.equal(4, result.stderr_written)
      assert.equal(0, result.stdout_cut)
    end)

    it("are files that only their user may read", function()
      exec.check(sh("umask 0; echo x", { stdout = dir .. "/out" }))
      assert.equal(PRIVATE, fs.stat(dir .. "/out").mode)
    end)

    it("go to one file in the order in which they come", function()
      exec.check(sh("for i in 1 2 3; do echo o$i; echo e$i >&2; done", { stdout = dir .. "/both",
        stderr = dir .. "/both" }))
      assert.equal("o1\ne1\no2\ne2\no3\ne3\n", fs.read(dir .. "/both"))
    end)

    it("may be large, and any bytes", function()
      exec.check(sh("head -c 20000000 /dev/urandom | tee " .. dir .. "/copy",
        { stdout = dir .. "/out" }))
      exec.check({ "cmp", dir .. "/copy", dir .. "/out" })
    end)

    it("take the place of the file that was there, not of what a link leads to", function()
      assert(fs.write(dir .. "/old", "long old text"))
      assert(fs.write(dir .. "/kept", "kept"))
      exec.check({ "ln", "-s", "kept", dir .. "/link" })
      exec.check(sh("echo x", { stdout = dir .. "/old", stderr = dir .. "/link" }))
      assert.equal("x\n", fs.read(dir .. "/old"))
      assert.equal("", fs.read(dir .. "/link"))
      assert.equal("kept", fs.read(dir .. "/kept"))
    end)

    it("are refused where no file can be, and the program is not started", function()
      exec.check({ "mkfifo", dir .. "/fifo" })
      for path, words in pairs({ [dir] = "Is a directory", [dir .. "/fifo"] = "not a regular file",
        ["/dev/null"] = "not a regular file", [dir .. "/none/f"] = "No such file" }) do
        local result, message = exec.run({ "touch", dir .. "/started", stdout = path })
        assert.is_nil(result)
        assert.matches("^output to .*" .. words, message)
      end
      assert.is_false(fs.exists(dir .. "/started"))
      assert.equal("other", fs.stat("/dev/null").type)
    end)

    it("leave no file behind for a program that could not be started", function()
      assert.is_nil((exec.run({ dir .. "/no-program", stdout = dir .. "/out" })))
      assert.is_false(fs.exists(dir .. "/out"))
    end)

    it("end with the program, whatever it leaves in the background", function()
      local result = exec.run(sh("echo x; sleep 1000 &", { stdout = dir .. "/out" }))
      assert.equal(0, result.code)
      assert.equal("x\n", fs.read(dir .. "/out"))
    end)

    it("of a spawned program are whole when it has been waited for", function()
      local spawned = exec.spawn(sh("seq 1 10000", { stdout = dir .. "/out" }))
      assert.equal(0, spawned:wait(30).code)
      assert.matches("\n10000\n$", fs.read(dir .. "/out"))
    end)
  end)

  describe("limit", function()
    local function bounded(fn, limit)
      return fn({ "seq", "1", "100000", stdout = dir .. "/out", limit = limit })
    end

    it("is where the file ends; the program is not disturbed", function()
      local result = bounded(exec.run, 1000)
      assert.equal(0, result.code)
      assert.equal(1000, fs.stat(dir .. "/out").size)
      assert.equal(1000, result.stdout_written)
      assert.equal(588895 - 1000, result.stdout_cut)
      assert.is_nil(result.stdout_error)
    end)

    it("is an error of check, since the file is not what it should be", function()
      local ok, err = pcall(bounded, exec.check, 1000)
      assert.is_false(ok)
      assert.equal("EMSGSIZE", err.code)
      assert.matches("seq 1 100000: its output went over the limit of the file", err.message)
      assert.equal(0, err.exit_code)
    end)

    it("may be reached", function()
      assert.equal(588895, bounded(exec.check, 588895).stdout_written)
    end)
  end)

  describe("a file that cannot be written to its end", function()
    -- With a limit of the system's for sizes of files, since a full disk takes more rights.
    local function in_little_room(call)
      assert(fs.write(dir .. "/call.lua", ([[
        local exec = require("hob.exec")
        local result, err = %s
        print(result and result.code, result and result.stdout_error, err and err.code, err)
      ]]):format(call)))
      return exec.check(sh("trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"",
        { [4] = HOB, [5] = "lua", [6] = dir .. "/call.lua", env = { OUT = dir .. "/out" } })).stdout
    end

    it("is told, and is no harm to the program", function()
      assert.equal("0\tfile too large\tnil\tnil\n", in_little_room(
        'exec.run{ "head", "-c", "1000000", "/dev/zero", stdout = os.getenv("OUT") }'))
    end)

    it("is an error of check", function()
      assert.matches("^nil\tnil\tEMSGSIZE\t.*head .*: its output could not be written: file too "
        .. "large\n$", in_little_room('(function() local ok, e = pcall(exec.check, { "head", "-c", '
        .. '"1000000", "/dev/zero", stdout = os.getenv("OUT") }) return ok or nil, e end)()'))
    end)
  end)

  describe("on_line of run and check", function()
    for _, name in ipairs({ "run", "check" }) do
      it(("gives each line of both outputs before %s returns"):format(name), function()
        local lines = {}
        local result = exec[name](sh("echo a; echo b; echo end-without; printf last", {
          on_line = function(line, is_err)
            lines[#lines + 1] = (is_err and "err " or "out ") .. line
          end,
        }))
        assert.same({ "out a", "out b", "out end-without", "out last" }, lines)
        assert.equal("a\nb\nend-without\nlast", result.stdout)
        exec[name](sh("echo x >&2", { on_line = function(line, is_err)
          lines = { line, is_err }
        end }))
        assert.same({ "x", true }, lines)
      end)
    end

    it("comes while the program runs", function()
      local result = exec.run(sh("echo go; while [ ! -e " .. dir .. "/f ]; do sleep 0.01; done", {
        timeout = 30,
        on_line = function()
          assert(fs.write(dir .. "/f", ""))
        end,
      }))
      assert.equal(0, result.code, result.words)
    end)

    it("comes one line after the other, also when it waits", function()
      local lines = {}
      exec.run(sh("seq 1 5", { on_line = function(line)
        time.sleep(0)
        lines[#lines + 1] = line
      end }))
      assert.same({ "1", "2", "3", "4", "5" }, lines)
    end)

    it("is given all lines before check raises", function()
      local lines = {}
      local ok, err = pcall(exec.check, sh("echo a; echo why >&2; exit 3", {
        on_line = function(line)
          lines[line] = true
        end,
      }))
      assert.is_false(ok)
      assert.matches("exit code 3: why$", err.message)
      assert.equal(3, err.exit_code)
      assert.same({ a = true, why = true }, lines)
    end)

    it("does not come for what goes to a file", function()
      local lines = {}
      exec.run(sh("echo out; echo err >&2", { stdout = dir .. "/out", on_line = function(line)
        lines[#lines + 1] = line
      end }))
      assert.same({ "err" }, lines)
    end)

    it("ends with the task that waits, and the program with it", function()
      local script = ([[
        local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
        time.after(0, function()
          exec.run{ "sh", "-c", "sleep 1000 & echo $! >%s/pid; echo x; wait",
            on_line = function() time.sleep(1000) end }
        end)
        while not tonumber(fs.read("%s/pid") or "") do time.sleep(0.005) end]]):format(dir, dir)
      assert(fs.write(dir .. "/script.lua", script))
      local result = exec.run({ HOB, "lua", dir .. "/script.lua", timeout = 20 })
      assert.equal("exit code 0", result.words .. result.stderr)
      local pid = tonumber(fs.read(dir .. "/pid"))
      wait_until(function()
        local stat = fs.read(("/proc/%d/stat"):format(pid))
        return stat == nil or stat:match("%) Z")
      end, 20, "the end of its child")
    end)
  end)

  describe("user", function()
    it("is whom the program runs as, by name or by number", function()
      local number = exec.check({ "id", "-u", "daemon" }).stdout
      for _, user in ipairs({ "daemon", math.tointeger(tonumber(number)) }) do
        local result, message, code = exec.run({ "id", "-u", user = user })
        if exec_user.name() then
          assert.equal(number, result.stdout)
        else
          assert.is_nil(result)
          assert.matches("^id: running as daemon is not possible: this Hob is not root", message)
          assert.equal("EPERM", code)
        end
      end
    end)

    it("is not there: nil and ENOENT; an error of check", function()
      local result, message, code = exec.run({ "id", user = "no-such-user" })
      assert.is_nil(result)
      assert.equal('id: no user "no-such-user" on this system', message)
      assert.equal("ENOENT", code)
      local _, err = pcall(exec.check, { "id", user = "no-such-user" })
      assert.equal("NOT_STARTED", err.code)
    end)
  end)

  describe("misuse", function()
    it("raises, saying what was expected", function()
      for words, options in pairs({
        ["user: expected a name or a number, got boolean"] = { user = true },
        ["user: expected a name or a number, got number"] = { user = -1 },
        ["group: expected a name or a number, got an empty text"] = { group = "" },
        ["stdout: expected string, got boolean"] = { stdout = true },
        ["stderr: expected the name of a file"] = { stderr = "" },
        ["limit: expected stdout or stderr, the file that is to be limited"] = { limit = 10 },
        ["limit: expected bytes"] = { limit = -1, stdout = dir .. "/f" },
        ["on_line: expected function, got string"] = { on_line = "print" },
      }) do
        options[1] = "true"
        for _, name in ipairs({ "run", "check", "spawn" }) do
          local ok, message = pcall(exec[name], options)
          assert.is_false(ok)
          assert.matches(words, tostring(message), 1, true)
        end
      end
    end)

    it("names the line of the caller", function()
      local line = debug.getinfo(1, "l").currentline + 1
      local _, message = pcall(function() return (exec.run({ "true", usr = "x" })) end)
      assert.matches(("exec_options_spec.lua:%d: unknown option 'usr'"):format(line), message, 1,
        true)
    end)
  end)
end)
