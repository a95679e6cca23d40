"""packaging/completion/: what a shell runs to complete a command line of whydrop, as files to be installed."""

from dropwatch.cli.completion_scripts import SCRIPTS

# By what a shell looks for in its directory: /usr/share/bash-completion/completions, .../zsh/site-functions,
# .../fish/vendor_completions.d.
FILES = {"whydrop": "bash", "_whydrop": "zsh", "whydrop.fish": "fish"}


def script(shell: str) -> str:
    """The file for this shell."""
    return SCRIPTS[shell]
