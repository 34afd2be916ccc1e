-- room.lua - a clean Debian 12 in a directory, and the packages that were made in it; it can be
-- started, with a systemd of its own.
--
--     local room = require("spec.package.room").new()      -- of HOB_PACKAGE_ROOT, a tar file
--     room:install("hob", "libhob1")                       -- the packages of HOB_PACKAGE_DIR
--     room:run{ "hob", "--version" }                       -- in its files; as exec.check
--     room:boot()
--     room:inside{ "systemctl", "start", "hob" }           -- in the running system; as exec.check
--     room:remove()
--
-- `./dev package --check` makes the tar file and says where all lies. Needs to be root.

local exec = require("hob.exec")
local fs = require("hob.fs")
local source = require("spec.support.source")
local wait_until = require("spec.support.wait").wait_until

local M = {}
M.__index = M

local INSTALL_LIMIT, LIMIT = 600, 120 -- seconds
local ENV = { "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root" }

local function setting(name)
  return os.getenv(name) or error(name .. " is not set: ./dev package --check does it", 3)
end

local function join(...)
  local list = {}
  for _, words in ipairs({ ... }) do
    table.move(words, 1, #words, #list + 1, list)
  end
  return list
end

---@return table room
function M.new()
  local self = setmetatable({ dir = assert(fs.tempdir()), boots = {} }, M)
  self.root = self.dir .. "/root"
  assert(fs.mkdir(self.root))
  exec.check({ "tar", "-C", self.root, "-xf", setting("HOB_PACKAGE_ROOT"), timeout = LIMIT })
  self:write("/etc/hosts", "127.0.0.1 localhost\n")
  exec.check({ "sh", "-c", 'cp /etc/resolv.conf "$0/etc/"; cp "$1"/*.deb "$0/root/"', self.root,
    setting("HOB_PACKAGE_DIR") })
  return self
end

local function run(how, argv, enter)
  local all = join(enter, ENV, argv)
  all.timeout, all.stdin = argv.timeout or LIMIT, argv.stdin
  return exec[how](all)
end

---A command in its files; the network is this machine's. Raises if it fails.
---@param argv table  as of exec.check
function M:run(argv)
  return run("check", argv, { "chroot", self.root })
end

---apt-get, quiet. A name is a package of Debian's, or one of ours.
function M:install(...)
  local words = { "apt-get", "install", "-qy", "--no-install-recommends", timeout = INSTALL_LIMIT }
  for _, name in ipairs({ ... }) do
    local ours
    for _, entry in ipairs(assert(fs.list(self.root .. "/root"))) do
      ours = entry:find(name .. "_", 1, true) == 1 and "/root/" .. entry or ours
    end
    words[#words + 1] = ours or name
  end
  if not self.updated then
    self:run({ "apt-get", "update", "-q", timeout = INSTALL_LIMIT })
    self.updated = true
  end
  return self:run(words)
end

---@param path string  in the room
function M:write(path, text)
  assert(fs.mkdir(self.root .. path:match("^(.*)/")))
  assert(fs.write(self.root .. path, text))
end

---All that is there, but for what dpkg and apt keep for themselves, and logs.
---@return table<string, true> paths
function M:files()
  local to, skipped = self.dir .. "/files", { "-path", self.root .. "/root" }
  for _, place in ipairs({ "/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log" }) do
    table.move({ "-o", "-path", self.root .. place }, 1, 3, #skipped + 1, skipped)
  end
  exec.check(join({ "find", self.root, "-xdev", "(" }, skipped,
    { ")", "-prune", "-o", "-fprintf", to, "/%P\n" }))
  local set = {}
  for path in assert(fs.read(to)):gmatch("[^\n]+") do
    set[path] = true
  end
  return set
end

---What is in one of two such sets only.
---@return string[] paths
function M.differing(a, b)
  local list = {}
  for _, pair in ipairs({ { a, b, "gone: " }, { b, a, "left: " } }) do
    for path in pairs(pair[1]) do
      list[#list + 1] = not pair[2][path] and pair[3] .. path or nil
    end
  end
  table.sort(list)
  return list
end

---------------------------------------------------------------- running

-- Process 1 of the room, as this machine counts: the only child's child that is a systemd.
local function find_init(pid)
  local children = fs.read(("/proc/%d/task/%d/children"):format(pid, pid)) or ""
  for child in children:gmatch("%d+") do
    local name = fs.read("/proc/" .. child .. "/comm") or ""
    local found = name == "systemd\n" and tonumber(child) or find_init(tonumber(child))
    if found then
      return found
    end
  end
end

---Start it, and wait until its system is up.
function M:boot()
  self.machine = assert(exec.spawn({ source.root .. "/spec/package/boot.sh", self.root }))
  self.boots[#self.boots + 1] = self.machine:pid()
  self.init = wait_until(function()
    assert(not self.machine:wait(0), "the room did not start")
    return find_init(self.machine:pid())
  end, LIMIT, "process 1")
  wait_until(function()
    local said = self:try({ "systemctl", "is-system-running" })
    return said and (said.stdout == "running\n" or said.stdout == "degraded\n")
  end, LIMIT, "the system in the room")
end

local function enter(self)
  local pid = tostring(self.init)
  return { "nsenter", "--target", pid, "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
    "--root", "--wd=/" }
end

---A command in the running system. Raises if it fails.
function M:inside(argv)
  return run("check", argv, enter(self))
end

---The same, as exec.run: what came of it.
function M:try(argv)
  return run("run", argv, enter(self))
end

---A command that goes on. @return table process  of hob.exec
function M:spawn(argv)
  local all = join(enter(self), ENV, argv)
  all.stdout, all.stderr = argv.stdout, argv.stderr
  return assert(exec.spawn(all))
end

---It ended by itself: it was asked to power off, or to reboot.
function M:wait_end()
  return assert(self.machine:wait(LIMIT), "the room did not go down")
end

-- The control groups that boot.sh made, which outlive their processes.
local function remove_groups(self)
  for _, pid in ipairs(self.boots) do
    exec.check({ "unshare", "--mount", "--propagation", "private", "sh", "-ec",
      'mount -t cgroup2 cgroup2 /mnt; find "/mnt/hob-check-$0" -depth -type d -exec rmdir {} +',
      tostring(pid) })
  end
end

function M:remove()
  if self.machine then
    self.machine:kill("KILL")
    self.machine:wait(LIMIT)
    -- Its mounts go when the last of its processes has.
    wait_until(function() return not fs.stat("/proc/" .. self.init .. "/ns/pid") end, LIMIT,
      "the end of the room")
  end
  remove_groups(self)
  exec.check({ "rm", "-rf", "--one-file-system", self.dir, timeout = LIMIT })
end

return M
