--- Questions to a person at a terminal.
local process = require("hob.process")

local M = {}

--- Is somebody there who could answer?
function M.can()
  return process.is_terminal(0) and process.is_terminal(1)
end

--- Ask until the answer is good; an empty line takes what is offered.
---@param question string
---@param offered string?
---@param check (fun(answer: string): boolean|nil, string|nil)?
---@return string|nil answer  nil: the person has left (Ctrl-D)
function M.ask(question, offered, check)
  while true do
    io.stdout:write(question, offered and (" [%s]"):format(offered) or "", ": "):flush()
    local answer = process.read_line()
    if not answer then
      io.stdout:write("\n")
      return nil
    end
    answer = answer:match("^%s*(.-)%s*$")
    if answer == "" then
      answer = offered
    end
    local ok, why = answer and true, nil
    if answer and check then
      ok, why = check(answer)
    end
    if ok then
      return answer
    end
    io.stdout:write("  ", answer and why or "it is needed", "\n")
  end
end

--- A yes or a no; an empty line is a yes.
---@param question string
---@return boolean
function M.agree(question)
  io.stdout:write(question, " [Y/n]: "):flush()
  local answer = process.read_line()
  return answer ~= nil and answer:lower():find("^%s*n") == nil
end

return M
