-- docs/reference/control-protocol.md against the table of commands in core/host/control_commands.c.

local project = require("spec.support.source")

describe("docs/reference/control-protocol.md", function()
  local source = project.read("core/host/control_commands.c")
  local commands = source:match("commands%[%] = (%b{})")
  local text = project.read("docs/reference/control-protocol.md")

  it("has a section for each command of the control socket", function()
    local headings, missing, count = "", {}, 0
    for line in text:gmatch("[^\n]+") do
      headings = headings .. (line:match("^##+ (.*)$") or "") .. " "
    end
    headings = " " .. headings:gsub(",", " ") .. "Requests that go on stop "
    for name in commands:gmatch('{"([%w-]+)",%s*[%a_]+,') do
      count = count + 1
      if not headings:find(" " .. name .. " ", 1, true) then
        missing[#missing + 1] = name
      end
    end
    assert.same({}, missing)
    assert.is_true(count > 10)
  end)

  it("names each member of a command", function()
    local missing = {}
    for members in commands:gmatch('{"[%w-]+",%s*[%w_]+,%s*(%b{})') do
      for name in members:gmatch('"([%w]+)"') do
        if not text:find('"' .. name .. '"', 1, true) and not text:find("`" .. name, 1, true) then
          missing[#missing + 1] = name
        end
      end
    end
    assert.same({}, missing)
  end)
end)
