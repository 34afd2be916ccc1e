--- `hob completion`: a script for the shell, which asks `hob completion candidates` at each Tab.
local candidates = require("hob.cli.candidates")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob completion bash|zsh

Prints a script that completes Hob's commands, their flags, job ids of the running gateway and names
of handlers. For this shell, and for all later ones:

  bash   source <(hob completion bash)
         hob completion bash > /etc/bash_completion.d/hob
  zsh    source <(hob completion zsh)
         hob completion zsh > /usr/local/share/zsh/site-functions/_hob
]==]

M.SYNTAX = { command = "hob completion", usage = USAGE, flags = {}, words = 1 }

local SCRIPTS = {}

SCRIPTS.bash = [==[
# Completion of hob for bash, by `hob completion bash`.
_hob() {
    local kind word cur=${COMP_WORDS[COMP_CWORD]}
    [[ $cur == = ]] && cur=
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS= read -r word; do
            COMPREPLY+=("$word")
        done
    } < <("${COMP_WORDS[0]/#\~/$HOME}" completion candidates bash \
        "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $kind in
    files | dirs)
        local how=-f
        [[ $kind == dirs ]] && how=-d
        compopt -o filenames 2>/dev/null
        while IFS= read -r word; do
            COMPREPLY+=("$word")
        done < <(compgen "$how" -- "$cur")
        ;;
    esac
}
complete -F _hob hob
]==]

SCRIPTS.zsh = [==[
#compdef hob
# Completion of hob for zsh, by `hob completion zsh`.
_hob() {
    local -a lines
    lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" completion candidates zsh \
        "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $words[CURRENT] == --*=* ]]; then
        compset -P '*='
    fi
    case $lines[1] in
    files) _files ;;
    dirs) _files -/ ;;
    words) compadd -- "${(@)lines[2,-1]}" ;;
    esac
}
if [[ $funcstack[1] == _hob ]]; then
    _hob "$@"
else
    compdef _hob hob
fi
]==]

--- One line that says what kind, then the words.
local function print_candidates(shell, words)
  local before = ""
  if shell == "bash" then
    words, before = candidates.joined(words)
  end
  if #words == 0 then
    words = { "" }
  end
  local found = candidates.find(words)
  local skip = #before:gsub("^%-%-[^=]*=", "") -- of a flag only the value is completed
  io.stdout:write(found.kind, "\n")
  for _, word in ipairs(found.words) do
    io.stdout:write(word:sub(skip + 1), "\n")
  end
  return 0
end

---@param argv string[]
---@return integer code
function M.run(argv)
  if argv[1] == "candidates" and SCRIPTS[argv[2]] then
    return print_candidates(argv[2], table.move(argv, 3, #argv, 1, {}))
  end
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  elseif not SCRIPTS[given[1]] then
    return select(2, options.mistake("hob completion", "expected bash or zsh, got %s",
      given[1] and "'" .. given[1] .. "'" or "nothing"))
  end
  io.stdout:write(SCRIPTS[given[1]])
  return 0
end

return M
