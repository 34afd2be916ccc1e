-- core/device/policy.c: whom programs run as, and what documents may name. Nothing is run here.

local exec = require("hob.exec")
local fs = require("hob.fs")
local units = require("hob_units")

local policy = units.policy
local ROOT, PLAIN = 0, 4242 -- who Hob is

-- A user that every Debian has, and is not root.
local OTHER, ANOTHER = "nobody", "daemon"

local function id_of(user)
  return tonumber(exec.check({ "id", "-u", user }).stdout)
end

local function who(given, wish)
  wish.hob = wish.hob or ROOT
  return policy.who(given, wish)
end

local function granted(given, wish)
  local grant, message = who(given, wish)
  assert(grant, message)
  return grant
end

local function refused(words, code, given, wish)
  local grant, message, got = who(given, wish)
  assert.is_nil(grant)
  assert.equal(words, message)
  assert.equal(code, got)
end

describe("the policy of a Hob that is root", function()
  local dir, tool

  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/real"))
    tool = dir .. "/real/fw-install"
    assert(fs.write(tool, "#!/bin/sh\n", { mode = tonumber("755", 8) }))
    exec.check({ "ln", "-s", "real", dir .. "/alias" })
    exec.check({ "ln", "-s", "fw-install", dir .. "/real/fw-erase" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("runs every program as exec_user", function()
    local grant = granted({ exec_user = OTHER }, { program = "true" })
    assert.is_true(grant.other)
    assert.equal(id_of(OTHER), grant.uid)
    assert.equal("", grant.file)
  end)

  it("runs every program as itself where exec_user is root", function()
    assert.is_false(granted({ exec_user = "root" }, { program = "true" }).other)
  end)

  it("runs nothing where exec_user is not there", function()
    refused('true: no user "no-such-user" on this system', "ENOENT",
      { exec_user = "no-such-user" }, { program = "true" })
    refused('true: no user "no-such-user" on this system', "ENOENT",
      { exec_user = "no-such-user", privileged = { "true" } }, { program = "true" })
  end)

  describe("privileged", function()
    local function is_root(entry, program)
      local grant = granted({ exec_user = OTHER, privileged = { entry } }, { program = program })
      return not grant.other
    end

    it("means by a bare name the first of that name in Hob's own PATH", function()
      local grant = granted({ exec_user = OTHER, privileged = { "true" } }, { program = "true" })
      assert.is_false(grant.other)
      assert.matches("^/.*/true$", grant.file)
      assert.is_true(is_root("true", grant.file))
    end)

    it("does not mean another file of that name", function()
      assert.is_true(fs.write(dir .. "/true", "#!/bin/sh\n", { mode = tonumber("755", 8) }))
      assert.is_false(is_root("true", dir .. "/true"))
      assert.is_false(is_root("fw-install", tool))
    end)

    it("means by a path that very file, through links of directories", function()
      assert.is_true(is_root(tool, tool))
      assert.is_true(is_root(dir .. "/alias/fw-install", tool))
      assert.is_true(is_root(tool, dir .. "/alias/../real/fw-install"))
    end)

    it("does not mean another name of the same file: busybox is many programs", function()
      assert.is_false(is_root(tool, dir .. "/real/fw-erase"))
      assert.is_false(is_root(dir .. "/real/fw-erase", tool))
    end)

    it("never means a relative path", function()
      assert.is_false(is_root("fw-install", "./fw-install"))
      assert.is_false(is_root("./fw-install", "./fw-install"))
    end)

    it("gives the file that was judged, to be run in the place of what is looked up", function()
      local grant = granted({ exec_user = OTHER, privileged = { tool } },
        { program = dir .. "/alias/fw-install" })
      assert.matches("/real/fw%-install$", grant.file)
    end)

    it("leaves the choice of a lesser user", function()
      local grant = granted({ exec_user = OTHER, privileged = { "true" } },
        { program = "true", user = OTHER })
      assert.is_true(grant.other)
      assert.equal("", grant.file)
    end)
  end)

  describe("users", function()
    it("names whom a program may ask for", function()
      local given = { exec_user = OTHER, users = { ANOTHER } }
      assert.equal(id_of(ANOTHER), granted(given, { program = "true", user = ANOTHER }).uid)
    end)

    it("names them by name or number, whichever is asked for", function()
      local number = tostring(id_of(ANOTHER))
      assert.equal(id_of(ANOTHER), granted({ exec_user = OTHER, users = { number } },
        { program = "true", user = ANOTHER }).uid)
      assert.equal(id_of(ANOTHER), granted({ exec_user = OTHER, users = { ANOTHER } },
        { program = "true", user = number }).uid)
    end)

    it("need not name exec_user itself", function()
      assert.equal(id_of(OTHER),
        granted({ exec_user = OTHER }, { program = "true", user = OTHER }).uid)
    end)

    it("is what the refusal of another user names", function()
      refused('true: running as daemon is not allowed here; add "daemon" to users = { ... } in '
        .. "hob.conf.lua", "EPERM", { exec_user = OTHER }, { program = "true", user = ANOTHER })
    end)

    it("lets a program be root only if root is named there, or the program is privileged",
      function()
        for _, root in ipairs({ "root", "0" }) do
          refused('fw-install: running as root is not allowed here; add "fw-install" to '
            .. "privileged = { ... } in hob.conf.lua", "EPERM",
            { exec_user = OTHER, users = { ANOTHER }, privileged = { "true" } },
            { program = "fw-install", user = root })
          assert.is_false(granted({ exec_user = OTHER, users = { "root" } },
            { program = "fw-install", user = root }).other)
          assert.is_false(granted({ exec_user = OTHER, privileged = { "true" } },
            { program = "true", user = root }).other)
        end
      end)

    it("may be names of no user of this system", function()
      refused('true: no user "no-such-user" on this system', "ENOENT",
        { exec_user = OTHER, users = { "no-such-user" } },
        { program = "true", user = "no-such-user" })
      assert.is_true(granted({ exec_user = OTHER, users = { "no-such-user" } },
        { program = "true" }).other)
    end)
  end)

  describe("group", function()
    it("is one of the user's own", function()
      local group = exec.check({ "id", "-gn", OTHER }).stdout:gsub("\n", "")
      local grant = granted({ exec_user = OTHER }, { program = "true", group = group })
      assert.equal(tonumber(exec.check({ "id", "-g", OTHER }).stdout), grant.gid)
    end)

    it("is refused else, since some are as good as root", function()
      refused("true: the user nobody is not in the group disk; usermod -a -G disk nobody puts "
        .. "it there", "EPERM", { exec_user = OTHER }, { program = "true", group = "disk" })
      refused('true: no group "no-such-group" on this system', "ENOENT", { exec_user = OTHER },
        { program = "true", group = "no-such-group" })
    end)

    it("is any for root", function()
      local grant = granted({ exec_user = "root" }, { program = "true", group = "disk" })
      assert.equal(0, grant.uid)
      assert.is_true(grant.gid > 0)
    end)
  end)

  describe("before the start", function()
    it("wants exec_user to be there", function()
      assert.is_true(policy.check({ exec_user = OTHER }, ROOT))
      assert.is_true(policy.check({ exec_user = "root" }, ROOT))
      local ok, message, code = policy.check({ exec_user = "no-such-user" }, ROOT)
      assert.is_nil(ok)
      assert.equal("ECONFIG", code)
      assert.equal('programs of jobs: no user "no-such-user" on this system, and Hob runs as root; '
        .. "make that user (useradd --system no-such-user), or set exec_user = \"root\"", message)
    end)
  end)
end)

describe("the policy of a Hob that is not root", function()
  it("runs everything as itself, privileged or not, and needs no exec_user", function()
    local given = { exec_user = "no-such-user", privileged = { "true" } }
    assert.is_false(granted(given, { program = "true", hob = PLAIN }).other)
    assert.is_false(granted(given, { program = "false", hob = PLAIN }).other)
    assert.is_true(policy.check(given, PLAIN))
  end)

  it("refuses the wish for another user, also one that users names", function()
    refused("true: running as nobody is not possible: this Hob is not root, but user 4242",
      "EPERM", { users = { OTHER } }, { program = "true", user = OTHER, hob = PLAIN })
    refused("true: running as root is not possible: this Hob is not root, but user 4242",
      "EPERM", { privileged = { "true" } }, { program = "true", user = "root", hob = PLAIN })
  end)

  it("grants the wish for itself", function()
    assert.is_false(granted({}, { program = "true", user = OTHER, hob = id_of(OTHER) }).other)
  end)

  it("refuses another group", function()
    refused("true: running with the group disk is not possible: this Hob is not root", "EPERM",
      {}, { program = "true", group = "disk", hob = PLAIN })
  end)
end)

describe("without a policy (hob lua)", function()
  it("a wish is an order", function()
    assert.is_false(granted(nil, { program = "true" }).other)
    assert.equal(id_of(OTHER), granted(nil, { program = "true", user = OTHER }).uid)
  end)
end)

describe("commands", function()
  it("are those that the list names, as they are written", function()
    local given = { commands = { "systemctl", "/usr/bin/apt-get" } }
    assert.is_true(policy.allows_command(given, "systemctl"))
    assert.is_true(policy.allows_command(given, "/usr/bin/apt-get"))
    assert.is_false(policy.allows_command(given, "apt-get"))
    assert.is_false(policy.allows_command(given, "/usr/bin/systemctl"))
    assert.is_false(policy.allows_command({}, "systemctl"))
  end)

  it("are all with a star", function()
    assert.is_true(policy.allows_command({ commands = { "*" } }, "anything"))
  end)
end)

describe("fs_roots", function()
  local dir, job_dir, given

  before_each(function()
    dir = assert(fs.tempdir())
    job_dir = dir .. "/job"
    for _, name in ipairs({ "job", "open/deep", "openly", "shut" }) do
      assert(fs.mkdir(dir .. "/" .. name))
    end
    given = { roots = { dir .. "/open" } }
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function allows(path, what)
    local ok, message, code = units.files.check(given, job_dir, path, what or "target")
    assert(ok or code == "EPERM", message)
    return ok == true
  end

  it("hold what is in them, there or not yet", function()
    assert.is_true(allows(dir .. "/open"))
    assert.is_true(allows(dir .. "/open/deep"))
    assert.is_true(allows(dir .. "/open/new/and/newer"))
    assert.is_false(allows(dir .. "/shut"))
    assert.is_false(allows(dir .. "/shut/new/and/newer"))
    assert.is_false(allows("/"))
  end)

  it("do not hold what only begins like them", function()
    assert.is_false(allows(dir .. "/openly"))
    assert.is_false(allows(dir .. "/openly/f"))
  end)

  it("do not hold what .. leads out of", function()
    assert.is_false(allows(dir .. "/open/../shut/f"))
    assert.is_true(allows(dir .. "/shut/../open/f"))
    local ok, message = units.files.check(given, job_dir, dir .. "/open/none/../../../shut")
    assert.is_nil(ok)
    assert.matches("No such file", message)
  end)

  it("do not hold what a link leads out of, whether its target is there or not", function()
    exec.check({ "ln", "-s", "../shut", dir .. "/open/there" })
    exec.check({ "ln", "-s", dir .. "/shut/none", dir .. "/open/dangling" })
    exec.check({ "ln", "-s", "../open/deep", dir .. "/shut/back" })
    assert.is_false(allows(dir .. "/open/there"))
    assert.is_false(allows(dir .. "/open/there/f"))
    assert.is_false(allows(dir .. "/open/dangling"))
    assert.is_true(allows(dir .. "/shut/back/f"))
  end)

  it("hold a link itself where it stands: it may be removed", function()
    exec.check({ "ln", "-s", "../shut", dir .. "/open/there" })
    exec.check({ "ln", "-s", "../open", dir .. "/shut/back" })
    assert.is_true(allows(dir .. "/open/there", "entry"))
    assert.is_true(allows(dir .. "/open/there/", "entry"))
    assert.is_false(allows(dir .. "/shut/back", "entry"))
    assert.is_false(allows(dir .. "/open/there/f", "entry"))
    assert.is_false(allows(dir .. "/open/..", "entry"))
  end)

  it("end the search in links that go round", function()
    exec.check({ "ln", "-s", "b", dir .. "/open/a" })
    exec.check({ "ln", "-s", "a", dir .. "/open/b" })
    assert.is_nil((units.files.check(given, job_dir, dir .. "/open/a")))
  end)

  it("need not name the directory of the job", function()
    assert.is_true(allows(job_dir .. "/f"))
    given.roots = {}
    assert.is_true(allows(job_dir .. "/f"))
    assert.is_false(allows(dir .. "/open"))
  end)

  it("are everything by default", function()
    given.roots = { "/" }
    assert.is_true(allows(dir .. "/shut"))
  end)

  it("are what the refusal names, and where a link leads", function()
    exec.check({ "ln", "-s", "../shut", dir .. "/open/there" })
    local _, message, code = units.files.check(given, job_dir, dir .. "/open/there/f")
    assert.equal("EPERM", code)
    assert.equal(("%s/open/there/f leads to %s/shut/f: not within the directories that handlers "
      .. "may touch; add one to fs_roots = { ... } in hob.conf.lua"):format(dir, dir), message)
  end)
end)
