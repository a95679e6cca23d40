"""Reads the running kernel: layouts and enums from BTF, symbols from kallsyms, names of drop reasons."""
