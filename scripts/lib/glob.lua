-- glob.lua - names of files by patterns with * and ?, as a shell finds them, without a shell.
--
--     glob.find("/var/log/app/*.log", 1000)   -- { "/var/log/app/a.log", ... }

local fs = require("hob.fs")

local M = {}

local function to_pattern(segment)
  local text = segment:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  return "^" .. text .. "$"
end

local function is_glob(segment)
  return segment:find("[*?]") ~= nil
end

-- Names that begin with a point are meant only where the pattern says so.
local function matching(dir, segment)
  local found, pattern = {}, to_pattern(segment)
  for _, name in ipairs(fs.list(dir) or {}) do
    if name:match(pattern) and (name:sub(1, 1) ~= "." or segment:sub(1, 1) == ".") then
      found[#found + 1] = name
    end
  end
  table.sort(found)
  return found
end

local function expand(dirs, segment, most)
  local found = {}
  for _, dir in ipairs(dirs) do
    local names = is_glob(segment) and matching(dir == "" and "/" or dir, segment) or { segment }
    for _, name in ipairs(names) do
      if #found == most then
        return found
      end
      found[#found + 1] = dir .. "/" .. name
    end
  end
  return found
end

---Regular files only, at most `most` of them.
---@param pattern string  an absolute path; * and ? stand for signs within one segment
---@param most integer
---@return string[]
function M.find(pattern, most)
  local found, files = { "" }, {}
  for segment in pattern:gmatch("[^/]+") do
    found = expand(found, segment, most)
  end
  for _, path in ipairs(found) do
    local stat = fs.stat(path)
    if stat and stat.type == "file" then
      files[#files + 1] = path
    end
  end
  return files
end

return M
