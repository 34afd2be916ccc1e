-- What the gateway trusts must not be others' to change: it does not start then.

local exec = require("hob.exec")
local fs = require("hob.fs")
local tellings = require("spec.support.telling")
local worlds = require("spec.support.world")

describe("hob run", function()
  local world, gateway

  before_each(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = tellings.SCRIPTS, launch = false })
    assert(fs.mkdir(gateway.dir .. "/scripts/lib/deep"))
    assert(fs.write(gateway.dir .. "/scripts/lib/shared.lua", "return {}"))
    assert(fs.write(gateway.dir .. "/scripts/lib/deep/inner.lua", "return {}"))
    assert(fs.mkdir(gateway.dir .. "/data"))
    exec.check({ "chmod", "0700", gateway.dir .. "/data" })
  end)
  after_each(function()
    world:stop()
  end)

  -- What it says when it does not start.
  local function refusal()
    local result = exec.run({ worlds.hob(), "run", "--config", gateway.config, timeout = 30 })
    assert.equal(2, result.code, result.stdout .. result.stderr)
    return result.stderr
  end
  local function runs()
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
  end
  local function is_root()
    return exec.check({ "id", "-u" }).stdout == "0\n"
  end

  for _, name in ipairs({ "scripts", "scripts/lib", "scripts/quick.lua", "scripts/lib/shared.lua",
    "scripts/lib/deep/inner.lua", "data", "hob.conf.lua" }) do
    it("refuses " .. name .. " that every user could change, and says what mends it", function()
      local path = gateway.dir .. "/" .. name
      exec.check({ "chmod", "o+w", path })
      local message = refusal()
      assert.matches("every user of this machine %(mode 0%d%d%d%)", message)
      local command = message:match("(chmod o%-w %S+)\n$")
      assert.equal("chmod o-w " .. path, command)
      exec.check({ "sh", "-c", command })
      runs()
    end)
  end

  it("refuses a directory that is sticky and open to all: they could put scripts in", function()
    exec.check({ "chmod", "1777", gateway.dir .. "/scripts" })
    assert.matches("mode 1777", refusal())
  end)

  for _, name in ipairs({ "scripts", "scripts/quick.lua", "data", "hob.conf.lua" }) do
    it("refuses " .. name .. " that belongs to another user", function()
      if not is_root() then
        return pending("needs root, to give a file away")
      end
      local path = gateway.dir .. "/" .. name
      exec.check({ "chown", "65534", path })
      local message = refusal()
      assert.matches("belongs to user 65534", message)
      exec.check({ "sh", "-c", message:match("(chown 0 %S+)\n$") })
      runs()
    end)
  end

  it("warns of a group that could change them, if it is not the user's own", function()
    if not is_root() then
      return pending("needs root, to give a file to a group")
    end
    local path = gateway.dir .. "/scripts/quick.lua"
    exec.check({ "chmod", "g+w", path, gateway.dir .. "/scripts/refuses.lua" })
    exec.check({ "chgrp", "65534", path })
    runs()
    local event = gateway:wait_event("start.group_writable")
    assert.matches("quick.lua can be changed by all of group 65534", event.msg)
    assert.equal("chmod g-w " .. path, event.action)
    assert.equal(1, gateway:count("start.group_writable"))
  end)

  it("does not mind a data directory that is not there yet", function()
    fs.remove(gateway.dir .. "/data")
    runs()
    assert.equal("700\n", exec.check({ "stat", "-c", "%a", gateway.dir .. "/data" }).stdout)
  end)
end)
