-- `hob handler list`, `help` and `lint` from outside: what they print, and how they end.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local project = require("spec.support.source")
local worlds = require("spec.support.world")

local dir

local function hob(words, options)
  local command = options or {}
  table.move(words, 1, #words, 2, command)
  command[1], command.timeout = worlds.hob(), worlds.PATIENCE
  command.cwd = command.cwd or dir
  return assert(exec.run(command))
end

local function handler(name, text)
  assert(fs.write(dir .. "/scripts/" .. name .. ".lua", text))
end

local GREET = [[
return {
  api = 1,
  description = "Greet somebody",
  names = { "hello" },
  args = { name = "string", times = { "integer", min = 1, max = 9, default = 1 },
    loud = "boolean?" },
  requires = { commands = { "echo" } },
  timeout = 60,
  examples = { { name = "moon" },
    { document = { operation = "hello", name = "sun" }, description = "By its other name" } },
  run = function() end,
}
]]

describe("hob handler", function()
  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/scripts/lib"))
    handler("greet", GREET)
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("lists its commands, and refuses others", function()
    local result = hob({ "handler", "--help" })
    assert.equal(0, result.code)
    for _, name in ipairs({ "list", "help", "lint", "run", "new" }) do
      assert.matches("hob handler " .. name, result.stdout)
    end
    result = hob({ "handler", "lnit" })
    assert.equal(2, result.code)
    assert.matches("^hob handler: no command 'lnit'\n", result.stderr)
    assert.equal(2, hob({ "handler" }).code)
  end)

  describe("list", function()
    it("shows each handler, the built-in one too", function()
      local result = hob({ "handler", "list" })
      assert.equal(0, result.code, result.stderr)
      assert.matches("\ngreet +ok +1 +%x%x%x%x%x%x%x%x%x%x%x%x +hello +Greet somebody\n",
        result.stdout)
      assert.matches("\naws%-steps +built%-in +1 ", result.stdout)
    end)

    it("shows the digest that is reported with its jobs", function()
      local list = json.decode(hob({ "handler", "list", "--json" }).stdout)
      local sum = assert(exec.check{ "sha256sum", dir .. "/scripts/greet.lua" }).stdout
      assert.equal(sum:sub(1, 64), list[1].digest)
      assert.same({ "greet", "ok", "hello" }, { list[1].name, list[1].state, list[1].names[1] })
    end)

    it("shows what is broken with file and line, and ends with 1", function()
      handler("typo", "return {\n  api = 1,\n  timout = 5,\n  run = print,\n}\n")
      handler("cut", "return {\n  api = 1,\n")
      handler("raises", "local x\nreturn x.y\n")
      local result = hob({ "handler", "list" })
      assert.equal(1, result.code)
      assert.matches("\ngreet +ok ", result.stdout)
      assert.matches("\ntypo +broken ", result.stdout)
      assert.matches("\nbroken: scripts/typo%.lua:3: unknown member 'timout'", result.stdout)
      assert.matches("\nbroken: scripts/cut%.lua:3: ", result.stdout)
      assert.matches("\nbroken: scripts/raises%.lua:2: attempt to index a nil value",
        result.stdout)
    end)

    it("finds the handlers by --scripts, --config, here, or those that came with Hob", function()
      local function names(words, cwd)
        local result = hob({ "handler", "list", "--json", table.unpack(words) }, { cwd = cwd })
        assert.equal(0, result.code, result.stderr)
        local found = {}
        for _, one in ipairs(json.decode(result.stdout)) do
          found[one.name] = one.path
        end
        return found
      end
      assert(fs.mkdir(dir .. "/etc/handlers"))
      assert(fs.write(dir .. "/etc/hob.conf.lua", "return { scripts = 'handlers' }"))
      assert(fs.write(dir .. "/etc/handlers/other.lua", "return { api = 1, run = print }"))
      assert.equal("scripts/greet.lua", names({}).greet)
      assert.equal("scripts/greet.lua", names({ "--scripts", "scripts/" }).greet)
      assert.equal("etc/handlers/other.lua", names({ "--config", "etc/hob.conf.lua" }).other)
      local shipped = names({}, dir .. "/etc")["download-file"]
      assert.matches("/scripts/download%-file%.lua$", shipped)
      local result = hob({ "handler", "list", "--scripts", "gone" })
      assert.equal(2, result.code)
      assert.matches("gone: no such directory", result.stderr)
    end)
  end)

  describe("help", function()
    it("shows arguments, needs, limits and documents to send", function()
      local result = hob({ "handler", "help", "greet" })
      assert.equal(0, result.code, result.stderr)
      for _, words in ipairs({ "^greet: Greet somebody\n", "\nalso +hello\n",
        "\n  name +string +required\n", "\n  times +integer +default 1 +1 to 9\n",
        "\n  loud +boolean +may be absent\n", "\n  commands +echo\n", "\n  timeout +60 s\n",
        '\n  {"operation":"greet","name":"moon"}\n',
        '\n  By its other name:\n  {"name":"sun","operation":"hello"}\n' }) do
        assert.matches(words, result.stdout)
      end
    end)

    it("shows documents that Hob gives to this handler", function()
      local units = require("hob_units")
      for _, name in ipairs({ "greet", "hello" }) do
        local about = json.decode(hob({ "handler", "help", name, "--json" }).stdout)
        assert.equal(2, #about.documents)
        for _, one in ipairs(about.documents) do
          assert.equal("greet", (units.handlers(dir .. "/scripts", json.encode(one.document))))
        end
      end
    end)

    it("makes one up of what is required when there are no examples", function()
      handler("plain", [[return { api = 1, run = print, args_at = "payload",
        args = { host = "string", port = "integer?", level = { "enum", "low", "high" } } }]])
      local result = hob({ "handler", "help", "plain" })
      assert.matches('\na document might be:\n  {"operation":"plain",' ..
        '"payload":{"host":"...","level":"low"}}\n', result.stdout)
    end)

    it("says what there is when a name is unknown, and what is broken", function()
      local result = hob({ "handler", "help", "gret" })
      assert.equal(1, result.code)
      assert.equal("hob handler help: gret: no such handler in scripts; did you mean greet?\n",
        result.stderr)
      handler("typo", "return {\n  api = 2,\n  run = print,\n}\n")
      result = hob({ "handler", "help", "typo" })
      assert.equal(1, result.code)
      assert.equal("hob handler help: typo is broken: scripts/typo.lua:2: api: expected 1, got 2\n",
        result.stderr)
      assert.equal(2, hob({ "handler", "help" }).code)
    end)
  end)

  describe("lint", function()
    it("prints nothing on standard output, and ends with 0, when all is well", function()
      local result = hob({ "handler", "lint" })
      assert.same({ 0, "", "nothing found in 1 file\n" },
        { result.code, result.stdout, result.stderr })
    end)

    it("prints one line for each finding, and ends with 1", function()
      handler("typo", "return {\n  api = 1,\n  timout = 5,\n  run = function() prnit(1) end,\n}\n")
      local result = hob({ "handler", "lint", "scripts" })
      assert.equal(1, result.code)
      assert.equal("2 findings in 2 files\n", result.stderr)
      local lines = {}
      for line in result.stdout:gmatch("[^\n]+") do
        lines[#lines + 1] = line
      end
      assert.equal(2, #lines)
      assert.matches("^scripts/typo%.lua:3:3: unknown member 'timout' .* %(header%)$", lines[1])
      assert.equal("scripts/typo.lua:4:20: unknown global 'prnit'; did you mean print? " ..
        "(unknown-global)", lines[2])
    end)

    it("looks at one file, and prints JSON for programs", function()
      handler("typo", "return {\n  api = 1,\n  timout = 5,\n  run = print,\n}\n")
      local result = hob({ "handler", "lint", "--json", "scripts/typo.lua" })
      local list = json.decode(result.stdout)
      assert.equal(1, result.code)
      assert.equal(1, #list)
      assert.same({ "scripts/typo.lua", 3, 3, "header" },
        { list[1].file, list[1].line, list[1].column, list[1].code })
      assert.equal("[]\n", hob({ "handler", "lint", "--json", "scripts/greet.lua" }).stdout)
    end)

    it("says what to install where luacheck is missing", function()
      local result = hob({ "lua", "-e", [[
        local searchers = package.searchers
        table.insert(searchers, 2, function(name)
          if name:find("^luacheck") then
            error("module '" .. name .. "' not found", 0)
          end
        end)
        os.exit(require("hob.handler.lint").run({ "scripts" }))]] })
      assert.equal(1, result.code, result.stdout)
      assert.equal("hob handler lint: lint needs luacheck's parser, which is not installed " ..
        "here: apt install lua-check\n", result.stderr)
    end)

    it("refuses what it does not understand", function()
      assert.equal(2, hob({ "handler", "lint", "gone" }).code)
      assert.equal(2, hob({ "handler", "lint", "scripts", "--scripts", "scripts" }).code)
      assert.equal(2, hob({ "handler", "lint", "--what" }).code)
    end)
  end)

  it("is what docs/reference/cli.md says", function()
    local page = project.read("docs/reference/cli.md")
    for _, name in ipairs({ "list", "help", "lint" }) do
      assert.is_truthy(page:find("`hob handler " .. name, 1, true), name)
    end
  end)
end)
