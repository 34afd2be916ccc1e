-- things.lua - many things for one gateway: a certificate for each, and their entries of `things`.
--
--     local made = require("spec.support.things").make(100)
--     made.list                                   -- { name, cert, key }, ...
--     made.pki                                    -- of them all; made.pki:remove() at the end
--     config = { things = { lua = things.config(made.list) } }

local exec = require("hob.exec")
local pkis = require("spec.support.pki")

local M = {}

local AT_ONCE = 4

-- Key and certificate in one call of openssl.
local SCRIPT = [[
cd "$1" || exit 1
i=$2
while [ "$i" -le "$3" ]; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -sha256 \
        -subj "/CN=thing-$i" -CA ca.crt -CAkey ca.key -addext basicConstraints=critical,CA:false \
        -keyout "thing-$i.key" -out "thing-$i.crt" 2>/dev/null || exit 1
    i=$((i + $4))
done
]]

---@class things.one
---@field name string
---@field cert string
---@field key string

---@param count integer
---@param pki? pki       whose CA issues them; default: a new one
---@return { pki: pki, list: things.one[] }
function M.make(count, pki)
  pki = pki or pkis.new()
  local running, list = {}, {}
  for i = 1, AT_ONCE do
    running[i] = assert(exec.spawn({ "sh", "-c", SCRIPT, "sh", pki.dir, tostring(i),
      tostring(count), tostring(AT_ONCE) }))
  end
  for _, one in ipairs(running) do
    local result = assert(one:wait(600))
    assert(result.code == 0, "openssl could not make a certificate")
  end
  for i = 1, count do
    local base = ("%s/thing-%d"):format(pki.dir, i)
    list[i] = { name = "thing-" .. i, cert = base .. ".crt", key = base .. ".key" }
  end
  return { pki = pki, list = list }
end

---The text of `things` in a configuration.
---@param list things.one[]
---@return string
function M.config(list)
  local lines = {}
  for i, one in ipairs(list) do
    local certificate = one.cert and (", cert = %q, key = %q"):format(one.cert, one.key) or ""
    lines[i] = ("    { thing_name = %q%s%s },\n"):format(one.name, certificate,
      one.more and ", " .. one.more or "")
  end
  return "{\n" .. table.concat(lines) .. "  }"
end

return M
