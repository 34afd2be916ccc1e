-- Whom the programs of jobs run as, and what hob.fs may touch: the real `hob run`. As root the
-- programs run as a user that every Debian has; as a plain user there is nobody else to be.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local json = require("hob.json")
local worlds = require("spec.support.world")

local IS_ROOT = exec_user.name() ~= nil
local OTHER, THIRD = "nobody", "daemon"

-- What a handler saw goes to a file that the spec reads.
local HEAD = [[
local exec, fs, json = require("hob.exec"), require("hob.fs"), require("hob.json")
local function words(...) local list = table.pack(exec.run(...)); return { list[2], list[3] } end
return {
  api = 1,
  run = function(job)
    local seen = {}
    job:step("look", function()
%s
    end)
    assert(fs.write(job.document.out, json.encode(seen)))
  end,
}
]]

describe("privileges", function()
  local world, count

  setup(function()
    count = 0
    world = worlds.start({ tls = false })
    assert(fs.chmod(world.dir, tonumber("711", 8))) -- as /var/lib is, for whom programs run as
  end)

  teardown(function()
    world:stop()
  end)

  -- Run the body of a step in a gateway of its own. @return what it has put into `seen`
  local function see(config, body, dir)
    count = count + 1
    local id, out = "look-" .. count, dir and dir .. "/seen.json" or world:path("seen.json")
    local gateway = world:gateway({ thing = "gw-" .. count, config = config,
      scripts = { ["look.lua"] = HEAD:format(body) } })
    world:create(id, json.encode({ operation = "look", out = out }), "gw-" .. count)
    local execution = world:ended(id, "gw-" .. count)
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    gateway:stop()
    assert.equal(0, gateway:count("data.unreachable"))
    return json.decode(assert(fs.read(out)))
  end

  local function it_as_root(name, body)
    it(name, function()
      if not IS_ROOT then
        return pending("only root can be somebody else")
      end
      return body()
    end)
  end

  local function id_of(user, flag)
    return tonumber(exec.check({ "id", flag or "-u", user }).stdout)
  end

  describe("of a Hob that is root", function()
    it_as_root("make every program run as exec_user, with its groups and its home, and no more",
      function()
        local seen = see({ exec_user = OTHER }, [[
          seen.id = exec.check{ "id" }.stdout
          seen.env = exec.check{ "sh", "-c", "echo $HOME $USER $LOGNAME $MINE",
            env = { MINE = "x", USER = "said" } }.stdout
          seen.status = exec.check{ "grep", "-E", "^(Uid|Gid|Groups|Cap|NoNewPrivs)",
            "/proc/self/status" }.stdout
          seen.spawned = exec.spawn{ "id", "-u" }:wait().stdout
          seen.lines = {}
          exec.check{ "id", "-u", on_line = function(line) table.insert(seen.lines, line) end }
        ]])
        assert.equal(exec.check({ "id", OTHER }).stdout, seen.id)
        local home = exec.check({ "getent", "passwd", OTHER }).stdout:match("([^:]*):[^:]*$")
        assert.equal(("%s said %s x\n"):format(home, OTHER), seen.env)
        local uid = id_of(OTHER)
        assert.matches(("Uid:\t%d\t%d\t%d\t%d\n"):format(uid, uid, uid, uid), seen.status, 1, true)
        for _, set in ipairs({ "Inh", "Prm", "Eff", "Amb" }) do
          assert.matches("Cap" .. set .. ":\t0+\n", seen.status)
        end
        local groups = exec.check({ "id", "-G", OTHER }).stdout:gsub("\n", "")
        assert.matches("Groups:\t" .. groups, seen.status, 1, true)
        assert.matches("NoNewPrivs:\t0", seen.status, 1, true) -- or sudo would end
        assert.equal(uid .. "\n", seen.spawned)
        assert.same({ tostring(uid) }, seen.lines)
      end)

    it_as_root("leave Hob itself as it was, also after a program that could not be started",
      function()
        local seen = see({ exec_user = OTHER }, [[
          exec.run{ "/nowhere/program" }
          exec.check{ "true" }
          seen.status = fs.read("/proc/self/status")
        ]])
        local mine = fs.read("/proc/self/status")
        for _, name in ipairs({ "Uid", "Gid", "Groups", "CapPrm", "CapEff" }) do
          local pattern = "\n" .. name .. ":([^\n]*)"
          assert.equal(mine:match(pattern), seen.status:match(pattern), name)
        end
      end)

    it_as_root("give the directory of the job, and what Hob makes in it, to exec_user", function()
      local seen = see({ exec_user = OTHER }, [[
        exec.check{ "sh", "-c", "echo by-program > made" }
        seen.made = fs.read("made")
        assert(fs.write("secret", "by-hob", { mode = tonumber("600", 8) }))
        assert(fs.append("grown", "by-hob"))
        assert(fs.mkdir("deep/er"))
        local temp = assert(fs.tempdir())
        seen.read = exec.check{ "cat", job.dir .. "/secret", "grown" }.stdout
        exec.check{ "touch", "deep/er/f", temp .. "/f" }
        seen.temp = temp:sub(1, #job.dir + 1) == job.dir .. "/"
        seen.dir, seen.secret = fs.stat(job.dir), fs.stat("secret")
        assert(fs.copy("secret", "copy"))
        seen.copy = fs.stat("copy")
        assert(exec.run{ "sh", "-c", "echo x; id -u >&2", stdout = "out", stderr = "err" })
        seen.out, seen.err, seen.err_text = fs.stat("out"), fs.stat("err"), fs.read("err")
      ]])
      local uid, private = id_of(OTHER), tonumber("600", 8)
      assert.equal("by-program\n", seen.made)
      assert.equal("by-hobby-hob", seen.read)
      assert.is_true(seen.temp)
      assert.equal(tonumber("700", 8), seen.dir.mode)
      assert.equal(uid, seen.dir.uid)
      assert.equal(id_of(OTHER, "-g"), seen.dir.gid)
      assert.equal(uid .. "\n", seen.err_text)
      for _, name in ipairs({ "secret", "copy", "out", "err" }) do
        assert.equal(uid, seen[name].uid, name)
        assert.equal(private, seen[name].mode, name)
      end
    end)

    it_as_root("let the programs that privileged names be root, whatever PATH a handler says",
      function()
        local seen = see({ exec_user = OTHER, privileged = { "id" } }, [[
          assert(fs.write("id", "#!/bin/sh\necho false one\n", { mode = 493 }))
          seen.bare = exec.check{ "id", "-u", env = { PATH = job.dir } }.stdout
          seen.false_one = exec.check{ "./id" }.stdout
          seen.through_sh = exec.check{ "sh", "-c", "id -u" }.stdout
          seen.lesser = exec.check{ "id", "-u", user = "nobody" }.stdout
        ]])
        assert.equal("0\n", seen.bare)
        assert.equal("false one\n", seen.false_one)
        assert.equal(id_of(OTHER) .. "\n", seen.through_sh)
        assert.equal(id_of(OTHER) .. "\n", seen.lesser)
      end)

    it_as_root("refuse root and other users, naming the key to set", function()
      local seen = see({ exec_user = OTHER }, [[
        seen.root = words{ "fw-install", user = "root" }
        seen.third = words{ "true", user = "daemon" }
        local ok, err = pcall(exec.check, { "true", user = "daemon" })
        seen.check = { ok, tostring(err), err.code }
      ]])
      assert.same({ 'fw-install: running as root is not allowed here; add "fw-install" to '
        .. "privileged = { ... } in hob.conf.lua", "EPERM" }, seen.root)
      local words = 'true: running as daemon is not allowed here; add "daemon" to '
        .. "users = { ... } in hob.conf.lua"
      assert.same({ words, "EPERM" }, seen.third)
      assert.equal(false, seen.check[1])
      assert.matches(words, seen.check[2], 1, true)
      assert.equal("EPERM", seen.check[3])
    end)

    it_as_root("let a program be one of users, away from the job's directory", function()
      local seen = see({ exec_user = OTHER, users = { THIRD } }, [[
        seen.id = exec.check{ "id", "-u", user = "daemon" }.stdout
        seen.cwd = exec.check{ "pwd", user = "daemon" }.stdout
        seen.own_cwd = exec.check{ "pwd" }.stdout == job.dir .. "\n"
      ]])
      assert.equal(id_of(THIRD) .. "\n", seen.id)
      assert.equal("/\n", seen.cwd)
      assert.is_true(seen.own_cwd)
    end)

    it_as_root("end programs of another user with their time", function()
      local seen = see({ exec_user = OTHER }, [[
        seen.result = exec.run{ "sleep", "1000", timeout = 0.05 }
      ]])
      assert.is_true(seen.result.timed_out)
      assert.equal(15, seen.result.signal)
    end)

    it_as_root("name a directory above the data that does not let exec_user pass", function()
      local shut = world:path("shut")
      assert(fs.mkdir(shut))
      assert(fs.chmod(shut, tonumber("700", 8)))
      local gateway = world:gateway({ thing = "shut", config = { exec_user = OTHER,
        data = shut .. "/data" } })
      assert.matches("^" .. shut:gsub("%p", "%%%0") .. " does not let the user nobody pass",
        gateway:wait_event("data.unreachable").msg)
      gateway:stop()
    end)

    it_as_root("keep hob run from starting when exec_user is not there", function()
      local gateway = world:gateway({ thing = "nowhere", launch = false,
        config = { exec_user = "no-such-user" } })
      local line
      for text in fs.read(gateway.config):gmatch("[^\n]*") do
        line = (line or 0) + 1
        if text:find("exec_user", 1, true) then
          break
        end
      end
      local result = exec.run({ worlds.hob(), "run", "--config", gateway.config, timeout = 30 })
      assert.equal(2, result.code, result.words)
      assert.equal(("hob: %s:%d: exec_user: programs of jobs: no user \"no-such-user\" on this "
        .. "system, and Hob runs as root; make that user (useradd --system no-such-user), or set "
        .. "exec_user = \"root\"\n"):format(gateway.config, line), result.stderr)
      assert.is_nil(fs.stat(gateway.dir .. "/data"))
    end)
  end)

  describe("of a Hob that is no root", function()
    it("are its own: a wish for another user is refused with words", function()
      if IS_ROOT then
        return pending("this is root; policy_spec.lua asks the same of the rules")
      end
      local seen = see({ privileged = { "true" }, users = { THIRD } }, [[
        seen.own = exec.check{ "id", "-u" }.stdout
        seen.other = words{ "true", user = "daemon" }
        seen.root = words{ "true", user = "root" }
      ]])
      local me = exec.check({ "id", "-u" }).stdout
      assert.equal(me, seen.own)
      local words = ": this Hob is not root, but user " .. me:gsub("\n", "")
      assert.same({ "true: running as daemon is not possible" .. words, "EPERM" }, seen.other)
      assert.same({ "true: running as root is not possible" .. words, "EPERM" }, seen.root)
    end)
  end)

  it("keep hob.fs and the files of outputs within fs_roots and the job's directory", function()
    local open = world:path("open")
    assert(fs.mkdir(open))
    local seen = see({ fs_roots = { open } }, ([[
      local open, shut = %q, %q
      assert(fs.write("f", "x"))
      assert(fs.write(open .. "/f", "x"))
      seen.refused = {}
      local function note(name, ...) seen.refused[name] = select(3, ...) or "none" end
      note("read", fs.read("/etc/passwd"))
      note("write", fs.write(shut .. "/f", "x"))
      note("append", fs.append(shut .. "/f", "x"))
      note("mkdir", fs.mkdir(shut .. "/d"))
      note("list", fs.list(shut))
      note("stat", fs.stat(shut))
      note("exists", fs.exists(shut))
      note("chmod", fs.chmod(shut, 493))
      note("remove", fs.remove(shut .. "/f"))
      note("copy from", fs.copy("/etc/passwd", "p"))
      note("copy to", fs.copy("f", shut .. "/f"))
      note("rename from", fs.rename(shut .. "/f", "g"))
      note("rename to", fs.rename("f", shut .. "/f"))
      note("sync", fs.sync(shut))
      note("stdout", exec.run{ "true", stdout = shut .. "/f" })
      note("stderr", exec.run{ "true", stderr = shut .. "/f" })
      seen.message = select(2, fs.read("/etc/passwd"))
      assert(fs.symlink("/etc/passwd", open .. "/link"))
      seen.link, seen.same = fs.stat(open .. "/link").type, fs.stat(open .. "/f").type
      note("through a link", fs.read(open .. "/link"))
      assert(fs.symlink(shut .. "/f", open .. "/lost"))
      note("to what a link names", fs.write(open .. "/lost", "x"))
    ]]):format(open, world.dir), open)
    for name, code in pairs(seen.refused) do
      assert.equal("EPERM", code, name)
    end
    assert.same({ "link", "file" }, { seen.link, seen.same })
    assert.matches("^/etc/passwd: not within .* fs_roots = { ... } in hob.conf.lua$", seen.message)
    assert.is_nil(fs.stat(world.dir .. "/f"))
  end)
end)
