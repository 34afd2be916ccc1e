-- embed.lua - Hob as a product has it: installed under a prefix, and programs compiled against it
-- by what `pkg-config hob` says, nothing else.
--
--     local embed = require("spec.support.embed")
--     local program = embed.compile("docs/how-to/embed/observe.c", world.dir)
--     local child = exec.spawn{ program, config }                  -- finds libhob by itself
--     embed.compile("spec/support/loop.c", world.dir, { packages = { "glib-2.0" }, static = true })
--
-- The prefix lies in the build directory and is installed anew, as far as something changed, by
-- every process that asks for it.

local exec = require("hob.exec")
local fs = require("hob.fs")
local lfs = require("lfs")
local source = require("spec.support.source")

local M = {}

---Where the program that runs this was built.
M.build = lfs.symlinkattributes("/proc/self/exe", "target"):match("^(.*)/[^/]*$")

local WARNINGS = { "-g", "-Wall", "-Wextra", "-Werror" }
local SANITIZERS = { "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined" }
local LIMIT = 240 -- seconds; with sanitizers, on a machine that does much else

local cache, installed

---@param name string  of CMakeCache.txt
---@return string|nil value
local function built_with(name)
  cache = cache or assert(fs.read(M.build .. "/CMakeCache.txt"))
  return cache:match("\n" .. name .. ":[A-Z]+=([^\n]*)")
end

local function has(name)
  local value = (built_with(name) or ""):upper()
  return value == "ON" or value == "TRUE" or value == "1" or value == "YES"
end

---Is this build made with AddressSanitizer?
---@return boolean
function M.sanitized()
  return has("HOB_SANITIZE")
end

---Install into a directory.
---@param prefix string
---@param ... string  of cmake --install: "--component", "libhob-dev"
function M.install(prefix, ...)
  assert(fs.mkdir(prefix))
  exec.check({ "flock", prefix .. "/.lock", "cmake", "--install", M.build, "--prefix", prefix,
    timeout = LIMIT, ... })
end

---Where all of Hob is installed, for this run.
---@return string prefix
function M.prefix()
  if not installed then
    local prefix = M.build .. "/installed"
    M.install(prefix)
    installed = prefix
  end
  return installed
end

---Below the prefix: "lib", or what this distribution calls it.
---@return string
function M.libdir()
  return M.prefix() .. "/" .. assert(built_with("CMAKE_INSTALL_LIBDIR"))
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do
    list[#list + 1] = word
  end
  return list
end

---What pkg-config answers, when it looks into the prefix first.
---@param ... string  its arguments
---@return string[] words
function M.pkg_config(...)
  return words(exec.check({ "pkg-config", timeout = LIMIT,
    env = { PKG_CONFIG_PATH = M.libdir() .. "/pkgconfig" }, ... }).stdout)
end

local function compiler(is_cpp)
  local c = assert(built_with("CMAKE_C_COMPILER"))
  if not is_cpp then
    return c
  end
  return c:find("clang", 1, true) and "clang++" or "c++"
end

local function add(argv, list)
  table.move(list, 1, #list, #argv + 1, argv)
end

local function link_words(options)
  local query = options.static and { "--static", "--libs", "hob" } or { "--libs", "hob" }
  local list = M.pkg_config(table.unpack(query))
  for i, word in ipairs(list) do
    if options.static and word == "-lhob" then
      list[i] = "-l:libhob.a"
    end
  end
  if options.packages then
    add(list, M.pkg_config("--libs", table.unpack(options.packages)))
  end
  return list
end

---@class EmbedCompileOptions
---@field packages? string[]  of pkg-config, beside hob
---@field static? boolean  link libhob.a
---@field flags? string[]  more words for the compiler
---@field name? string  of the program; default: the source's, without its ending

---Compile a program outside the source tree. A compiler's warning is an error.
---@param file string  C or C++ (.cc, .cpp), from the project's top
---@param dir string  where the program is put
---@param options? EmbedCompileOptions
---@return string program
function M.compile(file, dir, options)
  options = options or {}
  local name, ending = file:match("([^/]+)%.([^./]+)$")
  local is_cpp = ending ~= "c"
  local program = dir .. "/" .. (options.name or name)
  local text = dir .. "/" .. name .. "." .. ending -- a copy: nothing of the tree is beside it
  assert(fs.write(text, source.read(file)))
  local argv = { compiler(is_cpp), is_cpp and "-std=c++17" or "-std=c11", "-o", program, text,
    timeout = LIMIT, cwd = dir }
  add(argv, WARNINGS)
  add(argv, M.sanitized() and SANITIZERS or {})
  add(argv, options.flags or {})
  add(argv, M.pkg_config("--cflags", "hob", table.unpack(options.packages or {})))
  add(argv, link_words(options))
  add(argv, { "-Wl,-rpath," .. M.libdir() })
  exec.check(argv)
  return program
end

return M
