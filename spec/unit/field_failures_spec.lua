-- docs/explanation/field-failures.md against the specs that it names.

local lfs = require("lfs")
local project = require("spec.support.source")

local root, read = project.root, project.read
local COUNT = 26
local ITSELF = "unit/field_failures_spec"

-- "(field failure 5)", "(field failures 8 and 23)", "(field failures 10, 13)"
local function numbers_in(source)
    local found = {}
    source = source:gsub('"%s*%.%.%s*"', "") -- names that go over two lines
    for list in source:gmatch("%(field failures? ([%d, and]+)%)") do
        for number in list:gmatch("%d+") do
            found[tonumber(number)] = true
        end
    end
    return found
end

local function specs()
    local found = {}
    for _, folder in ipairs({ "unit", "integration", "package" }) do
        for entry in lfs.dir(root .. "/spec/" .. folder) do
            local name = folder .. "/" .. (entry:match("^(.*_spec)%.lua$") or "")
            if entry:match("_spec%.lua$") and name ~= ITSELF then
                found[name] = numbers_in(read("spec/" .. name .. ".lua"))
            end
        end
    end
    return found
end

-- number -> the specs that its row names
local function rows(page)
    local found = {}
    for line in page:gmatch("[^\n]+") do
        local number, last = line:match("^| (%d+) | .* | ([^|]+) |$")
        if number then
            assert(not found[tonumber(number)], number .. " has two rows")
            found[tonumber(number)] = {}
            for name in last:gmatch("`([%w_/]+)`") do
                table.insert(found[tonumber(number)], name)
            end
        end
    end
    return found
end

describe("docs/explanation/field-failures.md", function()
    it("has a row for each failure; each spec in it names the failure", function()
        local held, listed = specs(), rows(read("docs/explanation/field-failures.md"))
        local missing = {}
        for number = 1, COUNT do
            assert.is_true(#(listed[number] or {}) > 0, "no spec in the row of " .. number)
            for _, name in ipairs(listed[number]) do
                if not (held[name] and held[name][number]) then
                    table.insert(missing, number .. ": " .. name)
                end
            end
        end
        assert.same({}, missing)
        assert.equal(COUNT, #listed)
    end)

    it("would see a name that no spec has", function()
        assert.same({ [5] = true }, numbers_in('it("a (field failure 5)", function()'))
        assert.same({ [8] = true, [23] = true }, numbers_in('"x " .. "(field failures 8 and 23)"'))
        assert.same({ [1] = true, [2] = true }, numbers_in('"(field fail" ..\n "ures 1, 2)"'))
        assert.same({}, numbers_in("field failure 7"))
        assert.same({ [3] = { "unit/a_spec" } }, rows("| 3 | x | y | `unit/a_spec` |\n"))
    end)
end)
