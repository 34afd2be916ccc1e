-- The annotations of `iotjobs` against the code, and the reference page against the annotations.

local generate = require("docs.generate")
local iotjobs = require("iotjobs")
local models = require("iotjobs.models")
local project = require("spec.support.source")

local read, keys_of = project.read, project.sorted_keys

local items = {}
for _, source in ipairs(generate.PAGES["docs/reference/iotjobs.md"]) do
  for _, item in ipairs(generate.parse(read(source))) do
    items[#items + 1] = item
  end
end

-- What is described, by kind and by its name without the module's.
local function described(kind)
  local found = {}
  for _, item in ipairs(items) do
    if item.kind == kind then
      local name = item.name:gsub("^iotjobs%.", "")
      assert(not found[name], name .. " is described twice")
      found[name] = item
    end
  end
  return found
end

local function functions_of(owner)
  local found = {}
  for _, item in ipairs(items) do
    if item.kind == "function" and item.owner == owner then
      assert(not found[item.name], item.name .. " is described twice")
      found[item.name] = item
    end
  end
  return found
end

local function classes_in_code()
  local found = {}
  for name, value in pairs(models) do
    if type(value) == "table" and tostring(value) == "iotjobs." .. name then
      found[name] = value
    end
  end
  return found
end

describe("docs/reference/iotjobs.md", function()
  for path, sources in pairs(generate.PAGES) do
    it("is what ./dev docs makes of the annotations: " .. path, function()
      local same = generate.page(sources, read) == read(path)
      assert.is_true(same, path .. " is out of date: run ./dev docs")
    end)

    it("has no link within the page that leads nowhere", function()
      local page, anchors = read(path), {}
      for heading in page:gmatch("\n#+ ([^\n]*)") do
        anchors["#" .. heading:lower():gsub("[^%w _-]", ""):gsub(" ", "-")] = true
      end
      local count = 0
      for target in page:gmatch("%]%((#[^)]*)%)") do
        count = count + 1
        assert.is_true(anchors[target], target .. " has no heading")
      end
      assert.is_true(count > 50)
    end)
  end

  it("shows examples that compile and use what there is", function()
    local count = 0
    for example in read("docs/reference/iotjobs.md"):gmatch("```lua\n(.-)```") do
      count = count + 1
      assert(load(example, "=example"))
      for name in example:gmatch("iotjobs%.(%u%w+)") do
        assert.is_truthy(models[name] or iotjobs[name], name)
      end
      for name in example:gmatch("client:([%w_]+)") do
        assert.is_truthy(functions_of("IotJobsClient")[name], name)
      end
    end
    assert.is_true(count >= 3)
  end)
end)

describe("the annotations of iotjobs", function()
  it("describe every class, with a function that makes it", function()
    local constructors = {}
    for name, item in pairs(functions_of("iotjobs")) do
      if generate.is_constructor(item) then
        constructors[name] = item
        assert.equals("iotjobs." .. name, item.params[1].type)
        assert.equals("iotjobs." .. name, item.returns[1].type)
      end
    end
    assert.same(keys_of(classes_in_code()), keys_of(constructors))
  end)

  it("describe every field of every class, and no other", function()
    local classes = described("class")
    for name, class in pairs(classes_in_code()) do
      local fields = {}
      for _, field in ipairs(assert(classes[name], name .. " is not described").fields) do
        assert.is_true(field.optional, name .. "." .. field.name .. ": may be set later")
        fields[#fields + 1] = field.name
      end
      assert.same(class.fields, fields, name)
    end
  end)

  it("say of a field that it is required when it is", function()
    local classes = described("class")
    for name, class in pairs(classes_in_code()) do
      for _, field in ipairs(classes[name].fields) do
        local said = field.about:find("^required") ~= nil
        assert.equals(class.by_name[field.name].required or false, said, name .. "." .. field.name)
      end
    end
  end)

  it("describe every enumeration with its values", function()
    local enums, found = described("enum"), {}
    for name, item in pairs(enums) do
      found[name] = {}
      for _, member in ipairs(item.members) do
        found[name][member.name] = member.value
        assert.is_true(#member.about > 0, member.name .. " has no words")
      end
    end
    assert.same({ JobStatus = models.JobStatus, RejectedErrorCode = models.RejectedErrorCode },
      found)
  end)

  it("name an alias for what it is", function()
    for name, item in pairs(described("alias")) do
      assert.equals(models[item.type:gsub("^iotjobs%.", "")], models[name])
    end
    assert.is_truthy(described("alias").V2ErrorResponse)
  end)

  it("name each parameter of a function in its order", function()
    for _, item in ipairs(items) do
      if item.kind == "function" then
        local names = {}
        for _, param in ipairs(item.params) do
          names[#names + 1] = param.name
        end
        assert.equals(table.concat(names, ", "), item.args, item.name)
      end
    end
  end)
end)

describe("the annotations of iotjobs's client", function()
  local function here()
    return { close = function() end }
  end

  local down = { listen = here, on_state = here, post = here,
    wait_up = function() return nil, "down", "ENOTCONN" end }
  local client = iotjobs.IotJobsClient(down, { thing_name = "t" })

  local function public_functions(object)
    local names = {}
    for name, value in pairs(getmetatable(object).__index) do
      if type(value) == "function" and not name:find("^_") then
        names[name] = true
      end
    end
    return keys_of(names)
  end

  it("describe every function, and no other", function()
    assert.same(public_functions(client), keys_of(functions_of("IotJobsClient")))
  end)

  it("describe every function of a stream, and no other", function()
    for _, name in ipairs({ "job_executions_changed", "next_job_execution_changed" }) do
      local stream = client["create_" .. name .. "_stream"](client, {})
      assert.same(public_functions(stream), keys_of(functions_of("Stream")))
    end
  end)

  it("describe functions that a future has", function()
    local future = require("hob.future").new()
    for name in pairs(functions_of("Future")) do
      assert.is_function(future[name], name)
    end
    assert.is_truthy(functions_of("Future").result)
  end)

  it("describe every function of the module, and no other", function()
    local in_code, told = {}, {}
    for name, value in pairs(iotjobs) do
      in_code[name] = type(value) == "function" or nil
    end
    for name, item in pairs(functions_of("iotjobs")) do
      told[name] = not generate.is_constructor(item) or nil
    end
    assert.same(keys_of(in_code), keys_of(told))
  end)

  it("describe every option of the client", function()
    local names = {}
    for _, field in ipairs(described("class").ClientOptions.fields) do
      names[#names + 1] = field.name
    end
    table.sort(names)
    local _, message = pcall(iotjobs.IotJobsClient, nil, { foo = 1 })
    assert.equals("unknown option 'foo'; known: " .. table.concat(names, ", "), message)
  end)

  it("describe every option of a stream", function()
    local _, message = pcall(client.create_job_executions_changed_stream, client, { foo = 1 })
    for _, name in ipairs({ "JobExecutionsChanged", "NextJobExecutionChanged" }) do
      local names = {}
      for _, field in ipairs(described("class")[name .. "StreamOptions"].fields) do
        names[#names + 1] = field.name
      end
      table.sort(names)
      assert.equals("unknown option 'foo'; known: " .. table.concat(names, ", "), message)
    end
  end)

  it("describe the fields of an error", function()
    local problem = select(2, client:describe_job_execution{ job_id = "j" })
    local names = {}
    for _, field in ipairs(described("class").Error.fields) do
      names[field.name] = field.optional
    end
    assert.same({ code = false, message = false, modeled = true }, names)
    assert.same({ "string", "string" }, { type(problem.code), type(problem.message) })
    assert.equals(problem.message, tostring(problem))
  end)
end)

describe("docs.generate", function()
  local function refused(expected, annotations)
    local ok, message = pcall(generate.page, { "x.lua" }, function() return annotations end)
    assert.is_false(ok)
    assert.equals("x.lua, " .. expected, message)
  end

  it("reads types with blanks, brackets and unions", function()
    local item = generate.parse([[
--- A thing.
---@class iotjobs.Thing
---@field a table<string, iotjobs.Thing[]> what it has
---@field b? fun(x: integer, y?: string): boolean says so
--- A long
--- text.
---@field c string | nil or nothing
local Thing = {}
]])[1]
    assert.same({
      { name = "a", optional = false, type = "table<string, iotjobs.Thing[]>",
        about = "what it has" },
      { name = "b", optional = true, type = "fun(x: integer, y?: string): boolean",
        about = "says so" },
      { name = "c", optional = false, type = "string | nil", about = "A long text. or nothing" },
    }, item.fields)
  end)

  it("refuses what it does not know, naming the line", function()
    refused("line 2: no rule for ---@overload", "--- A class.\n---@overload fun()\n")
    refused("line 1: ---@field without ---@class", "---@field a string\n")
    refused("line 3: text below the last field of a.x", "---@class a.x\n--- lost\n\n")
    refused("line 1: a function without annotations", "function M.x() end\n")
    refused("line 2: ---@param or ---@return above no function", "---@param a string\nlocal x\n")
    refused("line 1: expected a name and a type, got 'a'", "---@param a\n")
    refused("line 3: expected a member of E", "---@enum E\nlocal E = {\n  A = 5,\n}\n")
  end)
end)
