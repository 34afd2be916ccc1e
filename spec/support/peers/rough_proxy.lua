-- rough_proxy.lua - a TCP proxy to 127.0.0.1:PORT that breaks connections as real networks do; run
-- by plain lua5.4.
--
--     lua5.4 rough_proxy.lua PORT COMMANDS
--
-- COMMANDS is a file to which the spec appends a line for each command; "did COMMAND" is printed
-- when it has happened.
--   cut up, cut down    the next PUBLISH of that direction is handed on by half, then both sides of
--                       its connection are closed
--   freeze              all connections that stand go deaf: nothing is read or closed any more, as
--                       where a router forgot them; new ones work
--   reset               all connections are reset
--   refuse, accept      new connections are closed at once, or (again) not

local socket = require("socket")

io.stdout:setvbuf("line")

local target, commands = tonumber(arg[1]), assert(io.open(arg[2], "r"))
local TICK = 0.01

local listener = assert(socket.bind("127.0.0.1", 0))
listener:settimeout(0)
print("port " .. select(2, listener:getsockname()))

local links = {} -- { near, far, deaf, up, down }
local by_socket = {}
local refusing, cutting = false, {}

local function did(command)
  print("did " .. command)
end

local function close(link)
  link.near:close()
  link.far:close()
  by_socket[link.near], by_socket[link.far] = nil, nil
  for i, one in ipairs(links) do
    if one == link then
      table.remove(links, i)
    end
  end
end

local function reset(link)
  link.near:setoption("linger", { on = true, timeout = 0 })
  link.far:setoption("linger", { on = true, timeout = 0 })
  close(link)
end

local function new_way()
  return { left = 0, header = "" }
end

-- Where in a chunk a PUBLISH begins, if one does; the packets are followed across chunks.
local function find_publish(way, data)
  local at, found = 1, nil
  while at <= #data do
    if way.left > 0 then
      local step = math.min(way.left, #data - at + 1)
      way.left, at = way.left - step, at + step
    else
      if way.header == "" and data:byte(at) >> 4 == 3 then
        found = found or at
      end
      way.header = way.header .. data:sub(at, at)
      at = at + 1
      if #way.header > 1 and way.header:byte(-1) < 128 then
        local length = 0
        for i = #way.header, 2, -1 do
          length = length << 7 | way.header:byte(i) & 127
        end
        way.left, way.header = length, ""
      end
    end
  end
  return found
end

local function send(to, data)
  local first = 1
  to:settimeout(5)
  while first <= #data do
    local last, why, partly = to:send(data, first)
    if not last and why ~= "timeout" then
      return false
    end
    first = (last or partly) + 1
  end
  to:settimeout(0)
  return true
end

local function carry(link, from, direction)
  local to = from == link.near and link.far or link.near
  local data, why, part = from:receive(65536)
  data = data or part or ""
  local publish = find_publish(link[direction], data)
  if publish and cutting[direction] then
    cutting[direction] = nil
    send(to, data:sub(1, publish + (#data - publish) // 2))
    close(link)
    return did("cut " .. direction)
  end
  if not send(to, data) or why == "closed" then
    close(link)
  end
end

local function accept()
  local near = listener:accept()
  if not near then
    return
  end
  local far = not refusing and socket.connect("127.0.0.1", target)
  if not far then
    return near:close()
  end
  for _, one in ipairs({ near, far }) do
    one:settimeout(0)
    one:setoption("tcp-nodelay", true)
  end
  local link = { near = near, far = far, up = new_way(), down = new_way() }
  links[#links + 1] = link
  by_socket[near], by_socket[far] = link, link
end

local COMMANDS = {
  ["cut up"] = function() cutting.up = true end,
  ["cut down"] = function() cutting.down = true end,
  freeze = function()
    for _, link in ipairs(links) do
      link.deaf = true
    end
    did("freeze")
  end,
  reset = function()
    for i = #links, 1, -1 do
      reset(links[i])
    end
    did("reset")
  end,
  refuse = function() refusing = true did("refuse") end,
  accept = function() refusing = false did("accept") end,
}

local function obey()
  commands:seek("cur", 0) -- clears the end of file
  for line in commands:lines() do
    assert(COMMANDS[line], line)()
  end
end

while true do
  local readers = { listener }
  for _, link in ipairs(links) do
    if not link.deaf then
      readers[#readers + 1] = link.near
      readers[#readers + 1] = link.far
    end
  end
  for _, ready in ipairs(socket.select(readers, nil, TICK)) do
    local link = by_socket[ready]
    if ready == listener then
      accept()
    elseif link then
      carry(link, ready, ready == link.near and "up" or "down")
    end
  end
  obey()
end
