-- hob.edit on a real terminal: keys, completion, history, and output above the line being typed.

local fs = require("hob.fs")
local ptys = require("spec.support.pty")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PROGRAM = [==[
local edit, process, time = require("hob.edit"), require("hob.process"), require("hob.time")
local words = { "handlers", "help", "héllo", "hob", "jobs" }
local ticks, bursts = 0, 0
local editor = assert(edit.open{ complete = function(editor, text)
  local word, found = text:match("[%w_\128-\255]*$"), {}
  for _, one in ipairs(words) do
    found[#found + 1] = one:sub(1, #word) == word and one or nil
  end
  editor:candidates(found, #text - #word + 1)
end })
for _, line in ipairs{ "first", "second" } do
  editor:remember(line)
end
process.on_signal("INT", function() editor:interrupt() end)
process.on_signal("WINCH", function() editor:resize() end)
process.on_signal("USR1", function() editor:print("NEWS\n") end)
process.on_signal("USR2", function() editor:prompt("other> ") end)
local function tick()
  ticks = ticks + 1
  time.after(0.005, tick)
end
tick()
while true do
  local before = ticks
  local line, why, code = editor:read("hob> ")
  if code == "EOF" then
    editor:print("end: " .. why .. "\n")
    break
  elseif not line then
    editor:print("dropped: " .. code .. "\n")
  elseif line == "burst" then
    bursts = bursts + 1
    local text = ("burst %d.\n"):format(bursts)
    time.after(0, function() editor:print(text) end) -- about when it reads again
  else
    editor:print(("got [%s] %s\n"):format(line, ticks > before and "the loop went on" or ""))
  end
end
editor:close()
print("closed")
]==]

describe("hob.edit", function()
  local pty, dir

  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.write(dir .. "/program.lua", PROGRAM))
    pty = ptys.start({ worlds.hob(), "lua", dir .. "/program.lua" })
    pty:expect_line("hob>")
  end)
  after_each(function()
    pty:close()
    fs.remove(dir, { recursive = true })
  end)

  it("gives the line that was typed, while everything else goes on", function()
    pty:send("some words")
    pty:expect_line("hob> some words")
    pty:keys("enter")
    pty:expect("got [some words] the loop went on")
  end)

  it("prints at once what comes together with the wish to read", function()
    for i = 1, 60 do
      pty:send("burst\r")
      pty:expect(("burst %d."):format(i))
    end
  end)

  it("takes characters of more than a byte, and takes them back as one", function()
    pty:send("Größe ✓x")
    pty:keys("backspace", "backspace", "left", "left", "left", "backspace")
    pty:expect_line("hob> Grße")
    pty:keys("enter")
    pty:expect("got [Grße ]")
  end)

  it("moves in the line", function()
    pty:send("bc")
    pty:keys("home")
    pty:send("a")
    pty:keys("end")
    pty:send("d")
    pty:keys("left", "left", "delete")
    pty:expect_line("hob> abd")
  end)

  it("brings back what is to be remembered, the newest first", function()
    pty:keys("up")
    pty:expect_line("hob> second")
    pty:keys("up")
    pty:expect_line("hob> first")
    pty:keys("down")
    pty:expect_line("hob> second")
  end)

  it("completes a single word, the common beginning of several, and lists them", function()
    pty:send("x j\t")
    pty:expect_line("hob> x jobs")
    pty:send(" h\t")
    pty:expect("handlers  help      héllo     hob")
    pty:expect_line("hob> x jobs h")
    pty:send("é\t")
    pty:expect_line("hob> x jobs héllo")
    pty:send(" none\t!")
    pty:expect_line("hob> x jobs héllo none!")
  end)

  it("drops the line by Ctrl-C, with each key before it and none behind it", function()
    pty:send("abc\3def\r")
    pty:expect("dropped: ECANCELED")
    pty:expect("got [def]")
  end)

  it("leaves a line that is dropped as it was typed, also one of several rows", function()
    local text = ("x"):rep(100)
    pty:send(text)
    pty:expect_line(text:sub(76))
    pty:keys("home")
    pty:expect_line("hob> " .. text:sub(1, 75))
    pty:keys("ctrl-c")
    pty:expect("\n" .. text:sub(76) .. "^C\ndropped: ECANCELED\nhob>")
  end)

  it("ends by Ctrl-D on an empty line only", function()
    pty:send("a\4b\r")
    pty:expect("got [ab]")
    pty:keys("ctrl-d")
    pty:expect("end: the input has ended")
    pty:expect("closed")
    assert.equal(0, (pty:wait()))
  end)

  it("prints above a line that is being typed, however long that is", function()
    pty:send(("0123456789"):rep(20))
    wait_until(function()
      return select(2, pty:text():gsub("%d", "")) == 200
    end, worlds.PATIENCE, "the whole line")
    local before = pty:text()
    pty:kill(10) -- SIGUSR1
    wait_until(function()
      return pty:text() == "NEWS\n" .. before
    end, worlds.PATIENCE, function() return "the news above the line:\n" .. pty:text() end)
    pty:keys("enter")
    pty:expect("got [0123")
  end)

  it("changes the prompt of the line that is being typed", function()
    pty:send("half")
    pty:expect_line("hob> half")
    pty:kill(12) -- SIGUSR2
    pty:expect_line("other> half")
    pty:send(" a line\r")
    pty:expect("got [half a line]")
  end)

  it("follows the window's size", function()
    pty:send(("x"):rep(30))
    pty:expect_line("hob> " .. ("x"):rep(30))
    pty:resize(24, 20)
    pty:send("yy")
    pty:expect("yy")
    pty:keys("enter")
    pty:expect("got [")
  end)

  it("takes what is typed while nothing is read for the next line", function()
    pty:send("one\rtwo\rthree\r")
    pty:expect("got [one]")
    pty:expect("got [two]")
    pty:expect("got [three]")
  end)
end)
