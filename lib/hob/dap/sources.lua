--- Source texts: which file a frame is of, and its text where the editor has none, or another one
--- than what runs.
local arguments = require("hob.dap.arguments")

local M = { requests = {} }

local CHANGED = "as the job was begun with it; the file has changed since"

-- A number that stands for a file of a job.
local function reference_of(self, thread, file)
  local key = ("%d\0%s"):format(thread, file)
  local known = self.references[key]
  if not known then
    known = #self.references + 1
    self.references[key] = known
    table.insert(self.references, { thread = thread, file = file })
  end
  return known
end

-- Does the file still hold what runs? The engine is asked for both: handlers' `fs_roots` are no
-- matter of who looks at their source. A file that cannot be read counts as changed.
local function has_changed(self, thread, file)
  local runs = self.engine:source(thread, file)
  return runs ~= nil and self.engine:source(nil, file) ~= runs
end

--- A frame's `source`; nil where there is no file.
---@param seen table  kept for one stack: file -> source
function M.of_frame(self, thread, frame, seen)
  local file = frame.file
  if not file or file == "" or file:sub(1, 1) == "[" then
    return nil
  elseif seen[file] then
    return seen[file]
  end
  local path, known = self.paths:to_local(file)
  local source = { name = file:match("[^/]*$"), path = path,
    presentationHint = frame.own and "deemphasize" or nil }
  if not frame.own and has_changed(self, thread, file) then
    source.sourceReference, source.origin = reference_of(self, thread, file), CHANGED
  elseif not known then
    source.sourceReference = reference_of(self, thread, file)
    source.origin = "on the gateway"
  end
  seen[file] = source
  return source
end

local function referred(self, reference)
  return math.type(reference) == "integer" and reference > 0 and self.references[reference] or nil
end

--- The gateway's name of the file that an editor's `source` means.
---@return string|nil file
---@return string|nil message
function M.file_of(self, source)
  local wrong = arguments.check(source, { path = "string?", sourceReference = "integer?" })
  if wrong then
    return nil, "source." .. wrong
  end
  local known = referred(self, source.sourceReference)
  if known then
    return known.file
  elseif not source.path or source.path == "" then
    return nil, "source: expected a path"
  end
  return self.paths:to_remote(source.path)
end

--- Lines with code.
---@return integer[]
function M.lines_of(self, file, reference)
  local known = referred(self, reference)
  return self.engine:lines(known and known.thread or self.only, file) or {}
end

M.requests.source = { handle = function(self, args)
  local wrong = arguments.check(args, { source = "table?", sourceReference = "integer?" })
  if wrong then
    return nil, "source: " .. wrong
  end
  local source = args.source or {}
  source.sourceReference = source.sourceReference or args.sourceReference
  local known = referred(self, source.sourceReference)
  local file, why = M.file_of(self, source)
  if not file then
    return nil, "source: " .. why
  end
  local text
  text, why = self.engine:source(known and known.thread or self.only, file)
  if not text then
    return nil, "source: " .. tostring(why)
  end
  return { content = text, mimeType = "text/x-lua" }
end }

return M
