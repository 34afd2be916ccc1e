-- telling.lua - a world with one gateway, for specs of what it tells the service: every update that
-- the service sees is noted, and the spec may answer in the service's place.
--
--     local telling = require("spec.support.telling").new()
--     telling:start({ config = { ... } })
--     telling.answer = telling.once(telling.is("SUCCEEDED"), telling.refused("RequestThrottled"))
--     telling:create("quick"); assert.equal("IN_PROGRESS 1, SUCCEEDED 2", telling:updates())
--     telling:stop()

local exec = require("hob.exec")
local fs = require("hob.fs")
local time = require("hob.time")
local worlds = require("spec.support.world")

local M = {}
M.__index = M

M.SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["refuses.lua"] = [[
    return { api = 1, run = function(job) job:reject("not for this gateway") end }
  ]],
  -- Says "1% ...", "2% ..." as fast as the outbox takes it, until the file `go` is there.
  ["report.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      local i = 0
      while not fs.stat(args.go) do
        i = i + 1
        job:progress(i % 100, "part " .. i)
        job:sleep(0.02)
      end
    end }
  ]],
  -- Says "1% first"; then, when `go` is there, "2% second", and makes `go`.said; ends when `go`.2
  -- is there.
  ["twice.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      job:progress(1, "first")
      while not fs.stat(args.go) do job:sleep(0.01) end
      job:progress(2, "second")
      fs.write(args.go .. ".said", "")
      while not fs.stat(args.go .. ".2") do job:sleep(0.01) end
    end }
  ]],
}

---@param options? table  of worlds.start
function M.new(options)
  options = options or {}
  options.tls = false
  local self = setmetatable({ world = worlds.start(options), seen = {} }, M)
  self.world:before(function(topic, request)
    local job = topic:match("/jobs/([^/]+)/update$")
    local looked = topic:match("/jobs/([^/]+)/get$")
    if job then
      self.seen[#self.seen + 1] = { job = job, status = request.status, at = time.mono(),
        version = request.expectedVersion, details = request.statusDetails or {},
        minutes = request.stepTimeoutInMinutes }
    elseif looked and looked ~= "$next" then
      self.seen[#self.seen + 1] = { job = looked, status = "look", version = "", at = time.mono(),
        details = {} }
    end
    if self.on_request then
      self.on_request(topic, request)
    end
  end)
  self.world:answer_with(function(topic, request)
    return self.answer and self.answer(topic, request)
  end)
  return self
end

---@param options? { config?: table, scripts?: table }
function M:start(options)
  options = options or {}
  self.gateway = self.world:gateway({ scripts = options.scripts or M.SCRIPTS,
    config = options.config })
  self.gateway:wait_event("jobs.subscribed")
  return self.gateway
end

function M:stop()
  self.world:stop()
end

function M:create(operation, go, job)
  self.world:create(job or "job", ('{"operation":"%s","go":"%s"}'):format(operation, go or ""))
end

--- "IN_PROGRESS 1, look, SUCCEEDED 2": what came of a job, in order; without `looks`, updates only.
function M:updates(job, looks)
  local list = {}
  for _, update in ipairs(self.seen) do
    if update.job == (job or "job") and (looks or update.status ~= "look") then
      list[#list + 1] = update.status == "look" and "look"
        or ("%s %s"):format(update.status, update.version)
    end
  end
  return table.concat(list, ", ")
end

--- What the gateway's store holds about an execution. The process must have ended.
function M:stored(what, job)
  local text = exec.check({ "sqlite3", self.gateway.dir .. "/data/hob.db",
    ("SELECT %s FROM execution WHERE job_id = '%s'"):format(what, job or "job") }).stdout
  return (text:gsub("\n$", ""))
end

--- Leave outcomes in the store that the service does not know, as an earlier process would have:
--- jobs deep-0001 and so on, each with details of a kilobyte. The gateway stops.
---@param bytes? integer  another size of the details
function M:fill(rows, bytes)
  self:create("quick", nil, "first")
  self.gateway:wait_event("job.reported", { job = "first" })
  assert(self.gateway:stop() == 0)
  local sql = {
    "BEGIN;",
    "CREATE TEMP TABLE one AS SELECT * FROM execution WHERE job_id = 'first';",
    ([[UPDATE one SET state = 2, told = '', details = '{"reason":"%s"}';]]):format(
      ("x"):rep(bytes or 1000)),
  }
  for i = 1, rows do
    sql[#sql + 1] = ("UPDATE one SET row = row + 1, job_id = 'deep-%04d';"):format(i)
    sql[#sql + 1] = "INSERT INTO execution SELECT * FROM one;"
  end
  sql[#sql + 1] = "COMMIT;"
  assert(fs.write(self.world.dir .. "/fill.sql", table.concat(sql, "\n")))
  exec.check({ "sqlite3", "-bail", self.gateway.dir .. "/data/hob.db",
    ".read " .. self.world.dir .. "/fill.sql" })
end

---------------------------------------------------------------- answers

--- Fits an update with this status.
function M.is(status, job)
  return function(topic, request)
    return topic:match("/" .. (job or "job") .. "/update$") ~= nil and request.status == status
  end
end

--- Fits an update that says how far a handler is.
function M.is_progress(_, request)
  return request.statusDetails ~= nil and request.statusDetails.progress ~= nil
end

--- Answer so often, when `fits`. A body that is a function is called, and may leave the answer to
--- the service by returning nothing.
function M.times(count, fits, body)
  return function(topic, request)
    if count == 0 or not fits(topic, request) then
      return nil
    end
    count = count - 1
    if type(body) == "function" then
      return body(topic, request)
    end
    return body
  end
end

function M.once(fits, body)
  return M.times(1, fits, body)
end

function M.always(fits, body)
  return M.times(-1, fits, body)
end

function M.refused(code, status, version)
  return {
    code = code, message = "said the spec",
    executionState = status and { status = status, versionNumber = version } or nil,
  }
end

return M
