-- `hob completion`: what the shells get, and what they make of it.

local candidates = require("hob.cli.candidates")
local exec = require("hob.exec")
local fs = require("hob.fs")
local options = require("hob.cli.options")
local project = require("spec.support.source")
local ptys = require("spec.support.pty")
local time = require("hob.time")
local worlds = require("spec.support.world")

local function lines_of(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

local function contains(list, word)
  for _, one in ipairs(list) do
    if one == word then
      return true
    end
  end
  return false
end

-- The commands of the program, as it looks them up.
local function commands_of_program()
  local source = project.read("core/host/tool.c")
  local list = assert(source:match("commands%[%] = (%b{});"))
  local names = { "run" }
  for name in list:gmatch('"([%l-]+)"') do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("the candidates", function()
  it("are all commands of the program, and no others", function()
    local offered = {}
    for _, word in ipairs(candidates.find({ "" }).words) do
      offered[#offered + 1] = not word:find("^%-") and word or nil
    end
    assert.same(commands_of_program(), offered)
    assert.same({ "--help", "--version" }, candidates.find({ "--" }).words)
  end)

  it("are the flags that each command accepts, asked of itself", function()
    local run = require("hob.cli.status").run
    local syntax = assert(options.syntax_of(run, {}))
    local expected = { "--help" }
    for name in pairs(syntax.flags) do
      expected[#expected + 1] = "--" .. name
    end
    table.sort(expected)
    assert.same(expected, candidates.find({ "status", "--" }).words)
    for _, name in ipairs(commands_of_program()) do
      local paths = { { name } }
      for i, sub in ipairs(candidates.SUB[name] or {}) do
        paths[i] = { name, sub }
      end
      for _, path in ipairs(paths) do
        local whole = table.concat(path, " ")
        path[#path + 1] = "--"
        local found = candidates.find(path)
        assert.truthy(contains(found.words, "--help"), whole)
        assert.truthy(#found.words > 1 or whole == "lua" or whole == "handler test"
          or whole == "service fault" or whole == "completion", whole .. " has no flags")
      end
    end
  end)

  it("are commands of commands", function()
    assert.same({ "list", "lint" }, (function()
      local words = candidates.find({ "handler", "li" }).words
      table.sort(words, function(a, b) return a > b end)
      return words
    end)())
    assert.same({ "add", "list", "remove" }, candidates.find({ "service", "fault", "" }).words)
    assert.same({ "cancel", "create" }, candidates.find({ "job", "c" }).words)
    assert.truthy(contains(candidates.find({ "job", "create", "--" }).words, "--document"))
    assert.same({ "bash", "zsh" }, candidates.find({ "completion", "" }).words)
  end)

  it("leave out what stands on the line, but for what may be repeated", function()
    local words = candidates.find({ "jobs", "--json", "--" }).words
    assert.falsy(contains(words, "--json"))
    assert.truthy(contains(words, "--history"))
    words = candidates.find({ "job", "create", "--thing", "a", "--document", "x", "--" }).words
    assert.truthy(contains(words, "--thing"))
    assert.falsy(contains(words, "--document"))
  end)

  it("are the values of a flag: those that it may have, files, directories", function()
    assert.same({ "debug", "error", "info", "off", "warn" },
      candidates.find({ "service", "--log-level", "" }).words)
    assert.same({ "debug" }, candidates.find({ "service", "--log-level=d" }).words)
    assert.equal("dirs", candidates.find({ "status", "--data", "" }).kind)
    assert.equal("dirs", candidates.find({ "status", "--data=/va" }).kind)
    assert.equal("files", candidates.find({ "status", "--socket", "" }).kind)
    assert.equal("files", candidates.find({ "run", "--config", "" }).kind)
    assert.equal("files", candidates.find({ "lua", "" }).kind)
    assert.same({ kind = "words", words = {} }, candidates.find({ "jobs", "--limit", "" }))
    assert.same({ kind = "words", words = {} }, candidates.find({ "nonsense", "" }))
    assert.same({ kind = "words", words = {} }, candidates.find({ "jobs", "--nonsense", "" }))
  end)

  it("put together again what Bash takes apart", function()
    for _, case in ipairs({
      { { "status", "--data", "=", "/v" }, { "status", "--data=/v" }, "--data=" },
      { { "status", "--data", "=" }, { "status", "--data=" }, "--data=" },
      { { "job", "--thing", "a", ":", "b" }, { "job", "--thing", "a:b" }, "a:" },
      { { "job", "--thing", "=", "a", ":", "" }, { "job", "--thing=a:" }, "--thing=a:" },
      { { "status", "" }, { "status", "" }, "" },
      { { "a", "=", "b", "c" }, { "a=b", "c" }, "" },
    }) do
      local whole, before = candidates.joined(case[1])
      assert.same(case[2], whole)
      assert.equal(case[3], before)
    end
  end)
end)

describe("hob completion", function()
  local world, gateway, dir

  before_each(function()
    dir = assert(fs.tempdir())
  end)
  after_each(function()
    if world then
      world:stop()
      world = nil
    end
    fs.remove(dir, { recursive = true })
  end)

  local function start(thing)
    world = worlds.start({ tls = false })
    gateway = world:gateway({ thing = thing, scripts = { ["sleeps.lua"] =
      "return { api = 1, run = function(job) job:sleep(600) end }" } })
    world:create("fw-12", '{"operation":"sleeps"}', thing)
    gateway:wait_event("job.started")
  end

  -- The program is called as a person would call it: through a name in the PATH.
  local function env()
    if not fs.exists(dir .. "/hob") then
      exec.check({ "ln", "-s", worlds.hob(), dir .. "/hob" })
    end
    return { PATH = dir .. ":" .. os.getenv("PATH") }
  end

  -- What Bash offers for these words, by its own function for `hob`.
  local function bash(words, in_dir)
    local script = [==[
      set -u
      source <(hob completion bash)
      [[ $(complete -p hob) == "complete -F _hob hob" ]] || exit 9
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
      _hob hob "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
      printf '%s\n' "${COMPREPLY[@]}"
    ]==]
    local result = exec.run({ "bash", "-c", script, "bash", "hob", env = env(), cwd = in_dir,
      table.unpack(words) })
    assert.same({ 0, "" }, { result.code, result.stderr })
    local lines = lines_of(result.stdout)
    table.sort(lines)
    return lines
  end

  -- What zsh's completion is told, by stand-ins for its own functions.
  local function zsh(words)
    local script = [[
      compdef() { print "compdef $*" }
      compadd() { shift; print -rl -- "$@" }
      compset() { print "compset $*" }
      _files() { print "_files $*" }
      eval "$(hob completion zsh)"
      words=("$@") CURRENT=$#
      _hob
    ]]
    local result = exec.run({ "zsh", "-fc", script, "zsh", "hob", env = env(),
      table.unpack(words) })
    assert.same({ 0, "" }, { result.code, result.stderr })
    local lines = lines_of(result.stdout)
    assert.equal("compdef _hob hob", table.remove(lines, 1))
    return lines
  end

  describe("bash", function()
    it("offers commands and flags", function()
      assert.same({ "status" }, bash({ "sta" }))
      assert.truthy(contains(bash({ "" }), "metrics"))
      assert.truthy(contains(bash({ "jobs", "--" }), "--history"))
      assert.same({ "debug" }, bash({ "service", "--log-level", "=", "de" }))
      assert.equal(5, #bash({ "service", "--log-level", "=" }))
    end)

    it("offers job ids of the running gateway", function()
      start()
      local data = gateway.dir .. "/data"
      assert.same({ "fw-12" }, bash({ "cancel", "--data", data, "" }))
      assert.same({ "fw-12" }, bash({ "log", "--data", "=", data, "fw" }))
      assert.same({}, bash({ "cancel", "--data", data, "nothing" }))
    end)

    it("offers things of the running gateway, and handlers of a directory", function()
      start()
      assert.same({ "gw-1" }, bash({ "log", "--config", gateway.config, "--thing", "" }))
      assert.same({ "sleeps" },
        bash({ "handler", "run", "--scripts", gateway.dir .. "/scripts", "s" }))
    end)

    it("offers what Bash will put behind a colon, which it takes for a word's end", function()
      start("lamp:one")
      local config = { "log", "--config", gateway.config }
      local function after(...)
        return bash(table.move({ ... }, 1, select("#", ...), 4, { table.unpack(config) }))
      end
      assert.same({ "lamp:one" }, after("--thing", "la"))
      assert.same({ "one" }, after("--thing", "lamp", ":", "o"))
      assert.same({ "one" }, after("--thing", "=", "lamp", ":"))
    end)

    it("completes what a person types", function()
      start()
      local pty = ptys.start({ "/usr/bin/env", "bash", "--norc", "--noprofile", "-i" },
        { env = { PATH = env().PATH, PS1 = "ask>", HOME = dir, HISTFILE = "/dev/null" },
          columns = 200 })
      pty:expect("ask>")
      pty:send("source <(hob completion bash); echo read\"y\"\r")
      pty:expect("ready")
      pty:send("hob canc")
      pty:keys("tab")
      pty:expect("ask>hob cancel")
      pty:send("--data " .. gateway.dir .. "/data fw")
      pty:keys("tab")
      pty:expect(" --data " .. gateway.dir .. "/data fw-12")
      pty:send("\21exit\r")
      assert.equal(0, pty:wait())
    end)

    it("offers nothing after a second, silently, when the gateway hangs", function()
      start("lamp")
      gateway.process:kill("STOP")
      local begun = time.mono()
      assert.same({}, bash({ "log", "--data", gateway.dir .. "/data", "" }))
      gateway.process:kill("CONT")
      assert.is_true(time.mono() - begun < 25) -- not the half minute that commands wait
    end)

    it("offers nothing, silently, when no gateway runs", function()
      assert.same({}, bash({ "cancel", "--data", dir .. "/none", "" }))
    end)

    it("leaves files and directories to the shell, also with blanks in their names", function()
      assert(fs.mkdir(dir .. "/a folder"))
      assert(fs.write(dir .. "/a file", ""))
      local function named(list)
        local found = {}
        for _, name in ipairs(list) do
          found[#found + 1] = name:match("a %l+$")
        end
        return found
      end
      assert.same({ "a folder" }, named(bash({ "status", "--data", dir .. "/a" })))
      assert.same({ "a file", "a folder" }, named(bash({ "lua", dir .. "/a" })))
      assert.same({ "a folder" }, named(bash({ "status", "--data", "=", dir .. "/a" })))
      assert.same({ "a folder" }, named(bash({ "status", "--data", "=" }, dir)))
    end)

    it("passes shellcheck's eye for syntax: bash -n", function()
      local script = exec.check({ worlds.hob(), "completion", "bash" }).stdout
      assert.equal(0, exec.run({ "bash", "-n", "/dev/stdin", stdin = script }).code)
    end)
  end)

  describe("zsh", function()
    it("offers commands, flags and values", function()
      assert.same({ "status" }, zsh({ "sta" }))
      assert.truthy(contains(zsh({ "jobs", "--" }), "--history"))
      assert.same({ "compset -P *=", "debug" }, zsh({ "service", "--log-level=de" }))
      assert.same({ "_files -/" }, zsh({ "status", "--data", "" }))
      assert.same({ "_files " }, zsh({ "lua", "" }))
    end)

    it("offers job ids of the running gateway", function()
      start()
      assert.same({ "fw-12" }, zsh({ "cancel", "--data", gateway.dir .. "/data", "" }))
    end)

    it("completes what a person types", function()
      start()
      local pty = ptys.start({ "/usr/bin/env", "zsh", "-fi" },
        { env = { PATH = env().PATH, PS1 = "ask>", HOME = dir, TERM = "xterm" }, columns = 200 })
      pty:expect("ask>")
      pty:send(("autoload -Uz compinit; compinit -u -d %s/dump; "):format(dir)
        .. "source <(hob completion zsh); echo read\"y\"\r")
      pty:expect("ready")
      pty:send("hob canc")
      pty:keys("tab")
      pty:expect_line("ask>hob cancel")
      pty:send("--data " .. gateway.dir .. "/data fw")
      pty:keys("tab")
      pty:expect_line("ask>hob cancel --data " .. gateway.dir .. "/data fw-12")
      pty:keys("ctrl-u") -- not ctrl-c, which a completion that has not returned yet would take
      pty:expect_line("ask>")
      pty:send("hob service --log-level=de")
      pty:keys("tab")
      pty:expect_line("ask>hob service --log-level=debug")
      pty:keys("ctrl-u")
      pty:send("exit 0\r")
      assert.equal(0, pty:wait())
    end)

    it("is a function that can be autoloaded, too: #compdef comes first", function()
      local script = exec.check({ worlds.hob(), "completion", "zsh" }).stdout
      assert.matches("^#compdef hob\n", script)
      assert.equal(0, exec.run({ "zsh", "-n", "/dev/stdin", stdin = script }).code)
    end)
  end)

  it("says what it expects", function()
    local result = exec.run({ worlds.hob(), "completion", "fish" })
    assert.equal(2, result.code)
    assert.matches("expected bash or zsh, got 'fish'", result.stderr)
    assert.equal(2, exec.run({ worlds.hob(), "completion" }).code)
    assert.matches("usage: hob completion bash|zsh", exec.run({ worlds.hob(), "completion",
      "--help" }).stdout)
  end)
end)
