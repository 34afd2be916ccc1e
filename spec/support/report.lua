-- How the specs' results are shown: a line a file, each failure at once and whole, the slowest at
-- the end. An output handler for busted; `passed`, `failed` and `skipped` are for spec/run.lua.

local base = require("busted.outputHandlers.base")
local busted = require("busted")
local pretty = require("pl.pretty")
local term = require("term")

local M = { passed = 0, failed = 0, skipped = 0 }

local SLOW = 2 -- seconds from which a spec is named at the end
local SPEC_LIMIT = tonumber(os.getenv("HOB_SPEC_LIMIT")) or 120

local coloured = io.type(io.stdout) == "file" and term.isatty(io.stdout)
    and not os.getenv("NO_COLOR")

local function paint(code, text)
    return coloured and ("\27[%sm%s\27[0m"):format(code, text) or text
end

local function put(...)
    io.stdout:write(...)
    io.stdout:flush()
end

local function short(path)
    return (tostring(path):gsub("^.*/(spec/)", "%1"))
end

local function words(message)
    if type(message) == "string" then
        return message
    end
    if type(message) == "table" and getmetatable(message) and getmetatable(message).__tostring then
        return tostring(message)
    end
    return message == nil and "no reason given" or pretty.write(message)
end

local function indent(text)
    return "    " .. text:gsub("\n+$", ""):gsub("\n", "\n    ")
end

--- The line that CI reads.
function M.close()
    local line = ("%d passed, %d failed"):format(M.passed, M.failed)
    if M.skipped > 0 then
        line = line .. (", %d skipped"):format(M.skipped)
    end
    put(line, "\n")
end

-- A spec that waits for ever would hide its own name: say it and end the run.
local watch = { where = "the start" }

function watch.restart(where)
    watch.where = where
    if watch.timer then
        watch.timer:cancel()
    end
    local has_time, time = pcall(require, "hob.time")
    if not has_time then
        return
    end
    watch.timer = time.after(SPEC_LIMIT, function()
        put(paint("31", "STUCK"), ("  for %g s since %s\n"):format(SPEC_LIMIT, watch.where))
        M.failed = M.failed + 1
        M.close()
        os.exit(1)
    end)
end

function watch.stop()
    if watch.timer then
        watch.timer:cancel()
        watch.timer = nil
    end
end

local function failure_text(failure)
    local element = failure.element or {}
    local trace = failure.trace or element.trace
    local place = trace and trace.short_src
        and ("%s:%s"):format(short(trace.short_src), trace.currentline or "?")
    local text = indent(words(failure.message))
    if place then
        text = "    " .. place .. "\n" .. text
    end
    if trace and trace.traceback and not text:find("stack traceback", 1, true)
        and failure.isError then
        text = text .. "\n" .. indent(trace.traceback)
    end
    return text
end

local function new_handler(options)
    local handler = base()
    local file = { passed = 0, failed = 0, skipped = 0 }
    local slow, failed_names = {}, {}
    local shown_failures, shown_errors = 0, 0

    local function show_new_failures()
        local function show(list, from)
            for i = from + 1, #list do
                local failure = list[i]
                local name = failure.name or "?"
                put(paint("31", "FAILED"), "  ", name, "\n", failure_text(failure), "\n")
                failed_names[#failed_names + 1] = name
                M.failed = M.failed + 1
                file.failed = file.failed + 1
            end
            return #list
        end
        shown_failures = show(handler.failures, shown_failures)
        shown_errors = show(handler.errors, shown_errors)
    end

    function handler.file_start(element)
        file = { passed = 0, failed = 0, skipped = 0, name = short(element.name) }
        watch.restart("the start of " .. file.name)
        return nil, true
    end

    function handler.file_end(element)
        show_new_failures()
        local ran = file.passed + file.failed + file.skipped
        if ran > 0 then
            put(("%s  %s: %d passed%s%s (%.2f s)\n"):format(
                file.failed > 0 and paint("31", "not ok") or paint("32", "ok    "), file.name,
                file.passed,
                file.failed > 0 and (", %d failed"):format(file.failed) or "",
                file.skipped > 0 and (", %d skipped"):format(file.skipped) or "",
                element.duration or 0))
        end
        return nil, true
    end

    function handler.test_start(element)
        watch.restart(handler.getFullName(element))
        return nil, true
    end

    function handler.test_end(element, _, status)
        local name = handler.getFullName(element)
        watch.restart("the end of " .. name)
        if status == "success" then
            M.passed = M.passed + 1
            file.passed = file.passed + 1
        elseif status == "pending" then
            M.skipped = M.skipped + 1
            file.skipped = file.skipped + 1
            put(paint("33", "skipped"), " ", name, "\n")
        end
        show_new_failures()
        if options.verbose then
            put(("%s  %s (%.3f s)\n"):format(status, name, element.duration or 0))
        end
        if (element.duration or 0) >= SLOW then
            slow[#slow + 1] = { name = name, duration = element.duration }
        end
        return nil, true
    end

    function handler.suite_end()
        watch.stop()
        show_new_failures()
        table.sort(slow, function(a, b) return a.duration > b.duration end)
        for i = 1, math.min(#slow, 10) do
            put(("slow    %6.2f s  %s\n"):format(slow[i].duration, slow[i].name))
        end
        for _, name in ipairs(failed_names) do
            put(paint("31", "failed"), "  ", name, "\n")
        end
        put(("%.1f s\n"):format(handler.getDuration()))
        return nil, true
    end

    busted.subscribe({ "file", "start" }, handler.file_start)
    busted.subscribe({ "file", "end" }, handler.file_end)
    busted.subscribe({ "test", "start" }, handler.test_start)
    busted.subscribe({ "test", "end" }, handler.test_end)
    busted.subscribe({ "suite", "end" }, handler.suite_end)
    return handler
end

return setmetatable(M, { __call = function(_, options) return new_handler(options) end })
