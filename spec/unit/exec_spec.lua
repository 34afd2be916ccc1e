local exec = require("hob.exec")
local fs = require("hob.fs")
local time = require("hob.time")
local units = require("hob_units")
local wait_until = require("spec.support.wait").wait_until

local function sh(script, options)
    local command = options or {}
    table.move({ "sh", "-c", script }, 1, 3, 1, command)
    return command
end

local function alive(pid)
    local stat = fs.read(("/proc/%d/stat"):format(pid))
    return stat ~= nil and not stat:match("%) Z")
end

describe("hob.exec", function()
    local dir

    before_each(function()
        dir = assert(fs.tempdir())
    end)

    after_each(function()
        fs.remove(dir, { recursive = true })
    end)

    local function pid_from(name)
        return wait_until(function()
            return tonumber(fs.read(dir .. "/" .. name) or "")
        end, 10, "the file " .. name)
    end

    -- Runs what writes the file "ready" when it has come so far that its time-out shows something:
    -- anew, with more time, if it had not.
    local function run_ready(seconds, grace, script)
        fs.remove(dir .. "/ready")
        fs.remove(dir .. "/pid")
        local result = exec.run(sh(script, { timeout = seconds, grace = grace }))
        if fs.stat(dir .. "/ready") or seconds > 20 then
            return result
        end
        return run_ready(4 * seconds, grace, script)
    end

    -- A program that ends at TERM, with a child in its group that does not and that holds none of
    -- our pipes: only KILL for the group ends that, and only when the program has ended.
    local function straggling()
        return ([[trap '' TERM
            (exec >/dev/null 2>&1; sh -c 'echo $PPID' >%s/pid; while :; do sleep 0.01; done) &
            trap 'exit 0' TERM
            while [ ! -s %s/pid ]; do sleep 0.01; done
            echo 1 >%s/ready
            while :; do sleep 0.01; done]]):format(dir, dir, dir)
    end

    describe("run", function()
        it("gives the exit code and both outputs apart", function()
            local result = exec.run(sh("echo out; echo err >&2; exit 3"))
            assert.equals(3, result.code)
            assert.is_nil(result.signal)
            assert.is_false(result.timed_out)
            assert.equals("out\n", result.stdout)
            assert.equals("err\n", result.stderr)
            assert.equals("exit code 3", result.words)
        end)

        it("never takes a death by signal for an exit", function()
            local result = exec.run(sh("kill -KILL $$"))
            assert.is_nil(result.code)
            assert.equals(9, result.signal)
            assert.equals("killed by signal 9 (Killed)", result.words)
        end)

        it("tells exit code 1 from signal 1", function()
            assert.equals("exit code 1", exec.run(sh("exit 1")).words)
            assert.equals("killed by signal 1 (Hangup)", exec.run(sh("kill -HUP $$")).words)
        end)

        it("ends a program at its time-out, and says so", function()
            local result = exec.run({ "sleep", "100", timeout = 0.1 })
            assert.is_true(result.timed_out)
            assert.is_nil(result.code)
            assert.equals(15, result.signal)
            assert.equals("timed out after 0.1 s", result.words)
        end)

        it("says that it timed out even if the program then exits with 0", function()
            local result = exec.run(sh("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done",
                { timeout = 0.2 }))
            assert.is_true(result.timed_out)
            assert.equals("timed out after 0.2 s", result.words)
        end)

        it("kills what ignores TERM after the grace time", function()
            local result = run_ready(0.1, 0.1, ("trap '' TERM; echo 1 >%s/ready; "
                .. "while :; do sleep 0.01; done"):format(dir))
            assert.is_true(result.timed_out)
            assert.equals(9, result.signal)
        end)

        it("kills what is left of the group, after the grace, before a time-out is told", function()
            local pid
            finally(function() exec.run({ "kill", "-KILL", tostring(pid) }) end)
            local result = run_ready(0.5, 0.3, straggling())
            pid = pid_from("pid")
            assert.is_true(result.timed_out)
            assert.equals(0, result.code)
            assert.is_false(alive(pid))
        end)

        it("leaves the rest of a group its grace after a time-out", function()
            local script = [[(exec >/dev/null 2>&1
                trap 'sleep 0.2; echo tidy >%s/tidy; exit 0' TERM
                echo 1 >%s/ready; while :; do sleep 0.01; done) &
                while [ ! -e %s/ready ]; do sleep 0.01; done
                trap 'exit 0' TERM; while :; do sleep 0.01; done]]
            local result = run_ready(0.5, 20, script:format(dir, dir, dir))
            assert.is_true(result.timed_out)
            assert.equals("tidy\n", fs.read(dir .. "/tidy"))
        end)

        it("ends a stopped program at its time-out", function()
            local result = exec.run(sh("kill -STOP $$", { timeout = 0.1 }))
            assert.is_true(result.timed_out)
            assert.equals(15, result.signal)
        end)

        it("returns nil and ENOENT when the program is not in PATH", function()
            local result, message, code = exec.run({ "fw-install-nowhere" })
            assert.is_nil(result)
            assert.equals("fw-install-nowhere: not found in PATH", message)
            assert.equals("ENOENT", code)
        end)

        it("returns nil and EACCES when the file is no program", function()
            assert(fs.write(dir .. "/plain", "text"))
            local result, message, code = exec.run({ dir .. "/plain" })
            assert.is_nil(result)
            assert.matches("may not be run", message)
            assert.equals("EACCES", code)
        end)

        it("names an interpreter that is missing", function()
            assert(fs.write(dir .. "/script", "#!/nowhere/sh\n"))
            assert(fs.chmod(dir .. "/script", 493))
            local _, message, code = exec.run({ dir .. "/script" })
            assert.matches("interpreter", message)
            assert.equals("ENOENT", code)
        end)

        it("names a cwd that is missing, not the program", function()
            local _, message, code = exec.run({ "true", cwd = dir .. "/none" })
            assert.matches("^cwd " .. dir:gsub("%p", "%%%0") .. "/none: ", message)
            assert.equals("ENOENT", code)
        end)

        it("does not hang on a flood on stderr before stdout closes", function()
            local result = exec.run(sh("head -c 300000 /dev/zero >&2; echo done"))
            assert.equals("done\n", result.stdout)
            assert.equals(65536, #result.stderr)
            assert.equals(300000 - 65536, result.stderr_cut)
        end)

        it("is not held by a background child that keeps stdout open", function()
            local result = exec.run(sh(("sleep 1000 & echo $! >%s/pid; echo hi"):format(dir)))
            assert.equals(0, result.code)
            assert.equals("hi\n", result.stdout)
            local pid = pid_from("pid")
            wait_until(function()
                return not alive(pid)
            end, 10, "the straggler's end")
        end)

        it("keeps NUL bytes and invalid UTF-8", function()
            local result = exec.run({ "printf", "a\\000b\\377\\300c" })
            assert.equals("a\0b\255\192c", result.stdout)
        end)

        it("keeps the tail and counts what was cut", function()
            local result = exec.run(sh("seq 1 100000", { tail = 10 }))
            assert.equals("99\n100000\n", result.stdout)
            assert.equals(588895 - 10, result.stdout_cut)
            assert.equals(0, result.stderr_cut)
        end)

        it("keeps a tail that has come in pieces in its order", function()
            local result = exec.run(sh("printf abc; sleep 0.01; printf defg; printf hij",
                { tail = 7 }))
            assert.equals("defghij", result.stdout)
            assert.equals(3, result.stdout_cut)
        end)

        it("takes 10 MB without a newline", function()
            local result = exec.run(sh("head -c 10485760 /dev/zero | tr '\\0' x", { tail = 100 }))
            assert.equals(("x"):rep(100), result.stdout)
            assert.equals(10485760 - 100, result.stdout_cut)
        end)

        it("gives stdin, however large", function()
            local text = ("0123456789abcdef"):rep(65536)
            local result = exec.run({ "sha256sum", stdin = text })
            local same = exec.run({ "wc", "-c", stdin = text .. "\0x" })
            assert.equals(0, result.code)
            assert.equals(tostring(#text + 2), same.stdout:match("%d+"))
        end)

        it("takes it for no failure when the program does not read its stdin", function()
            assert.equals(0, exec.run({ "true", stdin = ("x"):rep(1000000) }).code)
        end)

        it("gives an empty stdin when there is none", function()
            assert.equals("", exec.run({ "cat" }).stdout)
            assert.equals("", exec.run({ "cat", stdin = "" }).stdout)
        end)

        it("puts env over the inherited environment", function()
            local result = exec.run(sh('echo "$HOB_A $HOB_N ${HOME-none} $PATH"',
                { env = { HOB_A = "x y", HOB_N = 3, HOME = false } }))
            assert.equals("x y 3 none " .. os.getenv("PATH") .. "\n", result.stdout)
        end)

        it("runs in cwd", function()
            assert.equals(dir .. "\n", exec.run({ "pwd", "-P", cwd = dir }).stdout)
        end)

        it("gives each child a process group of its own", function()
            local result = exec.run(sh("cut -d' ' -f5 /proc/$$/stat; echo $$"))
            local group, pid = result.stdout:match("(%d+)\n(%d+)")
            assert.equals(pid, group)
        end)

        it("gives children default signals and no descriptors of Hob's", function()
            local result = exec.run({ "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status" })
            for mask in result.stdout:gmatch("Sig%a+:%s*(%x+)") do
                assert.equals(("0"):rep(16), mask)
            end
            -- Without a shell, which has descriptors of its own for a moment.
            result = exec.run({ "ls", "-l", "/proc/self/fd" })
            assert.equal(4, select(2, result.stdout:gsub("%->", ""))) -- with the folder itself
        end)

        it("lets a script open /dev/stderr", function()
            assert.equals("x\n", exec.run(sh("echo x >/dev/stderr")).stderr)
        end)

        it("runs no shell", function()
            assert.equals("$HOME; ls\n", exec.run({ "echo", "$HOME; ls" }).stdout)
        end)

        it("says how many words a command may have", function()
            local words = { "true" }
            for i = 2, 5000 do
                words[i] = "x"
            end
            assert.error_matches(function() exec.run(words) end,
                "a command of 5000 words: at most 4096", 1, true)
        end)

        it("raises on misuse, saying what was expected", function()
            assert.error_matches(function() exec.run({}) end, "program")
            assert.error_matches(function() exec.run({ "true", timout = 1 }) end, "timout")
            assert.error_matches(function() exec.run({ "a\0b" }) end, "NUL")
            assert.error_matches(function() exec.run({ "true", {} }) end, "argument 1")
            assert.error_matches(function() exec.run({ "true", timeout = -1 }) end, "timeout")
            local env = { ["A=B"] = "x" }
            assert.error_matches(function() exec.run({ "true", env = env }) end, "A=B")
        end)

        it("leaves the loop to others meanwhile", function()
            local ticked = false
            time.after(0.01, function() ticked = true end)
            exec.run(sh(("while [ ! -e %s/go ]; do sleep 0.01; done"):format(dir), {
                timeout = (function()
                    time.after(0.05, function() fs.write(dir .. "/go", "") end)
                    return 20
                end)(),
            }))
            assert.is_true(ticked)
        end)
    end)

    describe("check", function()
        local function raised(...)
            local ok, err = pcall(exec.check, ...)
            assert.is_false(ok)
            return err
        end

        it("returns the result of a success", function()
            assert.equals("hi\n", exec.check({ "echo", "hi" }).stdout)
        end)

        it("raises naming the command, how it ended and the last line of stderr", function()
            local err = raised(sh("echo one >&2; echo two >&2; exit 4"))
            assert.matches("sh %-c .*: exit code 4: two$", err.message)
        end)

        it("raises an object that knows an exit code from a signal (field failure 16)", function()
            local err = raised(sh("echo out; echo err >&2; exit 1"))
            assert.equals("EXIT_CODE", err.code)
            assert.equals(1, err.exit_code)
            assert.is_nil(err.signal)
            assert.equals("out\n", err.stdout)
            assert.equals("err\n", err.stderr)

            err = raised(sh("kill -HUP $$"))
            assert.matches("killed by signal 1 %(Hangup%)", err.message)
            assert.equals("SIGNAL", err.code)
            assert.equals(1, err.signal)
            assert.is_nil(err.exit_code)
        end)

        it("raises TIMED_OUT, whatever the program makes of its end", function()
            assert.equals("TIMED_OUT", raised({ "sleep", "100", timeout = 0.1 }).code)
            local polite = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done", { timeout = 0.3 })
            assert.equals("TIMED_OUT", raised(polite).code)
        end)

        it("raises NOT_STARTED when there is no such program", function()
            local err = raised({ "fw-install-nowhere" })
            assert.equals("NOT_STARTED", err.code)
            assert.matches("not found in PATH", err.message)
        end)

        it("keeps all bytes of that line, also NUL", function()
            local err = raised(sh("printf 'a\\000b\\377' >&2; exit 4"))
            assert.matches("exit code 4: a\0b\xff$", err.message)
        end)

        it("raises an object that reads like its message", function()
            local err = raised({ "false" })
            assert.equals(err.message, tostring(err))
            assert.equals("update: " .. err.message, "update: " .. err)
            assert.equals(err.message .. "!", err .. "!")
            assert.matches("^.*exec_spec.lua:%d+: ", select(2, pcall(function()
                exec.check({ "false" })
            end)).message)
        end)
    end)

    describe("report", function()
        local function reported()
            return debug.getregistry()["hob.exec.reported"]
        end

        it("keeps the output of the latest command that asked for it", function()
            exec.run(sh("echo first", { report = true }))
            pcall(exec.check, sh("head -c 20 /dev/zero | tr '\\0' x; echo bad >&2; exit 1",
                { report = true, tail = 10 }))
            exec.run(sh("echo other"))
            assert.same({ stdout = ("x"):rep(10), stdout_cut = 10, stderr = "bad\n",
                stderr_cut = 0 }, reported())
        end)
    end)

    describe("spawn", function()
        it("gives whole lines in order, each stream marked", function()
            local lines = {}
            local process = exec.spawn(sh("echo a; printf b; echo c; printf 'last'; echo e >&2", {
                on_line = function(line, is_err)
                    table.insert(lines, (is_err and "err " or "out ") .. line)
                end,
            }))
            assert.equals(0, process:wait(20).code)
            table.sort(lines)
            assert.same({ "err e", "out a", "out bc", "out last" }, lines)
        end)

        it("calls on_line one line after the other, also when it waits", function()
            local lines = {}
            local process = exec.spawn(sh("seq 1 20", {
                on_line = function(line)
                    time.sleep(0.001)
                    table.insert(lines, line)
                end,
            }))
            assert.is_table(process:wait(20))
            assert.equals(20, #lines)
            for i, line in ipairs(lines) do
                assert.equals(tostring(i), line)
            end
        end)

        it("goes on with the next line after an error in on_line", function()
            local lines = {}
            local process = exec.spawn(sh("echo a; echo b", {
                on_line = function(line)
                    table.insert(lines, line)
                    if line == "a" then
                        error("seen in the log of this spec: on purpose")
                    end
                end,
            }))
            process:wait(20)
            assert.same({ "a", "b" }, lines)
        end)

        it("cuts a line at 64 KB", function()
            local sizes = {}
            local process = exec.spawn(sh("head -c 99999 /dev/zero | tr '\\0' x; echo; echo next", {
                on_line = function(line) table.insert(sizes, #line) end,
            }))
            process:wait(20)
            assert.same({ 65536, 4 }, sizes)
        end)

        it("counts the lines that nobody takes in time", function()
            local taken, process = 0, nil
            process = exec.spawn(sh("head -c 2000000 /dev/zero | tr '\\0' '\\n'", {
                on_line = function()
                    taken = taken + 1
                    if taken == 1 then
                        wait_until(function() return not alive(process:pid()) end, 30, "its end")
                    end
                end,
            }))
            local result = process:wait(60)
            assert.is_true(result.lines_dropped > 0)
            assert.equals(2000000, taken + result.lines_dropped)
        end)

        it("refuses to wait for a process in its own on_line", function()
            local process, problem
            process = exec.spawn(sh("echo a", {
                on_line = function()
                    local _, message = pcall(process.wait, process)
                    problem = message
                end,
            }))
            process:wait(20)
            assert.matches("own on_line", problem)
        end)

        it("waits no longer than asked", function()
            local process = exec.spawn({ "sleep", "100" })
            local result, message, code = process:wait(0.01)
            assert.is_nil(result)
            assert.matches("still runs", message)
            assert.equals("ETIMEDOUT", code)
            assert.is_true(process:kill("KILL"))
            assert.equals(9, process:wait(20).signal)
            assert.equals(9, process:wait().signal)
            assert.is_false(process:kill())
        end)

        it("kills the whole group", function()
            local process = exec.spawn(sh(("sleep 1000 & echo $! >%s/pid; wait"):format(dir)))
            local grandchild = pid_from("pid")
            process:kill("TERM")
            assert.equals(15, process:wait(20).signal)
            wait_until(function() return not alive(grandchild) end, 20, "the grandchild's end")
        end)

        it("kills the group of an object that is garbage", function()
            local script = "sleep 1000 & echo $! >%s/child; echo $$ >%s/pid; wait"
            exec.spawn(sh(script:format(dir, dir)))
            local pid, child = pid_from("pid"), pid_from("child")
            collectgarbage()
            collectgarbage()
            wait_until(function() return not alive(pid) and not alive(child) end, 20, "their end")
        end)

        it("kills the group of an object that is closed, even what ignores TERM", function()
            local script = "trap '' TERM; (trap '' TERM; sh -c 'echo $PPID' >%s/pid; "
                .. "while :; do sleep 0.01; done) & while :; do sleep 0.01; done"
            local process = exec.spawn(sh(script:format(dir), { grace = 0.1 }))
            local pid = pid_from("pid")
            process:close()
            assert.matches("closed", tostring(process))
            assert.has_error(function() process:pid() end)
            wait_until(function() return not alive(pid) end, 20, "its end")
        end)

        it("kills what is left of the group after a closed program that ended at TERM", function()
            local process = exec.spawn(sh(straggling(), { grace = 0.3 }))
            local pid = pid_from("pid")
            finally(function() exec.run({ "kill", "-KILL", tostring(pid) }) end)
            pid_from("ready")
            process:close()
            wait_until(function() return not alive(pid) end, 10, "the straggler's end")
        end)

        it("ends a process with the state that owns it", function()
            local script = ([[
                local p = require("hob.exec").spawn{ "sh", "-c", "echo $$ >%s/pid; sleep 1000" }
                local fs, time = require("hob.fs"), require("hob.time")
                while not tonumber(fs.read("%s/pid") or "") do time.sleep(0.005) end
                keep = p]]):format(dir, dir)
            assert(fs.write(dir .. "/script.lua", script))
            local result = exec.run({ "/proc/" .. exec.run(sh("echo $PPID")).stdout:match("%d+")
                .. "/exe", "lua", dir .. "/script.lua", timeout = 20 })
            assert.equals("exit code 0", result.words .. result.stderr)
            local pid = pid_from("pid")
            wait_until(function() return not alive(pid) end, 20, "its end")
        end)
    end)

    describe("a task that is ended while it waits in run", function()
        it("takes the program with it", function()
            local binary = "/proc/" .. exec.run(sh("echo $PPID")).stdout:match("%d+") .. "/exe"
            assert(fs.write(dir .. "/script.lua", ([[
                local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
                time.after(0, function()
                    exec.run{ "sh", "-c", "sleep 1000 & echo $! >%s/pid; wait" }
                end)
                while not tonumber(fs.read("%s/pid") or "") do time.sleep(0.005) end]])
                :format(dir, dir)))
            local result = exec.run({ binary, "lua", dir .. "/script.lua", timeout = 20 })
            assert.equals("exit code 0", result.words .. result.stderr)
            local pid = pid_from("pid")
            wait_until(function() return not alive(pid) end, 20, "the grandchild's end")
        end)
    end)

    describe("a set", function()
        local set

        before_each(function()
            set = units.exec_set.new()
        end)

        after_each(function()
            set:close()
        end)

        local function turns_until(fn, what)
            return wait_until(function()
                set:turn()
                return fn()
            end, 20, what)
        end

        local function said(text)
            return set:events():find(text, 1, true)
        end

        it("is gone in a later turn if it is empty", function()
            set:when_gone(true)
            assert.equals("", set:events())
            turns_until(function() return said("gone\n") end, "gone")
        end)

        it("is not told that it is gone after that was taken back", function()
            set:when_gone(true)
            set:when_gone(false)
            set:start({ "true" }, {})
            turns_until(function() return set:count() == 0 end, "its end")
            set:turn()
            assert.is_nil(said("gone"))
        end)

        it("tells of each process, and of all that it prints", function()
            local _, pid = set:start(sh("echo hello; echo oops >&2"), {})
            assert.equals(("started %d\n"):format(pid), set:events())
            assert.equals(1, set:count())
            set:when_gone(true)
            turns_until(function() return said("gone\n") end, "gone")
            local events = set:events()
            assert.matches("out of sh: hello\n", events, 1, true)
            assert.matches("err of sh: oops\n", events, 1, true)
            assert.matches(("done exit code 0\nended %d\ngone\n$"):format(pid), events)
            assert.equals(0, set:count())
        end)

        it("keeps what a program left in the background, until it is ended (field failures 11, 25)",
            function()
                set:start(sh(("(exec >/dev/null 2>&1; sleep 1000) & echo $! >%s/pid"):format(dir)),
                    {})
                local pid = pid_from("pid")
                turns_until(function() return said("done exit code 0") end, "the program's end")
                assert.equals(1, set:count())
                assert.is_true(alive(pid))
                set:when_gone(true)
                set:end_all()
                turns_until(function() return said("gone\n") end, "gone")
                assert.is_false(alive(pid))
            end)

        it("is gone only when the whole group is, also what ignores TERM (field failure 12)",
            function()
                set:start(sh(straggling()), { grace_ms = 300 })
                local pid = pid_from("pid")
                finally(function() exec.run({ "kill", "-KILL", tostring(pid) }) end)
                pid_from("ready")
                set:when_gone(true)
                set:end_all()
                turns_until(function()
                    local told = said("gone\n")
                    local is_alive = alive(pid)
                    assert.is_false(told and is_alive or false)
                    return not is_alive
                end, "the straggler's end")
                turns_until(function() return said("gone\n") end, "gone")
                assert.matches("done exit code 0\nended %d+\ngone\n$", set:events())
            end)

        it("waits for a cancelled program, of which nothing but its output is told", function()
            local script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"
            local number = set:start(sh(script), { grace_ms = 20000 })
            turns_until(function() return said("up") end, "its start")
            set:cancel(number)
            set:when_gone(true)
            assert.equals(1, set:count())
            turns_until(function() return said("gone\n") end, "gone")
            assert.truthy(said("out of sh: bye"))
            assert.is_nil(said("done"))
        end)

        it("does not wait for the dead whom nobody buries", function()
            -- The inner shell leaves the group, and its child in it, which it will never wait for.
            set:start(sh(([[(exec >/dev/null 2>&1
                sh -c 'echo $PPID' >%s/out; true & exec setsid sleep 1000) & exit 0]]):format(dir)),
                {})
            local outside = pid_from("out")
            finally(function() exec.run({ "kill", "-KILL", tostring(outside) }) end)
            set:when_gone(true)
            turns_until(function() return said("gone\n") end, "gone")
            assert.is_true(alive(outside))
        end)

        it("that is dropped leaves what may go on, and ends what was being ended", function()
            set:start(sh(("(exec >/dev/null 2>&1; sleep 1000) & echo $! >%s/stays"):format(dir)),
                {})
            local stays = pid_from("stays")
            finally(function() exec.run({ "kill", "-KILL", tostring(stays) }) end)
            turns_until(function() return said("done") end, "the program's end")
            set:drop()
            for _ = 1, 5 do set:turn() end
            assert.is_true(alive(stays))
        end)

        it("that is dropped does not keep the loop from ending", function()
            set:start(sh(("(exec >/dev/null 2>&1; sleep 1000) & echo $! >%s/stays"):format(dir)),
                {})
            local stays = pid_from("stays")
            finally(function() exec.run({ "kill", "-KILL", tostring(stays) }) end)
            turns_until(function() return said("done") end, "the program's end")
            set:close()
            assert.is_true(alive(stays))
        end)

        it("that is dropped while it is ended ends it all the same", function()
            set:start(sh(straggling()), { grace_ms = 300 })
            local pid = pid_from("pid")
            finally(function() exec.run({ "kill", "-KILL", tostring(pid) }) end)
            pid_from("ready")
            set:end_all()
            turns_until(function() return not fs.stat(("/proc/%d"):format(pid))
                or set:events() ~= "" end, "a sign")
            set:close() -- waits for it
            assert.is_false(alive(pid))
        end)
    end)

    describe("out of memory", function()
        local set

        before_each(function()
            set = units.exec_set.new()
            assert(fs.write(dir .. "/vmstat", "nr_free_pages 1\noom_kill 7\n"))
        end)

        after_each(function()
            set:close()
        end)

        local function outcome(script, options)
            options.oom_file = dir .. "/vmstat"
            set:start(sh(script), options)
            wait_until(function()
                set:turn()
                return set:events():match("done")
            end, 20, "its end")
            return set:events():match("done ([^\n]*)")
        end

        local function grow()
            return ("printf 'nr_free_pages 1\\noom_kill 8\\n' >%s/vmstat; "):format(dir)
        end

        it("is told when the kernel killed one more while the program died by signal 9", function()
            assert.equals("killed by the kernel: out of memory",
                outcome(grow() .. "kill -KILL $$", {}))
        end)

        it("is not told of a KILL while the count stayed", function()
            assert.equals("killed by signal 9 (Killed)", outcome("kill -KILL $$", {}))
        end)

        it("is not told of our own KILL", function()
            local number = set:start(sh(grow() .. "echo up; while :; do sleep 0.01; done"),
                { oom_file = dir .. "/vmstat" })
            wait_until(function()
                set:turn()
                return set:events():match("up\n")
            end, 20, "its start")
            set:kill(number, 9)
            wait_until(function()
                set:turn()
                return set:events():match("done")
            end, 20, "its end")
            assert.matches("done killed by signal 9 %(Killed%)\n", set:events())
        end)

        it("is not told of another signal", function()
            assert.equals("killed by signal 15 (Terminated)",
                outcome(grow() .. "kill -TERM $$", {}))
        end)
    end)
end)
