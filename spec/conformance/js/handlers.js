// The handlers that dap.js looks into. Lines are found by their marks, so that nothing counts them.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const FILES = {
  "probe.lua": `local exec = require("hob.exec")
local fs = require("hob.fs")
local sums = require("sums")
local time = require("hob.time")

local limit = 3 -- @limit
local big = {}
for i = 1, 250 do
  big[i] = i * i
end

return {
  api = 1,
  args = { go = "string", say = "string?", fail = "string?" },
  run = function(job, args)
    local total = 0
    job:step("wait", function()
      while not fs.exists(args.go) do
        time.sleep(0.02) -- @sleep
      end
    end)
    -- @nothing
    local list = { big = big, limit = limit } -- @list
    for i = 1, limit do
      total = sums.add(total, i) -- @add
      list[i] = { index = i, total = total } -- @keep
    end
    local ok, why = pcall(error, { code = "TRIED" }) -- @raise
    job:step("report", function() -- @report
      if args.say then
        exec.check{ "echo", args.say }
      end
    end)
    if args.fail then
      error(args.fail) -- @fail
    end
    return { total = total, tried = why.code } -- @end
  end,
}
`,
  "lib/sums.lua": `local M = {}

function M.add(a, b)
  local sum = a + b -- @sum
  return sum -- @sum-end
end

return M
`,
};

/** Write them into a directory. @return { dir, path(name), line(name, mark) } */
function write(dir) {
  for (const [name, text] of Object.entries(FILES)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), text);
  }
  return {
    dir,
    path: (name) => path.join(dir, name),
    line: (name, mark) => {
      const at = FILES[name].split("\n").findIndex((line) => line.endsWith(`@${mark}`));
      if (at < 0) throw new Error(`${name} has no line @${mark}`);
      return at + 1;
    },
    text: (name) => FILES[name],
  };
}

module.exports = { write };
