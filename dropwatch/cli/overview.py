"""What `whydrop --help` says beside the options: the commands, examples, exit codes."""

USAGE = """whydrop [EXPRESSION] [FILTER] [OPTIONS] [-- CMD...]
       whydrop summary [EXPRESSION] [FILTER] [OPTIONS] [-- CMD...]
       whydrop stack [EXPRESSION] [FILTER] [OPTIONS] [-- CMD...]
       whydrop trace [EXPRESSION] [FILTER] [OPTIONS] [-- CMD...]
       whydrop replay FILE [EXPRESSION] [FILTER] [OPTIONS]
       whydrop report FILE|WINDOW [EXPRESSION] [FILTER] [OPTIONS]
       whydrop diff A B [EXPRESSION] [FILTER] [OPTIONS]
       whydrop watch [OPTIONS]
       whydrop last [WINDOW] [FILTER] [OPTIONS]
       whydrop explain [WORDS]
       whydrop check
       whydrop schema
       whydrop mcp"""
ABOUT = """Says why, where, and by which line of your configuration the Linux kernel dropped a packet:
one finding for each dropped packet that matches. With `-- CMD...` it starts CMD once it is ready, and ends
when CMD has ended and its drops were read."""
COMMANDS = (
    ("summary", "What is dying, continuously: counts by cause, place and object."),
    ("stack", "The next matching drop in full: packet, whole stack, evidence."),
    ("trace", "The journey of matching packets: each step, to the end."),
    ("replay FILE", "The same findings from a recording that --write made; needs no root."),
    ("report FILE", "One HTML page from a recording or the recorder's store, for a ticket."),
    ("diff A B", "What two recordings or windows differ in; exit code 1: something is new."),
    ("watch", "The flight recorder: keeps on disk what died, for weeks."),
    ("last [WINDOW]", "What died in that time, from the recorder's store: 1h, 14:00..14:05."),
    ("explain [WORDS]", "What a cause, a drop reason, a function or a counter means; search."),
    ("check", "What this host can and cannot do, and what to do about it."),
    ("schema", "The JSON Schema of every line that --json prints."),
    ("mcp", "Tools for agents: the Model Context Protocol on standard input and output."),
)
EXAMPLES = """Examples:
  sudo whydrop --dport 5000               why does nothing arrive at port 5000?
  sudo whydrop 'udp port 53 and not host 10.9.0.2'
  sudo whydrop --host 10.9.0.2 --stack    ... with the kernel's stack
  sudo whydrop --netns b --cause 'ipsec.*'
  sudo whydrop --json --count 1 -- ping -c 1 10.9.0.2
  whydrop explain ipsec.auth-failed       what it means and what to do
"""
EXIT_CODES = "Exit codes: 0 fine, 1 failed while running, 2 wrong usage, 3 cannot run here."
