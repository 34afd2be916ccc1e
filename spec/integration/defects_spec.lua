-- The specs of the local Jobs service notice a defect in it: each of spec/conformance/defects.lua
-- is planted in a copy of the source, and the specs that run without a broker must fail on it.
local defects = require("spec.conformance.defects")
local exec = require("hob.exec")
local fs = require("hob.fs")
local lfs = require("lfs")

local BINARY = lfs.symlinkattributes("/proc/self/exe", "target")
local LIMIT = 120 -- seconds; a defect may make a spec wait

describe("the specs of the local Jobs service", function()
  local dir, specs

  setup(function()
    dir = assert(fs.tempdir())
    specs = {}
    exec.check{ "cp", "-r", "lib", "spec", dir }
    for _, name in ipairs(assert(fs.list(dir .. "/spec/unit"))) do
      if name:find("^service_.*_spec%.lua$") then
        specs[#specs + 1] = dir .. "/spec/unit/" .. name
      end
    end
    table.sort(specs)
  end)
  teardown(function() fs.remove(dir, { recursive = true }) end)

  --- Run the specs on the copy.
  ---@return integer|nil code, string output
  local function run_specs()
    local argv = { BINARY, "lua", dir .. "/spec/run.lua", "--no-keep-going", timeout = LIMIT,
      cwd = dir, env = { HOB_LIB_DIR = dir .. "/lib" } }
    table.move(specs, 1, #specs, #argv + 1, argv)
    local result = assert(exec.run(argv))
    return result.code, result.stdout .. result.stderr
  end

  it("pass on what is there", function()
    local code, output = run_specs()
    assert.equal(0, code, output)
  end)

  it("know twenty defects or more", function()
    assert.is_true(#defects >= 20)
  end)

  for _, defect in ipairs(defects) do
    local what, file, code, instead = table.unpack(defect)
    it("fail when " .. what, function()
      local path = dir .. "/lib/hob/service/" .. file
      local text = assert(fs.read(path))
      local first, last = text:find(code, 1, true)
      assert(first, ("%s no longer holds: %s"):format(file, code))
      assert(not text:find(code, last + 1, true), ("%s holds it twice: %s"):format(file, code))
      local changed = text:sub(1, first - 1) .. instead .. text:sub(last + 1)
      assert(load(changed, file)) -- a typing error is no defect
      assert(fs.write(path, changed))
      local status, output = run_specs()
      assert(fs.write(path, text))
      assert.equal(1, status, "nothing failed:\n" .. output)
      assert.matches("%d+ passed, [1-9]%d* failed", output)
    end)
  end
end)
