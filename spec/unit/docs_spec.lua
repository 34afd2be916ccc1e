-- The documentation against the source, where the two can be compared.

local lfs = require("lfs")
local project = require("spec.support.source")

local root, read, sorted = project.root, project.read, project.sorted_keys

local function read_all(folder, pattern)
    local texts = {}
    for entry in lfs.dir(root .. "/" .. folder) do
        if entry:match(pattern) then
            texts[#texts + 1] = read(folder .. "/" .. entry)
        end
    end
    return table.concat(texts)
end

local function pages()
    local found = { "README.md", "CHANGELOG.md" }
    local function walk(folder)
        for entry in lfs.dir(root .. "/" .. folder) do
            local path = folder .. "/" .. entry
            local mode = lfs.attributes(root .. "/" .. path, "mode")
            if entry:match("%.md$") then
                found[#found + 1] = path
            elseif mode == "directory" and not entry:match("^%.") then
                walk(path)
            end
        end
    end
    walk("docs")
    table.sort(found)
    return found
end

-- Links to other pages that lead nowhere.
local function broken_links(path, text)
    local broken = {}
    local folder = path:match("^(.*)/") or "."
    for target in text:gmatch("%]%(([^)%s]+)%)") do
        local file = target:gsub("#.*$", "")
        local elsewhere = target:match("^%a+:") or file == ""
        if not elsewhere and not lfs.attributes(root .. "/" .. folder .. "/" .. file) then
            broken[#broken + 1] = path .. ": " .. target
        end
    end
    return broken
end

-- As the common hosts of Markdown make them of headings.
local function anchors_of(text)
    local anchors = {}
    for heading in ("\n" .. text):gmatch("\n#+ ([^\n]+)") do
        local shown = heading:gsub("%]%b()", ""):lower()
        anchors[shown:gsub("[^%w%s%-_\128-\255]", ""):gsub("%s", "-")] = true
    end
    return anchors
end

-- Links to a chapter that is in no page any more.
local function broken_anchors(path, text)
    local broken = {}
    local folder = path:match("^(.*)/") or "."
    for file, anchor in text:gmatch("%]%(([^)%s#]*)#([^)%s]+)%)") do
        local page = file == "" and text or file:match("%.md$") and not file:match("^%a+:")
            and read(folder .. "/" .. file)
        if page and not anchors_of(page)[anchor] then
            broken[#broken + 1] = ("%s: %s#%s"):format(path, file, anchor)
        end
    end
    return broken
end

describe("the documentation", function()
    it("has no link that leads nowhere", function()
        local broken = {}
        for _, path in ipairs(pages()) do
            for _, link in ipairs(broken_links(path, read(path))) do
                broken[#broken + 1] = link
            end
        end
        assert.same({}, broken)
    end)

    it("has no link to a chapter that is not there", function()
        local broken = {}
        for _, path in ipairs(pages()) do
            for _, link in ipairs(broken_anchors(path, read(path))) do
                broken[#broken + 1] = link
            end
        end
        assert.same({}, broken)
    end)

    it("has a chapter for each command that `hob --help` names", function()
        local chapters = anchors_of(read("docs/reference/cli.md"))
        local missing, count = {}, 0
        for name in read("core/host/main.c"):gmatch('"[usage: ]+hob ([%a%-]+)') do
            count = count + 1
            if name ~= "--help" and not chapters["hob-" .. name] then
                missing[#missing + 1] = name
            end
        end
        assert.is_true(count > 15)
        assert.same({}, missing)
    end)

    it("would see a link that leads nowhere", function()
        local text = "[a](gone.md) [b](reference/config.md#x) [c](https://example.org/)"
        assert.same({ "docs/x.md: gone.md" }, broken_links("docs/x.md", text))
    end)

    it("describes each key of the configuration, and no other", function()
        local known, described = {}, { things = true }
        local source = read_all("core/host", "^config.*%.c$")
        for name in source:match(" keys%[%] = {(.-)\n};"):gmatch('\n%s*{"([%w_]+)"') do
            known[name] = true
        end
        known.things = true
        for name in read("docs/reference/config.md"):gmatch("\n| `([%w_]+)` |") do
            described[name] = true
        end
        assert.is_true(#sorted(known) > 20)
        assert.same(sorted(known), sorted(described))
    end)

    it("describes each member of a handler's table", function()
        local page = read("docs/reference/handlers.md")
        local members = read("lib/hob/job/contract.lua"):match("local MEMBERS = {(.-)\n}")
        local count = 0
        for name in members:gmatch("([%w_]+) =") do
            count = count + 1
            assert.is_truthy(page:find("`" .. name .. "`", 1, true), name .. " is not described")
        end
        assert.is_true(count > 5)
    end)
end)
