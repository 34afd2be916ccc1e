-- The shipped handlers survive a power cut anywhere: each of their examples, rehearsed as by
-- `hob handler run --rehearse --dry-run`.

local answering = require("hob.handler.answers")
local benches = require("hob.handler.bench")
local exec = require("hob.exec")
local json = require("hob.json")
local lfs = require("lfs")
local process = require("hob.process")
local project = require("spec.support.source")
local rehearsing = require("hob.handler.rehearse")

local SCRIPTS = project.root .. "/scripts"

local function handlers()
    local names = {}
    for entry in lfs.dir(SCRIPTS) do
        local name = entry:match("^([%w_-]+)%.lua$")
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

local function documents_of(name)
    local program = ("/proc/%d/exe"):format(process.pid())
    local help = exec.check({ program, "handler", "help", name, "--json", "--scripts", SCRIPTS })
    return assert(json.decode(help.stdout)).documents
end

local function dry(bench)
    local answers = answering.new({}, "dry")
    return {
        quick = true,
        answer = function(call)
            answers.files:set_work(bench.work)
            return answers:answer(call)
        end,
        on_sleep = function(seconds)
            answers:sleep(seconds)
        end,
    }
end

describe("the shipped handler", function()
    local bench

    setup(function()
        bench = assert(benches.open({ scripts = SCRIPTS }))
    end)

    teardown(function()
        bench:close()
    end)

    for _, name in ipairs(handlers()) do
        it(name .. " comes to the same end wherever the power is cut", function()
            local documents = documents_of(name)
            assert.is_true(#documents > 0, "it has no example")
            local text = json.encode(documents[1].document)
            local report = assert(rehearsing.rehearse(bench, name, text, function()
                return dry(bench)
            end))
            assert.is_true(#report.cuts > 0, report.base.details.reason)
            assert.same({}, rehearsing.problem_lines(report))
        end)
    end
end)
