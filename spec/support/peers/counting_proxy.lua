-- counting_proxy.lua - a TCP proxy to 127.0.0.1:PORT that counts what it carries; run by plain
-- lua5.4.
--
--     lua5.4 counting_proxy.lua PORT
--
-- Whenever nothing has come for a moment it prints "bytes UP DOWN": all so far, to PORT and from
-- it.

local socket = require("socket")

io.stdout:setvbuf("line")

local target = tonumber(arg[1])
local QUIET = 0.02

local listener = assert(socket.bind("127.0.0.1", 0))
listener:settimeout(0)
print("port " .. select(2, listener:getsockname()))

local other, is_near = {}, {} -- by socket
local up, down, told = 0, 0, 0

local function accept()
  local near = listener:accept()
  local far = near and assert(socket.connect("127.0.0.1", target))
  for _, one in ipairs({ near, far }) do
    one:settimeout(0)
    one:setoption("tcp-nodelay", true)
  end
  if near then
    other[near], other[far], is_near[near] = far, near, true
  end
end

local function close(one)
  local two = other[one]
  other[one], other[two] = nil, nil
  one:close()
  two:close()
end

local function carry(from)
  local to = other[from]
  local data, why, part = from:receive(65536)
  data = data or part or ""
  if is_near[from] then
    up = up + #data
  else
    down = down + #data
  end
  to:settimeout(5)
  local sent = data == "" or to:send(data)
  to:settimeout(0)
  if why == "closed" or not sent then
    close(from)
  end
end

while true do
  local all = { listener }
  for one in pairs(other) do
    all[#all + 1] = one
  end
  local readable = socket.select(all, nil, QUIET)
  for _, one in ipairs(readable) do
    if one == listener then
      accept()
    elseif other[one] then
      carry(one)
    end
  end
  if #readable == 0 and up + down ~= told then
    told = up + down
    print(("bytes %d %d"):format(up, down))
  end
end
