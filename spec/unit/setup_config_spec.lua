-- hob.conf.lua as `hob init`, `hob import` and `hob provision` write it.

local config = require("hob.setup.config")

describe("the text of a configuration", function()
  local function load_of(text)
    return assert(load(text, "=config", "t", {}))()
  end

  it("is what was given, whatever is in a path", function()
    local settings = { thing_name = "gateway-7", port = 8883, tls = false,
      cert = "/a b/it's\n\"x\"\\\n.crt", key = "/k\r\t\0\255.key" }
    assert.same(settings, load_of(config.text(settings, "Made by a spec.")))
  end)

  it("has no setting that a file's name has put there by a line's end", function()
    local text = config.text({ thing_name = "gateway-7" }, "Made of /etc/a\nevil = 1 --.conf.",
      { "privileged = { 'x\n  evil = 1, --' }", "", "and\r\nevil = 2" })
    assert.same({ thing_name = "gateway-7" }, load_of(text))
    assert.matches("-- Made of /etc/a?evil = 1 --.conf.", text, 1, true)
  end)
end)
