-- What the service keeps across restarts.
local artifacts = require("hob.service.documents.artifacts")
local benches = require("spec.support.service_bench")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local stores = require("hob.service.store")
require("hob.service.engine.adopt")

-- Of the engine: what is its own, and what only says where something is.
local SKIPPED = { on_event = true, touched = true, sorted = true, deadlines = true,
  heap_index = true, documents = true, texts = true }

local compare

local function count(items)
  local n = 0
  for key in pairs(items) do
    n = n + (SKIPPED[key] and 0 or 1)
  end
  return n
end

local function compare_tables(a, b, path, seen)
  for key, value in pairs(a) do
    local other = key
    if type(key) == "table" then -- a set of objects
      for candidate in pairs(b) do
        other = candidate.id == key.id and candidate or other
      end
    end
    if not SKIPPED[key] then
      compare(value, b[other], path .. "." .. tostring(key), seen)
    end
  end
  for key in pairs(b) do
    assert(type(key) == "table" or SKIPPED[key] or a[key] ~= nil,
      path .. "." .. tostring(key) .. " is new")
  end
  assert.equal(count(a), count(b), path)
end

function compare(a, b, path, seen)
  if type(a) ~= "table" then
    assert(a == b, ("%s: %s became %s"):format(path, tostring(a), tostring(b)))
  elseif not seen[a] then
    assert(type(b) == "table", path .. ": a table became " .. tostring(b))
    seen[a] = true
    compare_tables(a, b, path, seen)
  end
end

local function deadlines(engine)
  local list = {}
  for i = 1, engine.deadlines.n do
    list[i] = engine.deadlines[i].deadline
  end
  table.sort(list)
  return list
end

local function same_engines(a, b)
  compare(a, b, "engine", {})
  assert.same(deadlines(a), deadlines(b))
end

