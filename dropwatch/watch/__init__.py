"""The recorder: what dies while nobody looks is counted on disk, and told later."""
