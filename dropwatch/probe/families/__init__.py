"""The families of probes: this list is all that the loader, the decoder and `whydrop check` know of them."""

from dropwatch.probe.families.engines import AT_HOOKS, ENGINES
from dropwatch.probe.families.ipsec import XFRM, XFRM_OUTPUT
from dropwatch.probe.families.tables import EBT, NFT, XT
from dropwatch.probe.families.tcp import TCP

FAMILIES = (XFRM, XFRM_OUTPUT, TCP, NFT, XT, EBT, ENGINES, AT_HOOKS)
