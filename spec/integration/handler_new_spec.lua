-- `hob handler new` and `hob handler test`: what they write is whole.

local desks = require("spec.support.desk")

describe("hob handler new", function()
    local desk

    before_each(function()
        desk = desks.new()
    end)

    after_each(function()
        desk:close()
    end)

    local function new(...)
        return desk:hob("handler", "new", ...)
    end

    it("writes a handler and its spec, and says what to do next", function()
        local result = new("greet")
        assert.equal(0, result.code, result.stderr)
        assert.matches("wrote scripts/greet.lua\nwrote spec/greet_spec.lua\nnext: ", result.stdout,
            1, true)
        assert.matches('"operation":"greet"', desk:read("scripts/greet.lua"), 1, true)
    end)

    it("writes what runs, is linted clean, is rehearsed clean, and whose spec passes", function()
        new("greet")
        local ran = desk:run("greet", "--args", "who=Ada")
        assert.equal(0, ran.code, ran.stdout)
        assert.matches("text       Hello, Ada ", ran.stdout, 1, true)
        local linted = desk:hob("handler", "lint")
        assert.equal(0, linted.code, linted.stdout)
        assert.is_nil((linted.stdout .. linted.stderr):find("greet.lua:", 1, true))
        local rehearsed = desk:run("greet", "--args", "who=Ada", "--rehearse")
        assert.equal(0, rehearsed.code, rehearsed.stdout)
        assert.matches("10 cuts: 10 the same", rehearsed.stdout, 1, true)
        local tested = desk:hob("handler", "test")
        assert.equal(0, tested.code, tested.stdout .. tested.stderr)
        assert.matches("3 successes", tested.stdout, 1, true)
    end)

    it("writes beside another directory of handlers, too", function()
        local result = new("greet", "--scripts", "device/handlers/")
        assert.equal(0, result.code, result.stderr)
        assert.is_string(desk:read("device/handlers/greet.lua"))
        local tested = desk:hob("handler", "test", "device/spec")
        assert.equal(0, tested.code, tested.stdout .. tested.stderr)
    end)

    it("never overwrites a file, and then writes neither", function()
        desk:write("spec/greet_spec.lua", "mine")
        local result = new("greet")
        assert.equal(1, result.code)
        assert.matches("spec/greet_spec.lua is there already", result.stderr, 1, true)
        assert.equal("mine", desk:read("spec/greet_spec.lua"))
        assert.is_nil(desk:read("scripts/greet.lua"))
    end)

    it("refuses what is no handler's name", function()
        for _, name in ipairs({ "../x", "a b", "", ("x"):rep(65), ".hidden", "it.lua" }) do
            assert.equal(2, new(name).code, name)
        end
        assert.equal(2, new().code)
    end)
end)

describe("hob handler test", function()
    local desk

    before_each(function()
        desk = desks.new({ ["it.lua"] = desks.handler('return { who = args.who or "none" }') })
    end)

    after_each(function()
        desk:close()
    end)

    it("tells by its exit code whether a spec failed", function()
        desk:write("spec/it_spec.lua", [[
            local testing = require("hob.testing")
            it("is nobody", function()
                assert.equal("none", testing.run("it").details.who)
            end)
            it("is Ada", function()
                assert.equal("Ada", testing.run("it").details.who)
            end)]])
        local result = desk:hob("handler", "test")
        assert.equal(1, result.code)
        assert.matches("1 success / 1 failure", result.stdout, 1, true)
        assert.equal(0, desk:hob("handler", "test", "--filter=nobody").code)
    end)

    it("finds the handlers where --scripts says", function()
        desk:write("spec/it_spec.lua", [[
            it("is there", function()
                assert.equal("SUCCEEDED", require("hob.testing").run("other").status)
            end)]])
        desk:write("elsewhere/other.lua", desks.handler(""))
        assert.equal(1, desk:hob("handler", "test").code)
        local result = desk:hob("handler", "test", "--scripts", "elsewhere")
        assert.equal(0, result.code, result.stdout)
        assert.equal(2, desk:hob("handler", "test", "--scripts", "nowhere").code)
    end)
end)
