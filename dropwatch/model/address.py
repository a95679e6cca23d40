"""An address of the kernel's memory, as events have them."""

from typing import Annotated

KernelAddress = Annotated[int, "in the kernel's memory: a file has it in hexadecimal"]
