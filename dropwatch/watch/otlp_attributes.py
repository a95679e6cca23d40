"""What an event's facts are called in OpenTelemetry: by its semantic conventions, else below `whydrop.`."""

from dropwatch.watch.events import Facts

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
EVENT_NAME = "whydrop.finding"
_OF_WHYDROP = "whydrop."
_CONVENTIONS = {
    "family": "network.type",
    "proto": "network.transport",
    "saddr": "source.address",
    "daddr": "destination.address",
    "sport": "source.port",
    "dport": "destination.port",
    "interface": "network.interface.name",
    "pid": "process.pid",
    "pod_name": "k8s.pod.name",
    "pod_namespace": "k8s.namespace.name",
    "container_name": "container.name",
}
_IN_POD = {"container_name": "k8s.container.name"}  # which is unique in its pod only
_OWN = {
    "cause": "cause.id",
    "title": "cause.title",
    "url": "cause.url",
    "netns": "netns.name",
    "netns_inode": "netns.inode",
    "direction": "where.direction",
    "layer": "where.layer",
    "function": "where.function",
    "module": "where.module",
    "object": "object.text",
    "object_kind": "object.kind",
    "object_relation": "object.relation",
    "comm": "process.comm",
    "unit": "process.unit",
    "container": "process.container",
    "pod": "process.pod",
}


def attributes(facts: Facts) -> Facts:
    """The same by the names of OpenTelemetry."""
    conventions = _CONVENTIONS | (_IN_POD if "pod_name" in facts else {})
    return {
        conventions.get(name) or f"{_OF_WHYDROP}{_OWN.get(name, name)}": value
        for name, value in facts.items()
    }
