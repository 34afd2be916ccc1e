-- jobs.lua - the jobs of `./dev soak`: what they do, and as what each may end.

local M = {}

M.SCRIPTS = {
  ["quick.lua"] = [[
    return { api = 1, run = function() return { done = true } end }
  ]],
  ["fails.lua"] = [[
    return { api = 1, run = function(job)
      job:step("try", function() return nil, "no good" end)
    end, cleanup = function(job, args, why) job.log.info("cleaned up: " .. why.kind) end }
  ]],
  ["raises.lua"] = [[
    return { api = 1, run = function() local t = nil; return t.x end }
  ]],
  ["steps.lua"] = [[
    return { api = 1, run = function(job)
      local sum = 0
      for i = 1, 5 do
        sum = sum + job:step("part " .. i, function()
          job:progress(i * 20, "part " .. i)
          return i
        end)
      end
      return { sum = sum }
    end }
  ]],
  ["children.lua"] = [[
    local exec = require("hob.exec")
    return { api = 1, run = function(job)
      local result = job:step("run", function()
        return exec.check({ "sh", "-c", "for i in 1 2 3; do echo line $i; echo err >&2; done" })
          .stdout
      end)
      job:step("noisy", function()
        exec.check({ "sh", "-c", "head -c 200000 /dev/zero" })
      end)
      return { lines = #result }
    end }
  ]],
  ["long.lua"] = [[
    local exec = require("hob.exec")
    return { api = 1, run = function(job)
      job:step("wait", function() exec.run({ "sleep", "600", grace = 1 }) end)
    end, cleanup = function() end }
  ]],
  ["slow.lua"] = [[
    return { api = 1, timeout = 1, run = function(job)
      job:step("wait", function() job:sleep(600) end)
    end }
  ]],
  ["greedy.lua"] = [[
    return { api = 1, run = function(job)
      local list = {}
      for i = 1, 1e9 do list[i] = ("x"):rep(1000) .. i end
    end }
  ]],
}

---@class soak.kind
---@field name string
---@field ends table<string, boolean>
---@field cancel? boolean  the service cancels it once it runs

---@type soak.kind[]
M.KINDS = {
  { name = "quick", ends = { SUCCEEDED = true } },
  { name = "quick", ends = { SUCCEEDED = true } },
  { name = "fails", ends = { FAILED = true } },
  { name = "raises", ends = { FAILED = true } },
  { name = "steps", ends = { SUCCEEDED = true } },
  { name = "children", ends = { SUCCEEDED = true } },
  { name = "long", ends = { CANCELED = true }, cancel = true },
  { name = "slow", ends = { FAILED = true } },
  { name = "greedy", ends = { FAILED = true } },
  { name = "unknown", ends = { REJECTED = true } },
}

-- Before memory is read.
---@type soak.kind[]
M.LAST = {
  { name = "children", ends = { SUCCEEDED = true } },
  { name = "steps", ends = { SUCCEEDED = true } },
  { name = "greedy", ends = { FAILED = true } },
  { name = "quick", ends = { SUCCEEDED = true } },
}

return M
