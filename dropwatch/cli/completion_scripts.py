"""What a shell runs to complete a command line of whydrop: it asks whydrop itself, in one form for all shells.

The words before the one at the cursor are in WHYDROP_WORDS, a line each, that one in WHYDROP_CURRENT. Each line of the
answer is `value TAB help`; the value `//file` stands for names of files. Behind `--` another program is completed.
"""

BASH = r"""# Completion of whydrop for bash; made by `make docs`.
_whydrop() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=() value help i IFS=$'\n'
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            if declare -F _comp_command_offset >/dev/null; then
                _comp_command_offset $((i + 1))
            elif declare -F _command_offset >/dev/null; then
                _command_offset $((i + 1))
            elif ((i + 1 == COMP_CWORD)); then
                COMPREPLY=($(compgen -c -- "$cur"))
            else
                COMPREPLY=($(compgen -f -- "$cur"))
            fi
            return
        fi
        before+=("${COMP_WORDS[i]}")
    done
    while IFS=$'\t' read -r value help; do
        if [[ $value == //file ]]; then
            compopt -o filenames 2>/dev/null
            COMPREPLY+=($(compgen -f -- "$cur"))
        else
            COMPREPLY+=("$value")
        fi
    done < <(_WHYDROP_COMPLETE=bash_complete WHYDROP_WORDS="${before[*]}" WHYDROP_CURRENT="$cur" \
        "${COMP_WORDS[0]}" 2>/dev/null)
}
complete -o nosort -F _whydrop whydrop
"""

ZSH = r"""#compdef whydrop
# Completion of whydrop for zsh; made by `make docs`.
_whydrop() {
    local -a before described answers
    local answer value help files=0 at=${words[(ie)--]}
    if (( at < CURRENT )); then
        shift $at words
        (( CURRENT -= at ))
        _normal
        return
    fi
    (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
    answers=("${(@f)$(_WHYDROP_COMPLETE=zsh_complete WHYDROP_WORDS="${(pj:\n:)before}" \
        WHYDROP_CURRENT="${(Q)PREFIX}" ${(Q)words[1]} 2>/dev/null)}")
    for answer in $answers; do
        value=${answer%%$'\t'*} help=${answer#*$'\t'}
        if [[ $value == //file ]]; then
            files=1
        else
            described+=("${value//:/\\:}${help:+:$help}")
        fi
    done
    if (( $#described )); then
        compset -P '--[a-z0-9-]##='
        _describe -V whydrop described
    fi
    (( files )) && _files
}
if [[ $funcstack[1] == _whydrop ]]; then
    _whydrop "$@"
else
    compdef _whydrop whydrop
fi
"""

FISH = r"""# Completion of whydrop for fish; made by `make docs`.
function __whydrop_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l at (contains -i -- -- $words)
    if test -n "$at"
        if test (count $words) -gt $at
            complete -C (string join ' ' -- (string escape -- $words[(math $at + 1)..-1]) $current)
        else
            complete -C "$current"
        end
        return
    end
    set -lx _WHYDROP_COMPLETE fish_complete
    set -lx WHYDROP_CURRENT $current
    set -lx WHYDROP_WORDS
    if test (count $words) -gt 1
        set WHYDROP_WORDS (string join \n -- $words[2..-1] | string collect)
    end
    set -l option (string match -r -- '^--[^=]*=' $current)
    for answer in ($words[1] 2>/dev/null)
        if string match -q '//file*' -- $answer
            __fish_complete_path $current
        else
            echo "$option$answer"
        end
    end
end
complete -c whydrop -f -k -a '(__whydrop_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
