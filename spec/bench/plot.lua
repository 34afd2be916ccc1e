-- plot.lua - scaling curves of `./dev bench --plots`, drawn by gnuplot as SVG.
local exec = require("hob.exec")
local fs = require("hob.fs")

local M = {}

---@class bench.curve
---@field name string      the file's name, without .svg
---@field title string
---@field x string         what is along the axes
---@field y string
---@field logarithmic? boolean  along x
---@field series { label: string, points: number[][] }[]
---@field row? string      the bench's name

local function quoted(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

--- What gnuplot is told.
---@param curve bench.curve
---@param path string
---@return string
function M.script(curve, path)
  local lines = {
    "set terminal svg size 640,360 dynamic background rgb 'white' font 'sans-serif,12'",
    "set output " .. quoted(path),
    "set title " .. quoted(curve.title) .. " noenhanced",
    "set xlabel " .. quoted(curve.x) .. " noenhanced",
    "set ylabel " .. quoted(curve.y) .. " noenhanced",
    "set grid", "set key bottom right noenhanced", "set yrange [0:*]",
    curve.logarithmic and "set logscale x" or "set xrange [0:*]",
  }
  local parts = {}
  for i, series in ipairs(curve.series) do
    lines[#lines + 1] = ("$data%d << END"):format(i)
    for _, point in ipairs(series.points) do
      lines[#lines + 1] = ("%.10g %.10g"):format(point[1], point[2])
    end
    lines[#lines + 1] = "END"
    parts[i] = ("$data%d using 1:2 with linespoints linewidth 2 title %s"):format(i,
      quoted(series.label))
  end
  lines[#lines + 1] = "plot " .. table.concat(parts, ", ")
  return table.concat(lines, "\n") .. "\n"
end

--- Draw into DIR/NAME.svg.
---@param curve bench.curve
---@param dir string
---@return string path
function M.draw(curve, dir)
  local path = ("%s/%s.svg"):format(dir, curve.name)
  local work = assert(fs.tempdir())
  assert(fs.write(work .. "/plot", M.script(curve, path)))
  local result, message = exec.run({ "gnuplot", work .. "/plot", timeout = 60 })
  fs.remove(work, { recursive = true })
  assert(result, message)
  assert(result.code == 0, ("gnuplot: %s"):format(result.stderr))
  return path
end

return M
