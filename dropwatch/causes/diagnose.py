"""Judgement: which cause a drop has, how sure that is, and on what evidence."""

from dataclasses import replace
from errno import errorcode

from dropwatch.causes import BY_ID, kernel_word
from dropwatch.causes.advice import advise, of_catalogue
from dropwatch.causes.cause import Cause
from dropwatch.causes.netfilter.left_alone import not_translated
from dropwatch.causes.past.decisions import led_by
from dropwatch.causes.precedence import FAMILIES
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names import symbols

# current_kprobe and bpf_prog_active, kernel/kprobes.c and kernel/trace/bpf_trace.c
_PROBES_OFF = Evidence(
    "kernel current_kprobe, bpf_prog_active",
    "the packet came while this CPU ran another probe, or a system call that reads a BPF map: the kernel "
    "runs no probe then, so none of whydrop's saw what refused it",
)
_PROBES_UNKNOWN = Evidence(
    "kernel current_kprobe, bpf_prog_active",
    "not found in this kernel, so it is unknown whether a probe could run when this packet came: what the "
    "probes noted may belong to an earlier packet at the same address",
)


_NAMING = {"netfilter": "rule", "ipsec": "SA or policy"}


def diagnose(drop: Drop, host: Host) -> tuple[Cause | None, Verdict]:
    """The cause that the first family with something to say names, with the verdict.

    (None, verdict) when none has: the confidence is `unknown`, the title says what the kernel said. The evidence
    always holds the kernel's own word, and the fix is never empty for a cause that has one.
    """
    for family in FAMILIES:
        judgement = family.judge(drop, host)
        if judgement is not None:
            cause_id, verdict = judgement
            cause = BY_ID[cause_id]
            return cause, _led(_complete(cause, verdict, drop, host), cause, drop, host)
    return None, _led(_unknown(drop), None, drop, host)


def _led(verdict: Verdict, cause: Cause | None, drop: Drop, host: Host) -> Verdict:
    found = led_by(drop, host, cause.id if cause is not None else None, verdict)
    to_do = found if verdict.fix else ()  # of what is harmless there is nothing
    fix = advise((one.fix for one in to_do if one.fix is not None), drop, host)
    return replace(verdict, led_by=(*verdict.led_by, *found), fix=(*verdict.fix, *fix))


def _complete(cause: Cause, verdict: Verdict, drop: Drop, host: Host) -> Verdict:
    said = kernel_word.evidence(drop)
    evidence = verdict.evidence if said in verdict.evidence else (*verdict.evidence, said)
    evidence = (*evidence, *not_translated(drop, evidence), *_asleep(drop))
    fix = verdict.fix or of_catalogue(cause.fix, drop)
    verdict = replace(verdict, evidence=evidence, fix=advise(fix, drop, host))
    return _less_sure(verdict) if _leans_on_doubtful_notes(drop) else verdict


def _leans_on_doubtful_notes(drop: Drop) -> bool:
    event = drop.event
    noted = (event.xfrm, event.netfilter, event.socket) != (None, None, None)
    return noted and "probes-unknown" in event.notes


def _less_sure(verdict: Verdict) -> Verdict:
    if verdict.confidence != "certain":
        return verdict
    return replace(verdict, confidence="likely", evidence=(*verdict.evidence, _PROBES_UNKNOWN))


def _unknown(drop: Drop) -> Verdict:
    evidence = [kernel_word.evidence(drop)]
    evidence += not_translated(drop, evidence)
    if "probes-off" in drop.event.notes:
        evidence.append(_PROBES_OFF)
    evidence += _asleep(drop)
    return Verdict("unknown", evidence=tuple(evidence), fix=_where_to_read(drop), title=_title(drop))


def _asleep(drop: Drop) -> list[Evidence]:
    """With --light the probes of a layer come with its first drop."""
    return [
        Evidence(
            "--light", f"no probe saw which {named} it was: they are attached at the first drop of a layer"
        )
        for layer, named in _NAMING.items()
        if f"asleep-{layer}" in drop.event.notes and layer in symbols.layers_of(drop.where.layer, drop.reason)
    ]


def _title(drop: Drop) -> str:
    send = drop.event.send
    if send is not None:
        return f"the send failed: {errorcode.get(send.error, f'errno {send.error}')}"
    if not kernel_word.gave_no_reason(drop):
        return kernel_word.in_words(drop)
    function = kernel_word.place(drop)
    if function is None:
        return "the kernel gave no reason, and the place has no name"
    layer = f" ({drop.where.layer})" if drop.where.layer else ""
    return f"the kernel gave no reason; dropped in {function}{layer}"


def _where_to_read(drop: Drop) -> tuple[Fix, ...]:
    """whydrop's own pages: of the reason if it says something, else of the function."""
    found = []
    if not kernel_word.gave_no_reason(drop) and symbols.reason(drop.reason) is not None:
        found.append(
            Fix("see what this reason can mean, and where to look", f"whydrop explain {drop.reason}")
        )
    function = symbols.function(drop.where.frame.function)
    if function is not None:
        found.append(
            Fix("see what this function does, and what it drops", f"whydrop explain {function.name}")
        )
    return tuple(found)