describe("hob.service.store", function()
  local dir, store, bench

  local function open(more)
    store = assert(stores.open(dir))
    bench = benches.new(more)
    bench.engine.documents = { artifacts = artifacts.new{ dir = dir, key = store.key } }
    assert(store:load(bench.engine))
  end

  local function save()
    assert(store:save(bench.engine))
  end

  --- As after a power cut: what is stored, in another engine.
  local function reopen()
    local old = bench
    store:close()
    open()
    bench.now = old.now
    return old
  end

  before_each(function()
    dir = assert(fs.tempdir())
    open()
  end)

  after_each(function()
    store:close()
    fs.remove(dir, { recursive = true })
  end)

  -- What falls due at the same moment may come in any order of things.
  local function topics(said)
    local list = {}
    for i, message in ipairs(said) do
      list[i] = message.topic
    end
    table.sort(list)
    return list
  end

  local function fill()
    bench:control("create_thing", "shelf", { attributePayload = {
      attributes = { colour = "red", ["a-b"] = "c" } } })
    bench:group("lamps", { "lamp1", "lamp2" })
    bench:control("update_events", { eventConfigurations = { JOB = { Enabled = true } } },
      bench.now)
    bench:create_for_groups("follow", { "lamps" }, { targetSelection = "CONTINUOUS" })
    bench:create("slow", { "t1", "t2", "t3" }, {
      jobExecutionsRolloutConfig = { maximumPerMinute = 1 },
      jobExecutionsRetryConfig = { criteriaList = {
        { failureType = "FAILED", numberOfRetries = 3 } } },
      abortConfig = { criteriaList = { { failureType = "ALL", action = "CANCEL",
        thresholdPercentage = 12.5, minNumberOfExecutedThings = 100 } } },
      description = "with a \"quote\", a new\\line and Ünicode",
    })
    bench:create("timed", { "t1", "t2" }, { timeoutConfig = { inProgressTimeoutInMinutes = 5 },
      document = '{"f":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/k}","n":"\\u0000"}',
      presignedUrlConfig = { roleArn = "arn:aws:iam::123456789012:role/x", expiresInSec = 60 } })
    bench:create("mixed", { "z", "a", "m" })
    bench:create("over", "t4")
    bench:create("gone", "t5")
    bench:answer("t1", "start-next", { stepTimeoutInMinutes = 2, statusDetails = { a = "'; --" } })
    bench:answer("t1", "slow/update", { status = "FAILED" })
    bench:answer("t2", "timed/update", { status = "IN_PROGRESS" })
    bench:answer("t4", "over/update",
      { status = "SUCCEEDED", statusDetails = { x = "é\u{1F600}" } })
  end

  it("gives back one of everything", function()
    fill()
    save()
    bench:control("delete_job", "gone", true, bench.now)
    save()
    local old = reopen()
    same_engines(old.engine, bench.engine)
    assert.is_nil(bench.engine.jobs.gone)
    assert.equal("t1#1 FAILED, t1#2 QUEUED", bench:executions("slow"))
  end)

  it("goes on where it was: versions, order, timers, roll-out, retries, URLs", function()
    fill()
    save()
    local old = reopen()
    for _, thing in ipairs{ "t1", "t2", "t4", "lamp1", "nobody" } do
      assert.same(old:ask(thing, "get")[1].body, bench:ask(thing, "get")[1].body)
      local was, is = old:ask(thing, "$next/get")[1].body, bench:ask(thing, "$next/get")[1].body
      if is.execution and is.execution.jobId == "timed" then
        was.execution.jobDocument, is.execution.jobDocument.f = is.execution.jobDocument, nil
        assert.same({ n = "\0" }, is.execution.jobDocument)
      end
      assert.same(was, is)
    end
    for _, seconds in ipairs{ 60, 60, 60, 300 } do
      assert.same(topics(old:wait(seconds)), topics(bench:wait(seconds)))
      for _, job in ipairs{ "slow", "timed", "follow" } do
        assert.equal(old:executions(job), bench:executions(job))
      end
    end
    assert.equal("t2#1 TIMED_OUT", bench:executions("timed"):match("t2#1 %S+"))
    assert.equal(old:create("next", "t1"):text(), bench:create("next", "t1"):text())
    same_engines(old.engine, bench.engine)
  end)

  it("leaves out what hob.service.engine marks as derived, and nothing else", function()
    local kinds, kind = {}, nil
    for line in io.lines("lib/hob/service/engine.lua") do
      local name, rest = line:match("^%-%-%-   (%l+) +(.+)$")
      kind = name or kind
      rest = rest or kind and line:match("^%-%-%-    +(.+)$")
      if not rest then
        kind = nil
      else
        kinds[kind] = kinds[kind] or (kind == "execution" and { thing = true, job = true } or {})
        for member in rest:gmatch("([%l_]+)%*") do
          kinds[kind][member] = true
        end
      end
    end
    assert.same(kinds, stores.DERIVED)
  end)

  it("keeps plain members that it has never heard of", function()
    bench:create("j", "lamp")
    bench.engine.jobs.j.colour = { "red", [4] = 1.5, ["a b"] = { deep = true } }
    bench.engine:find("lamp", "j").note = "x\0y\n\r'"
    save()
    reopen()
    assert.same({ "red", [4] = 1.5, ["a b"] = { deep = true } }, bench.engine.jobs.j.colour)
    assert.equal("x\0y\n\r'", bench.engine:find("lamp", "j").note)
  end)

  it("raises where a member that is kept is no plain data", function()
    bench:create("j", "lamp")
    bench.engine.jobs.j.other = bench.engine.things.lamp
    assert.error_matches(function() store:save(bench.engine) end, "thing stands in a member")
  end)

  it("forgets what was deleted, and counts on", function()
    bench:create("j", "lamp")
    save()
    bench:control("delete_job", "j", true, bench.now)
    save()
    local seq = bench.engine.seq
    reopen()
    assert.is_nil(bench.engine.jobs.j)
    assert.equal(seq, bench.engine.seq)
    bench:create("j", "lamp")
    assert.equal(1, bench.engine:find("lamp", "j").number)
  end)

  it("writes a turn whole or not at all, and with the next one what it could not", function()
    bench:create("a", "lamp")
    save()
    bench:create("b", "lamp")
    local connection = store.connection
    store.connection = { execute = function(_, statement)
      if statement == "COMMIT" then
        return nil, "LuaSQL: database or disk is full"
      end
      return connection:execute(statement)
    end }
    local ok, message = store:save(bench.engine)
    assert.is_nil(ok)
    assert.is_truthy(message:find("service-state.db: database or disk is full", 1, true), message)
    store.connection = connection
    bench:create("c", "lamp")
    save()
    reopen()
    assert.equal("a b c", bench.engine.jobs.a.id .. " " .. bench.engine.jobs.b.id .. " "
      .. bench.engine.jobs.c.id)
  end)

  it("writes nothing where nothing changed", function()
    bench:create("a", "lamp")
    save()
    store.connection, store.real = { execute = error }, store.connection
    bench:ask("lamp", "get")
    bench:ask("lamp", "nothing/get")
    save()
    store.connection = store.real
  end)

  it("says so when its file is removed while it is in use", function()
    bench:create("before", "lamp")
    save()
    fs.remove(dir, { recursive = true })
    bench:create("after", "lamp")
    local ok, message = store:save(bench.engine)
    assert.is_nil(ok)
    assert.is_truthy(message:find("service-state.db: it was removed", 1, true), message)
  end)

  it("signs with the same key as before", function()
    local key = store.key
    assert.is_truthy(key:find("^%x+$") and #key == 64)
    reopen()
    assert.equal(key, store.key)
    assert.equal("600", ("%o"):format(fs.stat(dir .. "/service-state.db").mode & 511))
  end)

  describe("open", function()
    local function refused(words)
      store:close()
      local found, message = stores.open(dir)
      assert.is_nil(found)
      assert.is_truthy(message:find(words, 1, true), message)
    end

    it("is for one process at a time, and says which one has it", function()
      store:say_who(", http://127.0.0.1:1")
      local found, message = stores.open(dir)
      assert.is_nil(found)
      assert.is_truthy(message:find(dir .. " is in use by another service (process ", 1, true))
      assert.is_truthy(message:find(", http://127.0.0.1:1): end that one", 1, true), message)
      bench:create("j", "lamp")
      save()
    end)

    it("does not take another program that has the file for a service", function()
      store:close()
      assert(fs.write(dir .. "/service-owner", "process 4194999\n")) -- above Linux's greatest
      local environment = require("luasql.sqlite3").sqlite3()
      local other = assert(environment:connect(dir .. "/service-state.db"))
      assert(other:execute("BEGIN IMMEDIATE"))
      local found, message = stores.open(dir)
      other:close()
      environment:close()
      assert.is_nil(found)
      assert.is_truthy(message:find("service-state.db is locked by another program", 1, true),
        message)
    end)

    it("says that --data must be a directory to write in", function()
      store:close()
      local file = dir .. "/a-file"
      assert(fs.write(file, ""))
      local found, message = stores.open(file)
      assert.is_nil(found)
      assert.is_truthy(message:find("--data " .. file .. ": ", 1, true), message)
      assert.is_truthy(message:find("must be a directory that this user may write in", 1, true),
        message)
      assert(fs.mkdir(dir .. "/taken/service-state.db")) -- SQLite cannot open a directory
      found, message = stores.open(dir .. "/taken")
      assert.is_nil(found)
      assert.is_truthy(message:find("may write in", 1, true), message)
    end)

    it("leaves a file alone that is no database", function()
      store:close()
      local text = ("no database"):rep(1000)
      assert(fs.write(dir .. "/service-state.db", text))
      fs.remove(dir .. "/service-state.db-wal")
      refused("service-state.db is damaged (")
      refused("move it away and start again")
      assert.equal(text, fs.read(dir .. "/service-state.db"))
    end)

    it("leaves a file alone that is damaged inside", function()
      for i = 1, 50 do
        bench:create("job" .. i, "lamp", { description = ("x"):rep(500) })
      end
      save()
      store:close()
      local text = fs.read(dir .. "/service-state.db")
      assert(#text > 20000)
      text = text:sub(1, 8192) .. ("\255"):rep(8192) .. text:sub(16385)
      assert(fs.write(dir .. "/service-state.db", text))
      refused("service-state.db is damaged (")
      assert.equal(text, fs.read(dir .. "/service-state.db"))
    end)

    local function edit(statement)
      store:close()
      exec.check{ "sqlite3", dir .. "/service-state.db", statement }
    end

    it("names the row that cannot be read", function()
      bench:create("j", "lamp")
      save()
      for state, words in pairs{ ["{"] = "execution lamp/j/1: ", ["5"] = "it holds no object",
        ["{thing=''none'',job=''j'',kind=''execution'',number=1,seq=1}"] = "damaged (",
        ["os.exit()"] = "execution lamp/j/1: " } do
        edit(("UPDATE objects SET state = '%s' WHERE kind = 'execution'"):format(state))
        store = assert(stores.open(dir))
        local ok, message = store:load(benches.new().engine)
        assert.is_nil(ok)
        assert.is_truthy(message:find(words, 1, true), message)
      end
    end)

    it("leaves a file alone that another version wrote", function()
      edit("UPDATE meta SET value = '99' WHERE name = 'schema'")
      refused("was written by another version of Hob (schema 99; this one reads 1)")
    end)

    it("says where the directory cannot be made", function()
      assert(fs.write(dir .. "/file", ""))
      local found, message = stores.open(dir .. "/file/below")
      assert.is_nil(found)
      assert.is_truthy(message:find("file", 1, true), message)
    end)

    it("says which package is missing", function()
      local result = exec.run{ "/proc/self/exe", "lua", "-e",
        'package.cpath = "" package.loaded["luasql.sqlite3"] = nil '
          .. 'print(select(2, require("hob.service.store").open("/nonexistent")))' }
      assert.is_truthy(result.stdout:find("apt-get install lua-sql-sqlite3", 1, true),
        result.stdout .. result.stderr)
    end)
  end)

  it("stores what JSON cannot tell apart", function()
    bench:create("j", "lamp", { document = '{"a":[],"b":{}}' })
    save()
    reopen()
    assert.equal('{"a":[],"b":{}}', bench.engine:job_document("j").document)
    assert.is_table(json.decode(bench.engine:job_document("j").document))
  end)
end)
