-- filled.lua - stores for the benches, filled by the store's own functions, in memory: a sync costs
-- nothing there, and 100,000 jobs are there in half a minute. The file is then copied to where the
-- gateway looks for it.
--
--     filled.with(gateway.dir, function(store)
--       filled.work_off(store, "gw-1", 100000)
--     end)
local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")

local M = {}

local IN_MEMORY = "/dev/shm"
local DIGEST = ("0123456789abcdef"):rep(4)
M.KEPT = 1000 -- as a gateway keeps

local function units()
  local program = exec.check({ "readlink", ("/proc/%d/exe"):format(process.pid()) }).stdout
  local modules = program:match("^(.*)/[^/]*$") .. "/modules/?.so;"
  if not package.cpath:find(modules, 1, true) then
    package.cpath = modules .. package.cpath
  end
  return require("hob_units").store
end

---@param dir string  of a gateway that was not launched yet
---@param fill fun(store: userdata)
function M.with(dir, fill)
  local work = exec.check({ "mktemp", "-d", "-p", IN_MEMORY }).stdout:gsub("%s", "")
  local store = assert(units().open(work .. "/hob.db"))
  local ok, problem = xpcall(fill, debug and debug.traceback or tostring, store)
  store:close()
  if ok then
    assert(fs.mkdir(dir .. "/data"))
    assert(fs.chmod(dir .. "/data", tonumber("700", 8)))
    exec.check({ "cp", "-p", work .. "/hob.db", work .. "/reserve", dir .. "/data/" })
  end
  exec.check({ "rm", "-rf", work })
  assert(ok, problem)
end

--- The whole way of so many jobs, each with a step, told in the end; pruned as a gateway does.
---@param thing string
---@param count integer
function M.work_off(store, thing, count)
  assert(store:prune(M.KEPT))
  for i = 1, count do
    local row = assert(store:add({ thing = thing, job_id = "earlier-" .. i,
      queued_at = 1700000000 + i, document = '{"operation":"bench","text":"hello"}',
      handler = "bench", handler_digest = DIGEST }))
    assert(store:put_source(row, "", "bench.lua", "return {}", DIGEST))
    assert(store:begin_run(row, "bench", DIGEST, 2, false))
    assert(store:put_step(row, "say", false, '"hello"'))
    assert(store:put_outcome(row, "SUCCEEDED", '{"handler":"bench@0123456789ab","said":"hello"}'))
    assert(store:mark_told(row, "accepted", ""))
  end
  assert(store:flush())
end

return M
