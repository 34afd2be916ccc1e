-- lib/hob/api.lua, which describes all that a handler can call, against what there is; and what is
-- made from it: docs/reference/lua-api.md, lib/meta/hob, the lists that lint reads.

local api_list = require("hob.handler.api_list")
local contract = require("hob.job.contract")
local generate = require("docs.generate")
local lfs = require("lfs")
local look = require("hob.handler.look")
local project = require("spec.support.source")

local read, sorted = project.read, project.sorted_keys
local text = read(generate.API)
local classes = api_list.parse(text)
local items = generate.parse(text)

-- For specs of handlers, not for handlers: `hob handler test` has it, a sandbox has not.
local FOR_SPECS = { ["hob.testing"] = true }

-- Hob's own, on which handlers should not stand.
local INTERNAL = { api = true, atomic = true, console = true, job = true, native = true,
  nearest = true, steps = true }

local function libraries()
  local names = {}
  for _, item in ipairs(items) do
    if item.library then
      names[#names + 1] = item.name
    end
  end
  return names
end

local function members_of(name)
  if FOR_SPECS[name] then
    local members = {}
    for key in pairs(require(name)) do
      members[key] = true
    end
    return members
  end
  local found = look.at_module(nil, name)
  assert(found.members, ("%s: %s"):format(name, found.error or "it has a metatable"))
  return found.members
end

local function of_kind(kind)
  local found = {}
  for _, item in ipairs(items) do
    if item.kind == kind then
      found[#found + 1] = item
    end
  end
  return found
end

-- The words between marks of a source, as a sorted list.
local function words_in(source, from, pattern)
  local found = {}
  local body = assert(source:match(from), from)
  for word in ("\n" .. body):gmatch(pattern) do
    found[word] = true
  end
  return sorted(found)
end

describe("lib/hob/api.lua", function()
  it("describes every module that a handler can require", function()
    local there = {}
    local list = read("bindings/bindings.c"):match(" job_modules%[%] = {(.-)};")
    for name in list:gmatch('{"(hob%.[%w_]+)"') do
      there[name] = not INTERNAL[name:match("[%w_]+$")] or nil
    end
    for entry in lfs.dir(project.root .. "/lib/hob") do
      local name = entry:match("^([%w_]+)%.lua$")
      if name and not INTERNAL[name] then
        there["hob." .. name] = true
      end
    end
    local described = {}
    for _, name in ipairs(libraries()) do
      assert(not described[name], name .. " is described twice")
      described[name] = true
    end
    assert.same(sorted(there), sorted(described))
  end)

  for _, name in ipairs(libraries()) do
    it("describes each function and member of " .. name .. ", and no other", function()
      assert.same(sorted(members_of(name)), api_list.names(classes[name]))
    end)
  end

  it("describes the members of a handler's table", function()
    assert.same(contract.members, api_list.names(classes["hob.Handler"]))
  end)

  it("describes the job's functions and fields", function()
    local object, there = read("lib/hob/job/object.lua"), { step = true }
    for name in object:gmatch("\nfunction Job[.:]([%a][%w_]*)") do
      there[name] = true
    end
    for name in object:gmatch("\nfunction MADE%.([%w_]+)") do
      there[name] = true
    end
    local describe = read("bindings/lua_job.c"):match("\nstatic void set_identity%b()(.-\n})")
    for name in describe:gmatch('"([%w_]+)"') do
      there[name] = true
    end
    there.document = true -- set in lib/hob/job.lua
    there.results = true -- for cleanup, in lib/hob/job/replay.lua
    there.user = true -- in lib/hob/steps/nested.lua
    assert.same(sorted(there), api_list.names(classes["hob.Job"]))
  end)

  it("describes the options of a step", function()
    assert.same(words_in(read("lib/hob/job/replay.lua"), "local OPTIONS = {(.-)\n}",
      "\n  ([%w_]+) = "), api_list.names(classes["hob.StepOptions"]))
  end)

  -- Objects: where their functions are listed in C; false: in Lua.
  local OBJECTS = {
    ["hob.exec.Process"] = { "bindings/lua_exec_spawn.c", "process_methods" },
    ["hob.future.Future"] = { "bindings/lua_future.c", "future_methods" },
    ["hob.time.Timer"] = { "bindings/lua_time.c", "timer_methods" },
    ["hob.cloud.Subscription"] = { "lib/hob/cloud.lua", false },
  }

  for class, place in pairs(OBJECTS) do
    it("describes the functions of a " .. class, function()
      local there
      if place[2] then
        there = words_in(read(place[1]), "luaL_Reg " .. place[2] .. "%[%] = {(.-)};",
          '{"([%w_]+)"')
      else
        there = words_in(read(place[1]), ".*", "\nfunction " .. class:match("%w+$") .. "[.:](%w+)")
      end
      assert.same(there, sorted(classes[class].functions))
    end)
  end

  it("has no functions of objects that are not compared here", function()
    for name, class in pairs(classes) do
      assert.is_true(next(class.functions) == nil or name:find("^hob%.%l+$") ~= nil
        or name == "hob.Job" or OBJECTS[name] ~= nil, name)
    end
  end)

  -- All that is described and not optional is there, and nothing else.
  local function assert_described(class, value)
    for _, item in ipairs(items) do
      if item.name == class and item.kind == "class" then
        for _, field in ipairs(item.fields) do
          assert.is_true(field.optional or value[field.name] ~= nil, class .. "." .. field.name)
        end
      end
    end
    for key in pairs(value) do
      assert.is_truthy(classes[class].fields[key], ("%s.%s is not described"):format(class, key))
    end
  end

  it("describes what hob.exec and hob.fs give", function()
    local exec, fs = require("hob.exec"), require("hob.fs")
    local dir = assert(fs.tempdir())
    finally(function() fs.remove(dir, { recursive = true }) end)
    assert_described("hob.exec.Result", exec.run{ "true" })
    assert_described("hob.exec.Result", exec.run{ "sh", "-c", "kill -9 $$" })
    assert_described("hob.exec.Result", exec.run{ "echo", "x", stdout = dir .. "/out" })
    local _, problem = pcall(exec.check, { "false" })
    assert_described("hob.exec.Error", problem)
    assert_described("hob.fs.Stat", assert(fs.stat(dir)))
  end)

  it("describes what hob.testing gives", function()
    local fs, testing = require("hob.fs"), require("hob.testing")
    local dir = assert(fs.tempdir())
    finally(function() fs.remove(dir, { recursive = true }) end)
    assert(fs.write(dir .. "/a.lua", "return { api = 1, run = function() end }"))
    assert_described("hob.testing.Outcome", testing.run("a", { scripts = dir }))
    assert_described("hob.testing.Rehearsal", testing.rehearse("a", { scripts = dir }))
  end)

  -- How each table of options is refused that has an unknown one: it says which are known.
  local CALLS = {
    ["hob.cloud.PublishOptions"] = function(m, given) m.publish("t", "text", given) end,
    ["hob.cloud.SubscribeOptions"] = function(m, given) m.subscribe("t", print, given) end,
    ["hob.aws.CredentialsOptions"] = function(m, given) m.credentials("role", given) end,
    ["hob.aws.PutOptions"] = function(m, given) m.put_s3(given) end,
    ["hob.http.DownloadOptions"] = function(m, given) m.download(given) end,
    ["hob.http.GetOptions"] = function(m, given) m.get(given) end,
    ["hob.http.PostOptions"] = function(m, given) m.post(given) end,
    ["hob.http.PutOptions"] = function(m, given) m.put(given) end,
    ["hob.http.RequestOptions"] = function(m, given) m.request(given) end,
    ["hob.keys.CsrOptions"] = function(m, given) m.csr(given) end,
    ["hob.keys.GenerateOptions"] = function(m, given) m.generate(given) end,
    ["hob.keys.MatchesOptions"] = function(m, given) m.matches("x", "y", given) end,
    ["hob.verify.CodesignOptions"] = function(m, given) m.codesign({}, "x", given) end,
    ["hob.verify.SignatureOptions"] = function(m, given) m.signature(given) end,
    ["hob.exec.RunOptions"] = function(m, given) m.run(given) end,
    ["hob.exec.SpawnOptions"] = function(m, given) m.spawn(given) end,
    ["hob.fs.RemoveOptions"] = function(m, given) m.remove("x", given) end,
    ["hob.fs.WriteOptions"] = function(m, given) m.write("x", "text", given) end,
    ["hob.systemd.RunOptions"] = function(m, given) m.run(given) end,
    ["hob.systemd.VerbOptions"] = function(m, given) m.start("x", given) end,
    ["hob.log.Options"] = function(m, given) m.configure(given) end,
    ["hob.log.Fields"] = function(m, given) m.info("x", given) end,
    ["hob.testing.Options"] = function(m) m.run("x", { zzz = 1 }) end,
    ["hob.StepOptions"] = false, -- above
  }

  for _, class in ipairs(sorted(classes)) do
    if class:find("Options$") or class == "hob.log.Fields" then
      it("describes the options in " .. class .. ", and no other", function()
        local call = CALLS[class]
        assert(call ~= nil, "spec/unit/api_spec.lua: CALLS lacks " .. class)
        if call then
          local module = require(class:match("^(hob%.%l+)"))
          local ok, message = pcall(call, module, { "true", zzz = 1 })
          assert.is_false(ok)
          local known = tostring(message):match("unknown option 'zzz'; known: (.*)$")
          assert(known, tostring(message))
          local list = {}
          for word in known:gmatch("[%w_]+") do
            list[word] = true
          end
          assert.same(sorted(list), api_list.names(classes[class]))
        end
      end)
    end
  end

  it("has words for everything, and types that are described", function()
    for _, item in ipairs(items) do
      local name = item.name or "prose"
      assert.is_true(item.kind == "prose" or #item.about > 0, name .. " has no words")
      local types = {}
      for _, list in ipairs({ item.params or {}, item.returns or {}, item.fields or {} }) do
        for _, entry in ipairs(list) do
          types[#types + 1] = entry.type
        end
      end
      for kind in table.concat(types, " "):gmatch("hob%.[%w_.]*[%w_]") do
        assert.is_truthy(classes[kind], name .. ": " .. kind .. " is not described")
      end
    end
  end)

  it("names each parameter of a function in its order", function()
    for _, item in ipairs(of_kind("function")) do
      local names = {}
      for _, param in ipairs(item.params) do
        names[#names + 1] = param.name
      end
      assert.equal(table.concat(names, ", "), item.args, item.owner .. "." .. item.name)
    end
  end)

  it("marks what waits", function()
    local waits = {}
    for _, item in ipairs(of_kind("function")) do
      local full = (item.owner .. "." .. item.name):lower()
      waits[full] = item.about[1]:find("^⏳ ") ~= nil
    end
    local count = 0
    for entry in lfs.dir(project.root .. "/bindings") do
      if entry:find("%.c$") then
        for name in read("bindings/" .. entry):gmatch('"hob%.([%l]+%.[%l_]+)"') do
          if waits[name] ~= nil then
            count = count + 1
            assert.is_true(waits[name], name .. " waits, and is not marked")
          end
        end
      end
    end
    assert.is_true(count >= 4)
  end)
end)

describe("what is made of lib/hob/api.lua", function()
  it("is up to date for editors: run ./dev docs", function()
    local stubs = generate.stubs(text)
    for path, made in pairs(stubs) do
      assert.equal(made, read(path), path .. " is out of date: run ./dev docs")
    end
    for entry in lfs.dir(project.root .. "/lib/meta/hob") do
      local stub = entry:find("^%.") or stubs["lib/meta/hob/" .. entry]
      assert.is_truthy(stub, entry .. ": no such module is described any more")
    end
  end)

  it("shows examples that compile, and call what there is", function()
    local count = 0
    for example in read("docs/reference/lua-api.md"):gmatch("```lua\n(.-)```") do
      count = count + 1
      assert(load(example, "=example"))
      for module, name in example:gmatch("%f[%w_](%l+)%.(%l[%w_]*)[({]") do
        local class = classes["hob." .. module]
        if class then
          assert.is_truthy(class.functions[name], module .. "." .. name)
        end
      end
    end
    assert.is_true(count >= 2)
  end)
end)
