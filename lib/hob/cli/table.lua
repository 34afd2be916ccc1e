--- Aligned tables for people: columns as wide as their widest cell, two blanks between them.
local M = {}

--- One line of printable text; what is not is shown as a blank.
local function clean(cell)
  local text = tostring(cell == nil and "" or cell):gsub("%c+", " ")
  if not utf8.len(text) then
    return (text:gsub("[\128-\255]", "?"))
  end
  return (text:gsub("\xC2[\x80-\x9F]", " "))
end

--- How many columns a text takes on the screen.
---@param text string
---@return integer
function M.width(text)
  return utf8.len(text) or #text
end

--- At most `limit` columns; what is cut is marked.
---@param text string
---@param limit integer
---@return string
function M.cut(text, limit)
  text = clean(text)
  if M.width(text) <= limit then
    return text
  end
  local kept = math.max(limit - 3, 0)
  return text:sub(1, utf8.offset(text, kept + 1) - 1) .. "..."
end

--- A text filled up with blanks to `width` columns.
---@param text string
---@param width integer
---@return string
function M.pad(text, width)
  return text .. (" "):rep(width - M.width(text))
end

---@class hob.cli.table.options
---@field width integer?  cut the last column so that no line is longer
---@field least integer?  where less room than that is left for it, it is not cut: lines may wrap

--- The lines of a table.
---@param head string[]|nil    nil: no heading
---@param rows any[][]         a nil in a row shortens it: use ""
---@param options hob.cli.table.options?
---@return string[]
function M.lines(head, rows, options)
  local all, widths = {}, {}
  for _, row in ipairs(head and { head, table.unpack(rows) } or rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = clean(cell)
      widths[i] = math.max(widths[i] or 0, M.width(cells[i]))
    end
    all[#all + 1] = cells
  end
  local limit = options and options.width
  for n, cells in ipairs(all) do
    local used = 0
    for i, cell in ipairs(cells) do
      if i == #widths and limit and limit - used >= (options.least or 0) then
        cell = M.cut(cell, math.max(limit - used, 4))
      end
      cells[i] = i == #widths and cell or M.pad(cell, widths[i])
      used = used + widths[i] + 2
    end
    all[n] = table.concat(cells, "  "):gsub("%s+$", "")
  end
  return all
end

--- Print a table on standard output.
---@param head string[]|nil
---@param rows any[][]
---@param options hob.cli.table.options?
function M.print(head, rows, options)
  for _, line in ipairs(M.lines(head, rows, options)) do
    io.stdout:write(line, "\n")
  end
end

return M
