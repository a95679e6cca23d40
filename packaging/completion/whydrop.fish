# Completion of whydrop for fish; made by `make docs`.
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
