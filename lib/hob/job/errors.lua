-- errors.lua - what a handler raised or returned, as text that can be saved and reported, and the
-- error that a failed step raises. Spec: spec/integration/steps_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local getmetatable, setmetatable, tostring, type = getmetatable, setmetatable, tostring, type
local format, utf8_len, to_integer = string.format, utf8.len, math.tointeger

local MESSAGE_MAX = 4096
local CODE_PATTERN = "^[A-Z][A-Z0-9_]*$"
local CODE_MAX = 64

---Text that can be saved and reported: valid UTF-8 of bounded length. Programs print anything.
---@param text string
---@return string
function M.clean(text)
  if #text > MESSAGE_MAX then
    text = format("%s ... [cut %d bytes]", text:sub(1, MESSAGE_MAX), #text - MESSAGE_MAX)
  end
  local _, bad = utf8_len(text)
  while bad do
    text = text:sub(1, bad - 1) .. "\u{FFFD}" .. text:sub(bad + 1)
    _, bad = utf8_len(text, bad + 3)
  end
  return text
end

local TAIL_MAX = 960 -- bytes: fits a status detail with the note before it

---The end of what a program printed, from a whole character on, saying how much is not there.
---@param text string
---@param cut? integer  bytes that came before `text`
---@return string
function M.tail(text, cut)
  local kept = text
  if #text > TAIL_MAX then
    kept = text:sub(-TAIL_MAX):gsub("^[\128-\191]+", "")
  end
  cut = (cut or 0) + #text - #kept
  return (cut > 0 and format("[cut %d bytes] ", cut) or "") .. M.clean(kept)
end

---@return string
function M.message_of(err)
  if type(err) == "table" and type(err.message) == "string" then
    err = err.message
  elseif type(err) == "table" and not (getmetatable(err) or {}).__tostring then
    err = "(the error is a table without a message)"
  end
  return M.clean(tostring(err))
end

---A code is what dashboards group by: capitals, digits and _.
---@return string? code  nil: the error has none that could be one
function M.code_of(err)
  local code = err
  if type(err) == "table" then
    code = err.code
  end
  if type(code) == "string" and #code <= CODE_MAX and code:find(CODE_PATTERN) then
    return code
  end
end

---What is saved of a failed step.
---@param err any            what was raised, or returned as the message
---@param code string?       returned beside it
---@param otherwise string   the code if there is none
function M.failure(err, code, otherwise)
  local failure = {
    message = M.message_of(err),
    code = M.code_of(code) or type(err) == "table" and M.code_of(err) or otherwise,
  }
  if type(err) == "table" then
    failure.exit_code, failure.signal = to_integer(err.exit_code), to_integer(err.signal)
  end
  return failure
end

---@class hob.StepError
---@field message string
---@field code string        "EXIT_CODE", "TIMED_OUT", "INTERRUPTED" ...
---@field step string
---@field exit_code? integer of a program
---@field signal? integer    likewise
local step_error = { __name = "hob.StepError", __metatable = false }

function step_error.__tostring(err)
  return err.message
end

function step_error.__concat(left, right)
  return tostring(left) .. tostring(right)
end

---@return hob.StepError
function M.step_error(step, failure)
  return setmetatable({
    message = failure.message, code = failure.code, step = step,
    exit_code = failure.exit_code, signal = failure.signal,
  }, step_error)
end

return M
